package audit_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// memory is a store in memory: one transaction at a time, each undone as a
// whole when it fails.
type memory struct {
	mu   sync.Mutex
	busy bool // another server holds the lock of the log
	tables
}

// tables only ever grow, but for the front of pending; so a copy of the slice
// headers is a snapshot.
type tables struct {
	entries []audit.Entry
	pending []waiting
	hashes  []tlog.Hash
	heads   []audit.Checkpoint
}

type waiting struct {
	id     string
	record []byte
}

type inTransaction struct{}

// lock locks the store for one call outside a transaction.
func (m *memory) lock(ctx context.Context) (unlock func()) {
	if ctx.Value(inTransaction{}) != nil {
		return func() {}
	}
	m.mu.Lock()
	return m.mu.Unlock
}

func (m *memory) Transact(ctx context.Context, do func(context.Context) error) error {
	defer m.lock(ctx)()
	before := m.tables
	err := do(context.WithValue(ctx, inTransaction{}, true))
	if err != nil {
		m.tables = before
	}
	return err
}

func (m *memory) Record(ctx context.Context, e audit.Event) error {
	defer m.lock(ctx)()
	r, err := e.Record()
	m.pending = append(m.pending, waiting{e.ID, r})
	return err
}

func (m *memory) LockLog(context.Context) error {
	if m.busy {
		return fault.New(fault.Conflict, "another server appends to the log")
	}
	return nil
}

func (m *memory) Pending(ctx context.Context, limit int) (ids []string, records [][]byte, err error) {
	defer m.lock(ctx)()
	for _, w := range m.pending[:min(limit, len(m.pending))] {
		ids, records = append(ids, w.id), append(records, w.record)
	}
	return ids, records, nil
}

func (m *memory) Size(ctx context.Context) (int64, error) {
	defer m.lock(ctx)()
	return int64(len(m.entries)), nil
}

func (m *memory) Place(_ context.Context, first int64, ids []string, leaves []tlog.Hash, hashIndex int64, hashes []tlog.Hash) error {
	if first != int64(len(m.entries)) || hashIndex != int64(len(m.hashes)) {
		return fault.New(fault.Conflict, "the place is taken")
	}
	for i, w := range m.pending[:len(ids)] {
		if w.id != ids[i] {
			return fault.New(fault.Conflict, "not the next event")
		}
		m.entries = append(m.entries, audit.Entry{Seq: first + int64(i), Record: w.record, Leaf: leaves[i]})
	}
	m.pending = m.pending[len(ids):]
	m.hashes = append(m.hashes, hashes...)
	return nil
}

func (m *memory) Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	defer m.lock(ctx)()
	var out []tlog.Hash
	for _, i := range indexes {
		if i < int64(len(m.hashes)) {
			out = append(out, m.hashes[i])
		}
	}
	return out, nil
}

func (m *memory) AddCheckpoint(_ context.Context, c audit.Checkpoint) error {
	m.heads = append(m.heads, c)
	return nil
}

func (m *memory) Checkpoints(ctx context.Context) ([]audit.Checkpoint, error) {
	defer m.lock(ctx)()
	return slices.Clone(m.heads), nil
}

func (m *memory) LastCheckpoint(ctx context.Context) (audit.Checkpoint, error) {
	defer m.lock(ctx)()
	if len(m.heads) == 0 {
		return audit.Checkpoint{}, nil
	}
	return m.heads[len(m.heads)-1], nil
}

func (m *memory) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	defer m.lock(ctx)()
	first = min(first, int64(len(m.entries)))
	return slices.Clone(m.entries[first:min(first+int64(limit), int64(len(m.entries)))]), nil
}

func (m *memory) Events(ctx context.Context, f audit.Filter) ([]audit.Entry, error) {
	defer m.lock(ctx)()
	all := slices.Clone(m.entries)
	for _, w := range m.pending {
		all = append(all, audit.Entry{Seq: -1, Record: w.record})
	}
	var out []audit.Entry
	for _, entry := range all {
		e, err := audit.ParseRecord(entry.Record)
		if err != nil {
			return nil, err
		}
		prefix := strings.TrimSuffix(f.Action, "*")
		action := f.Action == "" || e.Action == f.Action || strings.HasSuffix(prefix, ".") && strings.HasPrefix(e.Action, prefix)
		if action && (f.Object == "" || e.Object == f.Object) && (f.Actor == "" || e.Actor.Name == f.Actor) &&
			(f.Outcome == "" || e.Outcome == f.Outcome) && (f.Since.IsZero() || !e.At.Before(f.Since)) &&
			(f.Until.IsZero() || e.At.Before(f.Until)) && (entry.Seq < 0 || entry.Seq > f.After) && len(out) < f.Limit {
			out = append(out, entry)
		}
	}
	return out, nil
}
