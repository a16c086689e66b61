package authentication

import (
	"context"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
)

// A Restriction says whom an agent may ask about. A user beyond it is denied like one with a wrong passcode, and the audit
// record says why.
type Restriction struct {
	access.Restriction
	// Scope is the domain of the restriction with all below it, as far as it lies in that of the agent.
	Scope domain.Scope
}

// Restrict is what the restriction of an agent in a domain says now, nil if it says nothing. What becomes of the domains after that it does not
// see. An agent asks about users of its own domain, and below, whatever else it is limited to: names of users, groups and domains may be
// somebody else's one day, domains are moved, and who administers the agent has its keys, with which he could lock others' users out.
func Restrict(ctx context.Context, r access.Restriction, home string, domains *domain.Registry) (*Restriction, error) {
	var tree domain.Tree
	var err error
	if home != domain.Root || r.UserDomain != domain.Root {
		tree, err = domains.Tree(ctx)
	}
	return RestrictIn(tree, r, home), err
}

// RestrictIn is [Restrict] in a tree of domains that was read before.
func RestrictIn(domains domain.Tree, r access.Restriction, home string) *Restriction {
	if r.None() && home == domain.Root {
		return nil
	}
	return &Restriction{r, domains.Below(home, r.UserDomain)}
}

// admits tells whether a user may be asked about. nil admits everybody.
func (r *Restriction) admits(s *subject) bool {
	return r == nil || r.Scope.Covers(s.Domain) && r.Names(s.UserID, s.Groups)
}

// Nobody tells whether it lets nobody be asked about, since its domain is gone.
func (r *Restriction) Nobody() bool { return r.Scope.Limited() && len(r.Scope.Names()) == 0 }

// byGroup tells whether the groups of a user decide.
func (r *Restriction) byGroup() bool { return r != nil && len(r.Groups) > 0 }
