package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/securid"
)

// A line is one way to ask one server. It takes one question at a time.
type line interface {
	// ask asks whether a passcode is right; the error is one that leaves nothing to go on with.
	ask(user, passcode string) outcome
	// answer gives the next tokencode that the last answer asked for.
	answer(user, code string) outcome
	close() error
}

// A Mix is how many requests of each kind there are in a hundred.
type Mix [kinds]int

// Usual is what servers see, with more trouble than most: 90 in a hundred are good.
var Usual = Mix{good: 90, wrong: 5, replay: 3, next: 2}

// ParseMix reads a mix: good=90,wrong=5,replay=3,next=2.
func ParseMix(text string) (Mix, error) {
	var m Mix
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(number)
		found := false
		for k := range kinds {
			if kindNames[k] == name && err == nil {
				m[k], found = n, true
			}
		}
		if !found {
			return m, fault.New(fault.Invalid, "a mix is written good=90,wrong=5,replay=3,next=2, and %q is no part of one", part)
		}
	}
	return m, m.check()
}

// String writes it as ParseMix reads it.
func (m Mix) String() string {
	var parts []string
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%s=%d", kindNames[k], n))
	}
	return strings.Join(parts, ",")
}

func (m Mix) check() error {
	sum := 0
	for _, n := range m {
		if n < 0 {
			return fault.New(fault.Invalid, "no part of a mix is below 0")
		}
		sum += n
	}
	if sum != 100 || m[good] == 0 {
		return fault.New(fault.Invalid, "the parts of a mix make 100, with some good ones: others follow on those")
	}
	return nil
}

// What is right and wrong for a server with the default policies.
const (
	farAhead   = 3  // intervals beyond the next one: outside the small window (1), inside the medium one (10)
	nearEnough = 20 // intervals to each side in which no wrong code may be right
)

// A traffic is the load while it runs.
type traffic struct {
	*Plan
	tokens  []tokenState
	connect []func() (line, error) // to each server

	begun   time.Time
	counted time.Time     // from when on it is measured: the end of the warm-up
	elapsed time.Duration // since then
	count   atomic.Int64  // exchanges begun
	ledger  ledger
	times   timeline
}

