package authentication

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/token"
)

// A user without a token at hand may have a code sent to her mail address (spec/radius.md section 3, dialogue 6). She types the PIN that she
// has for that, alone; the code is mailed, and typed in place of a next tokencode. An agent that cannot ask is denied, and the code is mailed
// all the same: she types PIN and code as one passcode then. The code that was sent last counts, once, until its life is over.

// A Courier sends codes to users: a mail.Outbox.
type Courier interface {
	// Reach refuses a user who cannot be sent any: [fault.MailOff], [fault.MailMissing].
	Reach(ctx context.Context, userID string) error
	// SendCode has a code sent that is of use until a time, if the transaction of ctx commits. A refusal has written nothing.
	SendCode(ctx context.Context, userID, code string, until time.Time) error
}

const (
	onDemandDigits = 8
	// At most so many codes are sent to a user in a time: who knows the PIN and not the mailbox shall not fill it.
	onDemandMost   = 5
	onDemandWithin = 15 * time.Minute
)

// An OnDemandPIN is what is kept of a user's PIN for codes by mail.
type OnDemandPIN struct {
	Hash       []byte      `json:"hash"` // keyed
	SetAt      time.Time   `json:"set_at"`
	MustChange bool        `json:"must_change,omitempty"`
	History    pin.History `json:"history,omitempty"`
}

// past is as that of a token's PIN.
func (p *OnDemandPIN) past() pin.History { return token.PIN{Hash: p.Hash, History: p.History}.Past() }

// An OnDemandCode is what is kept of the code that was sent to a user last, and of when codes were.
type OnDemandCode struct {
	Hash  []byte    `json:"hash,omitempty"` // keyed
	Until time.Time `json:"until"`
	Sent  []int64   `json:"sent"` // the last of them, in seconds since 1970, oldest first
	// UsedAt is when the code was accepted, or began a new PIN, zero while it was not; UsedBy is the agent.
	UsedAt time.Time `json:"used_at,omitzero"`
	UsedBy string    `json:"used_by,omitempty"`
}

// Usable tells whether the code can be used at now.
func (c *OnDemandCode) Usable(now time.Time) bool {
	return c != nil && c.Hash != nil && c.UsedAt.IsZero() && now.Before(c.Until)
}

// keepOnDemand puts a PIN, and a code, into the guard of a user; nil for none.
func (s *subject) keepOnDemand(p *OnDemandPIN, c *OnDemandCode) {
	s.Guard.OnDemand, s.Guard.OnDemandCode, s.guardChanged = p, c, true
}

// mayOnDemand tells whether a user may have codes by mail.
func (s *subject) mayOnDemand() bool { return s.Guard.OnDemand != nil && s.policy.Token.OnDemand }

// onDemandRules are what the PIN of a user for codes by mail must obey.
func (r *round) onDemandRules(s *subject, past pin.History) pin.Rules {
	return pin.Rules{
		Keys: r.engine.Keys, Policy: s.policy.Token, Past: past, Now: r.now,
		Token: pin.Token{Serial: s.UserID, Bound: boundTo(onDemandPINOf, s.UserID), Type: device.Fob, Digits: onDemandDigits},
	}
}

// isOnDemandPIN tells whether a PIN is the one of a user for codes by mail.
func (r *round) isOnDemandPIN(s *subject, typed string) bool {
	p := s.Guard.OnDemand
	return p != nil && pin.Check(r.engine.Keys, p.Hash, boundTo(onDemandPINOf, s.UserID), typed)
}

// isSent tells whether a code is the one that was sent to a user last, whether or not it was used or its life is over.
func (r *round) isSent(s *subject, typed string) bool {
	c := s.Guard.OnDemandCode
	return c != nil && c.Hash != nil && sameCode(string(onDemandHash(r.engine.Keys, s.UserID, typed)), string(c.Hash))
}

func onDemandHash(keys Keyring, userID, code string) []byte {
	return keys.MAC("on-demand-code", []byte(userID), []byte(code))
}

