package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Source is where [Verify] reads a log: a [Store], or what a server answers.
type Source interface {
	// Entries returns events by place, from first on, at most limit; none at the end of the log.
	Entries(ctx context.Context, first int64, limit int) ([]Entry, error)
	// Checkpoints returns the signed heads larger than after, smallest first, at most limit; none after the newest.
	Checkpoints(ctx context.Context, after int64, limit int) ([]Checkpoint, error)
	// Pending is the number of events that have no place yet.
	Pending(ctx context.Context) (int, error)
}

// A Kind of problem.
type Kind string

// What can be wrong with a log.
const (
	Changed      Kind = "changed"       // the event at First is not the one that was signed
	HashChanged  Kind = "hash_changed"  // the stored hash at First was changed; the event is the one that was signed
	Moved        Kind = "moved"         // the events at First and Last are not in their places
	Missing      Kind = "missing"       // the events from First to Last are gone
	Inserted     Kind = "inserted"      // there is a second event at the place First
	CutOff       Kind = "cut_off"       // the log ends before First, but events up to Last were signed
	Unsigned     Kind = "unsigned"      // from First on events have places that nobody signed
	Rewritten    Kind = "rewritten"     // between First and Last there are other events than were signed, with hashes that fit them
	BadSignature Kind = "bad_signature" // the checkpoint of size First is not one of this log
	Fork         Kind = "fork"          // the checkpoint of size First is signed, but for another history
)

// A Problem says what is wrong and where.
type Problem struct {
	Kind  Kind   `json:"kind"`
	First int64  `json:"first"` // place, or size of a checkpoint
	Last  int64  `json:"last"`  // First, or the other end
	Text  string `json:"text"`  // in words
}

// A Report is what [Verify] found.
type Report struct {
	Events      int64     `json:"events"`      // read
	Pruned      int64     `json:"pruned"`      // of these, without their records since they were older than they are kept
	KeptDays    KeptDays  `json:"kept_days"`   // what these prunings went by
	Pending     int       `json:"pending"`     // have no place yet
	Checkpoints int       `json:"checkpoints"` // that the events were found to agree with
	Size        int64     `json:"size"`        // of the largest of these
	Root        tlog.Hash `json:"root"`
	At          time.Time `json:"at"`       // when it was signed
	Problems    []Problem `json:"problems"` // by place
	Omitted     int       `json:"omitted"`  // problems beyond the first 1000
}

// KeptDays are the days that the events of each category were kept for when some were pruned, in order: more than one if that was changed meanwhile.
type KeptDays map[Category][]int64

func (k KeptDays) add(c Category, days int64) {
	if at, known := slices.BinarySearch(k[c], days); !known {
		k[c] = slices.Insert(k[c], at, days)
	}
}

// Err is nil for an intact log, else [fault.AuditTampered] with the first problem in words, and all of them as facts.
func (r Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	err := fault.New(fault.AuditTampered, "%s", r.Problems[0].Text).With("problems", r.Problems).With("omitted", r.Omitted)
	if more := len(r.Problems) + r.Omitted - 1; more > 0 {
		err.Message = fmt.Sprintf("%s; and %d more", err.Message, more)
	}
	return err
}

// maxProblems bounds the report on a log that is wrong everywhere.
const maxProblems = 1000

