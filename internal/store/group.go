package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

const groupColumns columns = "name, note, created_at, version, search, domain"

// groupSelect reads groups, with how many of their members are in the scope of ctx, after n arguments; and more of them.
func (db *DB) groupSelect(ctx context.Context, n int) (query string, args []any) {
	within, args := db.ofScope(ctx, "user_id", domain.Users, n)
	return "SELECT name, note, created_at, version, domain, (SELECT COUNT(*) FROM group_member WHERE group_name = name" + within + ") FROM user_group", args
}

func scanGroup(r row) (g user.Group, err error) {
	err = r.Scan(&g.Name, &g.Note, moment(&g.CreatedAt), &g.Version, &g.Domain, &g.Members)
	return g, err
}

func noGroup(name string) *fault.Error {
	return fault.New(fault.GroupNotFound, "there is no group %q", name)
}

// Group returns a group; [fault.GroupNotFound]. Within a transaction the row is locked for change.
func (db *DB) Group(ctx context.Context, name string) (user.Group, error) {
	query, args := db.groupSelect(ctx, 1)
	g, err := one(ctx, db, noGroup(name), scanGroup, query+" WHERE name = $1"+db.locked(ctx), append([]any{name}, args...)...)
	return seen(ctx, g, g.Domain, err, noGroup(name), "group", name)
}

// Groups lists groups by name. A user who is not in the scope of ctx is in none.
func (db *DB) Groups(ctx context.Context, f user.GroupFilter) ([]user.Group, error) {
	var c conditions
	query, args := db.groupSelect(ctx, 0)
	c.args = args
	c.containing(f.Query)
	if f.UserID != "" {
		within, args := db.ofScope(ctx, "user_id", domain.Users, len(c.args)+1)
		c.and("name IN (SELECT group_name FROM group_member WHERE user_id = $%d"+within+")", f.UserID)
		c.args = append(c.args, args...)
	}
	c.text("name > $%d", f.After)
	db.within(ctx, &c)
	return list(ctx, db, scanGroup, query+c.clause("name", f.Limit), c.args...)
}

// AddGroup stores a new group without members; [fault.GroupExists].
func (db *DB) AddGroup(ctx context.Context, g user.Group) error {
	taken := fault.New(fault.GroupExists, "there is a group %q already", g.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, g.Domain)
		if err != nil {
			return err
		}
		err = db.change(ctx, taken, groupColumns.insert("user_group"), g.Name, g.Note, micros(g.CreatedAt), g.Version, searchText(g.Name, g.Note), at)
		if err != nil {
			return err
		}
		return db.unclaimed(ctx, "group", []string{g.Name}, allowedGroups)
	})
}

// SaveGroup stores a changed note of a group whose Version is still g.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveGroup(ctx context.Context, g user.Group) error {
	stale := fault.New(fault.Conflict, "group %s was changed meanwhile: read it again", g.Name)
	return db.change(ctx, stale, "UPDATE user_group SET note = $1, search = $2, version = version + 1 WHERE name = $3 AND version = $4",
		g.Note, searchText(g.Name, g.Note), g.Name, g.Version)
}

// DeleteGroup removes a group, and not its members; [fault.GroupNotFound], or [fault.GroupInUse] while an agent or RADIUS client is limited to it.
func (db *DB) DeleteGroup(ctx context.Context, name string) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.change(ctx, noGroup(name), "DELETE FROM user_group WHERE name = $1", name); err != nil {
			return err
		}
		// Whoever limits something to it has its row locked, or finds that it is gone.
		all, err := db.limitedBy(ctx, "", func(r access.Restriction) bool { return slices.Contains(r.Groups, name) })
		if err != nil {
			return err
		}
		return released(ctx, fault.GroupInUse, fmt.Sprintf("group %s is among those", name), "--allow-group", all)
	})
}

// MemberIDs lists the members of a group by ID, at most limit; [fault.GroupNotFound].
func (db *DB) MemberIDs(ctx context.Context, group string, limit int) ([]string, error) {
	if _, err := db.Group(ctx, group); err != nil {
		return nil, err
	}
	within, args := db.andInScope(ctx, 2)
	if within != "" {
		within = " AND user_id IN (SELECT id FROM user_account WHERE" + within[len(" AND"):] + ")"
	}
	return list(ctx, db, text, "SELECT user_id FROM group_member WHERE group_name = $1"+within+" ORDER BY user_id LIMIT $2", append([]any{group, limit}, args...)...)
}

// AddMembers adds users to a group and returns how many were not in it; the group and the users must exist.
func (db *DB) AddMembers(ctx context.Context, group string, userIDs []string) (int, error) {
	return db.members(ctx, "INSERT INTO group_member (group_name, user_id) SELECT CAST($1 AS TEXT), id FROM user_account WHERE id", " ON CONFLICT DO NOTHING", group, userIDs)
}

// RemoveMembers takes users from a group and returns how many were in it.
func (db *DB) RemoveMembers(ctx context.Context, group string, userIDs []string) (int, error) {
	return db.members(ctx, "DELETE FROM group_member WHERE group_name = $1 AND user_id", "", group, userIDs)
}

func (db *DB) members(ctx context.Context, statement, after, group string, userIDs []string) (int, error) {
	return db.touched(ctx, statement, after, []any{group}, userIDs)
}

// touched runs a statement that ends in a condition on keys, and after, for some of the keys at a time, and tells how many rows it
// touched; args come before the keys.
func (db *DB) touched(ctx context.Context, statement, after string, args []any, keys []string) (int, error) {
	n := 0
	keys = slices.Sorted(slices.Values(possible(keys)))
	err := db.Transact(ctx, func(ctx context.Context) error {
		n = 0
		for some := range slices.Chunk(keys, lookChunk) {
			among, more := db.among(len(args)+1, anys(some))
			done, err := db.exec(ctx, statement+" "+among+after, append(slices.Clone(args), more...)...)
			if err != nil {
				return err
			}
			n += done
		}
		return nil
	})
	return n, err
}

// Memberships lists the groups of users, by their IDs.
func (db *DB) Memberships(ctx context.Context, userIDs []string) (map[string][]string, error) {
	type membership struct{ group, user string }
	scan := func(r row) (m membership, err error) {
		err = r.Scan(&m.group, &m.user)
		return m, err
	}
	of := map[string][]string{}
	err := eachChunk(ctx, db, scan, "SELECT group_name, user_id FROM group_member WHERE user_id", userIDs, "ORDER BY user_id, group_name",
		func(m membership) { of[m.user] = append(of[m.user], m.group) })
	return of, err
}
