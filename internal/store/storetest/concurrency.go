package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Concurrency tests what a store promises to many callers at once, on two
// servers. open returns two stores on one empty database.
func Concurrency(t *testing.T, open func(*testing.T) [2]Store) {
	for _, part := range []struct {
		name string
		test func(*testing.T, servers)
	}{
		{"one of many gets the code", oneGetsTheCode},
		{"no code of a disabled token", noCodeOfDisabled},
		{"no acceptance is taken back", noAcceptanceTakenBack},
		{"one of many saves", oneSaves},
		{"one of many changes a policy", oneChangesThePolicy},
		{"a policy goes with its domain", policiesAndTheirDomain},
		{"nobody exceeds the limit", nobodyExceeds},
		{"each gets another token", eachGetsAnother}, {"many users get other tokens", manyGetOthers},
		{"each donor is consumed once", eachDonorOnce},
		{"nobody is sent away while others only look", nobodySentAway},
		{"serials are reserved once", serialsOnce},
		{"seeds are registered once", seedsOnce},
		{"one gets the address", oneGetsTheAddress}, {"one user gets the mail address", oneUserGetsTheAddress},
		{"failures add up", failuresAddUp},
		{"one appends to the log", oneAppends},
		{"one makes the first key", oneMakesTheKey},
		{"statistics agree to the last token", statisticsAgree},
		{"reports are made once", reportsMadeOnce},
	} {
		t.Run(part.name, func(t *testing.T) {
			both := open(t)
			s := servers{fixture{both[0]}, fixture{both[1]}}
			ok(t, s[0].AddDataKey(t.Context(), seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: start}))
			part.test(t, s)
		})
	}
}

type servers [2]fixture

// atOnce runs do n times at once, on either server in turn, and returns how many were told true.
func (s servers) atOnce(t *testing.T, n int, do func(s fixture, i int) (bool, error)) int {
	t.Helper()
	var won atomic.Int64
	var all sync.WaitGroup
	ready := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-ready
			mine, err := do(s[i%2], i)
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
			if mine {
				won.Add(1)
			}
		})
	}
	close(ready)
	all.Wait()
	return int(won.Load())
}

const crowd = 60

func oneGetsTheCode(t *testing.T, s servers) {
	r := s[0].assigned(t, 1)
	for interval := range int64(5) {
		won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
			if i%3 > 0 {
				return s.Accept(t.Context(), acceptance(r, interval))
			}
			won := false
			err := s.Transact(t.Context(), func(ctx context.Context) error {
				subjects, err := subjectsOf(ctx, s, []string{"alice"})
				if err != nil {
					return err
				}
				if won = subjects[0].Tokens[0].Current.LastInterval < interval; !won {
					return nil
				}
				if won, err = s.Accept(ctx, acceptance(r, interval)); err != nil || !won {
					return err
				}
				return s.Record(ctx, event(ctx, "token:"+r.Serial))
			})
			return won, err
		})
		same(t, won, 1)
	}
}

// Acceptances race with a change that forbids them: once that is done, none follows.
func noCodeOfDisabled(t *testing.T, s servers) {
	r := s[0].assigned(t, 1)
	for round := range int64(10) {
		var disabled atomic.Bool
		s.atOnce(t, 12, func(s fixture, i int) (bool, error) {
			if i == 0 {
				s.change(t, r.Serial, func(r *token.Token) { r.Enabled = false })
				disabled.Store(true)
				return true, nil
			}
			before := disabled.Load()
			accepted, err := s.Accept(t.Context(), acceptance(r, 100*round+int64(i)))
			if accepted && before {
				return false, errors.New("accepted after the token was disabled")
			}
			return accepted, err
		})
		if used := s[0].get(t, r.Serial); used.Current.LastInterval >= 0 && used.Enabled {
			t.Error("the change was lost")
		}
		r = s[0].change(t, r.Serial, func(r *token.Token) { r.Enabled = true })
	}
}

