package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
)

// Which batches have events of an object is written down for a run of 16384 places at a time, when all of them are taken: one
// row for each of 256 buckets of objects, with an entry of 20 bytes for each object and batch. A row in an index for each event
// would cost as much as all the rest. Batches that come after the last run are looked through.
const (
	objectRun     = 16384
	objectBuckets = 256
	objectEntry   = 4 + len(uuid.UUID{})
)

// An objectKey is the bucket of an object and what tells it from others there, or nearly: the batch is looked through anyway.
type objectKey struct {
	bucket uint8
	tag    [4]byte
}

func keyOf(written []byte) (k objectKey) {
	h := fnv.New64a()
	h.Write(written)
	sum := h.Sum64()
	binary.BigEndian.PutUint32(k.tag[:], uint32(sum>>32))
	k.bucket = uint8(sum % objectBuckets)
	return k
}

// objectRuns is how many runs are written down.
func (db *DB) objectRuns(ctx context.Context) (int64, error) {
	return one(ctx, db, nil, number, "SELECT COALESCE(MAX(position) + 1, 0) FROM audit_object WHERE position < $1", int64(objectBucket))
}

// IndexObjects writes down the next run, if its places are taken. All servers would write the same.
func (db *DB) IndexObjects(ctx context.Context) (bool, error) {
	run, err := db.objectRuns(ctx)
	if err != nil {
		return false, err
	}
	end := (run + 1) * objectRun
	if size, err := db.Size(ctx); err != nil || size < end {
		return false, err
	}
	rows, err := db.runEntries(ctx, run)
	if err != nil {
		return false, err
	}
	return true, db.write(ctx, bulk{way: addObjects, rows: rows}) // all or none: the row of the first bucket tells that the others are there
}

// prunedLeaf is the hash of an event without its record.
var prunedLeaf = tlog.RecordHash(nil)

// runEntries makes the rows of a run.
func (db *DB) runEntries(ctx context.Context, run int64) ([][]any, error) {
	ids, err := list(ctx, db, scanID, "SELECT batch FROM audit_place WHERE first >= $1 AND first < $2 ORDER BY first", run*objectRun, (run+1)*objectRun)
	if err != nil {
		return nil, err
	}
	known, err := db.eventsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	buckets := slices.Repeat([][]byte{{}}, objectBuckets)
	for _, id := range ids {
		for _, e := range known[id] {
			if e.leaf == prunedLeaf {
				continue
			}
			buckets[e.object.bucket] = addEntry(buckets[e.object.bucket], e.object.tag, id)
		}
	}
	rows := make([][]any, len(buckets))
	for n, entries := range buckets {
		rows[n] = []any{entries, int64(n)*objectBucket + run}
	}
	return rows, nil
}

// addEntry adds an entry unless the bucket has it. Those of the same batch are the last that were added.
func addEntry(entries []byte, tag [4]byte, batch uuid.UUID) []byte {
	for end := len(entries); end > 0; end -= objectEntry {
		known := entries[end-objectEntry : end]
		if !bytes.Equal(known[len(tag):], batch[:]) {
			break
		}
		if bytes.HasPrefix(known, tag[:]) {
			return entries
		}
	}
	return append(append(entries, tag[:]...), batch[:]...)
}

// find lists the batches that may have events of the object, in the order of the search.
func (s *search) find(ctx context.Context) error {
	// What gets its place meanwhile is found twice rather than missed: the waiting come first, and the runs before what they leave.
	found, err := list(ctx, s.db, scanID, "SELECT id FROM audit_waiting WHERE id >= $1 AND id <= $2", s.first[:], s.last[:])
	if err != nil {
		return err
	}
	runs, err := s.db.objectRuns(ctx)
	if err != nil {
		return err
	}
	late, err := list(ctx, s.db, scanID, "SELECT batch FROM audit_place WHERE first >= $1", runs*objectRun)
	if err != nil {
		return err
	}
	found = append(found, late...)
	object := keyOf(audit.WrittenObject(s.filter.Object))
	scan := func(r row) (struct{}, error) {
		entries, err := blob(r)
		for entry := range slices.Chunk(entries, objectEntry) {
			if id, ours := bytes.CutPrefix(entry, object.tag[:]); ours && len(id) == len(uuid.UUID{}) {
				found = append(found, uuid.UUID(id))
			}
		}
		return struct{}{}, err
	}
	begin := int64(object.bucket) * objectBucket
	if _, err := list(ctx, s.db, scan, "SELECT entries FROM audit_object WHERE position >= $1 AND position < $2", begin, begin+objectBucket); err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	found = slices.Compact(found)
	if s.filter.Newest {
		slices.Reverse(found)
	}
	for _, id := range found {
		if !less(id, s.first) && !less(s.last, id) {
			s.ids = append(s.ids, id[:])
		}
	}
	return nil
}
