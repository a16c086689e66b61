package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// tokens is a registry on the store, at the time of the tests.
func (s fixture) tokens() *token.Registry {
	return &token.Registry{Store: s, Now: func() time.Time { return start }}
}

// people adds users u0, u1, ... and as many tokens, and returns their names.
func (s fixture) people(t *testing.T, n int) (users, serials []string) {
	for i := range n {
		users, serials = append(users, fmt.Sprint("u", i)), append(serials, made(i).Serial)
		s.addUser(t, users[i])
		s.add(t, made(i))
	}
	return users, serials
}

// pairs are the rows of an answer as text.
func pairs(rows []token.Row) (all []string) {
	for _, r := range rows {
		all = append(all, fmt.Sprintf("%s %s %s", r.UserID, r.Serial, r.Code))
	}
	return all
}

func assignAll(t *testing.T, s fixture) {
	ctx, r := audit.WithActor(t.Context(), audit.Actor{Name: "desk"}), s.tokens()
	users, serials := s.people(t, 3)
	dirty := s.change(t, serials[0], func(r *token.Token) {
		r.PIN = token.PIN{Hash: []byte("h"), Length: 4, SetAt: start, MustChange: true, History: []byte("p"), Serial: "x"}
		r.Current.BadPasscodes, r.Nickname = 2, "Old"
	})
	b := token.Bulk{Users: []string{"u2", "u0", "u1"}, Serials: []string{serials[2], serials[0], serials[1]}}
	b.DryRun = true
	rows, err := r.AssignAll(ctx, b)
	want := []string{"u2 " + serials[0] + " ", "u0 " + serials[1] + " ", "u1 " + serials[2] + " "}
	same(t, pairs(must(t, rows, err)), want)
	same(t, s.get(t, serials[0]), dirty)
	b.DryRun = false
	rows, err = r.AssignAll(ctx, b)
	same(t, pairs(must(t, rows, err)), want)

	// One by one it would be the same.
	one := dirty
	ok(t, one.Assign("u2", "desk", start))
	one.Version++
	same(t, s.get(t, serials[0]), one)
	found, err := s.Tokens(ctx, token.Filter{Query: "U2"})
	same(t, len(must(t, found, err)), 1)
	if accepted, err := s.Accept(ctx, acceptance(s.get(t, serials[1]), 7)); !must(t, accepted, err) {
		t.Error("a code of an assigned token is not accepted")
	}
	if accepted, err := s.Accept(ctx, acceptance(dirty, 7)); must(t, accepted, err) {
		t.Error("a code was accepted by what the token was before")
	}

	b.Sort, b.Serials = token.ByName, []string{made(3).Serial, made(4).Serial, made(5).Serial}
	for n, name := range map[int]string{0: "Zoe", 1: "Ann", 2: "Mia"} {
		s.add(t, made(3+n))
		u, err := s.User(ctx, users[n])
		u = must(t, u, err)
		u.Name = name
		ok(t, s.SaveUser(ctx, u))
	}
	rows, err = r.AssignAll(ctx, b)
	same(t, pairs(must(t, rows, err)), []string{"u1 " + b.Serials[0] + " ", "u2 " + b.Serials[1] + " ", "u0 " + b.Serials[2] + " "})
}

