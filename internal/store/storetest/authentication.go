package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

func settlements(t *testing.T, s fixture) {
	ctx := t.Context()
	r := s.assigned(t, 1)
	r = s.change(t, r.Serial, func(r *token.Token) { r.Await(generation(r.Serial, 2), day(1)) })
	s.addUser(t, "bob")
	got, err := subjectsOf(ctx, s, []string{"bob", "alice", "nobody", "no\x00body", "\xff"})
	must(t, got, err)
	same(t, len(got), 2)
	same(t, []string{got[0].UserID, got[1].UserID}, []string{"alice", "bob"})
	same(t, got[0].Tokens, []token.Token{r})
	same(t, got[1], authentication.Subject{UserID: "bob", Enabled: true, Guard: authentication.Guard{UserID: "bob"}})
	bob, err := s.User(ctx, "bob")
	ok(t, err)
	bob.Expiry = day(9)
	ok(t, s.SaveUser(ctx, bob))
	got, err = subjectsOf(ctx, s, []string{"bob"})
	same(t, must(t, got, err)[0].Expiry, day(9))
	got, err = subjectsOf(ctx, s, nil)
	same(t, len(must(t, got, err)), 0)

	for _, name := range []string{"h i", "g"} {
		ok(t, s.AddGroup(ctx, user.Group{Name: name, CreatedAt: start, Version: 1}))
		_, err := s.AddMembers(ctx, name, []string{"alice"})
		ok(t, err)
	}
	for _, wanted := range []bool{true, false} {
		found, err := s.Gather(ctx, authentication.Wanted{Users: []string{"alice", "bob"}, Groups: wanted})
		ok(t, err)
		groups := found.Subjects[0].Groups
		slices.Sort(groups)
		if wanted {
			same(t, groups, []string{"g", "h i"})
		} else {
			same(t, groups, []string(nil))
		}
		same(t, found.Subjects[1].Groups, []string(nil))
	}

	guard := authentication.Guard{UserID: "alice", Own: authentication.Failures{Count: 2, Since: start, LockedAt: start.Add(time.Second), Times: "own\x00times\xff"},
		Strange: authentication.Failures{Count: 3, Since: start.Add(time.Minute), LockedAt: start.Add(time.Hour), Times: "others"}, Sources: []byte("12345678abcdefgh"), Denied: []byte("marks"),
		Fixed: []byte("hash"), FixedAt: start.Add(2 * time.Hour),
		OnDemand:     &authentication.OnDemandPIN{Hash: []byte("a PIN\x00"), SetAt: start, MustChange: true, History: []byte{1, 2}},
		OnDemandCode: &authentication.OnDemandCode{Hash: []byte("a code\xff"), Until: start.Add(time.Minute), Sent: []int64{7}, UsedAt: start, UsedBy: "agent:web"}}
	one := token.Clock{LastInterval: 5, Offset: -2, BadPasscodes: 4, LastUsedAt: start, LastAgent: "agent:web", Accepted: "marks\x00\xff"}
	two := token.Clock{LastInterval: 7, BadPasscodes: 1}
	ok(t, s.Settle(ctx, authentication.Settlement{
		Uses: []authentication.Use{
			{Serial: r.Serial, Version: r.Version, Number: 1, Before: r.Current.Clock, After: one},
			{Serial: r.Serial, Version: r.Version, Number: 2, Before: r.Pending.Clock, After: two},
		},
		Guards: []authentication.Guard{guard},
	}))
	guard.Version++
	got, err = subjectsOf(ctx, s, []string{"alice"})
	must(t, got, err)
	same(t, got[0].Guard, guard)
	guards, err := s.Guards(ctx, []string{"alice", "bob", "nobody"})
	same(t, must(t, guards, err), map[string]authentication.Guard{"alice": guard, "bob": {UserID: "bob"}})
	guards, err = s.Guards(ctx, nil)
	same(t, len(must(t, guards, err)), 0)
	same(t, got[0].Tokens[0].Current.Clock, one)
	same(t, got[0].Tokens[0].Pending.Clock, two)
	same(t, got[0].Tokens[0].Version, r.Version) // a use is no change of the record
	refused(t, s.Settle(ctx, authentication.Settlement{Guards: []authentication.Guard{{UserID: "alice"}}}), fault.Conflict)
	ok(t, s.Settle(ctx, authentication.Settlement{Guards: []authentication.Guard{{UserID: "alice", Version: guard.Version}}}))
	got, err = subjectsOf(ctx, s, []string{"alice"})
	same(t, must(t, got, err)[0].Guard, authentication.Guard{UserID: "alice", Version: guard.Version + 1})
	ok(t, s.Settle(ctx, authentication.Settlement{}))

	// The guard goes with the user.
	ok(t, s.DeleteUser(ctx, "bob"))
	s.addUser(t, "bob")
}

