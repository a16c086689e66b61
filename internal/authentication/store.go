package authentication

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Store is what checking a code needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// User returns a user; fault.UserNotFound.
	User(ctx context.Context, id string) (user.User, error)
	// Tokens lists the tokens that f selects; outside a transaction it locks nothing.
	Tokens(ctx context.Context, f token.Filter) ([]token.Token, error)
	// Token returns a token; within a transaction the row is locked for change.
	Token(ctx context.Context, serial string) (token.Token, error)
	// SaveToken stores a changed token whose Version is still t.Version, and counts it up.
	SaveToken(ctx context.Context, t token.Token) error
	// Accept marks an interval of a generation as used and sets its offset, if the token is still
	// at that version and no code of that interval or a later one was accepted: one conditional write.
	Accept(ctx context.Context, a Acceptance) (bool, error)
	// Fail counts a bad passcode against the current generation of tokens.
	Fail(ctx context.Context, serials []string) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// An Acceptance is the claim on one tokencode.
type Acceptance struct {
	Serial     string
	Version    int // of the token, as it was when the code was found right
	Generation int
	Interval   int64 // t div interval
	Offset     int64 // intervals the token is ahead of the server
	At         time.Time
}