// Saves race with acceptances: whatever was read before, the guard only moves on.
func noAcceptanceTakenBack(t *testing.T, s servers) {
	r := s[0].assigned(t, 1)
	var highest atomic.Int64
	highest.Store(-1)
	s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		if i%3 == 0 {
			s.change(t, r.Serial, func(r *token.Token) { r.Nickname = fmt.Sprint(i) })
			return true, nil
		}
		now, err := s.Token(t.Context(), r.Serial)
		if err != nil {
			return false, err
		}
		accepted, err := s.Accept(t.Context(), acceptance(now, int64(i)))
		for accepted {
			if h := highest.Load(); h >= int64(i) || highest.CompareAndSwap(h, int64(i)) {
				break
			}
		}
		return accepted, err
	})
	if got := s[0].get(t, r.Serial).Current.LastInterval; got != highest.Load() && (got != token.Unused || highest.Load() != -1) {
		t.Errorf("the guard is at %d, but %d was accepted", got, highest.Load())
	}
}

func oneSaves(t *testing.T, s servers) {
	r := s[0].add(t, made(1))
	won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		mine := r // read before
		mine.Nickname = fmt.Sprint(i)
		err := s.SaveToken(t.Context(), mine)
		if errors.Is(err, fault.Conflict) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, won, 1)
	same(t, s[0].get(t, r.Serial).Version, 2)

	// Who reads in the transaction waits instead, and no change is lost.
	s.atOnce(t, crowd, func(s fixture, _ int) (bool, error) {
		return true, s.Transact(t.Context(), func(ctx context.Context) error {
			now, err := s.Token(ctx, r.Serial)
			if err != nil {
				return err
			}
			now.IssueCount++
			return s.SaveToken(ctx, now)
		})
	})
	same(t, s[0].get(t, r.Serial).IssueCount, crowd)
}

// Whoever edits a policy sees what the others did, or is told so; and the other server goes by it within a second.
func oneChangesThePolicy(t *testing.T, s servers) {
	clock := start
	now := func() time.Time { return clock }
	policies := [2]*policy.Registry{{Store: s[0], Now: now}, {Store: s[1], Now: now}}
	var saved atomic.Int64
	for _, r := range policies {
		got, err := r.Current(t.Context())
		same(t, must(t, got, err).Lockout("").Failures, 5)
	}
	won := s.atOnce(t, crowd, func(_ fixture, i int) (bool, error) {
		after, err := policies[i%2].EditLockout(t.Context(), 1, func(l *policy.Lockout) { l.Failures = 10 + i })
		if errors.Is(err, fault.Conflict) {
			return false, nil
		}
		saved.Store(int64(after.Failures))
		return err == nil, err
	})
	if won != 1 {
		t.Fatalf("%d of %d changed the same version", won, crowd)
	}
	clock = clock.Add(time.Second)
	for i, r := range policies {
		got, err := r.Current(t.Context())
		if got := must(t, got, err).Lockout(""); got.Failures != int(saved.Load()) || got.Version != 2 {
			t.Errorf("server %d goes by %+v, saved %d", i, got, saved.Load())
		}
	}
	// Who says no version is in nobody's way, and undoes nobody's change.
	_, err := policies[0].EditLockout(t.Context(), 0, func(l *policy.Lockout) { l.Failures = 1 })
	ok(t, err)
	won = s.atOnce(t, crowd, func(_ fixture, i int) (bool, error) {
		_, err := policies[i%2].EditLockout(t.Context(), 0, func(l *policy.Lockout) { l.Failures++ })
		return err == nil, err
	})
	tree, err := s[0].Policies(t.Context())
	same(t, must(t, tree, err).Lockout("").Failures, 1+won)
}

func nobodyExceeds(t *testing.T, s servers) {
	s[0].addUser(t, "alice")
	for n := range crowd {
		s[0].add(t, made(n))
	}
	won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		r := token.Registry{Store: s, Now: now}
		_, err := r.Assign(t.Context(), made(i).Serial, "alice")
		if errors.Is(err, fault.TokenLimit) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, won, policy.Default().Settings.MaxTokensPerUser)
	held, err := s[0].Tokens(t.Context(), token.Filter{UserID: "alice"})
	same(t, len(must(t, held, err)), policy.Default().Settings.MaxTokensPerUser)
}

