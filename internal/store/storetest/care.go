package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

func registry(s fixture) *token.Registry {
	return &token.Registry{Store: s, Now: func() time.Time { return start }}
}

// What is done to many tokens at once leaves each as what is done to one of them leaves it.
func manyTokens(t *testing.T, s fixture) {
	r := registry(s)
	for _, id := range []string{"alice", "bob"} {
		s.addUser(t, id)
	}
	n := 0
	one := map[string]func(context.Context, string) error{
		"enable":   func(ctx context.Context, serial string) error { _, err := r.Enable(ctx, serial, 0); return err },
		"disable":  func(ctx context.Context, serial string) error { _, err := r.Disable(ctx, serial, 0); return err },
		"unassign": func(ctx context.Context, serial string) error { _, err := r.Unassign(ctx, serial, 0); return err },
		"delete":   r.Delete,
	}
	many := map[string]func(context.Context, []string) ([]token.Outcome, error){
		"enable": r.EnableAll, "disable": r.DisableAll, "unassign": r.UnassignAll, "delete": r.DeleteAll,
	}
	rapid.Check(t, func(rt *rapid.T) {
		const size = 5
		// Two families of the same tokens: one is changed one by one, the other at once.
		var families [2][]string
		for i := range size {
			member := made(0)
			if rapid.Bool().Draw(rt, "assigned") {
				ok(t, member.Assign(rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "user"), "test", start))
				member.Enabled = rapid.Bool().Draw(rt, "enabled")
				member.Current.Delivered = rapid.Bool().Draw(rt, "delivered")
			}
			pending := member.UserID != "" && rapid.Bool().Draw(rt, "pending")
			with := rapid.IntRange(0, i).Draw(rt, "with") // is it replaced by this one?
			for f := range families {
				n++
				named := made(n)
				named.UserID, named.AssignedAt, named.AssignedBy, named.Enabled = member.UserID, member.AssignedAt, member.AssignedBy, member.Enabled
				named.Current.Delivered = member.Current.Delivered
				if pending {
					g := generation(named.Serial, 2)
					named.Await(g, day(7))
				}
				families[f] = append(families[f], named.Serial)
				s.add(t, named)
				if with != i {
					other := s.get(t, families[f][with])
					if other.UserID != "" && other.UserID == named.UserID && !other.InReplacement() {
						s.change(t, other.Serial, func(o *token.Token) { o.ReplacedBy = named.Serial })
						s.change(t, named.Serial, func(o *token.Token) { o.Replaces = other.Serial })
					}
				}
			}
		}
		for range rapid.IntRange(1, 3).Draw(rt, "steps") {
			do := rapid.SampledFrom([]string{"enable", "disable", "unassign", "delete"}).Draw(rt, "do")
			chosen := rapid.SliceOfNDistinct(rapid.IntRange(0, size-1), 1, size, rapid.ID).Draw(rt, "tokens")
			var serials []string
			var want []fault.Code
			for _, i := range chosen {
				want = append(want, fault.CodeOf(one[do](t.Context(), families[0][i])))
				serials = append(serials, families[1][i])
			}
			outcomes, err := many[do](t.Context(), serials)
			ok(t, err)
			for i, o := range outcomes {
				if o.Serial != serials[i] || fault.CodeOf(o.Err) != want[i] {
					rt.Fatalf("%s: %v, want %q", do, o, want[i])
				}
			}
		}
		for i := range size {
			a, errA := s.Token(t.Context(), families[0][i])
			b, errB := s.Token(t.Context(), families[1][i])
			if (errA == nil) != (errB == nil) {
				rt.Fatalf("%v and %v", errA, errB)
			}
			if errA != nil {
				continue
			}
			if a.UserID != b.UserID || a.Enabled != b.Enabled || a.Tainted != b.Tainted || numbered(a) != numbered(b) || a.InReplacement() != b.InReplacement() ||
				a.Current.BadPasscodes != b.Current.BadPasscodes {
				rt.Fatalf("one by one %+v\nat once %+v", a, b)
			}
		}
	})

	missing := made(n + 1).Serial
	twice := made(n + 2)
	s.add(t, twice)
	outcomes, err := r.DeleteAll(t.Context(), []string{missing, twice.Serial, twice.Serial})
	ok(t, err)
	refused(t, outcomes[0].Err, fault.TokenNotFound)
	if outcomes[1].Err != nil || outcomes[2].Err != nil {
		t.Errorf("named twice: %v", outcomes)
	}
	_, err = r.DisableAll(t.Context(), make([]string, token.MaxTogether+1))
	refused(t, err, fault.TooLarge)
}

