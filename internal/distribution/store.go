package distribution

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Store is what distribution needs of the database. Within a transaction,
// what is read is locked for change.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	User(ctx context.Context, id string) (user.User, error)
	Profile(ctx context.Context, name string) (profile.Profile, error)
	Token(ctx context.Context, serial string) (token.Token, error)
	// SaveToken stores a changed token whose Version is still t.Version, and counts it up.
	SaveToken(ctx context.Context, t token.Token) error
	// RevokeOffers ends the open activation codes of a token, and its exchanges, and returns how many there were.
	RevokeOffers(ctx context.Context, serial string) (int, error)

	// AddOffer stores an open activation code; fault.Conflict if its hash is taken.
	AddOffer(ctx context.Context, o Offer) error
	// OfferByCode returns the offer with that code hash, whatever its state; fault.ActivationUnknown.
	OfferByCode(ctx context.Context, codeHash []byte) (Offer, error)
	// Offer returns an offer by ID; fault.ActivationUnknown.
	Offer(ctx context.Context, id string) (Offer, error)
	// OpenOffer returns the open offer of a token; fault.ActivationUnknown if it has none.
	OpenOffer(ctx context.Context, serial string) (Offer, error)
	// SaveOffer stores the state and the counters of an offer.
	SaveOffer(ctx context.Context, o Offer) error
	// AddExchange stores an exchange and drops the oldest unused ones of the same offer
	// beyond keep; it returns how many it dropped.
	AddExchange(ctx context.Context, x Exchange, keep int) (int, error)
	// Exchange returns and locks an exchange by the hash of its session ID; fault.NotFound.
	Exchange(ctx context.Context, id []byte) (Exchange, error)
	// SaveExchange stores what the client's nonce led to.
	SaveExchange(ctx context.Context, x Exchange) error
	// DropExchanges removes those begun before a moment, and returns how many.
	DropExchanges(ctx context.Context, before time.Time) (int, error)

	// Settings returns the deployment's settings; it locks nothing.
	Settings(ctx context.Context) (policy.Settings, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// Devices are the device definitions: a [device.Registry].
type Devices interface {
	// Find returns the definition of a device type; fault.DeviceNotFound.
	Find(ctx context.Context, name string) (device.Definition, error)
}