func eachGetsAnother(t *testing.T, s servers) {
	for n := range crowd {
		s[0].addUser(t, fmt.Sprint("user", n))
		s[0].add(t, made(n))
	}
	var given sync.Map
	won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		r := token.Registry{Store: s, Now: now}
		got, err := r.Assign(t.Context(), "", fmt.Sprint("user", i))
		if other, twice := given.LoadOrStore(got.Serial, i); twice {
			return false, fmt.Errorf("%s went to user%d too", got.Serial, other)
		}
		return err == nil, err
	})
	same(t, won, crowd)
}

// Many assignments at once, of users that each names in another order: nobody gets more than the limit, and no token goes to two.
func manyGetOthers(t *testing.T, s servers) {
	const each = 4
	var users []string
	for n := range crowd * each {
		users = append(users, fmt.Sprint("user", n))
		s[0].addUser(t, users[n])
		s[0].add(t, made(n))
	}
	won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		r := token.Registry{Store: s, Now: now}
		mine := slices.Clone(users[i*each : (i+1)*each])
		mine = append(mine, users[(i+1)%crowd*each]) // whom the next one names, too
		if i%2 == 0 {
			slices.Reverse(mine)
		}
		_, err := r.AssignAll(t.Context(), token.Bulk{Users: mine, Next: true, Partial: true})
		return err == nil, err
	})
	same(t, won, crowd)
	held, err := s[0].TokensHeld(t.Context(), users)
	ok(t, err)
	n := 0
	for id, count := range held {
		if n += count; count > 2 {
			t.Errorf("%s was named twice and holds %d", id, count)
		}
	}
	assigned := true
	tokens, err := s[0].Tokens(t.Context(), token.Filter{Assigned: &assigned})
	same(t, len(must(t, tokens, err)), n)
	events, err := s[0].Pending(t.Context())
	same(t, must(t, events, err), n)
}

