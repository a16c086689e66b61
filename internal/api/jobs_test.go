package api

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

// started is a job whose items named "bad" are refused.
func (h *house) started(name string, keys ...string) client.Job {
	h.t.Helper()
	h.Jobs.Register(job.Worker{Kind: "test", Right: string(access.Distribute), Chunk: 2, Do: func(_ context.Context, c job.Chunk) ([]job.Outcome, error) {
		done := make([]job.Outcome, len(c.Items))
		for i, item := range c.Items {
			if item.Key == "bad" {
				done[i].Err = fault.New(fault.TokenNotAssigned, "it belongs to nobody")
			}
		}
		return done, nil
	}})
	j := try(h.Jobs.Start(h.t.Context(), job.Order{Kind: "test", Name: name, Items: job.Keys(keys)}))(h.t)
	return h.jobOf(j)
}

func jobRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	j := h.started("first one", "a", "bad", "c", "d", "e")
	if j.Name != "first one" || j.State != "queued" || j.Total != 5 || j.CreatedBy != "server" {
		t.Errorf("started %+v", j)
	}
	other := h.started("other")
	for _, name := range []string{j.Job, j.Name} {
		if got := try(c.Job(ctx, name))(t); got != j {
			t.Errorf("%q is %+v, want %+v", name, got, j)
		}
	}
	_, err := c.Job(ctx, "none")
	refused(t, err, 404, "JOB_NOT_FOUND")
	_, err = h.as(access.HelpDesk).CancelJob(ctx, j.Job)
	refused(t, err, 403, "FORBIDDEN")
	if cancelled := try(h.as(access.TokenAdmin).CancelJob(ctx, j.Job))(t); cancelled.State != "cancelled" || cancelled.EndedAt == nil {
		t.Errorf("cancelled %+v", cancelled)
	}
	_, err = c.CancelJob(ctx, j.Job)
	refused(t, err, 409, "JOB_OVER")
	_, err = h.as(access.HelpDesk).ResumeJob(ctx, j.Job, client.JobResumption{})
	refused(t, err, 403, "FORBIDDEN")
	if resumed := try(c.ResumeJob(ctx, j.Job, client.JobResumption{}))(t); resumed.State != "queued" || resumed.EndedAt != nil {
		t.Errorf("resumed %+v", resumed)
	}

	var seen []client.Job
	watched := make(chan client.Job)
	go func() {
		last, err := c.WatchJob(ctx, j.Job, func(j client.Job) { seen = append(seen, j) })
		if err != nil {
			t.Error(err)
		}
		watched <- last
	}()
	must(t, h.Jobs.RunAll(ctx))
	last := <-watched
	if last.State != "done_with_errors" || last.Done != 4 || last.Failed != 1 || len(seen) == 0 || seen[len(seen)-1] != last {
		t.Errorf("watched %+v", seen)
	}

	page := try(c.JobItems(ctx, j.Name, client.JobItemFilter{Limit: 2}))(t)
	if len(page.Items) != 2 || page.Next != 2 || page.Items[1].OK || page.Items[1].Code != "NOT_ASSIGNED" || page.Items[1].Key != "bad" || !page.Items[0].OK {
		t.Errorf("first page of items %+v", page)
	}
	n := 0
	for item, err := range c.AllJobItems(ctx, j.Job, client.JobItemFilter{State: "done", Limit: 1}) {
		must(t, err)
		if n++; item.State != "done" {
			t.Errorf("item %+v", item)
		}
	}
	if n != 4 {
		t.Errorf("%d items are done", n)
	}
	_, err = c.JobItems(ctx, "none", client.JobItemFilter{})
	refused(t, err, 404, "JOB_NOT_FOUND")

	first := try(c.Jobs(ctx, client.JobFilter{Kind: "test", Limit: 1}))(t)
	if len(first.Jobs) != 1 || first.Jobs[0].Job != other.Job || first.Next != other.Job {
		t.Errorf("first page of jobs %+v", first)
	}
	var all []string
	for found, err := range c.AllJobs(ctx, client.JobFilter{Kind: "test", State: "done_with_errors"}) {
		must(t, err)
		all = append(all, found.Job)
	}
	if len(all) != 1 || all[0] != j.Job {
		t.Errorf("jobs with errors: %v", all)
	}
	h.Pass(24 * time.Hour)
	_, err = c.ResumeJob(ctx, j.Job, client.JobResumption{RetryFailed: true})
	refused(t, err, 410, "JOB_EXPIRED")
}

