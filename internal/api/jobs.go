package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

// jobOf shows a job.
func (a *API) jobOf(j job.Job) client.Job {
	out := client.Job{
		Job: j.ID, Name: j.Name, Kind: j.Kind, Domain: domain.Show(j.Domain), State: string(j.State), DryRun: j.DryRun, Rate: j.Rate,
		Total: j.Total, Done: j.Done, Failed: j.Failed, Message: j.Message, CreatedBy: j.By.Name, CreatedAt: j.CreatedAt,
		About: j.About, ApprovedBy: j.ApprovedBy, ApproveUntil: moment(j.ApproveUntil),
		StartedAt: moment(j.StartedAt), ProgressedAt: moment(j.ProgressedAt), EndedAt: moment(j.EndedAt), ResultsUntil: moment(j.ResultsUntil),
	}
	finished := j.Done + j.Failed
	if took := j.ProgressedAt.Sub(j.StartedAt).Seconds(); finished > 0 && took > 0 {
		out.PerSecond = float64(finished) / took
	}
	if !j.State.Over() && out.PerSecond > 0 {
		left := int64(float64(j.Waiting())/out.PerSecond + 1)
		out.SecondsLeft = &left
	}
	return out
}

func (a *API) shownJob(j job.Job, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return ok(a.jobOf(j))
}

// startedJob answers with a job that was asked for.
func (a *API) startedJob(j job.Job, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	out, err := reply(http.StatusCreated, a.jobOf(j))
	out.Location = at("jobs", j.ID)
	return out, err
}

func (a *API) listJobs(ctx context.Context, r *request) (answer, error) {
	limit := int(r.number("limit", 100))
	var kinds []string
	if role := access.Role(audit.ActorFrom(ctx).Role); !role.May(access.Read) {
		kinds = a.Jobs.Kinds(func(right string) bool { return role.May(access.Right(right)) })
	}
	found, err := a.Jobs.List(ctx, job.Filter{Kinds: kinds, Kind: r.query("kind"), State: job.State(r.query("state")), Before: r.query("before"), Limit: limit + 1})
	if err != nil {
		return answer{}, err
	}
	page := client.JobPage{}
	if len(found) > limit {
		found = found[:limit]
		page.Next = found[limit-1].ID
	}
	page.Jobs = mapped(found, a.jobOf)
	return ok(page)
}

func (a *API) showJob(ctx context.Context, r *request) (answer, error) {
	return a.shownJob(a.seenJob(ctx, r))
}

// seenJob returns a job that the caller may see: that takes the right to read, or the right that starting it took.
func (a *API) seenJob(ctx context.Context, r *request) (job.Job, error) {
	if access.Role(audit.ActorFrom(ctx).Role).May(access.Read) {
		return a.Jobs.Show(ctx, r.PathValue("job"))
	}
	return a.ownJob(ctx, r)
}

func (a *API) jobItems(ctx context.Context, r *request) (answer, error) {
	j, err := a.seenJob(ctx, r)
	if err != nil {
		return answer{}, err
	}
	limit := int(r.number("limit", 100))
	found, err := a.Jobs.Items(ctx, j.ID, job.ItemFilter{State: job.ItemState(r.query("state")), After: int(r.number("after", 0)), Limit: limit + 1})
	if err != nil {
		return answer{}, err
	}
	page := client.JobItemPage{}
	if len(found) > limit {
		found = found[:limit]
		page.Next = found[limit-1].Number
	}
	page.Items = mapped(found, func(i job.Row) client.JobItem {
		return client.JobItem{Number: i.Number, Key: i.Key, State: string(i.State), OK: i.State == job.ItemDone, Code: string(i.Code), Message: i.Message}
	})
	return ok(page)
}

// ownJob returns a job that the caller may cancel and resume: that takes the right that starting it took.
func (a *API) ownJob(ctx context.Context, r *request) (job.Job, error) {
	j, err := a.Jobs.Show(ctx, r.PathValue("job"))
	if err != nil {
		return j, err
	}
	role := access.Role(audit.ActorFrom(ctx).Role)
	if need := access.Right(a.Jobs.Right(j)); !role.May(need) {
		return j, role.Refuse(need)
	}
	return j, nil
}

func (a *API) cancelJob(ctx context.Context, r *request) (answer, error) {
	j, err := a.ownJob(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return a.shownJob(a.Jobs.Cancel(ctx, j.ID))
}

func (a *API) resumeJob(ctx context.Context, r *request, in client.JobResumption) (answer, error) {
	j, err := a.ownJob(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return a.shownJob(a.Jobs.Resume(ctx, j.ID, in.RetryFailed))
}

func (a *API) approveJob(ctx context.Context, r *request) (answer, error) {
	return a.shownJob(a.Jobs.Approve(ctx, r.PathValue("job")))
}

func (a *API) rejectJob(ctx context.Context, r *request, in client.JobRejection) (answer, error) {
	return a.shownJob(a.Jobs.Reject(ctx, r.PathValue("job"), in.Reason))
}

const (
	lookEvery  = 250 * time.Millisecond // for progress of a job; any server may be doing it
	beatAfter  = 15 * time.Second       // a comment goes out, so that nothing between takes the connection for dead
	sendWithin = 30 * time.Second       // a watcher that takes longer to read is gone
)

// watchJob sends the job as events of the HTML standard (text/event-stream): now, whenever it has come further, and at its end. When the
// server stops, or the key of who watches is deleted, the events end: who watches asks again, and another server answers, or this one once it is back.
func (a *API) watchJob(ctx context.Context, r *request) (answer, error) {
	j, err := a.seenJob(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK, Type: "text/event-stream", stream: func(w io.Writer) error { return a.watch(ctx, w, j) }}, nil
}

func (a *API) watch(ctx context.Context, w io.Writer, j job.Job) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var sent job.Job
	silent := time.Duration(0)
	for {
		changed := j.State != sent.State || j.Total != sent.Total || j.Done != sent.Done || j.Failed != sent.Failed
		if changed || silent >= beatAfter { // a job may wait for days, and keys are deleted
			if err := a.Keys.Still(ctx); fault.CodeOf(err) == fault.Unauthorized {
				return nil
			} else if err != nil {
				return err
			}
		}
		if changed {
			event, err := json.Marshal(a.jobOf(j))
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "event: job\ndata: %s\n\n", event); err != nil {
				return err
			}
			sent, silent = j, 0
		} else if silent >= beatAfter {
			if _, err := io.WriteString(w, ": still here\n\n"); err != nil {
				return err
			}
			silent = 0
		}
		if j.State.Over() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.Stopping:
			return nil
		case <-tick.C:
			silent += lookEvery
		}
		var err error
		if j, err = a.Jobs.Show(ctx, j.ID); err != nil {
			return err
		}
	}
}
