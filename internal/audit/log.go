package audit

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// An Entry is an event with its place in the log.
type Entry struct {
	Seq    int64     // 0 for the first; -1 for an event that has no place yet
	Record []byte    // the event as hashed: [Event.Record]; empty once it was pruned
	Leaf   tlog.Hash // as the tree keeps it, apart from the record
}

// A Checkpoint is the signed head of the log: how many events it holds and
// the root of their Merkle tree, as a signed note (C2SP tlog-checkpoint).
type Checkpoint struct {
	Size   int64
	At     time.Time
	Signed []byte
}

// Store is what the log needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// LockLog makes this transaction the only one to append to the log: others wait or are refused with fault.Conflict.
	LockLog(ctx context.Context) error
	// Waiting returns batches that have no place yet, oldest first: at most MaxRound, and no more when they hold events or more.
	Waiting(ctx context.Context, events int) ([]Waiting, error)
	// Pending is the number of events that have no place yet.
	Pending(ctx context.Context) (int, error)
	// Size is the number of events that have a place.
	Size(ctx context.Context) (int64, error)
	// Place gives the events of batches their places, from first on, and keeps tiles; fault.Conflict if one of the batches has its places already.
	Place(ctx context.Context, first int64, batches []Waiting, tiles []Tile) error
	// Tiles returns the hashes of tiles, those that are there.
	Tiles(ctx context.Context, at []TileAt) (map[TileAt][]byte, error)
	// AddCheckpoint stores a signed head.
	AddCheckpoint(ctx context.Context, c Checkpoint) error
	// Checkpoints returns the signed heads larger than after, smallest first, at most limit.
	Checkpoints(ctx context.Context, after int64, limit int) ([]Checkpoint, error)
	// NewestCheckpoints returns the newest heads, smallest first, at most limit.
	NewestCheckpoints(ctx context.Context, limit int) ([]Checkpoint, error)
	// LastCheckpoint returns the newest head, or a zero one.
	LastCheckpoint(ctx context.Context) (Checkpoint, error)
	// Entries returns events by place, from first on, at most limit.
	Entries(ctx context.Context, first int64, limit int) ([]Entry, error)
	// Events lists the events that f selects, whether they have a place or not.
	Events(ctx context.Context, f Filter) (Page, error)
	// Changes returns the events after a place that want chooses, at most limit, and the place of the last one that was looked at.
	Changes(ctx context.Context, after int64, want func(record []byte) bool, limit int) ([]Entry, int64, error)
	// Pruned returns the marks up to which events were pruned.
	Pruned(ctx context.Context) (Marks, error)
	// Prune does a pruning, in the transaction of ctx; fault.Conflict if the marks are others than those before it.
	Prune(ctx context.Context, p Pruning) error
	// RecordAll keeps events, in the transaction of ctx.
	RecordAll(ctx context.Context, events []Event) error
	// IndexObjects prepares the next run of events that have places to be found by their objects, and tells whether there was one.
	IndexObjects(ctx context.Context) (bool, error)
}
