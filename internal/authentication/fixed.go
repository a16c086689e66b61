package authentication

import (
	"context"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
)

// A fixed passcode is one that stays the same, for who cannot use a token, such as a program (section 10.4). It is no proof against who
// has seen it, so that no user may have one unless her token policy says so. Nothing of it is used up by being accepted.

// boundTo is what the keyed hash of a user's own secret is bound to, so that it is that of no other user and of nothing else of hers.
func boundTo(kind, userID string) string { return kind + ":" + userID }

// The kinds of secrets of a user's own.
const (
	fixedPasscodeOf = "fixed"
	onDemandPINOf   = "on-demand"
)

// fixedRules are what the fixed passcode of a user must obey.
func (r *round) fixedRules(s *subject) pin.Rules {
	rules := pin.Rules{
		Keys: r.engine.Keys, Policy: s.policy.Token, Now: r.now,
		Token: pin.Token{Serial: s.UserID, Bound: boundTo(fixedPasscodeOf, s.UserID), Type: device.Fob}, Name: "fixed passcode",
	}
	if p := &rules.Policy; p.FixedPasscode == policy.FixedByOwnRules {
		p.PINMin, p.PINMax, p.PINCharacters, p.PINMinLetters, p.PINMinDigits = p.FixedPasscodeMin, policy.MaxFixedPasscode, policy.Alphanumeric, 1, 1
	}
	return rules
}

// mayFixed tells whether a user has a fixed passcode that counts.
func (s *subject) mayFixed() bool {
	return s.Guard.Fixed != nil && s.policy.Token.FixedPasscode != policy.NoFixedPasscode
}

// isFixed tells whether a passcode is the fixed one of a user, whether or not it counts.
func (r *round) isFixed(s *subject, passcode string) bool {
	return pin.Check(r.engine.Keys, s.Guard.Fixed, boundTo(fixedPasscodeOf, s.UserID), passcode)
}

// errSame refuses a passcode that would be accepted where a code is to be sent.
var errSame = fault.New(fault.PINInvalid, "the fixed passcode and the PIN for codes on demand have to differ: take another one")

// SetFixedPasscode gives a user a fixed passcode, in place of one that she has. [fault.UserNotFound]; [fault.PolicyForbids] unless her token
// policy has them; [fault.PINInvalid] says which of its rules the passcode breaks.
func (e *Engine) SetFixedPasscode(ctx context.Context, userID, passcode string) error {
	return e.alone(ctx, userID, func(r *round, j *job) error {
		s, err := r.known(j, userID)
		if err != nil {
			return err
		}
		if s.policy.Token.FixedPasscode == policy.NoFixedPasscode {
			return fault.New(fault.PolicyForbids, "the token policy of user %s has no fixed passcodes: 'policy edit token --fixed-passcode' lets them be set", userID)
		}
		hash, err := r.fixedRules(s).New(passcode)
		if err != nil {
			return err
		}
		if r.isOnDemandPIN(s, passcode) {
			return errSame
		}
		s.Guard.Fixed, s.Guard.FixedAt, s.guardChanged = hash, r.now, true
		r.record(j, "fixed_passcode.set", "user:"+userID, "", nil)
		return nil
	})
}

// ClearFixedPasscode takes the fixed passcode of a user away. [fault.UserNotFound]; [fault.NotFound] if she has none.
func (e *Engine) ClearFixedPasscode(ctx context.Context, userID string) error {
	return e.alone(ctx, userID, func(r *round, j *job) error {
		s, err := r.known(j, userID)
		if err != nil {
			return err
		}
		if s.Guard.Fixed == nil {
			return fault.New(fault.NotFound, "user %s has no fixed passcode", userID)
		}
		s.Guard.Fixed, s.Guard.FixedAt, s.guardChanged = nil, r.now, true
		r.record(j, "fixed_passcode.clear", "user:"+userID, "", nil)
		return nil
	})
}

// known is a user whom an administrator names.
func (r *round) known(j *job, userID string) (*subject, error) {
	if s := r.subject(j, userID); s != nil {
		return s, nil
	}
	return nil, fault.New(fault.UserNotFound, "there is no user %q", userID)
}
