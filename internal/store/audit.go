package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// Record keeps an event, in the transaction of ctx. It has no place in the log yet.
func (db *DB) Record(ctx context.Context, e audit.Event) error {
	return db.RecordAll(ctx, []audit.Event{e})
}

// RecordAll keeps events, in the transaction of ctx, for little more than what one of them costs.
func (db *DB) RecordAll(ctx context.Context, events []audit.Event) error {
	batches, err := audit.Batches(events)
	if err != nil {
		return err
	}
	var all []bulk
	written := make([]writtenBatch, 0, len(batches))
	for _, b := range batches {
		written = append(written, writtenBatch{b.ID, writtenEvents(b)})
		taken := fault.New(fault.Conflict, "there is an event %s already", b.ID)
		all = append(all, bulk{insertBatch, [][]any{{b.ID[:], b.Events(), b.Lines}}, taken}, bulk{insertWaiting, [][]any{{b.ID[:], b.Events()}}, taken})
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		tx := db.current(ctx)
		tx.recorded = append(tx.recorded, written...)
		return db.atLast(ctx, all...)
	})
}

// How the log writes.
var (
	insertBatch   = inserting("audit_batch", "id bytea, events bigint, records bytea")
	insertWaiting = inserting("audit_waiting", "id bytea, events bigint")
	deleteWaiting = deleting("audit_waiting", "id bytea")
	insertPlace   = inserting("audit_place", "first bigint, batch bytea")
	addObjects    = adding("audit_object", "entries bytea, position bigint")
)

// LockLog makes this transaction the only one to append to the log;
// [fault.Conflict] while another one is.
func (db *DB) LockLog(ctx context.Context) error {
	tx := db.current(ctx)
	if tx == nil {
		return fmt.Errorf("store: the audit log is locked within a transaction only")
	}
	return db.explain(db.lockLog(ctx, tx))
}

// Pending is the number of events that have no place yet.
func (db *DB) Pending(ctx context.Context) (int, error) {
	n, err := one(ctx, db, nil, number, "SELECT CAST(COALESCE(SUM(events), 0) AS BIGINT) FROM audit_waiting")
	return int(n), err
}

// scanID scans the ID of a batch.
func scanID(r row) (id uuid.UUID, err error) {
	b, err := blob(r)
	copy(id[:], b)
	return id, err
}

// Waiting returns the oldest batches that have no place yet: at most audit.MaxRound, and no more when they hold events or more.
func (db *DB) Waiting(ctx context.Context, events int) ([]audit.Waiting, error) {
	var ids []uuid.UUID
	choose := func(r row) error {
		var b []byte
		n := 0
		err := r.Scan(&b, &n)
		if events > 0 {
			var id uuid.UUID
			copy(id[:], b)
			ids, events = append(ids, id), events-n
		}
		return err
	}
	// A batch that is gone gets no place.
	const oldest = "SELECT w.id, w.events FROM audit_waiting AS w JOIN audit_batch AS b ON b.id = w.id ORDER BY w.id LIMIT $1"
	if err := db.look(ctx, look{oldest, []any{audit.MaxRound}, choose}); err != nil {
		return nil, err
	}
	known, err := db.eventsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	var all []audit.Waiting
	for _, id := range ids {
		b := audit.Waiting{ID: id, Leaves: make([]tlog.Hash, len(known[id]))}
		for i, e := range known[id] {
			b.Leaves[i] = e.leaf
		}
		if len(b.Leaves) > 0 {
			all = append(all, b)
		}
	}
	return all, nil
}

// Size is the number of events that have a place.
func (db *DB) Size(ctx context.Context) (int64, error) {
	return one(ctx, db, fault.New(fault.AuditTampered, "the events at the end of the audit log are gone: run tallystick audit verify"), number,
		"SELECT COALESCE((SELECT p.first + b.events FROM audit_place AS p LEFT JOIN audit_batch AS b ON b.id = p.batch ORDER BY p.first DESC LIMIT 1), 0)")
}

