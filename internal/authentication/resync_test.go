package authentication_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// resync gives the codes that a token whose clock is off shows now and in the next interval.
func (d *deployment) resync(off time.Duration) error {
	d.Helper()
	at := d.now.Add(off)
	return d.engine.Resync(d.Context(), serial, d.code(at), d.code(at.Add(time.Duration(d.token.Interval)*time.Second)))
}

func (d *deployment) read() token.Token {
	d.Helper()
	t, err := d.db.Token(d.Context(), serial)
	d.must(err)
	return t
}

func TestResyncFindsTheClock(t *testing.T) {
	for _, off := range []time.Duration{-12*time.Hour + time.Minute, -3 * time.Hour, -5 * time.Minute, 0, 47 * time.Minute, 12*time.Hour - time.Minute} {
		d := newDeployment(t, sqlite(t), plain)
		for range 3 {
			d.begin("00000000")
		}
		d.must(d.resync(off))
		got := d.read()
		if want := int64(off/time.Minute) + 1; got.Current.Offset != want || got.Current.BadPasscodes != 0 {
			t.Errorf("%s: offset %d, want %d; %d bad passcodes", off, got.Current.Offset, want, got.Current.BadPasscodes)
		}
		d.now = d.now.Add(time.Minute)
		d.is(d.begin(d.code(d.now.Add(off))), authentication.Denied, "") // used up
		d.now = d.now.Add(time.Minute)
		d.is(d.begin(d.code(d.now.Add(off))), authentication.Accepted, "") // and no next tokencode is asked for
	}
}

// A token that is disabled can learn its clock, and stays disabled.
func TestResyncOfADisabledToken(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	_, err := d.tokens().Disable(t.Context(), serial, 0)
	d.must(err)
	d.must(d.resync(3 * time.Hour))
	d.now = d.now.Add(2 * time.Minute)
	d.is(d.begin(d.code(d.now.Add(3*time.Hour))), authentication.Denied, "")
	_, err = d.tokens().Enable(t.Context(), serial, 0)
	d.must(err)
	d.is(d.begin(d.code(d.now.Add(3*time.Hour))), authentication.Accepted, "")
}

