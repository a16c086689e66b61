package token

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// MaxBulk is how many tokens one call assigns: they are one transaction.
const MaxBulk = 100_000

// A Pair is a user and the token that she is to get; Serial "" stands for the next available one.
type Pair struct{ UserID, Serial string }

// An Order says how users that are paired with tokens are sorted.
type Order string

// The orders. Tokens are sorted by serial, whatever the order of the users.
const (
	AsGiven Order = "given" // as they are listed
	ByID    Order = "user_id"
	ByName  Order = "name" // those of one name by ID
)

// A Bulk says which users get which tokens (section 6).
type Bulk struct {
	Users   []string // IDs, or
	Group   string   // the members of a group, by ID
	Sort    Order    // of Users; "" is AsGiven for Users and ByID for a group
	Serials []string // exactly as many as users; or
	Next    bool     // the next available ones
	Pairs   []Pair   // in place of all of the above: pairs that were shown before
	// Partial assigns what can be assigned; without it one row that cannot be leaves everything as it was.
	Partial bool
	// DryRun only says what would happen.
	DryRun bool
}

// A Row is what happens to one pair.
type Row struct {
	Pair
	OK      bool
	Code    fault.Code // why it is not; or, if it is, a warning such as [fault.UserDisabled]; "" for none
	Message string     // for people
}

// A Candidate is what assignment looks at of a token.
type Candidate struct {
	Serial          string
	UserID          string // "" while unassigned
	Nickname        string
	Domain          string // security domain
	EffectiveExpiry time.Time
	Version         int
}

// A Given is a candidate that goes to a user.
type Given struct {
	Candidate
	To string // user ID
}

