package authentication_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// lose marks alice's token lost and returns her emergency codes.
func (d *deployment) lose(kind token.EmergencyKind, count int) []string {
	d.Helper()
	_, codes, err := d.engine.ReportLost(d.Context(), serial, 0, authentication.EmergencyWish{Kind: kind, Count: count})
	d.must(err)
	return codes
}

func (d *deployment) isLost() bool {
	d.Helper()
	r := d.read()
	return r.Lost()
}

func (d *deployment) find() {
	d.Helper()
	_, err := d.engine.ReportFound(d.Context(), serial, 0)
	d.must(err)
}

func TestALostTokenIsRefused(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Lockout.Failures = 2
	d.lose("", 0)
	for range 3 { // who found it does not lock the user out
		d.is(d.begin(d.later(1)), authentication.Denied, "")
	}
	d.find()
	d.find() // nothing to do
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	if got := d.reasons(); got != "TOKEN_LOST TOKEN_LOST TOKEN_LOST" {
		t.Error(got)
	}
	if got := strings.Join(d.actions("token:"+serial), " "); got != "token.lost token.found" {
		t.Error(got)
	}
}

func TestAFixedCodeWorksUntilItExpires(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.EmergencyIfFound = policy.Deny
	code := d.lose(token.FixedCode, 0)[0]
	for range 3 {
		d.is(d.begin(code), authentication.Accepted, "")
	}
	d.is(d.begin(strings.ToLower(code)), authentication.Accepted, "") // people copy it from paper
	if got := d.read(); got.Current.LastInterval != token.Unused || !got.Current.LastUsedAt.IsZero() || !got.Emergency.LastUsedAt.Equal(d.now) {
		t.Errorf("the token itself was used: %+v", got.Current.Clock)
	}
	d.now = d.now.Add(7*24*time.Hour - time.Microsecond)
	d.is(d.begin(code), authentication.Accepted, "")
	d.now = d.now.Add(time.Microsecond)
	d.is(d.begin(code), authentication.Denied, "")
	d.lose("", 0)
	d.is(d.begin(code), authentication.Denied, "") // there are none any more
	if got := d.reasons(); got != "EMERGENCY_EXPIRED TOKEN_LOST" {
		t.Error(got)
	}
}

func TestCodesOfASetWorkOnce(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	codes := d.lose(token.CodeSet, 3)
	if len(codes) != 3 {
		t.Fatalf("%d codes", len(codes))
	}
	d.is(d.begin(codes[1]), authentication.Accepted, "")
	d.is(d.begin(codes[1]), authentication.Denied, "")
	d.is(d.begin(codes[2]), authentication.Accepted, "")
	d.is(d.begin(codes[0]), authentication.Accepted, "")
	d.is(d.begin(codes[0]), authentication.Denied, "")
	if left := d.read().Emergency.Left(); left != 0 {
		t.Errorf("%d left", left)
	}
	fresh := d.lose(token.CodeSet, 1) // new ones end the old ones
	d.is(d.begin(codes[2]), authentication.Denied, "")
	d.is(d.begin(fresh[0]), authentication.Accepted, "")
	if got := d.reasons(); got != "RETRY_AFTER_ACCEPT RETRY_AFTER_ACCEPT BAD_PASSCODE" || d.failures() != 0 {
		t.Errorf("%s, %d failures", got, d.failures())
	}
	// A copy is one only soon after, and from whom was told.
	_, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: fresh[0], Source: stranger})
	d.must(err)
	d.recorded(authentication.EmergencyUsed, "token")
	d.now = d.now.Add(time.Minute)
	d.is(d.begin(fresh[0]), authentication.Denied, "")
	d.recorded(authentication.EmergencyUsed, "token")
	if d.failures() != 2 {
		t.Errorf("%d failures", d.failures())
	}
}

// A code that began a new PIN is used, and nothing was accepted.
func TestACodeThatBeganANewPINIsUsed(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", true))
	code := d.lose(token.CodeSet, 1)[0]
	d.is(d.begin("8093"+code), authentication.NewPIN, authentication.StepNewPIN)
	d.is(d.begin("8093"+code), authentication.Denied, "")
	d.recorded(authentication.EmergencyUsed, "token")
}

