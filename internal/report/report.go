// Package report tells what there is and what happened: figures of the
// moment, and reports as tables (spec/software-token-lifecycle.md section 13).
//
// A [Template] is a report as data: its columns, filters, orders and charts,
// and where its rows come from. [Registry.Plan] checks what somebody wants of
// it, and [Plan.Write] reads the rows page by page, however many they are, and
// writes them as CSV, JSON or PDF on the way.
//
//	plan, err := reports.Plan(ctx, report.Wish{Report: "expiring", Filters: map[string]string{"within": "30"}})
//	err = plan.Write(ctx, report.CSV, w)
//
// A report is sent to who asks for it, or made beside requests as a [Run] and kept; a [Schedule] has that done again and again.
//
// Somebody whose key is limited to a security domain gets figures and reports of what is there and below, of those reports that
// can be told for a part; the others are refused. The same holds for runs and schedules: they keep the domain of who asked for them.
//
// Reports are made of what the API shows anyway; no column holds a seed, a
// hash, a PIN or a code. They do hold names, so each takes the right to read,
// and those that tell of events the right to read the audit log.
package report

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Store is what reports need of the database.
type Store interface {
	// Statistics counts what there is, in one look.
	Statistics(ctx context.Context, q Question) (Statistics, error)
	// ReportTokens lists tokens in the order of q.
	ReportTokens(ctx context.Context, q TokenQuery) ([]token.Token, error)
	// OpenOffers returns when the open activation codes of tokens expire, by serial; tokens without one are left out.
	OpenOffers(ctx context.Context, serials []string) (map[string]time.Time, error)
	// Guards returns what is remembered of the sign-ins of users, by their IDs.
	Guards(ctx context.Context, userIDs []string) (map[string]authentication.Guard, error)
	// Users lists users by ID.
	Users(ctx context.Context, f user.Filter) ([]user.User, error)
	// UsersNamed returns users by their IDs; those that are not there, or not in the scope of who acts (domain.Scope.Caller), are left out.
	UsersNamed(ctx context.Context, ids []string) (map[string]user.User, error)
	// Token returns a token; [fault.TokenNotFound], [fault.OutOfScope].
	Token(ctx context.Context, serial string) (token.Token, error)
	// Profile returns a profile; [fault.ProfileNotFound].
	Profile(ctx context.Context, name string) (profile.Profile, error)
	// UserDomains returns the security domains of users by their IDs, whatever the scope of ctx; those at the root are left out.
	UserDomains(ctx context.Context, userIDs []string) (map[string]string, error)
	// SerialsOf returns the serials of the tokens of users that are in the scope of who acts.
	SerialsOf(ctx context.Context, userIDs []string) (map[string][]string, error)
	// Offsets counts the tokens of the scope of ctx, of users that were used by the seconds that their clocks are ahead, from the smallest number on.
	Offsets(ctx context.Context) ([]token.OffsetCount, error)
	// Extensions lists extensions, by serial and then by their number.
	Extensions(ctx context.Context, f token.ExtensionFilter) ([]token.Extended, error)
	// Jobs lists the jobs of the scope of ctx, the newest first.
	Jobs(ctx context.Context, f job.Filter) ([]job.Job, error)
	// RADIUSClients lists the clients by name.
	RADIUSClients(ctx context.Context) ([]access.RADIUSClient, error)
	// Events lists the events that f selects.
	Events(ctx context.Context, f audit.Filter) (audit.Page, error)
}

// Domains finds security domains: a domain.Registry.
type Domains interface {
	// Scope is that of a domain and all below it; [fault.DomainNotFound].
	Scope(ctx context.Context, top string) (domain.Scope, error)
	// Narrow is ctx with the scope of a domain; [fault.OutOfScope], [fault.DomainNotFound].
	Narrow(ctx context.Context, top string) (context.Context, error)
}

// Policies tells the policies that hold now: a policy.Registry.
type Policies interface {
	Current(ctx context.Context) (*policy.Tree, error)
}

// A Registry makes reports. It is safe for concurrent use.
type Registry struct {
	Store    Store
	Runs     RunStore
	Policies Policies
	Domains  Domains
	Now      func() time.Time
	// Ended is told of a run that is done or has failed, in the transaction that ends it; nil for nobody.
	Ended func(ctx context.Context, r Run) error
	// Posts refuses a webhook that no report can be posted to.
	Posts func(ctx context.Context, webhook string) error
	// Reliable tells whether this server's clock can be relied on now; nil for always.
	Reliable func() bool
	// Base is the URL of this server's API, where what is too large to be posted is fetched.
	Base string
}
