// Package storetest is the contract that every store keeps, as tests that run
// against any of them.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// An AuditStore keeps the audit log and takes events.
type AuditStore interface {
	audit.Store
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// RecordAll keeps events, in the transaction of ctx.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// Audit tests that the audit log of a store cannot be forked, changed or cut
// off unseen. open returns an empty store.
func Audit(t *testing.T, open func(*testing.T) AuditStore) {
	t.Run("events get places in order", func(t *testing.T) { placesInOrder(t, open(t)) })
	t.Run("records come back byte for byte", func(t *testing.T) { recordsAreKept(t, open(t)) })
	t.Run("an event goes with its change", func(t *testing.T) { rollsBack(t, open(t)) })
	t.Run("events are selected", func(t *testing.T) { selects(t, open(t)) })
	t.Run("pages join", func(t *testing.T) { pagesJoin(t, open(t)) })
	t.Run("changes are read once and in order", func(t *testing.T) { changesAreRead(t, open(t)) })
	t.Run("objects are found", func(t *testing.T) { objectsAreFound(t, open(t)) })
	t.Run("the tree is one of tiles", func(t *testing.T) { keepsTiles(t, open(t)) })
	t.Run("servers at once never fork the log", func(t *testing.T) { neverForks(t, open(t)) })
	t.Run("a rewritten past gets no signature", func(t *testing.T) { refusesToSign(t, open(t)) })
	t.Run("old events are pruned", func(t *testing.T) { prunes(t, open(t)) })
	t.Run("servers at once prune what one would", func(t *testing.T) { prunesAtOnce(t, open(t)) })
	t.Run("nothing goes unseen with what is pruned", func(t *testing.T) { prunesNothingElse(t, open(t)) })
	t.Run("pruning says what is missing", func(t *testing.T) { prunesPastAHole(t, open) })
	t.Run("nothing is pruned that was signed lately", func(t *testing.T) { prunesNothingYoung(t, open(t)) })
	t.Run("prunings are told of in any order", func(t *testing.T) { prunesOutOfOrder(t, open(t)) })
	t.Run("pruning goes by what is said meanwhile", func(t *testing.T) { prunesAsSaid(t, open(t)) })
	t.Run("events are pruned beside verifying", func(t *testing.T) { prunesBesideVerifying(t, open(t)) })
	t.Run("tampering is found", func(t *testing.T) { findsTampering(t, open(t)) })
}

var auditStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// NewLog makes a log with a fresh key on a store; outside is its file of
// checkpoints or "".
func NewLog(t testing.TB, s audit.Store, outside string) *audit.Log {
	t.Helper()
	skey, vkey, err := audit.GenerateKey("test.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return &audit.Log{Store: s, Signer: signer, Verifier: verifier, Outside: outside,
		Now: func() time.Time { return auditStart }, Logger: slog.New(slog.DiscardHandler)}
}

// record writes n events, each in a transaction of its own.
func record(t testing.TB, s AuditStore, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		e := audit.New(t.Context(), auditStart.Add(time.Duration(i)*time.Second), "token.enable", fmt.Sprintf("token:%012d", i), nil)
		if err := s.Transact(t.Context(), func(ctx context.Context) error { return s.Record(ctx, e) }); err != nil {
			t.Fatal(err)
		}
	}
}

func sequence(t testing.TB, l *audit.Log) int {
	t.Helper()
	n, err := l.Sequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// intact verifies the log of a store and returns the report.
func intact(t testing.TB, s AuditStore, l *audit.Log) audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), s, l.Verifier, nil)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sizes(heads []audit.Checkpoint) []int64 {
	all := make([]int64, len(heads))
	for i, c := range heads {
		all[i] = c.Size
	}
	return all
}

