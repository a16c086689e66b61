package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// Pruned returns the marks up to which events were pruned.
func (db *DB) Pruned(ctx context.Context) (marks audit.Marks, err error) {
	text, err := one(ctx, db, nil, blob, "SELECT COALESCE((SELECT marks FROM audit_pruned WHERE id = 1), $1)", noMarks)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &marks); err != nil {
		return nil, fmt.Errorf("store: marks of the audit log: %w", err)
	}
	return marks, nil
}

// noMarks are those of a log of which nothing was pruned, as all marks are kept: as JSON, with its names in order.
var noMarks = []byte("{}")

var (
	updateBatch   = updating("audit_batch", "records bytea", "id bytea", "")
	updateObjects = updating("audit_object", "entries bytea", "position bigint", "")
)

// Prune does a pruning, in the transaction of ctx; [fault.Conflict] if the marks are others than those before it. An event that loses its
// record leaves an empty line.
func (db *DB) Prune(ctx context.Context, p audit.Pruning) error {
	before, err := json.Marshal(p.Before)
	after, wrong := json.Marshal(p.After)
	if err := errors.Join(err, wrong); err != nil {
		return fmt.Errorf("store: marks of the audit log: %w", err)
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		other := fault.New(fault.Conflict, "another server has pruned the audit log meanwhile")
		if err := db.change(ctx, other, "INSERT INTO audit_pruned (id, marks) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET marks = excluded.marks WHERE audit_pruned.marks = $2", after, before); err != nil {
			return err
		}
		if _, err := db.exec(ctx, "DELETE FROM audit_checkpoint WHERE size > $1 AND size < (SELECT MAX(size) FROM audit_checkpoint WHERE size > $1 AND size <= $2)", p.Heads[0], p.Heads[1]); err != nil {
			return err
		}
		if err := db.blank(ctx, p.Places); err != nil {
			return err
		}
		for category, mark := range p.After {
			if p.Heads[1] == 0 && mark != p.Before[category] && mark%objectRun == 0 { // of events, and the last of a run
				return db.indexAgain(ctx, mark/objectRun-1)
			}
		}
		return nil
	})
}

// blank takes the records at places away.
func (db *DB) blank(ctx context.Context, places []int64) error {
	if len(places) == 0 {
		return nil
	}
	begin, err := db.batchOf(ctx, places[0])
	if err != nil {
		return err
	}
	last := places[len(places)-1]
	changed := bulk{way: updateBatch, other: fault.New(fault.AuditTampered, "events of the audit log are gone: run tallystick audit verify")}
	err = db.eachFrom(ctx, begin, func(b storedBatch) (more bool) {
		if b.first > last {
			return false
		}
		records, some := b.Records(), false
		for i := range records {
			if _, gone := slices.BinarySearch(places, b.first+int64(i)); gone {
				records[i], some = nil, true
			}
		}
		if some {
			changed.rows = append(changed.rows, []any{append([]byte{}, bytes.Join(records, []byte{'\n'})...), b.ID[:]}) // empty, and not NULL
		}
		return true
	})
	if err != nil {
		return err
	}
	return db.write(ctx, changed)
}

// indexAgain writes a run of the index of objects once more, without what was pruned, if it is there.
func (db *DB) indexAgain(ctx context.Context, run int64) error {
	runs, err := db.objectRuns(ctx)
	if err != nil || run >= runs {
		return err
	}
	rows, err := db.runEntries(ctx, run)
	if err != nil {
		return err
	}
	return db.write(ctx, bulk{way: updateObjects, rows: rows, other: fault.New(fault.AuditTampered, "rows of the index of the audit log are gone: run tallystick audit verify")})
}
