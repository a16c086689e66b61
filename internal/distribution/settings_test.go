package distribution_test

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/sdtid"
)

// settle changes the deployment's settings.
func (w *world) settle(change func(*policy.Settings)) {
	w.Helper()
	_, err := (&policy.Registry{Store: w.db, Now: w.dist.Now}).EditSettings(w.ctx, 0, change)
	w.must(err)
}

// A token is issued so often and no more, until its count is reset; and it gets a new seed each time, also after that.
func TestTheIssueLimit(t *testing.T) {
	w := newWorld(t)
	w.settle(func(s *policy.Settings) { s.IssueLimit = 2 })
	w.profile("file", device.File, nil)
	w.profile("dynamic", device.CTKIP, nil)
	serial := w.assigned()
	file := distribution.Request{Serial: serial, Profile: "file", Grace: -1}
	for n := 1; n <= 4; n++ {
		if n == 3 {
			_, err := w.dist.Distribute(w.ctx, file)
			w.refused(err, fault.IssueLimit)
			_, err = w.dist.Redistribute(w.ctx, distribution.Request{Serial: serial, Profile: "dynamic", Grace: -1}, distribution.NewDevice, "")
			w.refused(err, fault.IssueLimit)
			_, err = w.tokens.ResetIssueCount(w.ctx, serial, 0)
			w.must(err)
		}
		out, err := w.dist.Distribute(w.ctx, file)
		w.must(err)
		if tok := w.token(serial); out.Generation != n || tok.IssueCount != n {
			t.Errorf("issue %d: generation %d, counted %d", n, out.Generation, tok.IssueCount)
		}
	}
	if tok := w.token(serial); tok.IssuesCounted() != 2 {
		t.Errorf("%d issues count, want 2", tok.IssuesCounted())
	}
}

// An activation code that nobody used issued no seed: it counts until it is replaced, revoked or taken with the token, and no longer.
func TestUnusedCodesDoNotReachTheIssueLimit(t *testing.T) {
	w := newWorld(t)
	w.settle(func(s *policy.Settings) { s.IssueLimit = 1 })
	w.profile("dynamic", device.CTKIP, nil)
	w.profile("file", device.File, nil)
	serial := w.assigned()
	offer := distribution.Request{Serial: serial, Profile: "dynamic", Grace: -1}
	for _, end := range []func(){
		func() { // revoked
			_, err := w.dist.Revoke(w.ctx, serial)
			w.must(err)
		},
		func() { w.Pass(30 * 24 * time.Hour) }, // expired
		func() {},                              // replaced by another one
		func() { // and taken from its user
			_, err := w.tokens.Unassign(w.ctx, serial, 0)
			w.must(err)
			_, err = w.tokens.Assign(w.ctx, serial, "alice")
			w.must(err)
		},
	} {
		_, err := w.dist.Distribute(w.ctx, offer)
		w.must(err)
		if tok := w.token(serial); tok.IssuesCounted() != 1 {
			t.Errorf("%d issues count with an open code, want 1", tok.IssuesCounted())
		}
		end()
	}
	if tok := w.token(serial); tok.IssueCount != 4 || tok.IssuesCounted() != 0 {
		t.Errorf("issued %d times, of which %d count", tok.IssueCount, tok.IssuesCounted())
	}
	_, err := w.dist.Distribute(w.ctx, offer)
	w.must(err)
	_, err = w.tokens.ResetIssueCount(w.ctx, serial, 0) // which forgives the code already
	w.must(err)
	file := distribution.Request{Serial: serial, Profile: "file", Grace: -1}
	_, err = w.dist.Distribute(w.ctx, file)
	w.must(err)
	_, err = w.dist.Distribute(w.ctx, file) // is a seed in somebody's hands
	w.refused(err, fault.IssueLimit)
	_, err = w.dist.Distribute(w.ctx, offer)
	w.refused(err, fault.IssueLimit)
}

// Where the deployment uses no PINs, what is delivered takes none, whatever its profile says; what was delivered before stays.
// A device type whose tokens must take a PIN has none for a deployment without.
func TestNoPINsOnADeviceThatTakesOne(t *testing.T) {
	w := newWorld(t)
	content, err := device.Parse([]byte(`{"device_type": "pins", "version": 1, "digits": [8], "interval_seconds": [60], "pin_types": ["pinpad"], "delivery_methods": ["file"]}`))
	w.must(err)
	_, err = w.profiles.AddDevices(w.ctx, content.Definitions, false)
	w.must(err)
	w.profile("pins", device.File, func(p *profile.Profile) { p.DeviceType, p.PINType = "pins", device.PINPad })
	w.settle(func(s *policy.Settings) { s.NoPINs = true })
	_, err = w.dist.Distribute(w.ctx, distribution.Request{Serial: w.assigned(), Profile: "pins", Grace: -1})
	w.refused(err, fault.ProfileMismatch)
}

func TestNoPINs(t *testing.T) {
	w := newWorld(t)
	w.profile("pinpad", device.File, func(p *profile.Profile) { p.PINType = device.PINPad })
	before, after := w.assigned(), w.assigned()
	request := distribution.Request{Profile: "pinpad", Grace: -1}
	request.Serial = before
	_, err := w.dist.Distribute(w.ctx, request)
	w.must(err)
	w.settle(func(s *policy.Settings) { s.NoPINs = true })
	request.Serial = after
	out, err := w.dist.Distribute(w.ctx, request)
	w.must(err)
	if was, is := w.token(before).Current.Settings.PINType, w.token(after).Current.Settings.PINType; was != device.PINPad || is != device.NoPIN {
		t.Errorf("PIN types %s before and %s after", was, is)
	}
	f, err := sdtid.Parse(out.File)
	w.must(err)
	if tokens, err := f.Open(""); err != nil || tokens[0].AddPIN {
		t.Errorf("the app is told to add a PIN: %v", err)
	}
	w.check(w.code(out.File, ""), "accepted")
}
