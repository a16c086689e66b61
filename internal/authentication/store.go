package authentication

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Store is what authentication needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Gather returns what a group of requests is about, in one look. Attempts and the guards of users are locked, and tokens are
	// as they are once that is done: until the transaction ends nobody else decides about these users.
	Gather(ctx context.Context, w Wanted) (Gathered, error)
	// Settle writes what was decided. [fault.Conflict] if a token is not what it was decided by: nothing must be committed then.
	Settle(ctx context.Context, s Settlement) error
	// DropAttempts removes attempts and kept decisions that expired before a time.
	DropAttempts(ctx context.Context, before time.Time) error
	// Token returns a token; within a transaction the row is locked for change.
	Token(ctx context.Context, serial string) (token.Token, error)
	// SaveToken stores a changed token whose Version is still t.Version, and counts it up; else [fault.Conflict].
	SaveToken(ctx context.Context, t token.Token) error
	// DeleteToken removes a token with its seeds and activation codes.
	DeleteToken(ctx context.Context, serial string) error
	// RevokeOffers ends the open activation codes of a token and returns how many there were.
	RevokeOffers(ctx context.Context, serial string) (int, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// RecordAll keeps many.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// A Wanted names what a group of requests is about. What is not there is left out of the answer.
type Wanted struct {
	Keys     [][]byte // of requests that may have been decided before
	Attempts []string // IDs
	Users    []string // IDs; those of the attempts are wanted as well
}

// A Gathered is what there is of a Wanted.
type Gathered struct {
	Decided  []Kept
	Attempts []Attempt
	Subjects []Subject
}

// A Subject is a user with what a passcode is compared with.
type Subject struct {
	User   user.User
	Guard  Guard
	Tokens []token.Token
}

// A Kept is a decision that was kept for a request's key.
type Kept struct {
	Key       []byte
	Sealed    seed.Sealed // bound to Key
	ExpiresAt time.Time
}

// A Settlement is what a group of decisions changes, all or nothing.
type Settlement struct {
	Uses     []Use
	Guards   []Guard
	Attempts []Attempt // new ones, and those that went on: stored if their turn is still Before
	Ended    []string  // IDs of attempts
	Decided  []Kept
}

// A Use is what passcodes did to one generation of a token. It is stored if the token is still at Version, live, and
// its guard still at Before: one conditional write.
type Use struct {
	Serial  string
	Version int // of the token
	Number  int // of the generation
	Before  token.Clock
	After   token.Clock
}

// Policies tells the policies that hold now: a policy.Registry.
type Policies interface {
	Current(ctx context.Context) (policy.Set, error)
}
