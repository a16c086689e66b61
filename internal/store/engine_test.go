package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

func opened(t testing.TB, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// databases are new databases of both kinds, without tables, by URL.
var databases = map[string]func(testing.TB) string{"SQLite": file, "PostgreSQL": storetest.Postgres}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "tallystick.db") }

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "mysql://host/name", "postgres://u:s3cret@host:port/name", "postgres://u:s3cret@127.0.0.1:1/name?connect_timeout=1"} {
		db, err := Open(t.Context(), Options{URL: url})
		if err == nil {
			db.Close()
		}
		if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Unavailable {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestOpenTellsWhichFileIsMissing(t *testing.T) {
	for _, named := range []string{"sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "sslmode=verify-full&sslcert=/nowhere/ca.pem&sslkey=/nowhere/ca.pem"} {
		_, err := Open(t.Context(), Options{URL: "postgres://u:s3cret@127.0.0.1:1/name?" + named})
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "/nowhere/ca.pem") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
}

func TestOpenTellsInOneLineWhichDatabaseDoesNotAnswer(t *testing.T) {
	_, err := Open(t.Context(), Options{URL: "postgres://u:s3cret@127.0.0.1:1,127.0.0.1:2/name?connect_timeout=1"})
	if !errors.Is(err, fault.Unavailable) || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%q", err)
	}
	if want := "the database at 127.0.0.1:1, 127.0.0.1:2 cannot be reached: "; !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "dial tcp 127.0.0.1:1") != 1 {
		t.Errorf("%v, not %s...", err, want)
	}
}