func numbered(r token.Token) string {
	pending := 0
	if r.Pending != nil {
		pending = r.Pending.Number
	}
	return fmt.Sprint(r.Current.Number, pending, r.LastNumber)
}

// issued stores a token of alice's that was handed out and lasts so many days.
func (s fixture) issued(t testing.TB, n, days int) token.Token {
	t.Helper()
	r := made(n)
	ok(t, r.Assign("alice", "test", start.AddDate(-1, 0, 0)))
	r.Expiry, r.EffectiveExpiry, r.DistributedAt, r.Distribution, r.IssueCount = day(days), day(days), start, token.Issued, 1
	return s.add(t, r)
}

// spare stores an unassigned token that lasts so many days.
func (s fixture) spare(t testing.TB, n, days int) string {
	t.Helper()
	r := made(n)
	r.Expiry, r.EffectiveExpiry = day(days), day(days)
	return s.add(t, r).Serial
}

func codes(outcomes []token.Outcome) (all []fault.Code) {
	for _, o := range outcomes {
		all = append(all, fault.CodeOf(o.Err))
	}
	return all
}

// reasonOf is why a token cannot be extended.
func reasonOf(err error) any {
	var refusal *fault.Error
	if !errors.As(err, &refusal) {
		return nil
	}
	return refusal.Details["reason"]
}

func extensions(t *testing.T, s fixture) {
	ctx, r := t.Context(), registry(s)
	s.addUser(t, "alice")
	late, soon, over := s.issued(t, 101, 500), s.issued(t, 102, 20), s.issued(t, 103, -10)
	s.spare(t, 201, -1) // over
	first, second, third := s.spare(t, 202, 10), s.spare(t, 203, 100), s.spare(t, 204, 100)
	lost := made(205)
	lost.EffectiveExpiry, lost.LostAt = day(600), start
	s.add(t, lost)
	evaluation := made(25)
	ok(t, evaluation.Assign("alice", "test", start))
	evaluation.DistributedAt = start
	s.add(t, evaluation)
	hardware, device := s.spare(t, 207, 700), s.issued(t, 104, 20)
	for _, serial := range []string{hardware, device.Serial} {
		s.change(t, serial, func(r *token.Token) { r.Hardware = true })
	}
	kept := made(301)
	ok(t, kept.Assign("alice", "test", start))
	s.add(t, kept)

	// Each consumes the record that ends first of those that last longer, whatever the order in which they are named.
	serials := []string{late.Serial, soon.Serial, evaluation.Serial, kept.Serial, made(999).Serial, over.Serial, soon.Serial, device.Serial}
	outcomes, all, err := r.Extend(ctx, serials, token.Extension{Donors: true})
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{fault.NoDonor, "", fault.NotExtendable, fault.NotExtendable, fault.TokenNotFound, "", "", fault.NotExtendable})
	same(t, reasonOf(outcomes[7].Err), "hardware")
	same(t, outcomes[1].Note, "2026-01-22 -> 2026-04-12, donor "+second)
	same(t, outcomes[5].Note, "2025-12-23 -> 2026-01-12, donor "+first)
	same(t, len(all), 2)
	for serial, want := range map[string]time.Time{late.Serial: day(500), soon.Serial: day(100), over.Serial: day(10)} {
		same(t, s.get(t, serial).EffectiveExpiry, want)
	}
	got := s.get(t, soon.Serial)
	same(t, got.Expiry, soon.Expiry) // what the device knows
	same(t, got.Current, soon.Current)
	same(t, []any{got.ExtensionCount, got.ExtendedBy, got.Version}, []any{1, second, 2})
	for _, serial := range []string{first, second} {
		_, err := s.Token(ctx, serial)
		refused(t, err, fault.TokenNotFound)
	}

	// A chosen donor, and what cannot be one.
	_, _, err = r.Extend(ctx, []string{soon.Serial, late.Serial}, token.Extension{Donor: third})
	refused(t, err, fault.Invalid)
	for donor, code := range map[string]fault.Code{
		third: fault.DonorEarlier, kept.Serial: fault.TokenAssigned, lost.Serial: fault.NoDonor, hardware: fault.NoDonor, made(998).Serial: fault.TokenNotFound, soon.Serial: fault.TokenAssigned,
	} {
		outcomes, _, err = r.Extend(ctx, []string{soon.Serial}, token.Extension{Donor: donor})
		ok(t, err)
		same(t, codes(outcomes), []fault.Code{code})
	}
	fourth := s.spare(t, 206, 101)
	outcomes, _, err = r.Extend(ctx, []string{soon.Serial}, token.Extension{Donor: fourth})
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{""})

	// In a replacement.
	s.change(t, over.Serial, func(o *token.Token) { o.ReplacedBy = kept.Serial })
	s.change(t, kept.Serial, func(o *token.Token) { o.Replaces = over.Serial })
	outcomes, _, err = r.Extend(ctx, []string{over.Serial}, token.Extension{Donors: true})
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{fault.NotExtendable})
	same(t, s.get(t, third).Version, 1)

	// What was done is kept, in pages, while the token is there.
	history, err := r.Extensions(ctx, token.ExtensionFilter{Serial: soon.Serial})
	ok(t, err)
	same(t, history, []token.Extended{
		{Serial: soon.Serial, Number: 1, Was: day(20), Until: day(100), Device: day(20), Donor: second, By: "server", At: start},
		{Serial: soon.Serial, Number: 2, Was: day(100), Until: day(101), Device: day(20), Donor: fourth, By: "server", At: start},
	})
	page, err := r.Extensions(ctx, token.ExtensionFilter{After: history[0], Limit: 1})
	ok(t, err)
	same(t, page, history[1:])
	page, err = r.Extensions(ctx, token.ExtensionFilter{Job: "none"})
	ok(t, err)
	same(t, len(page), 0)
	ok(t, s.DeleteToken(ctx, soon.Serial))
	page, err = r.Extensions(ctx, token.ExtensionFilter{})
	ok(t, err)
	same(t, len(page), 1)
}

