// Package clock guards the time that tokencodes are decided by.
//
// A clock that jumps back would make used-up time valid again, so a server whose clock goes back by more than
// [Tolerance] decides nothing until it has caught up, or until an administrator confirms that the new time is the
// right one ([Guard.Confirm]). What a server has seen is kept in the database, so that a restart forgets nothing.
// Servers on one database compare their clocks by the database's, and raise an alarm when two are more than
// [MaxSkew] apart (spec/software-token-lifecycle.md section 10.2).
package clock

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// Tolerance is how far a clock may go back unnoticed: time services correct by less.
const Tolerance = 5 * time.Second

// MaxSkew is how far apart the clocks of two servers may be without an alarm.
const MaxSkew = 10 * time.Second

// Apart is more than a clock is behind that others can rely on.
const Apart = time.Hour

// Late is so long after now that what is put off until then, and never is by more than most, was so by a clock that was ahead and has been set back since.
// A server whose own clock may be behind, as reliable tells (nil for never), finds nothing so late, or it would do the work of others again and again.
func Late(now time.Time, most time.Duration, reliable func() bool) time.Time {
	if reliable != nil && !reliable() {
		return now.AddDate(1000, 0, 0)
	}
	return now.Add(most + Apart)
}

// gone is how long after its last word a server is not compared any more.
const gone = time.Minute

// A Reading is what one server last said of its clock.
type Reading struct {
	Server string // its ID
	Name   string // as people know it
	// Latest is the latest time that the server has seen on its clock.
	Latest time.Time
	// Ahead is by how much its clock was ahead of the database's at At.
	Ahead time.Duration
	// At is when it said so, by the database's clock.
	At time.Time
	// Confirmed counts how often an administrator confirmed the time, and Heard how many of these the server had heard of at At.
	Confirmed, Heard int
}

// Store is what the guard needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Readings returns the database's time and what each server last said, by name.
	Readings(ctx context.Context) (now time.Time, all []Reading, err error)
	// KeepReading stores what a server says; its count of confirmations stays, and begins with those that it has heard of.
	KeepReading(ctx context.Context, r Reading) error
	// ConfirmClocks counts one confirmation more for every server.
	ConfirmClocks(ctx context.Context) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Guard watches the clock of one server. Begin it before its first use; it is safe for concurrent use.
type Guard struct {
	Store  Store
	Server string // an ID that no other server on the database has, and that stays wherever this one runs
	Name   string // of the server as people know it
	Alone  bool   // no other server uses the database
	Now    func() time.Time
	Logger *slog.Logger

	mu        sync.Mutex
	latest    time.Time
	confirmed int
	back      bool            // the clock is behind latest by more than the tolerance
	unsaid    time.Duration   // how far it went back, until an alarm is raised about that
	skewed    map[string]bool // servers that an alarm was raised about
	worst     time.Duration   // how far apart the clocks of two servers were when they were last compared
}

// Begin reads what this server had seen before it was stopped.
func (g *Guard) Begin(ctx context.Context) error {
	_, all, err := g.Store.Readings(ctx)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range all {
		if r.Server == g.Server { // what it took over at its first start is in it, and what was confirmed since is in no other
			g.latest, g.confirmed = r.Latest, r.Heard // the next beat hears of what was confirmed while it was down
			return nil
		}
	}
	for _, r := range all {
		// Older releases had no ID: the name stood for it, and still tells the server whose ID was lost.
		mine := r.Name == g.Name || g.Alone
		if mine && r.Heard == r.Confirmed && r.Latest.After(g.latest) { // what was confirmed since is right
			g.latest = r.Latest
		}
	}
	return nil
}

// Trust tells whether a time of the server's clock can be relied on; [fault.Unavailable] says what to do if not.
func (g *Guard) Trust(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now = now.Round(0) // without the monotonic reading, which goes on when the clock is set back
	behind := g.latest.Sub(now)
	if behind <= 0 {
		g.latest = now
	}
	was := g.back
	g.back = behind > Tolerance || was && behind > 0
	if g.back && !was {
		g.unsaid = behind
		g.Logger.Error("the clock went back: no passcode is decided until it has caught up, or until 'tallystick clock confirm'",
			"clock", now, "seen", g.latest, "behind", behind)
	}
	if g.back {
		return fault.New(fault.Unavailable, "the clock of this server went back by %v: correct it, or confirm it with 'tallystick clock confirm'", behind.Round(time.Millisecond)).With("because", "clock")
	}
	return nil
}

// State is what the guard knows, for administrators and metrics.
type State struct {
	Trusted bool
	Behind  time.Duration // how far the clock is behind the latest time that it has shown; 0 if it is not
	Skew    time.Duration // between the two servers whose clocks are furthest apart
	Servers []Reading     // heard of within a minute
}

