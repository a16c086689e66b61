package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/securid"
)

// A fake is a server in memory that decides as the real one does, but for its lie. Fakes that share a memory are servers on one database.
type fake struct {
	*memory
	lie func(k kind, right outcome) outcome
}

// memory is what fakes know of users.
type memory struct {
	mu     sync.Mutex
	tokens []tokenState
	last   map[int]int64 // the guard of each user
	asked  map[int]int64 // the interval whose code has to come next
	offset map[int]int64
	now    func() time.Time
}

func newMemory(tokens int, now func() time.Time) *memory {
	m := &memory{tokens: make([]tokenState, tokens), last: map[int]int64{}, asked: map[int]int64{}, offset: map[int]int64{}, now: now}
	for i := range m.tokens {
		rand.Read(m.tokens[i].seed[:])
	}
	return m
}

func (f *fake) close() error { return nil }

// codes are the chain of a user's token, and the number of a code.
func (m *memory) codes(user, code string) (n int, c *securid.Chain, number uint32) {
	n, _ = strconv.Atoi(strings.TrimPrefix(user, "user"))
	c, err := securid.NewChain(m.tokens[n].seed[:], serial(n), digits, interval)
	if err != nil {
		panic(err)
	}
	v, _ := strconv.ParseUint(code, 10, 32)
	return n, c, uint32(v)
}

func (f *fake) ask(user, passcode string) outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	code, hasPIN := strings.CutPrefix(passcode, commonPIN)
	n, c, number := f.codes(user, code)
	here := securid.Interval(f.now(), interval)
	expected := here + f.offset[n]
	at, found := c.Find(number, expected-10, expected+10, expected)
	switch {
	case !hasPIN || !found:
		return f.lie(wrong, denied)
	case at <= f.last[n]:
		return f.lie(replay, denied)
	}
	f.last[n] = at
	if at > expected+1 || at < expected-1 {
		f.asked[n] = at + 1
		return f.lie(next, challenged)
	}
	f.offset[n] = at - here
	return f.lie(good, accepted)
}

func (f *fake) answer(user, code string) outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, c, number := f.codes(user, code)
	if at := f.asked[n]; at > f.last[n] && c.At(at) == number {
		f.last[n], f.offset[n] = at, at-securid.Interval(f.now(), interval)
		return f.lie(next, accepted)
	}
	return f.lie(next, denied)
}

func honest(_ kind, right outcome) outcome { return right }

// sometimes tells the lie every 29th time that a kind is answered with what would be right.
func sometimes(k kind, right, lie outcome) func(kind, outcome) outcome {
	n := 0
	return func(gotKind kind, gotRight outcome) outcome {
		if gotKind == k && gotRight == right {
			if n++; n%29 == 0 {
				return lie
			}
		}
		return gotRight
	}
}

// drive has a load of 4000 exchanges decided by fakes and returns what it found.
func drive(t *testing.T, servers int, lie func(kind, outcome) outcome) *Report {
	t.Helper()
	// The clock goes ahead by a tenth of an interval with every look, from before an interval's end: what the load and the
	// server take for now differs by an interval at times, as it may between two programs.
	var mu sync.Mutex
	clock := time.Date(2026, 11, 24, 9, 14, 57, 0, time.UTC)
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(time.Millisecond)
		return clock
	}
	m := newMemory(600, now)
	load := &traffic{
		Plan:   &Plan{Clients: 3, Requests: 4000, Mix: Mix{good: 60, wrong: 15, replay: 15, next: 10}, Now: now},
		tokens: m.tokens,
	}
	for range servers {
		load.connect = append(load.connect, func() (line, error) { return &fake{m, lie}, nil })
	}
	if err := load.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &Report{}
	load.tell(r)
	return r
}

func TestAnHonestServerIsFoundGood(t *testing.T) {
	for servers := range 2 {
		r := drive(t, servers+1, honest)
		if !r.Good() || r.FirstBad != "" {
			t.Errorf("%d servers: %d double accepts, %d errors: %s", servers+1, r.DoubleAccepts, r.Errors, r.FirstBad)
		}
		for name, k := range r.Kinds {
			if k.Asked == 0 {
				t.Errorf("nothing was asked of kind %s", name)
			}
		}
		g, n := r.Kinds["good"], r.Kinds["next"]
		if each := int64(servers + 1); g.Accepted*each != g.Asked || n.Accepted != n.Challenged || n.Asked != n.Challenged*each+n.Accepted {
			t.Errorf("%d servers: %+v, %+v", servers+1, g, n)
		}
	}
}

