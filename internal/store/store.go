// Package store is everything the server keeps, in SQLite or PostgreSQL.
//
// [Open] opens a database by its URL and brings its tables up to date. The
// [DB] that it returns is the Store that user, profile, token, access, audit,
// seed, records, distribution and authentication each ask for a part of; what
// a method promises is written there, and package storetest holds both
// databases to it. The package sees secrets sealed only.
//
//	err := db.Transact(ctx, func(ctx context.Context) error {
//		t, err := db.Token(ctx, serial) // locked until the transaction ends
//		if err != nil {
//			return err
//		}
//		t.Enabled = false
//		return db.SaveToken(ctx, t)
//	})
//
// A transaction travels in the context. What is read in one is locked, so that
// a change rests on what is true when it commits; what is read outside is a
// consistent look at one moment.
//
// There is one SQL for both databases, in a file for each noun. How they lock,
// fail and connect differs, in sqlite.go and postgres.go.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
)

// Options say which database to open.
type Options struct {
	// URL is postgres://user@host/name for PostgreSQL, or the path of a file for
	// SQLite, which is made if it does not exist.
	URL string
	// Before, if it is given, looks at a database before [Open] changes the tables of an older release, or makes them in an empty one: an error
	// leaves it as it is.
	Before func(ctx context.Context, db *DB, empty bool) error
}

// A DB is an open database. It is safe for concurrent use, also by several
// servers on one PostgreSQL.
type DB struct {
	engine
	written written // of the audit log
	tables  int64   // the schema that this release has
}

// An engine is where the two databases differ.
type engine interface {
	// begin begins a transaction.
	begin(ctx context.Context) (connection, error)
	// look reads outside of a transaction.
	look(ctx context.Context, looks []look) error
	// Writers is how many transactions can write at the same time to some use.
	Writers() int
	// locks ends a SELECT that locks its rows until the end of the transaction.
	locks() string
	// locksShared ends one that keeps its rows from being deleted.
	locksShared() string
	// locksAll ends one that waits for those of locksShared.
	locksAll() string
	// locksFree ends one that passes over rows locked by others.
	locksFree() string
	// among ends a condition: one of the values, whose first placeholder is the one of that number.
	among(first int, values []any) (condition string, args []any)
	// lockLog makes a transaction the only one that appends to the audit log.
	lockLog(ctx context.Context, tx *transaction) error
	// takeTurn makes a transaction wait for others that have taken the same turn, and these for it.
	takeTurn(ctx context.Context, tx *transaction, t turn) error
	// clock is an expression for the time of the server that the database runs on, in microseconds since 1970.
	clock() string
	// sort tells what kind of failure an error of the driver is.
	sort(err error) failure
	// why says what a failure that may pass comes from, and what to do about it; "" where no more is known.
	why(err error) string
	// hindrance is why for a write that has not come to its end yet.
	hindrance(ctx context.Context) string
	// lately is why a write failed a moment ago, where one of less may succeed all the same.
	lately() error
	// folds are statements that keep the tallies of statistics short.
	folds() []string
	// freeze lets do read the database as it is at one moment.
	freeze(ctx context.Context, do func(read func(context.Context, look) error) error) error
	// risks is a SELECT of the names that Risks returns.
	risks() string
	// catalogue are SELECTs of all columns (table, column, type; in their order) and of all references (from table, to table).
	catalogue() (columns, references string)
	// sweep gives back the room that they left.
	sweep(ctx context.Context) error
	// migrations are the history of the tables, and a handle to run them by.
	migrations() (handle *sql.DB, dialect goose.Dialect, folder string, options []goose.ProviderOption, err error)
	// close ends all connections. PostgreSQL's that run are waited for as long as ctx lasts.
	close(ctx context.Context) error
}

// A connection is where one transaction runs.
type connection interface {
	// look reads, in one message if the database is elsewhere.
	look(ctx context.Context, looks []look) error
	// batch runs statements that write, in their order and in one message, and tells how many rows each one touched.
	batch(ctx context.Context, statements []statement) ([]int64, error)
	// write runs what changes many rows, and with commit ends the transaction in the same message; sent tells that COMMIT may
	// have been obeyed although there is an error.
	write(ctx context.Context, changes []bulk, commit bool) (sent bool, err error)
	// fill writes rows into a table until next says io.EOF. Rows of a table may refer to each other in any order.
	fill(ctx context.Context, t backup.Table, next func() ([]any, error)) error
	// end undoes what was not committed and gives the connection back.
	end()
}

// A failure says what to do about an error of a driver.
type failure int

const (
	defect    failure = iota // report it
	passing                  // others were at the same rows: run the transaction again
	broken                   // the connection broke, which undoes the transaction: run it again
	reference                // what a row refers to is gone, or something refers to the row
	outage                   // the database cannot do it now
	damaged                  // the file of the embedded database is not whole, or none
	forbidden                // the role at PostgreSQL may not do it
	held                     // a transaction that is wanted soon met a row that another one keeps
)

// Open opens a database and brings its tables up to date. A database that a
// newer release has changed is refused with [fault.SchemaNewer] and left as it is.
func Open(ctx context.Context, o Options) (*DB, error) {
	return openWith(ctx, o, func(db *DB, ctx context.Context) error { return db.migrate(ctx, o.Before) })
}

