// Package throttle limits how often each of many names may come, before anything is computed. Guessing is the lockout policy's
// concern; a throttle keeps one agent, or one user that somebody hammers, from taking the server away from the others.
package throttle

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// What one user, or one attempt, may have asked about her: messages a second, more than gateways that retry, and at once
// (spec/rest-authn-api.md section 6 rule 6).
const (
	SubjectRate  = 100
	SubjectBurst = 1_000
)

// Subject is the name by which agents or API keys of a security domain ask about a user or an attempt. Those of each domain have a rate of their own for her: who
// has one could else keep those of others from asking about her.
func Subject(domain, about string) string { return domain + "/" + about }

// buckets is how many names a throttle tells apart. Two names that share a bucket share its limit: with 65,536, only
// somebody who is at the limit for thousands of names at once gets in others' way.
const buckets = 1 << 16

// A Throttle limits how often each of many names may come, in constant memory and without a lock: for each bucket it
// keeps the time at which it will be empty again (the generic cell rate algorithm).
type Throttle struct {
	seed    maphash.Seed
	every   int64 // nanoseconds
	full    int64
	emptyAt [buckets]atomic.Int64
}

// New makes one that lets rate of a name pass in a second, and burst at once.
func New(rate, burst int64) *Throttle {
	every := int64(time.Second) / rate
	return &Throttle{seed: maphash.MakeSeed(), every: every, full: every * burst}
}

func (t *Throttle) bucket(name string) *atomic.Int64 {
	return &t.emptyAt[maphash.String(t.seed, name)%buckets]
}

// Allows tells whether another one of that name may come, and counts it if so.
func (t *Throttle) Allows(name string, now time.Time) bool {
	b, at := t.bucket(name), now.UnixNano()
	for {
		was := b.Load()
		next := max(t.believed(was, at), at) + t.every
		if next-at > t.full {
			return false
		}
		if b.CompareAndSwap(was, next) {
			return true
		}
	}
}

// Exhausted tells whether no other one of that name may come now.
func (t *Throttle) Exhausted(name string, now time.Time) bool {
	at := now.UnixNano()
	return t.believed(t.bucket(name).Load(), at)+t.every-at > t.full
}

// believed is when a bucket will be empty, as it says. One that would take longer for that than a full one was filled by a clock that went back since: it is
// empty, or its name would be refused until the clock has caught up. Twice as long, since those who come at once may have looked at the clock one after the other.
func (t *Throttle) believed(emptyAt, at int64) int64 {
	if emptyAt-at > 2*t.full {
		return at
	}
	return emptyAt
}