func TestResyncRefuses(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	at := func(off time.Duration) string { return d.code(d.now.Add(off)) }
	for name, c := range map[string]struct {
		first, second string
		want          fault.Code
	}{
		"no code of the token":       {"11223344", "55667788", fault.ResyncNoMatch},
		"one wrong digit":            {at(0), "11223344", fault.ResyncNoMatch},
		"the same twice":             {at(0), at(0), fault.ResyncNotSuccessive},
		"the wrong way round":        {at(time.Minute), at(0), fault.ResyncNotSuccessive},
		"one left out":               {at(0), at(2 * time.Minute), fault.ResyncNotSuccessive},
		"a day behind":               {at(-24 * time.Hour), at(-24*time.Hour + time.Minute), fault.ResyncOutOfRange},
		"just outside, ahead":        {at(12*time.Hour + time.Minute), at(12*time.Hour + 2*time.Minute), fault.ResyncOutOfRange},
		"more than a week ahead":     {at(8 * 24 * time.Hour), at(8*24*time.Hour + time.Minute), fault.ResyncNoMatch},
		"with a PIN before it":       {"8093" + at(0), at(time.Minute), fault.ResyncPasscode},
		"with a PIN before the next": {at(0), "8093" + at(time.Minute), fault.ResyncPasscode},
		"letters":                    {"abcdefgh", at(time.Minute), fault.ResyncPasscode},
		"too short":                  {at(0)[1:], at(time.Minute), fault.Invalid},
		"nothing":                    {"", "", fault.Invalid},
	} {
		err := d.engine.Resync(t.Context(), serial, c.first, c.second)
		if fault.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && (c.first != "" && strings.Contains(err.Error(), c.first)) {
			t.Errorf("%s: the refusal tells the code: %v", name, err)
		}
	}
	if got := d.read(); got.Current.LastInterval != token.Unused || got.Current.Offset != 0 {
		t.Errorf("a refusal changed the clock: %+v", got.Current.Clock)
	}
	// The groups of digits that the app shows may be typed as they are.
	d.must(d.engine.Resync(t.Context(), serial, at(0)[:4]+" "+at(0)[4:], " "+at(time.Minute)))
	for name, c := range map[string]struct {
		off time.Duration
		say string
	}{"both again": {0, "wait for the next two"}, "one that is used": {time.Minute, "wait for the next two"}, "older ones": {-time.Hour, "1h0m0s ahead of what it shows now"}} {
		if err := d.resync(c.off); fault.CodeOf(err) != fault.ResyncUsed || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.engine.Resync(t.Context(), "999999999999", "", ""); !errors.Is(err, fault.TokenNotFound) {
		t.Error(err)
	}
}

// What an app with a PIN in its code shows is told from a code.
func TestResyncKnowsAPasscode(t *testing.T) {
	for _, s := range []token.Settings{{Digits: 8, Interval: 60, PINType: device.PINPad}, {Digits: 6, Interval: 30, PINType: device.PINPad}} {
		d := newDeployment(t, sqlite(t), s)
		d.must(d.engine.SetPIN(t.Context(), serial, "809357", false))
		merged := func(at time.Time) string {
			code, err := securid.AddPIN(d.code(at), "809357")
			d.must(err)
			return code
		}
		next := d.now.Add(time.Duration(s.Interval) * time.Second)
		if err := d.engine.Resync(t.Context(), serial, merged(d.now.Add(3*time.Hour)), merged(next.Add(3*time.Hour))); !errors.Is(err, fault.ResyncPasscode) {
			t.Errorf("%d digits: %v", s.Digits, err)
		}
		d.must(d.resync(3 * time.Hour))
	}
}

// While a new seed waits for its first code, the codes of both seeds will do; those of the new one prove it.
func TestResyncWithASeedThatWaits(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	next := d.renewed(true, plain)
	d.must(d.resync(time.Hour))
	if got := d.read(); got.Current.Number != 1 || got.Current.Offset != 61 || got.Pending == nil || got.Pending.Offset != 0 {
		t.Errorf("after codes of the old seed: %+v", got)
	}
	d.secret = next
	d.must(d.resync(-time.Hour))
	if got := d.read(); got.Current.Number != 2 || got.Current.Offset != -59 || got.Pending != nil {
		t.Errorf("after codes of the new seed: %+v", got)
	}
	if err := d.resync(-time.Hour); !errors.Is(err, fault.ResyncUsed) {
		t.Error(err)
	}
}

// The log tells that it was done or why not, and no code.
func TestResyncIsRecorded(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	first, second := d.code(d.now), d.code(d.now.Add(time.Minute))
	if err := d.engine.Resync(t.Context(), serial, second, first); !errors.Is(err, fault.ResyncNotSuccessive) {
		t.Fatal(err)
	}
	d.must(d.engine.Resync(t.Context(), serial, first, second))
	page, err := d.db.Events(t.Context(), audit.Filter{Object: "token:" + serial})
	d.must(err)
	var told []string
	for _, e := range page.Entries {
		event, err := audit.ParseRecord(e.Record)
		d.must(err)
		told = append(told, event.Action+" "+event.Reason)
		if strings.Contains(string(e.Record), first) || strings.Contains(string(e.Record), second) {
			t.Error("a code is in the log")
		}
	}
	if got := strings.Join(told, ", "); got != "resync.fail RESYNC_NOT_SUCCESSIVE, resync.done " {
		t.Error(got)
	}
}

// A code that is used for a sign-in and for a resynchronisation at once is used once.
func TestResyncAndSignInAtOnce(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url, plain)
		d.policy.Lockout.Failures, d.policy.Token.IncorrectBeforeNTC = 0, 0
		for range 20 {
			d.now = d.now.Add(5 * time.Minute)
			code := d.code(d.now)
			var all sync.WaitGroup
			var accepted, synced bool
			all.Go(func() {
				got, err := d.engine.Check(context.Background(), "alice", code)
				if err != nil {
					t.Error(err)
				}
				accepted = got == authentication.Accepted
			})
			all.Go(func() {
				err := d.resync(0)
				if err != nil && !errors.Is(err, fault.ResyncUsed) {
					t.Error(err)
				}
				synced = err == nil
			})
			all.Wait()
			if accepted == synced {
				t.Errorf("accepted %t and synchronised %t", accepted, synced)
			}
		}
	})
}

