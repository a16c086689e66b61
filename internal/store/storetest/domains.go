package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// domains keeps those of the store, at the time of the tests.
func (s fixture) domains() *domain.Registry {
	return &domain.Registry{Store: s, Now: func() time.Time { return start }}
}

// grown makes the tree root > north > island, root > south.
func (s fixture) grown(t *testing.T) *domain.Registry {
	r := s.domains()
	for _, d := range [][2]string{{"north", ""}, {"south", ""}, {"island", "north"}} {
		_, err := r.Add(t.Context(), d[0], d[1], "")
		ok(t, err)
	}
	return r
}

// within is a context that is limited to a domain.
func within(t *testing.T, r *domain.Registry, top string) context.Context {
	s, err := r.Scope(t.Context(), top)
	return domain.WithScope(t.Context(), must(t, s, err))
}

func domainTree(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.grown(t)
	_, err := r.Add(ctx, "island", "", "")
	refused(t, err, fault.DomainExists)
	_, err = r.Add(ctx, "x", "nowhere", "")
	refused(t, err, fault.DomainNotFound)
	scope, err := r.Scope(ctx, "north")
	same(t, must(t, scope, err).Names(), []string{"island", "north"})
	_, err = r.Scope(ctx, "nowhere")
	refused(t, err, fault.DomainNotFound)
	move := func(to string) func(*domain.Domain) { return func(d *domain.Domain) { d.Parent = to } }
	_, err = r.Edit(ctx, "north", 0, move("island"))
	refused(t, err, fault.DomainInvalid)
	_, err = r.Edit(ctx, "north", 0, move("north"))
	refused(t, err, fault.DomainInvalid)
	moved, err := r.Edit(ctx, "island", 1, move("south"))
	same(t, must(t, moved, err), domain.Domain{Name: "island", Parent: "south", CreatedAt: start, Version: 2})
	_, err = r.Edit(ctx, "island", 1, move("north"))
	refused(t, err, fault.Conflict)
	refused(t, r.Delete(ctx, "south"), fault.DomainInUse)
	into, err := r.Narrow(ctx, "north")
	ok(t, err)
	limited := within(t, r, "north")
	ok(t, r.Delete(ctx, "north"))
	refused(t, r.Delete(ctx, "north"), fault.DomainNotFound)
	// Who is adding to it meanwhile is told the same.
	refused(t, s.AddUser(into, user.User{ID: "x", CreatedAt: start, Version: 1}), fault.DomainNotFound)
	refused(t, s.AddUser(limited, user.User{ID: "x", CreatedAt: start, Version: 1}), fault.OutOfScope)
	all, err := r.List(within(t, r, "south"))
	same(t, len(must(t, all, err)), 2)
	refused(t, r.Delete(within(t, r, "south"), "south"), fault.OutOfScope)
}

