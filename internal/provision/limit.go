package provision

import (
	"net/netip"
	"sync"
	"time"
)

// Limits of wrong activation codes (spec/ct-kip.md section 8.3). The window of a source is also
// how long it is refused.
const (
	maxFromSource = 10
	sourceWindow  = 10 * time.Minute
	maxGuesses    = 1000 // altogether in guessWindow; then the alarm is raised and unknown codes wait
	guessWindow   = time.Hour
	maxSources    = 100_000 // remembered at once
)

// A limiter counts wrong codes by source and altogether, in memory.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix]*count
	all     count
}

// A count is the number of failures since the first one of its window.
type count struct {
	n     int
	since time.Time
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, sources: map[netip.Prefix]*count{}}
}

// block is what one source is known by: an IPv4 address, or the /64 that a host can choose its IPv6 address from.
func block(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the zero prefix for an unknown source
	return p
}

// refuses tells whether a source has to wait.
func (l *limiter) refuses(source netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.sources[block(source)]
	return c != nil && c.n >= maxFromSource && l.now().Sub(c.since) < sourceWindow
}

// slow tells whether wrong codes of all sources together are over the limit, so that each further one should wait.
func (l *limiter) slow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.n >= maxGuesses && l.now().Sub(l.all.since) < guessWindow
}

// add counts a failure and tells whether the alarm is due: once an hour, when all sources together reach the limit.
func (l *limiter) add(source netip.Addr) (alarm bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.sources) >= maxSources {
		l.forget(now)
	}
	c := l.sources[block(source)]
	if c == nil {
		c = &count{}
		l.sources[block(source)] = c
	}
	c.add(now, sourceWindow)
	if c.n == maxFromSource {
		c.since = now // refused from now on, for a whole window
	}
	l.all.add(now, guessWindow)
	return l.all.n == maxGuesses
}

func (c *count) add(now time.Time, window time.Duration) {
	if now.Sub(c.since) >= window {
		*c = count{since: now}
	}
	c.n++
}

// forget drops the sources whose window is over, and all of them if that is not enough.
func (l *limiter) forget(now time.Time) {
	for p, c := range l.sources {
		if now.Sub(c.since) >= sourceWindow {
			delete(l.sources, p)
		}
	}
	if len(l.sources) >= maxSources {
		clear(l.sources)
	}
}