// The large window lies around what the clock showed last; and around now, in case that it was set right.
func TestResyncOfAClockThatWasFarOff(t *testing.T) {
	for _, off := range []time.Duration{12*time.Hour + 20*time.Minute, 22 * time.Hour, 0, -11 * time.Hour} {
		d := newDeployment(t, sqlite(t), plain)
		d.must(d.resync(11 * time.Hour))
		d.now = d.now.Add(48 * time.Hour)
		if err := d.resync(off); err != nil {
			t.Errorf("%s: %v", off, err)
		}
	}
	d := newDeployment(t, sqlite(t), plain)
	d.must(d.resync(11 * time.Hour))
	d.now = d.now.Add(48 * time.Hour)
	if err := d.resync(23*time.Hour + 10*time.Minute); !errors.Is(err, fault.ResyncOutOfRange) {
		t.Error(err)
	}
}

// A clock that was learnt while the server's own was wrong is corrected with the others, also if a resynchronisation told it.
func TestACorrectionAfterAResync(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	right := d.now
	d.now = right.Add(3 * time.Hour) // the server's clock is ahead
	d.must(d.resync(-3 * time.Hour))
	fault := token.Correction{Seconds: 3 * 3600, UsedSince: d.now.Add(-time.Minute), UsedUntil: d.now.Add(time.Minute)}
	d.now = right.Add(10 * time.Minute)
	c, err := d.tokens().NewCorrection(t.Context(), fault)
	d.must(err)
	_, err = d.tokens().Shift(t.Context(), []string{serial}, c.ID)
	d.must(err)
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
}

// The second code of a resynchronisation was accepted by no agent: whoever comes with it guesses, or has read it somewhere.
func TestACodeOfAResyncIsNoRetransmission(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.is(d.begin(d.code(d.now.Add(-time.Minute))), authentication.Accepted, "")
	d.must(d.resync(0))
	d.is(d.begin(d.code(d.now.Add(time.Minute))), authentication.Denied, "")
	if got := d.reasons(); got != authentication.AlreadyUsed || d.failures() != 1 {
		t.Errorf("%s; %d failures", got, d.failures())
	}
}

// So is what a next tokencode has told, though the new PIN that it led to was never chosen.
func TestACorrectionAfterANextTokencode(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	right := d.now
	d.now = right.Add(10 * time.Minute) // the server's clock is ahead
	first := d.is(d.begin(d.code(right)), authentication.NextTokencode, authentication.StepNextTokencode)
	d.is(d.answer(first, d.code(right.Add(time.Duration(d.token.Interval)*time.Second))), authentication.NewPIN, authentication.StepNewPIN)
	c, err := d.tokens().NewCorrection(t.Context(), token.Correction{Seconds: 600, UsedSince: d.now.Add(-time.Minute), UsedUntil: d.now.Add(time.Minute)})
	d.must(err)
	_, err = d.tokens().Shift(t.Context(), []string{serial}, c.ID)
	d.must(err)
	if got := d.read().Current; got.Offset != 1 || got.LastAgent != "" { // the next tokencode came with the first, an interval before its time
		t.Errorf("%+v", got.Clock)
	}
}
