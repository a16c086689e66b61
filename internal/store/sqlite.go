package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tallystick/tallystick/internal/fault"
)

// sqliteEngine is SQLite in one file. All writes go through one connection, so a transaction has the database for
// itself and needs no locks; reads go beside it (write-ahead log).
type sqliteEngine struct{ stop func() }

const (
	// A commit is on the disk when it is answered (FULL): with less, a power cut could bring an accepted code back.
	// What is deleted is overwritten: destroyed seeds must go.
	pragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_pragma=secure_delete(ON)"
	// Checkpoints run beside the work, so that no commit waits for one; this many pages (40 MB) of log make one run all the same.
	forWriting = "&_txlock=immediate&_pragma=wal_autocheckpoint(10000)"
	forReading = "&_pragma=query_only(ON)"

	readers         = 8
	checkpointEvery = time.Second
)

func openSQLite(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// SQLite would make it readable by all; its companions (-wal, -shm) get the same mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the database file cannot be opened: %v", err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String() + "?" + pragmas
	write, err := sql.Open("sqlite", name+forWriting)
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", name+forReading)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	beside.Go(func() { keepLogShort(ctx, read) })
	return &DB{read: read, write: write, engine: sqliteEngine{func() { cancel(); beside.Wait() }}}, nil
}

// keepLogShort moves the write-ahead log into the database file from time to time.
func keepLogShort(ctx context.Context, db *sql.DB) {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// One that fails is made up for by the next, or by wal_autocheckpoint.
			_, _ = db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		}
	}
}

func (e sqliteEngine) release() { e.stop() }

// A write transaction is alone from its beginning (_txlock=immediate).
func (sqliteEngine) locks() string                          { return "" }
func (sqliteEngine) locksOf(string) string                  { return "" }
func (sqliteEngine) locksFree() string                      { return "" }
func (sqliteEngine) lockLog(context.Context, querier) error { return nil }
func (sqliteEngine) watch(*sql.Conn) (func() bool, error)   { return func() bool { return false }, nil }

func (sqliteEngine) clock() string { return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)" }

// batch prepares each text once: that is most of the work.
func (sqliteEngine) batch(ctx context.Context, tx *transaction, statements []statement) ([]int64, error) {
	prepared := map[string]*sql.Stmt{}
	defer func() {
		for _, p := range prepared {
			_ = p.Close()
		}
	}()
	touched := make([]int64, len(statements))
	for i, s := range statements {
		p := prepared[s.query]
		if p == nil {
			var err error
			if p, err = tx.PrepareContext(ctx, s.query); err != nil {
				return nil, err
			}
			prepared[s.query] = p
		}
		result, err := p.ExecContext(ctx, s.args...)
		if err != nil {
			return nil, err
		}
		if touched[i], err = result.RowsAffected(); err != nil {
			return nil, err
		}
	}
	return touched, nil
}

func (sqliteEngine) migrations() (goose.Dialect, string, []goose.ProviderOption, error) {
	return goose.DialectSQLite3, "migrations/sqlite", nil, nil
}

func (sqliteEngine) sort(err error) failure {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return defect
	}
	if e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY {
		return reference
	}
	switch e.Code() & 0xff { // the primary code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return passing
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return outage
	}
	return defect
}
