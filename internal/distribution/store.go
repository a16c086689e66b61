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
	token.Homes
	User(ctx context.Context, id string) (user.User, error)
	// UsersByID returns those of the users that there are. It locks nothing.
	UsersByID(ctx context.Context, ids []string) (map[string]user.User, error)
	// LockUsers returns those of the users that there are, by ID. Within a transaction their rows are locked, in the order of IDs.
	LockUsers(ctx context.Context, ids []string) (map[string]user.User, error)
	// Holdings tells of the tokens of users that were delivered, or offered. It locks nothing.
	Holdings(ctx context.Context, userIDs []string) ([]Holding, error)
	// ReadProfile returns a profile; fault.ProfileNotFound. It locks nothing.
	ReadProfile(ctx context.Context, name string) (profile.Profile, error)
	// LockTokens returns those of the tokens that there are, locked for change, in the order of serials.
	LockTokens(ctx context.Context, serials []string) ([]token.Token, error)
	// SaveTokens stores many changed tokens as SaveToken does one.
	SaveTokens(ctx context.Context, tokens []token.Token) error
	// RevokeOffersOf ends the open activation codes of tokens, and their exchanges.
	RevokeOffersOf(ctx context.Context, serials []string) error
	// AddOffers stores open activation codes; fault.Conflict if a hash is taken, or a token has an open one.
	AddOffers(ctx context.Context, offers []Offer) error
	Token(ctx context.Context, serial string) (token.Token, error)
	// SaveToken stores a changed token whose Version is still t.Version, and counts it up.
	SaveToken(ctx context.Context, t token.Token) error
	// RevokeOffers ends the open activation codes of a token, and its exchanges, and returns how many there were.
	RevokeOffers(ctx context.Context, serial string) (int, error)

	// OfferByCode returns the offer with that code hash, whatever its state; fault.ActivationUnknown.
	OfferByCode(ctx context.Context, codeHash []byte) (Offer, error)
	// Offer returns an offer by ID; fault.ActivationUnknown.
	Offer(ctx context.Context, id string) (Offer, error)
	// SaveOffer stores the state and the counters of an offer.
	SaveOffer(ctx context.Context, o Offer) error
	// AddExchange stores an exchange and drops the oldest unused ones of the same offer
	// beyond keep; it returns how many it dropped. fault.Conflict if the ID is taken.
	AddExchange(ctx context.Context, x Exchange, keep int) (int, error)
	// Exchange returns and locks an exchange by the hash of its session ID; fault.NotFound.
	Exchange(ctx context.Context, id []byte) (Exchange, error)
	// SaveExchange stores what the client's nonce led to.
	SaveExchange(ctx context.Context, x Exchange) error
	// DropExchanges removes those begun before a moment, and returns how many.
	DropExchanges(ctx context.Context, before time.Time) (int, error)

	// Campaign tells how far the tokens have come that a job delivered.
	Campaign(ctx context.Context, jobID string, now time.Time) (Campaign, error)
	// Settings returns the deployment's settings; it locks nothing.
	Settings(ctx context.Context) (policy.Settings, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// RecordAll keeps events as Record does one.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// Devices are the device definitions: a [device.Registry].
type Devices interface {
	// Find returns the definition of a device type; fault.DeviceNotFound.
	Find(ctx context.Context, name string) (device.Definition, error)
}
