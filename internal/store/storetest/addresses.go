package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
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
		o, err := authentication.Restrict(ctx, a, r)
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
