package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A limited is an agent or a RADIUS client with whom it may ask about.
type limited struct {
	by               doorkeeper
	id, name, domain string
	only             access.Restriction
}

// A doorkeeper is a kind of what asks about users.
type doorkeeper struct{ table, id, object, kind, command string }

var doorkeepers = []doorkeeper{{"agent", "id", "agent", "agent", "agent edit"}, {"radius_client", "name", "radius_client", "RADIUS client", "radius edit"}}

// limitedBy returns the agents and RADIUS clients, whatever the scope of ctx, whose restriction is one of those that are asked for.
func (db *DB) limitedBy(ctx context.Context, lock string, is func(access.Restriction) bool) (all []limited, err error) {
	for _, by := range doorkeepers {
		scan := func(r row) (l limited, err error) {
			var restriction string
			if err = r.Scan(&l.id, &l.name, &l.domain, &restriction); err != nil {
				return l, err
			}
			l.by = by
			err = json.Unmarshal([]byte(restriction), &l.only)
			return l, err
		}
		some, err := list(ctx, db, scan, "SELECT "+by.id+", name, domain, restriction FROM "+by.table+" WHERE restriction <> '{}' ORDER BY "+by.id+lock)
		if err != nil {
			return nil, err
		}
		all = append(all, slices.DeleteFunc(some, func(l limited) bool { return !is(l.only) })...)
	}
	return all, nil
}

// released refuses with a code, where there are any, that something goes which limits agents or RADIUS clients: whoever makes another one of its
// name would have a say in whom they let in. what says what it is, and flag is that which names others.
func released(ctx context.Context, code fault.Code, what, flag string, all []limited) error {
	if len(all) == 0 {
		return nil
	}
	const most = 5
	scope := domain.ScopeFrom(ctx)
	seen := slices.DeleteFunc(slices.Clone(all), func(l limited) bool { return !scope.Covers(l.domain) })
	var names []string
	for _, l := range seen[:min(len(seen), most)] {
		names = append(names, l.by.kind+" "+l.name)
	}
	if n := len(seen) - most; n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	next := "have an administrator of all security domains name others for them first"
	if n := len(all) - len(seen); n > 0 {
		names = append(names, fmt.Sprintf("%d agents and RADIUS clients outside of your security domain", n))
	} else {
		next = fmt.Sprintf("name others for them first, with '%s %s %s', or delete them", seen[0].by.command, seen[0].name, flag)
	}
	return fault.New(code, "%s whom %s may ask about: %s", what, strings.Join(names, ", "), next)
}

// unclaimed refuses names of new groups or security domains that agents or RADIUS clients outside of the scope of who acts are limited to:
// whoever may add them in one domain would have a say in whom those of others let in. Such a name may have been another's before.
func (db *DB) unclaimed(ctx context.Context, what string, names []string, of func(access.Restriction) []string) error {
	claimed, err := db.claimed(ctx, names, of, func(limited) bool { return true })
	if err != nil {
		return err
	}
	return claimedName(what, claimed)
}

// claimedName is the refusal of names that are claimed, nil for none.
func claimedName(what string, claimed map[string]bool) error {
	if len(claimed) == 0 {
		return nil
	}
	return fault.New(fault.OutOfScope, "agents outside of your security domain ask about a %s of the name %s: take another one, or have an administrator of all security domains add it",
		what, slices.Min(slices.Collect(maps.Keys(claimed))))
}

// UsersClaimed returns those of IDs of new users in a security domain that agents or RADIUS clients outside of the scope of who acts are limited to, and that
// ask about users there: what is in another part of the tree lets none of them in, and could otherwise keep IDs from everybody.
func (db *DB) UsersClaimed(ctx context.Context, place string, ids []string) (map[string]bool, error) {
	var above []string
	if domain.ScopeFrom(ctx).Caller().Limited() {
		all, err := db.DomainsAbove(ctx, []string{place})
		if err != nil {
			return nil, err
		}
		above = all[place]
	}
	return db.claimed(ctx, ids, allowedUsers, func(l limited) bool { return slices.Contains(above, l.domain) })
}

// GroupsClaimed returns those of names of groups that the same are limited to.
func (db *DB) GroupsClaimed(ctx context.Context, names []string) (map[string]bool, error) {
	return db.claimed(ctx, names, allowedGroups, func(limited) bool { return true })
}

func allowedUsers(r access.Restriction) []string { return r.Users }

func allowedGroups(r access.Restriction) []string { return r.Groups }

// claimed returns those of names that are claimed by one that counts.
func (db *DB) claimed(ctx context.Context, names []string, of func(access.Restriction) []string, counts func(limited) bool) (map[string]bool, error) {
	scope, claimed := domain.ScopeFrom(ctx).Caller(), map[string]bool{}
	if !scope.Limited() {
		return claimed, nil
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	all, err := db.limitedBy(ctx, "", func(r access.Restriction) bool {
		return slices.ContainsFunc(of(r), func(name string) bool { return wanted[name] })
	})
	for _, l := range all {
		if !counts(l) {
			continue
		}
		for _, name := range of(l.only) {
			if wanted[name] && !scope.Covers(l.domain) {
				claimed[name] = true
			}
		}
	}
	return claimed, err
}

// ForgetUser takes a user who is to be deleted, by her ID, out of what agents and RADIUS clients are limited to, and returns which these are, as the
// objects of events. [fault.UserInUse] where one would be limited to nobody then, which is as good as to everybody.
func (db *DB) ForgetUser(ctx context.Context, id string) (from []string, err error) {
	names := func(r access.Restriction) bool { return slices.Contains(r.Users, id) }
	err = db.Transact(ctx, func(ctx context.Context) error {
		from = nil
		all, err := db.limitedBy(ctx, "", names)
		if err != nil || len(all) == 0 {
			return err
		}
		if all, err = db.limitedBy(ctx, db.locked(ctx), names); err != nil {
			return err
		}
		var last []limited
		for i := range all {
			only := &all[i].only
			only.Users = slices.DeleteFunc(only.Users, func(u string) bool { return u == id })
			if len(only.Users) == 0 && len(only.Groups) == 0 {
				last = append(last, all[i])
			}
		}
		if err := released(ctx, fault.UserInUse, fmt.Sprintf("user %s is the only one", id), "--allow-user", last); err != nil {
			return err
		}
		for _, l := range all {
			restriction, err := json.Marshal(l.only)
			if err != nil {
				return err
			}
			if _, err := db.exec(ctx, "UPDATE "+l.by.table+" SET restriction = $1, version = version + 1 WHERE "+l.by.id+" = $2", string(restriction), l.id); err != nil {
				return err
			}
			from = append(from, l.by.object+":"+l.name)
		}
		return nil
	})
	return from, err
}
