package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

const auditDay = 24 * time.Hour

// oldLog is a log of n events, four of which come every two hours: a sign-in of alice, and then together another one and what an administrator
// does to two tokens.
func oldLog(t *testing.T, s AuditStore, n int) *audit.Log {
	t.Helper()
	l := NewLog(t, s, "")
	admin := audit.WithActor(t.Context(), audit.Actor{Name: "key:root"})
	var events []audit.Event
	for i := range n {
		action, object := "authn.success", "user:alice"
		if i%2 == 1 {
			action, object = "token.enable", fmt.Sprintf("token:%012d", i%4)
		}
		when := auditStart.Add(time.Duration(i/4)*2*time.Hour + time.Duration(min(i%4, 1))*audit.BatchSpan)
		events = append(events, audit.New(admin, when, action, object, nil))
	}
	for some := range slices.Chunk(events, 700) {
		if err := s.RecordAll(t.Context(), some); err != nil {
			t.Fatal(err)
		}
		for sequence(t, l) > 0 {
		}
	}
	return l
}

// onDay moves the clock of a log to a day after its first event.
func onDay(l *audit.Log, day float64) {
	now := auditStart.Add(time.Duration(day * float64(auditDay)))
	l.Now = func() time.Time { return now }
}

// prune prunes and gives what was recorded of that its place.
func prune(t *testing.T, s AuditStore, l *audit.Log, keep audit.Retention) audit.Report {
	t.Helper()
	if err := l.Prune(t.Context(), keeping(keep)); err != nil {
		t.Fatal(err)
	}
	for sequence(t, l) > 0 {
	}
	return intact(t, s, l)
}

// keeping is a retention that stays.
func keeping(keep audit.Retention) func(context.Context) (audit.Retention, error) {
	return func(context.Context) (audit.Retention, error) { return keep, nil }
}

// count is how many events a filter selects.
func count(t *testing.T, l *audit.Log, f audit.Filter) (n int) {
	t.Helper()
	for {
		page, err := l.Events(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Entries)
		if f.After = page.Next; f.After == "" {
			return n
		}
	}
}

// Old events go by their category and within a day, no others, and the log proves itself without them.
func prunes(t *testing.T, s AuditStore) {
	const events = 4200 // of 87 days
	l := oldLog(t, s, events)
	signIns, others := audit.Filter{Action: "authn.*"}, audit.Filter{Action: "token.*"}
	keep := audit.Retention{audit.Authentication: 30 * auditDay}
	for _, step := range []struct {
		now             float64
		keep            audit.Retention
		signIns, others int
		told            int // events of pruning
	}{
		{100, audit.Retention{}, 2100, 2100, 0},
		{100, keep, 2100 - 70*24, 2100, 1},
		{100, keep, 2100 - 70*24, 2100, 1},
		{100.9, keep, 2100 - 70*24, 2100, 1}, // in less than a day it is not worth an event
		{102, keep, 2100 - 72*24, 2100, 2},
		{103, audit.Retention{audit.Administration: 60 * auditDay}, 2100 - 72*24, 2100 - 43*24, 3},
		{250, audit.Retention{audit.Authentication: auditDay, audit.Administration: 200 * auditDay}, 0, 2100 - 50*24, 6}, // the second segment too; and never less than 30 days
	} {
		onDay(l, step.now)
		r := prune(t, s, l, step.keep)
		told := count(t, l, audit.Filter{Object: "audit:log"})
		if a, b := count(t, l, signIns), count(t, l, others); a != step.signIns || b != step.others || told != step.told {
			t.Errorf("day %v, kept %v: %d sign-ins, %d others, %d events of pruning; want %+v", step.now, step.keep, a, b, told, step)
		}
		if want := int64(events - step.signIns - step.others); r.Pruned != want || r.Events != int64(events+told) {
			t.Errorf("day %v: verified %d events of which %d pruned, want %d and %d", step.now, r.Events, r.Pruned, events+told, want)
		}
	}
	if n := count(t, l, audit.Filter{Object: "token:000000000001"}); n != (2100-50*24)/2 {
		t.Errorf("%d events of a token are found", n)
	}
	changes, err := l.Changes(t.Context(), -1, audit.Choice{Actions: []string{"*"}}, 1)
	if err != nil || len(changes.Entries) != 1 || changes.Entries[0].Seq != 4*50*12+1 {
		t.Errorf("the first change is %+v, %v", changes, err)
	}
	entries, err := s.Entries(t.Context(), 0, 1)
	if err != nil || len(entries) != 1 || len(entries[0].Record) != 0 || len(entries[0].Leaf) == 0 {
		t.Errorf("what stays of the first event: %+v, %v", entries, err)
	}
	heads, err := s.Checkpoints(t.Context(), 0, 100)
	if got := fmt.Sprint(sizes(heads)[:2]); err != nil || got != "[3500 4200]" {
		t.Errorf("heads %v, %v: want one of the first segment", sizes(heads), err)
	}

	// What somebody takes away besides is not taken for pruned.
	all, err := s.Entries(t.Context(), 0, 2*events)
	if err != nil {
		t.Fatal(err)
	}
	for _, taken := range [][]int64{{2401}, {4101}, {2401, 4097, 4103}} {
		c := (&LogCopy{all, heads}).Clone()
		for _, place := range taken {
			c.Events[place].Record = nil
		}
		r, err := audit.Verify(t.Context(), c, l.Verifier, nil)
		if err != nil || !errors.Is(r.Err(), fault.AuditTampered) || !slices.ContainsFunc(r.Problems, func(p audit.Problem) bool {
			return p.Kind == audit.Missing && p.First <= taken[0] && taken[0] <= p.Last
		}) {
			t.Errorf("without %v: %v, %v", taken, r.Err(), err)
		}
	}
	// Nor is one of them for another: as many are gone as there were, and one of those came back.
	c := (&LogCopy{all, heads}).Clone()
	c.Events[0].Record, c.Events[2401].Record = []byte("{}"), nil
	if r, err := audit.Verify(t.Context(), c, l.Verifier, nil); err != nil || !slices.ContainsFunc(r.Problems, func(p audit.Problem) bool { return p.Kind == audit.Missing }) {
		t.Errorf("one exchanged for another: %v, %v", r.Err(), err)
	}
}

