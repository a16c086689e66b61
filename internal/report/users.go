package report

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/user"
)

// A holder is a user with her tokens.
type holder struct {
	user.User
	serials []string
	locked  bool
	fixed   time.Time // when her fixed passcode was set, zero for none
	mailed  bool      // she has a PIN for codes on demand
}

var holderFields = []field[holder]{
	{"user", "User", Text, func(h holder) any { return h.ID }},
	{"name", "Name", Text, func(h holder) any { return h.Name }},
	{"mail", "Mail", Text, func(h holder) any { return h.Mail }},
	{"domain", "Domain", Text, func(h holder) any { return domain.Show(h.Domain) }},
	{"enabled", "Enabled", YesNo, func(h holder) any { return h.Enabled }},
	{"expiry", "Last day", Day, func(h holder) any { return h.Expiry }},
	{"locked", "Locked", YesNo, func(h holder) any { return h.locked }},
	{"fixed_passcode", "Fixed passcode of", Moment, func(h holder) any { return h.fixed }},
	{"on_demand", "Codes on demand", YesNo, func(h holder) any { return h.mailed }},
	{"tokens", "Tokens", Number, func(h holder) any { return int64(len(h.serials)) }},
	{"serials", "Serials", Text, func(h holder) any { return strings.Join(h.serials, " ") }},
	{"created", "Created", Moment, func(h holder) any { return h.CreatedAt }},
}

func userTemplates() []*Template {
	return []*Template{made(Template{Name: "users", Title: "Users and their tokens", About: "Users with the tokens that they hold; with the filter with_token, those who hold some or none.",
		Filters: []Filter{
			{Name: "with_token", About: "holds a token", Kind: YesNo},
			{Name: "enabled", About: "may sign in: is enabled, and the last day is not over", Kind: YesNo},
			{Name: "locked", About: "locked by wrong passcodes", Kind: YesNo},
			{Name: "fixed_passcode", About: "has a fixed passcode, whether or not the policy takes it", Kind: YesNo},
			{Name: "on_demand", About: "has a PIN for codes on demand", Kind: YesNo},
			domainFilter,
			{Name: "query", About: "part of user ID, name or mail", Kind: Text},
		},
		Orders: []string{"user"}, Parts: true,
		Charts: []Chart{{Title: "Users by number of tokens", Column: "tokens", By: ByValue}}},
		holderFields, "user name mail enabled tokens serials", holders)}
}

// holders reads users.
func holders(ctx context.Context, p *Plan) iter.Seq2[holder, error] {
	return func(yield func(holder, error) bool) {
		for f := (user.Filter{Query: p.text("query"), Limit: page}); ; {
			all, err := p.registry.holding(ctx, p, f)
			if err != nil {
				yield(holder{}, err)
				return
			}
			for _, h := range all {
				is := func(flag string, value bool) bool { want := p.flag(flag); return want == nil || *want == value }
				if is("with_token", len(h.serials) > 0) && is("enabled", h.MayAuthenticate(p.At)) && is("locked", h.locked) && is("fixed_passcode", !h.fixed.IsZero()) && is("on_demand", h.mailed) && !yield(h, nil) {
					return
				}
			}
			if len(all) < f.Limit {
				return
			}
			f.After = all[len(all)-1].ID
		}
	}
}

// holding is a page of users.
func (r *Registry) holding(ctx context.Context, p *Plan, f user.Filter) ([]holder, error) {
	users, err := r.Store.Users(ctx, f)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = u.ID
	}
	serials, err := r.Store.SerialsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	guards, err := r.Store.Guards(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]holder, len(users))
	for i, u := range users {
		guard := guards[u.ID]
		all[i] = holder{User: u, serials: serials[u.ID], locked: guard.Own.Locked(p.policies.Of(u.Domain).Lockout, p.At), mailed: guard.OnDemand != nil}
		if guard.Fixed != nil {
			all[i].fixed = guard.FixedAt
		}
	}
	return all, nil
}