// Assignments to users of several security domains at once keep more tokens from others than they take: whoever meets them waits, and is not told that
// there are none.
func nobodySentAway(t *testing.T, s servers) {
	const singles, rounds = 3, 12
	ctx := t.Context()
	ok(t, s[0].AddDomain(ctx, domain.Domain{Name: "north", CreatedAt: start, Version: 1}))
	s[0].addUser(t, "southern")
	s[0].add(t, made(0))
	for n := range singles {
		s[0].addUser(t, fmt.Sprint("user", n))
		s[0].add(t, made(n+1))
	}
	many := []string{"southern"}
	for n := range 20 {
		many = append(many, fmt.Sprint("northern", n))
		ok(t, s[0].AddUser(ctx, user.User{ID: many[n+1], Domain: "north", Enabled: true, CreatedAt: start, Version: 1}))
		near := made(crowd + n)
		near.Domain, near.EffectiveExpiry = "north", near.EffectiveExpiry.AddDate(0, 0, -1) // taken first
		s[0].add(t, near)
	}
	s.atOnce(t, singles+1, func(s fixture, i int) (bool, error) {
		r := token.Registry{Store: s, Now: func() time.Time { return start }}
		for range rounds {
			if i < singles {
				got, err := r.Assign(ctx, "", fmt.Sprint("user", i))
				if err != nil {
					return false, err
				}
				if _, err := r.Unassign(ctx, got.Serial, 0); err != nil {
					return false, err
				}
				continue
			}
			rows, err := r.AssignAll(ctx, token.Bulk{Users: many, Next: true})
			if err != nil {
				return false, err
			}
			var serials []string
			for _, row := range rows {
				serials = append(serials, row.Serial)
			}
			if _, err := r.UnassignAll(ctx, serials); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

func serialsOnce(t *testing.T, s servers) {
	ok(t, s[0].BeginSerials(t.Context(), 0, 5*crowd-1))
	var taken [5 * crowd]atomic.Bool
	s.atOnce(t, crowd, func(s fixture, _ int) (bool, error) {
		first, err := s.ReserveSerials(t.Context(), 5)
		for n := first; err == nil && n < first+5; n++ {
			if taken[n].Swap(true) {
				err = fmt.Errorf("serial %d was reserved twice", n)
			}
		}
		return true, err
	})
	_, err := s[0].ReserveSerials(t.Context(), 1)
	refused(t, err, fault.SerialsExhausted)
}

func seedsOnce(t *testing.T, s servers) {
	won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		r := made(i)
		r.Current.Fingerprint = fingerprint("the same")
		err := s.AddToken(t.Context(), r)
		if errors.Is(err, fault.SeedInUse) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, won, 1)
	all, err := s[0].Tokens(t.Context(), token.Filter{})
	same(t, len(must(t, all, err)), 1)
}

// Of RADIUS clients that are given one address at once, one gets it, and the others are told that they did not.
func oneGetsTheAddress(t *testing.T, s servers) {
	const clients = 8
	for n := range clients {
		ok(t, s[0].AddRADIUSClient(t.Context(), access.RADIUSClient{Name: fmt.Sprint(n), Certificate: fmt.Sprint("gateway", n), CreatedAt: start, Version: 1}))
	}
	won := s.atOnce(t, clients, func(s fixture, n int) (bool, error) {
		c, err := s.RADIUSClient(t.Context(), fmt.Sprint(n))
		if err != nil {
			return false, err
		}
		c.Address = netip.MustParsePrefix("192.0.2.7/32")
		err = s.SaveRADIUSClient(t.Context(), c)
		if errors.Is(err, fault.Conflict) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, won, 1)
}

// Administrators of two security domains give the same mail address to users of theirs: one of them does.
func oneUserGetsTheAddress(t *testing.T, s servers) {
	var in [2]context.Context
	for i, name := range []string{"north", "south"} {
		ok(t, s[0].AddDomain(t.Context(), domain.Domain{Name: name, CreatedAt: start, Version: 1}))
		scope, err := (&domain.Registry{Store: s[0], Now: func() time.Time { return start }}).Scope(t.Context(), name)
		in[i] = domain.WithScope(t.Context(), must(t, scope, err))
		ok(t, s[0].AddUser(t.Context(), user.User{ID: name, Domain: name, Enabled: true, CreatedAt: start, Version: 1}))
	}
	for round := range 10 {
		won := s.atOnce(t, 2, func(s fixture, i int) (bool, error) {
			r := &user.Registry{Store: s, Now: func() time.Time { return start }}
			_, err := r.Edit(in[i], []string{"north", "south"}[i], 0, user.Entry{Mail: new(fmt.Sprintf("carol%d@example.com", round))})
			if errors.Is(err, fault.OutOfScope) {
				return false, nil
			}
			return err == nil, err
		})
		same(t, won, 1)
	}
}

// What is decided about a user is decided by one at a time.
func failuresAddUp(t *testing.T, s servers) {
	r := s[0].assigned(t, 1)
	s[0].addUser(t, "bob")
	s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		if i%10 == 0 { // a save between leaves the count alone
			s.change(t, r.Serial, func(r *token.Token) { r.Nickname = fmt.Sprint(i) })
			return true, nil
		}
		ids := []string{"alice", "bob", "nobody"}
		if i%2 > 0 {
			ids = []string{"bob", "nobody", "alice"}
		}
		for {
			err := s.Transact(t.Context(), func(ctx context.Context) error { return countFailure(ctx, s, ids) })
			if !errors.Is(err, fault.Conflict) { // else a save was between reading and writing
				return err == nil, err
			}
		}
	})
	got, err := subjectsOf(t.Context(), s[0], []string{"alice", "bob"})
	must(t, got, err)
	same(t, []int{got[0].Guard.Own.Count, got[1].Guard.Own.Count, got[0].Tokens[0].Current.BadPasscodes}, []int{crowd * 9 / 10, crowd * 9 / 10, crowd * 9 / 10})
}

// countFailure counts one failure more of each user and token.
func countFailure(ctx context.Context, s fixture, ids []string) error {
	subjects, err := subjectsOf(ctx, s, ids)
	if err != nil {
		return err
	}
	var out authentication.Settlement
	for _, x := range subjects {
		x.Guard.Own.Count++
		out.Guards = append(out.Guards, x.Guard)
		for _, r := range x.Tokens {
			after := r.Current.Clock
			after.BadPasscodes++
			out.Uses = append(out.Uses, authentication.Use{Serial: r.Serial, Version: r.Version, Number: r.Current.Number, Before: r.Current.Clock, After: after})
		}
	}
	return s.Settle(ctx, out)
}

func oneAppends(t *testing.T, s servers) {
	var inside, most atomic.Int64
	s.atOnce(t, crowd, func(s fixture, _ int) (bool, error) {
		err := s.Transact(t.Context(), func(ctx context.Context) error {
			if err := s.LockLog(ctx); err != nil {
				return err
			}
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			_, err := s.Size(ctx)
			return err
		})
		if errors.Is(err, fault.Conflict) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, most.Load(), int64(1))
	if err := s[0].LockLog(t.Context()); err == nil {
		t.Error("the log was locked without a transaction, and so not at all")
	}
}

func oneMakesTheKey(t *testing.T, s servers) {
	won := s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		err := s.AddDataKey(t.Context(), seed.DataKey{ID: 2, MasterID: fmt.Sprint(i), Wrapped: []byte{1}, CreatedAt: start})
		if errors.Is(err, fault.Conflict) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, won, 1)
}

// Deadlock tests, on a database that runs transactions at once, that two of
// them which wait for each other are both done in the end.
func Deadlock(t *testing.T, a, b Store) {
	s := servers{fixture{a}, fixture{b}}
	ok(t, a.AddDataKey(t.Context(), seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: start}))
	serials := []string{s[0].add(t, made(1)).Serial, s[0].add(t, made(2)).Serial}
	var met sync.WaitGroup
	met.Add(2)
	var runs atomic.Int64
	s.atOnce(t, 2, func(s fixture, i int) (bool, error) {
		var once sync.Once
		return true, s.Transact(t.Context(), func(ctx context.Context) error {
			runs.Add(1)
			for n := range 2 {
				r, err := s.Token(ctx, serials[(i+n)%2])
				if err != nil {
					return err
				}
				r.IssueCount++
				if err := s.SaveToken(ctx, r); err != nil {
					return err
				}
				once.Do(func() { met.Done(); met.Wait() }) // each holds one
			}
			return nil
		})
	})
	for _, serial := range serials {
		same(t, s[0].get(t, serial).IssueCount, 2)
	}
	if runs.Load() < 3 {
		t.Errorf("%d runs: nobody was in another's way", runs.Load())
	}
}

// TakenSpare tests, on a database that runs transactions at once, that a replacement with a token that is another one's replacement already is refused
// while somebody holds that other one: who waited for it could hold what the other waits for.
func TakenSpare(t *testing.T, a, b Store) {
	s := servers{fixture{a}, fixture{b}}
	ok(t, a.AddDataKey(t.Context(), seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: start}))
	s[0].addUser(t, "alice")
	s[0].addUser(t, "bob")
	hers, his, spare := s[0].assignedTo(t, 1, "alice"), s[0].assignedTo(t, 2, "bob"), s[0].spare(t, 3, 100)
	_, err := s[0].tokens().Replace(t.Context(), his.Serial, 0, spare, true)
	ok(t, err)
	ok(t, s[0].Transact(t.Context(), func(ctx context.Context) error {
		if _, err := s[0].Token(ctx, his.Serial); err != nil {
			return err
		}
		waits, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s[1].tokens().Replace(waits, hers.Serial, 0, spare, true)
		same(t, fault.CodeOf(err), fault.TokenAssigned)
		return nil
	}))
}
