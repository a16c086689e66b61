package token

import (
	"context"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// EnableAll lets assigned tokens authenticate.
func (r *Registry) EnableAll(ctx context.Context, serials []string) ([]Outcome, error) {
	return r.takeBack(ctx, serials, func(c *crowd, t *Token) (string, error) {
		if t.Enabled {
			return "was enabled already", nil
		}
		if err := t.Enable(); err != nil {
			return "", err
		}
		c.change(t, "token.enable", nil)
		return "", nil
	})
}

// Enable lets an assigned token authenticate.
func (t *Token) Enable() error {
	if t.UserID == "" {
		return fault.New(fault.TokenNotAssigned, "token %s belongs to nobody: assigning it enables it", t.Serial)
	}
	t.Enabled = true
	return nil
}

// DisableAll stops tokens from authenticating and keeps everything else.
func (r *Registry) DisableAll(ctx context.Context, serials []string) ([]Outcome, error) {
	return r.takeBack(ctx, serials, func(c *crowd, t *Token) (string, error) {
		if !t.Enabled {
			return "was disabled already", nil
		}
		t.Enabled = false
		c.change(t, "token.disable", nil)
		return "", nil
	})
}

// ClearNTCAll forgets the wrong passcodes of tokens: the next right one is accepted without the tokencode after it.
func (r *Registry) ClearNTCAll(ctx context.Context, serials []string) ([]Outcome, error) {
	return r.together(ctx, serials, func(c *crowd, t *Token) (string, error) {
		was := t.Current.BadPasscodes
		if was == 0 {
			return "had no wrong passcodes", nil
		}
		t.Forgive()
		c.change(t, "ntc.leave", audit.Details{"user": t.UserID, "because": "an administrator said so", "wrong_passcodes": was})
		return "", nil
	})
}

// UnassignAll takes tokens from their users as Unassign does: their seeds are tainted, their activation codes end.
func (r *Registry) UnassignAll(ctx context.Context, serials []string) ([]Outcome, error) {
	return r.takeBack(ctx, serials, func(c *crowd, t *Token) (string, error) {
		was := *t
		if t.SwitchOverIfDue(c.now) {
			c.record(t.Serial, "redist.complete", t.GraceEnded())
		}
		if err := t.Unassign(); err != nil {
			return "", err
		}
		c.change(t, "token.unassign", audit.Details{"user": was.UserID})
		c.revoked = append(c.revoked, t.Serial)
		c.endReplacement(&was, "token "+t.Serial+" was unassigned")
		return "was " + was.UserID + "'s", nil
	})
}

// DeleteAll removes tokens and destroys their seeds.
func (r *Registry) DeleteAll(ctx context.Context, serials []string) ([]Outcome, error) {
	return r.takeBack(ctx, serials, func(c *crowd, t *Token) (string, error) {
		c.endReplacement(t, "token "+t.Serial+" was deleted")
		c.remove(t, audit.Details{"user": t.UserID})
		if t.UserID == "" {
			return "", nil
		}
		return "was " + t.UserID + "'s", nil
	})
}

// ReplaceAll assigns the next token that is available for the user of each token, but for those of except, as Replace does it.
func (r *Registry) ReplaceAll(ctx context.Context, serials []string, keepPIN bool, except map[string]bool) ([]Outcome, error) {
	by := audit.ActorFrom(ctx).Name
	return r.together(ctx, serials, func(c *crowd, t *Token) (string, error) {
		if err := t.replaceable(); err != nil {
			return "", err
		}
		next, err := c.next(t, serials, except)
		if err != nil {
			return "", err
		}
		if t.SwitchOverIfDue(c.now) {
			c.record(t.Serial, "redist.complete", t.GraceEnded())
		}
		if err := next.TakeOver(t, keepPIN, by, c.now); err != nil {
			return "", err
		}
		c.took[t.Serial] = next.Serial
		c.change(t, "replace.assign", audit.Details{"user": t.UserID, "replacement": next.Serial, "pin_kept": next.PIN.IsSet()})
		c.change(next, "token.assign", audit.Details{"user": t.UserID, "replaces": t.Serial})
		return "replaced by " + next.Serial, nil
	})
}