func extensionsWithoutDonors(t *testing.T, s fixture) {
	ctx, r := t.Context(), registry(s)
	s.addUser(t, "alice")
	own, imported := s.issued(t, 101, 20), s.issued(t, 102, 20)
	foreign := made(103)
	foreign.Origin, foreign.UserID, foreign.DistributedAt = token.Imported, "alice", start
	s.add(t, foreign)
	_ = imported
	for _, e := range []token.Extension{{}, {Until: day(-1)}, {Until: token.LastExpiry.AddDate(0, 0, 1)}} {
		_, _, err := r.Extend(ctx, []string{own.Serial}, e)
		refused(t, err, fault.Invalid)
	}
	outcomes, all, err := r.Extend(ctx, []string{own.Serial, foreign.Serial}, token.Extension{Until: day(400)})
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{"", fault.NotExtendable})
	same(t, []any{all[0].Donor, all[0].Until}, []any{"", day(400)})
	outcomes, _, err = r.Extend(ctx, []string{own.Serial}, token.Extension{Until: day(400)})
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{fault.NotExtendable})
	var told *fault.Error
	if !errors.As(outcomes[0].Err, &told) || told.Details["reason"] != token.NotLater {
		t.Errorf("refused with %v", outcomes[0].Err)
	}
	same(t, s.get(t, own.Serial).ExtensionCount, 1)
}

// Two servers that extend at once share the donors, and none of them gives its lifetime twice.
func eachDonorOnce(t *testing.T, s servers) {
	s[0].addUser(t, "alice")
	const each, spares = 3, crowd*3 - 5
	for n := range crowd * each {
		s[0].issued(t, 1000+n, 20)
	}
	for n := range spares {
		s[0].spare(t, 5000+n, 100+n)
	}
	var given sync.Map
	extended := 0
	var mu sync.Mutex
	s.atOnce(t, crowd, func(s fixture, i int) (bool, error) {
		var serials []string
		for k := range each {
			serials = append(serials, made(1000+i*each+k).Serial)
		}
		_, all, err := registry(s).Extend(t.Context(), serials, token.Extension{Donors: true})
		mu.Lock()
		extended += len(all)
		mu.Unlock()
		for _, x := range all {
			if other, twice := given.LoadOrStore(x.Donor, x.Serial); twice {
				return false, fmt.Errorf("%s gave its lifetime to %s too", x.Donor, other)
			}
		}
		return true, err
	})
	if extended > spares {
		t.Errorf("%d were extended with %d donors", extended, spares)
	}
	no := false
	left, err := s[0].Tokens(t.Context(), token.Filter{Assigned: &no})
	same(t, len(must(t, left, err)), spares-extended)
}