// Who watches a job that does not exist, or leaves, gets no half of an answer.
func TestWatchingEnds(t *testing.T) {
	h := newHouse(t)
	_, err := h.admin.WatchJob(t.Context(), "none", func(client.Job) {})
	refused(t, err, 404, "JOB_NOT_FOUND")
	j := h.started("slow", "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := try(client.New(h.public.URL, h.key(access.Auditor), nil))(t)
	_, err = c.WatchJob(ctx, j.Job, func(client.Job) { cancel() })
	if ctx.Err() == nil || err == nil {
		t.Errorf("watching ended with %v", err)
	}
	// Whose key is deleted meanwhile learns of nothing more.
	made := try(h.admin.AddAPIKey(t.Context(), client.NewAPIKey{Name: "watches", Role: "auditor"}))(t)
	seen := 0
	c = try(client.New(h.public.URL, string(made.Key), nil))(t)
	_, err = c.WatchJob(t.Context(), j.Job, func(client.Job) {
		if seen++; seen == 1 {
			must(t, h.admin.DeleteAPIKey(t.Context(), "watches"))
			try(h.admin.CancelJob(t.Context(), j.Job))(t)
		}
	})
	if refused(t, err, 401, "UNAUTHORIZED"); seen != 1 {
		t.Errorf("told %d times", seen)
	}
}

// Many tokens are delivered by a job, what it left is downloaded by those who may, and nobody else.
func bulkRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	h.profile("bulk file", "file")
	tok := h.assigned("bulk-1")
	spare := try(c.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)[0]
	order := client.BulkDistribution{Selection: client.Selection{Serials: []string{tok.Serial, spare}}, Name: "nightly", Profile: "bulk file", IndividualPasswords: true, Rate: 1000}
	j := try(c.DistributeMany(ctx, order))(t)
	if j.Kind != "distribute" || j.Name != "nightly" || j.Total != 2 || j.Rate != 1000 {
		t.Errorf("started %+v", j)
	}
	_, err := c.JobParts(ctx, "nightly")
	refused(t, err, 409, "CONFLICT")
	must(t, h.Jobs.RunAll(ctx))
	if j = try(c.Job(ctx, "nightly"))(t); j.Done != 1 || j.Failed != 1 {
		t.Errorf("ended as %+v", j)
	}
	if parts := try(c.JobParts(ctx, j.Job))(t); parts.Gone != 0 || !slices.Equal(parts.Parts, []string{"files", "list", "passwords"}) {
		t.Errorf("parts %v", parts)
	}
	var archive, table bytes.Buffer
	must(t, c.DownloadJobPart(ctx, j.Job, "files", &archive))
	z := try(zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len())))(t)
	if len(z.File) != 1 || z.File[0].Name != "bulk-1_"+tok.Serial+".sdtid" {
		t.Errorf("the archive holds %v", z.File)
	}
	must(t, h.as(access.TokenAdmin).DownloadJobPart(ctx, j.Job, "passwords", &table))
	if rows := strings.Split(table.String(), "\n"); len(rows) != 3 || !strings.HasPrefix(rows[1], tok.Serial+",bulk-1,") {
		t.Errorf("passwords: %d rows", len(rows))
	}
	for _, role := range []access.Role{access.Auditor, access.PrivilegedHelpDesk} {
		refused(t, h.as(role).DownloadJobPart(ctx, j.Job, "files", io.Discard), 403, "FORBIDDEN")
	}
	refused(t, c.DownloadJobPart(ctx, j.Job, "qr", io.Discard), 404, "NOT_FOUND")

	for name, x := range map[string]struct {
		change func(*client.BulkDistribution)
		status int
		code   string
	}{
		"name":      {func(*client.BulkDistribution) {}, 409, "JOB_NAME_TAKEN"},
		"bad name":  {func(d *client.BulkDistribution) { d.Name = "a<b" }, 422, "JOB_NAME_INVALID"},
		"profile":   {func(d *client.BulkDistribution) { d.Profile = "none" }, 404, "PROFILE_NOT_FOUND"},
		"nothing":   {func(d *client.BulkDistribution) { d.Name, d.Selection = "x", client.Selection{} }, 400, "INVALID"},
		"passwords": {func(d *client.BulkDistribution) { d.Password = "correct horse" }, 400, "INVALID"},
		"nobody": {func(d *client.BulkDistribution) {
			d.Name, d.Selection = "y", client.Selection{Users: []string{"bulk-1", "none"}}
		}, 409, "NOT_ASSIGNED"},
	} {
		d := order
		x.change(&d)
		_, err := c.DistributeMany(ctx, d)
		if e, ok := err.(*client.Error); !ok || e.Status != x.status || e.Code != x.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	try(c.AddProfile(ctx, client.NewProfile{Profile: "bulk bound", DeviceType: "android", DeliveryMethod: "ctf", Binding: "device_id", PINType: "none"}))(t)
	bound := client.BulkDistribution{Profile: "bulk bound", Devices: []client.DeviceOf{{UserID: "bulk-1", DeviceID: "d82c467c56fb2058edf8add6"}}, DryRun: true}
	dryRun := try(c.DistributeMany(ctx, bound))(t)
	h.Pass(time.Second)
	bound.Devices = []client.DeviceOf{{Serial: tok.Serial, DeviceID: "?"}}
	wrong := try(c.DistributeMany(ctx, bound))(t)
	must(t, h.Jobs.RunAll(ctx))
	for id, code := range map[string]string{dryRun.Job: "", wrong.Job: "DEVICE_ID_INVALID"} {
		if items := try(c.JobItems(ctx, id, client.JobItemFilter{}))(t).Items; len(items) != 1 || items[0].Key != tok.Serial || items[0].Code != code {
			t.Errorf("with the list of devices: %+v, want %q", items, code)
		}
	}
	h.Pass(time.Second)
	for name, change := range map[string]func(*client.BulkDistribution){
		"two lists": func(d *client.BulkDistribution) { d.Selection.Serials = []string{tok.Serial} },
		"nobody's":  func(d *client.BulkDistribution) { d.Devices = []client.DeviceOf{{DeviceID: "x"}} },
		"both": func(d *client.BulkDistribution) {
			d.Devices = []client.DeviceOf{{Serial: tok.Serial, UserID: "bulk-1"}}
		},
		"mixed": func(d *client.BulkDistribution) {
			d.Devices = []client.DeviceOf{{Serial: tok.Serial}, {UserID: "bulk-1"}}
		},
		"contradicted": func(d *client.BulkDistribution) { d.Devices = append(d.Devices, client.DeviceOf{Serial: tok.Serial}) },
	} {
		d := bound
		change(&d)
		if _, err := c.DistributeMany(ctx, d); err == nil || err.(*client.Error).Code != "INVALID" {
			t.Errorf("%s: %v", name, err)
		}
	}
	order.Name, order.Selection, order.DryRun = "", client.Selection{Users: []string{"bulk-1"}}, true
	again := client.BulkRedistribution{BulkDistribution: order, Reason: "NEW_DEVICE"}
	dry := try(c.RedistributeMany(ctx, again))(t)
	if dry.Kind != "redistribute" || !dry.DryRun || dry.Total != 1 || !strings.HasPrefix(dry.Name, "bulk file 2026-") {
		t.Errorf("dry run %+v", dry)
	}
	must(t, h.Jobs.RunAll(ctx))
	if after := try(c.Token(ctx, tok.Serial))(t); after.Generation != 1 {
		t.Errorf("the dry run made generation %d", after.Generation)
	}
	_, err = c.JobParts(ctx, dry.Job)
	refused(t, err, 404, "NOT_FOUND")
	h.Pass(time.Second)
	_, err = h.as(access.HelpDesk).RedistributeMany(ctx, again)
	refused(t, err, 403, "FORBIDDEN")
	h.Pass(25 * time.Hour)
	must(t, h.Jobs.CleanUp(ctx))
	refused(t, c.DownloadJobPart(ctx, "nightly", "files", io.Discard), 410, "JOB_EXPIRED")
}

