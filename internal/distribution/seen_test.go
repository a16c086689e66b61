package distribution_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// start begins a job over a selection, of a token a second, so that something can come between.
func (c *crew) start(b distribution.Bulk, s token.Selection) job.Job {
	c.Helper()
	b.While = s.Filter.States()
	o, err := c.dist.Order(c.ctx, b)
	c.must(err)
	return c.startOrder(o, s)
}

func (c *crew) startOrder(o job.Order, s token.Selection) job.Job {
	c.Helper()
	c.Pass(time.Millisecond) // names of jobs have the time
	o.Name, o.Rate = job.DefaultName("job", c.Now()), 1
	o.Items = func(yield func(job.NewItem, error) bool) {
		for chosen, err := range c.tokens.Choose(c.ctx, s) {
			c.must(err)
			if item, err := distribution.Item(chosen, ""); !yield(item, err) {
				return
			}
		}
	}
	j, err := c.jobs.Start(c.ctx, o)
	c.must(err)
	return j
}

// finish does all jobs to their ends.
func (c *crew) finish() {
	c.Helper()
	for open := true; open; {
		c.must(c.jobs.RunAll(c.ctx))
		c.Pass(time.Second)
		left, err := c.db.OpenJobs(c.ctx)
		c.must(err)
		open = len(left) > 0
	}
}

// says expects that an item of a job failed with CONFLICT, in words.
func (c *crew) says(j job.Job, serial, words string) {
	c.Helper()
	items, err := c.jobs.Items(c.ctx, j.ID, job.ItemFilter{State: job.ItemFailed})
	c.must(err)
	for _, item := range items {
		if item.Key == serial && item.Code == "CONFLICT" && strings.Contains(item.Message, words) && strings.Contains(item.Message, "start another job") {
			return
		}
	}
	c.Errorf("%s did not fail with CONFLICT and %q: %+v", serial, words, items)
}

func undistributed() token.Selection {
	yes, software := true, false
	return token.Selection{Filter: token.Filter{Distribution: token.NotDistributed, Assigned: &yes, Hardware: &software}}
}

// What another administrator delivered while a job was on its way stays as it is, and the job says so.
func TestAJobLeavesWhatWasDeliveredMeanwhile(t *testing.T) {
	c := newCrew(t, 3)
	c.profile("file", device.File, nil)
	all := c.serials()
	j := c.start(distribution.Bulk{Profile: "file", Password: "correct horse", Grace: -1}, undistributed())
	c.must(c.jobs.RunAll(c.ctx)) // the first
	single, err := c.dist.Distribute(c.ctx, distribution.Request{Serial: all[1], Profile: "file", Grace: -1})
	c.must(err)
	c.accepted(all[1], c.code(single.File, ""), authentication.Accepted)
	_, err = c.jobs.Cancel(c.ctx, j.ID) // going on later does not fail what it has done
	c.must(err)
	_, err = c.jobs.Resume(c.ctx, j.ID, true)
	c.must(err)
	c.finish()
	if got, want := c.outcomes(j), map[string]string{all[0]: "done", all[1]: "failed CONFLICT", all[2]: "done"}; len(got) != 3 || got[all[0]] != want[all[0]] || got[all[1]] != want[all[1]] || got[all[2]] != want[all[2]] {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	c.says(j, all[1], "was delivered on 2026-11-24 09:14 UTC, after this job was started")
	c.Pass(time.Minute)
	c.accepted(all[1], c.code(single.File, ""), authentication.Accepted)
	for _, serial := range all {
		if tok := c.token(serial); tok.IssueCount != 1 || tok.Current.Number != 1 {
			t.Errorf("%s was issued %d times, and is at generation %d", serial, tok.IssueCount, tok.Current.Number)
		}
	}
	if files := c.files(c.part(c.shown(j), distribution.Files)); len(files) != 2 {
		t.Errorf("%d files", len(files))
	}
}

// What was delivered again after a job was started that ends old seeds has a grace of its own, which that job leaves alone.
func TestACutOffLeavesWhatWasDeliveredMeanwhile(t *testing.T) {
	c := newCrew(t, 2)
	c.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver, p.Grace = profile.OnActivation, 7*24*time.Hour })
	all := c.serials()
	c.finishAs(c.start(distribution.Bulk{Profile: "file", Individual: true, Grace: -1}, undistributed()), job.Done)
	c.finishAs(c.start(distribution.Bulk{Profile: "file", Individual: true, Grace: -1, Reason: distribution.ChangeAttributes}, token.Selection{Serials: all}), job.Done)
	order, err := c.dist.CutOff("")
	c.must(err)
	j := c.startOrder(order, token.Selection{Serials: all})
	_, err = c.dist.Redistribute(c.ctx, distribution.Request{Serial: all[0], Profile: "file", Grace: -1}, distribution.NotReceived, "")
	c.must(err)
	c.finish()
	if got := c.outcomes(j); got[all[0]] != "failed CONFLICT" || got[all[1]] != "done" {
		t.Errorf("outcomes %v", got)
	}
	if one, other := c.token(all[0]), c.token(all[1]); one.Pending == nil || one.Current.Number != 1 || other.Pending != nil || other.Current.Number != 2 {
		t.Errorf("left %+v and %+v", one, other)
	}
}

