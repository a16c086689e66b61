package audit

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// An Entry is an event with its place in the log.
type Entry struct {
	Seq    int64     // 0 for the first
	Record []byte    // the event as hashed: [Event.Record]
	Leaf   tlog.Hash // as the store keeps it, apart from the record
}

// A Checkpoint is the signed head of the log: how many events it holds and
// the root of their Merkle tree, as a signed note (C2SP tlog-checkpoint).
type Checkpoint struct {
	Size   int64
	At     time.Time
	Signed []byte
}

// A Filter selects events, newest last. Its zero value selects all but the
// first one: that takes an After of -1.
type Filter struct {
	Action  string // exactly, or a prefix that ends in a dot or star: "token.*"
	Object  string
	Actor   string
	Outcome string
	Since   time.Time // at this time or later
	Until   time.Time // before this time
	After   int64     // only places after this one; -1 for all. Events that have no place yet come last.
	Limit   int       // at most this many
}

// Store is what the log needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// LockLog makes this transaction the only one to append to the log: others wait or are refused with fault.Conflict.
	LockLog(ctx context.Context) error
	// Pending returns up to limit records that have no place yet, oldest first, with the IDs of their events.
	Pending(ctx context.Context, limit int) (ids []string, records [][]byte, err error)
	// Size is the number of events that have a place.
	Size(ctx context.Context) (int64, error)
	// Place gives events their places, from first on, and stores the new hashes of the tree (tlog.StoredHashIndex order).
	Place(ctx context.Context, first int64, ids []string, leaves []tlog.Hash, hashIndex int64, hashes []tlog.Hash) error
	// Hashes returns stored hashes of the tree.
	Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
	// AddCheckpoint stores a signed head.
	AddCheckpoint(ctx context.Context, c Checkpoint) error
	// Checkpoints lists the signed heads, smallest first.
	Checkpoints(ctx context.Context) ([]Checkpoint, error)
	// LastCheckpoint returns the newest head, or a zero one.
	LastCheckpoint(ctx context.Context) (Checkpoint, error)
	// Entries returns events by place, from first on, at most limit.
	Entries(ctx context.Context, first int64, limit int) ([]Entry, error)
	// Events lists the records that f selects with their places, -1 for those without.
	Events(ctx context.Context, f Filter) ([]Entry, error)
}
