package api

import (
	"context"
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
	h.pass(job.ResultLife)
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
}