func TestALyingServerIsFoundOut(t *testing.T) {
	for _, lie := range []struct {
		name    string
		servers int
		lie     func(kind, outcome) outcome
		twice   bool // it is a double accept
		kind    kind // that it is counted under
	}{
		{"a replay is accepted", 1, sometimes(replay, denied, accepted), true, replay},
		{"a replay is challenged", 1, sometimes(replay, denied, challenged), false, replay},
		{"a wrong code is accepted", 1, sometimes(wrong, denied, accepted), false, wrong},
		{"a wrong code is lost", 1, sometimes(wrong, denied, lost), false, wrong},
		{"a good code is denied", 1, sometimes(good, accepted, denied), false, good},
		{"a good code is challenged", 1, sometimes(good, accepted, challenged), false, good},
		{"a good code is lost", 1, sometimes(good, accepted, lost), false, good},
		{"a far code is accepted", 1, sometimes(next, challenged, accepted), false, next},
		{"a next code is denied", 1, sometimes(next, accepted, denied), false, next},
		{"a next code is lost", 1, sometimes(next, accepted, lost), false, next},
		{"two servers accept the same code", 2, sometimes(replay, denied, accepted), true, good},
		{"neither of two servers accepts", 2, sometimes(good, accepted, denied), false, good},
		{"one of two servers says nothing", 2, sometimes(good, accepted, lost), false, good},
		{"two servers challenge", 2, sometimes(replay, denied, challenged), false, next},
	} {
		t.Run(lie.name, func(t *testing.T) {
			r := drive(t, lie.servers, lie.lie)
			if r.Good() || r.Errors == 0 || r.FirstBad == "" {
				t.Error("nothing was noticed")
			}
			if twice := r.DoubleAccepts > 0; twice != lie.twice {
				t.Errorf("%d double accepts", r.DoubleAccepts)
			}
			if r.Kinds[kindNames[lie.kind]].Unexpected == 0 {
				t.Errorf("%s: it is counted elsewhere: %+v", lie.name, r.Kinds)
			}
		})
	}
}

// A server that answers nothing ends the load: there is nothing left to ask about.
func TestASilentServerEndsTheLoad(t *testing.T) {
	m := newMemory(10, time.Now)
	load := &traffic{Plan: &Plan{Clients: 2, Duration: time.Hour, Mix: Usual, Now: time.Now}, tokens: m.tokens}
	load.connect = []func() (line, error){func() (line, error) {
		return &fake{m, func(kind, outcome) outcome { return lost }}, nil
	}}
	if err := load.run(t.Context()); err == nil || !strings.Contains(err.Error(), "no token is left") {
		t.Errorf("it ended with %v", err)
	}
}

func TestMix(t *testing.T) {
	if m, err := ParseMix(Usual.String()); m != Usual || err != nil {
		t.Errorf("%v is read as %v, %v", Usual, m, err)
	}
	for _, bad := range []string{"", "good", "good=x", "good=100,evil=0", "good=50", "wrong=100", "good=150,wrong=-50"} {
		if m, err := ParseMix(bad); err == nil {
			t.Errorf("%q is read as %v", bad, m)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 100_000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for part, want := range map[float64]float64{0.5: 50, 0.9: 90, 0.99: 99, 1: 100} {
		if got := h.quantile(part); got < want*0.96 || got > want*1.04 {
			t.Errorf("quantile %v is %v ms, want about %v", part, got, want)
		}
	}
	if n := h.count(); n != 100_000 {
		t.Errorf("%d are counted", n)
	}
	for us := int64(0); us < 1<<30; us = us*17/16 + 1 {
		if m := middle(bucket(us)); m < float64(us)*31/32 || m > float64(us)*33/32 {
			t.Errorf("%d µs are taken for %v", us, m)
		}
	}
}

// With a rate, an answer is late by when its question was due, not by when it could be asked.
func TestNoOmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(10, time.Now)
		load := &traffic{Plan: &Plan{Clients: 1, Requests: 10, Rate: 1e6, Mix: Mix{good: 100}, Now: time.Now}, tokens: m.tokens}
		first := true
		load.connect = []func() (line, error){func() (line, error) {
			return &fake{m, func(_ kind, right outcome) outcome {
				if first {
					first = false
					time.Sleep(300 * time.Millisecond) // the server stands still while nine more questions are due
				}
				return right
			}}, nil
		}}
		if err := load.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := &Report{}
		load.tell(r)
		if r.P50 < 290 {
			t.Errorf("half of the answers took %v ms at most, though all were due 300 ms before", r.P50)
		}
	})
}

