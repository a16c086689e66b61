package authentication

import (
	"bytes"
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/emergency"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/token"
)

// An EmergencyWish says which emergency codes a lost token's user shall have.
type EmergencyWish struct {
	Kind  token.EmergencyKind // "" for none
	Count int                 // of a set: 1 to emergency.MaxCodes
	Life  time.Duration       // 0 for the policy's
}

// ReportLost marks a token lost. From now on it is refused, but for what the token policy says of one that turns up. If version
// is not 0, the token must still be at it.
//
// It makes the emergency codes that are wished for and returns them, this once; codes that there were end. Without such a wish, a seed
// that was made since the token was lost is lost too: with codes, the user waits for that seed. An open activation code, which may have
// been sent to the lost device, ends as well, unless the policy accepts that device if it turns up.
//
// The refusals are [fault.EmergencyNotAllowed], [fault.TokenExpired], [fault.LifetimeTooLong], [fault.Invalid].
func (e *Engine) ReportLost(ctx context.Context, serial string, version int, wish EmergencyWish) (token.Token, []string, error) {
	policies, err := e.policies(ctx)
	if err != nil {
		return token.Token{}, nil, err
	}
	if wish.Kind == "" && wish != (EmergencyWish{}) {
		return token.Token{}, nil, fault.New(fault.Invalid, "say which kind of emergency codes: %s or %s", token.FixedCode, token.CodeSet)
	}
	var t token.Token
	var codes []string
	err = e.Store.Transact(ctx, func(ctx context.Context) error {
		if t, err = e.at(ctx, serial, version); err != nil {
			return err
		}
		was := t.Emergency
		newly := t.Lose(e.Now(), wish.Kind == "")
		events := []audit.Event{}
		note := func(action string, d audit.Details) {
			events = append(events, audit.New(ctx, e.Now(), action, "token:"+serial, d))
		}
		if newly {
			note("token.lost", audit.Details{"user": t.UserID})
		}
		if was != nil {
			note("emergency.end", audit.Details{"user": t.UserID, "because": "new codes or none were asked for"})
		}
		refused := wish.Kind == "" // whoever has the device is, whatever the policy
		if wish.Kind != "" {
			p, err := e.policyOf(ctx, policies, &t)
			if err != nil {
				return err
			}
			refused = newly && p.EmergencyIfFound == policy.Deny // else the activation code may be hers who waits for a new seed
			if codes, err = e.issueEmergency(&t, wish, p); err != nil {
				return err
			}
			note("emergency.issue", audit.Details{"user": t.UserID, "kind": wish.Kind, "codes": len(codes), "until": t.Emergency.Until})
		}
		if refused {
			revoked, err := e.endCode(ctx, &t)
			if err != nil {
				return err
			}
			if revoked {
				note("dist.revoke", audit.Details{"user": t.UserID, "because": "the token was lost"})
			}
		}
		return e.save(ctx, &t, events)
	})
	return t, codes, err
}

// endCode ends the open activation code of a token, if there is one.
func (e *Engine) endCode(ctx context.Context, t *token.Token) (revoked bool, err error) {
	n, err := e.Store.RevokeOffers(ctx, t.Serial)
	if err != nil || n == 0 {
		return false, err
	}
	if err := token.EndGrace(ctx, e.Store, t, e.Now()); err != nil {
		return false, err
	}
	t.EndCode()
	return true, nil
}

// at reads and locks a token that is still at a version, 0 for any, and whose user is in the scope of ctx.
func (e *Engine) at(ctx context.Context, serial string, version int) (token.Token, error) {
	t, err := e.Store.Token(ctx, serial)
	if err != nil {
		return t, err
	}
	if version != 0 && t.Version != version {
		return t, fault.New(fault.Conflict, "token %s was changed meanwhile: read it again", serial)
	}
	return t, token.CheckHolder(ctx, e.Store, t)
}

// save stores a token with its events, if there is something to tell.
func (e *Engine) save(ctx context.Context, t *token.Token, events []audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := e.Store.SaveToken(ctx, *t); err != nil {
		return err
	}
	t.Version++
	return e.Store.RecordAll(ctx, events)
}

// issueEmergency gives a token emergency access and returns its codes.
func (e *Engine) issueEmergency(t *token.Token, wish EmergencyWish, p policy.Token) ([]string, error) {
	now := e.Now().UTC()
	switch {
	case t.UserID == "":
		return nil, fault.New(fault.EmergencyNotAllowed, "token %s belongs to nobody: emergency codes are for the user of a token", t.Serial)
	case t.ExpiredAt(now):
		return nil, fault.New(fault.TokenExpired, "token %s expired on %s: extend or replace it first", t.Serial, t.EffectiveExpiry.Format(time.DateOnly))
	case !t.ValidAt(now):
		return nil, fault.New(fault.EmergencyNotAllowed, "the first valid day of token %s is %s: until then it needs no codes in its place; give the user another token", t.Serial, t.Birth.Format(time.DateOnly))
	case !t.Enabled:
		return nil, fault.New(fault.EmergencyNotAllowed, "token %s is disabled: enable it first", t.Serial)
	case t.Tainted:
		return nil, fault.New(fault.EmergencyNotAllowed, "token %s still has the seed of its former user: deliver it first, with 'token distribute'", t.Serial)
	case wish.Kind == token.FixedCode && wish.Count > 1:
		return nil, fault.New(fault.Invalid, "there is one fixed code: ask for a set to get several")
	case wish.Kind == token.FixedCode:
		wish.Count = 1
	case wish.Kind != token.CodeSet:
		return nil, fault.New(fault.Invalid, "emergency codes are %s or %s, not %q", token.FixedCode, token.CodeSet, wish.Kind)
	}
	life, err := emergency.Life(wish.Life, p)
	if err != nil {
		return nil, err
	}
	codes, err := emergency.Generate(wish.Count, p)
	if err != nil {
		return nil, err
	}
	t.Emergency = &token.Emergency{Kind: wish.Kind, Length: p.EmergencyLength, Until: now.Add(life)}
	for _, code := range codes {
		t.Emergency.Codes = append(t.Emergency.Codes, token.EmergencyCode{Hash: emergency.Hash(e.Keys, t.Serial, code)})
	}
	return codes, nil
}