// matchOnDemand finds out whether a passcode asks for a code by mail, or is made with one: PIN and code as one word. A reason of
// [BadPasscode] tells nothing.
func (r *round) matchOnDemand(s *subject, from Source, passcode string) verdict {
	if s.mayOnDemand() {
		if r.isOnDemandPIN(s, passcode) {
			return verdict{method: onDemandPIN}
		}
		if code, is := r.behindPIN(s, passcode); is {
			return r.sentCode(s, from, code)
		}
	}
	return verdict{reason: BadPasscode}
}

// behindPIN is what stands behind the PIN of a user for codes by mail, where it is as long as a code.
func (r *round) behindPIN(s *subject, typed string) (code string, is bool) {
	before := len(typed) - onDemandDigits
	if before <= 0 || !r.isOnDemandPIN(s, typed[:before]) {
		return "", false
	}
	return typed[before:], true
}

// sentCode compares a code with the one that was sent.
func (r *round) sentCode(s *subject, from Source, code string) verdict {
	v, c := verdict{method: onDemandCode}, s.Guard.OnDemandCode
	switch {
	case !r.isSent(s, code):
		v.reason = OnDemandWrong
	case askedAgain(c.UsedAt, c.UsedBy, from, r.now):
		v.reason, v.uncounted = Retransmitted, true
	case !c.UsedAt.IsZero():
		v.reason = OnDemandUsed
	case !r.now.Before(c.Until):
		v.reason = OnDemandOver
	}
	return v
}

// sendCode sends a code to a user who has typed her PIN for that, and asks for it if the agent can.
func (r *round) sendCode(j *job, a *Attempt, s *subject, from Source, v verdict, dialogue bool) error {
	v.uncounted = true
	next := OnDemandCode{Until: r.now.Add(s.policy.Token.OnDemandLife)}
	if c := s.Guard.OnDemandCode; c != nil {
		next.Sent = slices.DeleteFunc(slices.Clone(c.Sent), func(at int64) bool { return r.now.Sub(time.Unix(at, 0)) >= onDemandWithin })
	}
	if len(next.Sent) >= onDemandMost {
		v.reason = OnDemandLimit
		return r.deny(j, a, s, from, v)
	}
	code := newOnDemandCode()
	err := r.courier().SendCode(r.ctx, s.UserID, code, next.Until)
	if refused(err) { // of this user, or of what the message says
		v.reason = OnDemandNotSent
		return r.deny(j, a, s, from, v)
	}
	if err != nil {
		return err
	}
	next.Hash, next.Sent = onDemandHash(r.engine.Keys, s.UserID, code), append(next.Sent, r.now.Unix())
	s.keepOnDemand(s.Guard.OnDemand, &next)
	d := r.details(from, v)
	d["until"] = next.Until
	r.record(j, "on_demand.send", "user:"+s.UserID, "", d)
	if !dialogue {
		v.reason = OnDemandSent
		return r.deny(j, a, s, from, v)
	}
	r.asked(j, s, from, v, OnDemandAsked)
	a.state.OnDemand, a.state.Former = true, s.Guard.OnDemand.Hash
	j.decision = r.next(a, NextTokencode, StepNextTokencode)
	return nil
}

// newOnDemandCode makes a code of digits.
func newOnDemandCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return fmt.Sprintf("%0*d", onDemandDigits, n)
}

// nobodySends is the courier of an engine that has none.
type nobodySends struct{}

func (nobodySends) Reach(context.Context, string) error {
	return fault.New(fault.MailOff, "codes are sent by mail, and mail is off")
}

func (n nobodySends) SendCode(ctx context.Context, userID, _ string, _ time.Time) error {
	return n.Reach(ctx, userID)
}

func (r *round) courier() Courier {
	if r.engine.Courier == nil {
		return nobodySends{}
	}
	return r.engine.Courier
}

// onDemandHolds is why an attempt about a code by mail may not go on: codes are not for her any more, or somebody else changed the PIN. "" if it may.
func (s *subject) onDemandHolds(a *Attempt) string {
	switch {
	case !s.mayOnDemand():
		return OnDemandOff
	case a.state.Step != StepReauthenticate && !sameCode(string(a.state.Former), string(s.Guard.OnDemand.Hash)):
		return PINChanged
	}
	return ""
}