func placesInOrder(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	if n := sequence(t, l); n != 0 {
		t.Errorf("%d events placed in an empty log", n)
	}
	record(t, s, 0, 3)
	if r := intact(t, s, l); r.Pending != 3 || r.Events != 0 {
		t.Errorf("before sequencing: %+v", r)
	}
	if n := sequence(t, l); n != 3 {
		t.Errorf("%d events placed, want 3", n)
	}
	record(t, s, 3, 4)
	sequence(t, l)
	if n := sequence(t, l); n != 0 {
		t.Errorf("%d events placed twice", n)
	}
	r := intact(t, s, l)
	if r.Events != 7 || r.Size != 7 || r.Checkpoints != 2 || r.Pending != 0 || !r.At.Equal(auditStart) {
		t.Errorf("report %+v", r)
	}
	entries, err := s.Entries(t.Context(), 2, 3)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		event, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != int64(2+i) || event.Object != fmt.Sprintf("token:%012d", e.Seq) || e.Leaf != tlog.RecordHash(e.Record) {
			t.Errorf("entry %d: %+v", e.Seq, event)
		}
	}
	for _, want := range []struct {
		after int64
		limit int
		sizes string
	}{{0, 9, "[3 7]"}, {0, 1, "[3]"}, {3, 1, "[7]"}, {7, 1, "[]"}} {
		heads, err := s.Checkpoints(t.Context(), want.after, want.limit)
		if got := fmt.Sprint(sizes(heads)); err != nil || got != want.sizes {
			t.Errorf("%d heads after %d: %s, %v; want %s", want.limit, want.after, got, err, want.sizes)
		}
	}
	for limit, want := range map[int]string{1: "[7]", 9: "[3 7]"} {
		heads, err := s.NewestCheckpoints(t.Context(), limit)
		if got := fmt.Sprint(sizes(heads)); err != nil || got != want {
			t.Errorf("the %d newest heads: %s, %v; want %s", limit, got, err, want)
		}
	}
	if last, err := s.LastCheckpoint(t.Context()); err != nil || last.Size != 7 || !last.At.Equal(auditStart) {
		t.Errorf("last checkpoint %+v, %v", last, err)
	}
}

func recordsAreKept(t *testing.T, s AuditStore) {
	ctx := audit.WithCorrelation(audit.WithActor(t.Context(), audit.Actor{Name: "user:ünï", Role: "help desk", Client: "2001:db8::1"}), "c-1")
	e := audit.New(ctx, auditStart.Add(123456789), "user.edit", "user:<b>&\u2028", audit.Details{
		"z": 1, "a": map[string]any{"y": int64(1) << 60, "b": []string{"x  y", "\t\n\\\""}}, "e": 1e21, "none": nil})
	want, err := e.Record()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Transact(t.Context(), func(ctx context.Context) error { return s.Record(ctx, e) }); err != nil {
		t.Fatal(err)
	}
	l := NewLog(t, s, "")
	sequence(t, l)
	intact(t, s, l)
	entries, err := s.Entries(t.Context(), 0, 10)
	if err != nil || len(entries) != 1 || string(entries[0].Record) != string(want) {
		t.Errorf("kept %+v, %v, want %s", entries, err, want)
	}
}

