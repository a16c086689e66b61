package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
)

const (
	// A listing reads so many batches at first, and each time twice as many as before, up to some 10 MB of full ones.
	firstBatches, mostBatches = 8, 128
	// readEvents is how many events a listing looks through before it answers with what it has found: they take some 0.1 s.
	readEvents = 100_000
)

// A storedBatch is a batch with the place of its first event, -1 if it has none.
type storedBatch struct {
	audit.Batch
	first int64
}

func scanStored(r row) (b storedBatch, err error) {
	var id []byte
	err = r.Scan(&id, &b.first, &b.Lines)
	copy(b.ID[:], id)
	return b, err
}

// batchesAt returns batches by the places of their first events, from first on.
func (db *DB) batchesAt(ctx context.Context, first int64, limit int) ([]storedBatch, error) {
	return list(ctx, db, scanStored, "SELECT b.id, p.first, b.records FROM audit_place AS p JOIN audit_batch AS b ON b.id = p.batch"+
		" WHERE p.first >= $1 ORDER BY p.first LIMIT $2", first, limit)
}

// eachFrom reads batches by the places of their first events, from one on, as long as do wants more.
func (db *DB) eachFrom(ctx context.Context, first int64, do func(storedBatch) (more bool)) error {
	for n := firstBatches; ; n = min(2*n, mostBatches) {
		batches, err := db.batchesAt(ctx, first, n)
		if err != nil {
			return err
		}
		for _, b := range batches {
			if !do(b) {
				return nil
			}
			first = b.first + 1
		}
		if len(batches) < n {
			return nil
		}
	}
}

// Entries returns events by place, from first on, at most limit.
func (db *DB) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	begin, err := db.batchOf(ctx, first)
	if err != nil {
		return nil, err
	}
	var entries []audit.Entry
	err = db.eachFrom(ctx, begin, func(b storedBatch) (more bool) {
		for i, record := range b.Records() {
			if seq := b.first + int64(i); seq >= first {
				entries = append(entries, audit.Entry{Seq: seq, Record: record})
			}
		}
		return len(entries) < limit
	})
	if err != nil {
		return nil, err
	}
	entries = entries[:min(limit, len(entries))]
	return entries, db.addLeaves(ctx, entries)
}

// batchOf is the place where the batch begins that holds a place.
func (db *DB) batchOf(ctx context.Context, place int64) (int64, error) {
	return one(ctx, db, nil, number, "SELECT COALESCE(MAX(first), 0) FROM audit_place WHERE first <= $1", place)
}

// Changes returns the events after a place that want chooses, at most limit, and the place of the last one that was looked
// at. It looks through some 100,000 of them.
func (db *DB) Changes(ctx context.Context, after int64, want func(record []byte) bool, limit int) ([]audit.Entry, int64, error) {
	begin, err := db.batchOf(ctx, after+1)
	if err != nil {
		return nil, after, err
	}
	var entries []audit.Entry
	last := after
	err = db.eachFrom(ctx, begin, func(b storedBatch) (more bool) {
		for i, record := range b.Records() {
			seq := b.first + int64(i)
			if seq <= after {
				continue
			}
			if last = seq; want(record) {
				entries = append(entries, audit.Entry{Seq: seq, Record: record})
			}
			if len(entries) == limit {
				return false
			}
		}
		return last-after < readEvents
	})
	return entries, last, err
}

// addLeaves gives events their leaf hashes, as the tree has them. One whose hash is gone gets none.
func (db *DB) addLeaves(ctx context.Context, entries []audit.Entry) error {
	var at []audit.TileAt
	for _, e := range entries {
		if tile, _ := audit.LeafTile(e.Seq); len(at) == 0 || at[len(at)-1] != tile {
			at = append(at, tile)
		}
	}
	tiles, err := db.Tiles(ctx, at)
	if err != nil {
		return err
	}
	for i, e := range entries {
		tile, offset := audit.LeafTile(e.Seq)
		if hashes := tiles[tile]; len(hashes) >= offset+tlog.HashSize {
			entries[i].Leaf = tlog.Hash(hashes[offset : offset+tlog.HashSize])
		}
	}
	return nil
}

