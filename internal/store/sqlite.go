package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
)

// sqliteEngine is SQLite in one file. All writes go through one connection, so a transaction has the database for
// itself and needs no locks; reads go beside it (write-ahead log).
type sqliteEngine struct {
	name   string
	read   *sql.DB
	write  *sql.DB
	writer chan *sqliteWriter // holds it while no transaction runs
	stop   func()

	folder    *os.Root    // of the database, wherever it is moved
	base      string      // the name of the database in it
	file, log fs.FileInfo // of the database and its write-ahead log, as the writer opened them; nil before its first transaction

	beginning atomic.Bool // the writer waits for the file
	failed    atomic.Pointer[failedWrite]
}

// A failedWrite is one that the disk did not take. On a full one there may be room for a ping all the same, in what others left of the write-ahead log.
type failedWrite struct {
	err error
	at  time.Time
}

// failedFor is how long it counts.
const failedFor = 10 * time.Second

func (e *sqliteEngine) lately() error {
	if f := e.failed.Load(); f != nil && time.Since(f.at) < failedFor {
		return f.err
	}
	return nil
}

// errLogRemoved: what is written goes into a file that nobody finds again. Checkpoints move it into the database still.
var errLogRemoved = fault.New(fault.Unavailable, "somebody removed or exchanged tallystick.db-wal, in the data folder, while the server runs: "+
	"end the server and start it again, which loses nothing")

// errFileRemoved: so does this, and codes would be accepted that the file which is found at the next start knows nothing of.
var errFileRemoved = fault.New(fault.Unavailable, "somebody removed, exchanged or cut off tallystick.db, in the data folder, while the server runs: "+
	"end the server, move away what is left of it, with its -wal and -shm, and 'tallystick restore' the last backup")

// errFileMoved: another file may be there by now, and some would be answered from that.
var errFileMoved = fault.New(fault.Unavailable, "tallystick.db, in the data folder, is not where it was when the server started: "+
	"move it back, or end the server and start it again where the file is")

// A sqliteWriter is the connection that writes, with the statements that were prepared on it: preparing is most of the work.
type sqliteWriter struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

// preparedKept is how many statements stay prepared.
const preparedKept = 300

const (
	// A commit is on the disk when it is answered (FULL): with less, a power cut could bring an accepted code back.
	// What is deleted is overwritten: destroyed seeds must go.
	pragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_pragma=secure_delete(ON)"
	// Checkpoints run beside the work; should they fail, this many pages (160 MB) of log make a commit run one. The cache (8 MiB) holds the upper
	// pages of the indexes of a million tokens.
	forWriting = "&_pragma=wal_autocheckpoint(40000)&_pragma=cache_size(-8192)"
	forReading = "&_pragma=query_only(ON)"

	busyTimeout     = 5 * time.Second // as in pragmas
	readers         = 8
	checkpointEvery = 250 * time.Millisecond
)

// A write-ahead log that is long is begun again, which takes a moment without writing, when little of it remains to be moved.
const (
	longLog     = 4000 // pages
	littleOfLog = 300
	catchUps    = 6 // checkpoints beside the work, at most, until little remains
)

func openSQLite(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// SQLite would make it readable by all; its companions (-wal, -shm) get the same mode when they are made. One that was copied here
	// may have any mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the database file cannot be opened: %v", err)
	}
	file, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	place, err := filepath.EvalSymlinks(path) // the companions are where a link leads
	if err != nil {
		return nil, err
	}
	for _, companion := range []string{"", "-wal", "-shm"} {
		if err := ownersOnly(place + companion); err != nil {
			return nil, err
		}
	}
	folder, err := os.OpenRoot(filepath.Dir(place))
	if err != nil {
		return nil, err
	}
	// A connection that is opened later makes no new file (mode=rw) where somebody has moved it away, nor takes its log for a leftover of that.
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String() + "?mode=rw&" + pragmas
	e, err := newSQLite(ctx, name, func() bool {
		found, err := os.Stat(path)
		return err == nil && os.SameFile(found, file)
	})
	if err != nil {
		return nil, errors.Join((&DB{engine: e}).explain(err), folder.Close())
	}
	e.folder, e.base = folder, filepath.Base(place)
	return &DB{engine: e}, nil
}

