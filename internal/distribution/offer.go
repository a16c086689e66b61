package distribution

import (
	"time"

	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// An OfferState says what became of an activation code.
type OfferState string

// The states of an activation code (spec/ct-kip.md section 8.2).
const (
	Open    OfferState = "open"
	Used    OfferState = "used"
	Revoked OfferState = "revoked"
	Locked  OfferState = "locked"
)

// An Offer is one activation code and what it authorises: one dynamic
// provisioning run for one token of one user. At most one offer of a token is open.
type Offer struct {
	ID         string // UUIDv7
	Serial     string
	UserID     string
	Profile    string
	CodeHash   []byte // keyed; offers are looked up by it
	Generation int    // that the exchange will establish
	Settings   token.Settings
	DeviceID   string // the one device it is for, "" for any
	CreatedAt  time.Time
	ExpiresAt  time.Time
	IssuedBy   string
	State      OfferState
	Failures   int // failed exchanges
	Abandoned  int // exchanges begun and not finished
	// Correlation ties all events of the offer together.
	Correlation string
}

// An Exchange is one run of the dynamic provisioning protocol, from
// ClientHello to ServerFinished.
type Exchange struct {
	ID        []byte // keyed hash of the session ID
	OfferID   string
	Dialect   string // "rsa"; an exchange goes on in the dialect it began in
	Nonce     []byte // R_S, 16 bytes
	KeyID     string // of the server key that the client was shown
	DeviceID  string // that the app named, "" if it named none
	BegunAt   time.Time
	UsedAt    time.Time   // when the client's nonce came in; zero before
	Request   []byte      // SHA-256 of that request, to recognise its repetition
	Reply     seed.Sealed // the answer to it, to be repeated word for word; no blob before
	RepliedAt time.Time
}
