package access

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// A Restriction says which users an agent or a RADIUS client may ask about
// (spec/rest-authn-api.md section 2.3). Its zero value is all of them. One
// that is not at the root of the domains asks about those of its own domain, and below, alone.
type Restriction struct {
	// Users are IDs and Groups names: a user must be one of them, or a member of one. Without either all are.
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// UserDomain is a security domain: a user must be there or below. "" for everywhere.
	UserDomain string `json:"user_domain,omitempty"`
}

// None tells whether everybody may be asked about.
func (r Restriction) None() bool {
	return len(r.Users) == 0 && len(r.Groups) == 0 && r.UserDomain == domain.Root
}

func (r Restriction) equal(o Restriction) bool {
	return slices.Equal(r.Users, o.Users) && slices.Equal(r.Groups, o.Groups) && r.UserDomain == o.UserDomain
}

// Names tells whether a user is one of those that the restriction names, who is a member of groups. It does not look at domains.
func (r Restriction) Names(userID string, groups []string) bool {
	if len(r.Users) == 0 && len(r.Groups) == 0 || slices.Contains(r.Users, userID) {
		return true
	}
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(r.Groups, g) })
}

// Limits of what one restriction names.
const (
	maxRestrictedUsers  = 1000
	maxRestrictedGroups = 64
)

// A restrictionStore tells what a restriction may name.
type restrictionStore interface {
	// Group returns a group; [fault.GroupNotFound]. Within a transaction the row is locked for change.
	Group(ctx context.Context, name string) (user.Group, error)
	// HasDomain refuses a security domain that is not there, or not in the scope of ctx: [fault.DomainNotFound], [fault.OutOfScope].
	HasDomain(ctx context.Context, name string) error
	// Apart tells whether neither of two security domains is the other or below it. It locks nothing.
	Apart(ctx context.Context, one, other string) (bool, error)
	// UsersElsewhere returns those of the users, by ID, that there are and that are not in the scope of ctx. It locks nothing.
	UsersElsewhere(ctx context.Context, ids []string) ([]string, error)
}

// settle makes the restriction of an agent or RADIUS client in a domain one that who acts may give, and checks it. before is what it was, nil for that of something new. Who is limited to a
// domain does not reach beyond that with a part of it, whatever somebody else has said in another part: as long as he changes nothing of it,
// it stays what it is; what he changes is within his domain, and names nobody and no group elsewhere, whose administrators would find them
// gone without a word.
func (r *Restriction) settle(ctx context.Context, s restrictionStore, home string, before *Restriction) error {
	was := Restriction{}
	if before != nil {
		was = *before
	}
	scope := domain.ScopeFrom(ctx)
	if !scope.Limited() || before != nil && r.equal(was) {
		return r.check(ctx, s, home, was)
	}
	if r.UserDomain == domain.Root || r.UserDomain == was.UserDomain && !scope.Covers(r.UserDomain) {
		r.UserDomain = scope.Top()
	}
	if before != nil && r.equal(was) {
		return nil
	}
	ctx = domain.WithScope(ctx, scope.Caller()) // which may be more than the part that it is placed in
	if err := r.check(ctx, s, home, Restriction{}); err != nil {
		return err
	}
	elsewhere, err := s.UsersElsewhere(ctx, r.Users)
	if err == nil && len(elsewhere) > 0 {
		err = fault.New(fault.OutOfScope, "the user ID %s is taken, outside of your security domain: name users of yours alone, or have somebody of both change whom may be asked about", elsewhere[0])
	}
	return err
}

// check holds what every restriction keeps to. Groups and a domain that before did not name must be there: one that is misspelled
// would shut everybody out. Users may come later.
func (r Restriction) check(ctx context.Context, s restrictionStore, home string, before Restriction) error {
	if len(r.Users) > maxRestrictedUsers || len(r.Groups) > maxRestrictedGroups {
		return fault.New(fault.Invalid, "up to %d users and %d groups can be named: put more users into a group", maxRestrictedUsers, maxRestrictedGroups)
	}
	for _, id := range r.Users {
		if id == "" || len(id) > 128 || !utf8.ValidString(id) {
			return fault.New(fault.Invalid, "the users that may be asked about are named by their IDs")
		}
	}
	for _, name := range r.Groups {
		if slices.Contains(before.Groups, name) {
			continue
		}
		if _, err := s.Group(ctx, name); err != nil {
			return err
		}
	}
	if r.UserDomain == domain.Root || r.UserDomain == before.UserDomain {
		return nil
	}
	if err := s.HasDomain(ctx, r.UserDomain); err != nil || home == domain.Root {
		return err
	}
	if err := s.HasDomain(ctx, home); err != nil {
		return err
	}
	apart, err := s.Apart(ctx, home, r.UserDomain)
	if err == nil && apart {
		err = fault.New(fault.Invalid, "what is in the security domain %s asks about users there and below alone, and none of them are in %s: name a domain there, or have it at the root", home, r.UserDomain)
	}
	return err
}