// keepsFiles refuses to go on without the files of the database. A folder that was moved has them still.
func (e *sqliteEngine) keepsFiles(ctx context.Context) error {
	if e.log == nil {
		return nil
	}
	file, err := e.folder.Stat(e.base)
	if err != nil || !os.SameFile(file, e.file) {
		return errFileRemoved
	}
	if file.Size() < e.file.Size() { // also after VACUUM, of which SQLite knows
		if err := e.hasPages(ctx); err != nil {
			return err
		}
	}
	if log, err := e.folder.Stat(e.base + "-wal"); err != nil || !os.SameFile(log, e.log) {
		return errLogRemoved
	}
	e.file = file
	return nil
}

// hasPages refuses where pages are neither in the file nor in its log. After VACUUM the file is made shorter beside a transaction, and those that
// this one adds come into it later.
func (e *sqliteEngine) hasPages(ctx context.Context) error {
	var size, pages int64
	err := e.read.QueryRowContext(context.WithoutCancel(ctx), "SELECT page_size, page_count FROM pragma_page_size, pragma_page_count").Scan(&size, &pages)
	if err != nil {
		return err
	}
	logged, err := e.logged()
	if err != nil {
		return err
	}
	file, err := e.folder.Stat(e.base) // last, since what leaves the log is there
	if err != nil {
		return errFileRemoved
	}
	for page := file.Size()/size + 1; page <= pages; page++ {
		if !logged[uint32(page)] {
			return errFileRemoved
		}
	}
	return nil
}

// logged are the numbers of the pages that the write-ahead log has (https://www.sqlite.org/fileformat2.html#walformat).
func (e *sqliteEngine) logged() (map[uint32]bool, error) {
	f, err := e.folder.Open(e.base + "-wal")
	if err != nil {
		return nil, errLogRemoved
	}
	defer f.Close()
	var head, frame [24]byte
	_, err = f.ReadAt(head[:], 0)
	size := int64(binary.BigEndian.Uint32(head[8:]))
	all := map[uint32]bool{}
	for at := int64(32); err == nil; at += int64(len(frame)) + size {
		if _, err = f.ReadAt(frame[:], at); err != nil || [8]byte(frame[8:16]) != [8]byte(head[16:24]) { // left by an earlier log
			break
		}
		all[binary.BigEndian.Uint32(frame[:])] = true
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return all, nil
}

// noteFiles notes which files the first transaction has opened.
func (e *sqliteEngine) noteFiles() {
	file, err := e.folder.Stat(e.base)
	log, missing := e.folder.Stat(e.base + "-wal")
	if err == nil && missing == nil {
		e.file, e.log = file, log
	}
}

// ownersOnly keeps a file from everybody but its owner, if it is there. It does not open it: closing it would end the locks that SQLite may have on it.
func ownersOnly(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fault.New(fault.Unavailable, "the database file can be read by others, and that cannot be changed: %v", err)
	}
	return nil
}

// A readConnector opens connections that read, while the file is there that the writer has.
type readConnector struct {
	driver driver.Driver
	name   string
	there  func() bool
}

func (c readConnector) Driver() driver.Driver { return c.driver }

func (c readConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.name)
	if c.there() {
		return conn, err
	}
	if err == nil {
		_ = conn.Close() // it read nothing
	}
	return nil, errFileMoved
}

func newSQLite(ctx context.Context, name string, there func() bool) (*sqliteEngine, error) {
	write, err := sql.Open("sqlite", name+forWriting)
	if err != nil {
		return nil, err
	}
	conn, err := write.Conn(ctx)
	// Whoever closes the file last has it for himself meanwhile, and busy_timeout does not wait for that.
	begun := time.Now()
	for n := 1; (*sqliteEngine)(nil).sort(err) == passing && n < attempts && time.Since(begun) < busyTimeout; n++ {
		if err := pause(ctx, backoff<<(n-1)); err != nil {
			return nil, errors.Join(err, write.Close())
		}
		conn, err = write.Conn(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read := sql.OpenDB(readConnector{write.Driver(), name + forReading, there})
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	e := &sqliteEngine{name: name, read: read, write: write, writer: make(chan *sqliteWriter, 1), stop: func() { cancel(); beside.Wait() }}
	e.writer <- &sqliteWriter{conn, map[string]*sql.Stmt{}}
	beside.Go(func() { e.keepLogShort(ctx) })
	return e, nil
}

func (e *sqliteEngine) close(context.Context) error {
	w, open := <-e.writer
	if !open {
		return nil
	}
	close(e.writer)
	e.stop()
	w.forget()
	return errors.Join(e.read.Close(), w.conn.Close(), e.write.Close(), e.folder.Close())
}

// keepLogShort moves the write-ahead log into the database file from time to time.
func (e *sqliteEngine) keepLogShort(ctx context.Context) {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = e.shortenLog(ctx) // one that fails is made up for by the next, or by wal_autocheckpoint
		}
	}
}

