package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/tallystick/tallystick/internal/fault"
)

// postgresEngine is a PostgreSQL, for any number of servers. Transactions are READ COMMITTED and lock the rows they
// read, so that conflicts wait instead of fail; where two wait for each other, one is run again.
type postgresEngine struct{ pool *pgxpool.Pool }

const (
	connections = 16              // at least, unless the URL says otherwise (pool_max_conns)
	connLife    = 5 * time.Minute // so that a server returns to the primary soon after a switch
)

// postgresConfig is how every connection is made.
func postgresConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The error quotes the URL, and that may hold a password.
		return nil, fault.New(fault.Invalid, "the URL of the database cannot be read: it looks like postgres://user@host:5432/name?sslmode=verify-full")
	}
	if !strings.Contains(url, "pool_max_conns=") {
		config.MaxConns = max(config.MaxConns, connections)
	}
	if !strings.Contains(url, "pool_max_conn_lifetime=") {
		config.MaxConnLifetime = connLife
	}
	config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "read committed"
	config.ConnConfig.OnNotice = noteDoubt
	config.AfterConnect = insistOnDurability
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
	db := stdlib.OpenDBFromPool(pool) // and no idle connections of its own
	return &DB{read: db, write: db, engine: postgresEngine{pool}}, nil
}

// insistOnDurability refuses to run where a commit is answered before it is on the disk: a crash could bring an
// accepted code back.
func insistOnDurability(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', FALSE) WHERE current_setting('synchronous_commit') = 'off'")
	return err
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

func (postgresEngine) watch(conn *sql.Conn) (func() bool, error) {
	var data map[string]any
	err := conn.Raw(func(c any) error {
		data = c.(*stdlib.Conn).Conn().PgConn().CustomData()
		delete(data, doubt)
		return nil
	})
	return func() bool { return data[doubt] != nil }, err
}

func (postgresEngine) clock() string {
	return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
}

// batch sends all statements in one message and waits once for their answers.
func (postgresEngine) batch(ctx context.Context, tx *transaction, statements []statement) ([]int64, error) {
	touched := make([]int64, len(statements))
	err := tx.conn.Raw(func(c any) error {
		var b pgx.Batch
		for i, s := range statements {
			b.Queue(s.query, s.args...).Exec(func(tag pgconn.CommandTag) error {
				touched[i] = tag.RowsAffected()
				return nil
			})
		}
		return c.(*stdlib.Conn).Conn().SendBatch(ctx, &b).Close()
	})
	return touched, err
}

func (e postgresEngine) release() { e.pool.Close() }

// Keys never change, so the locks let rows be referred to meanwhile.
func (postgresEngine) locks() string               { return " FOR NO KEY UPDATE" }
func (postgresEngine) locksOf(table string) string { return " FOR NO KEY UPDATE OF " + table }
func (postgresEngine) locksFree() string           { return " FOR NO KEY UPDATE SKIP LOCKED" }

// logLock is the advisory lock of the audit log, one for each database.
const logLock = 0x7461_6c6c_79

func (postgresEngine) lockLog(ctx context.Context, tx querier) error {
	var ours bool
	if err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(logLock)).Scan(&ours); err != nil {
		return err
	}
	if !ours {
		return fault.New(fault.Conflict, "another server is appending to the audit log")
	}
	return nil
}

func (postgresEngine) migrations() (goose.Dialect, string, []goose.ProviderOption, error) {
	// Of servers that start at once, one makes the tables and the others look again every second.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	return goose.DialectPostgres, "migrations/postgres", []goose.ProviderOption{goose.WithSessionLocker(locker)}, err
}

func (postgresEngine) sort(err error) failure {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var connect *pgconn.ConnectError
		var network *net.OpError
		switch {
		case pgconn.Timeout(err), errors.As(err, &connect), errors.Is(err, pgx.ErrTxCommitRollback):
			return outage
		case pgconn.SafeToRetry(err), errors.Is(err, driver.ErrBadConn), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
			return broken
		}
		return defect
	}
	switch e.Code {
	case "40001", "40P01": // serialization failure, deadlock
		return passing
	case "23503": // foreign key
		return reference
	case "25006": // read-only: a standby
		return outage
	}
	switch e.Code[:2] {
	case "08", "53", "57", "58": // connection, resources, shutting down, I/O
		return outage
	}
	return defect
}
