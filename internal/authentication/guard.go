package authentication

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/tallystick/tallystick/internal/policy"
)

// A Guard is what the server remembers of a user's sign-ins, whatever the token: failures in a row, the lock that
// follows them, and the sources that the user succeeded from (section 10.5). Its zero value is that of a new user.
type Guard struct {
	UserID  string
	Version int // as it was read; grows with every change
	// Own counts failures from sources that the user has succeeded from before, Strange all others. While the user
	// has never succeeded from anywhere, or the policy does not separate them, every failure is counted in Own.
	Own, Strange Failures
	// Sources are marks of the places that the user succeeded from, sourceMark bytes each, the newest first.
	Sources []byte
	// Denied are marks of requests that were denied lately for a reason that may end (again.go).
	Denied []byte
	// Fixed is the keyed hash of her fixed passcode (fixed.go), nil for none, and FixedAt when it was set, or taken away.
	Fixed   []byte
	FixedAt time.Time
	// OnDemand is her PIN for codes by mail, and OnDemandCode the code that was sent last (ondemand.go); nil for none. Guards may share them: another one takes their place.
	OnDemand     *OnDemandPIN
	OnDemandCode *OnDemandCode
}

// Failures are wrong passcodes in a row.
type Failures struct {
	Count    int
	Since    time.Time // of the first one that counts; zero while there is none
	LockedAt time.Time // zero while they lock nothing
	// Times are when the last of them came, oldest first, failureTime bytes each: seconds since 1970. Those that an earlier release counted, and
	// those that could not lock, have none, and are taken to be as old as the first.
	Times string
}

const failureTime = 4

// timed is how many failures have a time.
func (f Failures) timed() int { return len(f.Times) / failureTime }

// first is the time of the oldest that has one.
func (f Failures) first() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32([]byte(f.Times[:failureTime]))), 0).UTC()
}

const (
	sourceMark  = 8  // bytes; two sources of one user are taken for one with a chance of 2^-64
	sourcesKept = 16 // sources of a user; the one that was not used for longest is forgotten
)

// Locked tells whether the failures lock at now, by a policy that may unlock after a time.
func (f Failures) Locked(p policy.Lockout, now time.Time) bool {
	return !f.LockedAt.IsZero() && (p.UnlockAfter == 0 || now.Before(f.LockedAt.Add(p.UnlockAfter)))
}

// add counts one more failure and tells whether it locked.
func (f *Failures) add(p policy.Lockout, now time.Time) bool {
	*f = f.At(p, now)
	if f.Count++; f.Count == 1 {
		f.Since = now
	}
	if p.Failures > 0 {
		f.Times = string(binary.BigEndian.AppendUint32([]byte(f.Times), uint32(now.Unix())))
	}
	if p.Failures > 0 && f.Count >= p.Failures && f.LockedAt.IsZero() {
		f.LockedAt = now
		return true
	}
	return false
}

// knows tells whether the user succeeded from the source before.
func (g *Guard) knows(mark []byte) bool { return g.place(mark) >= 0 }

// place is where the mark of a source begins in Sources, -1 if it is not there.
func (g *Guard) place(mark []byte) int {
	for i := 0; i+sourceMark <= len(g.Sources); i += sourceMark {
		if bytes.Equal(g.Sources[i:i+sourceMark], mark) {
			return i
		}
	}
	return -1
}

// failures are those that a failure from a source is counted among.
func (g *Guard) failures(p policy.Lockout, mark []byte) *Failures {
	if p.SeparateUnknownSources && len(g.Sources) > 0 && !g.knows(mark) {
		return &g.Strange
	}
	return &g.Own
}

// succeed starts counting anew and remembers the source. It tells whether anything changed. A success from a known source
// says nothing about strangers: else each sign-in of the user would give them another budget of guesses.
func (g *Guard) succeed(mark []byte) bool {
	changed := g.Own != Failures{}
	g.Own = Failures{}
	if !g.knows(mark) {
		g.Strange = Failures{}
	}
	switch i := g.place(mark); {
	case i == 0:
		return changed
	case i > 0:
		copy(g.Sources[sourceMark:i+sourceMark], bytes.Clone(g.Sources[:i]))
		copy(g.Sources, mark)
	default:
		kept := g.Sources[:min(len(g.Sources), (sourcesKept-1)*sourceMark)]
		g.Sources = append(bytes.Clone(mark), kept...)
	}
	return true
}

// failuresOf are those that a failure of a user from a source is counted among.
func (e *Engine) failuresOf(s *subject, from Source) *Failures {
	return s.Guard.failures(s.policy.Lockout, SourceMark(e.Keys, s.UserID, from))
}
