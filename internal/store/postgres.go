package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
)

// postgresEngine is a PostgreSQL, for any number of servers. Transactions are READ COMMITTED and lock the rows they
// read, so that conflicts wait instead of fail; where two wait for each other, one is run again.
type postgresEngine struct{ pool *pgxpool.Pool }

const (
	connections = 16              // at least, unless the URL says otherwise (pool_max_conns)
	answering   = 5 * time.Second // until a database that is slow has answered
	connLife    = 5 * time.Minute // so that a server returns to the primary soon after a switch
)

// abandoned is when PostgreSQL undoes a transaction of a server that froze, lost its power or cannot be reached any more, and gives the rows free that it
// locked: by itself it would wait for two hours. The URL may say otherwise.
var abandoned = map[string]string{
	"idle_in_transaction_session_timeout": "30s",
	"tcp_keepalives_idle":                 "10s", "tcp_keepalives_interval": "5s", "tcp_keepalives_count": "3",
	"tcp_user_timeout": "25s", // while it sends
}

// demanded are settings of every session, whatever the URL says. What is asked for is found through indexes, whatever the values are and however
// many rows there are. Planning it anew each time would cost more than doing it. A plan that was made while a table was empty, or for many
// values at once, would rather read the whole table, and be kept while it grows; and compiling plans takes longer than they do.
var demanded = map[string]string{
	"default_transaction_isolation": "read committed",
	"plan_cache_mode":               "force_generic_plan", "enable_seqscan": "off", "jit": "off",
}

// keepDurable has no commit answered before it is on the disk, and on that of a standby that commits are to wait for: a crash, or a
// standby that takes over, could bring an accepted code back.
const keepDurable = "SELECT set_config('synchronous_commit', 'on', FALSE) WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"

// postgresConfig is how every connection is made.
func postgresConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		if reason := errors.Unwrap(err); reason != nil && strings.HasPrefix(reason.Error(), "unable to ") { // read a file that it names
			return nil, fault.New(fault.Invalid, "what the URL of the database names is not to be had: %v", reason)
		}
		// The error quotes the URL, and that may hold a password.
		return nil, fault.New(fault.Invalid, "the URL of the database cannot be read: it looks like postgres://user@host:5432/name?sslmode=verify-full")
	}
	if !strings.Contains(url, "pool_max_conns=") {
		config.MaxConns = max(config.MaxConns, connections)
	}
	if !strings.Contains(url, "pool_max_conn_lifetime=") {
		config.MaxConnLifetime = connLife
	}
	if config.ConnConfig.ConnectTimeout == 0 && len(hosts(&config.ConnConfig.Config)) > 1 {
		config.ConnConfig.ConnectTimeout = answering // or a host that is switched off keeps the others from being asked for two minutes
	}
	settings := []string{keepDurable}
	for name, value := range demanded {
		delete(config.ConnConfig.RuntimeParams, name)
		settings = append(settings, "SET "+name+" = '"+value+"'")
	}
	for name, value := range abandoned {
		if _, given := config.ConnConfig.RuntimeParams[name]; !given {
			settings = append(settings, "SET "+name+" = '"+value+"'")
		}
	}
	// As statements: PgBouncer refuses a connection that begins with settings which it does not know.
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, strings.Join(settings, ";"))
		return err
	}
	config.ConnConfig.OnNotice = noteDoubt
	return config, nil
}

func openPostgres(ctx context.Context, url string) (*DB, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err = ownSession(ctx, pool); err == nil {
		err = keepsText(ctx, pool)
	}
	if err != nil {
		go pool.Close() // which waits for connections that hang
		return nil, unreachable(err)
	}
	return &DB{engine: postgresEngine{pool}}, nil
}

