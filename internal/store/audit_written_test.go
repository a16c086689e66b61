package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// What a server remembers of the batches that it committed is what another one reads of them, in their places and in the index.
func TestWrittenIsWhatIsStored(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"SQLite": file, "PostgreSQL": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			db := opened(t, url(t))
			other := &DB{engine: db.engine}
			log := storetest.NewLog(t, db, "")
			events := func(n int) (all []audit.Event) {
				for i := range n {
					all = append(all, audit.New(t.Context(), benchTime.Add(time.Duration(i)*time.Millisecond), "authn.fail", fmt.Sprintf("user:%d", i%999), nil))
				}
				return all
			}
			record := func(all []audit.Event, end error) {
				t.Helper()
				if err := db.Transact(t.Context(), func(ctx context.Context) error { return errors.Join(db.RecordAll(ctx, all), end) }); !errors.Is(err, end) {
					t.Fatal(err)
				}
			}
			// The same transaction run again may record less than before it was undone.
			again := events(3)
			record(again, errors.New("undone"))
			record(again[:1], nil)
			for n := 0; n < objectRun; n += 700 {
				record(events(700), nil)
			}
			if db.written.events < objectRun || other.written.events != 0 {
				t.Errorf("one remembers %d events, the other %d", db.written.events, other.written.events)
			}
			for n := 0; ; {
				want, err := other.Waiting(t.Context(), 2000)
				if err != nil {
					t.Fatal(err)
				}
				got, err := db.Waiting(t.Context(), 2000)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%d batches are remembered in another way than they are stored: %v", len(want), err)
				}
				if n == 0 && (len(got) == 0 || len(got[0].Leaves) != 1) {
					t.Fatalf("%d batches", len(got))
				}
				placed, err := log.Sequence(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if n += placed; placed == 0 {
					break
				}
			}
			index := func(by *DB) (rows []string) {
				t.Helper()
				if indexed, err := by.IndexObjects(t.Context()); err != nil || !indexed {
					t.Fatal(indexed, err)
				}
				scan := func(r row) (s string, err error) {
					var position int64
					var entries []byte
					err = r.Scan(&position, &entries)
					return fmt.Sprintf("%d %x", position, entries), err
				}
				rows, err := list(t.Context(), db, scan, "SELECT position, entries FROM audit_object ORDER BY position")
				if err != nil {
					t.Fatal(err)
				}
				return rows
			}
			remembered := index(db)
			if _, err := db.exec(t.Context(), "DELETE FROM audit_object"); err != nil {
				t.Fatal(err)
			}
			if read := index(other); len(read) != objectBuckets || !reflect.DeepEqual(read, remembered) {
				t.Errorf("the index of what is remembered differs from that of what is stored")
			}
		})
	}
}

// Whoever alters an event before it gets its place is found out if the server that recorded it places it.
func TestAlteredWhileWaiting(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"SQLite": file, "PostgreSQL": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			db := opened(t, url(t))
			log := storetest.NewLog(t, db, "")
			if err := db.Record(t.Context(), audit.New(t.Context(), benchTime, "authn.fail", "user:alice", nil)); err != nil {
				t.Fatal(err)
			}
			lines, err := one(t.Context(), db, nil, blob, "SELECT records FROM audit_batch")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := db.exec(t.Context(), "UPDATE audit_batch SET records = $1", bytes.Replace(lines, []byte("alice"), []byte("carol"), 1)); err != nil || n != 1 {
				t.Fatal(n, err)
			}
			if placed, err := log.Sequence(t.Context()); err != nil || placed != 1 {
				t.Fatal(placed, err)
			}
			report, err := audit.Verify(t.Context(), db, log.Verifier, nil)
			if err != nil {
				t.Fatal(err)
			}
			if report.Err() == nil {
				t.Error("the log is whole, and says carol")
			}
		})
	}
}

// What is remembered is bounded, and it is the last.
func TestWrittenIsBounded(t *testing.T) {
	for name, size := range map[string]int{"small": 1, "large": audit.MaxBatch} {
		t.Run(name, func(t *testing.T) {
			var w written
			var last []uuid.UUID
			for range eventsKept {
				last = append(last, uuid.New())
				w.keep([]writtenBatch{{last[len(last)-1], make([]writtenEvent, size)}})
			}
			if kept := min(batchesKept, eventsKept/size); len(w.byID) != kept || len(w.ids) != kept || w.events != kept*size {
				t.Errorf("%d batches of %d events, in order %d", len(w.byID), w.events, len(w.ids))
			}
			known, others := w.of(last[len(last)-len(w.ids):])
			if len(known) != len(w.ids) || len(others) != 0 {
				t.Errorf("of the last %d, %d are known", len(w.ids), len(known))
			}
			if _, others := w.of(last[:9]); len(others) != 9 {
				t.Errorf("of the first 9, %d are not known", len(others))
			}
		})
	}
}