func scopes(t *testing.T, s fixture) {
	r := s.grown(t)
	north, south := within(t, r, "north"), within(t, r, "south")
	places := map[string]context.Context{"north": north, "south": south, "island": within(t, r, "island"), "": t.Context()}
	n := 0
	for at, ctx := range places {
		ok(t, s.AddUser(ctx, user.User{ID: "u" + at, Enabled: true, CreatedAt: start, Version: 1}))
		ok(t, s.AddGroup(ctx, user.Group{Name: "g" + at, CreatedAt: start, Version: 1}))
		ok(t, s.AddAgent(ctx, access.Agent{Name: "a" + at, HMAC: access.HMACOff, CreatedAt: start, Version: 1}))
		ok(t, s.AddAPIKey(ctx, access.Key{ID: "k" + at, Name: "k" + at, Role: access.HelpDesk, Hash: []byte{1}, CreatedAt: start}))
		ok(t, s.AddRADIUSClient(ctx, access.RADIUSClient{Name: "r" + at, Address: netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/32", n)), CreatedAt: start, Version: 1}))
		free := made(n)
		free.EffectiveExpiry = day(100 - n)
		ok(t, s.AddToken(ctx, free))
		n++
	}
	of := map[string]string{} // serials by domain
	all, err := s.Tokens(t.Context(), token.Filter{})
	for _, tok := range must(t, all, err) {
		of[tok.Domain] = tok.Serial
	}
	for at, sees := range map[string][]string{"north": {"island", "north"}, "south": {"south"}, "island": {"island"}, "": {"", "island", "north", "south"}} {
		ctx := places[at]
		users, err := s.Users(ctx, user.Filter{})
		groups, err2 := s.Groups(ctx, user.GroupFilter{})
		agents, err3 := s.Agents(ctx)
		keys, err4 := s.APIKeys(ctx)
		clients, err5 := s.RADIUSClients(ctx)
		tokens, err6 := s.Tokens(ctx, token.Filter{})
		ok(t, errors.Join(err, err2, err3, err4, err5, err6))
		free, err := s.Free(ctx, []string{"", "north", "south", "island"}, token.Candidate{EffectiveExpiry: day(0)}, 9)
		same(t, len(must(t, free, err)), len(sees))
		var got [6]string
		want := ""
		for i, d := range sees {
			want += d + " "
			got[0] += users[i].Domain + " "
			got[1] += groups[i].Domain + " "
			got[2] += agents[i].Domain + " "
			got[3] += keys[i].Domain + " "
			got[4] += clients[i].Domain + " "
		}
		for _, g := range got[:5] {
			same(t, g, want)
		}
		same(t, len(tokens), len(sees))
		for other := range places {
			covered := domain.ScopeFrom(ctx).Covers(other)
			_, err := s.User(ctx, "u"+other)
			_, err2 := s.Token(ctx, of[other])
			_, err3 := s.Group(ctx, "g"+other)
			_, err4 := s.Agent(ctx, "a"+other)
			_, err5 := s.RADIUSClient(ctx, "r"+other)
			for i, err := range []error{err, err2, err3, err4, err5} {
				if covered != (err == nil) || !covered && !errors.Is(err, fault.OutOfScope) {
					t.Errorf("%d of %q seen from %q: %v", i, other, at, err)
				}
			}
			found, err := s.LockTokens(ctx, []string{of[other]})
			same(t, len(must(t, found, err)) == 1, covered)
		}
		_, err = s.User(ctx, "nobody")
		if domain.ScopeFrom(ctx).Limited() {
			refused(t, err, fault.OutOfScope)
		} else {
			refused(t, err, fault.UserNotFound)
		}
	}
	// A group with members from everywhere shows each those who are hers.
	_, err = s.AddMembers(t.Context(), "gnorth", []string{"unorth", "uisland", "usouth", "u"})
	ok(t, err)
	for at, members := range map[string]int{"north": 2, "": 4} {
		g, err := s.Group(places[at], "gnorth")
		same(t, must(t, g, err).Members, members)
		all, err := s.Groups(places[at], user.GroupFilter{Query: "GNORTH", UserID: "uisland", After: "g"})
		same(t, len(must(t, all, err)), 1)
		same(t, all[0].Members, members)
		all, err = s.Groups(places[at], user.GroupFilter{UserID: "usouth"})
		same(t, len(must(t, all, err)), members/4)
	}
	below, err := s.Tokens(t.Context(), token.Filter{Domain: "north"})
	same(t, len(must(t, below, err)), 2)
	refused(t, s.AddUser(north, user.User{ID: "x", Domain: "south", CreatedAt: start, Version: 1}), fault.OutOfScope)
	refused(t, s.AddUser(t.Context(), user.User{ID: "x", Domain: "nowhere", CreatedAt: start, Version: 1}), fault.DomainNotFound)
	_, err = s.DeleteAPIKey(north, "ksouth")
	refused(t, err, fault.OutOfScope)
	refused(t, s.DeleteAgent(north, "asouth"), fault.OutOfScope)
	refused(t, s.DeleteRADIUSClient(north, "rsouth"), fault.OutOfScope)
	counts, err := s.CountObjects(t.Context(), "island")
	same(t, must(t, counts, err), map[domain.Kind]int{domain.Users: 1, domain.Tokens: 1, domain.Groups: 1, domain.Agents: 1, domain.RADIUSClients: 1, domain.APIKeys: 1, domain.Directories: 0})
}

func moves(t *testing.T, s fixture) {
	r := s.grown(t)
	ctx := t.Context()
	held := s.assigned(t, 1)
	s.add(t, made(2))
	moved, err := r.Put(ctx, "north", map[domain.Kind][]string{domain.Users: {"alice"}, domain.Tokens: {made(2).Serial}})
	same(t, must(t, moved, err), map[domain.Kind]int{domain.Users: 1, domain.Tokens: 2}) // with the one that she holds
	after := held
	after.Domain = "north"
	same(t, s.get(t, held.Serial), after)
	// A token that is saved stays where it is, whatever was read before.
	ok(t, s.SaveToken(ctx, held))
	same(t, s.get(t, held.Serial).Domain, "north")
	_, err = r.Put(within(t, r, "south"), "south", map[domain.Kind][]string{domain.Users: {"alice"}})
	refused(t, err, fault.OutOfScope)
	_, err = r.Put(within(t, r, "north"), "south", map[domain.Kind][]string{domain.Users: {"alice"}})
	refused(t, err, fault.OutOfScope)
	_, err = r.Put(ctx, "nowhere", map[domain.Kind][]string{domain.Users: {"alice"}})
	refused(t, err, fault.DomainNotFound)
	_, err = r.Put(ctx, "south", map[domain.Kind][]string{domain.Users: {"alice"}, domain.Tokens: {"999999999999"}})
	refused(t, err, fault.TokenNotFound)
	same(t, s.get(t, held.Serial).Domain, "north")
	moved, err = r.Put(within(t, r, "north"), "island", map[domain.Kind][]string{domain.Users: {"alice"}})
	same(t, must(t, moved, err), map[domain.Kind]int{domain.Users: 1, domain.Tokens: 1})
	same(t, s.get(t, held.Serial).Domain, "island")
	_, err = r.Put(ctx, domain.Root, map[domain.Kind][]string{domain.Users: {"alice"}})
	ok(t, err)
	same(t, s.get(t, held.Serial).Domain, "")
}

// Whoever is limited to a domain claims no certificate for a RADIUS client: whose it is already, by another name or its fingerprint, nobody can tell.
func certificateClaims(t *testing.T, s fixture) {
	domains, r := s.grown(t), &access.RADIUSRegistry{Store: s, Now: func() time.Time { return start }}
	north := within(t, domains, "north")
	island, err := domains.Narrow(north, "island")
	ok(t, err)
	_, err = r.Add(domain.At(t.Context(), "south"), access.RADIUSClient{Name: "theirs", Certificate: "gw.south.example.com"}, "")
	ok(t, err)
	ours, err := r.Add(domain.At(t.Context(), "north"), access.RADIUSClient{Name: "ours", Certificate: "gw.north.example.com"}, "")
	ok(t, err)
	for _, claimed := range []string{"gw.south.example.com", "other.south.example.com", "sha256:" + strings.Repeat("7", 64)} {
		for _, ctx := range []context.Context{north, island} {
			_, err = r.Add(ctx, access.RADIUSClient{Name: "new", Certificate: claimed}, "")
			refused(t, err, fault.OutOfScope)
			_, err = r.Edit(ctx, "ours", 0, nil, func(c *access.RADIUSClient) { c.Certificate = claimed })
			refused(t, err, fault.OutOfScope)
		}
	}
	// What a client has already it keeps through other changes, and it goes with the client.
	after, err := r.Edit(north, "ours", 0, nil, func(c *access.RADIUSClient) { c.Certificate, c.MaxQPS = "GW.north.example.com", 7 })
	same(t, must(t, after, err).MaxQPS, 7)
	same(t, after.Certificate, ours.Certificate)
	ok(t, r.Delete(north, "ours"))
	_, err = r.Edit(t.Context(), "theirs", 0, nil, func(c *access.RADIUSClient) { c.Certificate = ours.Certificate })
	ok(t, err)
}