func assignRefusals(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.tokens()
	users, serials := s.people(t, 6)
	s.change(t, serials[1], func(r *token.Token) { ok(t, r.Assign("u5", "", start)) })
	s.change(t, serials[2], func(r *token.Token) { r.EffectiveExpiry = day(-1) })
	for n := range policy.Default().Settings.MaxTokensPerUser {
		full := made(10 + n)
		ok(t, full.Assign("u4", "", start))
		s.add(t, full)
	}
	replacing := made(20) // counts as one with what it replaces
	ok(t, replacing.Assign("u5", "", start))
	replacing.Replaces = serials[1]
	s.add(t, replacing)
	off, err := s.User(ctx, "u5")
	off = must(t, off, err)
	off.Enabled = false
	ok(t, s.SaveUser(ctx, off))

	none := made(99).Serial
	b := token.Bulk{Pairs: []token.Pair{
		{UserID: "u0", Serial: serials[0]}, {UserID: "u1", Serial: serials[1]}, {UserID: "u2", Serial: serials[2]}, {UserID: "nobody", Serial: serials[3]},
		{UserID: "u4", Serial: serials[4]}, {UserID: "u5", Serial: serials[5]}, {UserID: "u3", Serial: none},
	}}
	_, err = r.AssignAll(ctx, b)
	refused(t, err, fault.TokenAssigned)
	var told *fault.Error
	if !errors.As(err, &told) || told.Details["failed"] != 5 {
		t.Errorf("details %+v", told)
	}
	same(t, s.get(t, serials[0]).UserID, "")
	b.Partial = true
	rows, err := r.AssignAll(ctx, b)
	same(t, pairs(must(t, rows, err)), []string{
		"u0 " + serials[0] + " ", "u1 " + serials[1] + " TOKEN_ALREADY_ASSIGNED", "u2 " + serials[2] + " TOKEN_EXPIRED", "nobody " + serials[3] + " USER_NOT_FOUND",
		"u4 " + serials[4] + " TOKEN_LIMIT_REACHED", "u5 " + serials[5] + " USER_DISABLED", "u3 " + none + " TOKEN_NOT_FOUND",
	})
	same(t, rows[5].OK, true)
	same(t, s.get(t, serials[0]).UserID+s.get(t, serials[3]).UserID+s.get(t, serials[5]).UserID, "u0u5")

	for kind, b := range map[fault.Code]token.Bulk{
		fault.GroupNotFound: {Group: "none", Next: true},
		fault.Invalid:       {Users: users[:2], Serials: []string{serials[3], serials[3]}},
		fault.NoToken:       {Users: []string{"u0", "u1", "u2", "u3"}, Next: true},
	} {
		_, err := r.AssignAll(ctx, b)
		refused(t, err, kind)
	}
	for name, b := range map[string]token.Bulk{
		"nobody": {Next: true}, "users and a group": {Users: users, Group: "g", Next: true}, "no users": {Users: []string{}, Next: true},
		"twice": {Users: []string{"u0", "u0"}, Next: true}, "both": {Users: users[:1], Serials: serials[:1], Next: true},
		"pairs and more": {Pairs: []token.Pair{{UserID: "u0", Serial: serials[0]}}, Next: true}, "no serial": {Users: users[:1], Serials: []string{"x"}},
	} {
		if _, err := r.AssignAll(ctx, b); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func assignNextOnes(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.tokens()
	for n, days := range []int{90, 60, 29, 60, 31} {
		free := made(n)
		free.EffectiveExpiry = day(days)
		if n == 3 {
			free.LostAt = start
		}
		s.add(t, free)
	}
	for n := range 4 {
		s.addUser(t, fmt.Sprint("u", n))
	}
	ok(t, s.AddGroup(ctx, user.Group{Name: "g", CreatedAt: start, Version: 1}))
	_, err := s.AddMembers(ctx, "g", []string{"u3", "u1", "u0"})
	ok(t, err)
	b := token.Bulk{Group: "g", Next: true}
	rows, err := r.AssignAll(ctx, b)
	same(t, pairs(must(t, rows, err)), []string{"u0 " + made(4).Serial + " ", "u1 " + made(1).Serial + " ", "u3 " + made(0).Serial + " "})
	s.add(t, made(9))
	rows, err = r.AssignAll(ctx, token.Bulk{Users: []string{"nobody", "u2", "u0"}, Next: true, Partial: true})
	same(t, pairs(must(t, rows, err)), []string{"nobody  USER_NOT_FOUND", "u2 " + made(9).Serial + " ", "u0  NO_TOKEN_AVAILABLE"})
}

// settled is the tree of grown, with users un, us, ui and ur in north, south, island and at the root.
func (s fixture) settled(t *testing.T) *domain.Registry {
	r := s.grown(t)
	for id, at := range map[string]string{"un": "north", "us": "south", "ui": "island", "ur": ""} {
		ok(t, s.AddUser(t.Context(), user.User{ID: id, Enabled: true, Domain: at, CreatedAt: start, Version: 1}))
	}
	return r
}

// free stores an unassigned token in a domain that lasts so many days.
func (s fixture) free(t *testing.T, at string, n, days int) string {
	r := made(n)
	r.EffectiveExpiry, r.Domain = day(days), at
	return s.add(t, r).Serial
}

// Nobody gets a token as the next one that an administrator of another domain may have made for her.
func nextOfDomains(t *testing.T, s fixture) {
	ctx, r, tree := t.Context(), s.tokens(), s.settled(t)
	s.free(t, "south", 1, 60)
	island, north, root := s.free(t, "island", 2, 70), s.free(t, "north", 3, 80), s.free(t, "", 4, 90)
	above, err := s.DomainsAbove(ctx, []string{"island", "south", ""})
	same(t, must(t, above, err), map[string][]string{"island": {"island", "north", ""}, "south": {"south", ""}, "": {""}})
	for _, c := range []struct{ user, want string }{{"un", north}, {"ui", island}, {"ui", root}} {
		got, err := r.Assign(ctx, "", c.user)
		same(t, must(t, got, err).Serial, c.want)
	}
	for id, words := range map[string]string{"un": "domain north or above it", "ur": "the root of", "ui": "'domain put'"} {
		_, err := r.Assign(ctx, "", id)
		refused(t, err, fault.NoToken)
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", id, err)
		}
	}
	// Who is limited to a domain gives none of those above it.
	s.free(t, "", 5, 90)
	_, err = r.Assign(within(t, tree, "north"), "", "un")
	refused(t, err, fault.NoToken)
}

// Many users of different domains get, in their order, what each of them would get alone.
func manyOfDomains(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.tokens()
	s.settled(t)
	south, north, island, root, late := s.free(t, "south", 1, 60), s.free(t, "north", 2, 80), s.free(t, "island", 3, 85), s.free(t, "", 4, 70), s.free(t, "", 5, 90)
	b := token.Bulk{Users: []string{"ui", "us", "un", "ur"}, Next: true, DryRun: true}
	want := []string{"ui " + root + " ", "us " + south + " ", "un " + north + " ", "ur " + late + " "}
	for _, b.DryRun = range []bool{true, false} {
		rows, err := r.AssignAll(ctx, b)
		same(t, pairs(must(t, rows, err)), want)
	}
	b.Partial = true
	rows, err := r.AssignAll(ctx, b)
	same(t, pairs(must(t, rows, err)), []string{"ui " + island + " ", "us  NO_TOKEN_AVAILABLE", "un  NO_TOKEN_AVAILABLE", "ur  NO_TOKEN_AVAILABLE"})
	rows, err = r.AssignAll(ctx, token.Bulk{Users: []string{"ur"}, Next: true, Partial: true}) // of one domain alone
	same(t, pairs(must(t, rows, err)), []string{"ur  NO_TOKEN_AVAILABLE"})
}

// A replacement is of the user's domain or above, and a donor of the token's.
func sparesOfDomains(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.tokens()
	s.settled(t)
	held := func(n int, at, id string) string {
		serial := s.free(t, at, n, 40)
		s.change(t, serial, func(o *token.Token) {
			ok(t, o.Assign(id, "", start))
			o.DistributedAt, o.IssueCount = start, 1
		})
		return serial
	}
	first, second, third := held(101, "south", "un"), held(102, "south", "us"), held(103, "", "ur")
	south, north, root := s.free(t, "south", 1, 60), s.free(t, "north", 2, 70), s.free(t, "", 3, 80)

	outcomes, _, err := r.Extend(ctx, []string{third}, token.Extension{Donors: true})
	ok(t, err)
	same(t, outcomes[0].Took, root)
	outcomes, _, err = r.Extend(ctx, []string{third, first}, token.Extension{Donors: true})
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{fault.NoDonor, ""})
	same(t, outcomes[1].Took, south)

	_, err = r.Replace(ctx, third, 0, "", true)
	refused(t, err, fault.NoToken)
	other := s.free(t, "south", 4, 61)
	outcomes, err = r.ReplaceAll(ctx, []string{third, first, second, first}, true, nil)
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{fault.NoToken, "", "", ""})
	same(t, []string{outcomes[1].Took, outcomes[2].Took}, []string{north, other})
	last := s.free(t, "", 5, 90)
	got, err := r.Replace(ctx, third, 0, "", true)
	same(t, must(t, got, err).Serial, last)
}