// Two jobs over the same tokens deliver each once, whatever selected them; the one that comes second says so of each.
func TestTwoJobsOverTheSameTokens(t *testing.T) {
	yes := true
	for name, s := range map[string]token.Selection{
		"undistributed": undistributed(), "all": {All: true, Filter: token.Filter{Assigned: &yes}}, "by users": {UserIDs: []string{"user000", "user001", "user002", "user003"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrew(t, 4)
			c.profile("file", device.File, nil)
			b := distribution.Bulk{Profile: "file", Individual: true, Grace: -1}
			one, two := c.start(b, s), c.start(b, s)
			c.finish()
			first, second := c.outcomes(one), c.outcomes(two)
			for _, serial := range c.serials() {
				got := []string{first[serial], second[serial]}
				slices.Sort(got)
				if !slices.Equal(got, []string{"done", "failed CONFLICT"}) {
					t.Errorf("%s: %v", serial, got)
				}
				if tok := c.token(serial); tok.Current.Number != 1 || tok.IssueCount != 1 {
					t.Errorf("%s is at generation %d after %d issues", serial, tok.Current.Number, tok.IssueCount)
				}
			}
		})
	}
}

// What is listed was delivered before, and is delivered again, as long as nothing comes between.
func TestAListIsDeliveredAgain(t *testing.T) {
	c := newCrew(t, 3)
	c.profile("file", device.File, nil)
	all := c.serials()
	b := distribution.Bulk{Profile: "file", Password: "correct horse", Grace: -1}
	c.finishAs(c.start(b, token.Selection{Serials: all}), job.Done)
	again := c.start(b, token.Selection{Serials: append(slices.Clone(all), "999999999999")})
	c.must(c.jobs.RunAll(c.ctx))
	_, err := c.tokens.Disable(c.ctx, all[1], 0) // is no delivery
	c.must(err)
	_, err = c.tokens.ResetIssueCount(c.ctx, all[1], 0)
	c.must(err)
	_, err = c.tokens.Unassign(c.ctx, all[2], 0)
	c.must(err)
	_, err = (&user.Registry{Store: c.db, Now: c.dist.Now}).Add(c.ctx, user.User{ID: "zoe"})
	c.must(err)
	_, err = c.tokens.Assign(c.ctx, all[2], "zoe")
	c.must(err)
	c.finishAs(again, job.DoneWithErrors)
	c.became(c.outcomes(again), map[string]string{all[0]: "done", all[1]: "done DISABLED", all[2]: "failed CONFLICT", "999999999999": "failed TOKEN_NOT_FOUND"})
	c.says(again, all[2], "belongs to another user")
	if tok := c.token(all[0]); tok.Current.Number != 2 {
		t.Errorf("generation %d", tok.Current.Number)
	}
}

func (c *crew) finishAs(j job.Job, want job.State) {
	c.Helper()
	c.finish()
	if got := c.shown(j); got.State != want {
		c.Errorf("the job ended as %+v", got)
	}
}

