package authentication

import (
	"context"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// At is what of the failures counts at now: nothing once a lock has ended by itself or the first one is too long ago,
// since the next failure begins anew then.
func (f Failures) At(p policy.Lockout, now time.Time) Failures {
	if f.stale(p, now) {
		return Failures{}
	}
	return f
}

// stale tells whether the next failure begins anew.
func (f Failures) stale(p policy.Lockout, now time.Time) bool {
	if !f.LockedAt.IsZero() {
		return !f.Locked(p, now)
	}
	return f.Count == 0 || now.Sub(f.Since) >= p.Within
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
	err := e.decide(ctx, []*job{j}, true)
	for tries := 0; errors.Is(err, errChanged) && tries < 5; tries++ {
		err = e.decide(ctx, []*job{j}, true)
	}
	switch {
	case errors.Is(err, errChanged):
		return errBusy
	case err != nil:
		return err
	}
	return j.err
}