// An emergency code takes the place of the tokencode: the PIN comes before it, whatever the PIN type.
func TestEmergencyCodesWithPINs(t *testing.T) {
	for _, kind := range []device.PINType{device.PINPad, device.Fob} {
		d := newDeployment(t, sqlite(t), token.Settings{Digits: 8, Interval: 60, PINType: kind})
		d.policy.Lockout.Failures, d.policy.Token.IncorrectBeforeNTC = 0, 1
		d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
		codes := d.lose(token.CodeSet, 2)
		wrong := "ZZZZZZZZ"
		for _, passcode := range []string{codes[0], "8094" + codes[0], "8093" + wrong, wrong, codes[0] + "8093", "8093"} {
			d.is(d.begin(passcode), authentication.Denied, "")
		}
		d.is(d.begin("8093"+codes[0]), authentication.Accepted, "") // and no next tokencode is asked for
		if got := d.reasons(); got != "PIN_NOT_ENTERED BAD_PIN BAD_TOKENCODE BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE" {
			t.Errorf("%s: %s", kind, got)
		}
		if got := d.emergencies(); got != "set set - - - -" {
			t.Errorf("%s: of the failures, with an emergency code: %s", kind, got)
		}
		if got := d.read().Current.BadPasscodes; got != 0 {
			t.Errorf("%d bad passcodes after a success", got)
		}
		d.must(d.engine.ForceNewPIN(t.Context(), serial))
		asked := d.is(d.begin("8093"+codes[1]), authentication.NewPIN, authentication.StepNewPIN)
		again := d.is(d.answer(asked, "592048"), authentication.NewPIN, authentication.StepRepeatPIN)
		set := d.is(d.answer(again, "592048"), authentication.NewPIN, authentication.StepReauthenticate)
		d.is(d.answer(set, "592048"+codes[1]), authentication.Denied, "") // once is once
		fixed := d.lose(token.FixedCode, 0)[0]
		d.is(d.begin("592048"+fixed), authentication.Accepted, "")
	}
}

// emergencies are the kinds of emergency codes that the failures in the audit log were made with, in order.
func (d *deployment) emergencies() string {
	d.Helper()
	return d.failed(func(e audit.Event) string {
		kind, _ := e.Details["emergency"].(string)
		return cmp.Or(kind, "-")
	})
}

// Without a PIN, an emergency code begins with one; with a fixed code it is confirmed too.
func TestANewPINWithAnEmergencyCode(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	fixed := d.lose(token.FixedCode, 0)[0]
	d.is(d.begin("8093"+fixed), authentication.Denied, "")
	asked := d.is(d.begin(fixed), authentication.NewPIN, authentication.StepNewPIN)
	set := d.answer(d.answer(asked, "8093"), "8093")
	d.is(d.answer(set, "8093"+fixed), authentication.Accepted, "")

	// An attempt does not outlive the access that it began with.
	d.must(d.engine.ClearPIN(t.Context(), serial))
	asked = d.is(d.begin(fixed), authentication.NewPIN, authentication.StepNewPIN)
	d.find()
	d.is(d.answer(asked, "592048"), authentication.Denied, "")
	// Nor does one outlive its codes: whoever has begun with a stolen one does not set the PIN of her who got others for that.
	stolen := d.lose(token.FixedCode, 0)[0]
	asked = d.is(d.begin(stolen), authentication.NewPIN, authentication.StepNewPIN)
	d.now = d.now.Add(time.Second)
	d.lose(token.FixedCode, 0)
	d.is(d.answer(asked, "592048"), authentication.Denied, "")
	d.find()
	// And no attempt outlives the loss of the token.
	asked = d.is(d.begin(d.later(1)), authentication.NewPIN, authentication.StepNewPIN)
	d.lose("", 0)
	d.is(d.answer(asked, "592048"), authentication.Denied, "")
	if got := d.reasons(); got != "PIN_NOT_EXPECTED EMERGENCY_EXPIRED EMERGENCY_EXPIRED TOKEN_LOST" {
		t.Error(got)
	}
}

// What becomes of a lost token that turns up is the policy's to say.
func TestALostTokenTurnsUp(t *testing.T) {
	for _, rule := range []policy.IfFound{policy.Deny, policy.AcceptAndEnd, policy.AcceptAfter} {
		t.Run(string(rule), func(t *testing.T) {
			d := newDeployment(t, sqlite(t), plain)
			d.policy.Token.EmergencyIfFound = rule
			code := d.lose(token.FixedCode, 0)[0]
			during, ended := authentication.Denied, authentication.Accepted
			if rule == policy.AcceptAndEnd {
				during, ended = authentication.Accepted, authentication.Denied
			}
			d.is(d.begin(d.later(1)), during, "")
			d.is(d.begin(code), ended, "")
			d.now = d.now.Add(7 * 24 * time.Hour)
			after := authentication.Accepted
			if rule == policy.Deny {
				after = authentication.Denied
			}
			d.is(d.begin(d.code(d.now)), after, "")
			if lost := d.isLost(); lost != (rule == policy.Deny) {
				t.Errorf("lost: %t", lost)
			}
			d.lose("", 0) // without emergency codes it is refused, whatever the policy
			d.is(d.begin(d.later(1)), authentication.Denied, "")
		})
	}
}

