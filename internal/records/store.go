package records

import (
	"context"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/token"
)

// Store is what making and importing records needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// LockTokens returns those of the tokens that there are, locked for change.
	LockTokens(ctx context.Context, serials []string) ([]token.Token, error)
	// KnownSeeds tells of seeds, by their fingerprints, the serial of the token that has or had each; those that are new are left out.
	KnownSeeds(ctx context.Context, fingerprints [][]byte) (map[string]string, error)
	// SaveToken stores a changed token with the generations that it has now; [fault.Conflict] if it was changed meanwhile.
	SaveToken(ctx context.Context, t token.Token) error
	// SaveClock stores the last code that was used, and the offset, of the current generation of a token that is locked.
	SaveClock(ctx context.Context, t token.Token) error
	// RevokeOffersOf ends the open activation codes of tokens.
	RevokeOffersOf(ctx context.Context, serials []string) error
	// AddTokens stores new records, all or none. fault.ImportDuplicate if a serial is taken, fault.SeedInUse if
	// any generation of any token, living or destroyed, ever had the fingerprint.
	AddTokens(ctx context.Context, tokens []token.Token) error
	// BeginSerials sets the deployment's range of serials, unless it has one.
	BeginSerials(ctx context.Context, first, last int64) error
	// ReserveSerials takes the next count serials of the range and returns the first: nobody
	// else gets them, once the transaction commits. fault.SerialsExhausted.
	ReserveSerials(ctx context.Context, count int) (int64, error)
	// ReturnSerials gives serials back that were reserved for a job, if it is not there and they are the last that were.
	ReturnSerials(ctx context.Context, first int64, count int, job string) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}
