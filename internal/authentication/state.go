package authentication

import (
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/token"
)

// NextTokencodeDue tells whether a right passcode of the token has to be followed by the next tokencode: too many wrong
// ones came in a row.
func NextTokencodeDue(t *token.Token, p policy.Token) bool {
	return p.IncorrectBeforeNTC > 0 && t.Current.BadPasscodes >= p.IncorrectBeforeNTC
}

// A PINState is what the next right passcode of a token finds its PIN to be.
type PINState string

// The states of a PIN. In all but the first and the last the next right passcode begins with a new PIN.
const (
	PINNotUsed    PINState = "not_used"
	PINNone       PINState = "none"        // the tokencode alone is the passcode
	PINMustChange PINState = "must_change" // temporary, or a new one was asked for
	PINExpired    PINState = "expired"     // older than the policy lets it be
	PINSet        PINState = "set"
)

// PINStateOf is that of a token at now.
func PINStateOf(t *token.Token, p policy.Token, now time.Time) PINState {
	switch {
	case t.Current.Settings.PINType == device.NoPIN:
		return PINNotUsed
	case !t.PIN.IsSet():
		return PINNone
	case t.PIN.MustChange:
		return PINMustChange
	case pin.Expired(t.PIN.SetAt, false, p, now):
		return PINExpired
	}
	return PINSet
}

// NewPINDue tells whether the next right passcode begins with a new PIN: the token is in new-PIN mode.
func (s PINState) NewPINDue() bool { return s != PINNotUsed && s != PINSet }