// Place gives the events of batches their places, from first on, and keeps tiles. [fault.Conflict] if one of the batches has its
// places already.
func (db *DB) Place(ctx context.Context, first int64, batches []audit.Waiting, tiles []audit.Tile) error {
	placed := fault.New(fault.Conflict, "some of the events got their places meanwhile")
	waiting, places := bulk{deleteWaiting, nil, placed}, bulk{insertPlace, nil, placed}
	for _, b := range batches {
		waiting.rows = append(waiting.rows, []any{b.ID[:]})
		places.rows = append(places.rows, []any{first, b.ID[:]})
		first += int64(len(b.Leaves))
	}
	var all []statement
	for _, t := range tiles {
		all = append(all, statement{"INSERT INTO audit_tile (position, hashes) VALUES ($1, $2) ON CONFLICT (position) DO UPDATE SET hashes = excluded.hashes",
			[]any{tilePosition(t.TileAt), t.Hashes}, anyRows, nil})
	}
	return errors.Join(db.batch(ctx, all), db.atLast(ctx, waiting, places))
}

// Positions put two numbers into one key.
const (
	tileLevel    = 1 << 40 // tiles of a level
	objectBucket = 1 << 32 // runs of a bucket
)

func tilePosition(at audit.TileAt) int64 { return int64(at.Level)*tileLevel + at.Number }

// Tiles returns the hashes of tiles, those that are there.
func (db *DB) Tiles(ctx context.Context, at []audit.TileAt) (map[audit.TileAt][]byte, error) {
	tiles := map[audit.TileAt][]byte{}
	scan := func(r row) (t audit.Tile, err error) {
		var position int64
		err = r.Scan(&position, &t.Hashes)
		t.TileAt = audit.TileAt{Level: int(position / tileLevel), Number: position % tileLevel}
		return t, err
	}
	for some := range slices.Chunk(at, chunk) {
		positions := make([]int64, len(some))
		for i, at := range some {
			positions[i] = tilePosition(at)
		}
		among, args := db.among(1, anys(positions))
		found, err := list(ctx, db, scan, "SELECT position, hashes FROM audit_tile WHERE position "+among, args...)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			tiles[t.TileAt] = t.Hashes
		}
	}
	return tiles, nil
}

// AddCheckpoint stores a signed head; [fault.Conflict] if there is one of that size.
func (db *DB) AddCheckpoint(ctx context.Context, c audit.Checkpoint) error {
	taken := fault.New(fault.Conflict, "there is a checkpoint of size %d already", c.Size)
	return db.change(ctx, taken, "INSERT INTO audit_checkpoint (size, signed_at, signed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", c.Size, micros(c.At), c.Signed)
}

func scanCheckpoint(r row) (c audit.Checkpoint, err error) {
	err = r.Scan(&c.Size, moment(&c.At), &c.Signed)
	return c, err
}

// Checkpoints returns the signed heads larger than after, smallest first, at most limit.
func (db *DB) Checkpoints(ctx context.Context, after int64, limit int) ([]audit.Checkpoint, error) {
	return list(ctx, db, scanCheckpoint, "SELECT size, signed_at, signed FROM audit_checkpoint WHERE size > $1 ORDER BY size LIMIT $2", after, limit)
}

// NewestCheckpoints returns the newest heads, smallest first, at most limit.
func (db *DB) NewestCheckpoints(ctx context.Context, limit int) ([]audit.Checkpoint, error) {
	newest, err := list(ctx, db, scanCheckpoint, "SELECT size, signed_at, signed FROM audit_checkpoint ORDER BY size DESC LIMIT $1", limit)
	slices.Reverse(newest)
	return newest, err
}

// LastCheckpoint returns the newest head, or a zero one.
func (db *DB) LastCheckpoint(ctx context.Context) (audit.Checkpoint, error) {
	last, err := db.NewestCheckpoints(ctx, 1)
	if err != nil || len(last) == 0 {
		return audit.Checkpoint{}, err
	}
	return last[0], nil
}