// Verify recomputes the tree of the log from its events and compares it with
// every checkpoint, those in the database and those that were kept outside it
// (see [ParseCheckpoints]; read them first if the log is in use). Memory grows
// with the number of checkpoints, by 64 bytes each, and with that of the events
// that were pruned, by 2 bits each, and not with the others.
// An error means that the source could not be read; what is wrong with the log
// is in the report.
//
// A checkpoint tells that the events before it are right, or that one of them
// is not. Which one it is, the stored leaf hashes tell while they still fit the
// checkpoint; if they were rewritten too, the report names the range between
// the last checkpoint that agrees and the first that does not.
func Verify(ctx context.Context, src Source, key note.Verifier, outside []Checkpoint) (Report, error) {
	v := verification{report: Report{KeptDays: KeptDays{}, Problems: []Problem{}}, whole: true, firstBad: -1, gaps: placeSet{}, told: placeSet{}}
	err := eachCheckpoint(ctx, src, 0, func(c Checkpoint) bool {
		v.open(key, c)
		return true
	})
	if err != nil {
		return Report{}, err
	}
	for _, c := range outside {
		v.open(key, c)
	}
	v.order()
	if err := v.read(ctx, src); err != nil {
		return Report{}, err
	}
	if err := v.readOn(ctx, src, key); err != nil {
		return Report{}, err
	}
	if err := v.end(ctx, src, key); err != nil {
		return Report{}, err
	}
	if v.report.Pending, err = src.Pending(ctx); err != nil {
		return Report{}, err
	}
	v.conclude()
	return v.report, nil
}

// eachCheckpoint gives the signed heads larger than after to do, page by page, until it has enough.
func eachCheckpoint(ctx context.Context, src Source, after int64, do func(Checkpoint) (more bool)) error {
	for {
		page, err := src.Checkpoints(ctx, after, MaxPage)
		if err != nil {
			return err
		}
		before := after
		for _, c := range page {
			if !do(c) {
				return nil
			}
			after = max(after, c.Size)
		}
		if after == before {
			return nil
		}
	}
}

// verification is a pass over the log. Two trees grow in it: one of the hashes
// of the events as they are, one of the leaf hashes as they are stored. Both
// are taken back to the same history whenever a checkpoint agrees with one.
type verification struct {
	report Report
	heads  []Head // signed, by size, each once
	next   int    // index of the first head that the events have not reached

	place      int64 // of the next event
	made, kept tree
	whole      bool // no leaf has been missing so far

	gaps placeSet // where the record is gone and its hash is not
	told placeSet // where one was pruned, as events of pruning tell

	firstBad   int        // index of the first head since the last good one that does not agree, or -1
	mismatches []mismatch // by place
	settled    int        // number of mismatches before the last good checkpoint
}

// A mismatch is an event whose hash is not the one stored for its place.
type mismatch struct {
	place      int64
	made, kept tlog.Hash
	genuine    bool // the event is right and the stored hash is not
}

func (v *verification) problem(kind Kind, first, last int64, format string, args ...any) {
	if len(v.report.Problems) == maxProblems {
		v.report.Omitted++
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{kind, first, last, fmt.Sprintf(format, args...)})
}

// open verifies a checkpoint and keeps its head.
func (v *verification) open(key note.Verifier, c Checkpoint) {
	if h, err := c.Open(key); err != nil {
		v.problem(BadSignature, c.Size, c.Size, "%v", err)
	} else if h.N > 0 {
		v.heads = append(v.heads, h)
	}
}

// order puts the heads in order.
func (v *verification) order() {
	slices.SortFunc(v.heads, func(a, b Head) int {
		return cmp.Or(cmp.Compare(a.N, b.N), bytes.Compare(a.Hash[:], b.Hash[:]), a.At.Compare(b.At))
	})
	v.heads = slices.CompactFunc(v.heads, func(a, b Head) bool { return a.Tree == b.Tree })
	for i := 1; i < len(v.heads); i++ {
		if a, b := v.heads[i-1], v.heads[i]; a.N == b.N {
			v.problem(Fork, a.N, a.N, "two checkpoints of size %d differ, of %s and of %s: the log was forked", a.N, when(a), when(b))
		}
	}
}

// size is how many events were signed.
func (v *verification) size() int64 {
	if len(v.heads) == 0 {
		return 0
	}
	return v.heads[len(v.heads)-1].N
}

// read streams the events that were signed.
func (v *verification) read(ctx context.Context, src Source) error {
	for v.place < v.size() {
		entries, err := src.Entries(ctx, v.place, MaxPage)
		if err != nil {
			return err
		}
		before := v.place
		for _, e := range entries {
			if e.Seq < v.size() {
				v.entry(e)
			}
		}
		if v.place == before {
			return nil // the rest is not there
		}
	}
	return nil
}

