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

// A Sync is how far the server and the token agree (section 3.1).
type Sync string

// The sync states.
const (
	InSync     Sync = "in_sync"
	AwaitsNext Sync = "next_tokencode"
	OutOfSync  Sync = "out_of_sync"
)

// SyncOf tells how far a token is from being accepted at once. It is out of sync when what came after the wrong passcodes that take the next tokencode was
// wrong too: either her clock is further off than a sign-in finds, which takes a resynchronisation, or it is not she who guesses. The server cannot tell.
func SyncOf(t *token.Token, p policy.Token) Sync {
	switch {
	case !NextTokencodeDue(t, p):
		return InSync
	case t.Current.BadPasscodes > p.IncorrectBeforeNTC:
		return OutOfSync
	}
	return AwaitsNext
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
