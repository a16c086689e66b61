package audit

import (
	"bytes"
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
	// roundEvents is how many events get their places in one transaction, or a few more: half a second's at 16,000/s. What takes time
	// is done before it, and the transaction writes two narrow rows a batch: a few milliseconds for those who wait for it on SQLite.
	roundEvents = 8192
	// MaxRound is how many batches get their places in one transaction.
	MaxRound = 512
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

	watch watch
}

// Run sequences twice a second until ctx ends, and then once more. It holds no
// lock between rounds. Errors go to the log, and the next round tries again.
func (l *Log) Run(ctx context.Context) {
	l.watch.end(false)
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
	l.watch.end(true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRound)
	defer cancel()
	trouble.tell(l, l.drain(last))
}

// drain sequences until nothing is left that was there when it began, and then indexes what is new.
func (l *Log) drain(ctx context.Context) error {
	left, err := l.Store.Pending(ctx)
	if err != nil {
		return err
	}
	n, ours, err := l.round(ctx, true)
	for left -= n; err == nil && n > 0 && left > 0; left -= n {
		n, _, err = l.round(ctx, false)
	}
	for more := ours; more && err == nil; {
		more, err = l.Store.IndexObjects(ctx)
	}
	return err
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

// Sequence does one round: it gives up to some 8000 waiting events their places
// and signs the new head, in one transaction, and then sees that the newest
// checkpoint is outside the database too, whoever signed it. What a crash or
// an error left undone, the next round does.
//
// Another server at the same work is no error. The round is refused with
// [fault.AuditTampered], and so is every later one, if the log in the database
// is not the one that was signed last: a rewritten past gets no new signature.
func (l *Log) Sequence(ctx context.Context) (placed int, err error) {
	placed, _, err = l.round(ctx, false)
	return placed, err
}

// round does one round. A server that stands back leaves the work to another one that has done some since it looked last: two
// would prepare the same, and one in vain.
func (l *Log) round(ctx context.Context, standBack bool) (placed int, ours bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.recall(); err != nil {
		return 0, false, err
	}
	c, e, err := l.head(ctx)
	if err != nil {
		return 0, false, err
	}
	if standBack && c.Size != l.known.N {
		return 0, false, l.publish(c, e)
	}
	batches, err := l.Store.Waiting(ctx, roundEvents)
	if err != nil {
		return 0, false, err
	}
	if len(batches) > 0 {
		if c, placed, err = l.place(ctx, c, &e, batches); errors.Is(err, fault.Conflict) {
			return 0, false, nil // another server was faster; the next round sees that what it signed is outside the database
		} else if err != nil {
			return 0, false, err
		}
	}
	return placed, true, l.publish(c, e)
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

// place gives batches the places after the newest head c, and signs the next. The tree e grows to it.
func (l *Log) place(ctx context.Context, c Checkpoint, e *edge, batches []Waiting) (next Checkpoint, placed int, err error) {
	first := e.size
	var leaves []tlog.Hash
	for _, b := range batches {
		leaves = append(leaves, b.Leaves...)
	}
	tiles := e.append(leaves)
	next, err = sign(Head{tlog.Tree{N: e.size, Hash: e.root()}, l.Now().UTC()}, l.Signer)
	if err != nil {
		return Checkpoint{}, 0, err
	}
	err = l.Store.Transact(ctx, func(ctx context.Context) error {
		if err := l.Store.LockLog(ctx); err != nil {
			return err
		}
		now, err := l.Store.LastCheckpoint(ctx)
		if err != nil {
			return err
		}
		if !bytes.Equal(now.Signed, c.Signed) {
			return fault.New(fault.Conflict, "another server has appended to the audit log")
		}
		size, err := l.Store.Size(ctx)
		if err != nil {
			return err
		}
		if size != first {
			return fault.New(fault.AuditTampered, "the audit log holds %d events but %d were signed", size, first)
		}
		if err := l.Store.Place(ctx, first, batches, tiles); err != nil {
			return err
		}
		return l.Store.AddCheckpoint(ctx, next)
	})
	return next, len(leaves), err
}

// head opens the newest checkpoint in the database and returns it with its
// tree. It refuses one that is not signed, that the stored tree does not have
// as its root, or that does not extend the newest head known to this server.
func (l *Log) head(ctx context.Context) (Checkpoint, edge, error) {
	c, err := l.Store.LastCheckpoint(ctx)
	if err != nil {
		return Checkpoint{}, edge{}, err
	}
	var h Head
	if len(c.Signed) > 0 {
		if h, err = c.Open(l.Verifier); err != nil {
			return Checkpoint{}, edge{}, err
		}
	}
	if h.N < l.known.N {
		return Checkpoint{}, edge{}, l.shrunk(h)
	}
	e, err := l.load(ctx, h)
	if err == nil && l.known.Tree != h.Tree {
		_, err = l.load(ctx, l.known)
	}
	return c, e, err
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
func (l *Log) load(ctx context.Context, h Head) (edge, error) {
	e, err := loadEdge(ctx, l.Store, h.N)
	if err == nil && h.N > 0 && e.root() != h.Hash {
		err = fault.New(fault.AuditTampered, "the first %d events of the audit log are not those that were signed at %s: run tallystick audit verify",
			h.N, h.At.Format(time.RFC3339))
	}
	return e, err
}

// publish appends the newest checkpoint to the file outside the database,
// unless it is there. Earlier ones that are missing stay out: the newest binds
// their events too.
func (l *Log) publish(c Checkpoint, e edge) error {
	l.known = Head{tlog.Tree{N: e.size, Hash: e.root()}, c.At}
	l.watch.grown(e.size)
	if l.Outside == "" || e.size <= l.saved {
		return nil
	}
	if err := appendOutside(l.Outside, c.Signed); err != nil {
		return fault.Wrap(err, "keeping the audit checkpoint of size %d outside the database", c.Size)
	}
	l.saved = c.Size
	return nil
}
