package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// Of an address that many have, two are found, and two of those whom each agent may ask about.
func addresses(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.grown(t)
	for i := range 9 {
		ok(t, s.AddUser(ctx, user.User{ID: fmt.Sprint("u", i), Mail: "All@example.com", Enabled: true, CreatedAt: start, Version: 1}))
	}
	_, err := r.Put(ctx, "island", map[domain.Kind][]string{domain.Users: {"u3", "u4", "u5"}})
	ok(t, err)
	ok(t, s.AddGroup(ctx, user.Group{Name: "g", CreatedAt: start, Version: 1}))
	_, err = s.AddMembers(ctx, "g", []string{"u2", "u4", "u7"})
	ok(t, err)
	only := func(a access.Restriction) *authentication.Restriction {
		o, err := authentication.Restrict(ctx, a, domain.Root, r)
		return must(t, o, err)
	}
	for _, c := range []struct {
		only access.Restriction
		want []string
	}{
		{access.Restriction{}, nil},
		{access.Restriction{UserDomain: "north"}, []string{"u3", "u5"}},
		{access.Restriction{UserDomain: "south"}, nil},
		{access.Restriction{UserDomain: "nowhere"}, nil},
		{access.Restriction{Users: []string{"u6", "u7", "no\x00body"}}, []string{"u6", "u7"}},
		{access.Restriction{Groups: []string{"g", "other"}}, []string{"u2", "u7"}},
		{access.Restriction{Groups: []string{"g"}, Users: []string{"u1"}}, []string{"u1", "u7"}},
		{access.Restriction{Groups: []string{"g"}, Users: []string{"u1"}, UserDomain: "island"}, []string{"u4"}},
	} {
		w := authentication.Wanted{Mails: []string{"all@example.com", "none@example.com"}, Groups: true}
		if o := only(c.only); o != nil {
			w.Admitted = []authentication.Admitted{{Only: o, Mails: w.Mails}}
		}
		found, err := s.Gather(ctx, w)
		ok(t, err)
		var got []string
		for _, u := range found.Subjects {
			got = append(got, u.UserID)
			same(t, u.Mail, "all@example.com")
		}
		want := slices.Concat([]string{"u0", "u8"}, c.want)
		slices.Sort(want)
		same(t, got, want)
	}
}