// Events lists the events that f selects, whether they have a place or not. Those of one batch stay together.
func (db *DB) Events(ctx context.Context, f audit.Filter) (audit.Page, error) {
	s, err := db.search(ctx, f)
	if err != nil {
		return audit.Page{}, err
	}
	for n := firstBatches; ; n = min(2*n, mostBatches) {
		batches, err := s.next(ctx, n)
		if err != nil {
			return audit.Page{}, err
		}
		for _, b := range batches {
			if s.look(b) {
				return s.page, nil
			}
		}
		if len(batches) < n {
			return s.page, nil
		}
		if s.seen >= readEvents {
			end := audit.Position{Batch: batches[len(batches)-1].ID}
			if !f.Newest {
				end.Index = audit.MaxBatch
			}
			s.page.Next = end.String()
			return s.page, nil
		}
	}
}

// A search is a listing on its way.
type search struct {
	db        *DB
	filter    audit.Filter
	selection audit.Selection
	after     audit.Position // of the page before
	first     uuid.UUID      // the batches that are left have IDs from here
	last      uuid.UUID      // to here
	ids       []any          // these, if the object is given
	seen      int            // events
	page      audit.Page
}

// search begins a listing.
func (db *DB) search(ctx context.Context, f audit.Filter) (s *search, err error) {
	s = &search{db: db, filter: f, selection: f.Selection(), last: uuid.Max}
	if !f.Since.IsZero() {
		s.first = timeID(f.Since.Add(-audit.BatchSpan))
	}
	if !f.Until.IsZero() {
		s.last = timeID(f.Until.Add(audit.BatchSpan))
	}
	if f.After != "" {
		if s.after, err = f.Position(); err != nil {
			return nil, err
		}
		if f.Newest && less(s.after.Batch, s.last) {
			s.last = s.after.Batch
		}
		if !f.Newest && less(s.first, s.after.Batch) {
			s.first = s.after.Batch
		}
	}
	if f.Object != "" {
		err = s.find(ctx)
	}
	return s, err
}

// timeID is the least UUIDv7 of a time.
func timeID(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16)
	return id
}

func less(a, b uuid.UUID) bool { return bytes.Compare(a[:], b[:]) < 0 }

const selectStored = "SELECT b.id, COALESCE(p.first, -1), b.records FROM audit_batch AS b LEFT JOIN audit_place AS p ON p.batch = b.id WHERE "

// next reads the next n batches, or less if there are no more.
func (s *search) next(ctx context.Context, n int) ([]storedBatch, error) {
	order := ""
	if s.filter.Newest {
		order = " DESC"
	}
	if s.filter.Object != "" {
		some := s.ids[:min(n, len(s.ids))]
		s.ids = s.ids[len(some):]
		if len(some) == 0 {
			return nil, nil
		}
		among, args := s.db.among(1, anys(some))
		return list(ctx, s.db, scanStored, selectStored+"b.id "+among+" ORDER BY b.id"+order, args...)
	}
	batches, err := list(ctx, s.db, scanStored, selectStored+"b.id >= $1 AND b.id <= $2 ORDER BY b.id"+order+" LIMIT $3", s.first[:], s.last[:], n)
	if len(batches) > 0 {
		end := batches[len(batches)-1].ID
		if s.filter.Newest {
			s.last = before(end)
		} else {
			s.first = after(end)
		}
	}
	return batches, err
}

// after is the ID that follows one.
func after(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// before is the ID that one follows.
func before(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]--; id[i] != 0xff {
			break
		}
	}
	return id
}

// look takes from a batch what is selected and tells whether the page is full.
func (s *search) look(b storedBatch) (full bool) {
	records := b.Records()
	s.seen += len(records)
	if !s.selection.May(b.Lines) {
		return false
	}
	order := slices.All(records)
	if s.filter.Newest {
		order = slices.Backward(records)
	}
	for i, record := range order {
		if s.filter.After != "" && b.ID == s.after.Batch && (i == s.after.Index || (i > s.after.Index) == s.filter.Newest) || !s.selection.Has(record) {
			continue
		}
		e := audit.Entry{Seq: b.first, Record: record}
		if e.Seq >= 0 {
			e.Seq += int64(i)
		}
		s.page.Entries = append(s.page.Entries, e)
		if len(s.page.Entries) == s.filter.Limit {
			s.page.Next = audit.Position{Batch: b.ID, Index: i}.String()
			return true
		}
	}
	return false
}
