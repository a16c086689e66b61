package authentication

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/internal/seed"
)

// An Attempt is a dialogue that waits for the user's next answer. It lives in the database, so that any server can go on
// with it; what it knows of a new PIN is a hash.
type Attempt struct {
	ID        string
	Agent     string // who began it: Source.Caller, or Source.Agent where there is none
	UserID    string
	Turn      int
	Before    int // Turn as it was read, 0 for a new one
	ExpiresAt time.Time
	// Sealed is the state below, bound to ID and Turn.
	Sealed seed.Sealed

	state attemptState
	ended bool
}

// attemptState is what an attempt knows. Its JSON is sealed.
type attemptState struct {
	Step    Step `json:"step"`
	Confirm bool `json:"confirm,omitempty"`
	Retry   bool `json:"retry,omitempty"`
	// TokenOnly is that of its Request.
	TokenOnly bool          `json:"token_only,omitempty"`
	Life      time.Duration `json:"life"`
	Station   string        `json:"station,omitempty"`
	// The tokencode that was right: of which seed, and when.
	Serial     string `json:"serial,omitempty"`
	Generation int    `json:"generation,omitempty"`
	Interval   int64  `json:"interval,omitempty"`
	// Offset is how far the token was ahead by that code, in intervals; nil in an attempt that an earlier release began.
	Offset *int64 `json:"offset,omitempty"`
	// Emergency says that it was an emergency code in place of one.
	Emergency bool `json:"emergency,omitempty"`
	// EmergencyUntil is the end of the codes that it was one of, which tells them from others that took their place; zero in an attempt that an earlier release began.
	EmergencyUntil time.Time `json:"emergency_until,omitzero"`
	// OnDemand says that it is about a code by mail, or the PIN for those, and no token.
	OnDemand bool `json:"on_demand,omitempty"`
	// Former is the keyed hash of the PIN that a new one is to take the place of, or that there was when a next tokencode was asked for; nil for none.
	Former []byte `json:"former,omitempty"`
	// HasFormer is false for an attempt that a release began which knew no Former while it asked for a next tokencode.
	HasFormer bool `json:"has_former,omitempty"`
	// The new PIN between its steps, and how often one was refused.
	PIN       []byte `json:"pin,omitempty"` // keyed hash
	PINLength int    `json:"pin_length,omitempty"`
	Refused   int    `json:"refused,omitempty"`
}

// maxRounds is how many new PINs may be refused before the attempt is denied (section 10.3).
const maxRounds = 3

var attemptName = base32.StdEncoding.WithPadding(base32.NoPadding)

// newAttemptID makes 128 random bits into 26 characters.
func newAttemptID() string {
	raw := make([]byte, 16)
	rand.Read(raw)
	return attemptName.EncodeToString(raw)
}

// open reads the state of an attempt that comes from the database.
func (a *Attempt) open(ctx context.Context, k Keyring) error {
	text, err := k.Open(ctx, a.Sealed, seed.OfAttempt(a.ID, a.Turn))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &a.state)
}

// seal prepares the attempt for the database.
func (a *Attempt) seal(k Keyring) error {
	text, err := json.Marshal(a.state)
	if err != nil {
		return err
	}
	a.Sealed, err = k.Seal(text, seed.OfAttempt(a.ID, a.Turn))
	return err
}
