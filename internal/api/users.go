package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/user"
)

// pageSize is how many records a page holds unless the caller says otherwise.
const pageSize = 100

// limit is how many records the caller wants at most.
func (r *request) limit() int { return int(r.number("limit", pageSize)) }

// page cuts a list that was asked for with one record more than the page holds, and names the last one if there is more.
func page[T any](all []T, limit int, name func(T) string) (part []T, next string) {
	if len(all) <= limit {
		return all, ""
	}
	return all[:limit], name(all[limit-1])
}

// mapped converts each of a list, which is never nil, so that JSON shows [] and not null.
func mapped[A, B any](all []A, convert func(A) B) []B {
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = convert(a)
	}
	return out
}

// usersOf shows users as they are now.
func (a *API) usersOf(ctx context.Context, users ...user.User) ([]client.User, error) {
	policies, err := a.Policies.Current(ctx)
	if err != nil {
		return nil, err
	}
	guards, err := a.Store.Guards(ctx, mapped(users, func(u user.User) string { return u.ID }))
	if err != nil {
		return nil, err
	}
	now := a.Now()
	out := make([]client.User, len(users))
	for i, u := range users {
		g, p := guards[u.ID], policies.Of(u.Domain)
		out[i] = client.User{
			UserID: u.ID, Name: u.Name, Mail: u.Mail, Enabled: u.Enabled, Expiry: date(u.Expiry), Expired: u.ExpiredAt(now), CreatedAt: u.CreatedAt, Version: u.Version, Domain: domain.Show(u.Domain),
			Lockout:     client.Lockout{Failures: failuresOf(g.Own, p.Lockout, now), UnknownSources: failuresOf(g.Strange, p.Lockout, now)},
			TokenPolicy: whose(ctx, p.Token.Domain), LockoutPolicy: whose(ctx, p.Lockout.Domain),
		}
		if g.Fixed != nil {
			out[i].FixedPasscodeSetAt = moment(g.FixedAt)
		}
		out[i].OnDemand = onDemandOf(&g, now)
	}
	return out, nil
}

// onDemandOf shows what a user has of codes by mail, nil for nothing.
func onDemandOf(g *authentication.Guard, now time.Time) *client.OnDemand {
	p, c := g.OnDemand, g.OnDemandCode
	if p == nil {
		return nil
	}
	out := &client.OnDemand{PINSetAt: p.SetAt, MustChange: p.MustChange}
	if c != nil && len(c.Sent) > 0 {
		out.SentAt = moment(time.Unix(c.Sent[len(c.Sent)-1], 0).UTC())
	}
	if c.Usable(now) {
		out.CodeUntil = moment(c.Until)
	}
	return out
}

// failuresOf shows what of the failures counts at now.
func failuresOf(f authentication.Failures, p policy.Lockout, now time.Time) client.Failures {
	f = f.At(p, now)
	out := client.Failures{Locked: f.Locked(p, now), Count: f.Count, Since: moment(f.Since), LockedAt: moment(f.LockedAt)}
	if out.Locked && p.UnlockAfter > 0 {
		out.UnlocksAt = moment(f.LockedAt.Add(p.UnlockAfter))
	}
	return out
}

// shownUser answers with a user whom a change returned.
func (a *API) shownUser(ctx context.Context, u user.User, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	shown, err := a.usersOf(ctx, u)
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, u.Version, shown[0])
}

func (a *API) addUser(ctx context.Context, _ *request, in client.NewUser) (answer, error) {
	ctx, err := a.into(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	expiry, err := dayOf(in.Expiry)
	if err != nil {
		return answer{}, err
	}
	u, err := a.Users.Add(ctx, user.User{ID: in.UserID, Name: in.Name, Mail: in.Mail, Expiry: expiry})
	if err != nil {
		return answer{}, err
	}
	shown, err := a.usersOf(ctx, u)
	if err != nil {
		return answer{}, err
	}
	alike, err := a.Users.Alike(ctx, u.ID)
	if err != nil {
		return answer{}, err
	}
	for _, other := range alike[user.Lower(u.ID)] {
		if other != u.ID {
			shown[0].Alike = other
		}
	}
	return created(at("users", u.ID), u.Version, shown[0])
}

func (a *API) listUsers(ctx context.Context, r *request) (answer, error) {
	f := user.Filter{Query: r.query("query"), Group: r.query("group"), After: r.query("after"), Limit: r.limit() + 1}
	if f.Group != "" { // a name that is written wrong has no members either
		if _, err := a.Groups.Get(ctx, f.Group); err != nil {
			return answer{}, err
		}
	}
	ctx, err := a.into(ctx, r.query("domain"))
	if err != nil {
		return answer{}, err
	}
	users, err := a.Users.List(ctx, f)
	if err != nil {
		return answer{}, err
	}
	users, next := page(users, r.limit(), func(u user.User) string { return u.ID })
	shown, err := a.usersOf(ctx, users...)
	if err != nil {
		return answer{}, err
	}
	return ok(client.UserPage{Users: shown, Next: next})
}

func (a *API) showUser(ctx context.Context, r *request) (answer, error) {
	u, err := a.Users.Get(ctx, r.PathValue("user_id"))
	return a.shownUser(ctx, u, err)
}

func (a *API) editUser(ctx context.Context, r *request, in client.UserEdit) (answer, error) {
	var expiry *time.Time
	if in.Expiry != nil {
		last, err := dayOf(*in.Expiry)
		if err != nil {
			return answer{}, err
		}
		expiry = &last
	}
	u, err := a.Users.Edit(ctx, r.PathValue("user_id"), r.version, user.Entry{Name: in.Name, Mail: in.Mail, Enabled: in.Enabled, Expiry: expiry})
	return a.shownUser(ctx, u, err)
}

// set takes over a member that the caller has given.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

func (a *API) deleteUser(ctx context.Context, r *request) (answer, error) {
	return done(a.Users.Delete(ctx, r.PathValue("user_id")))
}

func (a *API) unlockUser(ctx context.Context, r *request) (answer, error) {
	return done(a.Authenticator.Unlock(ctx, r.PathValue("user_id")))
}

func (a *API) setFixedPasscode(ctx context.Context, r *request, in client.FixedPasscode) (answer, error) {
	return done(a.Authenticator.SetFixedPasscode(ctx, r.PathValue("user_id"), string(in.Passcode)))
}

func (a *API) clearFixedPasscode(ctx context.Context, r *request) (answer, error) {
	return done(a.Authenticator.ClearFixedPasscode(ctx, r.PathValue("user_id")))
}

func (a *API) setOnDemand(ctx context.Context, r *request, in client.PIN) (answer, error) {
	return done(a.Authenticator.SetOnDemand(ctx, r.PathValue("user_id"), string(in.PIN), in.Temporary))
}

func (a *API) clearOnDemand(ctx context.Context, r *request) (answer, error) {
	return done(a.Authenticator.ClearOnDemand(ctx, r.PathValue("user_id")))
}
