package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

const (
	// batch is how many events get their place in one transaction: enough for
	// every burst, and a few milliseconds at most for those who wait for the lock.
	batch = 1000
	// period is the pause between rounds: half of the second within which an event is to be sealed.
	period = 500 * time.Millisecond
	// lastRound is how long a stopping server may take to place what is left.
	lastRound = 5 * time.Second
	// remind is how often an error that stays is logged again.
	remind = time.Minute
)

// A Log gives events their places. Any number of servers may run one each on
// the same database: whoever holds the lock does the round, the others try
// again later.
//
// Every round that places events signs one checkpoint, so a busy log gains two
// a second, each of some 250 bytes. A checkpoint binds all events before it:
// all but the newest may be thinned out (say, to one an hour after a month) in
// the database and in the file, at the price that a rewritten past is located
// less closely.
type Log struct {
	Store    Store
	Signer   note.Signer
	Verifier note.Verifier // of the same key
	// Outside is the file that checkpoints are appended to, one of its own for
	// each server and not on the database's disk if it can be helped. With ""
	// there is none, and who can write to the database can cut off its newest
	// events unseen by anything but an older checkpoint kept elsewhere.
	Outside string
	Now     func() time.Time
	Logger  *slog.Logger

	mu       sync.Mutex
	recalled bool
	known    Head  // the newest head that this server has seen
	saved    int64 // size of the newest checkpoint in Outside
}

// Run sequences twice a second until ctx ends, and then once more. It holds no
// lock between rounds. Errors go to the log, and the next round tries again.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	var trouble trouble
	for ctx.Err() == nil {
		trouble.tell(l, l.drain(ctx))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRound)
	defer cancel()
	trouble.tell(l, l.drain(last))
}

// drain sequences until nothing is left.
func (l *Log) drain(ctx context.Context) error {
	for {
		if n, err := l.Sequence(ctx); err != nil || n < batch {
			return err
		}
	}
}

// trouble logs an error when it comes, when it stays and when it goes, but not in every round.
type trouble struct {
	text string
	at   time.Time
}

func (t *trouble) tell(l *Log, err error) {
	now := l.Now()
	switch {
	case err == nil && t.text != "":
		l.Logger.Info("audit log is sequenced again")
		*t = trouble{}
	case err == nil, errors.Is(err, context.Canceled):
	case err.Error() != t.text || now.Sub(t.at) >= remind:
		l.Logger.Error("audit log is not sequenced", "error", err, "code", fault.CodeOf(err))
		*t = trouble{err.Error(), now}
	}
}

// Sequence does one round: it gives up to 1000 waiting events their places and
// signs the new head, in one transaction, and then sees that the newest
// checkpoint is outside the database too, whoever signed it. What a crash or
// an error left undone, the next round does.
//
// Another server at the same work is no error. The round is refused with
// [fault.AuditTampered], and so is every later one, if the log in the database
// is not the one that was signed last: a rewritten past gets no new signature.
func (l *Log) Sequence(ctx context.Context) (placed int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.recall(); err != nil {
		return 0, err
	}
	waiting, _, err := l.Store.Pending(ctx, 1) // looking first leaves the lock alone while nothing happens
	if err != nil {
		return 0, err
	}
	if len(waiting) > 0 {
		placed, err = l.place(ctx)
		if err != nil && !errors.Is(err, fault.Conflict) {
			return 0, err
		}
	}
	return placed, l.publish(ctx)
}

// recall reads, once, what an earlier run of the server left in the file.
func (l *Log) recall() error {
	if l.recalled || l.Outside == "" {
		return nil
	}
	h, err := lastOutside(l.Outside, l.Verifier)
	if err != nil {
		return fault.Wrap(err, "reading the last audit checkpoint outside the database")
	}
	l.known, l.saved, l.recalled = h, h.N, true
	return nil
}

// place is the transaction of a round.
func (l *Log) place(ctx context.Context) (placed int, err error) {
	err = l.Store.Transact(ctx, func(ctx context.Context) error {
		placed = 0
		if err := l.Store.LockLog(ctx); err != nil {
			return err
		}
		ids, records, err := l.Store.Pending(ctx, batch)
		if err != nil || len(ids) == 0 {
			return err
		}
		_, t, err := l.head(ctx)
		if err != nil {
			return err
		}
		first, err := l.Store.Size(ctx)
		if err != nil {
			return err
		}
		if first != t.size {
			return fault.New(fault.AuditTampered, "the audit log holds %d events but %d were signed", first, t.size)
		}
		leaves := make([]tlog.Hash, len(records))
		var hashes []tlog.Hash
		for i, record := range records {
			leaves[i] = tlog.RecordHash(record)
			hashes = t.add(hashes, leaves[i])
		}
		if err := l.Store.Place(ctx, first, ids, leaves, tlog.StoredHashCount(first), hashes); err != nil {
			return err
		}
		c, err := sign(Head{tlog.Tree{N: t.size, Hash: t.root()}, l.Now().UTC()}, l.Signer)
		if err != nil {
			return err
		}
		placed = len(ids)
		return l.Store.AddCheckpoint(ctx, c)
	})
	if err != nil {
		return 0, err
	}
	return placed, nil
}

// head opens the newest checkpoint in the database and returns it with its
// tree. It refuses one that is not signed, that the stored tree does not have
// as its root, or that does not extend the newest head known to this server.
func (l *Log) head(ctx context.Context) (Checkpoint, tree, error) {
	c, err := l.Store.LastCheckpoint(ctx)
	if err != nil {
		return Checkpoint{}, tree{}, err
	}
	var h Head
	if len(c.Signed) > 0 {
		if h, err = c.Open(l.Verifier); err != nil {
			return Checkpoint{}, tree{}, err
		}
	}
	if h.N < l.known.N {
		return Checkpoint{}, tree{}, l.shrunk(h)
	}
	t, err := l.load(ctx, h)
	if err == nil && l.known.Tree != h.Tree {
		_, err = l.load(ctx, l.known)
	}
	return c, t, err
}

// shrunk refuses a database that is older than what is known of it.
func (l *Log) shrunk(h Head) error {
	err := fault.New(fault.AuditTampered, "the audit log ends at %d but the checkpoint of %s signed %d events: newer ones were cut off",
		h.N, l.known.At.Format(time.RFC3339), l.known.N)
	if l.Outside != "" {
		err.Message += "; if the database was restored from a backup, keep " + l.Outside + " as evidence under another name and start again"
	}
	return err
}

// load reads the stored tree of a signed head and holds it against its root.
func (l *Log) load(ctx context.Context, h Head) (tree, error) {
	t, err := loadTree(ctx, l.Store, h.N)
	if err == nil && h.N > 0 && t.root() != h.Hash {
		err = fault.New(fault.AuditTampered, "the first %d events of the audit log are not those that were signed at %s: run tallystick audit verify",
			h.N, h.At.Format(time.RFC3339))
	}
	return t, err
}

// publish appends the newest checkpoint to the file outside the database,
// unless it is there. Earlier ones that are missing stay out: the newest binds
// their events too.
func (l *Log) publish(ctx context.Context) error {
	c, t, err := l.head(ctx)
	if err != nil {
		return err
	}
	l.known = Head{tlog.Tree{N: t.size, Hash: t.root()}, c.At}
	if l.Outside == "" || t.size <= l.saved {
		return nil
	}
	if err := appendOutside(l.Outside, c.Signed); err != nil {
		return fault.Wrap(err, "keeping the audit checkpoint of size %d outside the database", c.Size)
	}
	l.saved = c.Size
	return nil
}