// State reads what all servers say.
func (g *Guard) State(ctx context.Context) (State, error) {
	now, all, err := g.Store.Readings(ctx)
	if err != nil {
		return State{}, err
	}
	here := g.Now().UTC()
	err = g.Trust(here)
	g.mu.Lock()
	defer g.mu.Unlock()
	s := State{Trusted: err == nil, Behind: max(0, g.latest.Sub(here)), Servers: present(all, now)}
	s.Skew = spread(s.Servers)
	return s, nil
}

// Skew is how far apart the clocks of two servers were when they were last compared.
func (g *Guard) Skew() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.worst
}

// Beat tells the others of this server's clock, takes over a confirmation that was given at another server, and
// compares the clocks. It is called every few seconds.
func (g *Guard) Beat(ctx context.Context) error {
	before := g.Now()
	database, all, err := g.Store.Readings(ctx)
	if err != nil {
		return err
	}
	after := g.Now().UTC()
	for _, r := range all {
		if r.Server == g.Server {
			g.accept(r.Confirmed, after)
		}
	}
	_ = g.Trust(after) // it has logged what there is to say
	if err := g.alarm(ctx, after); err != nil {
		return err
	}
	g.mu.Lock()
	mine := Reading{Server: g.Server, Name: g.Name, Latest: g.latest, Ahead: before.Add(after.Sub(before) / 2).Sub(database), At: database, Heard: g.confirmed}
	g.mu.Unlock()
	all = append(slices.DeleteFunc(all, func(r Reading) bool { return r.Server == g.Server }), mine)
	if err := g.Store.KeepReading(ctx, mine); err != nil {
		return err
	}
	return g.compare(ctx, mine, present(all, database))
}

// alarm raises the alarm about a clock that went back, once for each time that it did.
func (g *Guard) alarm(ctx context.Context, now time.Time) error {
	g.mu.Lock()
	behind := g.unsaid
	g.mu.Unlock()
	if behind == 0 {
		return nil
	}
	err := g.Store.Record(ctx, audit.New(ctx, now, "clock.back", "server:"+g.Name, audit.Details{"behind_seconds": behind.Round(time.Millisecond).Seconds()}).Failed("CLOCK_BACK"))
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsaid = 0
	return nil
}

// accept takes the clock's time for right after a confirmation that this server has not heard of yet.
func (g *Guard) accept(confirmed int, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if confirmed != g.confirmed {
		g.latest, g.confirmed, g.back = now, confirmed, false
		g.Logger.Warn("an administrator confirmed the time", "clock", now)
	}
}

// compare raises an alarm about each server whose clock has just been found too far from this one's.
func (g *Guard) compare(ctx context.Context, mine Reading, all []Reading) error {
	g.mu.Lock()
	g.worst = spread(all)
	var alarms []Reading
	skewed := map[string]bool{}
	for _, r := range all {
		if (r.Ahead - mine.Ahead).Abs() > MaxSkew {
			skewed[r.Server] = true
			if !g.skewed[r.Server] {
				alarms = append(alarms, r)
			}
		}
	}
	g.skewed = skewed
	g.mu.Unlock()
	for _, r := range alarms {
		apart := (r.Ahead - mine.Ahead).Round(time.Millisecond)
		g.Logger.Error("the clocks of two servers are too far apart: correct the wrong one", "server", r.Name, "ahead", apart)
		err := g.Store.Record(ctx, audit.New(ctx, g.Now(), "clock.skew", "server:"+g.Name, audit.Details{"other": r.Name, "ahead_seconds": apart.Seconds()}).Failed("CLOCK_SKEW"))
		if err != nil {
			return err
		}
	}
	return nil
}

// Confirm says that the time of the servers' clocks is right although one went back. Every server hears of it with its next beat.
func (g *Guard) Confirm(ctx context.Context) error {
	err := g.Store.Transact(ctx, func(ctx context.Context) error {
		if err := g.Store.ConfirmClocks(ctx); err != nil {
			return err
		}
		return g.Store.Record(ctx, audit.New(ctx, g.Now(), "clock.confirm", "server:", nil))
	})
	if err != nil {
		return err
	}
	return g.Beat(ctx)
}

// present are the servers that said something within the last minute of the database's time.
func present(all []Reading, now time.Time) []Reading {
	return slices.DeleteFunc(slices.Clone(all), func(r Reading) bool { return now.Sub(r.At).Abs() > gone })
}

// spread is how far apart the clocks are.
func spread(all []Reading) time.Duration {
	if len(all) == 0 {
		return 0
	}
	least, most := all[0].Ahead, all[0].Ahead
	for _, r := range all {
		least, most = min(least, r.Ahead), max(most, r.Ahead)
	}
	return most - least
}