// shortenLog runs checkpoints beside the work. A log that is written to all the time is never moved to its end in this way, and grows: of a long one
// the last pages are moved while nobody writes, and the next write begins it again.
func (e *sqliteEngine) shortenLog(ctx context.Context) error {
	const checkpoint = "PRAGMA wal_checkpoint(PASSIVE)"
	left := littleOfLog
	for n := 0; n < catchUps && left >= littleOfLog; n++ {
		var busy, pages, moved int
		if err := e.read.QueryRowContext(ctx, checkpoint).Scan(&busy, &pages, &moved); err != nil || pages < longLog {
			return err
		}
		left = pages - moved
	}
	if left == 0 {
		return nil
	}
	w, open := <-e.writer
	if !open {
		return nil
	}
	_, err := w.do(ctx, checkpoint)
	e.writer <- w
	return err
}

// Writers is one: a transaction has the file for itself.
func (*sqliteEngine) Writers() int { return 1 }

// A write transaction is alone from its beginning.
func (*sqliteEngine) locks() string                                      { return "" }
func (*sqliteEngine) locksShared() string                                { return "" }
func (*sqliteEngine) locksAll() string                                   { return "" }
func (*sqliteEngine) locksFree() string                                  { return "" }
func (*sqliteEngine) lockLog(context.Context, *transaction) error        { return nil }
func (*sqliteEngine) takeTurn(context.Context, *transaction, turn) error { return nil }

// among has one of few numbers of placeholders, so that there are few texts to prepare.
func (*sqliteEngine) among(first int, values []any) (string, []any) {
	n := 1
	for n < len(values) {
		n *= 2
	}
	for len(values) < n {
		values = append(values, values[len(values)-1])
	}
	return "IN (" + placesFrom(first, n) + ")", values
}

func (*sqliteEngine) clock() string { return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)" }

func (e *sqliteEngine) look(ctx context.Context, looks []look) error {
	for _, l := range looks {
		rows, err := e.read.QueryContext(ctx, l.query, l.args...)
		if err := eachRow(rows, err, l.each); err != nil {
			return err
		}
	}
	return nil
}

// eachRow reads an answer to its end.
func eachRow(rows *sql.Rows, err error, do func(row) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (e *sqliteEngine) freeze(ctx context.Context, do func(read func(context.Context, look) error) error) error {
	tx, err := e.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // it only read
	return do(func(ctx context.Context, l look) error {
		rows, err := tx.QueryContext(ctx, l.query, l.args...)
		return eachRow(rows, err, l.each)
	})
}

// Its settings are ours.
func (*sqliteEngine) risks() string { return "SELECT '' WHERE FALSE" }

func (*sqliteEngine) catalogue() (string, string) {
	const tables = " FROM sqlite_schema AS t JOIN "
	const ours = " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite@_%' ESCAPE '@'"
	return "SELECT t.name, c.name, c.type" + tables + "pragma_table_info(t.name) AS c" + ours + " ORDER BY t.name, c.cid",
		"SELECT t.name, r.\"table\"" + tables + "pragma_foreign_key_list(t.name) AS r" + ours
}

// A sqliteTransaction has the writer for itself.
type sqliteTransaction struct {
	*sqliteEngine
	*sqliteWriter
	open bool
}

func (t *sqliteTransaction) do(ctx context.Context, query string, args ...any) (int64, error) {
	n, err := t.sqliteWriter.do(ctx, query, args...)
	if t.sort(err) == outage {
		t.failed.Store(&failedWrite{err, time.Now()})
	}
	return n, err
}

func (e *sqliteEngine) begin(ctx context.Context) (connection, error) {
	select {
	case w, open := <-e.writer:
		if !open {
			return nil, sql.ErrConnDone
		}
		if err := e.keepsFiles(ctx); err != nil {
			e.writer <- w
			return nil, err
		}
		t := &sqliteTransaction{e, w, true}
		// The transaction goes on when ctx ends; whoever runs it sees that.
		e.beginning.Store(true)
		_, err := t.do(context.WithoutCancel(ctx), "BEGIN IMMEDIATE")
		e.beginning.Store(false)
		if err != nil {
			t.open = false
			t.end()
			return nil, err
		}
		if e.log == nil {
			e.noteFiles()
		}
		return t, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prepare finds or makes a statement.
func (w *sqliteWriter) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if p := w.prepared[query]; p != nil {
		return p, nil
	}
	if len(w.prepared) >= preparedKept {
		w.forget()
	}
	p, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.prepared[query] = p
	}
	return p, err
}

func (w *sqliteWriter) forget() {
	for query, p := range w.prepared {
		_ = p.Close() // it held nothing
		delete(w.prepared, query)
	}
}

// do runs a statement and tells how many rows it touched.
func (w *sqliteWriter) do(ctx context.Context, query string, args ...any) (int64, error) {
	p, err := w.prepare(ctx, query) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return 0, err
	}
	result, err := p.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *sqliteTransaction) look(ctx context.Context, looks []look) error {
	for _, l := range looks {
		p, err := t.prepare(ctx, l.query) //nolint:sqlclosecheck // the writer keeps it
		if err != nil {
			return err
		}
		rows, err := p.QueryContext(ctx, l.args...)
		if err := eachRow(rows, err, l.each); err != nil {
			return err
		}
	}
	return nil
}