// ownSession refuses a pooler that gives a connection another session for each transaction: what is set, prepared and locked here would be so
// in a session that somebody else has next.
func ownSession(asked context.Context, pool *pgxpool.Pool) (err error) {
	config := pool.Config()
	// Both connections may ask hosts first that do not answer.
	within := answering + 2*config.ConnConfig.ConnectTimeout*time.Duration(len(hosts(&config.ConnConfig.Config)))
	ctx, cancel := context.WithTimeout(asked, within)
	defer cancel()
	waited := "no connection"
	defer func() {
		if asked.Err() == nil && ctx.Err() != nil {
			err = fault.New(fault.Unavailable, "the database gives %s within %v: either it hangs, or a PgBouncer before it has no more to lend: "+
				"set default_pool_size in PgBouncer to what all servers take, each %d (pool_max_conns in the URL, 2 at least)", waited, within, config.MaxConns)
		}
	}()
	ours, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer ours.Release()
	waited = "one connection and no second"
	other, err := pgx.ConnectConfig(ctx, config.ConnConfig) // the pool may have one alone
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == tooMany {
		return nil // a session of its own was asked for
	}
	if err != nil {
		return err
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	// The other one is given the session that was used last, or, by a pooler that takes them in turn, ours gets another one.
	var sessions [4]int
	for i, conn := range []*pgx.Conn{ours.Conn(), ours.Conn(), other, ours.Conn()} {
		if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&sessions[i]); err != nil {
			return err
		}
	}
	if sessions[0] != sessions[1] || sessions[0] == sessions[2] || sessions[0] != sessions[3] {
		return fault.New(fault.Invalid, "the database is reached through a pooler that shares sessions between connections: set pool_mode = session in PgBouncer for it, "+
			"or name PostgreSQL itself in the URL")
	}
	return nil
}

// keepsText refuses to begin where letters would be kept as bytes of another encoding: in a database of UTF-8 that a dump is brought into, users
// would have other names.
func keepsText(ctx context.Context, pool *pgxpool.Pool) error {
	var encoding string
	err := pool.QueryRow(ctx, "SELECT current_setting('server_encoding') WHERE current_setting('server_encoding') NOT IN ('UTF8', 'SQL_ASCII') "+
		"AND to_regclass('"+goose.DefaultTablename+"') IS NULL").Scan(&encoding)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fault.New(fault.Invalid, "this database has the encoding %s: make one of UTF-8 "+
		"(CREATE DATABASE name OWNER role ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0)", encoding)
}

// unreachable says in one line which PostgreSQL did not let us in, or write, and why; any other error stays. The password is in neither.
func unreachable(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == readOnly {
		return fault.New(fault.Unavailable, "the database can only be read from, as a standby, or by default_transaction_read_only: name the primary in its URL, "+
			"or all hosts and target_session_attrs=read-write")
	}
	var refused *pgconn.ConnectError
	if !errors.As(err, &refused) {
		return err
	}
	var reasons []string
	for reason := range strings.Lines(refused.Unwrap().Error()) {
		reasons = addNew(reasons, strings.TrimSpace(reason))
	}
	return fault.New(fault.Unavailable, "the database at %s cannot be reached: %s", strings.Join(hosts(refused.Config), ", "), strings.Join(reasons, "; "))
}

// hosts are where a PostgreSQL is looked for, with their ports.
func hosts(c *pgconn.Config) []string {
	all := []string{net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))}
	for _, other := range c.Fallbacks {
		all = addNew(all, net.JoinHostPort(other.Host, strconv.Itoa(int(other.Port))))
	}
	return all
}

func addNew(to []string, text string) []string {
	if text == "" || slices.Contains(to, text) {
		return to
	}
	return append(to, text)
}

// doubt is where a connection notes that its last commit may be lost.
const doubt = "tallystick/doubt"

// noteDoubt sees the warning of a primary that gave up waiting for its standby: the commit succeeds and yet may be
// lost. It is known by the function that raises it, since its text is translated.
func noteDoubt(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		conn.CustomData()[doubt] = true
	}
}

// among is an array, so that there is one text, and one plan, for any number of values.
func (postgresEngine) among(first int, values []any) (string, []any) {
	array := any(values)
	switch values[0].(type) {
	case string:
		array = typed[string](values)
	case []byte:
		array = typed[[]byte](values)
	case int64:
		array = typed[int64](values)
	}
	return fmt.Sprintf("= ANY($%d)", first), []any{array}
}

func typed[T any](values []any) []T {
	all := make([]T, len(values))
	for i, v := range values {
		all[i] = v.(T)
	}
	return all
}

func (postgresEngine) clock() string {
	return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
}

func (e postgresEngine) close(ctx context.Context) error {
	closed := make(chan struct{})
	go func() { e.pool.Close(); close(closed) }()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return unavailable(ctx.Err(), "the database did not answer before its connections were to be closed")
	}
}

func (e postgresEngine) look(ctx context.Context, looks []look) error {
	conn, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var b pgx.Batch
	queueLooks(&b, looks)
	return conn.SendBatch(ctx, &b).Close()
}

// Where PostgreSQL has no connection left, those that the server has come free again: it looks so often.
const (
	looksForFree = 100
	betweenLooks = 20 * time.Millisecond
)

