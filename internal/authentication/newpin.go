package authentication

import (
	"errors"
	"strings"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/token"
)

// beginPIN asks for a new PIN, by whoever the policy lets make it (spec/radius.md section 3).
func (r *round) beginPIN(j *job, a *Attempt, s *subject, from Source, v verdict) error {
	if v.token == nil {
		a.state.Former = s.Guard.OnDemand.Hash
	} else {
		if v.emergency == nil {
			r.prove(j, v)
		}
		t := v.token.token
		a.state.Serial, a.state.Generation, a.state.Interval = t.Serial, v.number, v.interval
		a.state.Former = t.PIN.Hash
	}
	r.record(j, "pin.ask", whosePIN(s, v.token), "", audit.Details{"user": s.UserID, "creation": s.policy.Token.PINCreation})
	r.asked(j, s, from, v, NewPINAsked)
	step := StepNewPIN
	switch s.policy.Token.PINCreation {
	case policy.BySystem:
		if !a.state.Confirm {
			return r.showPIN(j, a, s, v.token)
		}
		step = StepSystemAsk
	case policy.ByEither:
		if a.state.Confirm {
			step = StepChoose
		}
	}
	j.decision = r.next(a, NewPIN, step)
	return nil
}

// whosePIN is the object of events about a PIN: that of a token, or, for codes by mail, the user's.
func whosePIN(s *subject, t *tokenState) string {
	if t == nil {
		return "user:" + s.UserID
	}
	return "token:" + t.token.Serial
}

// rulesFor are what the new PIN of a token must obey, nil for that of codes by mail. A PIN that must be changed may not be chosen again, even where the policy remembers none.
func (r *round) rulesFor(a *Attempt, s *subject, state *tokenState) (rules pin.Rules) {
	var change bool
	if state == nil {
		p := s.Guard.OnDemand // if it was taken away, that has ended the attempt
		rules, change = r.onDemandRules(s, p.past()), p.MustChange
	} else {
		t, g := state.token, state.generation(a.state.Generation)
		rules, change = pin.Rules{
			Keys: r.engine.Keys, Token: pin.Token{Serial: t.Serial, Bound: t.PINSerial(), Type: g.Settings.PINType, Digits: g.Settings.Digits},
			Policy: state.policy.Token, Past: t.PIN.Past(), Now: r.now,
		}, t.PIN.MustChange
	}
	if change {
		rules.Policy.PINHistory = max(rules.Policy.PINHistory, 1)
	}
	return rules
}

// rules are what an attempt tells of the PIN that it asks for.
func (r *round) rules(a *Attempt) PINRules {
	s := r.subjects[a.UserID]
	rules := r.rulesFor(a, s, s.holding(a.state.Serial))
	p := PINRules{Alphanumeric: rules.Alphanumeric(), Creation: string(s.policy.Token.PINCreation)}
	p.Min, p.Max = rules.Lengths()
	return p
}

// newPIN decides the answers on the way to a new PIN.
func (r *round) newPIN(j *job, a *Attempt, s *subject, t *tokenState, in Answer) error {
	yes := strings.EqualFold(strings.TrimSpace(in.Text), "y")
	rules := r.rulesFor(a, s, t)
	switch a.state.Step {
	case StepChoose:
		if yes {
			return r.showPIN(j, a, s, t)
		}
		j.decision = r.next(a, NewPIN, StepNewPIN)
		return nil
	case StepSystemAsk:
		if yes {
			return r.showPIN(j, a, s, t)
		}
		return r.refusePIN(j, a, s, t, in.Source)
	case StepSystemPIN:
		if !a.state.Confirm && saysNo(in.Text) {
			return r.refusePIN(j, a, s, t, in.Source)
		}
		return r.keepPIN(j, a, s, t)
	case StepRepeatPIN:
		if !pin.Check(r.engine.Keys, a.state.PIN, rules.Token.Bound, in.Text) {
			return r.rejectPIN(j, a, s, t, in.Source, PINMismatch)
		}
	}
	hash, err := rules.New(in.Text)
	var refused *fault.Error
	if errors.As(err, &refused) {
		return r.rejectPIN(j, a, s, t, in.Source, refused.Message)
	}
	if err != nil {
		return err
	}
	if t == nil && r.isFixed(s, in.Text) {
		return r.rejectPIN(j, a, s, t, in.Source, errSame.Message)
	}
	a.state.PIN, a.state.PINLength = hash, len(in.Text)
	if a.state.Confirm && a.state.Step != StepRepeatPIN {
		j.decision = r.next(a, NewPIN, StepRepeatPIN)
		return nil
	}
	return r.keepPIN(j, a, s, t)
}

// saysNo tells whether an answer refuses the PIN that was shown (spec/rest-authn-api.md section 4).
func saysNo(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "n", "no", "cancel":
		return true
	}
	return false
}

// showPIN makes a PIN for the user to see once.
func (r *round) showPIN(j *job, a *Attempt, s *subject, t *tokenState) error {
	rules := r.rulesFor(a, s, t)
	made, err := rules.Generate()
	if err != nil {
		return err
	}
	if a.state.PIN, err = rules.New(made); err != nil {
		return err
	}
	a.state.PINLength = len(made)
	j.decision = r.next(a, NewPIN, StepSystemPIN)
	j.decision.SystemPIN = made
	return nil
}

// rejectPIN asks again, or denies after the last round.
func (r *round) rejectPIN(j *job, a *Attempt, s *subject, t *tokenState, from Source, why string) error {
	a.state.PIN, a.state.PINLength = nil, 0
	a.state.Refused++
	if a.state.Refused >= maxRounds {
		return r.refusePIN(j, a, s, t, from)
	}
	j.decision = r.next(a, NewPIN, StepNewPIN)
	j.decision.Rejected = why
	return nil
}

// refusePIN denies: no new PIN came about, and the old one stays. The user had a right passcode, so it counts as no failure.
func (r *round) refusePIN(j *job, a *Attempt, s *subject, t *tokenState, from Source) error {
	return r.deny(j, a, s, from, verdict{reason: PINRefused, uncounted: true, token: t, number: a.state.Generation})
}

// keepPIN stores the new PIN and asks for a passcode with it: an agent may drop the dialogue here, and the PIN is set
// all the same (spec/radius.md section 3).
func (r *round) keepPIN(j *job, a *Attempt, s *subject, t *tokenState) error {
	if t == nil {
		r.keepOnDemandPIN(s, a.state.PIN)
	} else {
		past := pin.History(t.token.PIN.Past())
		t.token.PIN = token.PIN{
			Hash: a.state.PIN, Length: a.state.PINLength, SetAt: r.now, History: past.With(a.state.PIN, t.policy.Token), Serial: t.token.PIN.Serial,
		}
		r.change(t)
	}
	r.record(j, "pin.set", whosePIN(s, t), "", audit.Details{"user": a.UserID, "by": "user:" + a.UserID})
	a.state.PIN, a.state.PINLength = nil, 0
	j.decision = r.next(a, NewPIN, StepReauthenticate)
	return nil
}
