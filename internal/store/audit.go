package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// Record keeps an event, in the transaction of ctx. It has no place in the log yet.
func (db *DB) Record(ctx context.Context, e audit.Event) error {
	record, err := e.Record()
	if err != nil {
		return err
	}
	taken := fault.New(fault.Conflict, "there is an event %s already", e.ID)
	return db.change(ctx, taken, "INSERT INTO audit_event (id, happened_at, actor, action, object, outcome, record) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
		e.ID, micros(e.At), searchable(e.Actor.Name), searchable(e.Action), searchable(e.Object), e.Outcome, record)
}

// searchable is text as a column holds it; what a column cannot hold is in the record only.
func searchable(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "") }

// LockLog makes this transaction the only one to append to the log;
// [fault.Conflict] while another one is.
func (db *DB) LockLog(ctx context.Context) error {
	tx := db.current(ctx)
	if tx == nil {
		return fmt.Errorf("store: the audit log is locked within a transaction only")
	}
	return db.explain(db.lockLog(ctx, tx))
}

// Pending returns up to limit records that have no place yet, oldest first, with the IDs of their events.
func (db *DB) Pending(ctx context.Context, limit int) (ids []string, records [][]byte, err error) {
	scan := func(r row) (record []byte, err error) {
		var id string
		err = r.Scan(&id, &record)
		ids = append(ids, id)
		return record, err
	}
	records, err = list(ctx, db, scan, "SELECT id, record FROM audit_event WHERE place IS NULL ORDER BY id LIMIT $1", limit)
	return ids, records, err
}

// Size is the number of events that have a place.
func (db *DB) Size(ctx context.Context) (int64, error) {
	return one(ctx, db, nil, number, "SELECT COALESCE(MAX(place) + 1, 0) FROM audit_event WHERE place IS NOT NULL")
}

// Place gives events their places, from first on, and stores the new hashes of
// the tree from hashIndex on (tlog.StoredHashIndex order). The leaves are among these.
// [fault.Conflict] if an event has its place already.
func (db *DB) Place(ctx context.Context, first int64, ids []string, _ []tlog.Hash, hashIndex int64, hashes []tlog.Hash) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		for some := range slices.Chunk(ids, chunk) {
			var args []any
			for _, id := range some {
				args = append(args, id, first)
				first++
			}
			n, err := db.exec(ctx, "UPDATE audit_event SET place = new.column2 FROM (VALUES "+tuples(len(some), "(CAST($%d AS TEXT), CAST($%d AS BIGINT))")+
				") AS new WHERE audit_event.id = new.column1 AND audit_event.place IS NULL", args...)
			if err != nil {
				return err
			}
			if n != len(some) {
				return fault.New(fault.Conflict, "some of the events got their places meanwhile")
			}
		}
		for some := range slices.Chunk(hashes, chunk) {
			var args []any
			for _, h := range some {
				args = append(args, hashIndex, h[:])
				hashIndex++
			}
			if _, err := db.exec(ctx, "INSERT INTO audit_hash (number, hash) VALUES "+tuples(len(some), "($%d, $%d)"), args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// tuples are n times the placeholders of two values.
func tuples(n int, form string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(form, 2*i+1, 2*i+2)
	}
	return strings.Join(all, ", ")
}

// A storedHash is a hash of the tree with its index.
type storedHash struct {
	index int64
	hash  tlog.Hash
}

func scanHash(r row) (h storedHash, err error) {
	var b []byte
	if err := r.Scan(&h.index, &b); err != nil {
		return h, err
	}
	if len(b) != tlog.HashSize {
		return h, fault.New(fault.AuditTampered, "the hash %d of the audit log has %d bytes", h.index, len(b))
	}
	copy(h.hash[:], b)
	return h, nil
}

// storedHashes are the hashes of the tree that are there, by index.
func (db *DB) storedHashes(ctx context.Context, indexes []int64) (map[int64]tlog.Hash, error) {
	hashes := map[int64]tlog.Hash{}
	for some := range slices.Chunk(indexes, chunk) {
		found, err := list(ctx, db, scanHash, "SELECT number, hash FROM audit_hash WHERE number IN ("+places(len(some))+")", anys(some)...)
		if err != nil {
			return nil, err
		}
		for _, h := range found {
			hashes[h.index] = h.hash
		}
	}
	return hashes, nil
}

// Hashes returns stored hashes of the tree; [fault.AuditTampered] if one is gone.
func (db *DB) Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	stored, err := db.storedHashes(ctx, indexes)
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := stored[index]
		if !ok {
			return nil, fault.New(fault.AuditTampered, "the hash %d of the audit log is gone: run tallystick audit verify", index)
		}
		hashes[i] = h
	}
	return hashes, nil
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

