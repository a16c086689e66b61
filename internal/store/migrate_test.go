package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// The audit log of a database from before migration 6 goes on: what was signed verifies, what waited gets its place, and events
// are found as before.
func TestAuditMigration(t *testing.T) {
	eachAt(t, 5, func(t *testing.T, db *DB) {
		const waiting = 3
		n := int64(600)
		if _, embedded := db.engine.(*sqliteEngine); embedded && !testing.Short() {
			n = 66_000 // more than 256 * 256
		}
		log := storetest.NewLog(t, db, "")
		log.Now = time.Now
		fillBefore6(t, db, log.Signer, n, waiting)

		if err := db.migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		whole := func(size int64, pending int) {
			t.Helper()
			r, err := audit.Verify(t.Context(), db, log.Verifier, nil)
			if err != nil || r.Err() != nil || r.Size != size || r.Pending != pending {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		whole(n, waiting)
		if placed, err := log.Sequence(t.Context()); placed != waiting || err != nil {
			t.Fatalf("placed %d, %v", placed, err)
		}
		whole(n+waiting, 0)
		for more := true; more; {
			var err error
			if more, err = db.IndexObjects(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		page, err := db.Events(t.Context(), audit.Filter{Object: "token:5", Newest: true, Since: benchTime.Add(5 * time.Second), Until: benchTime.Add(5*time.Second + 1)})
		if err != nil || len(page.Entries) != 1 || page.Entries[0].Seq != 5 {
			t.Errorf("found %+v, %v", page, err)
		}
	})
}

// Who is asked before the tables of an older release are changed can keep them as they are, and an empty database empty.
func TestAskedBeforeMigration(t *testing.T) {
	eachAt(t, 5, func(t *testing.T, db *DB) {
		ctx := t.Context()
		no := fault.New(fault.MasterKey, "another one's")
		asked := 0
		refuse := func(ctx context.Context, db *DB, empty bool) error {
			asked++
			if keys, err := db.DataKeys(ctx); empty || err != nil || len(keys) != 0 { // it reads the tables as they are
				t.Errorf("%v, %v, %v", empty, keys, err)
			}
			return no
		}
		if err := db.migrate(ctx, refuse); !errors.Is(err, fault.MasterKey) || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
		if version, err := one(ctx, db, nil, number, latest); version != 5 || err != nil {
			t.Errorf("version %d, %v", version, err)
		}
		if err := db.migrate(ctx, func(context.Context, *DB, bool) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := db.migrate(ctx, refuse); err != nil || asked != 1 { // nothing to do
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
	for _, url := range []string{file(t), storetest.Postgres(t)} {
		no := fault.New(fault.Conflict, "not here")
		refuse := func(_ context.Context, _ *DB, empty bool) error {
			if !empty {
				t.Error("not told that it is empty")
			}
			return no
		}
		if _, err := Open(t.Context(), Options{URL: url, Before: refuse}); !errors.Is(err, no) {
			t.Errorf("%v", err)
		}
		if _, err := OpenUnchanged(t.Context(), Options{URL: url}); !errors.Is(err, fault.NotFound) {
			t.Errorf("there is a deployment: %v", err)
		}
		db, err := open(t.Context(), Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		columns, _ := db.catalogue()
		if err := db.look(t.Context(), look{columns, nil, func(row) error { return errors.New("there is a table") }}); err != nil {
			t.Errorf("it is not empty any more: %v", err)
		}
	}
}

// fillBefore6 writes events as releases before migration 6 did: n that are signed, and some that wait.
func fillBefore6(t *testing.T, db *DB, key note.Signer, n, waiting int64) {
	t.Helper()
	ctx := t.Context()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	var all []statement
	for i := range n + waiting {
		e := audit.New(ctx, benchTime.Add(time.Duration(i)*time.Second), "token.enable", fmt.Sprint("token:", i%1000), nil)
		record, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		var place any
		if i < n {
			place = i
			hashes, err := tlog.StoredHashes(i, record, reader)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hashes {
				all = append(all, statement{"INSERT INTO audit_hash (number, hash) VALUES ($1, $2)", []any{len(stored), h[:]}, 1, nil})
				stored = append(stored, h)
			}
		}
		all = append(all, statement{"INSERT INTO audit_event (id, place, happened_at, actor, action, object, outcome, record) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			[]any{e.ID, place, micros(e.At), e.Actor.Name, e.Action, e.Object, e.Outcome, record}, 1, nil})
	}
	root, err := tlog.TreeHash(n, reader)
	if err != nil {
		t.Fatal(err)
	}
	head, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", key.Name(), n, root)}, key)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Transact(ctx, func(ctx context.Context) error {
		if err := db.batch(ctx, all); err != nil {
			return err
		}
		return db.AddCheckpoint(ctx, audit.Checkpoint{Size: n, Signed: head})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// executes runs statements that fill the tables of an older version.
func executes(t *testing.T, db *DB) func(statement string, args ...any) {
	return func(statement string, args ...any) {
		t.Helper()
		if _, err := db.exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// eachAt runs a test on a database of each kind whose tables are those of a version.
func eachAt(t *testing.T, version int64, test func(*testing.T, *DB)) {
	for name, open := range map[string]func(*testing.T) (*DB, error){
		"SQLite":     func(t *testing.T) (*DB, error) { return openSQLite(t.Context(), file(t)) },
		"PostgreSQL": func(t *testing.T) (*DB, error) { return openPostgres(t.Context(), storetest.Postgres(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			db, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			old, err := db.history()
			if err == nil {
				_, err = old.UpTo(t.Context(), version)
			}
			if err != nil {
				t.Fatal(err)
			}
			test(t, db)
		})
	}
}
