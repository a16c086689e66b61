package user

import (
	"context"
	"strings"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// Lower is a text with the letters of ASCII in lower case, as both databases have it: others differ by case.
func Lower(text string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, text)
}

// A claim is what a user would be named by, and was not before: at agents that take mail addresses, and at gateways that take IDs in any case of
// letters for one, as Active Directory does.
type claim struct{ id, mail string } // in lower case, "" for none

func claimOf(before, after User) (c claim) {
	if after.ID != before.ID {
		c.id = Lower(after.ID)
	}
	if mail := Lower(after.Mail); mail != Lower(before.Mail) {
		c.mail = mail
	}
	return c
}

// Alike returns, by IDs in lower case (ASCII), whom who acts may see that has one of these IDs in any case of letters. They are users of their own, and
// nobody is refused for them; but who looks names up in any case, as gateways do in a directory, may take one for the other.
func (r *Registry) Alike(ctx context.Context, ids ...string) (map[string][]string, error) {
	folded := make([]string, len(ids))
	for i, id := range ids {
		folded[i] = Lower(id)
	}
	return r.Store.UsersAlike(domain.WithScope(ctx, domain.ScopeFrom(ctx).Caller()), folded)
}

// A neighbourhood is what users have for IDs and addresses whom who acts may not see.
type neighbourhood struct{ mails, ids map[string]bool }

// around is that of some claims. Who may see the whole deployment has none: two of her users may share an address, which then names nobody.
func (r *Registry) around(ctx context.Context, claims []claim) (n neighbourhood, err error) {
	scope := domain.ScopeFrom(ctx).Caller()
	if !scope.Limited() {
		return n, nil
	}
	var all []string
	for _, c := range claims {
		for _, address := range []string{c.id, c.mail} {
			if address != "" {
				all = append(all, address)
			}
		}
	}
	if len(all) > 0 {
		n.mails, n.ids, err = r.Store.AddressesElsewhere(domain.WithScope(ctx, scope), all)
	}
	return n, err
}

// refuses is the refusal for a user who would be named by what somebody elsewhere is named by: either could sign in no more under that name, or be
// taken for the other one.
func (n neighbourhood) refuses(c claim, u User) error {
	switch {
	case n.ids[c.id]:
		return fault.New(fault.UserExists, "the user ID %s is taken, outside of your security domain, in this or another case of letters: take another one", u.ID)
	case c.id != "" && n.mails[c.id]:
		return fault.New(fault.OutOfScope, "the user ID %s is taken, outside of your security domain, as a mail address: take another one", u.ID)
	case c.mail != "" && (n.mails[c.mail] || n.ids[c.mail]):
		return fault.New(fault.OutOfScope, "the mail address %s is taken, outside of your security domain: user %s takes another one, or none", u.Mail, u.ID)
	}
	return nil
}

// apart refuses a user who would be named by what somebody outside of the scope of who acts is named by.
func (r *Registry) apart(ctx context.Context, before, after User) error {
	c := claimOf(before, after)
	n, err := r.around(ctx, []claim{c})
	if err != nil {
		return err
	}
	return n.refuses(c, after)
}