// acquire takes a connection.
func (e postgresEngine) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for n := 1; ; n++ {
		conn, err := e.pool.Acquire(ctx)
		if refused := new(pgconn.PgError); !errors.As(err, &refused) || refused.Code != tooMany || n == looksForFree || pause(ctx, betweenLooks) != nil {
			return conn, err
		}
	}
}

// freeze reads whole tables, for which no index is of use, and for somebody who may be slow.
func (e postgresEngine) freeze(ctx context.Context, do func(read func(context.Context, look) error) error) error {
	conn, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, setting := range []string{"enable_seqscan = on", "idle_in_transaction_session_timeout = 0", "tcp_user_timeout = 0"} {
			if _, err := tx.Exec(ctx, "SET LOCAL "+setting); err != nil {
				return err
			}
		}
		return do(func(ctx context.Context, l look) error {
			rows, err := tx.Query(ctx, l.query, l.args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := l.each(postgresRow{rows}); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	})
}

// why tells of what an administrator of PostgreSQL has to see to.
func (e postgresEngine) why(err error) string {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return ""
	}
	switch said.Code {
	case tooMany:
		return "PostgreSQL has no connection left for this server: raise max_connections, or have servers and others take fewer (pool_max_conns in the URL)"
	case diskFull:
		return "the disk of PostgreSQL is full: make room there"
	}
	return ""
}

// lately is nothing: a ping asks the same of PostgreSQL as any other commit.
func (postgresEngine) lately() error { return nil }

// hindrance asks over a connection of its own, since those of the pool may all be waiting for the same.
func (e postgresEngine) hindrance(ctx context.Context) string {
	conn, err := pgx.ConnectConfig(ctx, e.pool.Config().ConnConfig)
	if err == nil {
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		var kind, event string
		var by int
		err = conn.QueryRow(ctx, "SELECT wait_event_type, wait_event, COALESCE((pg_blocking_pids(pid))[1], 0) FROM pg_stat_activity "+
			"WHERE datname = current_database() AND usename = current_user AND state = 'active' AND pid <> pg_backend_pid() AND wait_event_type <> 'Client' "+
			"ORDER BY wait_event = 'SyncRep' DESC, query LIKE '%pinged_at%' DESC, query_start LIMIT 1", pgx.QueryExecModeExec).Scan(&kind, &event, &by)
		switch {
		case err == nil && event == "SyncRep":
			return "PostgreSQL waits for a synchronous standby that does not answer: bring it back, or take it out of synchronous_standby_names"
		case err == nil && by != 0:
			return fmt.Sprintf("a session of PostgreSQL keeps locked what this server writes: look at process %d in pg_stat_activity, and end it with pg_terminate_backend", by)
		case err == nil:
			return fmt.Sprintf("PostgreSQL waits for %s (%s, see pg_stat_activity)", event, kind)
		case errors.Is(err, pgx.ErrNoRows):
			return ""
		}
	}
	if why := e.why(err); why != "" {
		return why
	}
	return "PostgreSQL does not answer, or a PgBouncer before it has lent all that it may (default_pool_size)"
}

func (postgresEngine) risks() string {
	return "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
}

func (postgresEngine) catalogue() (string, string) {
	return "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) " +
			"WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position",
		"SELECT CAST(f.relname AS TEXT), CAST(t.relname AS TEXT) FROM pg_constraint AS c JOIN pg_class AS f ON f.oid = c.conrelid JOIN pg_class AS t ON t.oid = c.confrelid " +
			"WHERE c.contype = 'f' AND f.relnamespace = CAST(current_schema() AS regnamespace)"
}