// What a user holds in domains that the caller does not see counts, too.
func limitCountsAll(t *testing.T, s fixture) {
	r := s.tokens()
	tree := s.settled(t)
	for n := range policy.Default().Settings.MaxTokensPerUser {
		s.change(t, s.free(t, "south", 10+n, 90), func(o *token.Token) { ok(t, o.Assign("un", "", start)) })
	}
	s.free(t, "north", 1, 90)
	_, err := r.Assign(within(t, tree, "north"), "", "un")
	refused(t, err, fault.TokenLimit)
}

// CountMismatch holds that N users with M tokens change nothing, M being less or more, partial or not.
func CountMismatch(t *testing.T, store Store) {
	s := start3(t, store)
	for _, n := range []int{0, 1, 2, 4, 5} {
		for _, partial := range []bool{false, true} {
			var serials []string
			for i := range n {
				serials = append(serials, made(i).Serial)
			}
			_, err := s.tokens().AssignAll(t.Context(), token.Bulk{Users: []string{"u0", "u1", "u2"}, Serials: serials, Partial: partial})
			refused(t, err, fault.CountMismatch)
			var told *fault.Error
			if !errors.As(err, &told) || told.Details["users"] != 3 || told.Details["tokens"] != n {
				t.Errorf("%d tokens: details %v", n, told)
			}
		}
	}
	for i := range 5 {
		same(t, s.get(t, made(i).Serial), made(i))
	}
	waiting, err := s.Pending(t.Context())
	same(t, must(t, waiting, err), 0)
}