// used stores a token of alice's a code of which was accepted, at a clock offset.
func (s fixture) used(t testing.TB, n int, interval int, offset int64, at time.Time) token.Token {
	t.Helper()
	r := made(n)
	ok(t, r.Assign("alice", "test", start))
	r.Current.Settings.Interval, r.Current.Offset, r.Current.LastInterval, r.Current.LastUsedAt = interval, offset, 7, at
	return s.add(t, r)
}

func corrections(t *testing.T, s fixture) {
	ctx, r := t.Context(), registry(s)
	s.addUser(t, "alice")
	minute, half, long := s.used(t, 1, 60, 3, start), s.used(t, 2, 30, -4, start), s.used(t, 3, 60, 0, start.AddDate(0, 0, -9))
	fresh := s.assignedTo(t, 4, "alice")
	twoSeeds := s.used(t, 5, 60, 1, start)
	g := generation(twoSeeds.Serial, 2)
	g.LastInterval, g.LastUsedAt, g.Offset = 9, start, 2
	s.change(t, twoSeeds.Serial, func(o *token.Token) { o.Await(g, day(9)) })
	serials := []string{minute.Serial, half.Serial, long.Serial, fresh.Serial, twoSeeds.Serial, made(9).Serial}

	counts, err := r.Offsets(ctx)
	ok(t, err)
	same(t, counts, []token.OffsetCount{{Seconds: -120, Tokens: 1}, {Seconds: 0, Tokens: 1}, {Seconds: 60, Tokens: 1}, {Seconds: 180, Tokens: 1}})
	far, err := r.FarOff(ctx, 2, "", 9)
	ok(t, err)
	off := func(o token.Token) token.Off {
		return token.Off{Serial: o.Serial, UserID: "alice", Intervals: o.Current.Offset, Interval: o.Current.Settings.Interval, LastUsedAt: start}
	}
	same(t, far, []token.Off{off(minute), off(half)})
	far, err = r.FarOff(ctx, 0, half.Serial, 1)
	ok(t, err)
	same(t, far, []token.Off{off(twoSeeds)})

	for _, c := range []token.Correction{{}, {Seconds: 8 * 86400}, {Seconds: 60, UsedSince: day(2), UsedUntil: day(1)}} {
		_, err := r.NewCorrection(ctx, c)
		refused(t, err, fault.Invalid)
	}
	c, err := r.NewCorrection(ctx, token.Correction{Seconds: -100, UsedSince: day(-1), UsedUntil: day(1), Note: "the server was fast"})
	ok(t, err)
	outcomes, err := r.Shift(ctx, serials, c.ID)
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{"", "", "", "", "", fault.TokenNotFound})
	same(t, outcomes[0].Note, "offset +3 -> +1 intervals")
	same(t, outcomes[4].Note, "offset +1 -> -1 intervals; offset +2 -> +0 intervals")
	offsets := func(want ...int64) {
		t.Helper()
		var got []int64
		for _, serial := range serials[:5] {
			o := s.get(t, serial)
			got = append(got, o.Current.Offset)
			if o.Pending != nil {
				got = append(got, o.Pending.Offset)
			}
		}
		same(t, got, want)
	}
	offsets(1, -7, 0, 0, -1, 0)
	if after := s.get(t, minute.Serial); after.Current.LastInterval != 7 || after.Version != 2 {
		t.Errorf("besides the offset: %+v", after)
	}
	// An authentication that was being decided meanwhile is decided again.
	accepted, err := s.Accept(ctx, acceptance(minute, 8))
	if must(t, accepted, err) {
		t.Error("a code was accepted by the old offset")
	}
	_, err = r.Shift(ctx, serials[:1], c.ID)
	refused(t, err, fault.Conflict) // once for each token
	offsets(1, -7, 0, 0, -1, 0)

	// Undone, but for what has learnt a new offset since, or has a new seed.
	moved, err := s.MovedSerials(ctx, c.ID, "", 9)
	same(t, must(t, moved, err), []string{minute.Serial, half.Serial, twoSeeds.Serial})
	ok(t, s.Transact(ctx, func(ctx context.Context) error {
		return s.SaveOffsets(ctx, []token.Moved{{Serial: half.Serial, Number: 1, Is: 5}, {Serial: twoSeeds.Serial, Number: 1, Is: 6}})
	}))
	c, err = r.BeginUndo(ctx, c.ID)
	same(t, must(t, c, err).UndoneBy, "server")
	outcomes, err = r.Shift(ctx, []string{long.Serial}, c.ID)
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{fault.Conflict})
	refused(t, s.Transact(ctx, func(ctx context.Context) error { return s.HoldCorrection(ctx, c.ID) }), fault.Conflict)
	outcomes, err = r.Unshift(ctx, moved, c.ID)
	ok(t, err)
	same(t, codes(outcomes), []fault.Code{"", fault.Conflict, ""})
	offsets(3, 5, 0, 0, 6, 2)
	outcomes, err = r.Unshift(ctx, moved[:1], c.ID)
	same(t, must(t, outcomes, err)[0].Note, "nothing to undo")
	c, err = r.Correction(ctx, c.ID)
	ok(t, err)
	same(t, c, token.Correction{
		ID: c.ID, Seconds: -100, UsedSince: day(-1), UsedUntil: day(1), Note: "the server was fast", By: "server", At: start, UndoneBy: "server", UndoneAt: start,
		Shifted: 4, Undone: 2,
	})
	second, err := r.NewCorrection(ctx, token.Correction{Seconds: 60})
	ok(t, err)
	all, err := r.Corrections(ctx, "", 9)
	same(t, must(t, all, err), []token.Correction{second, c})
	all, err = r.Corrections(ctx, second.ID, 9)
	same(t, must(t, all, err), []token.Correction{c})
	_, err = r.Correction(ctx, "none")
	refused(t, err, fault.NotFound)
}