// run runs the load to its end. The error is one of the means, not of what servers answer.
func (t *traffic) run(ctx context.Context) error {
	var callers []*caller
	defer func() {
		for _, c := range callers {
			c.close()
		}
	}()
	for n := range t.Clients {
		c := &caller{traffic: t, random: rand.New(rand.NewPCG(uint64(n), 0x7461_6c6c_79))} //nolint:gosec // which user asks next is no secret
		callers = append(callers, c)
		for _, connect := range t.connect {
			l, err := connect()
			if err != nil {
				return err
			}
			c.lines = append(c.lines, l)
		}
		for i := n; i < len(t.tokens); i += t.Clients {
			c.own = append(c.own, int32(i))
		}
		c.random.Shuffle(len(c.own), func(i, j int) { c.own[i], c.own[j] = c.own[j], c.own[i] })
	}
	t.begun = time.Now()
	t.counted = t.begun.Add(t.Warmup)
	failed := make(chan error, len(callers))
	var all sync.WaitGroup
	for _, c := range callers {
		all.Go(func() {
			if err := c.run(ctx); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	t.elapsed = time.Since(t.counted)
	for _, c := range callers {
		t.ledger.add(&c.ledger)
	}
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

// due is when the next exchange is to begin; false if there is none.
func (t *traffic) due(ctx context.Context) (time.Time, bool) {
	n := t.count.Add(1) - 1
	now := time.Now()
	at := now
	if t.Rate > 0 {
		at = t.begun.Add(time.Duration(float64(n) / t.Rate * float64(time.Second)))
	}
	if t.Requests > 0 && n >= t.Requests || t.Requests == 0 && at.Sub(t.counted) >= t.Duration || ctx.Err() != nil {
		return at, false
	}
	if wait := at.Sub(now); wait > 0 {
		select {
		case <-ctx.Done():
			return at, false
		case <-time.After(wait):
		}
	}
	return at, true
}

// A caller is one of the clients. It has tokens of its own, which it takes in turn.
type caller struct {
	*traffic
	random *rand.Rand
	lines  []line
	own    []int32
	turn   int
	recent int32 // token whose code was accepted last
	proven bool  // there is one
	ledger ledger
}

func (c *caller) close() {
	for _, l := range c.lines {
		_ = l.close() // everything that it had to say was said
	}
}

var errRetired = errors.New("so many answers were wrong or lost that no token is left to ask about")

func (c *caller) run(ctx context.Context) error {
	for {
		due, more := c.due(ctx)
		if !more {
			return nil
		}
		k := c.draw()
		n := c.recent
		if k != replay {
			var left bool
			if n, left = c.pick(); !left {
				return fmt.Errorf("%w: %s", errRetired, c.ledger.first)
			}
			if c.tokens[n].failed {
				k = good
			}
		}
		c.exchange(due, k, n)
	}
}

// draw chooses a kind by the mix.
func (c *caller) draw() kind {
	at := c.random.IntN(100)
	for k := range kinds {
		if at -= c.Mix[k]; at < 0 && (k != replay || c.proven && !c.tokens[c.recent].retired) {
			return k
		}
	}
	return good
}

// pick takes the next token; false if none is left.
func (c *caller) pick() (int32, bool) {
	for range c.own {
		n := c.own[c.turn]
		c.turn = (c.turn + 1) % len(c.own)
		if !c.tokens[n].retired {
			return n, true
		}
	}
	return 0, false
}

// exchange asks one question of a kind about a token, and what follows from it.
func (c *caller) exchange(due time.Time, k kind, n int32) {
	t, user := &c.tokens[n], userID(int(n))
	here := securid.Interval(c.Now(), interval)
	at := here
	if t.sent > 0 {
		at = t.sent + max(1, here-t.at)
	}
	codes, err := securid.NewChain(t.seed[:], serial(int(n)), digits, interval)
	if err != nil {
		panic(err) // the deployment is ours
	}
	code, want := uint32(0), accepted
	switch k {
	case good:
		code = codes.At(at)
	case next:
		at += farAhead
		code, want = codes.At(at), challenged
	case replay:
		at = t.accepted
		code, want = codes.At(at), denied
	case wrong:
		for {
			code = c.random.Uint32N(100_000_000)
			if _, hit := codes.Find(code, at-nearEnough, at+nearEnough, at); !hit {
				break
			}
		}
		want = denied
	}
	if k == good || k == next {
		t.sent, t.at = at, here
	}
	answers := c.ask(due, func(l line) outcome { return l.ask(user, commonPIN+securid.Format(code, digits)) })
	if !c.ledger.enter(k, t, at, want, answers) {
		return
	}
	if k == next {
		t.sent, t.at = at+1, securid.Interval(c.Now(), interval)
		for i, l := range c.lines {
			if answers[i] != challenged {
				continue
			}
			begin := time.Now()
			got := l.answer(user, securid.Format(codes.At(at+1), digits))
			c.times.add(c.counted, begin, time.Now(), got)
			if !c.ledger.enter(k, t, at+1, accepted, []outcome{got}) {
				return
			}
		}
	}
	if k == good || k == next {
		c.recent, c.proven = n, true
	}
}

// ask asks all servers at once.
func (c *caller) ask(due time.Time, question func(line) outcome) []outcome {
	answers := make([]outcome, len(c.lines))
	one := func(i int) {
		answers[i] = question(c.lines[i])
		c.times.add(c.counted, due, time.Now(), answers[i])
	}
	var others sync.WaitGroup
	for i := range c.lines[1:] {
		others.Go(func() { one(i + 1) })
	}
	one(0)
	others.Wait()
	return answers
}