// Whoever may not make tables, or has no schema for them, is told what to ask the database's administrator for.
func TestPostgresLetsNoTablesBeMade(t *testing.T) {
	at := storetest.Postgres(t)
	for _, schema := range []string{"nowhere", "pg_catalog"} {
		db, err := Open(t.Context(), Options{URL: at + "&search_path=" + schema})
		if err == nil {
			db.Close()
		}
		if !errors.Is(err, errForbidden) {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// A database of another encoding is not begun with; one that is in use goes on.
func TestPostgresOfAnotherEncoding(t *testing.T) {
	url := storetest.Postgres(t)
	admin := administrator(t, url)
	config := admin.Config()
	latin := config.Database + "_latin"
	run(t, admin, "CREATE DATABASE "+latin+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	t.Cleanup(func() { run(t, admin, "DROP DATABASE "+latin+" WITH (FORCE)") })
	url = strings.Replace(url, config.Database, latin, 1)
	if db, err := Open(t.Context(), Options{URL: url}); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "ENCODING 'UTF8'") {
		t.Errorf("%v, %v", db, err)
	}
	run(t, administrator(t, url), "CREATE TABLE goose_db_version AS SELECT 1 AS id, CAST(0 AS BIGINT) AS version_id, TRUE AS is_applied, now() AS tstamp")
	opened(t, url)
}

// A user of PostgreSQL who does not own the tables, and may make none, is told so.
func TestOpenAsAnotherThanTheOwner(t *testing.T) {
	for name, prepare := range map[string]string{
		"new":   "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
		"older": "DELETE FROM goose_db_version WHERE version_id > 54; GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
	} {
		t.Run(name, func(t *testing.T) {
			owner := storetest.Postgres(t)
			first := Open
			if name == "new" {
				first = open
			}
			db, err := first(t.Context(), Options{URL: owner})
			if err != nil {
				t.Fatal(err)
			}
			for statement := range strings.SplitSeq(prepare, ";") {
				if _, err := db.exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			as, err := neturl.Parse(owner)
			if err != nil {
				t.Fatal(err)
			}
			values := as.Query()
			values.Set("role", "pg_monitor")
			as.RawQuery = values.Encode()
			other, err := Open(t.Context(), Options{URL: as.String()})
			if err == nil {
				other.Close()
			}
			if !errors.Is(err, errForbidden) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Servers that start at once find or make the same tables.
func TestOpenAtOnce(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					db, err := Open(t.Context(), Options{URL: url})
					if err == nil {
						err = errors.Join(db.Ping(t.Context()), db.Close())
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestNewerSchema(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			db := opened(t, url)
			if err := db.Current(t.Context()); err != nil {
				t.Error(err)
			}
			for _, statement := range []string{
				"INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, TRUE)",
				"INSERT INTO schema_release (schema_version, name) VALUES (900, 'v9.0.0')",
			} {
				if _, err := db.exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Open(t.Context(), Options{URL: url})
			if !errors.Is(err, fault.SchemaNewer) || !strings.Contains(err.Error(), "v9.0.0") {
				t.Errorf("got %v", err)
			}
			if err := db.Ping(t.Context()); err != nil { // left as it is
				t.Error(err)
			}
			if err := db.Current(t.Context()); !errors.Is(err, fault.SchemaNewer) || !strings.Contains(err.Error(), "v9.0.0") {
				t.Errorf("it is current: %v", err)
			}
		})
	}
}

// What must not change the tables of servers that run leaves those of an older release, and none, as they are.
func TestOpenUnchanged(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			unchanged := func() error {
				db, err := OpenUnchanged(t.Context(), Options{URL: url})
				if err == nil {
					err = db.Close()
				}
				return err
			}
			if err := unchanged(); !errors.Is(err, fault.NotFound) {
				t.Errorf("without tables: %v", err)
			}
			db := opened(t, url)
			if err := unchanged(); err != nil {
				t.Errorf("up to date: %v", err)
			}
			if _, err := db.exec(t.Context(), "DELETE FROM goose_db_version WHERE version_id = $1", db.tables); err != nil {
				t.Fatal(err)
			}
			older, err := one(t.Context(), db, nil, number, latest)
			if err != nil {
				t.Fatal(err)
			}
			if err := unchanged(); !errors.Is(err, fault.Conflict) {
				t.Errorf("of an older release: %v", err)
			}
			if version, err := one(t.Context(), db, nil, number, latest); err != nil || version != older {
				t.Errorf("it is at %d, %v, and was at %d", version, err, older)
			}
		})
	}
}

// A database that was copied here under another mode is kept from others again.
func TestSQLiteFileThatOthersMayRead(t *testing.T) {
	path := file(t)
	if err := opened(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	names := []string{path, path + "-wal", path + "-shm"}
	for _, name := range names {
		if f, err := os.OpenFile(name, os.O_CREATE, 0o644); err != nil || errors.Join(f.Close(), os.Chmod(name, 0o644)) != nil {
			t.Fatal(err)
		}
	}
	opened(t, path)
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

// Whoever starts a server on a file that is damaged from its beginning on is told what to do, as an outage that waiting does not end.
func TestOpenDamagedSQLiteFile(t *testing.T) {
	const page = 4096
	versions := func(db *DB) int64 {
		n, err := one(t.Context(), db, nil, number, "SELECT rootpage FROM sqlite_master WHERE name = 'goose_db_version'")
		if err != nil {
			t.Fatal(err)
		}
		return n - 1
	}
	for name, pages := range map[string]func(db *DB) (first, n int64){
		"no database":            func(*DB) (int64, int64) { return 0, 200 },
		"all but its first page": func(*DB) (int64, int64) { return 1, 200 },
		"what its schema is":     func(db *DB) (int64, int64) { return versions(db), 1 },
	} {
		path := file(t)
		db := opened(t, path)
		first, n := pages(db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(n)*page), first*page); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), Options{URL: path})
		if err == nil || fault.CodeOf(err) != "" || !strings.Contains(err.Error(), "'tallystick restore' the last backup") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is found by what explains its errors itself is told once.
func TestDamageIsToldOnce(t *testing.T) {
	const page = 4096
	path := file(t)
	db := opened(t, path)
	root, err := one(t.Context(), db, nil, number, "SELECT rootpage FROM sqlite_master WHERE name = 'schema_release'")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, page), (root-1)*page); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{URL: path})
	if err == nil || strings.Count(err.Error(), "is damaged") != 1 {
		t.Error(err)
	}
}

// A ping writes: a full disk would fail it.
func TestSQLitePingWrites(t *testing.T) {
	url := file(t)
	db := opened(t, url)
	for range 2 {
		before, err := os.ReadFile(url + "-wal")
		if err == nil {
			err = db.Ping(t.Context())
		}
		after, more := os.ReadFile(url + "-wal")
		if err := errors.Join(err, more); err != nil || bytes.Equal(before, after) {
			t.Errorf("the ping wrote nothing, %v", err)
		}
	}
}

// A server that stops in the middle of a ping does not keep the others from theirs.
func TestPostgresPingOfAServerThatStops(t *testing.T) {
	database := storetest.Postgres(t)
	url, stop, _, end := stoppable(t, database)
	stopping, other, admin := opened(t, url), opened(t, database), administrator(t, database)
	t.Cleanup(end) // before they are closed, which would wait
	if err := stopping.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, admin, "BEGIN", "SELECT name FROM schema_release FOR UPDATE")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stopping.Ping(ctx) }()
	if err := someoneWaits(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	stop()
	run(t, admin, "COMMIT")
	for active, held := 1, 0; active > 0; {
		err := admin.QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE state LIKE 'idle in transaction%') "+
			"FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&active, &held)
		if err != nil {
			t.Fatal(err)
		}
		if active == 0 && held > 0 {
			t.Fatal("the server that stopped keeps the row")
		}
	}
	if err := other.Ping(t.Context()); err != nil {
		t.Errorf("another server: %v", err)
	}
	cancel()
	<-done
}

// Who asks whether the database can be written to is told which session keeps what that takes, and of no other that is waited for longer.
func TestPostgresPingOfALockedRow(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin, holder, waiter := opened(t, url), administrator(t, url), administrator(t, url), administrator(t, url)
	const lock, unlock = "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"
	run(t, holder, lock)
	other := make(chan error, 1)
	go func() { _, err := waiter.Exec(context.Background(), lock); other <- err }()
	if err := someoneWaits(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	run(t, admin, "BEGIN", "SELECT name FROM schema_release FOR UPDATE")
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() { told <- db.Ping(ctx) }()
	for waits := false; !waits; {
		const both = "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
		if err := holder.QueryRow(t.Context(), both).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err, by := <-told, fmt.Sprintf("process %d ", admin.PgConn().PID()); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), by) {
		t.Errorf("%skeeps the row, and the ping says %v", by, err)
	}
	run(t, admin, "COMMIT")
	run(t, holder, unlock)
	if err := errors.Join(<-other, db.Ping(t.Context())); err != nil {
		t.Error(err)
	}
}

// A database that hangs with a COMMIT on its way does not keep a server from ending.
func TestPostgresIsClosedWhileItHangs(t *testing.T) {
	url, stop, waits, end := stoppable(t, storetest.Postgres(t))
	db := opened(t, url)
	done := make(chan error, 1)
	go func() {
		done <- db.Transact(t.Context(), func(ctx context.Context) error {
			err := db.AddDataKey(ctx, seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: time.Now()})
			stop()
			return err
		})
	}()
	<-waits // the COMMIT was sent
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.close(over); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("closing: %v", err)
	}
	end()
	if err := <-done; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the change: %v", err)
	}
}

func TestSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?b#c%20d.db")
	db := opened(t, path)
	secret := []byte("a sealed secret that has to go")
	ctx := t.Context()
	if err := errors.Join(
		db.AddDataKey(ctx, seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: time.Now()}),
		db.AddSecret(ctx, "x", seed.Sealed{KeyID: 1, Blob: secret}),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1"} {
		var got string
		err := db.Transact(ctx, func(ctx context.Context) (err error) {
			got, err = one(ctx, db, nil, text, "SELECT * FROM pragma_"+pragma)
			return err
		})
		if err != nil || got != want {
			t.Errorf("%s is %q, %v", pragma, got, err)
		}
	}
	if _, err := list(ctx, db, text, "DELETE FROM secret RETURNING name"); err == nil {
		t.Error("a reader can write")
	}
	holds := func() bool {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(content, secret)
	}
	if err := db.Close(); err != nil { // which moves the log into the file
		t.Fatal(err)
	}
	if !holds() {
		t.Error("the secret is not where it is looked for")
	}
	db = opened(t, path)
	if err := errors.Join(db.DropSecret(ctx, "x"), db.Close()); err != nil {
		t.Fatal(err)
	}
	if holds() {
		t.Error("a destroyed secret is still in the file")
	}
}

// administrator is a connection that changes how the server works; the changes go with the test.
func administrator(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// While the standby that a commit must reach is away, the commit is not confirmed, whichever way the wait ends.
func TestPostgresWithoutStandby(t *testing.T) {
	url := storetest.Postgres(t)
	db := opened(t, url)
	admin := administrator(t, url)
	run(t, admin, "SET synchronous_commit = local", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	t.Cleanup(func() { run(t, admin, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()") })
	add := func(ctx context.Context, id string) chan error {
		done := make(chan error, 1)
		go func() { done <- db.AddUser(ctx, user.User{ID: id, CreatedAt: time.Now(), Version: 1}) }()
		return done
	}
	// stuck adds users until the commit of one waits for the standby: the server takes the setting up when it comes to it.
	users := 0
	stuck := func(ctx context.Context) (pid int, done chan error) {
		t.Helper()
		limit, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			users++
			done := add(ctx, strconv.Itoa(users))
			for len(done) == 0 {
				err := admin.QueryRow(limit, "SELECT COALESCE(MAX(pid), 0) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()").Scan(&pid)
				if err != nil {
					t.Fatal(err)
				}
				if pid != 0 {
					return pid, done
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	unconfirmed := func(err error) {
		t.Helper()
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	}

	pid, done := stuck(t.Context()) // until an administrator cancels the wait
	run(t, admin, "SELECT pg_cancel_backend("+strconv.Itoa(pid)+")")
	err := <-done
	unconfirmed(err)
	if !errors.Is(err, errDoubtful) {
		t.Errorf("the warning was not seen: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	pid, done = stuck(ctx) // until the caller gives up
	cancel()
	unconfirmed(<-done)
	run(t, admin, "SELECT pg_terminate_backend("+strconv.Itoa(pid)+", 60000)")

	pid, done = stuck(t.Context()) // until the connection breaks
	run(t, admin, "SELECT pg_terminate_backend("+strconv.Itoa(pid)+", 60000)")
	unconfirmed(<-done)

	// All of them were made on this server: unknown is not undone.
	all, err := db.Users(t.Context(), user.Filter{})
	if err != nil || len(all) != users {
		t.Errorf("%d users of %d, %v", len(all), users, err)
	}
	// A ping is a commit like these, and no connection waits on because of one that gave up.
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Ping(ctx) }()
		for waits := false; !waits && len(done) == 0; {
			err := admin.QueryRow(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()").Scan(&waits)
			if err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "synchronous_standby_names") {
			t.Errorf("nothing can be committed, and the ping says %v", err)
		}
		for waiting := 1; waiting > 0; {
			if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()").Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t, admin, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-add(t.Context(), "confirmed"); err != nil { // the doubt is over with its commit
		t.Error(err)
	}
}

// someoneWaits returns when a transaction on the database waits for a lock.
func someoneWaits(ctx context.Context, admin *pgx.Conn) error {
	for waits := false; !waits; {
		err := admin.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&waits)
		if err != nil {
			return err
		}
	}
	return nil
}

// Whoever waits for the lock of a user sees her as she is when it gets it: disabled, here, while it waited.
func TestPostgresLooksAfterTheLock(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	alice := user.User{ID: "alice", Enabled: true, CreatedAt: time.Now(), Version: 1}
	if err := db.AddUser(ctx, alice); err != nil {
		t.Fatal(err)
	}
	look := func(ctx context.Context) ([]authentication.Subject, error) {
		found, err := db.Gather(ctx, authentication.Wanted{Users: []string{"alice"}})
		return found.Subjects, err
	}
	waiting := make(chan error, 1)
	var seen []authentication.Subject
	err := db.Transact(ctx, func(held context.Context) error {
		if _, err := look(held); err != nil {
			return err
		}
		go func() {
			waiting <- db.Transact(ctx, func(ctx context.Context) (err error) { seen, err = look(ctx); return err })
		}()
		if err := someoneWaits(ctx, admin); err != nil {
			return err
		}
		alice.Enabled = false
		return db.SaveUser(held, alice)
	})
	if err := errors.Join(err, <-waiting); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].Enabled {
		t.Errorf("it saw %+v", seen)
	}
}

// What destroys the results of a job whose time is over waits for whoever resumes it just then, and leaves them.
func TestPostgresKeepsTheResultsOfAJobThatIsResumed(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at := time.Now()
	sealed := seed.Sealed{KeyID: 1, Blob: []byte("sealed")}
	j := job.Job{ID: "1", Name: "1", Kind: "test", State: job.Cancelled, Total: 1, By: audit.Actor{Name: "key:x"}, Parameters: sealed, CreatedAt: at, EndedAt: at, ResultsUntil: at}
	err := db.Transact(ctx, func(ctx context.Context) error {
		key := seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: at}
		return errors.Join(db.AddDataKey(ctx, key), db.AddJob(ctx, j), db.AddJobItems(ctx, j.ID, []job.Row{{Number: 1, Key: "a", State: job.ItemWaiting, Input: sealed}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	err = db.Transact(ctx, func(held context.Context) error {
		now, err := db.Job(held, j.ID)
		if err != nil {
			return err
		}
		go func() {
			_, err := db.DropJobResults(ctx, at)
			waiting <- err
		}()
		if err := someoneWaits(ctx, admin); err != nil {
			return err
		}
		now.State, now.EndedAt, now.ResultsUntil = job.Queued, time.Time{}, time.Time{}
		return db.SaveJob(held, now, job.Cancelled)
	})
	if err := errors.Join(err, <-waiting); err != nil {
		t.Fatal(err)
	}
	j, err = db.Job(ctx, j.ID)
	items, err2 := db.JobItems(ctx, j.ID, job.ItemFilter{})
	if err := errors.Join(err, err2); err != nil || len(j.Parameters.Blob) == 0 || len(items) != 1 || len(items[0].Input.Blob) == 0 {
		t.Errorf("left are %+v and %+v, %v", j, items, err)
	}
}

// slowReader is a database whose policies somebody is reading when begun is closed.
type slowReader struct {
	*DB
	begun chan struct{}
	once  sync.Once
}

func (s *slowReader) Policies(ctx context.Context) (*policy.Tree, error) {
	if !s.Joins(ctx) {
		s.once.Do(func() { close(s.begun) })
	}
	return s.DB.Policies(ctx)
}

// Who has the last connection does not wait for who reads the policies for all, and waits for a connection.
func TestPostgresReadsPoliciesWithItsLastConnection(t *testing.T) {
	url, err := neturl.Parse(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	asked := url.Query()
	asked.Set("pool_max_conns", "1")
	url.RawQuery = asked.Encode()
	db := &slowReader{DB: opened(t, url.String()), begun: make(chan struct{})}
	policies := &policy.Registry{Store: db, Now: time.Now}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	other := make(chan error, 1)
	err = db.Transact(ctx, func(held context.Context) error {
		if _, err := db.Settings(held); err != nil { // takes the connection
			return err
		}
		go func() {
			_, err := policies.Current(ctx)
			other <- err
		}()
		<-db.begun
		_, err := policies.Current(held)
		return err
	})
	if err := errors.Join(err, <-other); err != nil {
		t.Fatal(err)
	}
}

// Who names a profile, with a RADIUS client of hers in hand, does not wait for who changes it and will want that client.
func TestPostgresNamesAProfileThatIsBeingEdited(t *testing.T) {
	db := opened(t, storetest.Postgres(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := db.AddProfile(ctx, profile.Profile{Name: "phones", CreatedAt: time.Now(), Version: 1})
	if err == nil {
		err = db.Transact(ctx, func(edit context.Context) error {
			if _, err := db.Profile(edit, "phones"); err != nil {
				return err
			}
			return db.Transact(ctx, func(ctx context.Context) error { return db.HasProfile(ctx, "phones") })
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever waits for a token that gets a new seed at once finds it with that seed.
func TestPostgresFindsATokenWithItsNewSeed(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	serial := fill(t, db, 1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, look := range []func(ctx context.Context) (token.Token, error){
		func(ctx context.Context) (token.Token, error) { return db.Token(ctx, serial) },
		func(ctx context.Context) (token.Token, error) {
			all, err := db.LockTokens(ctx, []string{serial})
			if err == nil && len(all) != 1 {
				err = fmt.Errorf("%d tokens", len(all))
			}
			return append(all, token.Token{})[0], err
		},
	} {
		var seen token.Token
		waiting := make(chan error, 1)
		err := db.Transact(ctx, func(held context.Context) error {
			r, err := db.Token(held, serial)
			if err != nil {
				return err
			}
			go func() {
				waiting <- db.Transact(ctx, func(ctx context.Context) (err error) { seen, err = look(ctx); return err })
			}()
			if err := someoneWaits(ctx, admin); err != nil {
				return err
			}
			next := r.Current
			next.Number, next.Fingerprint = r.Current.Number+1, fmt.Appendf(nil, "fingerprint %d", i)
			r.Replace(next)
			return db.SaveToken(held, r)
		})
		if err := errors.Join(err, <-waiting); err != nil {
			t.Fatal(err)
		}
		if seen.Current.Number != 2+i {
			t.Errorf("it saw generation %d", seen.Current.Number)
		}
	}
}

// Whoever locks many tokens waits for the record of one without holding the seeds of others, which a group of sign-ins that has changed that one may want.
func TestPostgresLocksManyTokens(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	serials := fill(t, db, 1)
	low, high := serials[0], serials[len(serials)-1]
	all := []string{low, high}
	for i := range chunk { // which are not there, and between them
		all = append(all, fmt.Sprintf("%s-%03d", low, i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var one, many int // runs
	waiting := make(chan error, 1)
	err := db.Transact(ctx, func(held context.Context) error {
		if one++; one > 1 {
			return errors.New("it was undone")
		}
		if _, err := db.Token(held, high); err != nil {
			return err
		}
		go func() {
			waiting <- db.Transact(ctx, func(ctx context.Context) error { many++; _, err := db.LockTokens(ctx, all); return err })
		}()
		if err := someoneWaits(ctx, admin); err != nil {
			return err
		}
		return db.Settle(held, authentication.Settlement{Uses: []authentication.Use{{Serial: low, Number: 1, Version: 1,
			Before: token.Clock{LastInterval: token.Unused}, After: token.Clock{LastInterval: 1, LastUsedAt: benchTime}}}})
	})
	if err := errors.Join(err, <-waiting); err != nil || many != 1 {
		t.Errorf("%v, and %d runs", err, many)
	}
}

// Two servers that decide about the same users at once, one of them under locks, wait for each other in one order: what waits in a ring
// is only freed after a second, by undoing one of them.
func TestPostgresOrderOfLocks(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	serials := fill(t, db, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := db.Gather(ctx, authentication.Wanted{Users: []string{benchUser(0)}})
	if err != nil {
		t.Fatal(err)
	}
	failed := func(interval int64) (s authentication.Settlement) {
		guard := found.Subjects[0].Guard
		guard.Own.Count++
		s.Guards = append(s.Guards, guard)
		for _, serial := range serials {
			s.Uses = append(s.Uses, authentication.Use{Serial: serial, Number: 1, Version: 1,
				Before: token.Clock{LastInterval: token.Unused}, After: token.Clock{LastInterval: interval, LastUsedAt: benchTime}})
		}
		return s
	}
	var sure, other int // runs
	waiting := make(chan error, 1)
	err = db.Transact(ctx, func(held context.Context) error {
		if sure++; sure > 1 {
			return errors.New("it was undone")
		}
		if _, err := db.Gather(held, authentication.Wanted{Users: []string{benchUser(0)}}); err != nil {
			return err
		}
		go func() {
			waiting <- db.Transact(ctx, func(ctx context.Context) error { other++; return db.Settle(ctx, failed(8)) })
		}()
		if err := someoneWaits(ctx, admin); err != nil {
			return err
		}
		return db.Settle(held, failed(9))
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-waiting; fault.CodeOf(err) != fault.Conflict || other != 1 {
		t.Errorf("the one that waited ended with %v after %d runs", err, other)
	}
}

// Who gives a token another one, to be replaced by or to last as long as, locks the two as whoever changes many tokens does.
func TestPostgresLocksTheOtherTokenInOrder(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	serials := fill(t, db, 1)
	low, high := serials[len(serials)-2], serials[len(serials)-1]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := token.Registry{Store: db, Now: func() time.Time { return benchTime }}
	for name, give := range map[string]func() error{
		"replacement": func() error { _, err := r.Replace(ctx, high, 0, low, false); return err },
		"donor": func() error {
			done, _, err := r.Extend(ctx, []string{high}, token.Extension{Donor: low})
			if err == nil {
				err = done[0].Err
			}
			return err
		},
	} {
		runs := 0
		r.Store = runCounter{db, &runs}
		waiting := make(chan error, 1)
		err := db.Transact(ctx, func(held context.Context) error {
			if _, err := db.Token(held, low); err != nil {
				return err
			}
			go func() { waiting <- give() }()
			if err := someoneWaits(ctx, admin); err != nil {
				return err
			}
			_, err := db.Token(held, high)
			return err
		})
		// What is asked for is refused.
		if other := <-waiting; err != nil || fault.CodeOf(other) == "" || runs != 1 {
			t.Errorf("%s: %v, %v after %d runs", name, err, other, runs)
		}
	}
}

// A runCounter counts how often transactions are run.
type runCounter struct {
	*DB
	runs *int
}

func (c runCounter) Transact(ctx context.Context, do func(context.Context) error) error {
	return c.DB.Transact(ctx, func(ctx context.Context) error { *c.runs++; return do(ctx) })
}

// Whoever saves many users, who may have codes on demand, waits for the guard of one without holding those of later ones, which a group of sign-ins that has
// that one wants next.
func TestPostgresSavesManyUsers(t *testing.T) {
	url := storetest.Postgres(t)
	db, admin := opened(t, url), administrator(t, url)
	var all []user.User
	var codes authentication.Settlement
	for i := range 2 * chunk {
		all = append(all, user.User{ID: fmt.Sprintf("user%04d", 9999-i), Enabled: true, CreatedAt: benchTime, Version: 1}) // the last one first
		codes.Guards = append(codes.Guards, authentication.Guard{UserID: all[i].ID, OnDemand: &authentication.OnDemandPIN{Hash: []byte("a PIN")}})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := errors.Join(db.AddUsers(ctx, all), db.Settle(ctx, codes)); err != nil {
		t.Fatal(err)
	}
	var signIns, saves int // runs
	waiting := make(chan error, 1)
	err := db.Transact(ctx, func(held context.Context) error {
		if signIns++; signIns > 1 {
			return errors.New("it was undone")
		}
		if _, err := db.Gather(held, authentication.Wanted{Users: []string{all[len(all)-1].ID}}); err != nil {
			return err
		}
		go func() {
			waiting <- db.Transact(ctx, func(ctx context.Context) error { saves++; return db.SaveUsers(ctx, all) })
		}()
		if err := someoneWaits(ctx, admin); err != nil {
			return err
		}
		_, err := db.Gather(held, authentication.Wanted{Users: []string{all[0].ID}})
		return err
	})
	if err := errors.Join(err, <-waiting); err != nil || saves != 1 {
		t.Errorf("%v, and %d runs", err, saves)
	}
}

func TestPostgresOutages(t *testing.T) {
	url := storetest.Postgres(t)
	db := opened(t, url)
	admin := administrator(t, url)
	disconnect := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

	// Connections that broke while idle are replaced unseen.
	for range 3 {
		run(t, admin, disconnect)
		if err := db.Ping(t.Context()); err != nil && !errors.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	}
	// One that breaks in a transaction undoes it.
	err := db.Transact(t.Context(), func(ctx context.Context) error {
		if err := db.AddUser(ctx, user.User{ID: "a", CreatedAt: time.Now(), Version: 1}); err != nil {
			return err
		}
		run(t, admin, disconnect)
		_, err := db.User(ctx, "a")
		return err
	})
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := db.User(t.Context(), "a"); !errors.Is(err, fault.UserNotFound) {
		t.Errorf("got %v", err)
	}
	// A server that can be read only is not healthy.
	run(t, admin, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`, disconnect)
	for range 3 { // the connections that were there may be met first
		err = db.Ping(t.Context())
	}
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := db.Users(t.Context(), user.Filter{}); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{URL: url}); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "target_session_attrs=read-write") {
		t.Errorf("got %v", err)
	}
}

// A connection that is cut off in a transaction undoes it, and the transaction runs again.
func TestPostgresCutOff(t *testing.T) {
	url, cut := cuttable(t, storetest.Postgres(t))
	db := opened(t, url)
	for times, want := range map[int]fault.Code{1: "", attempts: fault.Unavailable} {
		id, runs := strconv.Itoa(times), 0
		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := db.AddUser(ctx, user.User{ID: id, CreatedAt: time.Now(), Version: 1}); err != nil {
				return err
			}
			if runs++; runs <= times {
				cut()
			}
			_, err := db.User(ctx, id)
			return err
		})
		if (err == nil) != (want == "") || fault.CodeOf(err) != want || err != nil && strings.Contains(err.Error(), "too many changes") {
			t.Errorf("cut off %d times: %v", times, err)
		}
		if _, err := db.User(t.Context(), id); (err == nil) != (want == "") {
			t.Errorf("cut off %d times, and then %v", times, err)
		}
	}
	cut() // and outside a transaction it is no defect
	for range connections {
		if _, err := db.Users(t.Context(), user.Filter{}); err != nil && !errors.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	}
}

// cuttable leads to a database by connections that cut ends.
func cuttable(t *testing.T, database string) (url string, cut func()) {
	t.Helper()
	var mu sync.Mutex
	var open []net.Conn
	url = storetest.Through(t, database, func(from, to net.Conn) {
		mu.Lock()
		open = append(open, from, to)
		mu.Unlock()
		go func() { io.Copy(to, from); to.Close() }()
		go func() { io.Copy(from, to); from.Close() }()
	})
	return url, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
		open = nil
	}
}

// stoppable leads to a database by connections on which nothing that is sent after stop arrives, which closes waits, and that end closes.
func stoppable(t *testing.T, database string) (url string, stop func(), waits <-chan struct{}, end func()) {
	t.Helper()
	stopped, sent, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(sent) })
	url = storetest.Through(t, database, func(from, to net.Conn) {
		go func() { <-ended; from.Close(); to.Close() }()
		go func() {
			for part := make([]byte, 64<<10); ; {
				n, err := from.Read(part)
				select {
				case <-stopped:
					first()
					return
				default:
				}
				if _, broken := to.Write(part[:n]); err != nil || broken != nil {
					to.Close()
					return
				}
			}
		}()
		go func() { io.Copy(from, to); from.Close() }()
	})
	return url, func() { close(stopped) }, sent, func() { close(ended) }
}

func TestPostgresDurability(t *testing.T) {
	url := storetest.Postgres(t)
	for given, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "remote_apply": "remote_apply"} {
		got, err := one(t.Context(), opened(t, url+"&synchronous_commit="+given), nil, text, "SHOW synchronous_commit")
		if err != nil || got != want {
			t.Errorf("asked for %s: got %q, %v", given, got, err)
		}
	}
}

// What a database does not keep is told of: the one that tests make for themselves keeps nothing.
func TestRisks(t *testing.T) {
	url := storetest.Postgres(t)
	want := ""
	for _, name := range []string{"fsync", "full_page_writes"} {
		is, err := one(t.Context(), opened(t, url), nil, text, "SHOW "+name)
		if err != nil {
			t.Fatal(err)
		}
		if is == "off" {
			want += name + " "
		}
	}
	if os.Getenv("TALLYSTICK_TEST_POSTGRES") == "" && want != "fsync full_page_writes " {
		t.Errorf("off is %q", want)
	}
	for url, want := range map[string]string{url: want, file(t): ""} {
		if risks, err := opened(t, url).Risks(t.Context()); err != nil || strings.Join(risks, " ") != strings.TrimSpace(want) {
			t.Errorf("%s: %v, %v", url, risks, err)
		}
	}
}

// Through PgBouncer a server has what it asked of its sessions, or is told that it cannot.
func TestPostgresThroughPgBouncer(t *testing.T) {
	url := storetest.Postgres(t)
	_, err := Open(t.Context(), Options{URL: pgBouncer(t, url, "transaction")})
	if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "pool_mode = session") {
		t.Errorf("pooled by transactions: %v", err)
	}
	if _, err := OpenUnchanged(t.Context(), Options{URL: url}); !errors.Is(err, fault.NotFound) {
		t.Errorf("it was not left alone: %v", err)
	}
	_, err = Open(t.Context(), Options{URL: pgBouncer(t, url, "session\ndefault_pool_size = 1")})
	if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "one connection and no second") || !strings.Contains(err.Error(), "default_pool_size") {
		t.Errorf("lent one connection: %v", err)
	}
	db := opened(t, pgBouncer(t, url, "session"))
	for _, settings := range []map[string]string{demanded, abandoned} {
		for name, want := range settings {
			if strings.HasPrefix(name, "tcp_") {
				continue // PostgreSQL is at a socket of this machine
			}
			if got, err := one(t.Context(), db, nil, text, "SHOW "+name); err != nil || got != want {
				t.Errorf("%s is %q, %v", name, got, err)
			}
		}
	}
}

// Where PostgreSQL has one connection left, a server that makes do with one starts.
func TestPostgresHasOneConnection(t *testing.T) {
	opened(t, asRoleOf(t, 1)+"&pool_max_conns=1")
}

// asRoleOf is the URL of a new database for a role that may have so many connections.
func asRoleOf(t *testing.T, connections int) string {
	t.Helper()
	url := storetest.Postgres(t)
	admin := administrator(t, url)
	role := admin.Config().Database + "_limited"
	run(t, admin, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'limited' CONNECTION LIMIT %d", role, connections), "GRANT ALL ON SCHEMA public TO "+role)
	t.Cleanup(func() { run(t, admin, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	as, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	values := as.Query()
	values.Set("user", role)
	values.Set("password", "limited")
	as.User, as.RawQuery = nil, values.Encode()
	return as.String()
}

// Where PostgreSQL has fewer connections left than a server may take, those who ask at the same time share them.
func TestPostgresHasFewConnections(t *testing.T) {
	db := opened(t, asRoleOf(t, 2))
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if err := db.AddUser(t.Context(), user.User{ID: strconv.Itoa(i), CreatedAt: time.Now(), Version: 1}); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := db.Snapshot(t.Context(), func(context.Context, backup.Snapshot) error { return nil }); err != nil {
				t.Errorf("a backup: %v", err)
			}
		})
	}
	all.Wait()
}

// Of a cluster a server starts at the host that is left, also where another one says nothing.
func TestPostgresBesideAHostThatHangs(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	url, err := neturl.Parse(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(url.String())
	if err != nil {
		t.Fatal(err)
	}
	of := url.Query()
	of.Set("host", "127.0.0.1,"+config.Host)
	of.Set("port", fmt.Sprintf("%d,%d", hangs.Addr().(*net.TCPAddr).Port, config.Port))
	of.Set("connect_timeout", "3") // two are more than one host that answers may take
	url.Host, url.RawQuery = "", of.Encode()
	made, err := postgresConfig(url.String())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := ownSession(t.Context(), pool); err != nil {
		t.Error(err)
	}
}

// pgBouncer runs a PgBouncer before a database and gives the URL through it.
func pgBouncer(t *testing.T, database, mode string) string {
	t.Helper()
	peertest.Need(t, "pgbouncer")
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pgbouncer-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, content := range map[string]string{
		"users": fmt.Sprintf("%q %q\n", config.User, config.Password),
		"ini": fmt.Sprintf("[databases]\n* = host=%s port=%d\n[pgbouncer]\npool_mode = %s\nunix_socket_dir = %s\nlisten_port = 6432\nauth_type = trust\nauth_file = %s/users\n",
			config.Host, config.Port, mode, dir, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	command := []string{peertest.Path("pgbouncer"), filepath.Join(dir, "ini")}
	if os.Getuid() == 0 { // as whom it does not run
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		command = append([]string{"setpriv", "--reuid=postgres", "--clear-groups"}, command...)
	}
	bouncer := exec.Command(command[0], command[1:]...)
	said, err := bouncer.StderrPipe()
	if err == nil {
		err = bouncer.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bouncer.Process.Kill(); bouncer.Wait() })
	lines, all := bufio.NewScanner(said), ""
	for !strings.Contains(all, "process up") {
		if !lines.Scan() {
			t.Fatalf("PgBouncer does not start: %s", all)
		}
		all += lines.Text() + "\n"
	}
	go io.Copy(io.Discard, said)
	query := neturl.Values{"host": {dir}, "port": {"6432"}, "user": {config.User}, "sslmode": {"disable"}}
	return "postgres:///" + config.Database + "?" + query.Encode()
}

// A statement that failed inside a transaction, and whose error was dropped, does not let it commit half.
func TestDroppedError(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			db := opened(t, url)
			err := db.Transact(t.Context(), func(ctx context.Context) error {
				if err := db.AddUser(ctx, user.User{ID: "a", CreatedAt: time.Now(), Version: 1}); err != nil {
					return err
				}
				_ = db.AddSecret(ctx, "x", seed.Sealed{KeyID: 9, Blob: []byte{1}}) // there is no such key
				return nil
			})
			if err == nil {
				t.Error("committed")
			}
			if _, err := db.User(t.Context(), "a"); !errors.Is(err, fault.UserNotFound) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A server that stops between two messages of a transaction, and does not come back, keeps nobody else waiting for good.
func TestPostgresTransactionThatIsAbandoned(t *testing.T) {
	url := storetest.Postgres(t)
	other := opened(t, url)
	if err := other.AddUser(t.Context(), user.User{ID: "alice", Enabled: true, CreatedAt: time.Now(), Version: 1}); err != nil {
		t.Fatal(err)
	}
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	stopping := opened(t, url+separator+"idle_in_transaction_session_timeout=200ms")
	look := func(db *DB, ctx context.Context) error {
		_, err := db.Gather(ctx, authentication.Wanted{Users: []string{"alice"}})
		return err
	}
	locked, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	runs := 0
	go func() {
		done <- stopping.Transact(t.Context(), func(ctx context.Context) error {
			if err := look(stopping, ctx); err != nil {
				return err
			}
			if runs++; runs == 1 {
				close(locked)
				<-goOn
			}
			_, err := stopping.exec(ctx, "UPDATE user_account SET name = name || 'x' WHERE id = 'alice'")
			return err
		})
	}()
	<-locked
	if err := other.Transact(t.Context(), func(ctx context.Context) error { return look(other, ctx) }); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatalf("the one that came back: %v", err)
	}
	if u, err := other.User(t.Context(), "alice"); err != nil || u.Name != "x" || runs != 2 {
		t.Errorf("%q after %d runs, %v", u.Name, runs, err)
	}
}
