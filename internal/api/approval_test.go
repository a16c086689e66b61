package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

// with is a client with an API key.
func (h *house) with(key client.Secret) *client.Client {
	h.t.Helper()
	return try(client.New(h.public.URL, string(key), &http.Client{Transport: h}))(h.t)
}

// approvals has jobs that deliver tokens wait, or not.
func (h *house) approvals(on bool) {
	h.t.Helper()
	try(h.admin.EditSettings(h.t.Context(), 0, client.SettingsEdit{BulkApproval: &on}))(h.t)
}

// Jobs that deliver tokens wait until somebody else approves them, who is told what they would do and nothing that is secret.
func approvalRoutes(t *testing.T, h *house) {
	ctx := t.Context()
	h.profile("approved", "file")
	tok := h.assigned("approved-1")
	h.approvals(true)
	defer h.approvals(false)
	starter := try(h.admin.AddAPIKey(ctx, client.NewAPIKey{Name: "approval starter", Role: "super_admin"}))(t)
	made := try(h.with(starter.Key).AddAPIKey(ctx, client.NewAPIKey{Name: "approval second", Role: "token_admin"}))(t)
	inTurn := try(h.with(starter.Key).AddAPIKey(ctx, client.NewAPIKey{Name: "approval third", Role: "super_admin"}))(t)
	if made.Origin != starter.Origin || starter.Origin == starter.ID { // the administrator of the house made it
		t.Errorf("origins %s and %s", starter.Origin, made.Origin)
	}
	order := client.BulkDistribution{
		Selection: client.Selection{Serials: []string{tok.Serial}}, Name: "approved", Profile: "approved", Password: "correct horse", Protection: "password",
	}
	start := func(name string) client.Job {
		t.Helper()
		order.Name = name
		return try(h.with(starter.Key).DistributeMany(ctx, order))(t)
	}
	j := start("approved")
	must(t, h.Jobs.RunAll(ctx))
	if j = try(h.as(access.HelpDesk).Job(ctx, j.Job))(t); j.State != "awaiting_approval" || j.Total != 1 || j.Done != 0 || j.ApproveUntil == nil || j.ApprovedBy != "" {
		t.Errorf("it waits as %+v", j)
	}
	if want := "profile approved; method file; protection password; passwords one for all"; j.About != want {
		t.Errorf("about %q, not %q", j.About, want)
	}
	if listed := try(h.admin.Jobs(ctx, client.JobFilter{State: "awaiting_approval"}))(t).Jobs; len(listed) != 1 || listed[0].Job != j.Job {
		t.Errorf("listed %+v", listed)
	}
	_, err := h.admin.JobParts(ctx, j.Job)
	refused(t, err, 409, "CONFLICT")

	for name, c := range map[string]*client.Client{"starter": h.with(starter.Key), "made": h.with(made.Key), "sibling": h.with(inTurn.Key), "maker": h.admin} {
		if _, err := c.ApproveJob(ctx, j.Job); err == nil {
			t.Errorf("%s approved", name)
		} else {
			refused(t, err, 403, "APPROVER_IS_STARTER")
		}
	}
	// A key of the same name is another person if it is another key; deleting the one between changes nothing.
	must(t, h.admin.DeleteAPIKey(ctx, "approval starter"))
	_, err = h.with(made.Key).ApproveJob(ctx, j.Job)
	refused(t, err, 403, "APPROVER_IS_STARTER")
	starter = try(h.admin.AddAPIKey(ctx, client.NewAPIKey{Name: "approval starter", Role: "super_admin"}))(t)
	for _, role := range []access.Role{access.HelpDesk, access.PrivilegedHelpDesk, access.Auditor, access.Operator} {
		_, err := h.as(role).ApproveJob(ctx, j.Job)
		refused(t, err, 403, "FORBIDDEN")
		_, err = h.as(role).RejectJob(ctx, j.Job, client.JobRejection{Reason: "no"})
		refused(t, err, 403, "FORBIDDEN")
	}
	second := h.as(access.TokenAdmin)
	_, err = second.ApproveJob(ctx, "none")
	refused(t, err, 404, "JOB_NOT_FOUND")
	if j = try(second.ApproveJob(ctx, "approved"))(t); j.State != "queued" || !strings.HasPrefix(j.ApprovedBy, "key:token_admin-") {
		t.Errorf("approved %+v", j)
	}
	_, err = second.ApproveJob(ctx, j.Job)
	refused(t, err, 409, "NOT_AWAITING_APPROVAL")
	must(t, h.Jobs.RunAll(ctx))
	if j = try(second.Job(ctx, j.Job))(t); j.State != "done" {
		t.Errorf("ended as %+v", j)
	}

	no := start("unwanted")
	_, err = second.RejectJob(ctx, no.Job, client.JobRejection{})
	refused(t, err, 400, "INVALID")
	if no = try(second.RejectJob(ctx, no.Job, client.JobRejection{Reason: "wrong profile"}))(t); no.State != "cancelled" || !strings.HasSuffix(no.Message, ": wrong profile") {
		t.Errorf("rejected %+v", no)
	}
	if again := try(h.with(starter.Key).ResumeJob(ctx, no.Job, client.JobResumption{}))(t); again.State != "awaiting_approval" {
		t.Errorf("resumed %+v", again)
	}
	if cancelled := try(h.with(starter.Key).CancelJob(ctx, no.Job))(t); cancelled.State != "cancelled" {
		t.Errorf("cancelled %+v", cancelled)
	}
	order.DryRun = true
	if dry := start("only tried"); dry.State != "queued" {
		t.Errorf("a dry run is %s", dry.State)
	}
	must(t, h.Jobs.RunAll(ctx))

	// Redistribution, and what offers again, wait too.
	order.DryRun, order.Name = false, "once more"
	again := try(h.with(starter.Key).RedistributeMany(ctx, client.BulkRedistribution{BulkDistribution: order, Reason: "LOST_DEVICE", Note: "left in a train"}))(t)
	if again.State != "awaiting_approval" || !strings.HasSuffix(again.About, "; reason LOST_DEVICE; note left in a train") {
		t.Errorf("redistribution %+v", again)
	}
	try(h.with(starter.Key).CancelJob(ctx, again.Job))(t)
	h.Pass(1e9) // or the two names by default would be one
	if offered := try(h.with(starter.Key).OfferAgain(ctx, j.Job))(t); offered.State != "awaiting_approval" {
		t.Errorf("offered again %+v", offered)
	} else {
		try(second.RejectJob(ctx, offered.Job, client.JobRejection{Reason: "not today"}))(t)
	}
}

// A key of a domain approves what was started there, and nothing of the whole deployment.
func TestAScopedKeyApproves(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	e.profile("estate-file", "file")
	e.approvals(true)
	order := client.BulkDistribution{Selection: client.Selection{Serials: []string{e.inside["serial"]}}, Profile: "estate-file"}
	there := try(e.berlin.DistributeMany(ctx, order))(t)
	order.Name = "everywhere"
	everywhere := try(e.as(access.TokenAdmin).DistributeMany(ctx, order))(t)
	made := func(domain string) *client.Client {
		k := try(e.admin.AddAPIKey(ctx, client.NewAPIKey{Name: "approves " + domain, Role: "token_admin", Domain: domain}))(t)
		return e.with(k.Key)
	}
	for _, job := range []string{there.Job, everywhere.Job} {
		_, err := made(map[string]string{there.Job: "rome", everywhere.Job: "berlin"}[job]).ApproveJob(ctx, job)
		refused(t, err, 403, "OUT_OF_SCOPE")
	}
	if got := try(e.as(access.TokenAdmin).ApproveJob(ctx, there.Job))(t); got.State != "queued" || got.Domain != "berlin" {
		t.Errorf("approved %+v", got)
	}
}
