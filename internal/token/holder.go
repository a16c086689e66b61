package token

import (
	"context"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// Homes tells where users are: a store does.
type Homes interface {
	// UserDomains returns the security domains of users by their IDs, whatever the scope of ctx; those who are not there, or at the root, are left out. It locks nothing.
	UserDomains(ctx context.Context, userIDs []string) (map[string]string, error)
}

// HeldOutside returns the refusals, by serial, of those of tokens that lie in the scope of ctx and whose users do not: [fault.OutOfScope].
// Whatever acts on a token as its user's credential (her PIN, a new seed, codes in its place, another token) asks it, for who may do that can
// sign in as her. Taking a token back from her, and whether it is enabled, is up to its own domain.
func HeldOutside(ctx context.Context, homes Homes, tokens ...Token) (map[string]error, error) {
	scope := domain.ScopeFrom(ctx)
	if !scope.Limited() {
		return nil, nil
	}
	var ids []string
	for i := range tokens {
		if id := tokens[i].UserID; id != "" {
			ids = append(ids, id)
		}
	}
	at, err := homes.UserDomains(ctx, ids)
	refusals := map[string]error{}
	for i := range tokens {
		if t := &tokens[i]; t.UserID != "" && !scope.Covers(at[t.UserID]) {
			refusals[t.Serial] = fault.New(fault.OutOfScope, "the user of token %s is not in your security domain: unassign the token, or ask an administrator of both", t.Serial)
		}
	}
	return refusals, err
}

// CheckHolder is [HeldOutside] for one token.
func CheckHolder(ctx context.Context, homes Homes, t Token) error {
	refusals, err := HeldOutside(ctx, homes, t)
	if err != nil {
		return err
	}
	return refusals[t.Serial]
}