func rollsBack(t *testing.T, s AuditStore) {
	refused := errors.New("refused")
	err := s.Transact(t.Context(), func(ctx context.Context) error {
		if err := s.Record(ctx, audit.New(ctx, auditStart, "token.delete", "token:1", nil)); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	l := NewLog(t, s, "")
	if n := sequence(t, l); n != 0 {
		t.Errorf("%d events of changes that never were", n)
	}
}

// add records an event so many minutes after the start.
func add(t testing.TB, s AuditStore, minute int, actor, action, object string, failed bool) {
	t.Helper()
	ctx := audit.WithActor(t.Context(), audit.Actor{Name: actor})
	e := audit.New(ctx, auditStart.Add(time.Duration(minute)*time.Minute), action, object, nil)
	if failed {
		e = e.Failed("BAD_PIN")
	}
	if err := s.Transact(ctx, func(ctx context.Context) error { return s.Record(ctx, e) }); err != nil {
		t.Fatal(err)
	}
}

func selects(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	add(t, s, 0, "key:a", "token.assign", "token:1", false)
	add(t, s, 1, "key:a", "token.enable", "token:1", false)
	add(t, s, 2, "key:b", "tokens.x", "token:2", false)
	add(t, s, 3, "key:b", "authn.fail", "user:\"u<", true)
	sequence(t, l)
	add(t, s, 4, "key:b", "token.assign", "token:2", false)

	at := func(minute int) time.Time { return auditStart.Add(time.Duration(minute) * time.Minute) }
	for name, c := range map[string]struct {
		filter audit.Filter
		want   []int64
	}{
		"all":           {audit.Filter{}, []int64{0, 1, 2, 3, -1}},
		"newest":        {audit.Filter{Newest: true}, []int64{-1, 3, 2, 1, 0}},
		"action":        {audit.Filter{Action: "token.enable"}, []int64{1}},
		"prefix":        {audit.Filter{Action: "token.*"}, []int64{0, 1, -1}},
		"dot":           {audit.Filter{Action: "token."}, []int64{0, 1, -1}},
		"star":          {audit.Filter{Action: "token*"}, []int64{0, 1, 2, -1}},
		"object":        {audit.Filter{Object: "token:2"}, []int64{2, -1}},
		"newest object": {audit.Filter{Object: "token:2", Newest: true}, []int64{-1, 2}},
		"odd object":    {audit.Filter{Object: "user:\"u<"}, []int64{3}},
		"no object":     {audit.Filter{Object: "token:"}, nil},
		"actor":         {audit.Filter{Actor: "key:b"}, []int64{2, 3, -1}},
		"outcome":       {audit.Filter{Outcome: audit.Failure}, []int64{3}},
		"both":          {audit.Filter{Actor: "key:b", Action: "token.assign"}, []int64{-1}},
		"since":         {audit.Filter{Since: at(3)}, []int64{3, -1}},
		"just after":    {audit.Filter{Since: at(3).Add(1)}, []int64{-1}},
		"until":         {audit.Filter{Until: at(2)}, []int64{0, 1}},
		"object until":  {audit.Filter{Object: "token:1", Until: at(1)}, []int64{0}},
		"limit":         {audit.Filter{Limit: 2}, []int64{0, 1}},
	} {
		page, err := l.Events(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range page.Entries {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, c.want) || (page.Next != "") != (name == "limit") {
			t.Errorf("%s: places %v, next %q, want %v", name, got, page.Next, c.want)
		}
	}
	for _, wrong := range []string{"x", "-1", "00-0", strings.Repeat("0", 32) + "-01", strings.Repeat("A", 32) + "-1"} {
		if _, err := l.Events(t.Context(), audit.Filter{After: wrong}); !errors.Is(err, fault.Invalid) {
			t.Errorf("after %q: %v", wrong, err)
		}
	}
}

// paged lists the objects of all events that f selects, a page at a time.
func paged(t testing.TB, l *audit.Log, f audit.Filter, between func()) (objects []string) {
	t.Helper()
	for {
		page, err := l.Events(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range page.Entries {
			e, err := audit.ParseRecord(entry.Record)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, e.Object)
		}
		if f.After = page.Next; f.After == "" {
			return objects
		}
		between()
	}
}

// Events get their places between one page and the next, and the list goes on where it was.
func pagesJoin(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	var want []string
	for i, n := range []int{3, 1, audit.MaxBatch + 2, 2, 1} {
		var events []audit.Event
		for j := range n {
			object := fmt.Sprintf("token:%d.%d", i, j)
			want = append(want, object)
			events = append(events, audit.New(t.Context(), auditStart.Add(time.Duration(i)*time.Hour), "token.enable", object, nil))
		}
		if err := s.Transact(t.Context(), func(ctx context.Context) error { return s.RecordAll(ctx, events) }); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			sequence(t, l)
		}
	}
	for _, limit := range []int{1, 2, 100, audit.MaxPage} {
		place := func() { sequence(t, l) }
		if got := paged(t, l, audit.Filter{Limit: limit}, place); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v", limit, got)
		}
		got := paged(t, l, audit.Filter{Limit: limit, Newest: true}, place)
		if slices.Reverse(got); !slices.Equal(got, want) {
			t.Errorf("pages of %d from the end: %v", limit, got)
		}
	}
	intact(t, s, l)
}

// An object is found among many events, whether its places are indexed, not yet, or not there.
func objectsAreFound(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	const groups, each = 150, 256 // 38400 events: two runs of the index, and more
	want := map[string][]string{}
	for g := range groups {
		var events []audit.Event
		for i := range each {
			n := g*each + i
			object, action := fmt.Sprintf("user:u%d", n%5000), fmt.Sprintf("authn.%d", n)
			if n%1000 == 0 {
				object = "user:alice"
			}
			want[object] = append(want[object], action)
			events = append(events, audit.New(t.Context(), auditStart.Add(time.Duration(n)*time.Millisecond), action, object, nil))
		}
		if err := s.Transact(t.Context(), func(ctx context.Context) error { return s.RecordAll(ctx, events) }); err != nil {
			t.Fatal(err)
		}
		switch g {
		case 64, 140:
			for sequence(t, l) > 0 {
			}
			for more := true; more; {
				var err error
				if more, err = s.IndexObjects(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for object, actions := range want {
		if !strings.HasSuffix(object, "77") && object != "user:alice" {
			continue
		}
		for _, newest := range []bool{false, true} {
			var got []string
			page, err := l.Events(t.Context(), audit.Filter{Object: object, Newest: newest})
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range page.Entries {
				e, err := audit.ParseRecord(entry.Record)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Action)
			}
			if newest {
				slices.Reverse(got)
			}
			if !slices.Equal(got, actions) {
				t.Fatalf("%s (newest %v): %v, want %v", object, newest, got, actions)
			}
		}
	}
	// What is not indexed takes more than one reading, and nothing is missed.
	if got := paged(t, l, audit.Filter{Action: "authn.38399", Limit: 1}, func() {}); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}

// Package tlog reads the tiles as its own.
func keepsTiles(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	ctx := t.Context()
	for i, n := range []int{1, 254, 1, 1, 700, 300} {
		var events []audit.Event
		for j := range n {
			events = append(events, audit.New(ctx, auditStart.Add(time.Duration(i)*time.Hour), "token.enable", fmt.Sprint("token:", j), nil))
		}
		if err := s.Transact(ctx, func(ctx context.Context) error { return s.RecordAll(ctx, events) }); err != nil {
			t.Fatal(err)
		}
		sequence(t, l)
		r := intact(t, s, l)
		tree := tlog.Tree{N: r.Size, Hash: r.Root}
		tiles := tlog.TileHashReader(tree, tiles{t, s})
		last := r.Size - 1
		proof, err := tlog.ProveRecord(r.Size, last, tiles)
		if err != nil {
			t.Fatalf("%d events: %v", r.Size, err)
		}
		entries, err := s.Entries(ctx, last, 1)
		if err != nil || len(entries) != 1 {
			t.Fatal(len(entries), err)
		}
		if err := tlog.CheckRecord(proof, r.Size, r.Root, last, tlog.RecordHash(entries[0].Record)); err != nil {
			t.Errorf("%d events: %v", r.Size, err)
		}
	}
}

// tiles are those of a store, for package tlog.
type tiles struct {
	t testing.TB
	s audit.Store
}

func (tiles) Height() int                     { return 8 }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tiles) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		at := audit.TileAt{Level: tile.L, Number: tile.N}
		found, err := r.s.Tiles(r.t.Context(), []audit.TileAt{at})
		if err != nil || len(found[at]) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("tile %v has %d bytes, %w", tile, len(found[at]), err)
		}
		all = append(all, found[at][:tile.W*tlog.HashSize])
	}
	return all, nil
}

