package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// What is written into a log that somebody removed would be gone after a crash: nothing is, and nothing is lost. A folder may be moved.
func TestLogThatIsRemoved(t *testing.T) {
	for name, change := range map[string]func(at string) error{
		"removed":   func(at string) error { return errors.Join(os.Remove(at+"-wal"), os.Remove(at+"-shm")) },
		"exchanged": func(at string) error { return errors.Join(os.Remove(at+"-wal"), os.WriteFile(at+"-wal", nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "first")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			db := opened(t, filepath.Join(folder, "tallystick.db"))
			add := func(id string) error {
				return db.AddUser(t.Context(), user.User{ID: id, CreatedAt: time.Now(), Version: 1})
			}
			moved := folder + "-moved"
			if err := errors.Join(add("a"), os.Rename(folder, moved), add("b"), os.Rename(moved, folder), add("c")); err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(folder, "tallystick.db")
			if err := change(at); err != nil {
				t.Fatal(err)
			}
			if err := add("d"); !errors.Is(err, fault.Unavailable) || !errors.Is(db.Ping(t.Context()), fault.Unavailable) {
				t.Errorf("%v", err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = opened(t, at)
			for _, id := range []string{"a", "b", "c"} {
				if _, err := db.User(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
			if err := add("d"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Nor is anything written into a file that nobody finds again, or that was cut off: another one, in which less was accepted, would be there at the next start. SQLite makes
// a file shorter itself, for whoever runs VACUUM.
func TestFileThatIsRemoved(t *testing.T) {
	other := file(t)
	if err := opened(t, other).Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(at string) error{
		"removed":        os.Remove,
		"all removed":    func(at string) error { return errors.Join(os.Remove(at), os.Remove(at+"-wal"), os.Remove(at+"-shm")) },
		"folder removed": func(at string) error { return os.RemoveAll(filepath.Dir(at)) },
		"exchanged":      func(at string) error { return os.Rename(other, at) },
		"emptied":        func(at string) error { return os.Truncate(at, 0) },
		"cut off":        func(at string) error { return os.Truncate(at, 64<<10) },
		"cut off a page": func(at string) error {
			info, err := os.Stat(at)
			if err != nil {
				return err
			}
			return os.Truncate(at, info.Size()-4096)
		},
		"moved to a name": func(at string) error { return os.Rename(at, at+".old") },
		"made compact":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			at := file(t)
			db := opened(t, at)
			execute := func(statements ...string) {
				t.Helper()
				for _, s := range statements {
					if _, err := db.exec(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				}
			}
			execute("CREATE TABLE room AS SELECT randomblob(1000000) AS r", "DROP TABLE room")
			if err := db.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkpoint := func() {
				if _, err := db.engine.(*sqliteEngine).read.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
					t.Fatal(err)
				}
			}
			checkpoint()
			execute("UPDATE schema_release SET pinged_at = 0")
			if change == nil {
				w := <-db.engine.(*sqliteEngine).writer
				_, err := w.do(t.Context(), "VACUUM")
				db.engine.(*sqliteEngine).writer <- w
				if err != nil {
					t.Fatal(err)
				}
				checkpoint()
				before, err := db.engine.(*sqliteEngine).read.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true}) // what comes after it stays in the log
				if err != nil {
					t.Fatal(err)
				}
				defer before.Rollback()
				var n int
				if err := before.QueryRow("SELECT count(*) FROM schema_release").Scan(&n); err != nil {
					t.Fatal(err)
				}
				w = <-db.engine.(*sqliteEngine).writer // as a transaction does that began before
				_, err = w.do(t.Context(), "CREATE TABLE room AS SELECT randomblob(100000) AS r")
				db.engine.(*sqliteEngine).writer <- w
				if err := errors.Join(err, db.Ping(t.Context())); err != nil {
					t.Error(err)
				}
				return
			}
			db.engine.(*sqliteEngine).stop() // a checkpoint would make the file as long as it was
			if err := change(at); err != nil {
				t.Fatal(err)
			}
			err := db.AddUser(t.Context(), user.User{ID: "d", CreatedAt: time.Now(), Version: 1})
			if is := errors.Is(err, errFileRemoved) || errors.Is(err, errDamaged); !is || db.Ping(t.Context()) == nil {
				t.Errorf("a user was added: %v, and the ping says %v", err, db.Ping(t.Context()))
			}
		})
	}
}

// Who asks whether a database that another program keeps locked can be written to is told so, and so is who opens it.
func TestSQLiteThatIsLocked(t *testing.T) {
	at := file(t)
	db := opened(t, at)
	other, err := sql.Open("sqlite", at)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() { told <- db.Ping(ctx) }()
	for e := db.engine.(*sqliteEngine); !e.beginning.Load(); {
		runtime.Gosched()
	}
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) || !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("the ping says %v", err)
	}
	w := <-db.engine.(*sqliteEngine).writer
	_, err = w.do(t.Context(), "PRAGMA busy_timeout = 1") // each attempt of the change would wait for five seconds
	db.engine.(*sqliteEngine).writer <- w
	if err != nil {
		t.Fatal(err)
	}
	if err := db.AddUser(t.Context(), user.User{ID: "d", CreatedAt: time.Now(), Version: 1}); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a change says %v", err)
	}
}

// On a full disk there may be room for a ping and not for a decision.
func TestSQLiteOnAFullDisk(t *testing.T) {
	db := opened(t, file(t))
	w := <-db.engine.(*sqliteEngine).writer
	_, err := w.do(t.Context(), "PRAGMA max_page_count = 1") // that is, what it has
	db.engine.(*sqliteEngine).writer <- w
	if err != nil {
		t.Fatal(err)
	}
	large := user.User{ID: "d", Name: strings.Repeat("n", 1<<20), CreatedAt: time.Now(), Version: 1}
	for what, err := range map[string]error{"a change": db.AddUser(t.Context(), large), "the ping": db.Ping(t.Context())} {
		if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "is full: make room") {
			t.Errorf("%s says %v", what, err)
		}
	}
}

// What is moved away and back is there as it was: nobody makes another file meanwhile.
func TestFileThatIsAwayForAMoment(t *testing.T) {
	at := file(t)
	db := opened(t, at)
	add := func(id string) error {
		return db.AddUser(t.Context(), user.User{ID: id, CreatedAt: time.Now(), Version: 1})
	}
	away := at + ".away"
	if err := errors.Join(add("a"), os.Rename(at, away)); err != nil {
		t.Fatal(err)
	}
	e := db.engine.(*sqliteEngine)
	e.read.SetMaxIdleConns(0) // whoever reads opens the file anew
	if _, err := db.Users(t.Context(), user.Filter{}); err == nil {
		t.Error("users are read from a file that is not there")
	}
	if err := add("b"); !errors.Is(err, errFileRemoved) {
		t.Errorf("a user was added: %v", err)
	}
	if err := errors.Join(os.Rename(away, at), add("c"), db.Close()); err != nil {
		t.Fatal(err)
	}
	if all, err := opened(t, at).Users(t.Context(), user.Filter{}); err != nil || len(all) != 2 {
		t.Errorf("%d users of 2: %v", len(all), err)
	}
}

// Nobody is answered from a file that took the place of one that was moved away with its folder.
func TestFolderWhosePlaceIsTaken(t *testing.T) {
	at := file(t)
	db, folder := opened(t, at), filepath.Dir(at)
	if err := errors.Join(os.Rename(folder, folder+"-moved"), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, at).AddUser(t.Context(), user.User{ID: "d", CreatedAt: time.Now(), Version: 1}); err != nil {
		t.Fatal(err)
	}
	db.engine.(*sqliteEngine).read.SetMaxIdleConns(0) // whoever reads opens the file anew
	if all, err := db.Users(t.Context(), user.Filter{}); !errors.Is(err, errFileMoved) {
		t.Errorf("%d users are read: %v", len(all), err)
	}
	if err := errors.Join(os.RemoveAll(folder), os.Rename(folder+"-moved", folder)); err != nil {
		t.Fatal(err)
	}
	if all, err := db.Users(t.Context(), user.Filter{}); err != nil || len(all) != 0 {
		t.Errorf("%d users are read from the one that was moved back: %v", len(all), err)
	}
}

// So it is where the name of the database is a link: the log is where that leads.
func TestLogBehindALinkThatIsRemoved(t *testing.T) {
	at, link := file(t), file(t)
	if err := os.Symlink(at, link); err != nil {
		t.Fatal(err)
	}
	db := opened(t, link)
	add := func(id string) error {
		return db.AddUser(t.Context(), user.User{ID: id, CreatedAt: time.Now(), Version: 1})
	}
	if err := errors.Join(add("a"), os.Remove(at+"-wal")); err != nil {
		t.Fatal(err)
	}
	if err := add("b"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

// Checkpoints beside writes that do not stop leave a log that is never moved to its end, and so never begins again.
func TestLogStaysShortWhileItIsWritten(t *testing.T) {
	at := file(t)
	db := opened(t, at)
	e := db.engine.(*sqliteEngine)
	if _, err := db.exec(t.Context(), "CREATE TABLE filler (id INTEGER PRIMARY KEY, content BLOB)"); err != nil {
		t.Fatal(err)
	}
	done, turn := make(chan struct{}), make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			if err := e.shortenLog(t.Context()); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			case turn <- struct{}{}:
			default:
			}
		}
	})
	const size, times = 200 << 10, 400 // 80 MB
	content, longest := make([]byte, size), int64(0)
	for n := range times {
		rand.Read(content)
		if _, err := db.exec(t.Context(), "INSERT INTO filler (id, content) VALUES ($1, $2)", n, content); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(at + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, info.Size())
		if n%100 == 0 {
			<-turn // where others have the processors, it had none so far
		}
	}
	close(done)
	beside.Wait()
	t.Logf("the log was %d MB at most", longest>>20)
	if longest > size*times/2 {
		t.Errorf("of %d MB written, the log held %d MB at once", size*times>>20, longest>>20)
	}
}