// Checkpoints lists the signed heads, smallest first.
func (db *DB) Checkpoints(ctx context.Context) ([]audit.Checkpoint, error) {
	return list(ctx, db, scanCheckpoint, "SELECT size, signed_at, signed FROM audit_checkpoint ORDER BY size")
}

// LastCheckpoint returns the newest head, or a zero one.
func (db *DB) LastCheckpoint(ctx context.Context) (audit.Checkpoint, error) {
	last, err := list(ctx, db, scanCheckpoint, "SELECT size, signed_at, signed FROM audit_checkpoint ORDER BY size DESC LIMIT 1")
	if err != nil || len(last) == 0 {
		return audit.Checkpoint{}, err
	}
	return last[0], nil
}

func scanEntry(r row) (e audit.Entry, err error) {
	err = r.Scan(&e.Seq, &e.Record)
	return e, err
}

// Entries returns events by place, from first on, at most limit.
func (db *DB) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	entries, err := list(ctx, db, scanEntry, "SELECT place, record FROM audit_event WHERE place >= $1 ORDER BY place LIMIT $2", first, limit)
	if err != nil {
		return nil, err
	}
	return entries, db.addLeaves(ctx, entries)
}

// addLeaves gives events that have a place their leaf hashes, as the tree has them. One whose hash is gone gets none.
func (db *DB) addLeaves(ctx context.Context, entries []audit.Entry) error {
	leaves := make([]int64, len(entries))
	for i, e := range entries {
		leaves[i] = tlog.StoredHashIndex(0, max(0, e.Seq))
	}
	stored, err := db.storedHashes(ctx, leaves)
	if err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Seq >= 0 {
			entries[i].Leaf = stored[leaves[i]]
		}
	}
	return nil
}

// Events lists the records that f selects with their places, -1 for those without, which come last.
func (db *DB) Events(ctx context.Context, f audit.Filter) ([]audit.Entry, error) {
	var c conditions
	prefix, isPrefix := strings.CutSuffix(f.Action, "*")
	switch {
	case isPrefix || strings.HasSuffix(prefix, "."):
		c.and("action >= $%d", prefix)
		c.and("action < $%d", prefix+string(utf8.MaxRune))
	case f.Action != "":
		c.and("action = $%d", f.Action)
	}
	if f.Object != "" {
		c.and("object = $%d", f.Object)
	}
	if f.Actor != "" {
		c.and("actor = $%d", f.Actor)
	}
	if f.Outcome != "" {
		c.and("outcome = $%d", f.Outcome)
	}
	if !f.Since.IsZero() {
		c.and("happened_at >= $%d", micros(f.Since))
	}
	if !f.Until.IsZero() {
		c.and("happened_at < $%d", micros(f.Until))
	}
	waiting := c
	waiting.where = append(slices.Clone(c.where), "place IS NULL")
	c.and("place > $%d", f.After)
	// One statement, so that an event that gets its place meanwhile is neither missed nor told twice.
	entries, err := list(ctx, db, scanEntry, "SELECT place, record FROM ("+
		"SELECT * FROM (SELECT 0 AS part, place, id, record FROM audit_event"+c.clause("place", f.Limit)+") AS placed"+
		" UNION ALL "+
		"SELECT * FROM (SELECT 1 AS part, -1 AS place, id, record FROM audit_event"+waiting.clause("id", f.Limit)+") AS waiting"+
		") AS event"+(&conditions{}).clause("part, place, id", f.Limit), c.args...)
	if err != nil {
		return nil, err
	}
	return entries, db.addLeaves(ctx, entries)
}