// AssignAll assigns many tokens, in one transaction, and tells what happened to each pair, in the order of the
// pairing. Unless b.Partial is set, all rows of an answer are OK; else the refusal is that of the first pair that cannot be,
// with the failed rows among its details. [fault.CountMismatch] if there are not exactly as many tokens as users:
// then nothing changes, partial or not.
func (r *Registry) AssignAll(ctx context.Context, b Bulk) ([]Row, error) {
	if b.DryRun { // without a transaction, so that looking stops nobody
		p, err := r.pairing(ctx, b)
		if err != nil {
			return nil, err
		}
		return p.rows, nil
	}
	var rows []Row
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		p, err := r.pairing(ctx, b)
		if err != nil {
			return err
		}
		if err := p.refusal(); err != nil && !b.Partial {
			return err
		}
		rows = p.rows
		return r.give(ctx, p.given)
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// give writes what a pairing says, with its events.
func (r *Registry) give(ctx context.Context, given []Given) error {
	const chunk = 2000 // so that rows and events of a part are in memory only
	by := audit.ActorFrom(ctx).Name
	for some := range slices.Chunk(given, chunk) {
		now := r.Now()
		if err := r.Store.AssignTokens(ctx, some, by, now); err != nil {
			return err
		}
		events := make([]audit.Event, len(some))
		for i, g := range some {
			events[i] = audit.New(ctx, now, "token.assign", "token:"+g.Serial, audit.Details{"user": g.To})
		}
		if err := r.Store.RecordAll(ctx, events); err != nil {
			return err
		}
	}
	return nil
}

// A pairing is who gets what, and who cannot.
type pairing struct {
	rows  []Row
	given []Given
}

// pairing pairs users and tokens, and looks at each pair. Within a transaction what it looks at is locked: users first,
// so that two assignments cannot both pass the limit.
func (r *Registry) pairing(ctx context.Context, b Bulk) (*pairing, error) {
	users, serials, err := r.chosenBy(ctx, b)
	if err != nil {
		return nil, err
	}
	known, err := r.Store.LockUsers(ctx, users)
	if err != nil {
		return nil, err
	}
	if b.Sort == ByName {
		slices.SortStableFunc(users, func(a, b string) int { return cmp.Or(cmp.Compare(known[a].Name, known[b].Name), cmp.Compare(a, b)) })
	}
	held, err := r.Store.TokensHeld(ctx, users)
	if err != nil {
		return nil, err
	}
	settings, err := r.Store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	p := &pairing{rows: make([]Row, len(users))}
	var eligible []int // rows whose user may get a token
	for i, id := range users {
		p.rows[i].UserID = id
		if serials != nil {
			p.rows[i].Serial = serials[i]
		}
		if p.judge(i, mayGet(ctx, known, held, id, settings.MaxTokensPerUser)) {
			eligible = append(eligible, i)
		}
		switch u, is := known[id]; {
		case !is || !p.rows[i].OK:
		case !u.Enabled:
			p.rows[i].Code, p.rows[i].Message = fault.UserDisabled, id+" is disabled, and cannot sign in with the token until 'user enable'"
		case u.ExpiredAt(r.Now()):
			p.rows[i].Code, p.rows[i].Message = fault.UserExpired, id+" had a last day, which is over, and cannot sign in with the token until 'user edit --expiry' names a later one"
		}
	}
	if serials == nil {
		return p, r.pairNext(ctx, p, eligible, known, settings.MinDaysLeft)
	}
	return p, r.pairChosen(ctx, p, eligible, serials)
}

// judge settles a row as refused, or as OK so far, and tells which.
func (p *pairing) judge(i int, err *fault.Error) bool {
	row := &p.rows[i]
	if row.OK = err == nil; err != nil {
		row.Code, row.Message = err.Code, err.Message
	}
	return row.OK
}

func mayGet(ctx context.Context, known map[string]user.User, held map[string]int, id string, most int) *fault.Error {
	if _, is := known[id]; !is {
		return domain.Outside(ctx, fault.New(fault.UserNotFound, "there is no user %q", id), "user %q", id)
	}
	if held[id] >= most {
		return fault.New(fault.TokenLimit, "%s holds %d tokens, and the limit is %d: unassign one first", id, held[id], most)
	}
	return nil
}

// pairNext gives each eligible row the next token that is available for its user.
func (r *Registry) pairNext(ctx context.Context, p *pairing, eligible []int, known map[string]user.User, daysLeft int) error {
	if len(eligible) == 0 {
		return nil
	}
	takers := make([]string, len(eligible))
	for n, i := range eligible {
		takers[n] = known[p.rows[i].UserID].Domain
	}
	free, err := newSpares(ctx, r.Store, takers, nil)
	if err != nil {
		return err
	}
	least := r.Now().UTC().AddDate(0, 0, daysLeft)
	for n, i := range eligible {
		next, found, err := free.take(ctx, takers[n], least)
		if err != nil {
			return err
		}
		if !found {
			p.judge(i, noToken(daysLeft, takers[n]))
			continue
		}
		p.rows[i].Serial = next.Serial
		p.given = append(p.given, Given{next, p.rows[i].UserID})
	}
	return nil
}

// pairChosen looks at the tokens that were chosen for the eligible rows.
func (r *Registry) pairChosen(ctx context.Context, p *pairing, eligible []int, serials []string) error {
	found, err := r.Store.Candidates(ctx, serials)
	if err != nil {
		return err
	}
	now := r.Now()
	for _, i := range eligible {
		row := &p.rows[i]
		c, is := found[row.Serial]
		if !is {
			p.judge(i, domain.Outside(ctx, fault.New(fault.TokenNotFound, "there is no token %s", row.Serial), "token %s", row.Serial))
			continue
		}
		t := Token{Serial: c.Serial, UserID: c.UserID, EffectiveExpiry: c.EffectiveExpiry}
		if err := t.Assign(row.UserID, "", now); err != nil {
			p.judge(i, refusalOf(err))
			continue
		}
		p.given = append(p.given, Given{c, row.UserID})
	}
	return nil
}

// chosenBy is the users of a bulk in their order, and the serials in theirs; nil for the next available.
func (r *Registry) chosenBy(ctx context.Context, b Bulk) (users, serials []string, err error) {
	if b.Pairs != nil {
		if b.Users != nil || b.Serials != nil || b.Group != "" || b.Next {
			return nil, nil, fault.New(fault.Invalid, "pairs say all: give no users, group, serials or next beside them")
		}
		for _, pair := range b.Pairs {
			users, serials = append(users, pair.UserID), append(serials, pair.Serial)
		}
		return users, serials, whole(users, serials)
	}
	if (b.Users == nil) == (b.Group == "") {
		return nil, nil, fault.New(fault.Invalid, "say who gets tokens: users or a group")
	}
	if users = slices.Clone(b.Users); b.Group != "" {
		if users, err = r.Store.MemberIDs(ctx, b.Group, MaxBulk+1); err != nil {
			return nil, nil, err
		}
	}
	if b.Sort == ByID {
		slices.Sort(users)
	}
	if b.Next {
		if b.Serials != nil {
			return nil, nil, fault.New(fault.Invalid, "either the next available tokens, or those of serials")
		}
		return users, nil, whole(users, nil)
	}
	if len(users) != len(b.Serials) {
		return nil, nil, fault.New(fault.CountMismatch, "%d users and %d tokens: take as many tokens as users; nothing was assigned", len(users), len(b.Serials)).
			With("users", len(users)).With("tokens", len(b.Serials))
	}
	serials = slices.Clone(b.Serials)
	slices.Sort(serials)
	return users, serials, whole(users, serials)
}

// whole refuses too many, and what is there twice.
func whole(users, serials []string) error {
	if len(users) == 0 {
		return fault.New(fault.Invalid, "nobody is to get a token: name at least one user")
	}
	if len(users) > MaxBulk {
		return fault.New(fault.TooLarge, "%d tokens are the most that can be assigned at once", MaxBulk)
	}
	for i, all := range [][]string{users, serials} {
		seen := make(map[string]bool, len(all))
		for _, name := range all {
			if seen[name] {
				return fault.New(fault.Invalid, "%s %s is named twice", [2]string{"user", "token"}[i], name)
			}
			seen[name] = true
			if i == 1 {
				if err := CheckSerial(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// refusal is that of the first row that cannot be, nil if all can.
func (p *pairing) refusal() error {
	const shown = 100
	var failed []map[string]any
	var first *Row
	n := 0
	for i := range p.rows {
		row := &p.rows[i]
		if row.OK {
			continue
		}
		if n++; n == 1 {
			first = row
		}
		if n <= shown {
			failed = append(failed, map[string]any{"user_id": row.UserID, "serial": row.Serial, "code": row.Code, "message": row.Message})
		}
	}
	if n == 0 {
		return nil
	}
	others := ""
	if n > 1 {
		others = "; a dry run shows all that cannot be"
	}
	return fault.New(first.Code, "nothing was assigned, for %d of %d pairs cannot be: %s%s", n, len(p.rows), first.Message, others).
		With("failed", n).With("rows", failed)
}

// refusalOf is the refusal in the chain of an error of this package's rules.
func refusalOf(err error) *fault.Error {
	return &fault.Error{Code: fault.CodeOf(err), Message: err.Error()}
}