// Whoever has moved since a campaign's job was started keeps the seed that works, also while the job waits to be approved.
func TestWhoHasMovedMeanwhileKeepsHerSeed(t *testing.T) {
	c := newCrew(t, 4)
	c.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver, p.Grace = profile.OnActivation, 7*24*time.Hour })
	all := c.serials()
	first := c.start(distribution.Bulk{Profile: "file", Password: "first password", Grace: -1}, token.Selection{Serials: all})
	c.finishAs(first, job.Done)
	files := c.files(c.part(c.shown(first), distribution.Files))
	name := func(serial string) string { return c.holders[serial] + "_" + serial + ".sdtid" }
	for i, begin := range []func() job.Job{
		func() job.Job {
			order, err := c.results.OfferAgain(c.ctx, c.shown(first))
			c.must(err)
			return c.startOrder(order, token.Selection{Filter: token.Filter{NotMoved: first.ID}})
		},
		func() job.Job {
			b := distribution.Bulk{Profile: "file", Password: "second password", Grace: -1, Reason: distribution.NotReceived}
			return c.start(b, token.Selection{Filter: token.Filter{Unconfirmed: true}, Serials: all[2:]})
		},
	} {
		moves, waits := all[2*i], all[2*i+1]
		j := begin()
		c.accepted(moves, c.code(files[name(moves)], "first password"), authentication.Accepted)
		if i == 0 { // the others are for the second job
			for _, serial := range all[2:] {
				r := distribution.Request{Serial: serial, Profile: "file", Password: "first password", Grace: -1}
				out, err := c.dist.Redistribute(c.ctx, r, distribution.NotReceived, "")
				c.must(err)
				files[name(serial)] = out.File
			}
		}
		c.finishAs(j, job.DoneWithErrors)
		c.became(c.outcomes(j), map[string]string{moves: "failed CONFLICT", waits: "done"})
		c.says(j, moves, "has come to use what was delivered before")
		c.Pass(time.Minute) // another code
		c.accepted(moves, c.code(files[name(moves)], "first password"), authentication.Accepted)
		if i == 0 {
			c.became(c.outcomes(j), map[string]string{all[2]: "failed CONFLICT", all[3]: "failed CONFLICT"})
		}
	}
}

// A job that the release before began goes on as it would have: nothing was seen of its tokens, and its inputs are bare device IDs.
func TestAJobOfTheReleaseBefore(t *testing.T) {
	c := newCrew(t, 2)
	c.profile("bound", device.CTF, func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindDeviceID })
	all := c.serials()
	for _, devices := range []map[string]string{{all[0]: phone, all[1]: newer}, {all[0]: newer, all[1]: ""}} {
		order, err := c.dist.Order(c.ctx, distribution.Bulk{Profile: "bound", Grace: -1})
		c.must(err)
		order.Parameters = bytes.Replace(order.Parameters, []byte(`,"inputs":true`), nil, 1) // which it did not say
		c.became(c.runOrder(order, devices, func(id string) []byte { return []byte(id) }), map[string]string{all[0]: "done", all[1]: "done"})
	}
	if got := c.token(all[0]).DeviceID + c.token(all[1]).DeviceID; got != newer+newer {
		t.Errorf("bound to %s", got)
	}
}

// A token that is lost between the start of a job and its turn goes nowhere, also where the clock of the server that was told is behind: what the job would
// send may come to the lost device.
func TestAJobLeavesWhatIsLostMeanwhile(t *testing.T) {
	c := newCrew(t, 3)
	c.profile("app", device.CTKIP, nil)
	all := c.serials()
	lose := func(serial string) {
		t.Helper()
		_, _, err := c.auth.ReportLost(c.ctx, serial, 0, authentication.EmergencyWish{})
		c.must(err)
		c.Pass(time.Minute)
	}
	lose(all[0]) // which whoever starts the job can know
	j := c.start(distribution.Bulk{Profile: "app", Grace: -1}, undistributed())
	c.Pass(-5 * time.Minute)
	lose(all[1])
	c.Pass(5 * time.Minute)
	c.finish()
	if got := c.outcomes(j); got[all[0]] != "done" || got[all[1]] != "failed CONFLICT" || got[all[2]] != "done" {
		t.Errorf("outcomes %v", got)
	}
	c.says(j, all[1], "was reported lost on 2026-11-24 09:14 UTC, after this job was started")
	again := c.start(distribution.Bulk{Profile: "app", Grace: -1, Reason: distribution.LostDevice}, token.Selection{Serials: all[2:]})
	c.Pass(time.Minute)
	lose(all[2])
	c.finishAs(again, job.Done)
}