// What a server drops is not what it is fast at: a lost answer took as long as it was waited for, and is no answer.
func TestLostAnswersTakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100, time.Now)
		load := &traffic{Plan: &Plan{Clients: 1, Requests: 100, Mix: Mix{good: 100}, Now: time.Now}, tokens: m.tokens}
		asked := 0
		load.connect = []func() (line, error){func() (line, error) {
			return &fake{m, func(_ kind, right outcome) outcome {
				if asked++; asked%10 == 0 {
					time.Sleep(4 * time.Second) // of the bubble: no time passes
					return lost
				}
				return right
			}}, nil
		}}
		if err := load.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := &Report{}
		load.tell(r)
		var answers int64
		for _, s := range r.Timeline {
			answers += s.Answers
		}
		if r.Answers != 90 || answers != 90 || r.Kinds["good"].Lost != 10 || r.P50 > 100 || r.P99 < 3800 || r.Max < 3999 {
			t.Errorf("%d answers (%d by seconds), p50 %v ms, p99 %v ms, max %v ms, %+v", r.Answers, answers, r.P50, r.P99, r.Max, r.Kinds)
		}
	})
}

// Whoever interrupts a slow load does not wait for the next question to be due.
func TestALoadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(10, time.Now)
		load := &traffic{Plan: &Plan{Clients: 2, Duration: time.Hour, Rate: 0.001, Mix: Mix{good: 100}, Now: time.Now}, tokens: m.tokens}
		load.connect = []func() (line, error){func() (line, error) { return &fake{m, honest}, nil }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := load.run(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 2*time.Second {
			t.Errorf("it ended after %s with %v", time.Since(begun), err)
		}
	})
}

// The load ends in the middle of a second, whose few answers are no drop; what is written at the right has its place.
func TestPlotOfAPartOfASecond(t *testing.T) {
	r := &Report{Seconds: 3.2, Baseline: 50, Timeline: []Second{{100, 1, 2, 3}, {100, 1, 2, 3}, {100, 1, 2, 3}, {20, 1, 2, 900}}}
	var b strings.Builder
	if err := r.Plot(&b); err != nil {
		t.Fatal(err)
	}
	curves := regexp.MustCompile(`points="([^"]*)"`).FindAllStringSubmatch(b.String(), -1)
	heights := map[string]bool{}
	for point := range strings.FieldsSeq(curves[0][1]) {
		_, y, _ := strings.Cut(point, ",")
		heights[y] = true
	}
	if len(heights) != 1 {
		t.Errorf("an even load is drawn as %s", curves[0][1])
	}
	if n := len(strings.Fields(curves[4][1])); n != 4 {
		t.Errorf("the slowest answers of %d seconds are drawn, not of 4", n)
	}
	const letter = 7 // the width of one, in pixels, on average
	label := regexp.MustCompile(`<text x="(\d+)"[^>]*>bare database<`).FindStringSubmatch(b.String())
	if x, err := strconv.Atoi(label[1]); err != nil || x+letter*len("bare database") > plotWidth {
		t.Errorf("the name of a curve is cut off: it begins at %d of %d", x, plotWidth)
	}
}

func TestPlotIsAPicture(t *testing.T) {
	r := drive(t, 1, honest)
	var b strings.Builder
	if err := r.Plot(&b); err != nil {
		t.Fatal(err)
	}
	if svg := b.String(); !strings.HasPrefix(svg, "<svg") || strings.Contains(svg, "NaN") || strings.Count(svg, "<polyline") != 5 {
		t.Error(svg)
	}
}