func lateSettlements(t *testing.T, s fixture) {
	ctx := t.Context()
	r := s.assigned(t, 1)
	right := authentication.Use{Serial: r.Serial, Version: r.Version, Number: 1, Before: r.Current.Clock, After: token.Clock{LastInterval: 5}}
	for name, wrong := range map[string]func(*authentication.Use){
		"version": func(u *authentication.Use) { u.Version++ },
		"number":  func(u *authentication.Use) { u.Number++ },
		"serial":  func(u *authentication.Use) { u.Serial = made(2).Serial },
		"guard":   func(u *authentication.Use) { u.Before.LastInterval = 4 },
		"count":   func(u *authentication.Use) { u.Before.BadPasscodes = 1 },
		"enabled": func(u *authentication.Use) { u.Disabled = true },
	} {
		late := right
		wrong(&late)
		err := s.Transact(ctx, func(ctx context.Context) error {
			return s.Settle(ctx, authentication.Settlement{Guards: []authentication.Guard{{UserID: "alice", Sources: []byte("12345678")}}, Uses: []authentication.Use{late}})
		})
		refused(t, err, fault.Conflict)
		got, err := subjectsOf(ctx, s, []string{"alice"})
		must(t, got, err)
		if got[0].Guard.Sources != nil || got[0].Tokens[0].Current.LastInterval != token.Unused {
			t.Errorf("%s: something was kept: %+v", name, got[0])
		}
	}
	ok(t, s.Settle(ctx, authentication.Settlement{Uses: []authentication.Use{right}}))
	refused(t, s.Settle(ctx, authentication.Settlement{Uses: []authentication.Use{right}}), fault.Conflict)
	refused(t, s.Settle(ctx, authentication.Settlement{Guards: []authentication.Guard{{UserID: "nobody"}}}), fault.Conflict)

	r = s.change(t, r.Serial, func(r *token.Token) { r.Enabled = false })
	learnt := authentication.Use{Serial: r.Serial, Version: r.Version, Number: 1, Before: r.Current.Clock, After: token.Clock{LastInterval: 6, Offset: 3}}
	refused(t, s.Settle(ctx, authentication.Settlement{Uses: []authentication.Use{learnt}}), fault.Conflict)
	learnt.Disabled = true
	ok(t, s.Settle(ctx, authentication.Settlement{Uses: []authentication.Use{learnt}}))
}

func attempts(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addUser(t, "alice")
	s.addUser(t, "bob")
	a := authentication.Attempt{ID: "A", Agent: "radius:vpn", UserID: "nobody", Turn: 1, ExpiresAt: day(1), Sealed: seed.Sealed{KeyID: 1, Blob: []byte("a")}}
	b := authentication.Attempt{ID: "B", Agent: "agent:web", UserID: "alice", Turn: 1, ExpiresAt: day(2), Sealed: seed.Sealed{KeyID: 2, Blob: []byte("b")}}
	kept := authentication.Kept{Key: []byte("0123456789abcdef"), Sealed: seed.Sealed{KeyID: 1, Blob: []byte("k")}, ExpiresAt: day(1)}
	ok(t, s.Settle(ctx, authentication.Settlement{Attempts: []authentication.Attempt{b, a}, Decided: []authentication.Kept{kept}}))
	refused(t, s.Settle(ctx, authentication.Settlement{Attempts: []authentication.Attempt{a}}), fault.Conflict)
	a.Before, b.Before = 1, 1
	got, err := attemptsOf(ctx, s, []string{"B", "A", "C"})
	same(t, must(t, got, err), []authentication.Attempt{a, b})
	again, err := decisionsOf(ctx, s, [][]byte{[]byte("fedcba9876543210"), kept.Key})
	same(t, must(t, again, err), []authentication.Kept{kept})

	// Who asks for an attempt gets its user, too.
	found, err := s.Gather(ctx, authentication.Wanted{Attempts: []string{"B", "no\x00id"}, Unsaid: true, Users: []string{"bob"}, Keys: [][]byte{kept.Key}})
	ok(t, err)
	same(t, found.Attempts, []authentication.Attempt{b})
	same(t, found.Decided, []authentication.Kept{kept})
	if len(found.Subjects) != 2 || found.Subjects[0].UserID != "alice" || found.Subjects[1].UserID != "bob" {
		t.Errorf("%+v", found.Subjects)
	}

	// A decision that two servers made at once is kept once.
	late := b
	late.Before = 2
	refused(t, s.Settle(ctx, authentication.Settlement{Ended: []authentication.Attempt{late}}), fault.Conflict)
	ok(t, s.Settle(ctx, authentication.Settlement{Ended: []authentication.Attempt{b}}))
	refused(t, s.Settle(ctx, authentication.Settlement{Ended: []authentication.Attempt{b}}), fault.Conflict)
	ok(t, s.DropAttempts(ctx, day(1)))
	got, err = attemptsOf(ctx, s, []string{"A", "B"})
	same(t, must(t, got, err), []authentication.Attempt{a})
	ok(t, s.DropAttempts(ctx, day(1).Add(1)))
	ok(t, s.DropAttempts(ctx, day(1).Add(time.Microsecond)))
	got, err = attemptsOf(ctx, s, []string{"A"})
	same(t, len(must(t, got, err)), 0)
	again, err = decisionsOf(ctx, s, [][]byte{kept.Key})
	same(t, len(must(t, again, err)), 0)
}

// subjectsOf are the users of the IDs that are there.
func subjectsOf(ctx context.Context, s Store, ids []string) ([]authentication.Subject, error) {
	found, err := s.Gather(ctx, authentication.Wanted{Users: ids})
	return found.Subjects, err
}

func attemptsOf(ctx context.Context, s Store, ids []string) ([]authentication.Attempt, error) {
	found, err := s.Gather(ctx, authentication.Wanted{Attempts: ids})
	return found.Attempts, err
}

func decisionsOf(ctx context.Context, s Store, keys [][]byte) ([]authentication.Kept, error) {
	found, err := s.Gather(ctx, authentication.Wanted{Keys: keys})
	return found.Decided, err
}
