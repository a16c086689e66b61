package audit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// An event that is older than its category is to be kept loses its record, never its place: its hash stays in its tile, so that the tree is what
// it was, and with it every signed head. What lost its records is told by events of the log itself (pruneAction), which are kept for ever: so
// [Verify] tells what was pruned from what somebody took away.

const (
	// segment is how many places an event of pruning is about, and one transaction prunes at most.
	segment = 4096
	// pruneAction is the action of the events that tell of pruning, and logObject their object.
	pruneAction = "audit.prune"
	logObject   = "audit:log"
	// headsKept is how long each signed head is kept; then it is one for a segment.
	headsKept = 30 * day
	// breath is what others are left of the database between two prunings.
	breath = 50 * time.Millisecond

	day = 24 * time.Hour
)

// MinRetention is the least that events can be kept for: what reads the log to react to it has this time to do so.
const MinRetention = 30 * day

// A Retention is how long the events of each category are kept, at least [MinRetention]; those of one that is not in it are kept for ever.
type Retention map[Category]time.Duration

// heads are the signed heads where they have a mark like a category of events.
const heads Category = "heads"

// Marks are the places up to which the events of categories were pruned.
type Marks map[Category]int64

// with are marks of which one is elsewhere.
func (m Marks) with(c Category, place int64) Marks {
	other := Marks{c: place}
	for known, at := range m {
		if known != c {
			other[known] = at
		}
	}
	return other
}

// A Pruning is what is taken away next.
type Pruning struct {
	Before, After Marks
	Places        []int64  // of the events that lose their records, in order
	Heads         [2]int64 // of the signed heads larger than the first up to the second all go but the largest
}

// Prune takes away the records of all events that are older than keep says, in the order of the log and within a day after that, and all heads
// of more than a month ago but one for each segment. Any number of servers may do so: who comes second leaves it to the other. What seems to
// come from the future stays for ever.
//
// The caller's clock must be one that can be relied on: what a clock that is ahead prunes too early is gone.
func (l *Log) Prune(ctx context.Context, keep Retention) error {
	for _, c := range append(Categories(), heads) {
		life, some := keep[c]
		next := func() (more bool, err error) { return l.pruneNext(ctx, c, max(life, MinRetention)) }
		if c == heads {
			next, some = func() (more bool, err error) { return l.pruneHeads(ctx) }, true
		}
		for some {
			more, err := next()
			if errors.Is(err, fault.Conflict) {
				return nil // another server is at it
			}
			if err != nil {
				return err
			}
			select {
			case <-time.After(breath):
			case <-ctx.Done():
				return ctx.Err()
			}
			some = more
		}
	}
	return nil
}

// pruneNext prunes a category in the segment that it has come to, and tells whether there may be more to do at once.
func (l *Log) pruneNext(ctx context.Context, c Category, life time.Duration) (more bool, err error) {
	marks, err := l.Store.Pruned(ctx)
	if err != nil {
		return false, err
	}
	first := marks[c] - marks[c]%segment
	entries, err := l.Store.Entries(ctx, first, segment)
	if err != nil {
		return false, err
	}
	p, gone, due := l.pruning(c, life, marks[c], entries)
	whole := p.After[c] == first+segment
	if !whole && !due {
		return false, nil
	}
	p.Before, p.After = marks, marks.with(c, p.After[c])
	return whole, l.Store.Transact(ctx, func(ctx context.Context) error {
		if err := l.Store.Prune(ctx, p); err != nil || len(p.Places) == 0 {
			return err
		}
		lacks := gone.lacking()
		return l.Store.RecordAll(ctx, []Event{New(ctx, l.Now(), pruneAction, logObject, Details{
			"category": string(c), "kept_days": int(life / day), "pruned": len(p.Places), "first": first, "last": first + segment - 1, "gone": lacks.gone, "places": lacks.places,
		})})
	})
}

// pruning looks through a segment: what of a category is to go from the mark on, up to where its events are not old enough any more, and what the
// segment lacks then. It is due, though the segment goes on, once the first of these is a day too old.
func (l *Log) pruning(c Category, life time.Duration, mark int64, entries []Entry) (p Pruning, gone gap, due bool) {
	now := l.Now()
	end := mark
	for _, entry := range entries {
		e, known := glance(entry.Record)
		known = known && !e.At.After(now) // what cannot be read stays as well
		old := entry.Seq == end && (!known || e.At.Before(now.Add(-life)))
		if old {
			end++
		}
		switch {
		case old && known && e.Action != pruneAction && e.Category() == c:
			p.Places = append(p.Places, entry.Seq)
			due = due || e.At.Before(now.Add(-life-day))
			gone.add(entry.Seq)
		case len(entry.Record) == 0:
			gone.add(entry.Seq)
		}
	}
	p.After = Marks{c: end}
	return p, gone, due
}

// glance reads no more of a record than its category and its age take, in a fraction of what all of it takes.
func glance(record []byte) (e Event, known bool) {
	at, err := time.Parse(time.RFC3339Nano, string(memberOf(record, timeMember)))
	e = Event{At: at, Action: string(memberOf(record, actionMember)), Actor: Actor{Name: string(memberOf(record, actorMember))}}
	return e, err == nil && e.Action != ""
}

// pruneHeads prunes the heads of the next segment, as pruneNext does with events: once those after it are old.
func (l *Log) pruneHeads(ctx context.Context) (more bool, err error) {
	marks, err := l.Store.Pruned(ctx)
	if err != nil {
		return false, err
	}
	first, end := marks[heads], marks[heads]+segment
	after, err := l.Store.Checkpoints(ctx, end, 1)
	if err != nil || len(after) == 0 || !after[0].At.Before(l.Now().Add(-headsKept)) {
		return false, err
	}
	return true, l.Store.Transact(ctx, func(ctx context.Context) error {
		return l.Store.Prune(ctx, Pruning{Before: marks, After: marks.with(heads, end), Heads: [2]int64{first, end}})
	})
}

// A gap is which places of a segment have no record.
type gap struct {
	first, last int64 // the outermost of them
	count       int64
	numbers     []byte // 8 bytes each, big-endian, in order
	pruned             // these, once they are all known
}

func (g *gap) add(place int64) {
	if g.count == 0 {
		g.first = place
	}
	g.last = place
	g.count++
	g.numbers = binary.BigEndian.AppendUint64(g.numbers, uint64(place))
}

// lacking is what an event of pruning tells of the gap.
func (g *gap) lacking() pruned {
	sum := sha256.Sum256(g.numbers)
	return pruned{g.count, base64.StdEncoding.EncodeToString(sum[:])}
}

// A pruned is what a segment lacks: how many records, and the SHA-256 of the numbers of their places.
type pruned struct {
	gone   int64
	places string
}

// prunedBy reads an event of pruning: what a segment lacks, by its first place; false if it is none.
func prunedBy(record []byte) (first int64, p pruned, ok bool) {
	if string(memberOf(record, actionMember)) != pruneAction {
		return 0, p, false
	}
	e, err := ParseRecord(record)
	if err != nil || e.Actor.Name != serverActor {
		return 0, p, false
	}
	number := func(name string) int64 {
		n, _ := e.Details[name].(json.Number)
		v, _ := n.Int64()
		return v
	}
	p.gone = number("gone")
	p.places, _ = e.Details["places"].(string)
	return number("first"), p, true
}
