package authentication_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// await gives alice's token a new seed, which waits for its first code beside the old one.
func (d *deployment) await() {
	d.Helper()
	g, err := token.NewGeneration(d.engine.Keys.(token.Keyring), serial, 2, seed.Generate(), d.token, d.now)
	d.must(err)
	r := d.read()
	r.Await(g, d.now.Add(24*time.Hour))
	d.must(d.db.SaveToken(d.Context(), r))
}

// beside gives alice another token with the same PIN.
func (d *deployment) beside(serial string) {
	d.Helper()
	d.spare(serial, true, d.token)
	_, err := d.tokens().Assign(d.Context(), serial, "alice")
	d.must(err)
	d.must(d.engine.SetPIN(d.Context(), serial, "8093", false))
}

// sharedPINs are ways in which alice's PIN is that of a second seed.
var sharedPINs = map[string]func(*deployment){
	"none":            func(*deployment) {},
	"a seed waits":    (*deployment).await,
	"a replacement":   func(d *deployment) { d.spare("100000000002", true, d.token).replaces(true) },
	"a token before":  func(d *deployment) { d.beside("000000000002") },
	"a token after":   func(d *deployment) { d.beside("900000000002") },
	"two and another": func(d *deployment) { d.beside("000000000002"); d.await(); d.beside("900000000002") },
}

func withSharedPINs(t *testing.T, test func(t *testing.T, d *deployment)) {
	for name, more := range sharedPINs {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), fob)
			d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
			more(d)
			test(t, d)
		})
	}
}

// A seed that has nothing to do with a passcode but the PIN must not hide that another one made it: a copy of what was accepted would count
// as a failure, and lock its user.
func TestTheSeedThatMadeTheCodeTellsWhy(t *testing.T) {
	withSharedPINs(t, func(t *testing.T, d *deployment) {
		passcode := "8093" + d.code(d.now)
		d.is(d.begin(passcode), authentication.Accepted, "")
		for range 6 {
			d.is(d.begin(passcode), authentication.Denied, "")
		}
		elsewhere, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: passcode, Source: authentication.Source{Agent: "radius:other"}})
		d.must(err)
		d.is(elsewhere, authentication.Denied, "")
		d.is(d.begin("8094"+d.code(d.now.Add(time.Minute))), authentication.Denied, "")
		d.is(d.begin(d.code(d.now.Add(time.Minute))), authentication.Denied, "")
		d.is(d.begin("8093"+"000000"), authentication.Denied, "")
		if got := d.reasons(); got != strings.Repeat("RETRY_AFTER_ACCEPT ", 6)+"ALREADY_USED BAD_PIN PIN_NOT_ENTERED BAD_TOKENCODE" {
			t.Error(got)
		}
	})
}

func TestWhoFoundATokenLocksNobodyOut(t *testing.T) {
	withSharedPINs(t, func(t *testing.T, d *deployment) {
		d.policy.Token.EmergencyIfFound = policy.Deny
		codes := d.lose(token.CodeSet, 1)
		for range 6 {
			d.is(d.begin("8093"+d.later(1)), authentication.Denied, "")
		}
		if got := d.reasons(); got != strings.TrimSpace(strings.Repeat("TOKEN_LOST ", 6)) {
			t.Error(got)
		}
		d.is(d.begin("8093"+codes[0]), authentication.Accepted, "")
	})
}

func TestAnEmergencyCodeThatIsOverIsToldFromAWrongOne(t *testing.T) {
	withSharedPINs(t, func(t *testing.T, d *deployment) {
		code := d.lose(token.CodeSet, 1)[0]
		d.is(d.begin("8093"+code), authentication.Accepted, "")
		d.is(d.begin("8093"+code), authentication.Denied, "")
		fixed := d.lose(token.FixedCode, 0)[0]
		d.now = d.now.Add(7 * 24 * time.Hour)
		d.is(d.begin("8093"+fixed), authentication.Denied, "")
		if got := d.reasons(); got != "EMERGENCY_USED EMERGENCY_EXPIRED" {
			t.Error(got)
		}
	})
}