// Who is limited to a domain gives nobody an ID or an address that somebody elsewhere is named by; who is not, may, also where he chose a domain.
func addressesElsewhere(t *testing.T, s fixture) {
	r := s.grown(t)
	users := &user.Registry{Store: s, Now: func() time.Time { return start }}
	north, south := within(t, r, "north"), within(t, r, "south")
	chosen, err := r.Narrow(t.Context(), "north")
	ok(t, err)
	island, err := r.Narrow(north, "island")
	ok(t, err)
	for id, mail := range map[string]string{"s1": "Sue@example.com", "Sam@Example.com": "", "sÄm@example.com": "", "s2": "", "s3": ""} {
		_, err := users.Add(south, user.User{ID: id, Mail: mail})
		ok(t, err)
	}
	_, err = users.Add(north, user.User{ID: "n0@example.com", Mail: "n0@example.com"})
	ok(t, err)
	const elsewhere, exists = fault.OutOfScope, fault.UserExists
	i := 0
	for _, c := range []struct {
		id, mail string
		code     fault.Code
	}{
		{"SUE@example.com", "", elsewhere}, {"sue@example.com", "", elsewhere}, {"", "sue@Example.com", elsewhere}, {"", "sam@example.com", elsewhere}, {"", "SAM@EXAMPLE.COM", elsewhere},
		{"sam@example.com", "", exists}, {"S2", "", exists}, {"s22", "", ""}, {"", "säm@example.com", ""}, {"", "sÄM@example.com", elsewhere}, {"", "n0@example.com", ""}, {"N0@example.com", "", ""},
		{"", "free@example.com", ""}, {"free@example.com", "free@example.com", ""}, {"", "", ""},
	} {
		expect := func(what string, err error) {
			t.Helper()
			switch {
			case c.code != "" && (fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), "is taken, outside of your security domain")):
				t.Errorf("%s %+v: %v", what, c, err)
			case c.code == "" && err != nil:
				t.Errorf("%s %+v: %v", what, c, err)
			}
		}
		fresh := func() user.User {
			i++
			u := user.User{ID: c.id, Mail: c.mail}
			if u.ID == "" {
				u.ID = fmt.Sprint("n", i)
			}
			return u
		}
		gone := func(u user.User) { ok(t, s.DeleteUser(t.Context(), u.ID)) }
		try := func(what string, ctx func() (user.User, error)) {
			t.Helper()
			u, err := ctx()
			expect(what, err)
			if err == nil {
				gone(u)
			}
		}
		try("added", func() (user.User, error) { return users.Add(north, fresh()) })
		try("added below", func() (user.User, error) { return users.Add(island, fresh()) })
		apply := func() (user.User, error) {
			u := fresh()
			result, err := users.Apply(north, []user.Entry{{ID: "other"}, {ID: u.ID, Mail: &u.Mail}}, user.Wish{Partial: true})
			ok(t, err)
			gone(user.User{ID: "other"})
			if row := result.Rows[1]; row.Action == user.Failed {
				return u, fault.New(row.Code, "%s", row.Message)
			}
			return u, nil
		}
		try("applied", apply)
		if c.id == "" {
			_, err := users.Add(north, user.User{ID: "edited"})
			ok(t, err)
			_, err = users.Edit(north, "edited", 0, user.Entry{Mail: &c.mail})
			expect("edited", err)
			result, err := users.Apply(north, []user.Entry{{ID: "edited", Mail: &c.mail}}, user.Wish{Partial: true, DryRun: true})
			ok(t, err)
			same(t, result.Rows[0].Action == user.Failed, c.code != "")
			gone(user.User{ID: "edited"})
		}
		// Whoever administers all of it may.
		c.code = ""
		for what, ctx := range map[string]func() (user.User, error){
			"by all":       func() (user.User, error) { return users.Add(t.Context(), fresh()) },
			"by all there": func() (user.User, error) { return users.Add(chosen, fresh()) },
		} {
			try(what, ctx)
		}
	}

	// What is so already stays, and is no reason to refuse something else.
	_, err = users.Add(chosen, user.User{ID: "twin", Mail: "sue@example.com"})
	ok(t, err)
	_, err = users.Edit(north, "twin", 0, user.Entry{Name: new("Twin"), Mail: new("SUE@example.com")})
	ok(t, err)
	_, err = users.Edit(north, "twin", 0, user.Entry{Mail: new("")})
	ok(t, err)
	_, err = users.Edit(north, "twin", 0, user.Entry{Mail: new("sue@example.com")})
	refused(t, err, fault.OutOfScope)
}

// Whoever adds an ID that differs from another one by case alone is told of the users that he may see who have it, and of no others.
func alikeIDs(t *testing.T, s fixture) {
	r := s.grown(t)
	users := &user.Registry{Store: s, Now: func() time.Time { return start }}
	north := within(t, r, "north")
	for _, in := range []struct {
		ctx context.Context
		id  string
	}{{t.Context(), "Top"}, {north, "Anna"}, {north, "Ärna"}} {
		_, err := users.Add(in.ctx, user.User{ID: in.id})
		ok(t, err)
	}
	alike := func(ctx context.Context, ids ...string) map[string][]string {
		t.Helper()
		found, err := users.Alike(ctx, ids...)
		ok(t, err)
		return found
	}
	same(t, alike(t.Context(), "aNNa", "toP", "nobody", "äRNA"), map[string][]string{"anna": {"Anna"}, "top": {"Top"}})
	same(t, alike(north, "aNNa", "toP"), map[string][]string{"anna": {"Anna"}})
	chosen, err := r.Narrow(t.Context(), "north") // by who may see all
	ok(t, err)
	same(t, alike(chosen, "toP"), map[string][]string{"top": {"Top"}})

	entries := []user.Entry{{ID: "anna"}, {ID: "Anna"}, {ID: "Bert"}, {ID: "bert"}, {ID: "carl"}}
	for _, dry := range []bool{true, false, false} {
		result, err := users.Apply(t.Context(), entries, user.Wish{DryRun: dry})
		ok(t, err)
		var told []string
		for _, row := range result.Rows {
			if row.Message != "" {
				_, of, _ := strings.Cut(row.Message, "beside user ")
				of, _, _ = strings.Cut(of, ",")
				told = append(told, row.ID+" "+of+" "+string(row.Action))
			}
		}
		want := []string{"anna Anna added", "bert Bert added"}
		if result.Counts[user.Added] == 0 { // they are there, and it was said
			want = nil
		}
		same(t, told, want)
	}
	same(t, alike(t.Context(), "ANNA"), map[string][]string{"anna": {"Anna", "anna"}})
}
