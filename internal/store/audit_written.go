package store

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
)

// A writtenBatch is what places and the index of objects take of a batch.
type writtenBatch struct {
	id     uuid.UUID
	events []writtenEvent
}

type writtenEvent struct {
	leaf   tlog.Hash
	object objectKey
}

func writtenEvents(b audit.Batch) []writtenEvent {
	records := b.Records()
	all := make([]writtenEvent, len(records))
	for i, record := range records {
		all[i] = writtenEvent{tlog.RecordHash(record), keyOf(audit.ObjectOf(record))}
	}
	return all
}

// How much is remembered: at most some 4 MB. A server places all within a second, and indexes objectRun events at a time.
const (
	eventsKept  = 4 * objectRun
	batchesKept = eventsKept / 8
)

// written remembers the batches that this server committed last: to read them again, all at once, would take time from those who wait
// to be authenticated, twice a second. What somebody changes in the database before it gets its place does not match its leaf in the tree then;
// what was committed by others, long ago, or with an unknown outcome is read.
type written struct {
	mu     sync.Mutex
	events int
	byID   map[uuid.UUID][]writtenEvent
	ids    []uuid.UUID // oldest first
}

func (w *written) keep(batches []writtenBatch) {
	if len(batches) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range batches {
		if w.byID == nil {
			w.byID = map[uuid.UUID][]writtenEvent{}
		}
		w.byID[b.id] = b.events
		w.ids = append(w.ids, b.id)
		w.events += len(b.events)
		for w.events > eventsKept || len(w.ids) > batchesKept {
			w.events -= len(w.byID[w.ids[0]])
			delete(w.byID, w.ids[0])
			w.ids = w.ids[1:]
		}
	}
}

// of returns those of the batches that are remembered, and the others.
func (w *written) of(ids []uuid.UUID) (known map[uuid.UUID][]writtenEvent, others []uuid.UUID) {
	known = make(map[uuid.UUID][]writtenEvent, len(ids))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if events, there := w.byID[id]; there {
			known[id] = events
		} else {
			others = append(others, id)
		}
	}
	return known, others
}

// eventsOf returns the events of batches, as they are remembered or else stored. A batch that is gone is left out.
func (db *DB) eventsOf(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]writtenEvent, error) {
	known, others := db.written.of(ids)
	for some := range slices.Chunk(others, mostBatches) {
		stored := make([]any, len(some))
		for i, id := range some {
			stored[i] = id[:]
		}
		among, args := db.among(1, stored)
		batches, err := list(ctx, db, scanStored, selectStored+"b.id "+among, args...)
		if err != nil {
			return nil, err
		}
		for _, b := range batches {
			known[b.ID] = writtenEvents(b.Batch)
		}
	}
	return known, nil
}