func neverForks(t *testing.T, s AuditStore) {
	const writers, each, servers = 4, 25, 3
	dir := t.TempDir()
	first := NewLog(t, s, filepath.Join(dir, "0"))
	var work, sequencing sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		work.Go(func() { record(t, s, w*each, each) })
	}
	for i := range servers {
		server := &audit.Log{Store: s, Signer: first.Signer, Verifier: first.Verifier, Now: first.Now, Logger: first.Logger,
			Outside: filepath.Join(dir, fmt.Sprint(i))}
		sequencing.Go(func() {
			for {
				stop := false
				select {
				case <-done:
					stop = true
				default:
				}
				if _, err := server.Sequence(t.Context()); err != nil {
					t.Error(err)
					return
				}
				if stop {
					return
				}
			}
		})
	}
	work.Wait()
	close(done)
	sequencing.Wait()
	sequence(t, first)
	if r := intact(t, s, first); r.Size != writers*each || r.Pending != 0 {
		t.Errorf("%d events in the log, %d left, want %d and none", r.Size, r.Pending, writers*each)
	}
}

// rewritten is a store whose tree somebody has changed.
type rewritten struct{ AuditStore }

func (s rewritten) Tiles(ctx context.Context, at []audit.TileAt) (map[audit.TileAt][]byte, error) {
	tiles, err := s.AuditStore.Tiles(ctx, at)
	for _, hashes := range tiles {
		hashes[0] ^= 1
	}
	return tiles, err
}

