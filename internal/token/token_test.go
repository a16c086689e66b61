package token_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func made() token.Token {
	return token.Token{
		Serial: "100000000001", Origin: token.Generated, Birth: start, Expiry: start.AddDate(5, 0, 0), EffectiveExpiry: start.AddDate(5, 0, 0),
		Current: token.Generation{Number: 1, Settings: token.Factory, Clock: token.Clock{LastInterval: token.Unused}}, LastNumber: 1, Distribution: token.NotDistributed,
	}
}

func TestExpiryIsTheLastValidDay(t *testing.T) {
	tok := made()
	end := tok.EffectiveExpiry.AddDate(0, 0, 1)
	for _, c := range []struct {
		at    time.Time
		valid bool
	}{
		{tok.Birth.Add(-time.Nanosecond), false}, {tok.Birth, true},
		{end.Add(-time.Nanosecond), true}, {end, false},
	} {
		if got := tok.ValidAt(c.at); got != c.valid {
			t.Errorf("valid at %s: %t", c.at, got)
		}
	}
}

func TestAssignRefusesWhatIsTakenOrOver(t *testing.T) {
	tok := made()
	if err := tok.Assign("alice", "admin", start); err != nil || !tok.Enabled {
		t.Fatal(err)
	}
	if err := tok.Assign("bob", "admin", start); !errors.Is(err, fault.TokenAssigned) {
		t.Errorf("assigned twice: %v", err)
	}
	old := made()
	if err := old.Assign("alice", "admin", old.Expiry.AddDate(0, 0, 1)); !errors.Is(err, fault.TokenExpired) {
		t.Errorf("expired token assigned: %v", err)
	}
	if err := old.Unassign(); !errors.Is(err, fault.TokenNotAssigned) {
		t.Errorf("unassigned: %v", err)
	}
}

// The PIN goes where the new PIN type cannot take it over (section 8 rule 4).
func TestPINAtSwitchOver(t *testing.T) {
	for _, c := range []struct {
		from, to device.PINType
		length   int
		digits   int
		kept     bool
	}{
		{device.PINPad, device.PINPad, 4, 8, true},
		{device.PINPad, device.Fob, 4, 8, true},
		{device.Fob, device.Fob, 6, 6, true},
		{device.Fob, device.PINPad, 4, 8, false},
		{device.PINPad, device.NoPIN, 4, 8, false},
		{device.Fob, device.NoPIN, 4, 8, false},
		{device.PINPad, device.PINPad, 8, 6, false},
	} {
		tok := made()
		tok.Current.Settings.PINType = c.from
		tok.PIN = token.PIN{Hash: []byte{1}, Length: c.length}
		tok.Replace(token.Generation{Number: 2, Settings: token.Settings{Digits: c.digits, Interval: 60, PINType: c.to}})
		if tok.PIN.IsSet() != c.kept {
			t.Errorf("%s to %s with %d digits: PIN kept %t", c.from, c.to, c.digits, tok.PIN.IsSet())
		}
	}
}

func TestGraceEndsAtItsInstant(t *testing.T) {
	tok := made()
	tok.Await(token.Generation{Number: 2}, start.Add(time.Hour))
	if tok.SwitchOverIfDue(start.Add(time.Hour - time.Nanosecond)) {
		t.Error("switched over early")
	}
	if !tok.SwitchOverIfDue(start.Add(time.Hour)) || tok.Current.Number != 2 || tok.Pending != nil {
		t.Errorf("not switched over: %+v", tok)
	}
}

// The next user of a token must not get in by a seed that is in the hands of the former one: also not by one that she had been given in place of
// another, and had not come to use.
func TestUnassignedTokensAreTainted(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*token.Token)
		tainted bool
	}{
		"never delivered": {func(*token.Token) {}, false},
		"delivered":       {func(t *token.Token) { t.Current.Delivered = true }, true},
		"a new one waits": {func(t *token.Token) {
			t.Current.Delivered = true
			t.Await(token.Generation{Number: 2, Delivered: true}, start)
		}, true},
		"an activation code waits":  {func(t *token.Token) { t.Current.Delivered = true; t.Await(token.Generation{Number: 2}, start) }, false}, // nobody has that seed
		"of a former user":          {func(t *token.Token) { t.Tainted = true }, true},
		"a device, with its seed":   {func(t *token.Token) { t.Hardware, t.Current.Delivered = true, true }, false},
		"delivered after a new one": {func(t *token.Token) { t.Tainted = true; t.Replace(token.Generation{Number: 2, Delivered: true}) }, true},
	} {
		tok := made()
		if err := tok.Assign("alice", "admin", start); err != nil {
			t.Fatal(err)
		}
		c.change(&tok)
		if err := tok.Unassign(); err != nil || tok.Tainted != c.tainted || tok.Pending != nil {
			t.Errorf("%s: tainted %t, %v", name, tok.Tainted, err)
		}
	}
}

