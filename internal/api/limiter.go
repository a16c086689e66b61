package api

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tallystick/tallystick/internal/throttle"
)

// Limits of wrong API keys. A key has 256 random bits, so that this protects the database and the log and not the
// keys: a program with an outdated key may try a while, and a flood may not.
const (
	wrongKeys   = 20              // from one source at once
	wrongEvery  = 3 * time.Second // one more
	mostSources = 10_000          // remembered at once
)

// A limiter counts wrong keys by source, in memory.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix]*rate.Limiter
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, sources: map[netip.Prefix]*rate.Limiter{}}
}

// allows tells whether a source may be looked at.
func (l *limiter) allows(source netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.sources[throttle.Network(source)]
	return known == nil || known.TokensAt(l.now()) >= 1
}

// count notes a wrong key.
func (l *limiter) count(source netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sources) >= mostSources {
		l.forget()
	}
	known := l.sources[throttle.Network(source)]
	if known == nil {
		known = rate.NewLimiter(rate.Every(wrongEvery), wrongKeys)
		l.sources[throttle.Network(source)] = known
	}
	known.AllowN(l.now(), 1)
}

// forget drops the sources that have been quiet for long enough, and all of them if that is not enough.
func (l *limiter) forget() {
	for source, known := range l.sources {
		if known.TokensAt(l.now()) >= wrongKeys {
			delete(l.sources, source)
		}
	}
	if len(l.sources) >= mostSources {
		clear(l.sources)
	}
}