// start3 is a store with three users and five tokens.
func start3(t *testing.T, store Store) fixture {
	s := withKeys(t, store)
	for i := range 5 {
		if i < 3 {
			s.addUser(t, fmt.Sprint("u", i))
		}
		s.add(t, made(i))
	}
	return s
}

func groups(t *testing.T, s fixture) {
	ctx := t.Context()
	for _, id := range []string{"a", "b", "c"} {
		s.addUser(t, id)
	}
	g := user.Group{Name: "Vertrieb Süd", Note: "sales", CreatedAt: start, Version: 1}
	ok(t, s.AddGroup(ctx, g))
	refused(t, s.AddGroup(ctx, g), fault.GroupExists)
	n, err := s.AddMembers(ctx, g.Name, []string{"b", "a", "nobody"})
	same(t, must(t, n, err), 2)
	n, err = s.AddMembers(ctx, g.Name, []string{"b", "c"})
	same(t, must(t, n, err), 1)
	n, err = s.RemoveMembers(ctx, g.Name, []string{"a", "nobody"})
	same(t, must(t, n, err), 1)
	g.Members = 2
	got, err := s.Group(ctx, g.Name)
	same(t, must(t, got, err), g)
	g.Note = "Sales, South"
	ok(t, s.SaveGroup(ctx, g))
	refused(t, s.SaveGroup(ctx, g), fault.Conflict)
	g.Version++
	other := user.Group{Name: "A", CreatedAt: start, Version: 1}
	ok(t, s.AddGroup(ctx, other))
	for _, c := range []struct {
		f    user.GroupFilter
		want []user.Group
	}{
		{user.GroupFilter{}, []user.Group{other, g}}, {user.GroupFilter{Query: "SOUTH"}, []user.Group{g}}, {user.GroupFilter{UserID: "b"}, []user.Group{g}},
		{user.GroupFilter{UserID: "a"}, nil}, {user.GroupFilter{After: "A", Limit: 1}, []user.Group{g}},
	} {
		all, err := s.Groups(ctx, c.f)
		same(t, must(t, all, err), c.want)
	}
	ids, err := s.MemberIDs(ctx, g.Name, 9)
	same(t, must(t, ids, err), []string{"b", "c"})
	_, err = s.MemberIDs(ctx, "none", 9)
	refused(t, err, fault.GroupNotFound)
	members, err := s.Users(ctx, user.Filter{Group: g.Name, After: "b"})
	same(t, len(must(t, members, err)), 1)
	held := made(1)
	ok(t, held.Assign("c", "", start))
	s.add(t, held)
	s.add(t, made(2))
	tokens, err := s.Tokens(ctx, token.Filter{Group: g.Name})
	same(t, len(must(t, tokens, err)), 1)

	ok(t, s.DeleteUser(ctx, "b"))
	ids, err = s.MemberIDs(ctx, g.Name, 9)
	same(t, must(t, ids, err), []string{"c"})
	ok(t, s.DeleteGroup(ctx, g.Name))
	refused(t, s.DeleteGroup(ctx, g.Name), fault.GroupNotFound)
	_, err = s.User(ctx, "c")
	ok(t, err)
}