func refusesToSign(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	record(t, s, 0, 3)
	sequence(t, l)
	record(t, s, 3, 1)
	bad := *NewLog(t, rewritten{s}, "")
	bad.Signer, bad.Verifier = l.Signer, l.Verifier
	foreign := NewLog(t, s, "")
	for range 2 {
		if n, err := bad.Sequence(t.Context()); n != 0 || !errors.Is(err, fault.AuditTampered) {
			t.Errorf("rewritten: placed %d, %v", n, err)
		}
		if n, err := foreign.Sequence(t.Context()); n != 0 || !errors.Is(err, fault.AuditTampered) {
			t.Errorf("with another key: placed %d, %v", n, err)
		}
	}
	if n := sequence(t, l); n != 1 {
		t.Errorf("placed %d, want the event that waited", n)
	}
	intact(t, s, l)
}

func findsTampering(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	for i, n := range []int{1, 6, 2, 5} {
		record(t, s, 10*i, n)
		sequence(t, l)
	}
	whole := CopyLog(t, s)
	rapid.Check(t, func(t *rapid.T) {
		c := whole.Clone()
		check := Tamper(t, c, l.Verifier)
		check(t)
	})
}

// A LogCopy is a log as an intruder with the database in hand can make it.
type LogCopy struct {
	Events []audit.Entry
	Heads  []audit.Checkpoint
}

