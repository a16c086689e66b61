package storetest

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// What agents and RADIUS clients are limited to does not go, so that nobody makes another one of its name; users do, but for the last one.
func limits(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.grown(t)
	north := within(t, r, "north")
	users, groups := &user.Registry{Store: s, Now: now}, &user.Groups{Store: s, Now: now}
	for _, id := range []string{"dave", "erin"} {
		_, err := users.Add(north, user.User{ID: id})
		ok(t, err)
	}
	for _, name := range []string{"vpn", "free"} {
		_, err := groups.Add(north, name, "")
		ok(t, err)
	}
	agent := access.Agent{Name: "VPN1", HMAC: access.HMACOff, Methods: []string{"SECURID"}, CreatedAt: start, Version: 1}
	gate := access.RADIUSClient{Name: "gate", Address: netip.MustParsePrefix("10.0.0.1/32"), CreatedAt: start, Version: 1}
	agent.Restriction = access.Restriction{Users: []string{"dave", "erin"}, Groups: []string{"vpn"}, UserDomain: "island"}
	gate.Restriction = access.Restriction{Users: []string{"erin", "dave"}}
	ok(t, s.AddAgent(ctx, agent))
	ok(t, s.AddRADIUSClient(ctx, gate))
	_, err := r.Put(ctx, "north", map[domain.Kind][]string{domain.RADIUSClients: {"gate"}})
	ok(t, err)
	says := func(err error, code fault.Code, words ...string) {
		t.Helper()
		refused(t, err, code)
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not say %q", err, w)
			}
		}
	}
	says(groups.Delete(ctx, "vpn"), fault.GroupInUse, "agent VPN1", "agent edit VPN1 --allow-group")
	says(groups.Delete(north, "vpn"), fault.GroupInUse, "1 agents and RADIUS clients outside of your security domain")
	if err := groups.Delete(north, "vpn"); strings.Contains(err.Error(), "VPN1") {
		t.Error(err)
	}
	ok(t, groups.Delete(north, "free"))
	says(r.Delete(ctx, "island"), fault.DomainInUse, "agent VPN1", "agent edit VPN1 --allow-domain")
	ok(t, r.Delete(ctx, "south"))

	ok(t, users.Delete(north, "dave"))
	a, err := s.Agent(ctx, "vpn1")
	same(t, must(t, a, err).Restriction, access.Restriction{Users: []string{"erin"}, Groups: []string{"vpn"}, UserDomain: "island"})
	same(t, a.Version, 2)
	g, err := s.RADIUSClient(ctx, "gate")
	same(t, must(t, g, err).Restriction, access.Restriction{Users: []string{"erin"}})
	same(t, g.Version, 2)
	says(users.Delete(north, "erin"), fault.UserInUse, "user erin is the only one", "RADIUS client gate", "radius edit gate --allow-user")
	_, err = s.User(ctx, "erin")
	ok(t, err)
	a, err = s.Agent(ctx, "vpn1")
	same(t, must(t, a, err).Version, 2) // nothing of it was done

	a.Restriction, g.Restriction = access.Restriction{}, access.Restriction{Users: []string{"frank"}, Groups: []string{"other"}}
	ok(t, s.SaveAgent(ctx, a))
	ok(t, s.SaveRADIUSClient(ctx, g))
	ok(t, users.Delete(north, "erin"))
	ok(t, groups.Delete(north, "vpn"))
	ok(t, r.Delete(ctx, "island"))
}

// Who may add users, groups and security domains in one domain makes none of a name that agents of others are limited to: it would be let in there.
func claimedNames(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.grown(t)
	north := within(t, r, "north")
	users, groups := &user.Registry{Store: s, Now: now}, &user.Groups{Store: s, Now: now}
	agent := access.Agent{Name: "vault", HMAC: access.HMACOff, Methods: []string{"SECURID"}, CreatedAt: start, Version: 1}
	agent.Restriction = access.Restriction{Users: []string{"ghost"}, Groups: []string{"admins"}, UserDomain: "gone"}
	ok(t, s.AddAgent(ctx, agent))

	add := func(ctx context.Context) []error {
		_, one := users.Add(ctx, user.User{ID: "ghost"})
		_, two := groups.Add(ctx, "admins", "")
		_, three := r.Add(ctx, "gone", "north", "")
		return []error{one, two, three}
	}
	for _, err := range add(north) {
		refused(t, err, fault.OutOfScope)
		if err != nil && strings.Contains(err.Error(), "vault") {
			t.Error(err)
		}
	}
	// An agent in another part of the tree asks about nobody here, and keeps no ID from those who are.
	agent.Name, agent.Domain, agent.Restriction = "safe", "south", access.Restriction{Users: []string{"ida", "jo"}}
	ok(t, s.AddAgent(ctx, agent))
	_, err := users.Add(north, user.User{ID: "ida"})
	ok(t, err)
	applied, err := users.Apply(north, []user.Entry{{ID: "jo"}}, user.Wish{})
	same(t, must(t, applied, err).Rows[0].Action, user.Added)
	// One above does.
	agent.Name, agent.Domain, agent.Restriction = "gate", "north", access.Restriction{Users: []string{"kim"}}
	ok(t, s.AddAgent(ctx, agent))
	_, err = users.Add(within(t, r, "island"), user.User{ID: "kim"})
	refused(t, err, fault.OutOfScope)
	// In a file the others are added.
	applied, err = users.Apply(north, []user.Entry{{ID: "ghost"}, {ID: "faye"}}, user.Wish{Partial: true})
	ok(t, err)
	if rows := applied.Rows; rows[0].Action != user.Failed || rows[0].Code != fault.OutOfScope || rows[1].Action != user.Added {
		t.Errorf("applied %+v", rows)
	}
	// So are those with other groups, and a dry run says so.
	_, err = groups.Add(within(t, r, "south"), "southerners", "")
	ok(t, err)
	entries := []user.Entry{{ID: "gail", Groups: []string{"admins"}}, {ID: "hal", Groups: []string{"new", "southerners"}}, {ID: "ivy", Groups: []string{"new"}}}
	for _, dry := range []bool{true, false} {
		applied, err := users.Apply(north, entries, user.Wish{Partial: true, AddGroups: true, DryRun: dry})
		ok(t, err)
		rows := applied.Rows
		if rows[0].Code != fault.OutOfScope || rows[1].Code != fault.OutOfScope || rows[2].Action != user.Added || !slices.Equal(applied.Groups, []string{"new"}) {
			t.Errorf("dry %v: applied %+v and groups %v", dry, rows, applied.Groups)
		}
	}
	_, err = users.Apply(north, entries[:1], user.Wish{AddGroups: true})
	refused(t, err, fault.OutOfScope)
	for _, err := range add(ctx) {
		ok(t, err)
	}
	for n, err := range add(north) { // what is there is told as such
		refused(t, err, []fault.Code{fault.UserExists, fault.GroupExists, fault.DomainExists}[n])
	}
}
