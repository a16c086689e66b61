package agentapi

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Limits before anything is computed (spec/rest-authn-api.md section 6 rule 6). Guessing is the lockout policy's concern;
// these keep one agent, or one user that somebody hammers, from taking the server away from the others.
const (
	agentRate, agentBurst       = 20_000, 40_000 // messages a second of one agent, above what a small server can decide
	subjectRate, subjectBurst   = 100, 1_000     // of one user or one attempt: more than gateways that retry, on every server
	strangerRate, strangerBurst = 1, 20          // wrong keys of one source
)

// buckets is how many names a throttle tells apart. Two names that share a bucket share its limit: with 65,536, only
// somebody who is at the limit for thousands of names at once gets in others' way.
const buckets = 1 << 16

// A throttle limits how often each of many names may come, in constant memory and without a lock: for each bucket it
// keeps the time at which it will be empty again (the generic cell rate algorithm).
type throttle struct {
	seed    maphash.Seed
	every   int64 // nanoseconds
	full    int64
	emptyAt [buckets]atomic.Int64
}

// limit sets the messages a second, and how many may come at once.
func (t *throttle) limit(rate, burst int64) {
	t.seed = maphash.MakeSeed()
	t.every = int64(time.Second) / rate
	t.full = t.every * burst
}

func (t *throttle) bucket(name string) *atomic.Int64 {
	return &t.emptyAt[maphash.String(t.seed, name)%buckets]
}

// allows tells whether another one of that name may come, and counts it if so.
func (t *throttle) allows(name string, now time.Time) bool {
	b, at := t.bucket(name), now.UnixNano()
	for {
		was := b.Load()
		next := max(was, at) + t.every
		if next-at > t.full {
			return false
		}
		if b.CompareAndSwap(was, next) {
			return true
		}
	}
}

// exhausted tells whether no other one of that name may come now.
func (t *throttle) exhausted(name string, now time.Time) bool {
	return t.bucket(name).Load()+t.every-now.UnixNano() > t.full
}
