package authentication

import (
	"context"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/token"
)

// SetPIN gives a token a PIN, as an administrator. A temporary one has to be changed at its first use (section 11).
func (e *Engine) SetPIN(ctx context.Context, serial, newPIN string, temporary bool) error {
	policies, err := e.policies(ctx)
	if err != nil {
		return err
	}
	return e.changePIN(ctx, serial, "pin.set", audit.Details{"temporary": temporary}, func(ctx context.Context, t *token.Token) error {
		p, err := e.policyOf(ctx, policies, t)
		if err != nil {
			return err
		}
		s, past, now := t.Current.Settings, pin.History(t.PIN.Past()), e.Now().UTC()
		hash, err := pin.Rules{
			Keys: e.Keys, Token: pin.Token{Serial: t.Serial, Bound: t.PINSerial(), Type: s.PINType, Digits: s.Digits}, Policy: p, Past: past, Now: now,
		}.New(newPIN)
		if err != nil {
			return err
		}
		t.PIN = token.PIN{
			Hash: hash, Length: len(newPIN), SetAt: now, MustChange: temporary, History: past.With(hash, p), Serial: t.PIN.Serial,
		}
		return nil
	})
}

// ClearPIN takes a token's PIN away: the next right tokencode begins with a new PIN.
func (e *Engine) ClearPIN(ctx context.Context, serial string) error {
	return e.changePIN(ctx, serial, "pin.clear", nil, func(_ context.Context, t *token.Token) error {
		if err := takesPIN(t); err != nil {
			return err
		}
		t.PIN = t.PIN.Cleared()
		return nil
	})
}

// ForceNewPIN asks for a new PIN after the next right passcode, with the old one.
func (e *Engine) ForceNewPIN(ctx context.Context, serial string) error {
	return e.changePIN(ctx, serial, "pin.expire", nil, func(_ context.Context, t *token.Token) error {
		if err := takesPIN(t); err != nil {
			return err
		}
		if !t.PIN.IsSet() {
			return fault.New(fault.PINInvalid, "token %s has no PIN: the next right tokencode asks for one anyway", serial)
		}
		t.PIN.MustChange = true
		return nil
	})
}

// takesPIN refuses a token that is used without one.
func takesPIN(t *token.Token) error {
	if t.Current.Settings.PINType != device.NoPIN {
		return nil
	}
	return fault.New(fault.PINInvalid, "token %s takes no PIN: redistribute it with a profile that does", t.Serial)
}

// held reads a token that a user in the scope of ctx has.
func (e *Engine) held(ctx context.Context, serial string) (token.Token, error) {
	t, err := e.at(ctx, serial, 0)
	if err == nil && t.UserID == "" {
		err = fault.New(fault.TokenNotAssigned, "token %s belongs to nobody: assign it first", serial)
	}
	return t, err
}

func (e *Engine) changePIN(ctx context.Context, serial, action string, details audit.Details, change func(context.Context, *token.Token) error) error {
	return e.Store.Transact(ctx, func(ctx context.Context) error {
		t, err := e.held(ctx, serial)
		if err != nil {
			return err
		}
		if err := token.EndGrace(ctx, e.Store, &t, e.Now()); err != nil {
			return err
		}
		if err := change(ctx, &t); err != nil {
			return err
		}
		if err := e.Store.SaveToken(ctx, t); err != nil {
			return err
		}
		if details == nil {
			details = audit.Details{}
		}
		details["user"] = t.UserID // for reports on her
		return e.Store.Record(ctx, audit.New(ctx, e.Now(), action, "token:"+serial, details))
	})
}