// A campaign is looked at, goes to those who have not moved again, and ends.
func campaignRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	h.profile("campaign", "file")
	tok := h.assigned("camp-1")
	try(c.Distribute(ctx, tok.Serial, client.Distribution{Profile: "campaign"}))(t)
	deliver := func(d client.BulkDistribution, reason string) client.Job {
		t.Helper()
		h.Pass(time.Second)
		j := try(c.RedistributeMany(ctx, client.BulkRedistribution{BulkDistribution: d, Reason: reason}))(t)
		must(t, h.Jobs.RunAll(ctx))
		return try(c.Job(ctx, j.Job))(t)
	}
	bulk := client.BulkDistribution{Selection: client.Selection{Serials: []string{tok.Serial}}, Profile: "campaign", SwitchOver: "on_activation"}
	deliver(bulk, "NEW_DEVICE")
	j := deliver(bulk, "CHANGE_ATTRIBUTES")
	if seen := try(c.Campaign(ctx, j.Name))(t); seen.Job != j.Job || seen.OldSeedLives != 1 || seen.FirstEnd == nil {
		t.Errorf("the campaign is at %+v", seen)
	}
	h.Pass(time.Second)
	again := try(c.OfferAgain(ctx, j.Job))(t)
	must(t, h.Jobs.RunAll(ctx))
	if again.Kind != "redistribute" || again.Total != 1 {
		t.Errorf("offered again: %+v", again)
	}
	if seen := try(c.Campaign(ctx, j.Job))(t); seen.DeliveredAgain != 1 || seen.OldSeedLives != 0 {
		t.Errorf("the campaign is at %+v", seen)
	}
	cut := try(c.CutOff(ctx, client.CutOff{Selection: client.Selection{NotMoved: again.Job}, Name: "the end", Note: "why"}))(t)
	must(t, h.Jobs.RunAll(ctx))
	if cut.Kind != "cut_off" || cut.Total != 1 {
		t.Errorf("cut off: %+v", cut)
	}
	if after := try(c.Token(ctx, tok.Serial))(t); after.Pending != nil {
		t.Errorf("after the cut: %+v", after)
	}
	if seen := try(c.Campaign(ctx, again.Job))(t); seen.NotMoved != 1 {
		t.Errorf("the campaign is at %+v", seen)
	}
	_, err := c.CutOff(ctx, client.CutOff{Selection: client.Selection{NotMoved: "none"}})
	refused(t, err, 404, "JOB_NOT_FOUND")
	for code, selection := range map[string]client.Selection{
		"JOB_NOT_FOUND": {NotMoved: "none"}, "GROUP_NOT_FOUND": {Group: "none"}, "PROFILE_NOT_FOUND": {Profile: "none"}, "DOMAIN_NOT_FOUND": {Domain: "none"},
	} {
		_, err := c.DistributeMany(ctx, client.BulkDistribution{Selection: selection, Profile: "campaign"})
		refused(t, err, 404, code)
		_, err = c.DisableMany(ctx, client.CareOrder{Selection: selection})
		refused(t, err, 404, code)
	}
	_, err = c.Campaign(ctx, cut.Job)
	refused(t, err, 404, "NOT_FOUND")
	_, err = c.OfferAgain(ctx, cut.Job)
	refused(t, err, 404, "NOT_FOUND")
}