// Servers that prune at once take away what one would.
func prunesAtOnce(t *testing.T, s AuditStore) {
	l := oldLog(t, s, 4200)
	onDay(l, 100)
	keep := audit.Retention{audit.Authentication: 40 * auditDay, audit.Administration: 50 * auditDay}
	var servers sync.WaitGroup
	for range 4 {
		other := &audit.Log{Store: l.Store, Signer: l.Signer, Verifier: l.Verifier, Now: l.Now, Logger: l.Logger}
		servers.Go(func() {
			for range 3 {
				if err := other.Prune(t.Context(), keeping(keep)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	servers.Wait()
	if r := prune(t, s, l, keep); r.Pruned != 60*24+50*24 {
		t.Errorf("%d events are pruned", r.Pruned)
	}
	if n := count(t, l, audit.Filter{Action: "audit.prune"}); n != 2 {
		t.Errorf("told %d times, want once of each category", n)
	}
	stale := audit.Pruning{Before: audit.Marks{}, After: audit.Marks{audit.System: 1}, Places: []int64{1}}
	if err := s.Prune(t.Context(), stale); !errors.Is(err, fault.Conflict) {
		t.Errorf("a server that looked before the others did: %v", err)
	}
	intact(t, s, l)
}

// pruning prunes once the first page is read.
type pruning struct {
	audit.Store
	once *sync.Once
	do   func()
}

func (p pruning) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	if first > 0 {
		p.once.Do(p.do)
	}
	return p.Store.Entries(ctx, first, limit)
}

// Who verifies while events are pruned is not told that they are missing.
func prunesBesideVerifying(t *testing.T, s AuditStore) {
	l := oldLog(t, s, 4200)
	onDay(l, 100)
	while := pruning{s, new(sync.Once), func() {
		if err := l.Prune(t.Context(), keeping(audit.Retention{audit.Authentication: 30 * auditDay})); err != nil {
			t.Error(err)
		}
		sequence(t, l)
	}}
	r, err := audit.Verify(t.Context(), while, l.Verifier, nil)
	if err != nil || r.Err() != nil || r.Pruned == 0 {
		t.Errorf("%d pruned, %v, %v", r.Pruned, r.Err(), err)
	}
}

// A changed store shows events otherwise than they are, as somebody does who writes to the database before pruning and sets it right after.
type changed struct {
	AuditStore
	as func(*audit.Entry)
}

func (c changed) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	entries, err := c.AuditStore.Entries(ctx, first, limit)
	for i := range entries {
		c.as(&entries[i])
	}
	return entries, err
}

// Tiles shows the hashes of the tree so that they fit.
func (c changed) Tiles(ctx context.Context, at []audit.TileAt) (map[audit.TileAt][]byte, error) {
	tiles, err := c.AuditStore.Tiles(ctx, at)
	for at, hashes := range tiles {
		for i := 0; at.Level == 0 && i < len(hashes)/tlog.HashSize; i++ {
			e := audit.Entry{Seq: at.Number*256 + int64(i), Leaf: tlog.Hash(hashes[i*tlog.HashSize : (i+1)*tlog.HashSize])}
			c.as(&e)
			copy(hashes[i*tlog.HashSize:], e.Leaf[:])
		}
	}
	return tiles, err
}

// What somebody takes away before a pruning is not told of with what is pruned, and what he makes look old is not pruned.
func prunesNothingElse(t *testing.T, s AuditStore) {
	const taken = 4001 // what an administrator did 17 days ago
	l := oldLog(t, s, 4200)
	l.Store = changed{s, func(e *audit.Entry) {
		if e.Seq == taken {
			e.Record = nil
		}
	}}
	onDay(l, 100)
	keep := audit.Retention{audit.Authentication: 30 * auditDay}
	if err := l.Prune(t.Context(), keeping(keep)); err != nil {
		t.Fatal(err)
	}
	sequence(t, l)
	r, err := audit.Verify(t.Context(), l.Store, l.Verifier, nil)
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Kind != audit.Missing || r.Problems[0].First != taken || r.Problems[0].Last != taken {
		t.Errorf("one was taken away before a pruning: %v, %v", r.Problems, err)
	}

	for _, hash := range []bool{true, false} { // with its hash in the tree, or without
		as := audit.New(t.Context(), auditStart, "authn.success", "user:alice", nil)
		record, err := as.Record()
		if err != nil {
			t.Fatal(err)
		}
		l.Store = changed{s, func(e *audit.Entry) {
			if e.Seq <= 3360 || taken < e.Seq {
				return
			}
			if e.Record = record; hash {
				e.Leaf = tlog.RecordHash(record)
			}
		}}
		onDay(l, 103)
		err = l.Prune(t.Context(), keeping(keep))
		if hash != errors.Is(err, fault.AuditTampered) {
			t.Errorf("hash changed too %v: %v", hash, err)
		}
		l.Store = s
		if entries, err := s.Entries(t.Context(), taken, 1); err != nil || len(entries) != 1 || len(entries[0].Record) == 0 {
			t.Errorf("hash changed too %v: what somebody made look old was pruned: %+v, %v", hash, entries, err)
		}
	}
	sequence(t, l)
	intact(t, s, l)
}

// A holed store has lost the events at some places.
type holed struct {
	AuditStore
	first, last int64
}

func (h holed) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	entries, err := h.AuditStore.Entries(ctx, first, limit)
	return slices.DeleteFunc(entries, func(e audit.Entry) bool { return h.first <= e.Seq && e.Seq <= h.last }), err
}

// What is missing holds nothing up that comes after it, is said once, and is not told of as pruned.
func prunesPastAHole(t *testing.T, open func(*testing.T) AuditStore) {
	for _, hole := range []holed{{open(t), 100, 103}, {open(t), 4090, 4099}} { // within a segment, and over its end
		l := oldLog(t, hole.AuditStore, 4200)
		l.Store = hole
		var said bytes.Buffer
		l.Logger = slog.New(slog.NewTextHandler(&said, nil))
		onDay(l, 250)
		for range 2 {
			if err := l.Prune(t.Context(), keeping(audit.Retention{audit.Authentication: 30 * auditDay})); err != nil {
				t.Fatal(err)
			}
		}
		for sequence(t, l) > 0 {
		}
		parts := int(hole.last/4096 - hole.first/4096 + 1)
		if n := strings.Count(said.String(), "events of the audit log are missing"); n != parts || !strings.Contains(said.String(), fmt.Sprintf("first=%d ", hole.first)) {
			t.Errorf("%d to %d are missing; said %d times: %s", hole.first, hole.last, n, &said)
		}
		r, err := audit.Verify(t.Context(), hole, l.Verifier, nil)
		if err != nil || len(r.Problems) != 1 || r.Problems[0].Kind != audit.Missing || r.Problems[0].First != hole.first || r.Problems[0].Last != hole.last {
			t.Errorf("%d to %d are missing: %v, %v", hole.first, hole.last, r.Problems, err)
		}
		if want := 2100 - (hole.last-hole.first+1)/2; r.Pruned != want {
			t.Errorf("%d events are pruned, want %d", r.Pruned, want)
		}
	}
}

// What waited for its place, or was old when it came, stays as long as what happened when it was signed; and whatever tells that such a thing was
// pruned is not believed.
func prunesNothingYoung(t *testing.T, s AuditStore) {
	l := oldLog(t, s, 100)
	keep := audit.Retention{audit.Authentication: 30 * auditDay}
	onDay(l, 90)
	late := []audit.Event{audit.New(t.Context(), auditStart, "authn.success", "user:alice", nil), audit.New(t.Context(), auditStart, "authn.fail", "user:alice", nil)}
	if err := s.RecordAll(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	sequence(t, l)
	onDay(l, 100)
	if r := prune(t, s, l, keep); r.Pruned != 50 || fmt.Sprint(r.KeptDays) != "map[authentication:[30]]" {
		t.Errorf("%d are pruned after %v, want the 50 that were signed long ago, after 30 days", r.Pruned, r.KeptDays)
	}

	marks, err := s.Pruned(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	taken := audit.Pruning{Before: marks, After: audit.Marks{audit.System: 1}, Places: []int64{101}}
	told := audit.New(t.Context(), auditStart, "audit.prune", "audit:log", audit.Details{"category": "authentication", "kept_days": 30, "pruned": 1, "first": 101, "last": 101, "places": "AQ=="})
	if err := errors.Join(s.Prune(t.Context(), taken), s.Record(t.Context(), told)); err != nil {
		t.Fatal(err)
	}
	sequence(t, l)
	r, err := audit.Verify(t.Context(), s, l.Verifier, nil)
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Kind != audit.Missing || r.Problems[0].First != 101 {
		t.Errorf("somebody tells that he pruned what was signed 10 days ago: %v, %v", r.Problems, err)
	}
	onDay(l, 121)
	if err := l.Prune(t.Context(), keeping(keep)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, l, audit.Filter{Action: "authn.*"}); n != 0 {
		t.Errorf("%d sign-ins are left a month after they were signed", n)
	}
}

// The events of prunings tell the same in any order: servers' clocks differ.
func prunesOutOfOrder(t *testing.T, s AuditStore) {
	l := oldLog(t, s, 4200)
	onDay(l, 100)
	other := &audit.Log{Store: l.Store, Signer: l.Signer, Verifier: l.Verifier, Logger: l.Logger}
	onDay(other, 99.9999)
	if err := l.Prune(t.Context(), keeping(audit.Retention{audit.Authentication: 40 * auditDay})); err != nil {
		t.Fatal(err)
	}
	if err := other.Prune(t.Context(), keeping(audit.Retention{audit.Administration: 50 * auditDay})); err != nil {
		t.Fatal(err)
	}
	for sequence(t, l) > 0 {
	}
	if r := intact(t, s, l); r.Pruned != 60*24+50*24 {
		t.Errorf("%d events are pruned", r.Pruned)
	}
}

// A pruning that goes on goes by what is said meanwhile.
func prunesAsSaid(t *testing.T, s AuditStore) {
	l := oldLog(t, s, 4200)
	onDay(l, 250)
	steps := 0
	err := l.Prune(t.Context(), func(context.Context) (audit.Retention, error) {
		if steps++; steps > 1 { // the first one does the first segment
			return audit.Retention{}, nil
		}
		return audit.Retention{audit.Authentication: 30 * auditDay}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, l, audit.Filter{Action: "authn.*"}); n != (4200-4096)/2 {
		t.Errorf("%d sign-ins are left, want those of the second segment", n)
	}
	if err := l.Prune(t.Context(), keeping(nil)); err != nil { // as by a clock that cannot be relied on
		t.Fatal(err)
	}
	sequence(t, l)
	intact(t, s, l)
}
