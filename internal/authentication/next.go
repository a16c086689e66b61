package authentication

import (
	"cmp"
	"strconv"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

// next leaves an attempt open, waiting for the answer to a step. A new one gets its name here.
func (r *round) next(a *Attempt, result Result, step Step) Decision {
	if a.ID == "" {
		a.ID = newAttemptID()
		r.attempts[a.ID] = a
	}
	a.Turn++
	a.state.Step = step
	a.ExpiresAt = r.now.Add(a.state.Life)
	d := Decision{Result: result, Step: step, Attempt: a.ID, Turn: a.Turn, Expires: a.ExpiresAt, Mailed: a.state.OnDemand}
	if step == StepNewPIN || step == StepRepeatPIN {
		d.PIN = r.rules(a)
	}
	return d
}

// end closes an attempt.
func (r *round) end(a *Attempt) { a.ended = true }

var errNoAttempt = fault.New(fault.AttemptNotFound, "there is no such attempt: it is over, or was never begun here")

// find is the open attempt that an agent asks for. One of another agent is refused in the same words as one that there is not.
func (r *round) find(id string, s Source, userID string) (*Attempt, error) {
	a := r.attempts[id]
	if a == nil || a.ended || a.Agent != s.caller() || userID != "" && userID != a.UserID {
		return nil, errNoAttempt
	}
	return a, nil
}

// answer goes on with an attempt.
func (r *round) answer(j *job, in Answer) error {
	a, err := r.find(in.Attempt, in.Source, in.UserID)
	switch {
	case err != nil:
		late := r.attempts[in.Attempt] // if it has expired, and is still there
		if late == nil || late.Agent != in.Source.caller() {
			late = &Attempt{}
		}
		if s := r.subject(j, cmp.Or(in.UserID, late.UserID)); s != nil { // who is told why she was refused, although nothing is decided or counted
			r.record(j, "authn.fail", "user:"+s.UserID, DialogueOver, r.details(in.Source, verdict{tried: s.about(late)}))
		}
		return err
	case in.Turn != a.Turn:
		return fault.New(fault.OutOfSequence, "this answers another question than the last one of the attempt")
	case in.Step != "" && in.Step != a.state.Step:
		return fault.New(fault.StepNotRequested, "the attempt did not ask for this")
	}
	if in.Source.Station == "" {
		in.Source.Station = a.state.Station
	}
	if a.state.Step == StepPasscode {
		return r.passcode(j, a, in.Source, in.Text, true)
	}
	s, t, err := r.standing(j, a, in.Source)
	if s == nil || err != nil {
		return err
	}
	switch a.state.Step {
	case StepNextTokencode:
		if t == nil {
			return r.mailedCode(j, a, s, in)
		}
		return r.nextTokencode(j, a, s, t, in)
	case StepReauthenticate:
		return r.reauthenticate(j, a, s, in)
	default:
		return r.newPIN(j, a, s, t, in)
	}
}

// standing is what an attempt is about, if user and token are still what they were when it began: nobody gets past a
// lock, a disabled token or a new seed by having begun before. Else it denies and returns no user. An attempt about a code by mail has no token.
func (r *round) standing(j *job, a *Attempt, from Source) (*subject, *tokenState, error) {
	s := r.subject(j, a.UserID)
	reason := ""
	var t *tokenState
	switch {
	case s == nil:
		reason = UnknownUser
	case a.state.OnDemand:
		reason = s.onDemandHolds(a)
	default:
		if t = s.holding(a.state.Serial); t == nil {
			reason = NoToken
		} else {
			r.endGrace(j, t)
		}
	}
	switch {
	case reason != "":
	case !from.Only.admits(s):
		reason = AgentRestricted
	case !s.Enabled:
		reason = UserDisabled
	case user.Over(s.Expiry, r.now):
		reason = UserExpired
	case s.Guard.Own.Locked(s.policy.Lockout, r.now):
		reason = UserLocked
	case r.engine.failuresOf(s, from).Locked(s.policy.Lockout, r.now):
		reason = SourceLocked
	case a.state.OnDemand:
	case t.generation(a.state.Generation) == nil:
		reason = NoToken // it has another seed meanwhile
	default:
		if reason = unusable(t.token, r.now); reason == "" {
			reason = r.stillHolds(a, t, t.generation(a.state.Generation))
		}
	}
	if reason == "" {
		return s, t, nil
	}
	return nil, nil, r.deny(j, a, s, from, verdict{reason: reason, uncounted: true, tried: s.about(a)})
}

// nextTokencode decides the code that has to follow the one that was right: that of the very next interval, by itself or
// with the PIN as in any passcode (users type what they are used to).
func (r *round) nextTokencode(j *job, a *Attempt, s *subject, t *tokenState, in Answer) error {
	g := t.generation(a.state.Generation)
	want := a.state.Interval + 1
	right := false
	err := r.codes(t.token, g, func(c *securid.Chain) {
		code := c.At(want)
		right = sameCode(in.Text, securid.Format(code, g.Settings.Digits)) || r.engine.fits(t.as(g.Number), g.Settings, in.Text, code) == ""
	})
	if err != nil {
		return err
	}
	// A code may come long after it was shown, and hardly before: of the two, the one that came sooner tells the clock.
	offset := want - securid.Interval(r.now, g.Settings.Interval)
	if a.state.Offset != nil {
		offset = max(offset, *a.state.Offset)
	}
	v := verdict{token: t, number: g.Number, interval: want, offset: offset, tried: []*tokenState{t}}
	if used := want <= g.LastInterval; !right || used {
		if v.reason = NextWrong; right {
			v.reason = AlreadyUsed
		}
		if err := r.deny(j, a, s, in.Source, v); err != nil {
			return err
		}
		if v.reason == NextWrong && s.policy.Token.NextCodeFailure == policy.NextCodeLocks && !s.Guard.Own.Locked(s.policy.Lockout, r.now) {
			s.Guard.Own.LockedAt, s.guardChanged = r.now, true
			r.locked(j, s, &s.Guard.Own, "next tokencode "+strconv.Quote(string(policy.NextCodeLocks)))
		}
		return nil
	}
	r.record(j, "ntc.leave", "user:"+s.UserID, "", r.details(in.Source, v))
	if r.needsPIN(v) {
		r.claim(j, s, in.Source, v)
		t.token.Forgive()
		r.learn(g, v.offset) // here, since the dialogue may be dropped
		return r.beginPIN(j, a, s, in.Source, v)
	}
	return r.accept(j, a, s, in.Source, v)
}

// reauthenticate decides the passcode with the new PIN. It has to be right at once.
func (r *round) reauthenticate(j *job, a *Attempt, s *subject, in Answer) error {
	if a.state.OnDemand {
		return r.confirmOnDemand(j, a, s, in)
	}
	s, v, err := r.check(j, a.UserID, in.Source, in.Text, a.state.Serial, true)
	if err != nil {
		return err
	}
	switch {
	case v.reason != "":
	case v.far:
		v.reason = BadPasscode
	case r.needsPIN(v):
		v.reason, v.uncounted = PINChanged, true // an administrator cleared the new PIN, or set a temporary one
	}
	if v.reason != "" {
		return r.deny(j, a, s, in.Source, v)
	}
	return r.accept(j, a, s, in.Source, v)
}

// cancel ends an attempt at the user's wish.
func (r *round) cancel(j *job, from Source, id string) error {
	a, err := r.find(id, from, "")
	if err != nil {
		return err
	}
	s := r.subjects[a.UserID]
	a.state.Retry = false
	return r.deny(j, a, s, from, verdict{reason: Cancelled, uncounted: true, tried: s.about(a)})
}