// assignedTo stores a token of a user that is there.
func (s fixture) assignedTo(t testing.TB, n int, user string) token.Token {
	t.Helper()
	r := made(n)
	ok(t, r.Assign(user, "test", start))
	return s.add(t, r)
}

// Wrong passcodes are forgotten, and nothing else.
func wrongPasscodesCleared(t *testing.T, s fixture) {
	s.addUser(t, "alice")
	wrong := s.assignedTo(t, 1, "alice")
	s.change(t, wrong.Serial, func(o *token.Token) { o.Current.BadPasscodes = 4 })
	right := s.assignedTo(t, 2, "alice")
	outcomes, err := registry(s).ClearNTCAll(t.Context(), []string{wrong.Serial, right.Serial})
	same(t, codes(must(t, outcomes, err)), []fault.Code{"", ""})
	same(t, []int{s.get(t, wrong.Serial).Current.BadPasscodes, s.get(t, wrong.Serial).Version, s.get(t, right.Serial).Version}, []int{0, 3, 1})
}

// Each token gets the replacement that ends first of those that are left.
func manyReplacements(t *testing.T, s fixture) {
	s.addUser(t, "alice")
	a, b, c := s.assignedTo(t, 1, "alice"), s.assignedTo(t, 2, "alice"), s.assignedTo(t, 3, "alice")
	free := s.spare(t, 9, 400)
	s.spare(t, 4, 29) // too few days left
	late, early := s.spare(t, 5, 300), s.spare(t, 6, 100)
	outcomes, err := registry(s).ReplaceAll(t.Context(), []string{a.Serial, b.Serial, a.Serial, free}, true, nil)
	same(t, codes(must(t, outcomes, err)), []fault.Code{"", "", "", fault.TokenNotAssigned})
	same(t, []string{s.get(t, a.Serial).ReplacedBy, s.get(t, b.Serial).ReplacedBy}, []string{early, late})
	same(t, []string{s.get(t, early).Replaces, s.get(t, early).UserID}, []string{a.Serial, "alice"})
	outcomes, err = registry(s).ReplaceAll(t.Context(), []string{a.Serial, early, c.Serial, made(8).Serial}, true, nil)
	same(t, codes(must(t, outcomes, err)), []fault.Code{fault.InReplacement, fault.InReplacement, "", fault.TokenNotFound})
	s.assignedTo(t, 7, "alice")
	outcomes, err = registry(s).ReplaceAll(t.Context(), []string{made(7).Serial}, true, nil)
	same(t, codes(must(t, outcomes, err)), []fault.Code{fault.NoToken})
}
