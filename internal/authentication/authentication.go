// Package authentication decides whether a passcode is right, now, once.
//
// [Engine.Check] looks at the enabled, valid tokens of a user, splits the
// passcode by each token's PIN type, looks for the tokencode in the small
// window around the token's clock, and claims it: one conditional write, in
// the transaction that also records the event, so that a code is accepted at
// most once whatever the number of servers and parallel requests
// (spec/software-token-lifecycle.md section 10).
//
// Whoever asks is told the [Result] and nothing else. Why a passcode was
// denied is in the audit record.
package authentication

import (
	"context"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// A Result is the public answer.
type Result string

// The results. NextTokencode and NewPIN belong to the dialogues that follow a
// right passcode; a check by itself accepts or denies.
const (
	Accepted      Result = "accepted"
	Denied        Result = "denied"
	NextTokencode Result = "next_tokencode"
	NewPIN        Result = "new_pin"
)

// Reasons of a denial, for the audit record only.
const (
	UnknownUser  = "UNKNOWN_USER"
	UserDisabled = "USER_DISABLED"
	NoToken      = "NO_TOKEN"        // none assigned, or none enabled and valid
	BadPasscode  = "BAD_PASSCODE"    // no tokencode of the window
	BadPIN       = "BAD_PIN"         // the tokencode was right
	AlreadyUsed  = "ALREADY_USED"    // this code or a later one was accepted before
	PINMissing   = "PIN_NOT_ENTERED" // a fob code without its PIN
)

// smallWindow is how many intervals around the token's clock are accepted at once (section 10.2).
const smallWindow = 1

// A Keyring opens seeds and makes keyed hashes: a seed.Keyring.
type Keyring interface {
	OpenSeed(ctx context.Context, s seed.Sealed, serial string, generation int) (seed.Seed, error)
	SealSeed(s seed.Seed, serial string, generation int) (seed.Sealed, error)
	MAC(purpose string, parts ...[]byte) []byte
}

// An Engine decides passcodes.
type Engine struct {
	Store Store
	Keys  Keyring
	Now   func() time.Time
	// Decided, if set, is told every decision, for counting.
	Decided func(Result, error)
}

// Check decides a passcode of a user. An error means that it could not be
// decided, and that the passcode must not count as accepted.
func (e *Engine) Check(ctx context.Context, userID, passcode string) (Result, error) {
	result, err := e.decide(ctx, userID, passcode)
	// A token that was changed between the look and the claim is looked at again.
	for tries := 0; errors.Is(err, errChanged) && tries < 3; tries++ {
		result, err = e.decide(ctx, userID, passcode)
	}
	if errors.Is(err, errChanged) {
		err = fault.New(fault.Unavailable, "the token keeps changing: try again")
	}
	if e.Decided != nil {
		e.Decided(result, err)
	}
	return result, err
}

// errChanged: the token is not what the passcode was compared with any more.
var errChanged = errors.New("authentication: the token changed meanwhile")

func (e *Engine) decide(ctx context.Context, userID, passcode string) (Result, error) {
	now := e.Now().UTC()
	u, err := e.Store.User(ctx, userID)
	if errors.Is(err, fault.UserNotFound) {
		// What was typed as a user ID may be a passcode in the wrong field: it is not recorded.
		return e.deny(ctx, "user:", nil, UnknownUser, e.decoy(ctx, passcode, now))
	}
	if err != nil {
		return "", err
	}
	object := "user:" + u.ID
	if !u.Enabled {
		return e.deny(ctx, object, nil, UserDisabled, e.decoy(ctx, passcode, now))
	}
	tokens, err := e.Store.Tokens(ctx, token.Filter{UserID: u.ID})
	if err != nil {
		return "", err
	}
	var tried []string
	reason := BadPasscode
	for i := range tokens {
		t := &tokens[i]
		t.SwitchOverIfDue(now)
		if !t.Enabled || !t.ValidAt(now) {
			continue
		}
		tried = append(tried, t.Serial)
		for _, c := range candidates(t) {
			m, err := e.match(ctx, &c, passcode, now)
			if err != nil {
				return "", err
			}
			if m.reason == "" {
				ok, err := e.accept(ctx, object, t, c.Current.Number, m, now)
				if ok || err != nil {
					return Accepted, err
				}
				m.reason = AlreadyUsed
			}
			if m.reason != BadPasscode {
				reason = m.reason
			}
		}
	}
	if len(tried) == 0 {
		return e.deny(ctx, object, nil, NoToken, e.decoy(ctx, passcode, now))
	}
	return e.deny(ctx, object, tried, reason, nil)
}

// candidates are what the passcode may belong to: the token as it is and, while a redistribution waits for its first
// good code, the token as that code would make it.
func candidates(t *token.Token) []token.Token {
	if t.Pending == nil {
		return []token.Token{*t}
	}
	next := *t
	next.SwitchOver()
	return []token.Token{*t, next}
}

// accept claims the code and records the success. It is false if the claim was lost: the code, or a later one,
// has been used.
func (e *Engine) accept(ctx context.Context, object string, t *token.Token, generation int, m found, now time.Time) (bool, error) {
	accepted := false
	err := e.Store.Transact(ctx, func(ctx context.Context) error {
		version := t.Version
		if t.Distribution == token.Issued || t.Current.Number != generation {
			var err error
			if version, err = e.prove(ctx, t, generation, now); err != nil {
				return err
			}
		}
		var err error
		accepted, err = e.Store.Accept(ctx, Acceptance{
			Serial: t.Serial, Version: version, Generation: generation, Interval: m.interval,
			Offset: m.offset, At: now,
		})
		if err != nil {
			return err
		}
		if !accepted {
			fresh, err := e.Store.Token(ctx, t.Serial)
			if err != nil || fresh.Version != version {
				return errChanged
			}
			return errLost // undo what prove changed
		}
		return e.Store.Record(ctx, audit.New(ctx, now, "authn.success", object,
			audit.Details{"token": t.Serial, "generation": generation, "offset": m.offset}))
	})
	if errors.Is(err, errLost) {
		return false, nil
	}
	return accepted && err == nil, err
}

// errLost: another request has claimed the code, or a later one.
var errLost = errors.New("authentication: the code was used")

// prove notes that the user holds the seed of a generation: a delivery is confirmed, and a pending
// generation becomes the current one. It returns the token's new version.
func (e *Engine) prove(ctx context.Context, seen *token.Token, generation int, now time.Time) (int, error) {
	t, err := e.Store.Token(ctx, seen.Serial)
	if err != nil {
		return 0, err
	}
	if t.Version != seen.Version {
		return 0, errChanged
	}
	was := t.Current.Number
	if !t.SwitchOverIfDue(now) && was != generation {
		t.SwitchOver()
	}
	if t.Current.Number == t.LastNumber && t.Distribution == token.Issued {
		t.Distribution, t.ConfirmedAt = token.Confirmed, now
	} else if t.Current.Number == was {
		return t.Version, nil // a code of the old seed proves nothing about the new one
	}
	if err := e.Store.SaveToken(ctx, t); err != nil {
		return 0, err
	}
	if t.Current.Number != was {
		err = e.Store.Record(ctx, audit.New(ctx, now, "redist.complete", "token:"+t.Serial,
			audit.Details{"generation": t.Current.Number, "because": "first good code"}))
	}
	return t.Version + 1, err
}

// deny records the refusal. failed is an error of the work done in its place.
func (e *Engine) deny(ctx context.Context, object string, tried []string, reason string, failed error) (Result, error) {
	if failed != nil {
		return "", failed
	}
	err := e.Store.Transact(ctx, func(ctx context.Context) error {
		if err := e.Store.Fail(ctx, tried); err != nil {
			return err
		}
		return e.Store.Record(ctx, audit.New(ctx, e.Now(), "authn.fail", object, audit.Details{"tokens": tried}).Failed(reason))
	})
	if err != nil {
		return "", err
	}
	return Denied, nil
}

// decoy does the work of a comparison for a user who has no token, so that
// the time of an answer does not tell who exists.
func (e *Engine) decoy(ctx context.Context, passcode string, now time.Time) error {
	const serial = "000000000000"
	sealed, err := e.Keys.SealSeed(seed.Generate(), serial, 0)
	if err != nil {
		return err
	}
	t := token.Token{Serial: serial, Current: token.Generation{Sealed: sealed, Settings: token.Factory}}
	_, err = e.match(ctx, &t, passcode, now)
	return err
}

// SetPIN gives a token a PIN, as an administrator or the user's own request.
func (e *Engine) SetPIN(ctx context.Context, serial, newPIN string) error {
	return e.changePIN(ctx, serial, "pin.set", func(t *token.Token) error {
		s := t.Current.Settings
		hash, err := pin.New(e.Keys, pin.Token{Serial: t.Serial, Type: s.PINType, Digits: s.Digits}, newPIN)
		if err != nil {
			return err
		}
		t.PIN = token.PIN{Hash: hash, Length: len(newPIN), SetAt: e.Now().UTC()}
		return nil
	})
}

// ClearPIN takes a token's PIN away: the tokencode alone is the passcode then.
func (e *Engine) ClearPIN(ctx context.Context, serial string) error {
	return e.changePIN(ctx, serial, "pin.clear", func(t *token.Token) error {
		t.PIN = token.PIN{}
		return nil
	})
}

func (e *Engine) changePIN(ctx context.Context, serial, action string, change func(*token.Token) error) error {
	return e.Store.Transact(ctx, func(ctx context.Context) error {
		t, err := e.Store.Token(ctx, serial)
		if err != nil {
			return err
		}
		if t.UserID == "" {
			return fault.New(fault.TokenNotAssigned, "token %s belongs to nobody: assign it first", serial)
		}
		if err := change(&t); err != nil {
			return err
		}
		if err := e.Store.SaveToken(ctx, t); err != nil {
			return err
		}
		return e.Store.Record(ctx, audit.New(ctx, e.Now(), action, "token:"+serial, nil))
	})
}

// pinned tells whether a passcode of the token needs a PIN.
func pinned(t *token.Token, s token.Settings) bool {
	return t.PIN.IsSet() && s.PINType != device.NoPIN
}
