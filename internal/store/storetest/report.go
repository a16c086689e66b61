package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/token"
)

// reportedTokens reads tokens in every order, forwards and backwards, by pages of all sizes.
func reportedTokens(t *testing.T, s fixture) {
	s.addProfile(t, "phones")
	for n := range 6 {
		s.addUser(t, fmt.Sprint("user-", n))
	}
	r := rand.New(rand.NewPCG(1, 2))
	var all []token.Token
	for n := range 40 {
		x := made(n)
		x.EffectiveExpiry = day(r.IntN(9)) // many are alike
		if r.IntN(3) > 0 {
			x.UserID, x.Enabled = fmt.Sprint("user-", r.IntN(6)), r.IntN(2) == 0
		}
		if x.Hardware = n%7 == 0; x.UserID != "" {
			x.AssignedAt = day(r.IntN(9))
		}
		switch r.IntN(5) {
		case 0:
			x.Profile, x.Distribution, x.DistributedAt = "phones", token.Issued, day(r.IntN(9))
		case 1:
			x.DistributedAt = day(r.IntN(9))
			x.Current.LastUsedAt = day(10 + r.IntN(9))
		case 2:
			g := generation(x.Serial, 2)
			g.LastUsedAt = day(20)
			x.Pending, x.DistributedAt = &g, day(3)
		case 3:
			x.LostAt, x.Emergency = day(1), &token.Emergency{Kind: token.CodeSet, Length: 8, Until: day(9), Codes: []token.EmergencyCode{{Hash: []byte("h")}}}
		}
		s.add(t, x)
		all = append(all, s.get(t, x.Serial))
	}
	lastUsed := func(x token.Token) time.Time {
		used := x.Current.LastUsedAt
		if x.Pending != nil && x.Pending.LastUsedAt.After(used) {
			used = x.Pending.LastUsedAt
		}
		return used
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		query report.TokenQuery
		has   func(token.Token) bool
	}{
		"all":          {report.TokenQuery{}, func(token.Token) bool { return true }},
		"user":         {report.TokenQuery{UserID: "user-1"}, func(x token.Token) bool { return x.UserID == "user-1" }},
		"profile":      {report.TokenQuery{Profile: "phones"}, func(x token.Token) bool { return x.Profile == "phones" }},
		"distribution": {report.TokenQuery{Distribution: token.Issued}, func(x token.Token) bool { return x.Distribution == token.Issued }},
		"assigned":     {report.TokenQuery{Assigned: &yes}, func(x token.Token) bool { return x.UserID != "" }},
		"unassigned":   {report.TokenQuery{Assigned: &no}, func(x token.Token) bool { return x.UserID == "" }},
		"disabled":     {report.TokenQuery{Enabled: &no}, func(x token.Token) bool { return !x.Enabled }},
		"lost":         {report.TokenQuery{Lost: &yes}, token1(func(x *token.Token) bool { return x.Lost() })},
		"not lost":     {report.TokenQuery{Lost: &no}, token1(func(x *token.Token) bool { return !x.Lost() })},
		"between":      {report.TokenQuery{ExpiresFrom: day(3), ExpiresBefore: day(6)}, func(x token.Token) bool { return !x.EffectiveExpiry.Before(day(3)) && x.EffectiveExpiry.Before(day(6)) }},
		"distributed":  {report.TokenQuery{DistributedBefore: day(5)}, func(x token.Token) bool { return !x.DistributedAt.IsZero() && x.DistributedAt.Before(day(5)) }},
		"held": {report.TokenQuery{HeldBefore: day(5)}, func(x token.Token) bool {
			past := func(at time.Time) bool { return !at.IsZero() && at.Before(day(5)) }
			return past(x.DistributedAt) || x.Hardware && past(x.AssignedAt)
		}},
		"unused":         {report.TokenQuery{Unused: true}, func(x token.Token) bool { return lastUsed(x).IsZero() }},
		"unused since":   {report.TokenQuery{UnusedSince: day(15)}, func(x token.Token) bool { return lastUsed(x).Before(day(15)) }},
		"with emergency": {report.TokenQuery{Emergency: true}, func(x token.Token) bool { return x.Emergency != nil }},
	} {
		for order, compare := range map[report.TokenOrder]func(a, b token.Token) int{
			report.BySerial: func(token.Token, token.Token) int { return 0 },
			report.ByExpiry: func(a, b token.Token) int { return a.EffectiveExpiry.Compare(b.EffectiveExpiry) },
			report.ByUser:   func(a, b token.Token) int { return strings.Compare(a.UserID, b.UserID) },
		} {
			var want []token.Token
			for _, x := range all {
				if c.has(x) {
					want = append(want, x)
				}
			}
			slices.SortFunc(want, func(a, b token.Token) int { return cmp.Or(compare(a, b), strings.Compare(a.Serial, b.Serial)) })
			for _, limit := range []int{1, 7, 100} {
				for _, backwards := range []bool{false, true} {
					q := c.query
					q.Order, q.Limit, q.Backwards = order, limit, backwards
					var got []token.Token
					for {
						found, err := s.ReportTokens(t.Context(), q)
						ok(t, err)
						got = append(got, found...)
						if len(found) < limit {
							break
						}
						q.After = &found[len(found)-1]
					}
					if backwards {
						slices.Reverse(got)
					}
					if len(want) == 0 {
						t.Errorf("%s: nothing is wanted, so nothing is told", name)
					}
					if len(got) != len(want) {
						t.Errorf("%s by %s, %d at a time: %d tokens, want %d", name, order, limit, len(got), len(want))
						continue
					}
					for i := range want {
						same(t, got[i], want[i])
					}
				}
			}
		}
	}
	serials, err := s.SerialsOf(t.Context(), []string{"user-1", "user-2", "nobody"})
	ok(t, err)
	for _, id := range []string{"user-1", "user-2", "nobody"} {
		var want []string
		for _, x := range all {
			if x.UserID == id {
				want = append(want, x.Serial)
			}
		}
		same(t, serials[id], want)
	}
	users, err := s.UsersNamed(t.Context(), []string{"user-3", "nobody", "user-0"})
	if ok(t, err); len(users) != 2 || users["user-3"].ID != "user-3" || users["user-0"].ID != "user-0" {
		t.Errorf("users %+v", users)
	}
}

func token1(has func(*token.Token) bool) func(token.Token) bool {
	return func(x token.Token) bool { return has(&x) }
}
