package api

import (
	"context"
	"net/http"

	"github.com/tallystick/tallystick/client"
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

func userOf(u user.User) client.User {
	return client.User{UserID: u.ID, Name: u.Name, Mail: u.Mail, Enabled: u.Enabled, CreatedAt: u.CreatedAt, Version: u.Version}
}

func (a *API) addUser(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.NewUser](r)
	if err != nil {
		return answer{}, err
	}
	u, err := a.Users.Add(ctx, in.UserID, in.Name, in.Mail)
	if err != nil {
		return answer{}, err
	}
	return created(at("users", u.ID), u.Version, userOf(u))
}

func (a *API) listUsers(ctx context.Context, r *request) (answer, error) {
	f := user.Filter{Query: r.query("query"), After: r.query("after"), Limit: r.limit() + 1}
	users, err := a.Users.List(ctx, f)
	if err != nil {
		return answer{}, err
	}
	users, next := page(users, r.limit(), func(u user.User) string { return u.ID })
	return ok(client.UserPage{Users: mapped(users, userOf), Next: next})
}

func (a *API) showUser(ctx context.Context, r *request) (answer, error) {
	u, err := a.Users.Get(ctx, r.PathValue("user_id"))
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, u.Version, userOf(u))
}

func (a *API) editUser(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.UserEdit](r)
	if err != nil {
		return answer{}, err
	}
	u, err := a.Users.Edit(ctx, r.PathValue("user_id"), r.version, func(u *user.User) {
		set(&u.Name, in.Name)
		set(&u.Mail, in.Mail)
		set(&u.Enabled, in.Enabled)
	})
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, u.Version, userOf(u))
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
