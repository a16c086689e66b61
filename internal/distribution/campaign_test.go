package distribution_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
)

// campaign tells how far the tokens of a job have come.
func (c *crew) campaign(j job.Job, want distribution.Campaign) {
	c.Helper()
	got, err := c.results.Campaign(c.ctx, j)
	c.must(err)
	if got != want {
		c.Errorf("the campaign is at %+v, want %+v", got, want)
	}
}

// notMoved are the serials of those who have not moved to what a job delivered.
func (c *crew) notMoved(j job.Job) []string {
	c.Helper()
	var all []string
	for serial, err := range c.tokens.Select(c.ctx, token.Selection{Filter: token.Filter{NotMoved: j.Name}}) {
		c.must(err)
		all = append(all, serial)
	}
	return all
}

// A campaign is seen from its start to its end: who has moved, who has not, who gets it again, and who is cut off.
func TestACampaignToNewSeeds(t *testing.T) {
	c := newCrew(t, 6)
	c.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver, p.Grace = profile.OnActivation, 7*24*time.Hour })
	all := c.serials()
	bulk := distribution.Bulk{Profile: "file", Password: "first password", Grace: -1}
	first := c.run(bulk, false, all...)
	c.campaign(first, distribution.Campaign{NotMoved: 6})
	old := c.files(c.part(first, distribution.Files))
	name := func(serial string) string { return c.holders[serial] + "_" + serial + ".sdtid" }
	for _, serial := range all {
		c.accepted(serial, c.code(old[name(serial)], "first password"), authentication.Accepted)
	}
	c.campaign(first, distribution.Campaign{Moved: 6})

	c.Pass(time.Minute)
	bulk.Reason, bulk.Password = distribution.ChangeAttributes, "second password"
	second := c.run(bulk, false, all...)
	c.campaign(first, distribution.Campaign{DeliveredAgain: 6})
	end := c.Now().Add(7 * 24 * time.Hour)
	c.campaign(second, distribution.Campaign{OldSeedLives: 6, FirstEnd: end, LastEnd: end})
	fresh := c.files(c.part(second, distribution.Files))
	c.accepted(all[0], c.code(fresh[name(all[0])], "second password"), authentication.Accepted)
	c.must(c.tokens.Delete(c.ctx, all[1]))
	c.campaign(second, distribution.Campaign{Moved: 1, OldSeedLives: 4, Gone: 1, FirstEnd: end, LastEnd: end})
	if left := c.notMoved(second); len(left) != 4 || left[0] != all[2] {
		t.Errorf("not moved: %v", left)
	}

	// Those who have not moved get it again; the old seed still lets them in.
	c.Pass(time.Hour)
	order, err := c.results.OfferAgain(c.ctx, c.shown(second))
	c.must(err)
	order.Items = unseen(c.notMoved(second)[:2])
	j, err := c.jobs.Start(c.ctx, order)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	if j = c.shown(j); j.Done != 2 || j.Kind != distribution.RedistributeJob {
		t.Errorf("offered again: %+v", j)
	}
	c.campaign(second, distribution.Campaign{Moved: 1, OldSeedLives: 2, DeliveredAgain: 2, Gone: 1, FirstEnd: end, LastEnd: end})
	again := c.files(c.part(j, distribution.Files))
	c.accepted(all[2], c.code(old[name(all[2])], "first password"), authentication.Accepted)
	c.Pass(time.Minute)
	c.accepted(all[2], c.code(again[name(all[2])], "second password"), authentication.Accepted)
	c.accepted(all[3], c.code(fresh[name(all[3])], "second password"), authentication.Denied) // what was offered again replaces the offer

	// The others are cut off.
	order, err = c.dist.CutOff("the campaign is over")
	c.must(err)
	order.Items = job.Keys(append(c.notMoved(second), all[0], "999999999999"))
	j, err = c.jobs.Start(c.ctx, order)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	if j = c.shown(j); j.Done != 3 || j.Failed != 1 {
		t.Errorf("cut off: %+v", j)
	}
	c.campaign(second, distribution.Campaign{Moved: 1, NotMoved: 2, DeliveredAgain: 2, Gone: 1})
	for _, serial := range all[4:] {
		c.accepted(serial, c.code(old[name(serial)], "first password"), authentication.Denied)
		c.accepted(serial, c.code(fresh[name(serial)], "second password"), authentication.Accepted)
	}
	c.campaign(second, distribution.Campaign{Moved: 3, DeliveredAgain: 2, Gone: 1})

	// How it was done is forgotten with the results, and whoever asks is told what to do.
	c.Pass(25 * time.Hour)
	c.must(c.jobs.CleanUp(c.ctx))
	if _, err = c.results.OfferAgain(c.ctx, c.shown(second)); !errors.Is(err, fault.JobExpired) || !strings.Contains(err.Error(), " not-moved:"+second.ID+" ") {
		t.Errorf("offered again too late: %v", err)
	}
}