// Risks names the settings of the database by which a crash of its machine loses what was committed, or damages all.
func (db *DB) Risks(ctx context.Context) ([]string, error) { return list(ctx, db, text, db.risks()) }

// OpenUnchanged opens a database whose tables are up to date, and leaves any other as it is: servers of an older release may be using it. One of an
// older release is refused with [fault.Conflict], and one without tables with [fault.NotFound].
func OpenUnchanged(ctx context.Context, o Options) (*DB, error) {
	return openWith(ctx, o, (*DB).upToDate)
}

// openWith opens a database and has its tables looked at.
func openWith(ctx context.Context, o Options, look func(*DB, context.Context) error) (*DB, error) {
	db, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := look(db, ctx); err != nil {
		return nil, errors.Join(unreachable(err), db.Close())
	}
	return db, nil
}

// open opens a database as it is.
func open(ctx context.Context, o Options) (db *DB, err error) {
	switch scheme, _, isURL := strings.Cut(o.URL, "://"); {
	case scheme == "postgres", scheme == "postgresql":
		db, err = openPostgres(ctx, o.URL)
	case o.URL == "" || isURL:
		err = fault.New(fault.Invalid, "a database is named by a path, for SQLite, or by postgres://user@host/name")
	default:
		db, err = openSQLite(ctx, o.URL)
	}
	return db, err
}

// closing is how long the end of a server waits for the database: one that hangs may never answer a COMMIT.
const closing = 5 * time.Second

// Close ends all connections, once the transactions that run have come to their end. What a database does not answer in time is left: it is
// committed or not, as after a crash.
func (db *DB) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	return db.close(ctx)
}

// Ping tells whether the database can be written to now, with
// [fault.Unavailable] if not, or the error of ctx if that ends first. It writes and waits for its commit, as a decision does: a standby that
// can only be read from fails it, and so does a primary without the standby that its commits must reach.
//
// What is waited for when ctx ends is looked at before the write is taken back.
func (db *DB) Ping(ctx context.Context) error {
	writing, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	done := make(chan error, 1)
	go func() { done <- db.ping(writing) }()
	select {
	case err := <-done:
		if err == nil {
			err = db.explain(db.lately())
		}
		return err
	case <-ctx.Done():
	}
	looking, stop := context.WithTimeout(writing, lookAtWait)
	defer stop()
	if why := db.hindrance(looking); why != "" {
		return unavailable(ctx.Err(), why)
	}
	return ctx.Err()
}

// lookAtWait is how long it may take to find out what is waited for.
const lookAtWait = 2 * time.Second

func (db *DB) ping(ctx context.Context) error {
	// A value that changes: what is there already, SQLite would not write. It goes in one message with its COMMIT: all servers write to the
	// same row, and one that stops between two messages would keep it from the others. When ctx ends the message is taken back, so that
	// pings that a commit keeps waiting do not gather.
	gone := fault.New(fault.Unavailable, "the tables of this database were made anew: start the server again")
	mark := bulk{ping, [][]any{{time.Now().UnixMicro(), db.tables}}, gone}
	return db.again(ctx, func() (bool, error) {
		on, err := db.begin(ctx)
		if err != nil {
			return false, err
		}
		defer on.end()
		_, err = on.write(ctx, []bulk{mark}, true)
		return false, err // once more does no harm
	})
}

// ping is how Ping writes.
var ping = updating("schema_release", "pinged_at bigint", "schema_version bigint", "")

// unavailable is a refusal for the caller with its cause for the log.
func unavailable(cause error, message string) error {
	return fmt.Errorf("%w (%w)", fault.New(fault.Unavailable, "%s", message), cause)
}

// errDamaged has no code: whoever asks over the network cannot act on it, and waiting does not end it.
var errDamaged = errors.New("the embedded database, tallystick.db in the data folder, is damaged, or is no database: " +
	"move it away, with its -wal and -shm, and 'tallystick restore' the last backup")

// errForbidden has no code for the same reason.
var errForbidden = errors.New("PostgreSQL does not let the role of the database's URL do this: make it the owner of the database and its tables " +
	"(ALTER DATABASE name OWNER TO role), or of a schema in it (CREATE SCHEMA AUTHORIZATION role)")

// explain turns failures that the caller can act on into refusals. What it was is still in the chain.
func (db *DB) explain(err error) error {
	if err == nil || fault.CodeOf(err) != "" || errors.Is(err, errDamaged) || errors.Is(err, errForbidden) {
		return err
	}
	switch db.sort(err) {
	case passing:
		return unavailable(err, cmp.Or(db.why(err), "too many changes meet at the same place in the database: try again"))
	case reference:
		return fmt.Errorf("%w (%w)", fault.New(fault.Conflict, "this refers to something that is gone, or that is still needed: read it again"), err)
	case held:
		return fmt.Errorf("%w (%w)", fault.New(fault.ServiceBusy, "somebody else keeps what this needs: try again"), err)
	case broken, outage:
		return unavailable(err, cmp.Or(db.why(err), "the database cannot do this now: try again"))
	case damaged:
		return fmt.Errorf("%w: %w", errDamaged, err)
	case forbidden:
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	return err
}