func queueLooks(b *pgx.Batch, looks []look) {
	for _, l := range looks {
		b.Queue(l.query, l.args...).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := l.each(postgresRow{rows}); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
}

// A postgresTransaction begins with the first message that it sends, and ends with the last.
type postgresTransaction struct {
	*pgxpool.Conn
	soon time.Duration // how long it waits for a row; 0 for as long as it takes
}

func (e postgresEngine) begin(ctx context.Context) (connection, error) {
	conn, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	delete(conn.Conn().PgConn().CustomData(), doubt)
	return postgresTransaction{conn, soon(ctx)}, nil
}

const idle = 'I' // the status of a connection without a transaction

// message begins with BEGIN if nothing has been sent yet. If that fails, the transaction has failed for good (transaction.fail):
// no later message can begin one that holds the rest of it only.
func (t postgresTransaction) message() *pgx.Batch {
	b := new(pgx.Batch)
	if t.status() == idle {
		b.Queue("begin")
		if t.soon > 0 {
			b.Queue("SET LOCAL lock_timeout = " + strconv.FormatInt(t.soon.Milliseconds(), 10))
		}
	}
	return b
}

func (t postgresTransaction) status() byte { return t.Conn.Conn().PgConn().TxStatus() }

func (t postgresTransaction) send(ctx context.Context, b *pgx.Batch) error {
	return t.SendBatch(ctx, b).Close()
}

func (t postgresTransaction) look(ctx context.Context, looks []look) error {
	b := t.message()
	queueLooks(b, looks)
	return t.send(ctx, b)
}

func (t postgresTransaction) batch(ctx context.Context, statements []statement) ([]int64, error) {
	b := t.message()
	touched := make([]int64, len(statements))
	for i, s := range statements {
		b.Queue(s.query, s.args...).Exec(func(tag pgconn.CommandTag) error {
			touched[i] = tag.RowsAffected()
			return nil
		})
	}
	return touched, t.send(ctx, b)
}

func (t postgresTransaction) write(ctx context.Context, changes []bulk, commit bool) (sent bool, err error) {
	if commit && len(changes) == 0 && t.status() == idle {
		return false, nil // it did nothing
	}
	b := t.message()
	done := 0
	for _, c := range changes {
		args, err := c.arrays()
		if err != nil {
			return false, err
		}
		b.Queue(c.many, args...).Exec(func(pgconn.CommandTag) error { done++; return nil })
	}
	var ended pgconn.CommandTag
	if commit {
		b.Queue("commit").Exec(func(tag pgconn.CommandTag) error { ended = tag; return nil })
	}
	err = t.send(ctx, b)
	// After an error the server passes over the rest of the message, with its COMMIT.
	if refused := new(pgconn.PgError); errors.As(err, &refused) && done < len(changes) {
		if refused.Code == divisionByZero && changes[done].other != nil {
			err = changes[done].other
		}
		return false, err
	}
	switch {
	case err != nil || !commit:
	case ended.String() != "COMMIT":
		err = pgx.ErrTxCommitRollback
	case t.Conn.Conn().PgConn().CustomData()[doubt] != nil:
		err = errDoubtful
	}
	return commit && !pgconn.SafeToRetry(err), err
}

// Codes of errors.
const (
	divisionByZero = "22012"
	readOnly       = "25006"
	diskFull       = "53100"
	tooMany        = "53300" // connections
)

// undoPatience is how long a ROLLBACK may take; after it the connection is closed, which undoes as well.
const undoPatience = 5 * time.Second

func (t postgresTransaction) end() {
	if !t.Conn.Conn().IsClosed() && t.status() != idle {
		ctx, cancel := context.WithTimeout(context.Background(), undoPatience)
		defer cancel()
		_, _ = t.Exec(ctx, "rollback") // if it fails, Release closes the connection
	}
	t.Release()
}

func (t postgresTransaction) fill(ctx context.Context, table backup.Table, next func() ([]any, error)) error {
	truth := map[string]bool{}
	b := t.message()
	queueLooks(b, []look{{"SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 AND data_type = 'boolean'",
		[]any{table.Name}, func(r row) error {
			name, err := text(r)
			truth[name] = true
			return err
		}}})
	if err := t.send(ctx, b); err != nil {
		return err
	}
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
	}
	_, err := t.CopyFrom(ctx, pgx.Identifier{table.Name}, names, pgx.CopyFromFunc(func() ([]any, error) {
		values, err := next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		for i, v := range values {
			if n, is := v.(int64); is && truth[names[i]] {
				values[i] = n != 0
			}
		}
		return values, err
	}))
	return err
}

// arrays are the rows of a bulk as an array for each field.
func (c bulk) arrays() ([]any, error) {
	args := make([]any, len(c.kinds))
	for i, kind := range c.kinds {
		var err error
		switch kind {
		case "bigint":
			var all []pgtype.Int8
			all, err = column(c.rows, i, bigint)
			args[i] = pgtype.FlatArray[pgtype.Int8](all) // []pgtype.Int8 would be taken apart by reflection
		case "text":
			var all []pgtype.Text
			all, err = column(c.rows, i, nullable)
			args[i] = pgtype.FlatArray[pgtype.Text](all)
		case "boolean":
			args[i], err = column(c.rows, i, func(v any) (b bool, err error) {
				b, ok := v.(bool)
				if !ok {
					err = fmt.Errorf("store: %T is no boolean", v)
				}
				return b, err
			})
		case "bytea":
			args[i], err = column(c.rows, i, func(v any) (b []byte, err error) {
				b, ok := v.([]byte)
				if !ok && v != nil {
					err = fmt.Errorf("store: %T is no bytea", v)
				}
				return b, err
			})
		default:
			err = fmt.Errorf("store: no array of %s can be made", kind)
		}
		if err != nil {
			return nil, err
		}
	}
	return args, nil
}

