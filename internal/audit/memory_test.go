package audit_test

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
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

// tables only ever grow, but for the front of pending and what is replaced in a copy of tiles; so a copy of the headers is a snapshot.
type tables struct {
	entries []audit.Entry
	batches []audit.Batch // with places
	pending []audit.Batch
	tiles   map[audit.TileAt][]byte
	heads   []audit.Checkpoint
	marks   audit.Marks
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
	return m.RecordAll(ctx, []audit.Event{e})
}

func (m *memory) RecordAll(ctx context.Context, events []audit.Event) error {
	defer m.lock(ctx)()
	batches, err := audit.Batches(events)
	m.pending = append(m.pending, batches...)
	return err
}

func (m *memory) LockLog(context.Context) error {
	if m.busy {
		return fault.New(fault.Conflict, "another server appends to the log")
	}
	return nil
}

func (m *memory) Waiting(ctx context.Context, events int) ([]audit.Waiting, error) {
	defer m.lock(ctx)()
	var all []audit.Waiting
	for _, b := range m.pending[:min(len(m.pending), audit.MaxRound)] {
		if events <= 0 {
			break
		}
		events -= b.Events()
		w := audit.Waiting{ID: b.ID}
		for _, record := range b.Records() {
			w.Leaves = append(w.Leaves, tlog.RecordHash(record))
		}
		all = append(all, w)
	}
	return all, nil
}

func (m *memory) Pending(ctx context.Context) (n int, err error) {
	defer m.lock(ctx)()
	for _, b := range m.pending {
		n += b.Events()
	}
	return n, nil
}

func (m *memory) Size(ctx context.Context) (int64, error) {
	defer m.lock(ctx)()
	return int64(len(m.entries)), nil
}

func (m *memory) Place(_ context.Context, first int64, batches []audit.Waiting, tiles []audit.Tile) error {
	if first != int64(len(m.entries)) {
		return fault.New(fault.Conflict, "the place is taken")
	}
	for i, w := range batches {
		b := m.pending[i]
		if b.ID != w.ID {
			return fault.New(fault.Conflict, "not the next events")
		}
		for _, record := range b.Records() {
			m.entries = append(m.entries, audit.Entry{Seq: int64(len(m.entries)), Record: record, Leaf: tlog.RecordHash(record)})
		}
	}
	m.batches = append(m.batches, m.pending[:len(batches)]...)
	m.pending = m.pending[len(batches):]
	if m.tiles = maps.Clone(m.tiles); m.tiles == nil {
		m.tiles = map[audit.TileAt][]byte{}
	}
	for _, t := range tiles {
		m.tiles[t.TileAt] = t.Hashes
	}
	return nil
}

func (m *memory) Tiles(ctx context.Context, at []audit.TileAt) (map[audit.TileAt][]byte, error) {
	defer m.lock(ctx)()
	found := map[audit.TileAt][]byte{}
	for _, at := range at {
		if hashes, ok := m.tiles[at]; ok {
			found[at] = slices.Clone(hashes)
		}
	}
	return found, nil
}

func (m *memory) AddCheckpoint(_ context.Context, c audit.Checkpoint) error {
	m.heads = append(m.heads, c)
	return nil
}

func (m *memory) Checkpoints(ctx context.Context, after int64, limit int) ([]audit.Checkpoint, error) {
	defer m.lock(ctx)()
	larger := slices.DeleteFunc(slices.Clone(m.heads), func(c audit.Checkpoint) bool { return c.Size <= after })
	return larger[:min(limit, len(larger))], nil
}

func (m *memory) NewestCheckpoints(ctx context.Context, limit int) ([]audit.Checkpoint, error) {
	defer m.lock(ctx)()
	return slices.Clone(m.heads[max(0, len(m.heads)-limit):]), nil
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

func (m *memory) Events(ctx context.Context, f audit.Filter) (page audit.Page, err error) {
	defer m.lock(ctx)()
	var after audit.Position
	if f.After != "" {
		if after, err = f.Position(); err != nil {
			return page, err
		}
	}
	type listed struct {
		audit.Position
		audit.Entry
	}
	var all []listed
	for _, b := range slices.Concat(m.batches, m.pending) {
		for i, record := range b.Records() {
			e := listed{audit.Position{Batch: b.ID, Index: i}, audit.Entry{Seq: -1, Record: record}}
			if len(all) < len(m.entries) {
				e.Seq = int64(len(all))
			}
			all = append(all, e)
		}
	}
	order := func(a, b audit.Position) int {
		n := cmp.Or(bytes.Compare(a.Batch[:], b.Batch[:]), cmp.Compare(a.Index, b.Index))
		if f.Newest {
			return -n
		}
		return n
	}
	slices.SortFunc(all, func(a, b listed) int { return order(a.Position, b.Position) })
	selection := f.Selection()
	for _, e := range all {
		if f.After != "" && order(e.Position, after) <= 0 || !selection.Has(e.Record) {
			continue
		}
		if page.Entries = append(page.Entries, e.Entry); len(page.Entries) == f.Limit {
			page.Next = e.Position.String()
			break
		}
	}
	return page, nil
}

func (m *memory) Changes(ctx context.Context, after int64, want func([]byte) bool, limit int) (found []audit.Entry, last int64, err error) {
	defer m.lock(ctx)()
	last = after
	for _, e := range m.entries[min(after+1, int64(len(m.entries))):] {
		if last = e.Seq; want(e.Record) {
			found = append(found, e)
		}
		if len(found) == limit {
			break
		}
	}
	return found, last, nil
}

func (m *memory) Pruned(ctx context.Context) (audit.Marks, error) {
	defer m.lock(ctx)()
	return maps.Clone(m.marks), nil
}

func (m *memory) Prune(_ context.Context, p audit.Pruning) error {
	if !maps.Equal(m.marks, p.Before) {
		return fault.New(fault.Conflict, "pruned by another server")
	}
	m.marks = p.After
	m.entries, m.batches = slices.Clone(m.entries), slices.Clone(m.batches)
	first := int64(0)
	for i, b := range m.batches {
		records := b.Records()
		for n := range records {
			if _, gone := slices.BinarySearch(p.Places, first+int64(n)); gone {
				records[n] = nil
				m.entries[first+int64(n)].Record = nil
			}
		}
		m.batches[i].Lines = bytes.Join(records, []byte{'\n'})
		first += int64(len(records))
	}
	gone := func(c audit.Checkpoint) bool { return c.Size > p.Heads[0] && c.Size <= p.Heads[1] }
	largest := int64(0)
	for _, c := range m.heads {
		if gone(c) {
			largest = c.Size
		}
	}
	m.heads = slices.DeleteFunc(slices.Clone(m.heads), func(c audit.Checkpoint) bool { return gone(c) && c.Size != largest })
	return nil
}

func (m *memory) IndexObjects(context.Context) (bool, error) { return false, nil }