// In the medium window too, a token that turns up ends emergency access when it is accepted, and not before.
func TestALostTokenTurnsUpWithItsNextTokencode(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.lose(token.FixedCode, 0)
	first := d.is(d.begin(d.code(d.now.Add(5*time.Minute))), authentication.NextTokencode, authentication.StepNextTokencode)
	if d.read().Emergency == nil {
		t.Error("half a sign-in ended emergency access")
	}
	d.is(d.answer(first, d.code(d.now.Add(6*time.Minute))), authentication.Accepted, "")
	if got := d.read(); got.Emergency != nil || got.Lost() {
		t.Errorf("still lost: %+v", got)
	}
}

// A seed that was delivered after the loss is on another device.
func TestANewSeedIsNotLost(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.EmergencyIfFound = policy.Deny
	code := d.lose(token.FixedCode, 0)[0]
	old := d.secret
	d.now = d.now.Add(time.Hour)
	d.secret = d.renewed(true, plain)
	d.is(d.begin(code), authentication.Accepted, "")
	fresh := d.secret
	d.secret = old
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	d.secret = fresh
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	d.is(d.begin(code), authentication.Denied, "")
	if got := d.read(); got.Lost() || got.Emergency != nil || got.Current.Number != 2 {
		t.Errorf("after the first code of the new seed: %+v", got)
	}
}

// Without emergency codes the new seed is waited for as well, and the old one refused.
func TestALostSeedBesideANewOne(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.lose("", 0)
	old := d.secret
	d.now = d.now.Add(time.Hour)
	fresh := d.renewed(true, plain)
	d.is(d.begin(d.code(d.now)), authentication.Denied, "")
	if got := d.reasons(); got != authentication.TokenLost {
		t.Error(got)
	}
	d.secret = fresh
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	d.secret = old
	d.is(d.begin(d.later(1)), authentication.Denied, "")
}

// Wrong emergency codes are failures like any.
func TestWrongEmergencyCodesLock(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	code := d.lose(token.FixedCode, 0)[0]
	for i := range 4 {
		d.begin(fmt.Sprintf("ZZZZZZZ%d", i+2))
	}
	d.is(d.begin(code), authentication.Accepted, "") // begins anew
	for i := range 5 {
		d.begin(fmt.Sprintf("ZZZZZZZ%d", i+2))
	}
	d.is(d.begin(code), authentication.Denied, "")
	if got := d.reasons(); !strings.HasSuffix(got, "BAD_PASSCODE USER_LOCKED") {
		t.Error(got)
	}
}

func TestEmergencyAccessIsRefused(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.EmergencyMaxLife = 10 * 24 * time.Hour
	fixed := authentication.EmergencyWish{Kind: token.FixedCode}
	for name, c := range map[string]struct {
		wish   authentication.EmergencyWish
		change func(*token.Token)
		want   fault.Code
	}{
		"nobody's":      {fixed, func(r *token.Token) { r.UserID = "" }, fault.EmergencyNotAllowed},
		"disabled":      {fixed, func(r *token.Token) { r.Enabled = false }, fault.EmergencyNotAllowed},
		"expired":       {fixed, func(r *token.Token) { r.EffectiveExpiry = d.now.AddDate(0, 0, -2) }, fault.TokenExpired},
		"too long":      {authentication.EmergencyWish{Kind: token.FixedCode, Life: 11 * 24 * time.Hour}, nil, fault.LifetimeTooLong},
		"no codes":      {authentication.EmergencyWish{Kind: token.CodeSet}, nil, fault.Invalid},
		"many codes":    {authentication.EmergencyWish{Kind: token.CodeSet, Count: 51}, nil, fault.Invalid},
		"two fixed":     {authentication.EmergencyWish{Kind: token.FixedCode, Count: 2}, nil, fault.Invalid},
		"no such kind":  {authentication.EmergencyWish{Kind: "paper"}, nil, fault.Invalid},
		"none, but two": {authentication.EmergencyWish{Count: 2}, nil, fault.Invalid},
	} {
		before := d.read()
		changed := before
		if c.change != nil {
			c.change(&changed)
			d.must(d.db.SaveToken(t.Context(), changed))
			changed.Version++
		}
		if _, _, err := d.engine.ReportLost(t.Context(), serial, 0, c.wish); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if d.isLost() {
			t.Errorf("%s: a refusal marked it", name)
		}
		before.Version = changed.Version
		d.must(d.db.SaveToken(t.Context(), before))
	}
	if _, _, err := d.engine.ReportLost(t.Context(), serial, 99999, fixed); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
	if _, err := d.engine.ReportFound(t.Context(), serial, 99999); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
}

