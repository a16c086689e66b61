package authentication_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
)

// place puts alice into a domain below one that has policies of its own, and leaves the deployment's as they are by default.
func (d *deployment) place(own policy.Set) {
	d.Helper()
	domains := &domain.Registry{Store: d.db, Now: d.engine.Now}
	for _, at := range [][2]string{{"strict", domain.Root}, {"below", "strict"}} {
		_, err := domains.Add(d.Context(), at[0], at[1], "")
		d.must(err)
	}
	_, err := domains.Put(d.Context(), "below", map[domain.Kind][]string{domain.Users: {"alice"}})
	d.must(err)
	d.policy.tree = policy.NewTree(policy.Default().Settings, []policy.Record{
		{Kind: "token", Domain: "strict", Token: &own.Token}, {Kind: "lockout", Domain: "strict", Lockout: &own.Lockout},
	}, map[string]string{"strict": domain.Root, "below": "strict"})
}

// Whatever a policy says, the one of the user's domain decides, and for others the deployment's.
func TestThePolicyOfTheDomainDecides(t *testing.T) {
	fobs := token.Settings{Digits: 8, Interval: 60, PINType: device.Fob}
	denied := func(d *deployment, times int) {
		for range times {
			d.is(d.begin("00000000"), authentication.Denied, "")
		}
	}
	result := func(d *deployment, passcode string) string { return string(d.begin(passcode).Result) }
	code := func(err error) string { return string(fault.CodeOf(err)) }
	for name, c := range map[string]struct {
		settings token.Settings
		change   func(*policy.Set)
		see      func(*deployment) string
		root     string // what is seen under the deployment's policies
		strict   string // and under those of the domain
	}{
		"failures": {plain, func(s *policy.Set) { s.Token.IncorrectBeforeNTC, s.Lockout.Failures = 0, 2 }, func(d *deployment) string {
			denied(d, 2)
			return result(d, d.code(d.now))
		}, "accepted", "denied"},
		"unlock after": {plain, func(s *policy.Set) { s.Token.IncorrectBeforeNTC, s.Lockout.UnlockAfter = 0, time.Hour }, func(d *deployment) string {
			denied(d, 5)
			d.now = d.now.Add(time.Hour)
			return result(d, d.code(d.now))
		}, "denied", "accepted"},
		"next tokencode": {plain, func(s *policy.Set) { s.Token.IncorrectBeforeNTC = 1 }, func(d *deployment) string {
			denied(d, 1)
			return result(d, d.code(d.now))
		}, "accepted", "next_tokencode"},
		"window small": {plain, func(s *policy.Set) { s.Token.WindowSmall = 0 }, func(d *deployment) string {
			return result(d, d.code(d.now.Add(time.Minute)))
		}, "accepted", "next_tokencode"},
		"window medium": {plain, func(s *policy.Set) { s.Token.WindowMedium = 2 * time.Minute }, func(d *deployment) string {
			return result(d, d.code(d.now.Add(5*time.Minute)))
		}, "next_tokencode", "denied"},
		"window large": {plain, func(s *policy.Set) { s.Token.WindowLarge = time.Hour }, func(d *deployment) string {
			at := d.now.Add(3 * time.Hour)
			return code(d.engine.Resync(d.Context(), serial, d.code(at), d.code(at.Add(time.Minute))))
		}, "", "RESYNC_OUT_OF_RANGE"},
		"PIN by whom": {fobs, func(s *policy.Set) { s.Token.PINCreation = policy.BySystem }, func(d *deployment) string {
			return string(d.begin(d.code(d.now)).Step)
		}, string(authentication.StepNewPIN), string(authentication.StepSystemAsk)},
		"PIN rules told": {fobs, func(s *policy.Set) { s.Token.PINMin, s.Token.PINMax = 6, 7 }, func(d *deployment) string {
			p := d.begin(d.code(d.now)).PIN
			return fmt.Sprint(p.Min, " to ", p.Max)
		}, "4 to 8", "6 to 7"},
		"PIN set": {fobs, func(s *policy.Set) { s.Token.PINMin = 6 }, func(d *deployment) string {
			return code(d.engine.SetPIN(d.Context(), serial, "8351", false))
		}, "", "PIN_INVALID"},
		"PIN life": {fobs, func(s *policy.Set) { s.Token.PINMaxLife = 24 * time.Hour }, func(d *deployment) string {
			d.must(d.engine.SetPIN(d.Context(), serial, "8351", false))
			d.now = d.now.Add(25 * time.Hour)
			return result(d, "8351"+d.code(d.now))
		}, "accepted", "new_pin"},
		"emergency life": {plain, func(s *policy.Set) { s.Token.EmergencyLife = time.Hour; s.Token.EmergencyLength = 12 }, func(d *deployment) string {
			lost, codes, err := d.engine.ReportLost(d.Context(), serial, 0, authentication.EmergencyWish{Kind: token.CodeSet, Count: 1})
			d.must(err)
			return fmt.Sprint(lost.Emergency.Until.Sub(d.now), " ", len(codes[0]))
		}, "168h0m0s 8", "1h0m0s 12"},
		"emergency if found": {plain, func(s *policy.Set) { s.Token.EmergencyIfFound = policy.Deny }, func(d *deployment) string {
			_, _, err := d.engine.ReportLost(d.Context(), serial, 0, authentication.EmergencyWish{Kind: token.CodeSet, Count: 1})
			d.must(err)
			return result(d, d.code(d.now))
		}, "accepted", "denied"},
	} {
		for place, url := range map[string]func(*testing.T) string{"SQLite": sqlite, "PostgreSQL": func(t *testing.T) string { return storetest.Postgres(t) }} {
			if place == "PostgreSQL" && name != "failures" && name != "PIN set" {
				continue // where the domain comes from is the same for all of them
			}
			t.Run(name+"/"+place, func(t *testing.T) {
				d := newDeployment(t, url(t), c.settings)
				if got := c.see(d); got != c.root {
					t.Errorf("at the root: %s, want %s", got, c.root)
				}
				d = newDeployment(t, url(t), c.settings)
				own := policy.Default()
				c.change(&own)
				d.place(own)
				if got := c.see(d); got != c.strict {
					t.Errorf("in the domain: %s, want %s", got, c.strict)
				}
			})
		}
	}
}

// Users of several domains are each under the policies of their own.
func TestUsersOfSeveralDomains(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	own := policy.Default()
	own.Lockout.Failures = 2
	d.place(own)
	d.addUser("bob")
	for range 2 {
		for _, who := range []string{"alice", "bob"} {
			if got, err := d.engine.Check(t.Context(), who, "00000000"); err != nil || got != authentication.Denied {
				t.Fatalf("%s: %s, %v", who, got, err)
			}
		}
	}
	guards, err := d.db.Guards(t.Context(), []string{"alice", "bob"})
	d.must(err)
	if guards["alice"].Own.LockedAt.IsZero() || !guards["bob"].Own.LockedAt.IsZero() {
		t.Errorf("%+v", guards)
	}
}
