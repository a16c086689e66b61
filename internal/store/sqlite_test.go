package store

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
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