// What is lost are the seeds that there are, and a seed that comes after the loss is not, by whatever servers' clocks: they may be apart, and set back.
func TestALossByOtherClocks(t *testing.T) {
	next := func(n int, at time.Time) token.Generation { return token.Generation{Number: n, MadeAt: at} }
	for _, ahead := range []time.Duration{0, -time.Hour, time.Hour} {
		tok := made()
		tok.Current.MadeAt = start.Add(ahead) // the clock that made seeds was ahead, or is
		tok.Await(next(2, start.Add(ahead)), start.AddDate(0, 0, 9))
		if !tok.Lose(start, true) || !tok.LostWith(&tok.Current) || !tok.LostWith(tok.Pending) {
			t.Errorf("%s: a seed was not lost", ahead)
		}
		tok.SwitchOver()
		if !tok.LostWith(&tok.Current) {
			t.Errorf("%s: a seed is lost no more since it took over", ahead)
		}
		tok.Await(next(3, start.Add(-ahead)), start.AddDate(0, 0, 9))
		if tok.LostWith(tok.Pending) {
			t.Errorf("%s: a seed that waits was lost before it was made", ahead)
		}
		tok.Replace(next(4, start.Add(-ahead)))
		if tok.LostWith(&tok.Current) {
			t.Errorf("%s: a seed was lost before it was made", ahead)
		}
		if !tok.Lose(start, true) || !tok.LostWith(&tok.Current) {
			t.Errorf("%s: the new seed was not lost", ahead)
		}
	}
}

// Whatever is done with a token, announced numbers only grow, there is always a current seed,
// a delivered seed is never numbered again, nobody's token keeps no user's PIN, and a seed that a former user has is tainted.
func TestAnySequenceKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tok, now := made(), start
		delivered := map[int]bool{}
		note := func() {
			if tok.Current.Delivered {
				delivered[tok.Current.Number] = true
			}
			if tok.Pending != nil {
				delivered[tok.Pending.Number] = true
			}
		}
		fresh := func(again bool) token.Generation {
			n := tok.Next(again)
			if delivered[n] {
				rt.Fatalf("number %d given out twice", n)
			}
			return token.Generation{Number: n, Settings: token.Factory, Delivered: true}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"assign": func(*rapid.T) { _ = tok.Assign("alice", "admin", now) },
			"unassign": func(t *rapid.T) {
				if tok.Unassign() == nil && tok.Current.Delivered && !tok.Tainted {
					t.Fatalf("the former user has the seed: %+v", tok)
				}
			},
			"deliver": func(*rapid.T) {
				tok.Shape(token.Factory)
				tok.Current.Delivered = true
			},
			"replace": func(*rapid.T) { tok.Replace(fresh(true)) },
			"await":   func(*rapid.T) { tok.Await(fresh(true), now.Add(time.Hour)) },
			"install": func(*rapid.T) {
				if tok.Pending == nil {
					tok.Replace(fresh(false))
				}
			},
			"switch": func(*rapid.T) { tok.SwitchOver() },
			"wait": func(*rapid.T) {
				now = now.Add(30 * time.Minute)
				tok.SwitchOverIfDue(now)
			},
			"": func(t *rapid.T) {
				note()
				if tok.LastNumber < tok.Current.Number || tok.Pending != nil && tok.LastNumber < tok.Pending.Number {
					t.Fatalf("last number %d is not the highest", tok.LastNumber)
				}
				if tok.Pending != nil && tok.Pending.Number <= tok.Current.Number {
					t.Fatalf("pending %d after current %d", tok.Pending.Number, tok.Current.Number)
				}
				if tok.UserID == "" && (tok.Enabled || tok.PIN.IsSet()) {
					t.Fatalf("nobody's token: %+v", tok)
				}
			},
		})
	})
}

// The filter of a lifetime state selects what is in it, at the very bounds of days too.
func TestLifetimes(t *testing.T) {
	today := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{today, today.Add(13 * time.Hour), today.Add(24*time.Hour - time.Microsecond)} {
		for first := -2; first <= 2; first++ {
			for last := first; last <= 5; last++ {
				r := token.Token{Birth: today.AddDate(0, 0, first), EffectiveExpiry: today.AddDate(0, 0, last), UserID: "alice", Enabled: true}
				if want := first <= 0 && 0 <= last && last <= 3; (r.LifetimeAt(now, 3) == token.Expiring) != want { // the last of three days, too
					t.Errorf("%d to %d days at %s is expiring: %t", first, last, now, !want)
				}
				if want := 0 <= last && last <= 3; (r.Summary(token.Situation{Now: now, WarnDays: 3}) == "expiring") != want {
					t.Errorf("%d to %d days at %s is said to be expiring: %t", first, last, now, !want)
				}
				var in []token.Lifetime
				for _, l := range []token.Lifetime{token.NotYetValid, token.Valid, token.Expiring, token.Expired} {
					var f token.Filter
					f.During(l, now, 3)
					if !r.EffectiveExpiry.Before(f.ExpiresFrom) && (f.ExpiresBefore.IsZero() || r.EffectiveExpiry.Before(f.ExpiresBefore)) &&
						(f.BeginsAfter.IsZero() || r.Birth.After(f.BeginsAfter)) && (f.BeginsUntil.IsZero() || !r.Birth.After(f.BeginsUntil)) {
						in = append(in, l)
					}
				}
				if is := r.LifetimeAt(now, 3); len(in) != 1 || in[0] != is {
					t.Errorf("%d to %d days at %s: filters %v, want %s", first, last, now, in, is)
				}
			}
		}
	}
}