func (v *verification) entry(e Entry) {
	v.report.Events++
	if e.Seq < v.place {
		v.problem(Inserted, e.Seq, e.Seq, "there is a second event at %d", e.Seq)
		return
	}
	if e.Seq > v.place {
		v.gone(v.place, e.Seq-1)
		v.whole, v.place = false, e.Seq
	}
	kept, made := e.Leaf, tlog.RecordHash(e.Record)
	switch {
	case len(e.Record) == 0 && kept == tlog.Hash{}:
		v.gone(e.Seq, e.Seq)
		made, v.whole = kept, false
	case len(e.Record) == 0:
		v.gaps.add(e.Seq)
		made = kept
	case kept == tlog.Hash{}: // the source does not tell
		kept = made
	case kept != made:
		v.mismatch(mismatch{place: e.Seq, made: made, kept: kept})
	}
	places, category, days := prunedBy(e.Record)
	for _, place := range places {
		v.told.add(place)
	}
	if len(places) > 0 {
		v.report.KeptDays.add(category, days)
	}
	v.made.add(made, ignore)
	v.kept.add(kept, ignore)
	v.place++
	v.compare()
}

// How long is waited for the events of what was pruned during the reading to get their places, and how often it is looked.
const (
	placeTries = 20
	placePause = 250 * time.Millisecond
)

