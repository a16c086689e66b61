package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// statisticsAgree lives many lives of tokens at once, and then counts by hand.
func statisticsAgree(t *testing.T, s servers) {
	const lives, steps, users = 8, 120, 20
	s[0].addProfile(t, "phones")
	ok(t, s[0].AddDomain(t.Context(), domain.Domain{Name: "north", CreatedAt: start, Version: 1}))
	for n := range users {
		ok(t, s[0].AddUser(t.Context(), user.User{ID: fmt.Sprint("user-", n), Enabled: true, Domain: []string{"", "north"}[n%2], CreatedAt: start, Version: 1}))
	}
	for round := range 2 {
		var all sync.WaitGroup
		for i := range lives {
			all.Go(func() {
				l := life{fixture: s[i%2], r: rand.New(rand.NewPCG(uint64(round), uint64(i))), first: 1000 * i, users: users}
				for range steps {
					if err := l.step(t.Context()); err != nil && !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.TokenNotFound) {
						t.Error(err)
						return
					}
					if l.r.IntN(20) == 0 {
						if err := l.FoldTallies(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Wait()
		s.agree(t, t.Context())
		ok(t, s[1].FoldTallies(t.Context()))
		s.agree(t, t.Context())
		north, err := (&domain.Registry{Store: s[0]}).Narrow(t.Context(), "north")
		ok(t, err)
		s.agree(t, north)
	}
}

// agree holds statistics against a count by hand, at some times and under some policies.
func (s servers) agree(t *testing.T, ctx context.Context) {
	t.Helper()
	none, strict := policy.Default(), policy.Default()
	trees := map[string]*policy.Tree{}
	none.Token.IncorrectBeforeNTC = 0
	strict.Token.IncorrectBeforeNTC, strict.Token.PINMaxLife, strict.Lockout.UnlockAfter = 2, 10*24*time.Hour, 24*time.Hour
	strict.Settings.IssueLimit, strict.Settings.MinDaysLeft = 2, 7
	sets := map[string]policy.Set{"default": policy.Default(), "no limits": none, "strict": strict}
	for name, p := range sets {
		trees[name] = policy.Alone(p)
		for other, own := range sets { // half of the users are in a domain with policies of its own
			if other != name {
				trees[name+", in the north "+other] = policy.NewTree(p.Settings, []policy.Record{
					{Kind: "token", Token: &p.Token}, {Kind: "lockout", Lockout: &p.Lockout},
					{Kind: "token", Domain: "north", Token: &own.Token}, {Kind: "lockout", Domain: "north", Lockout: &own.Lockout},
				}, map[string]string{"north": domain.Root})
			}
		}
	}
	counted, there := 0, s[0].deployed(t, ctx)
	for name, p := range trees {
		for _, now := range []time.Time{start, day(1), day(3).Add(time.Hour + 7*time.Minute), day(10).Add(-time.Microsecond), day(40)} {
			for _, days := range []int{0, 1, 90} {
				q := report.NewQuestion(now, p, days)
				got, err := s[1].Statistics(ctx, q)
				ok(t, err)
				if want := there.recount(now, p, days); got != want {
					t.Errorf("under %s policies at %s, %d days ahead:\ngot  %+v\nwant %+v", name, now, days, got, want)
				}
				counted += got.Expired + got.Lost + got.NewPIN + got.NextTokencode + got.LockedUsers + got.PendingActivations
			}
		}
	}
	if counted == 0 {
		t.Error("nothing was counted: the lives are too dull to tell")
	}
}

// deployed is all that statistics count.
type deployed struct {
	tokens  []token.Token
	people  []user.User
	guards  map[string]authentication.Guard
	holders map[string]user.User
	open    map[string]time.Time // offers by serial
}

// deployed reads it row by row, within the scope of ctx.
func (s fixture) deployed(t *testing.T, ctx context.Context) (d deployed) {
	t.Helper()
	var err error
	d.tokens, err = s.Tokens(ctx, token.Filter{})
	ok(t, err)
	d.people, err = s.Users(ctx, user.Filter{})
	ok(t, err)
	d.guards, d.open = map[string]authentication.Guard{}, map[string]time.Time{}
	for _, u := range d.people {
		found, err := s.Guards(ctx, []string{u.ID})
		ok(t, err)
		maps.Copy(d.guards, found)
	}
	for _, r := range d.tokens {
		found, err := s.OpenOffers(ctx, []string{r.Serial})
		ok(t, err)
		maps.Copy(d.open, found)
	}
	d.holders, err = s.UsersNamed(domain.WithScope(ctx, domain.Scope{}), userIDs(d.tokens))
	ok(t, err)
	return d
}

// recount is what the statistics have to be.
func (d deployed) recount(now time.Time, p *policy.Tree, days int) (c report.Statistics) {
	for _, u := range d.people {
		if d.guards[u.ID].Own.Locked(p.Of(u.Domain).Lockout, now) {
			c.LockedUsers++
		}
	}
	count := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	for _, r := range d.tokens {
		policies := p.Of(d.holders[r.UserID].Domain)
		assigned, expired := r.UserID != "", r.ExpiredAt(now)
		free := !assigned && !r.Lost()
		count(&c.Total, true)
		count(&c.Hardware, r.Hardware)
		count(&c.Assigned, assigned)
		count(&c.Available, free && !expired)
		count(&c.AvailableNext, free && !r.Hardware && !r.EffectiveExpiry.Before(now.AddDate(0, 0, p.Settings.MinDaysLeft)))
		count(&c.Expired, expired)
		count(&c.Expiring, !expired && !r.EffectiveExpiry.After(now.AddDate(0, 0, days)))
		count(&c.Enabled, r.Enabled)
		count(&c.Disabled, !r.Enabled)
		count(&c.Lost, r.Lost())
		count(&c.Replacement, r.Replaces != "")
		count(&c.Replaced, r.ReplacedBy != "")
		count(&c.OverLimit, p.Settings.IssueLimit > 0 && r.IssuesCounted() > p.Settings.IssueLimit)
		count(&c.NewPIN, assigned && authentication.PINStateOf(&r, policies.Token, now).NewPINDue())
		count(&c.NextTokencode, assigned && authentication.NextTokencodeDue(&r, policies.Token))
		count(&c.PendingActivations, now.Before(d.open[r.Serial]))
		count(&c.NeverConfirmed, r.Distribution != token.NotDistributed && r.Distribution != token.Confirmed)
	}
	return c
}

// userIDs are the users of tokens.
func userIDs(tokens []token.Token) (ids []string) {
	for _, t := range tokens {
		if t.UserID != "" && !slices.Contains(ids, t.UserID) {
			ids = append(ids, t.UserID)
		}
	}
	return ids
}

// A life is one of several that go on at once. Half of its tokens are its own.
type life struct {
	fixture
	r     *rand.Rand
	first int // serial of its own tokens
	users int
	made  int
}

func (l *life) some() string {
	first := l.first
	if l.r.IntN(2) == 0 {
		first = 0
	}
	return made(first + l.r.IntN(30)).Serial
}

func (l *life) user() string { return fmt.Sprint("user-", l.r.IntN(l.users)) }

func (l *life) step(ctx context.Context) error {
	serial := l.some()
	switch l.r.IntN(9) {
	case 0, 1:
		r := made(l.first + l.made%30)
		l.made++
		r.EffectiveExpiry = day(l.r.IntN(100) - 20)
		r.Hardware = l.r.IntN(3) == 0
		r.Domain = []string{"", "north"}[l.r.IntN(2)]
		r.Current.Settings.PINType = []device.PINType{device.PINPad, device.Fob, device.NoPIN}[l.r.IntN(3)]
		err := l.AddToken(ctx, r)
		if errors.Is(err, fault.ImportDuplicate) || errors.Is(err, fault.SeedInUse) { // a seed is never used again
			return nil
		}
		return err
	case 2:
		if l.r.IntN(4) == 0 {
			return l.DeleteToken(ctx, serial)
		}
		_, err := l.RevokeOffers(ctx, serial)
		return err
	case 3:
		o := offer(fmt.Sprint(serial, "/", l.r.Int64()), serial)
		o.ExpiresAt = start.Add(time.Duration(l.r.Int64N(int64(72 * time.Hour)))).Truncate(time.Microsecond)
		return l.Transact(ctx, func(ctx context.Context) error {
			if _, err := l.Token(ctx, serial); err != nil {
				return err
			}
			return l.AddOffer(ctx, o)
		})
	case 4:
		return l.Transact(ctx, func(ctx context.Context) error {
			o, err := l.OpenOffer(ctx, serial)
			if errors.Is(err, fault.ActivationUnknown) {
				return nil
			}
			if err != nil {
				return err
			}
			o.State = []distribution.OfferState{distribution.Open, distribution.Used, distribution.Locked}[l.r.IntN(3)]
			o.Failures++
			return l.SaveOffer(ctx, o)
		})
	case 5:
		return l.sign(ctx)
	}
	return l.Transact(ctx, func(ctx context.Context) error {
		r, err := l.Token(ctx, serial)
		if err != nil {
			return err
		}
		l.change(&r)
		return l.SaveToken(ctx, r)
	})
}

// sign settles what a good or bad passcode does.
func (l *life) sign(ctx context.Context) error {
	id := l.user()
	return l.Transact(ctx, func(ctx context.Context) error {
		g, err := l.Gather(ctx, authentication.Wanted{Users: []string{id}})
		if err != nil || len(g.Subjects) == 0 {
			return err
		}
		s := authentication.Settlement{Guards: []authentication.Guard{{UserID: id}}}
		if l.r.IntN(2) == 0 {
			s.Guards[0].Own = authentication.Failures{Count: 5, Since: start, LockedAt: start.Add(time.Duration(l.r.IntN(50)) * time.Hour)}
		}
		for _, r := range g.Subjects[0].Tokens {
			if !r.Enabled {
				continue
			}
			after := r.Current.Clock
			after.LastInterval, after.BadPasscodes = max(after.LastInterval, 0)+1, l.r.IntN(5)
			s.Uses = append(s.Uses, authentication.Use{Serial: r.Serial, Version: r.Version, Number: r.Current.Number, Before: r.Current.Clock, After: after})
		}
		return l.Settle(ctx, s)
	})
}

// change does something to a token.
func (l *life) change(r *token.Token) {
	pinSet := day(l.r.IntN(30)).Add(time.Duration(l.r.IntN(86400)) * time.Second)
	switch l.r.IntN(11) {
	case 0, 1, 2:
		if r.Assign(l.user(), "test", day(-1000)) == nil && r.Current.Settings.PINType != device.NoPIN && l.r.IntN(2) == 0 {
			r.PIN = token.PIN{Hash: []byte{1}, Length: 4, SetAt: pinSet}
		}
	case 3:
		_ = r.Unassign() // refused for one that belongs to nobody
	case 4:
		r.Enabled = !r.Enabled
	case 5:
		r.Lose(start, true)
	case 6:
		r.Find()
	case 7:
		r.PIN = token.PIN{Hash: []byte{2}, Length: 4, SetAt: pinSet, MustChange: l.r.IntN(2) == 0}
	case 8:
		r.Distribution = []token.Distribution{token.NotDistributed, token.Issued, token.PendingActivation, token.ActivationLapsed, token.Confirmed}[l.r.IntN(5)]
		r.IssueCount++
		r.IssuesForgiven = l.r.IntN(2)
	case 9:
		g := generation(r.Serial, r.LastNumber+1)
		g.Fingerprint = fingerprint(fmt.Sprint(r.Serial, l.r.Int64()))
		g.Settings.PINType = []device.PINType{device.PINPad, device.NoPIN}[l.r.IntN(2)]
		if l.r.IntN(2) == 0 {
			r.Replace(g)
		} else {
			r.Await(g, day(5))
			r.Replaces = r.Serial
		}
	case 10:
		r.SwitchOver()
		r.EffectiveExpiry = r.EffectiveExpiry.AddDate(0, 0, l.r.IntN(40))
		r.Hardware = l.r.IntN(3) == 0 // by an import that overwrites
		r.Replaces, r.ReplacedBy = "", r.Serial
	}
}
