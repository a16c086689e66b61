package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

// An event that is older than its category is to be kept loses its record, never its place: its hash stays in its tile, so that the tree is what
// it was, and with it every signed head. What lost its records is told by events of the log itself (pruneAction), which are kept for ever: so
// [Verify] tells what was pruned from what somebody took away.

const (
	// segment is how many places an event of pruning is about, and one transaction prunes, at most.
	segment = 4096
	// pruneAction is the action of the events that tell of pruning, and logObject their object.
	pruneAction = "audit.prune"
	logObject   = "audit:log"
	// headsKept is how long each signed head is kept; then it is one for a segment.
	headsKept = 30 * day
	// breath is what others are left of the database between two prunings, or others times what the first of them took, if that is more.
	breath = 50 * time.Millisecond
	others = 4

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
	other := Marks{}
	maps.Copy(other, m)
	other[c] = place
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
// It asks before each step how long they are kept, since there may be many steps and settings are mended: nil ends it. The caller's clock must be
// one that can be relied on: what a clock that is ahead prunes too early is gone.
func (l *Log) Prune(ctx context.Context, kept func(context.Context) (Retention, error)) error {
	for _, c := range append(Categories(), heads) {
		for more := true; more; {
			keep, err := kept(ctx)
			if err != nil || keep == nil {
				return err
			}
			begun := time.Now()
			switch life, some := keep[c]; {
			case c == heads:
				more, err = l.pruneHeads(ctx)
			case some:
				more, err = l.pruneNext(ctx, c, max(life, MinRetention))
			default:
				more = false
				continue
			}
			if errors.Is(err, fault.Conflict) {
				return nil // another server is at it
			}
			if err != nil {
				return err
			}
			select {
			case <-time.After(max(breath, others*time.Since(begun))):
			case <-ctx.Done():
				return ctx.Err()
			}
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
	first, mark := marks[c]-marks[c]%segment, marks[c]
	limit, err := l.sealed(ctx, mark, first+segment)
	if err != nil || limit == mark {
		return false, err
	}
	entries, err := l.Store.Entries(ctx, mark, segment)
	if err != nil {
		return false, err
	}
	old, lost, end, due := l.old(c, life, mark, limit, entries)
	whole := end == first+segment
	if !whole && !due {
		return false, nil
	}
	p := Pruning{Before: marks, After: marks.with(c, end)}
	if p.Places, err = l.genuine(ctx, old); err != nil {
		return false, err
	}
	err = l.Store.Transact(ctx, func(ctx context.Context) error {
		if err := l.Store.Prune(ctx, p); err != nil || len(p.Places) == 0 {
			return err
		}
		first, last := p.Places[0], p.Places[len(p.Places)-1]
		return l.Store.RecordAll(ctx, []Event{New(ctx, l.Now(), pruneAction, logObject, Details{
			"category": string(c), "kept_days": int(life / day), "pruned": len(p.Places), "first": first, "last": last, "places": written(p.Places),
		})})
	})
	if err == nil && len(lost) > 0 { // whoever came past it says so; nothing tells that these were pruned
		l.Logger.ErrorContext(ctx, "events of the audit log are missing: run tallystick audit verify",
			"code", fault.AuditTampered, "pruning", c, "first", lost[0], "last", lost[len(lost)-1], "events", len(lost))
	}
	return whole, err
}

// sealed is up to where places, of those from the mark up to the end, were signed longer ago than [MinRetention]: an event that waited for its
// place, or came from a backup, is as old as that. So [Verify] need not believe that anything younger was pruned, whatever tells it.
func (l *Log) sealed(ctx context.Context, mark, end int64) (int64, error) {
	old := l.Now().Add(-MinRetention)
	behind, err := l.Store.Checkpoints(ctx, end-1, 1)
	if err != nil {
		return 0, err
	}
	if len(behind) == 0 || !behind[0].At.Before(old) {
		if behind, err = l.Store.Checkpoints(ctx, mark, segment); err != nil {
			return 0, err
		}
	}
	for _, c := range slices.Backward(behind) {
		if c.At.Before(old) {
			h, err := c.Open(l.Verifier)
			if err != nil {
				return 0, err
			}
			if h.At.Before(old) {
				return min(h.N, end), nil
			}
		}
	}
	return mark, nil
}

// old looks through a segment: what of a category is to go from the mark on, and which places have no event although later ones do, up to the end,
// which is the limit or where its events are not old enough any more. It is due, though the segment goes on, once the first of these is a day too old.
func (l *Log) old(c Category, life time.Duration, mark, limit int64, entries []Entry) (all []Entry, lost []int64, end int64, due bool) {
	now := l.Now()
	end = mark
	for _, entry := range entries {
		if entry.Seq < end {
			continue
		}
		e, known := glance(entry.Record)
		known = known && !e.At.After(now) // what cannot be read stays as well
		if known && !e.At.Before(now.Add(-life)) {
			break
		}
		for ; end < min(entry.Seq, limit); end++ {
			lost = append(lost, end)
		}
		if end == limit {
			break
		}
		end++
		if known && e.Action != pruneAction && e.Category() == c {
			all = append(all, entry)
			due = due || e.At.Before(now.Add(-life-day))
		}
	}
	return all, lost, end, due
}

// genuine are the places of those entries whose events are the ones that were signed: what somebody made look old in the database would
// otherwise be gone for good, and told of as if it had been. What was changed stays, to be seen.
func (l *Log) genuine(ctx context.Context, entries []Entry) ([]int64, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.recall(); err != nil {
		return nil, err
	}
	_, e, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	signed := signedTiles{l.Store, e, map[TileAt][]byte{}}
	var right []int64
	for _, entry := range entries {
		at, offset := LeafTile(entry.Seq)
		hashes, err := signed.at(ctx, at)
		if err != nil {
			return nil, err
		}
		if leaf := tlog.RecordHash(entry.Record); offset < len(hashes) && bytes.Equal(leaf[:], hashes[offset:offset+tlog.HashSize]) {
			right = append(right, entry.Seq)
		}
	}
	return right, nil
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

// written is how an event of pruning names places of a segment: a bit for each from the first of them to the last, in base64.
func written(places []int64) string {
	first := places[0]
	bits := make([]byte, (places[len(places)-1]-first)/8+1)
	for _, place := range places {
		bits[(place-first)/8] |= 1 << ((place - first) % 8)
	}
	return base64.StdEncoding.EncodeToString(bits)
}

// prunedBy reads an event of pruning: which places it tells of, and how long events of the category had been kept; no places if it is not one.
func prunedBy(record []byte) (places []int64, c Category, days int64) {
	if string(memberOf(record, actionMember)) != pruneAction {
		return nil, "", 0
	}
	e, err := ParseRecord(record)
	if err != nil || e.Actor.Name != serverActor {
		return nil, "", 0
	}
	number := func(name string) int64 {
		n, _ := e.Details[name].(json.Number)
		i, wrong := n.Int64()
		err = errors.Join(err, wrong)
		return i
	}
	first, days := number("first"), number("kept_days")
	category, _ := e.Details["category"].(string)
	text, _ := e.Details["places"].(string)
	bits, _ := base64.StdEncoding.DecodeString(text)
	if err != nil || first < 0 || first > math.MaxInt64-segment || len(bits) > segment/8 || !slices.Contains(Categories(), Category(category)) {
		return nil, "", 0
	}
	for i := range 8 * len(bits) {
		if bits[i/8]&(1<<(i%8)) != 0 {
			places = append(places, first+int64(i))
		}
	}
	return places, Category(category), days
}

// A placeSet is a set of places: a bit for each of the segments, by their numbers, that have some.
type placeSet map[int64]*[segment / 8]byte

func (s placeSet) add(place int64) {
	bits := s[place/segment]
	if bits == nil {
		bits = new([segment / 8]byte)
		s[place/segment] = bits
	}
	bits[place%segment/8] |= 1 << (place % 8)
}

func (s placeSet) has(place int64) bool {
	bits := s[place/segment]
	return bits != nil && bits[place%segment/8]&(1<<(place%8)) != 0
}

// all are the places in order.
func (s placeSet) all() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for _, n := range slices.Sorted(maps.Keys(s)) {
			for place := n * segment; place < (n+1)*segment; place++ {
				if s.has(place) && !yield(place) {
					return
				}
			}
		}
	}
}

// within tells whether all of the places are in another set, too.
func (s placeSet) within(other placeSet) bool {
	for n, bits := range s {
		theirs := other[n]
		if theirs == nil {
			return false
		}
		for i, b := range bits {
			if b&^theirs[i] != 0 {
				return false
			}
		}
	}
	return true
}