// ReportFound takes the mark from a token that was lost, and ends emergency access. One that is not lost stays so.
func (e *Engine) ReportFound(ctx context.Context, serial string, version int) (token.Token, error) {
	var t token.Token
	err := e.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		if t, err = e.at(ctx, serial, version); err != nil {
			return err
		}
		var events []audit.Event
		for _, action := range found(&t) {
			events = append(events, audit.New(ctx, e.Now(), action, "token:"+serial, audit.Details{"user": t.UserID, "because": "an administrator said so"}))
		}
		return e.save(ctx, &t, events)
	})
	return t, err
}

// found takes the mark and emergency access away and returns the actions to record.
func found(t *token.Token) (actions []string) {
	if t.Emergency != nil {
		actions = append(actions, "emergency.end")
	}
	if t.Lost() {
		actions = append(actions, "token.found")
	}
	t.Find()
	return actions
}

// lost tells whether codes of a generation are refused because it was lost.
func (r *round) lost(state *tokenState, g *token.Generation) bool {
	t := state.token
	if !t.LostWith(g) {
		return false
	}
	if t.Emergency == nil {
		return true
	}
	switch state.policy.Token.EmergencyIfFound {
	case policy.AcceptAndEnd:
		return false
	case policy.AcceptAfter:
		return !t.Emergency.OverAt(r.now)
	}
	return true
}

// turnUp notes that a token which was said to be lost, or its new seed, made a code that was accepted.
func (r *round) turnUp(j *job, v verdict) {
	t := v.token.token
	for _, action := range found(t) {
		r.change(v.token)
		r.record(j, action, "token:"+t.Serial, "", audit.Details{"user": t.UserID, "because": "the token was used"})
	}
}

// stillHolds is why an attempt may not go on: the token was lost since it began, emergency access is over or goes by other codes, or somebody else
// changed the PIN that it is to change. "" if it may.
func (r *round) stillHolds(a *Attempt, state *tokenState, g *token.Generation) string {
	t, as := state.token, state.as(g.Number)
	switch {
	case a.state.Step.makesPIN() && !bytes.Equal(a.state.Former, t.PIN.Hash):
		return PINChanged
	case a.state.Step == StepNextTokencode && a.state.HasFormer && as.PIN.IsSet() && !bytes.Equal(a.state.Former, as.PIN.Hash):
		return PINChanged // one that was cleared leads to a new one
	case a.state.Emergency && (t.Emergency == nil || t.Emergency.OverAt(r.now) || !a.state.EmergencyUntil.IsZero() && !a.state.EmergencyUntil.Equal(t.Emergency.Until)):
		return EmergencyOver
	case !a.state.Emergency && r.lost(state, g):
		return TokenLost
	}
	return ""
}

// matchEmergency compares a passcode with the emergency codes of a token: the PIN, if there is one, and then the code.
// Every code is compared, and the PIN whether or not one was right.
func (r *round) matchEmergency(t *tokenState, passcode string) verdict {
	e := t.token.Emergency
	v := verdict{token: t, number: t.token.Current.Number, reason: BadPasscode}
	if e == nil || len(passcode) < e.Length {
		return v
	}
	typed, code := passcode[:len(passcode)-e.Length], passcode[len(passcode)-e.Length:]
	takesPIN := t.token.PIN.IsSet() && t.token.Current.Settings.PINType != device.NoPIN
	kept := make([][]byte, len(e.Codes))
	for i := range e.Codes {
		kept[i] = e.Codes[i].Hash
	}
	at := emergency.Find(r.engine.Keys, kept, t.token.Serial, code)
	rightPIN := pin.Check(r.engine.Keys, t.token.PIN.Hash, t.token.PINSerial(), typed)
	if at < 0 {
		if takesPIN && rightPIN {
			v.reason = BadTokencode
		}
		return v
	}
	v.emergency = &e.Codes[at]
	switch {
	case !takesPIN && typed != "":
		v.reason = PINUnexpected
	case takesPIN && typed == "":
		v.reason = PINMissing
	case takesPIN && !rightPIN:
		v.reason = BadPIN
	case e.OverAt(r.now):
		v.reason = EmergencyOver
	case v.emergency.Used:
		v.reason = EmergencyUsed
	default:
		v.reason = ""
	}
	return v
}

// useEmergency uses a code up, if it is one of a set.
func (r *round) useEmergency(j *job, v verdict) {
	t := v.token.token
	e := t.Emergency
	v.emergency.Used = e.Kind == token.CodeSet
	e.LastUsedAt = r.now
	// Also for a fixed code: the outcome rests on the token being what was read.
	r.change(v.token)
	r.record(j, "emergency.use", "token:"+t.Serial, "", audit.Details{"user": t.UserID, "kind": e.Kind, "left": e.Left()})
}