// CopyLog reads a log of at most a thousand events.
func CopyLog(t testing.TB, src audit.Source) *LogCopy {
	t.Helper()
	entries, err := src.Entries(t.Context(), 0, audit.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := src.Checkpoints(t.Context(), 0, audit.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	return &LogCopy{entries, heads}
}

// Clone returns a copy that may be changed.
func (c *LogCopy) Clone() *LogCopy {
	d := &LogCopy{slices.Clone(c.Events), slices.Clone(c.Heads)}
	for i := range d.Events {
		d.Events[i].Record = slices.Clone(d.Events[i].Record)
	}
	for i := range d.Heads {
		d.Heads[i].Signed = slices.Clone(d.Heads[i].Signed)
	}
	return d
}

// Entries returns events by place, from first on, at most limit.
func (c *LogCopy) Entries(_ context.Context, first int64, limit int) ([]audit.Entry, error) {
	i := slices.IndexFunc(c.Events, func(e audit.Entry) bool { return e.Seq >= first })
	if i < 0 {
		return nil, nil
	}
	return c.Events[i:min(i+limit, len(c.Events))], nil
}

// Checkpoints returns the signed heads larger than after, smallest first, at most limit.
func (c *LogCopy) Checkpoints(_ context.Context, after int64, limit int) ([]audit.Checkpoint, error) {
	larger := slices.DeleteFunc(slices.Clone(c.Heads), func(h audit.Checkpoint) bool { return h.Size <= after })
	slices.SortStableFunc(larger, func(a, b audit.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	return larger[:min(limit, len(larger))], nil
}

// Pending is none.
func (c *LogCopy) Pending(context.Context) (int, error) { return 0, nil }

// renumber gives the events the places in which they stand.
func (c *LogCopy) renumber() {
	for i := range c.Events {
		c.Events[i].Seq = int64(i)
	}
}

// forge makes the stored hash of an event fit it.
func (c *LogCopy) forge(i int) { c.Events[i].Leaf = tlog.RecordHash(c.Events[i].Record) }

// Tamper changes a copy of an intact log in one way out of all that an
// intruder has, and returns the check that Verify finds it and says where.
func Tamper(t *rapid.T, c *LogCopy, key note.Verifier) (check func(*rapid.T)) {
	n := len(c.Events)
	i := rapid.IntRange(0, n-1).Draw(t, "place")
	j := rapid.IntRange(0, n-1).Draw(t, "other place")
	h := rapid.IntRange(0, len(c.Heads)-1).Draw(t, "checkpoint")
	newest := c.Heads[len(c.Heads)-1] // as somebody kept it elsewhere
	forged := audit.Entry{Seq: int64(i), Record: []byte(`{"id":"forged"}`)}
	forged.Leaf = tlog.RecordHash(forged.Record)

	var outside []audit.Checkpoint
	want := func(kind audit.Kind, first, last int) func(audit.Report) bool {
		return func(r audit.Report) bool {
			return slices.ContainsFunc(r.Problems, func(p audit.Problem) bool {
				return p.Kind == kind && p.First == int64(first) && p.Last == int64(last)
			})
		}
	}
	// among wants a range that holds the place: between two checkpoints, or behind the last that agrees.
	among := func(place int) func(audit.Report) bool {
		return func(r audit.Report) bool {
			return slices.ContainsFunc(r.Problems, func(p audit.Problem) bool {
				return p.Kind == audit.Rewritten && p.First <= int64(place) && int64(place) <= p.Last ||
					p.Kind == audit.CutOff && r.Size <= int64(place)
			})
		}
	}
	var found func(audit.Report) bool
	ways := map[string]func(){
		"change a byte": func() {
			b := rapid.IntRange(0, len(c.Events[i].Record)-1).Draw(t, "byte")
			c.Events[i].Record[b] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			found = want(audit.Changed, i, i)
		},
		"change a byte and its hash": func() {
			c.Events[i].Record[0] ^= 1
			c.forge(i)
			found = among(i)
		},
		"change a hash": func() {
			c.Events[i].Leaf[3] ^= 1
			found = want(audit.HashChanged, i, i)
		},
		"empty a record": func() {
			c.Events[i].Record = nil
			found = want(audit.Missing, i, i)
		},
		"delete": func() {
			c.Events = slices.Delete(c.Events, i, i+1)
			found = want(audit.Missing, i, i)
			if i == n-1 {
				found = want(audit.CutOff, i, i)
			}
		},
		"delete and close the gap": func() {
			c.Events = slices.Delete(c.Events, i, i+1)
			c.renumber()
			found = func(r audit.Report) bool { return among(i)(r) && want(audit.CutOff, n-1, n-1)(r) }
		},
		"swap records": func() {
			a, b := &c.Events[i], &c.Events[j]
			a.Record, b.Record = b.Record, a.Record
			found = want(audit.Moved, min(i, j), max(i, j))
		},
		"swap events with their hashes": func() {
			c.Events[i], c.Events[j] = c.Events[j], c.Events[i]
			c.renumber()
			found = among(min(i, j))
		},
		"insert": func() {
			c.Events = slices.Insert(c.Events, i, forged)
			c.renumber()
			found = func(r audit.Report) bool { return among(i)(r) && want(audit.Unsigned, n, n)(r) }
		},
		"insert at a place that is taken": func() {
			c.Events = slices.Insert(c.Events, i+1, forged)
			found = want(audit.Inserted, i, i)
		},
		"append": func() {
			c.Events = append(c.Events, forged)
			c.renumber()
			found = want(audit.Unsigned, n, n)
		},
		"cut off": func() {
			c.Events = c.Events[:i]
			found = want(audit.CutOff, i, n-1)
		},
		"cut off with the checkpoints": func() {
			c.Heads = c.Heads[:h]
			c.Events = c.Events[:size(c.Heads)]
			outside = []audit.Checkpoint{newest}
			found = want(audit.CutOff, len(c.Events), n-1)
		},
		"remove the newest checkpoints": func() {
			c.Heads = c.Heads[:h]
			s := int(size(c.Heads))
			found = want(audit.Unsigned, s, s)
		},
		"change a checkpoint": func() {
			text := bytes.Index(c.Heads[h].Signed, []byte("\n\n")) // the last bits of a signature's base64 mean nothing
			c.Heads[h].Signed[rapid.IntRange(0, text).Draw(t, "byte")] ^= 1
			s := int(c.Heads[h].Size)
			found = want(audit.BadSignature, s, s)
		},
		"exchange a checkpoint for another": func() {
			c.Heads[h].Size++
			s := int(c.Heads[h].Size)
			found = want(audit.BadSignature, s, s)
		},
	}
	names := make([]string, 0, len(ways))
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	way := rapid.SampledFrom(names).Draw(t, "way")
	if i == j && (way == "swap records" || way == "swap events with their hashes") {
		t.Skip("nothing to swap")
	}
	ways[way]()
	return func(t *rapid.T) {
		r, err := audit.Verify(context.Background(), c, key, outside)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(r.Err(), fault.AuditTampered) || !found(r) {
			t.Fatalf("%s at %d (%d): found %+v", way, i, j, r.Problems)
		}
	}
}

// size is how many events the newest of heads signs.
func size(heads []audit.Checkpoint) int64 {
	if len(heads) == 0 {
		return 0
	}
	return heads[len(heads)-1].Size
}
