package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/user"
)

func groupOf(g user.Group) client.Group {
	return client.Group{Group: g.Name, Note: g.Note, Members: g.Members, Domain: domain.Show(g.Domain), CreatedAt: g.CreatedAt, Version: g.Version}
}

func (a *API) addGroup(ctx context.Context, _ *request, in client.NewGroup) (answer, error) {
	ctx, err := a.into(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	g, err := a.Groups.Add(ctx, in.Group, in.Note)
	if err != nil {
		return answer{}, err
	}
	return created(at("groups", g.Name), g.Version, groupOf(g))
}

func (a *API) listGroups(ctx context.Context, r *request) (answer, error) {
	if id := r.query("user_id"); id != "" { // of somebody elsewhere the groups here would tell that she is there
		if _, err := a.Users.Get(ctx, id); err != nil {
			return answer{}, err
		}
	}
	ctx, err := a.into(ctx, r.query("domain"))
	if err != nil {
		return answer{}, err
	}
	groups, err := a.Groups.List(ctx, user.GroupFilter{Query: r.query("query"), UserID: r.query("user_id"), After: r.query("after"), Limit: r.limit() + 1})
	if err != nil {
		return answer{}, err
	}
	groups, next := page(groups, r.limit(), func(g user.Group) string { return g.Name })
	return ok(client.GroupPage{Groups: mapped(groups, groupOf), Next: next})
}

func (a *API) showGroup(ctx context.Context, r *request) (answer, error) {
	return shownGroup(a.Groups.Get(ctx, r.PathValue("group")))
}

func shownGroup(g user.Group, err error) (answer, error) {
	return record(g, g.Version, groupOf, err)
}

func (a *API) editGroup(ctx context.Context, r *request, in client.GroupEdit) (answer, error) {
	return shownGroup(a.Groups.Edit(ctx, r.PathValue("group"), r.version, func(g *user.Group) { set(&g.Note, in.Note) }))
}

func (a *API) deleteGroup(ctx context.Context, r *request) (answer, error) {
	return done(a.Groups.Delete(ctx, r.PathValue("group")))
}

// changeMembers adds members and takes others out. Members are listed as users of the group are.
func (a *API) changeMembers(ctx context.Context, r *request, in client.MemberChange) (answer, error) {
	added, removed, err := a.Groups.Change(ctx, r.PathValue("group"), in.Add, in.Remove)
	if err != nil {
		return answer{}, err
	}
	return ok(client.MembersChanged{Added: added, Removed: removed})
}
