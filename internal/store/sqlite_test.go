package store

import (
	"crypto/rand"
	"os"
	"sync"
	"testing"
)

// Checkpoints beside writes that do not stop leave a log that is never moved to its end, and so never begins again.
func TestLogStaysShortWhileItIsWritten(t *testing.T) {
	at := file(t)
	db := opened(t, at)
	e := db.engine.(*sqliteEngine)
	if _, err := db.exec(t.Context(), "CREATE TABLE filler (id INTEGER PRIMARY KEY, content BLOB)"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := e.shortenLog(t.Context()); err != nil {
					t.Error(err)
					return
				}
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
	}
	close(done)
	beside.Wait()
	t.Logf("the log was %d MB at most", longest>>20)
	if longest > size*times/2 {
		t.Errorf("of %d MB written, the log held %d MB at once", size*times>>20, longest>>20)
	}
}
