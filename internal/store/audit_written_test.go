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
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// What a server remembers of the batches that it committed is what another one reads of them, in their places and in the index.
func TestWrittenIsWhatIsStored(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			db := opened(t, url(t))
			other, elsewhere := &DB{engine: db.engine}, &DB{engine: db.engine}
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
			// A transaction that was undone may be run again elsewhere and record less, under the same ID; one may be refused at COMMIT.
			again := events(6)
			record(again[:3], errors.New("undone"))
			record(again[3:4], nil)
			for _, err := range []error{elsewhere.RecordAll(t.Context(), again[:1]), db.RecordAll(t.Context(), again[3:])} {
				if err != nil && fault.CodeOf(err) != fault.Conflict {
					t.Fatal(err)
				}
			}
			if batches, n := waiting(t, db, other, 2000); batches != 2 || n != 2 {
				t.Errorf("%d batches with %d events", batches, n)
			}
			for range mostBatches + 9 {
				record(events(1), nil)
			}
			for n := 0; n < objectRun; n += 700 {
				record(events(700), nil)
			}
			if db.written.events < objectRun || other.written.events != 0 {
				t.Errorf("one remembers %d events, the other %d", db.written.events, other.written.events)
			}
			for placed := 1; placed > 0; {
				var err error
				if _, n := waiting(t, db, other, 2000); n >= 2000+audit.MaxBatch {
					t.Errorf("%d events at once", n)
				}
				if placed, err = log.Sequence(t.Context()); err != nil {
					t.Fatal(err)
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
			if _, err := db.exec(t.Context(), "DELETE FROM audit_object WHERE position < 7"); err != nil {
				t.Fatal(err)
			}
			if mended := index(db); !reflect.DeepEqual(mended, remembered) {
				t.Error("an index of which rows were lost is not mended")
			}
			if _, err := db.exec(t.Context(), "DELETE FROM audit_object"); err != nil {
				t.Fatal(err)
			}
			if read := index(other); len(read) != objectBuckets || !reflect.DeepEqual(read, remembered) {
				t.Errorf("the index of what is remembered differs from that of what is stored")
			}
		})
	}
}

// waiting counts the batches that wait, and their events: as db remembers them, and as other reads them.
func waiting(t *testing.T, db, other *DB, events int) (batches, n int) {
	t.Helper()
	want, err := other.Waiting(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	got, err := db.Waiting(t.Context(), events)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d batches are remembered in another way than they are stored: %v", len(want), err)
	}
	for _, b := range got {
		n += len(b.Leaves)
	}
	return len(got), n
}

// What somebody made of the counts and rows of batches that wait keeps the others from nothing.
func TestWaitingIsAltered(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			db := opened(t, url(t))
			other := &DB{engine: db.engine}
			var ids []string
			for range 3 {
				e := audit.New(t.Context(), benchTime, "authn.fail", "user:alice", nil)
				if err := db.Record(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, e.ID)
			}
			first, err := uuid.Parse(ids[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, events := range []int64{-1, 1 << 60} {
				if _, err := db.exec(t.Context(), "UPDATE audit_waiting SET events = $1 WHERE id = $2", events, first[:]); err != nil {
					t.Fatal(err)
				}
				if batches, _ := waiting(t, db, other, 2000); batches == 0 {
					t.Errorf("none waits beside one that says it has %d events", events)
				}
			}
			if _, err := db.exec(t.Context(), "UPDATE audit_waiting SET events = 1"); err != nil {
				t.Fatal(err)
			}
			if _, err := db.exec(t.Context(), "DELETE FROM audit_batch WHERE id = $1", first[:]); err != nil {
				t.Fatal(err)
			}
			if batches, n := waiting(t, db, other, 2000); batches != 2 || n != 2 {
				t.Errorf("%d batches with %d events wait beside one that is gone", batches, n)
			}
		})
	}
}

// Whoever alters an event before it gets its place is found out if the server that recorded it places it.
func TestAlteredWhileWaiting(t *testing.T) {
	for name, url := range databases {
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