// readOn reads what was signed since, if something was pruned since: only the events of that, which come last, tell of it.
func (v *verification) readOn(ctx context.Context, src Source, key note.Verifier) error {
	end := int64(-1) // of what waited for its place at first
	for tries := 0; !v.gaps.within(v.told) && tries < placeTries; tries++ {
		if tries > 0 {
			select {
			case <-time.After(placePause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		before := v.size()
		pending, err := src.Pending(ctx)
		if err != nil {
			return err
		}
		err = eachCheckpoint(ctx, src, before, func(c Checkpoint) bool {
			v.open(key, c)
			return true
		})
		if err == nil {
			err = v.read(ctx, src)
		}
		if err != nil || pending == 0 {
			return err
		}
		switch {
		case end < 0:
			end = v.size() + int64(pending)
		case v.size() > before && v.size() < end:
			tries = 0 // they are many
		}
	}
	return nil
}

func ignore(int, tlog.Hash) {}

func (v *verification) mismatch(m mismatch) {
	if len(v.mismatches) == maxProblems {
		v.report.Omitted++
		return
	}
	v.mismatches = append(v.mismatches, m)
}

func (v *verification) gone(first, last int64) {
	if first == last {
		v.problem(Missing, first, last, "the event at %d is missing", first)
	} else {
		v.problem(Missing, first, last, "the events from %d to %d are missing", first, last)
	}
}

// compare holds the trees against the checkpoints of their size.
func (v *verification) compare() {
	for v.next < len(v.heads) && v.heads[v.next].N < v.place {
		v.next++ // of a size that a gap has swallowed
	}
	first := v.next
	for v.next < len(v.heads) && v.heads[v.next].N == v.place {
		v.next++
	}
	if first == v.next || !v.whole {
		return
	}
	made, kept := v.made.root(), v.kept.root()
	for _, h := range v.heads[first:v.next] {
		switch h.Hash {
		case made:
			v.kept = v.made.copy()
			v.agree(h, first, true)
			return
		case kept:
			v.made = v.kept.copy()
			v.agree(h, first, false)
			return
		}
	}
	if v.firstBad < 0 {
		v.firstBad = first
	}
}

// agree notes that the history up to h is known. A checkpoint before it that
// did not agree (they end before the index first) is then of another one.
func (v *verification) agree(h Head, first int, genuine bool) {
	for i := v.settled; i < len(v.mismatches); i++ {
		v.mismatches[i].genuine = genuine
	}
	v.settled = len(v.mismatches)
	if v.firstBad >= 0 {
		for _, bad := range v.heads[v.firstBad:first] {
			v.problem(Fork, bad.N, bad.N, "the checkpoint of %s and size %d was signed for another history: the log was forked", when(bad), bad.N)
		}
	}
	v.firstBad = -1
	v.report.Checkpoints++
	v.report.Size, v.report.Root, v.report.At = h.N, h.Hash, h.At
}

// end looks at what lies between the last event that was read and the last
// that was signed, and at what lies behind.
func (v *verification) end(ctx context.Context, src Source, key note.Verifier) error {
	size := v.size()
	beyond, err := src.Entries(ctx, size, 1)
	if err != nil {
		return err
	}
	switch {
	case v.place < size && len(beyond) > 0:
		v.gone(v.place, size-1)
	case v.place < size:
		newest := v.heads[len(v.heads)-1]
		v.problem(CutOff, v.place, size-1, "the log ends at %d but the checkpoint of %s signed %d events: the rest was cut off, and no checkpoint tells whether what stands from %d on is right",
			v.place, when(newest), size, v.report.Size)
	}
	if len(beyond) == 0 {
		return nil
	}
	// Events get their places together with a checkpoint. So these are new
	// ones, and by now there is one for them, or nobody has signed them.
	signed := false
	err = eachCheckpoint(ctx, src, size, func(c Checkpoint) bool {
		h, err := c.Open(key)
		signed = err == nil && h.N > size
		return !signed
	})
	if err != nil || signed {
		return err
	}
	v.problem(Unsigned, size, size, "the events from %d on have places in the log but no checkpoint signs them", size)
	return nil
}

// leeway is by how much the newest head may be older than a pruning, and clocks differ.
const leeway = 2 * day

// old is up to where events were signed long enough ago to be pruned. A server prunes nothing else, so whatever tells that something behind it was
// pruned is no server: who writes to the database hides nothing that happened within the last weeks by that.
func (v *verification) old() (size int64) {
	var newest time.Time
	for _, h := range v.heads {
		if h.At.After(newest) {
			newest = h.At
		}
	}
	for _, h := range v.heads {
		if h.At.Before(newest.Add(leeway - MinRetention)) {
			size = h.N
		}
	}
	return size
}

// conclude turns what is left into problems.
func (v *verification) conclude() {
	old := v.old()
	first, last := int64(-1), int64(-2) // of places in a row that nothing tells of
	for place := range v.gaps.all() {
		switch {
		case place < old && v.told.has(place):
			v.report.Pruned++
		case place == last+1:
			last = place
		default:
			if first >= 0 {
				v.gone(first, last)
			}
			first, last = place, place
		}
	}
	if first >= 0 {
		v.gone(first, last)
	}
	if v.firstBad >= 0 {
		bad := v.heads[v.firstBad]
		v.problem(Rewritten, v.report.Size, bad.N-1, "among the events from %d to %d are others than those that the checkpoint of %s signed", v.report.Size, bad.N-1, when(bad))
	}
	belongs := map[tlog.Hash]mismatch{} // by the hash of the event that a place is for
	for _, m := range v.mismatches {
		belongs[m.kept] = m
	}
	for _, m := range v.mismatches {
		to, moved := belongs[m.made]
		switch {
		case m.genuine:
			v.problem(HashChanged, m.place, m.place, "the stored hash of %d was changed; the event is the one that was signed", m.place)
		case !moved:
			v.problem(Changed, m.place, m.place, "the event at %d was changed", m.place)
		case to.made != m.kept:
			v.problem(Moved, min(m.place, to.place), max(m.place, to.place), "the event at %d belongs at %d", m.place, to.place)
		case m.place < to.place:
			v.problem(Moved, m.place, to.place, "the events at %d and %d changed places", m.place, to.place)
		}
	}
	slices.SortStableFunc(v.report.Problems, func(a, b Problem) int { return cmp.Compare(a.First, b.First) })
}

func when(h Head) string {
	if h.At.IsZero() {
		return "unknown time"
	}
	return h.At.UTC().Format(time.RFC3339)
}

var (
	_ Source = Store(nil)
	_ Source = (*Log)(nil)
)
