package directory

import (
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/user"
)

// String tells what was done in a line.
func (r Result) String() string {
	c := r.Counts
	told := fmt.Sprintf("%d found: %d added, %d changed, %d disabled, %d enabled, %d unchanged, %d could not be", r.Found,
		c[user.Added], c[user.Changed], c[user.Disabled], c[user.Enabled], c[user.Unchanged], c[user.Failed])
	if r.Referrals > 0 {
		told += fmt.Sprintf("; referrals to other servers, not followed: %d", r.Referrals)
	}
	return told
}

func (r Result) details() audit.Details {
	c := r.Counts
	return audit.Details{"found": r.Found, "added": c[user.Added], "changed": c[user.Changed], "disabled": c[user.Disabled], "enabled": c[user.Enabled],
		"failed": c[user.Failed], "missing": r.Missing, "joined": r.Joined, "left": r.Left, "referrals": r.Referrals}
}

// messageOf is what a refusal tells people: not what the library says, which may quote what was sent.
func messageOf(err error) string {
	var told *fault.Error
	if errors.As(err, &told) {
		return told.Message
	}
	return string(fault.CodeOf(err))
}

// join is an error with what went wrong after it.
func join(err, after error) error {
	if after == nil {
		return err
	}
	return errors.Join(err, after)
}

func seedOf(d Directory) seed.Binding { return seed.OfDirectory(d.Name) }