// The log tells what was issued, used and ended, and no code.
func TestEmergencyAccessIsRecorded(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	codes := d.lose(token.CodeSet, 2)
	d.begin(codes[0])
	d.begin(d.later(1))
	if got := strings.Join(d.actions("token:"+serial), " "); got != "token.lost emergency.issue emergency.use emergency.end token.found" {
		t.Error(got)
	}
	page, err := d.db.Events(t.Context(), audit.Filter{})
	d.must(err)
	for _, e := range page.Entries {
		for _, code := range codes {
			if strings.Contains(string(e.Record), code) {
				t.Error("a code is in the log")
			}
		}
	}
}

// The PIN of a token that took another's over is checked as it was hashed.
func TestAPINThatIsBoundToAnotherSerial(t *testing.T) {
	d := newDeployment(t, sqlite(t), token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad})
	r := d.read()
	r.PIN.Serial = "100000000099"
	d.must(d.db.SaveToken(t.Context(), r))
	d.must(d.engine.SetPIN(t.Context(), serial, "809357", false))
	merged, err := securid.AddPIN(d.later(1), "809357")
	d.must(err)
	d.is(d.begin(merged), authentication.Accepted, "")
	if err := d.engine.SetPIN(t.Context(), serial, "809357", false); !errors.Is(err, fault.PINInvalid) {
		t.Errorf("its history is not known: %v", err)
	}
}

// A one-time code that comes many times at once, to two servers, is accepted once; a fixed one each time.
func TestEmergencyCodesAtOnce(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url, plain)
		d.policy.Lockout.Failures = 0
		other := d.elsewhere(url)
		accepted := func(code string) int {
			var n atomic.Int32
			var all sync.WaitGroup
			for i := range 32 {
				all.Go(func() {
					engine := []*authentication.Engine{d.engine, other}[i%2]
					got, err := engine.Check(context.Background(), "alice", code)
					if err != nil {
						t.Error(err)
					}
					if got == authentication.Accepted {
						n.Add(1)
					}
				})
			}
			all.Wait()
			return int(n.Load())
		}
		for _, code := range d.lose(token.CodeSet, 4) {
			if n := accepted(code); n != 1 {
				t.Errorf("a one-time code was accepted %d times", n)
			}
		}
		if n := accepted(d.lose(token.FixedCode, 0)[0]); n != 32 {
			t.Errorf("a fixed code was accepted %d times of 32", n)
		}
	})
}

// Nobody gets emergency codes that would be refused as the token's own are.
func TestNoEmergencyCodesThatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*token.Token){
		"the seed of a former user":  func(r *token.Token) { r.Tainted = true },
		"before the first valid day": func(r *token.Token) { r.Birth = r.CreatedAt.AddDate(0, 1, 0) },
	} {
		d := newDeployment(t, sqlite(t), plain)
		d.change(serial, change)
		if _, _, err := d.engine.ReportLost(t.Context(), serial, 0, authentication.EmergencyWish{Kind: token.FixedCode}); !errors.Is(err, fault.EmergencyNotAllowed) {
			t.Errorf("%s: %v", name, err)
		}
		if d.isLost() {
			t.Errorf("%s: the token is marked lost all the same", name)
		}
	}
}

// The record of a denial names the tokens whose codes do not count, or that which made the code, and all of a user who may not sign in: their histories show it.
func TestARecordNamesTheTokensThatDoNotCount(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	disable := func(yes bool) {
		u, err := d.db.User(t.Context(), "alice")
		d.must(err)
		u.Enabled = !yes
		d.must(d.db.SaveUser(t.Context(), u))
	}
	for _, c := range []struct {
		reason   string
		passcode func() string
		detail   string
	}{
		{authentication.UserDisabled, func() string { disable(true); return d.later(1) }, "tokens"},
		{authentication.TokenLost, func() string { disable(false); d.lose("", 0); return d.later(1) }, "token"},
		{authentication.TokenLost, func() string { return "00000000" }, "tokens"},
	} {
		d.is(d.begin(c.passcode()), authentication.Denied, "")
		d.recorded(c.reason, c.detail)
	}
}

// recorded tests the reason of the last sign-in, and that the record names alice's token in a detail.
func (d *deployment) recorded(reason, detail string) {
	d.Helper()
	page, err := d.db.Events(d.Context(), audit.Filter{Object: "user:alice", Action: "authn.*", Newest: true, Limit: 1})
	d.must(err)
	event, err := audit.ParseRecord(page.Entries[0].Record)
	d.must(err)
	if got := fmt.Sprint(event.Details[detail]); event.Reason != reason || !strings.Contains(got, serial) {
		d.Errorf("%s of %s", event.Reason, got)
	}
}
