package authentication

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// Store is what authentication needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// TransactSoon is Transact for those who wait for an answer: [fault.ServiceBusy] if somebody else keeps what it needs for longer than wait.
	TransactSoon(ctx context.Context, wait time.Duration, do func(context.Context) error) error
	// Gather returns what a group of requests is about, in one look. Within a transaction, attempts and the guards of users are locked, and
	// users and tokens are as they are once that is done: until it ends nobody else decides about these users. Outside of one nothing is
	// locked, and users with their guards are read after the tokens, all at one moment: if the tokens are still the same when what was decided is written, it is as
	// if it had been decided at that moment.
	Gather(ctx context.Context, w Wanted) (Gathered, error)
	// Settle writes what was decided. [fault.Conflict] if a token, a guard or an attempt is not what it was decided by: nothing must be committed then.
	Settle(ctx context.Context, s Settlement) error
	// DropAttempts removes attempts and kept decisions that expired before a time.
	DropAttempts(ctx context.Context, before time.Time) error
	token.Homes
	// Token returns a token; within a transaction the row is locked for change.
	Token(ctx context.Context, serial string) (token.Token, error)
	// LockTokens returns those of the tokens that there are, locked for change, in the order of serials.
	LockTokens(ctx context.Context, serials []string) ([]token.Token, error)
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
	Users    []string // IDs
	Mails    []string // addresses in lower case (ASCII), of users who are wanted as well: of each address two, if there are as many
	Admitted []Admitted
	Unsaid   bool // whoever the attempts are about is wanted as well
	Groups   bool // the groups of users are wanted as well
}

// An Admitted wants more users of some of the addresses of a Wanted: of each address two whom an agent may ask about, if there are as many. Else
// two whom it may not ask about would hide them.
type Admitted struct {
	Only  *Restriction
	Mails []string
}

// A Gathered is what there is of a Wanted.
type Gathered struct {
	Decided  []Kept
	Attempts []Attempt
	Subjects []Subject
}

// A Subject is a user with what a passcode is compared with.
type Subject struct {
	UserID  string
	Enabled bool
	Expiry  time.Time // the last day on which she may sign in, zero for none
	Domain  string    // security domain
	Groups  []string  // that she is a member of; nil unless they were wanted
	Mail    string    // in lower case (ASCII); "" unless addresses were wanted
	Reply   string    // RADIUS attributes, as access.ReadReply takes them
	Guard   Guard
	Tokens  []token.Token
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
	Attempts []Attempt // new ones, and those that went on: stored if their turn is still what it was before
	Ended    []Attempt // removed if their turn is
	Decided  []Kept
}

// sort puts rows into an order that all servers keep, so that they do not wait for each other in a ring.
func (s *Settlement) sort() {
	slices.SortFunc(s.Uses, func(a, b Use) int { return cmp.Or(cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.Number, b.Number)) })
	slices.SortFunc(s.Guards, func(a, b Guard) int { return cmp.Compare(a.UserID, b.UserID) })
	byID := func(a, b Attempt) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(s.Attempts, byID)
	slices.SortFunc(s.Ended, byID)
	slices.SortFunc(s.Decided, func(a, b Kept) int { return bytes.Compare(a.Key, b.Key) })
}

// A Use is what passcodes did to one generation of a token. It is stored if the token is still at Version, a user's, and disabled or not, and
// its last code, its offset and its wrong passcodes are still those of Before: one conditional write.
type Use struct {
	Serial   string
	Version  int  // of the token
	Number   int  // of the generation
	Disabled bool // the token, whose clock can be learnt all the same
	Before   token.Clock
	After    token.Clock
}

// Policies tells the policies that hold now: a policy.Registry.
type Policies interface {
	Current(ctx context.Context) (*policy.Tree, error)
}