// mailedCode decides the code that was asked for, by itself or behind the PIN.
func (r *round) mailedCode(j *job, a *Attempt, s *subject, in Answer) error {
	code, behind := r.behindPIN(s, in.Text)
	if !behind {
		code = in.Text
	}
	v := r.sentCode(s, in.Source, code)
	if v.reason != "" {
		return r.deny(j, a, s, in.Source, v)
	}
	if r.onDemandDue(s) {
		r.claim(j, s, in.Source, v)
		return r.beginPIN(j, a, s, in.Source, v)
	}
	return r.accept(j, a, s, in.Source, v)
}

// confirmOnDemand decides what follows a new PIN for codes by mail: the PIN alone, for another code, or with one that was sent meanwhile.
func (r *round) confirmOnDemand(j *job, a *Attempt, s *subject, in Answer) error {
	v := r.matchOnDemand(s, in.Source, in.Text)
	switch {
	case v.reason == "" && r.onDemandDue(s):
		v.reason, v.uncounted = PINChanged, true // an administrator set a temporary one
	case v.method == onDemandPIN:
		return r.sendCode(j, a, s, in.Source, v, true)
	}
	if v.reason != "" {
		return r.deny(j, a, s, in.Source, v)
	}
	return r.accept(j, a, s, in.Source, v)
}

// onDemandDue tells whether the PIN for codes by mail has to be changed.
func (r *round) onDemandDue(s *subject) bool {
	p := s.Guard.OnDemand
	return p != nil && pin.Expired(p.SetAt, p.MustChange, s.policy.Token, r.now)
}

// useMailed uses up the code that was sent.
func (r *round) useMailed(s *subject, from Source) {
	used := *s.Guard.OnDemandCode
	used.UsedAt, used.UsedBy = r.now, from.Agent
	s.keepOnDemand(s.Guard.OnDemand, &used)
}

// keepOnDemandPIN stores a PIN that the user has chosen, or was made for her.
func (r *round) keepOnDemandPIN(s *subject, hash []byte) {
	past := s.Guard.OnDemand.past()
	s.keepOnDemand(&OnDemandPIN{Hash: hash, SetAt: r.now, History: past.With(hash, s.policy.Token)}, s.Guard.OnDemandCode)
}

// SetOnDemand lets a user have codes by mail, with a PIN to ask for them, in place of one that she has. A temporary one has to be changed at its first
// use. What was sent before does not count any more. [fault.UserNotFound]; [fault.PolicyForbids] unless her token policy has them; [fault.PINInvalid];
// refusals as of [Courier.Reach].
func (e *Engine) SetOnDemand(ctx context.Context, userID, newPIN string, temporary bool) error {
	return e.alone(ctx, userID, func(r *round, j *job) error {
		s, err := r.known(j, userID)
		if err != nil {
			return err
		}
		if !s.policy.Token.OnDemand {
			return fault.New(fault.PolicyForbids, "the token policy of user %s has no codes on demand: 'policy edit token --on-demand' lets them be sent", userID)
		}
		if err := r.courier().Reach(r.ctx, userID); err != nil {
			return err
		}
		var past pin.History
		if was := s.Guard.OnDemand; was != nil {
			past = was.past()
		}
		hash, err := r.onDemandRules(s, past).New(newPIN)
		if err == nil && r.isFixed(s, newPIN) {
			err = errSame
		}
		if err != nil {
			return err
		}
		r.record(j, "on_demand.set", "user:"+userID, "", audit.Details{"temporary": temporary})
		s.keepOnDemand(&OnDemandPIN{Hash: hash, SetAt: r.now, MustChange: temporary, History: past.With(hash, s.policy.Token)}, nil)
		return nil
	})
}

// ClearOnDemand ends codes by mail for a user: her PIN for them and what was sent. [fault.UserNotFound]; [fault.NotFound] if she has none.
func (e *Engine) ClearOnDemand(ctx context.Context, userID string) error {
	return e.alone(ctx, userID, func(r *round, j *job) error {
		s, err := r.known(j, userID)
		if err != nil {
			return err
		}
		if s.Guard.OnDemand == nil {
			return fault.New(fault.NotFound, "user %s has no codes on demand", userID)
		}
		r.record(j, "on_demand.clear", "user:"+userID, "", nil)
		s.keepOnDemand(nil, nil)
		return nil
	})
}