func (t *sqliteTransaction) batch(ctx context.Context, statements []statement) ([]int64, error) {
	touched := make([]int64, len(statements))
	for i, s := range statements {
		var err error
		if touched[i], err = t.do(ctx, s.query, s.args...); err != nil {
			return nil, err
		}
	}
	return touched, nil
}

func (t *sqliteTransaction) write(ctx context.Context, changes []bulk, commit bool) (sent bool, err error) {
	ctx = context.WithoutCancel(ctx) // the driver would start a goroutine for each row
	for _, c := range changes {
		for _, values := range c.rows {
			n, err := t.do(ctx, c.one, values...)
			if err == nil && n != 1 {
				err = c.other
			}
			if err != nil {
				return false, err
			}
		}
	}
	if !commit {
		return false, nil
	}
	_, err = t.do(ctx, "COMMIT")
	t.open = err != nil
	return true, err
}

func (t *sqliteTransaction) fill(ctx context.Context, table backup.Table, next func() ([]any, error)) error {
	if _, err := t.do(ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
		return err
	}
	insert := "INSERT INTO " + quote(table.Name) + " (" + quoted(table) + ") VALUES (" + places(len(table.Columns)) + ")"
	without := context.WithoutCancel(ctx) // the driver would start a goroutine for each row
	for ctx.Err() == nil {
		values, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = t.do(without, insert, values...)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (t *sqliteTransaction) end() {
	if t.open {
		_, _ = t.do(context.Background(), "ROLLBACK") // if it fails, the next BEGIN does too, and says so
	}
	t.writer <- t.sqliteWriter
}

func (e *sqliteEngine) migrations() (*sql.DB, goose.Dialect, string, []goose.ProviderOption, error) {
	handle, err := sql.Open("sqlite", e.name+forWriting+"&_txlock=immediate")
	if err == nil {
		handle.SetMaxOpenConns(1)
	}
	return handle, goose.DialectSQLite3, "migrations/sqlite", nil, err
}

// keptLocked: this server writes by one connection, so that it never waits for itself.
const keptLocked = "another program keeps the embedded database, tallystick.db in the data folder, locked: end it, or what it does there"

func (*sqliteEngine) why(err error) string {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return keptLocked
	case sqlite3.SQLITE_FULL:
		return "the disk that the data folder is on is full: make room there"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return "the embedded database, tallystick.db in the data folder, cannot be read or written: look whether the disk there is full or broken, its file system was made read-only, or a file belongs to somebody else"
	}
	return ""
}

func (e *sqliteEngine) hindrance(context.Context) string {
	if e.beginning.Load() {
		return keptLocked
	}
	return ""
}

func (*sqliteEngine) sort(err error) failure {
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
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return damaged
	}
	return defect
}
