package distribution_test

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/securid"
)

// mailing has the crew's deliveries go by mail.
func (c *crew) mailing() {
	c.Helper()
	outbox := &mail.Outbox{Store: c.db, Keys: c.keys, Policies: &policy.Registry{Store: c.db, Now: c.dist.Now}, Now: c.dist.Now}
	_, err := outbox.EditSettings(c.ctx, 0, nil, func(s *mail.Settings) { s.Enabled, s.Host, s.From = true, "mail.example.com", "tokens@example.com" })
	c.must(err)
	c.dist.Post = outbox
}

// second expects the message with the password or activation code of a token to be in a state, of the newest delivery.
func (c *crew) second(serial string, want mail.State) {
	c.Helper()
	all, err := c.db.Messages(c.ctx, mail.Filter{Serial: serial, Limit: 1})
	c.must(err)
	if m := all[0]; m.Event != mail.Password && m.Event != mail.ActivationCode || m.State != want || m.Sealed.KeyID == 0 != (want == mail.Cancelled) {
		c.Errorf("%s of %s is %s (%s), want %s", m.Event, serial, m.State, m.Trouble, want)
	}
}

// Whatever ends the old seed, the second part of the new one is held until its user has signed in: without it she has a locked file.
func TestHeldMailOutlivesTheOldSeed(t *testing.T) {
	c := newCrew(t, 3)
	c.mailing()
	c.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver, p.Grace = profile.OnActivation, 48*time.Hour })
	all := c.serials()
	first := c.run(distribution.Bulk{Profile: "file", Password: "first password", Grace: -1}, false, all...)
	bulk := distribution.Bulk{Profile: "file", Password: "second password", Grace: -1, Reason: distribution.NewDevice, Mail: true, SecretBy: string(mail.BySignIn)}
	second := c.run(bulk, false, all...)

	used := c.token(all[0])
	s, err := c.keys.OpenSeed(c.ctx, used.Pending.Sealed, used.Serial, used.Pending.Number)
	c.must(err)
	code, err := securid.Code(s.Reveal(), used.Serial, used.Pending.Settings.Digits, used.Pending.Settings.Interval, c.Now())
	c.must(err)
	c.accepted(used.Serial, code, authentication.Accepted)

	order, err := c.dist.CutOff("")
	c.must(err)
	order.Items = unseen(all[1:2])
	_, err = c.jobs.Start(c.ctx, order)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))

	c.Pass(48 * time.Hour)
	n, err := c.tokens.SwitchOverDue(c.ctx)
	c.must(err)
	if n != 1 {
		t.Errorf("the grace of %d old seeds ended", n)
	}
	for _, serial := range all {
		if c.token(serial).Current.Number != 2 {
			t.Errorf("the old seed of %s lives", serial)
		}
		c.second(serial, mail.Held)
	}
	c.gone(first, 3)
	c.gone(second, 0)

	// What is delivered next takes its place, also by hand.
	bulk.Mail, bulk.SecretBy, bulk.SwitchOver = false, "", profile.Immediate
	c.run(bulk, false, all...)
	for _, serial := range all {
		c.second(serial, mail.Cancelled)
	}
	c.gone(second, 3)
}

// A held activation code outlives the old seed as well, and not its revocation: signing in for a dead code would help nobody.
func TestHeldActivationCodes(t *testing.T) {
	c := newCrew(t, 3)
	c.mailing()
	c.profile("file", device.File, nil)
	c.profile("phone", device.CTKIP, func(p *profile.Profile) {
		p.SwitchOver, p.Grace, p.ActivationLife = profile.OnActivation, 48*time.Hour, 96*time.Hour
	})
	all := c.serials()
	c.run(distribution.Bulk{Profile: "file", Password: "first password", Grace: -1}, false, all...)
	offers := c.run(distribution.Bulk{Profile: "phone", Grace: -1, Reason: distribution.NewDevice, Mail: true, SecretBy: string(mail.BySignIn)}, false, all...)
	c.Pass(48 * time.Hour)
	_, err := c.tokens.SwitchOverDue(c.ctx)
	c.must(err)
	for _, serial := range all {
		c.second(serial, mail.Held)
	}
	c.gone(offers, 0)
	_, err = c.dist.Revoke(c.ctx, all[0])
	c.must(err)
	_, err = c.tokens.Unassign(c.ctx, all[1], 0)
	c.must(err)
	c.second(all[0], mail.Cancelled)
	c.second(all[1], mail.Cancelled)
	c.second(all[2], mail.Held)
}
