package provision

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/throttle"
)

// Limits of wrong activation codes (spec/ct-kip.md section 8.3). The window of a source is also
// how long it is refused.
const (
	maxFromSource = 10
	sourceWindow  = 10 * time.Minute
	maxGuesses    = 1000 // altogether in guessWindow; then the alarm is raised and codes are looked up in slots only
	guessWindow   = time.Hour
	maxSources    = 100_000 // remembered at once
)

// A slot that a wrong code was looked up in stays taken for slowDown, so 5 a second are tried at most while the alarm lasts. Most
// slots are for sources that sent no wrong code lately, so that a user with the right one does not queue behind those who guess.
const (
	slowDown   = 2 * time.Second
	freshSlots = 8
	otherSlots = 2
)

// Why a code is not looked up.
var (
	errBlocked = errors.New("provision: too many wrong codes from this source, or refusals of this code")
	errBusy    = errors.New("provision: too many wrong codes from everywhere")
)

// A limiter counts wrong codes by source and altogether, in memory.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix]*source
	all     count
	asking  int                   // of all sources
	fresh   [freshSlots]time.Time // until when each slot is taken
	other   [otherSlots]time.Time
}

// A source is where codes come from.
type source struct {
	wrong   count
	asking  int           // codes that are looked up just now
	settled chan struct{} // closed when one of them is; nil where nobody waits for that
}

// A count is the number of failures since the first one of its window.
type count struct {
	n     int
	since time.Time
}

// A guess is a code that is looked up.
type guess struct {
	from *source
	slot *time.Time // nil while there is no alarm
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, sources: map[netip.Prefix]*source{}}
}

// begin lets a code be looked up, or tells why not. Until it is settled it counts as a wrong one: no more are looked up
// at once than may be wrong, and what comes from the same source beyond waits for those.
func (l *limiter) begin(ctx context.Context, from netip.Addr) (guess, error) {
	for {
		g, wait, err := l.try(throttle.Network(from))
		if wait == nil {
			return g, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return guess{}, errBusy
		}
	}
}

func (l *limiter) try(b netip.Prefix) (guess, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := l.sources[b]
	if s == nil {
		s = &source{}
	}
	n := s.wrong.at(now, sourceWindow)
	switch {
	case n >= maxFromSource:
		return guess{}, nil, errBlocked
	case n+s.asking >= maxFromSource:
		if s.settled == nil {
			s.settled = make(chan struct{})
		}
		return guess{}, s.settled, nil
	}
	g := guess{from: s}
	if l.all.at(now, guessWindow)+l.asking >= maxGuesses {
		slots := l.fresh[:]
		if n > 0 {
			slots = l.other[:]
		}
		if g.slot = free(slots, now); g.slot == nil {
			return guess{}, nil, errBusy
		}
		*g.slot = now.Add(guessWindow) // until it is settled
	}
	if len(l.sources) >= maxSources {
		l.forget(now)
	}
	l.sources[b] = s
	s.asking++
	l.asking++
	return g, nil, nil
}

func free(slots []time.Time, now time.Time) *time.Time {
	for i := range slots {
		if !now.Before(slots[i]) {
			return &slots[i]
		}
	}
	return nil
}

// settle ends a guess and tells whether the alarm is due: once an hour, when all sources together reach the limit.
func (l *limiter) settle(g guess, wrong bool) (alarm bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, s := l.now(), g.from
	l.asking--
	s.asking--
	if s.settled != nil {
		close(s.settled)
		s.settled = nil
	}
	if g.slot != nil {
		*g.slot = time.Time{}
	}
	if !wrong {
		return false
	}
	if g.slot != nil {
		*g.slot = now.Add(slowDown)
	}
	s.wrong.add(now, sourceWindow)
	if s.wrong.n == maxFromSource {
		s.wrong.since = now // refused from now on, for a whole window
	}
	l.all.add(now, guessWindow)
	return l.all.n == maxGuesses
}

func (c *count) at(now time.Time, window time.Duration) int {
	if now.Sub(c.since) >= window {
		return 0
	}
	return c.n
}

func (c *count) add(now time.Time, window time.Duration) {
	if now.Sub(c.since) >= window {
		*c = count{since: now}
	}
	c.n++
}

// forget drops the sources whose window is over, and all of them if that is not enough.
func (l *limiter) forget(now time.Time) {
	for b, s := range l.sources {
		if s.asking == 0 && s.wrong.at(now, sourceWindow) == 0 {
			delete(l.sources, b)
		}
	}
	if len(l.sources) >= maxSources {
		clear(l.sources)
	}
}
