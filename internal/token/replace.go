package token

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// InReplacement tells whether the token takes over from another one, or another one from it.
func (t *Token) InReplacement() bool { return t.Replaces != "" || t.ReplacedBy != "" }

// TakeOver makes an unassigned token the replacement of another one (section 11.2): it belongs to the same user, and its
// first use ends the other's. The PIN comes along if keepPIN says so and this token can have it. A token that was never
// delivered gets the settings of the other one, until its distribution says otherwise.
func (t *Token) TakeOver(from *Token, keepPIN bool, by string, now time.Time) error {
	if err := from.replaceable(); err != nil {
		return err
	}
	if err := t.Assign(from.UserID, by, now); err != nil {
		return err
	}
	t.Replaces, from.ReplacedBy = from.Serial, t.Serial
	if !t.Current.Delivered {
		t.Current.Settings = from.Current.Settings
	}
	if keepPIN && from.PIN.fits(from.Current.Settings.PINType, t.Current.Settings) {
		t.PIN = from.PIN
		t.PIN.Serial = from.PINSerial()
	}
	return nil
}

// replaceable refuses a token that cannot be replaced now.
func (t *Token) replaceable() error {
	if t.UserID == "" {
		return fault.New(fault.TokenNotAssigned, "token %s belongs to nobody: assign another one instead of replacing it", t.Serial)
	}
	if t.InReplacement() {
		return fault.New(fault.InReplacement, "token %s takes part in a replacement already: finish that by using the new token, or unassign one of the two", t.Serial)
	}
	return nil
}

// fits tells whether a PIN of a token of one PIN type can be that of one with other settings (section 8 rule 4): a fob PIN
// may hold letters, a PINPad PIN may not, nor be longer than the code.
func (p PIN) fits(was device.PINType, next Settings) bool {
	switch next.PINType {
	case device.NoPIN:
		return false
	case device.PINPad:
		return was != device.Fob && p.Length <= next.Digits
	}
	return true
}

// Replace assigns a token as the replacement of another one: that of the serial with, or the next available for its user if it is "".
// If version is not 0, the one that is replaced must still be at it.
func (r *Registry) Replace(ctx context.Context, serial string, version int, with string, keepPIN bool) (Token, error) {
	var t Token
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if with != "" { // by serial, as all lock. One that takes part in a replacement is refused: it needs no partner, whom others hold.
			if _, err := r.Store.LockTokens(domain.WithScope(ctx, domain.Scope{}), []string{serial, with}); err != nil {
				return err
			}
		}
		original, err := r.Store.Token(ctx, serial)
		if err != nil {
			return err
		}
		if version != 0 && original.Version != version {
			return fault.New(fault.Conflict, "token %s was changed meanwhile: read it again", serial)
		}
		if err := original.replaceable(); err != nil {
			return err
		}
		if err := CheckHolder(ctx, r.Store, original); err != nil {
			return err
		}
		if err := EndGrace(ctx, r.Store, &original, r.Now()); err != nil { // PIN and settings come along of the seed that counts
			return err
		}
		settings, err := r.Store.Settings(ctx)
		if err != nil {
			return err
		}
		homes, err := r.Store.UserDomains(ctx, []string{original.UserID})
		if err != nil {
			return err
		}
		if t, err = r.chosen(ctx, with, homes[original.UserID], settings); err != nil {
			return err
		}
		if err := t.TakeOver(&original, keepPIN, audit.ActorFrom(ctx).Name, r.Now()); err != nil {
			return err
		}
		err = r.save(ctx, &original, "replace.assign", audit.Details{"user": t.UserID, "replacement": t.Serial, "pin_kept": t.PIN.IsSet()})
		if err != nil {
			return err
		}
		return r.save(ctx, &t, "token.assign", audit.Details{"user": t.UserID, "replaces": serial})
	})
	return t, err
}

// chosen is the token of a serial, or the next available for a user of a domain if it is "".
func (r *Registry) chosen(ctx context.Context, serial, at string, s policy.Settings) (Token, error) {
	if serial != "" {
		return r.Store.Token(ctx, serial)
	}
	free, err := newSpares(ctx, r.Store, []string{at}, nil)
	if err != nil {
		return Token{}, err
	}
	o, found, err := free.take(ctx, at, r.Now().UTC().AddDate(0, 0, s.MinDaysLeft))
	if err == nil && !found {
		err = noToken(s.MinDaysLeft, at)
	}
	if err != nil {
		return Token{}, err
	}
	return r.Store.Token(ctx, o.Serial)
}

// endReplacement ends the replacement that a token took part in which is its user's no more: its partner, in whatever security domain, stays what it is.
func (r *Registry) endReplacement(ctx context.Context, partner, because string) error {
	if partner == "" {
		return nil
	}
	ctx = domain.WithScope(ctx, domain.Scope{})
	t, err := r.Store.Token(ctx, partner)
	if err != nil {
		return err
	}
	t.Replaces, t.ReplacedBy = "", ""
	return r.save(ctx, &t, "replace.end", audit.Details{"user": t.UserID, "because": because})
}
