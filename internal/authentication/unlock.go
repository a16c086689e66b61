package authentication

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// At is what of the failures counts at now: all of those that lock, none once their lock has ended by itself, and else those that are not too long ago.
func (f Failures) At(p policy.Lockout, now time.Time) Failures {
	if f.Locked(p, now) {
		return f
	}
	if !f.LockedAt.IsZero() {
		return Failures{}
	}
	if f.Count < f.timed() { // an earlier release has begun anew beside this one
		f.Times = f.Times[(f.timed()-f.Count)*failureTime:]
	}
	if f.Count > f.timed() && now.Sub(f.Since) >= p.Within {
		f.Count = f.timed()
	}
	for f.Count == f.timed() && f.Count > 0 {
		if f.Since = f.first(); now.Sub(f.Since) < p.Within {
			return f
		}
		f.Count, f.Times = f.Count-1, f.Times[failureTime:]
	}
	if f.Count == 0 {
		return Failures{}
	}
	return f
}

// Unlock lets a user authenticate again, from wherever, and forgets the failures that locked her. [fault.UserNotFound].
func (e *Engine) Unlock(ctx context.Context, userID string) error {
	return e.alone(ctx, userID, func(r *round, j *job) error {
		s := r.subjects[userID]
		if s == nil {
			return fault.New(fault.UserNotFound, "there is no user %q", userID)
		}
		g := &s.Guard
		if (g.Own == Failures{}) && (g.Strange == Failures{}) {
			return nil
		}
		r.record(j, "lockout.unlock", "user:"+userID, "", audit.Details{
			"failures": g.Own.Count, "was_locked": g.Own.Locked(s.policy.Lockout, r.now),
			"unknown_source_failures": g.Strange.Count, "unknown_sources_were_locked": g.Strange.Locked(s.policy.Lockout, r.now),
		})
		g.Own, g.Strange, s.guardChanged = Failures{}, Failures{}, true
		return nil
	})
}

// alone decides something about a user as a round of its own, in the transaction of ctx if there is one: with her guard
// locked, so that no passcode of hers is decided meanwhile. A refusal that decide returns keeps what it recorded.
func (e *Engine) alone(ctx context.Context, userID string, decide func(*round, *job) error) error {
	j := &job{ctx: ctx, user: userID, decide: decide}
	if err := e.insist(ctx, []*job{j}, true, rowPatience); err != nil {
		return undecided(err)
	}
	return j.err
}