// nullable is a text, or NULL.
func nullable(v any) (pgtype.Text, error) {
	if value, is := v.(driver.Valuer); is {
		var err error
		if v, err = value.Value(); err != nil {
			return pgtype.Text{}, err
		}
	}
	switch v := v.(type) {
	case nil:
		return pgtype.Text{}, nil
	case string:
		return pgtype.Text{String: v, Valid: true}, nil
	}
	return pgtype.Text{String: fmt.Sprint(v), Valid: true}, nil // a text with a type of its own
}

// bigint is a number, or NULL.
func bigint(v any) (pgtype.Int8, error) {
	switch n := v.(type) {
	case nil:
		return pgtype.Int8{}, nil
	case int:
		return pgtype.Int8{Int64: int64(n), Valid: true}, nil
	case int64:
		return pgtype.Int8{Int64: n, Valid: true}, nil
	}
	return pgtype.Int8{}, fmt.Errorf("store: %T is no bigint", v)
}

// column is one value of each row.
func column[T any](rows [][]any, i int, as func(any) (T, error)) ([]T, error) {
	all := make([]T, len(rows))
	for n, values := range rows {
		var err error
		if all[n], err = as(values[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Writers is few of the connections: the others are for everything else.
func (postgresEngine) Writers() int { return 4 }

// Keys never change, so the locks let rows be referred to meanwhile.
func (postgresEngine) locks() string       { return " FOR NO KEY UPDATE" }
func (postgresEngine) locksShared() string { return " FOR KEY SHARE" }
func (postgresEngine) locksAll() string    { return " FOR UPDATE" }
func (postgresEngine) locksFree() string   { return " FOR NO KEY UPDATE SKIP LOCKED" }

// logLock is the advisory lock of the audit log, one for each database.
const logLock = 0x7461_6c6c_79

func (postgresEngine) lockLog(ctx context.Context, tx *transaction) error {
	var ours bool
	try := look{"SELECT pg_try_advisory_xact_lock($1)", []any{int64(logLock)}, func(r row) error { return r.Scan(&ours) }}
	if err := tx.fail(tx.look(ctx, []look{try})); err != nil {
		return err
	}
	if !ours {
		return fault.New(fault.Conflict, "another server is appending to the audit log")
	}
	return nil
}

func (postgresEngine) takeTurn(ctx context.Context, tx *transaction, t turn) error {
	wait := look{"SELECT pg_advisory_xact_lock($1)", []any{logLock + int64(t)}, func(row) error { return nil }}
	return tx.fail(tx.look(ctx, []look{wait}))
}

func (e postgresEngine) migrations() (*sql.DB, goose.Dialect, string, []goose.ProviderOption, error) {
	// Of servers that start at once, one makes the tables and the others look again every second.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	return stdlib.OpenDBFromPool(e.pool), goose.DialectPostgres, "migrations/postgres", []goose.ProviderOption{goose.WithSessionLocker(locker)}, err
}

func (postgresEngine) sort(err error) failure {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var connect *pgconn.ConnectError
		var network *net.OpError
		switch {
		case pgconn.Timeout(err), errors.As(err, &connect), errors.Is(err, pgx.ErrTxCommitRollback), errors.Is(err, errDoubtful):
			return outage
		case pgconn.SafeToRetry(err), errors.Is(err, driver.ErrBadConn), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
			return broken
		}
		return defect
	}
	switch e.Code {
	case "40001", "40P01", "23505": // serialization failure, deadlock; a unique value that somebody took meanwhile, which the next run sees
		return passing
	case "25P03": // it was idle in a transaction for too long
		return broken
	case "55P03": // a lock was not to be had soon
		return held
	case "23503": // foreign key
		return reference
	case "42501", "3F000": // a right is missing; no schema in which tables may be made
		return forbidden
	case readOnly:
		return outage
	}
	switch e.Code[:2] {
	case "08", "53", "57", "58": // connection, resources, shutting down, I/O
		return outage
	}
	return defect
}
