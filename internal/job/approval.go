package job

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// approvalLife is how long a job waits to be approved: over a weekend.
const approvalLife = 3 * 24 * time.Hour

// maxReason is how many bytes the reason of a rejection may have, as many as other notes.
const maxReason = 1024

// demand has a job that is about to be queued wait until a second person approves it, if the settings demand that (section 15) and
// nobody has. A dry run changes nothing, and needs nobody.
func (r *Registry) demand(ctx context.Context, j *Job, about string) error {
	if j.DryRun || j.ApprovedBy != "" || !r.workers[j.Kind].FourEyes {
		return nil
	}
	settings, err := r.Store.Settings(ctx)
	if err != nil || !settings.BulkApproval {
		return err
	}
	j.State, j.About, j.ApproveUntil = AwaitingApproval, about, r.Now().UTC().Add(approvalLife)
	return nil
}

// requested records and tells that a job waits to be approved, if it does.
func (r *Registry) requested(ctx context.Context, j Job) error {
	if j.State != AwaitingApproval {
		return nil
	}
	if r.Asked != nil {
		if err := r.Asked(ctx, j); err != nil {
			return err
		}
	}
	return r.record(ctx, j, "job.approval_requested", audit.Details{
		"kind": j.Kind, "name": j.Name, "items": j.Total, "about": j.About, "until": j.ApproveUntil.Format(time.RFC3339),
	})
}

// Approve lets a job that awaits approval be done. [fault.ApproverIsStarter] if who approves may be who started it: by the same API key,
// by one that goes back to the same key, or over the admin socket as well. [fault.NotAwaiting] if it does not wait, or not any more.
func (r *Registry) Approve(ctx context.Context, id string) (Job, error) {
	actor := audit.ActorFrom(ctx)
	j, err := r.move(ctx, id, "job.approve", func(_ context.Context, j *Job) error {
		if err := r.awaits(*j); err != nil {
			return err
		}
		if actor.Origin == j.Origin {
			return fault.New(fault.ApproverIsStarter, "somebody else than %s has to approve this job: an administrator whose API key does not go back to the same one", j.By.Name)
		}
		j.State, j.ApprovedBy = Queued, actor.Name
		return nil
	})
	if err == nil {
		r.wakeSoon()
	}
	return j, err
}

// Reject ends a job that awaits approval, for a reason that who started it is told. Anybody who may approve jobs may, also who started it.
// [fault.NotAwaiting] as of [Registry.Approve].
func (r *Registry) Reject(ctx context.Context, id, reason string) (Job, error) {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > maxReason || !utf8.ValidString(reason) || strings.Contains(reason, "\x00") {
		return Job{}, fault.New(fault.Invalid, "the reason of a rejection takes 1 to %d bytes", maxReason)
	}
	actor := audit.ActorFrom(ctx)
	return r.move(ctx, id, "job.reject", func(ctx context.Context, j *Job) error {
		if err := r.awaits(*j); err != nil {
			return err
		}
		if err := r.stop(ctx, j, "rejected by "+actor.Name+": "+reason); err != nil {
			return err
		}
		return r.tell(ctx, *j)
	})
}

// awaits refuses a job that does not wait to be approved any more.
func (r *Registry) awaits(j Job) error {
	if j.State != AwaitingApproval {
		return fault.New(fault.NotAwaiting, "this job does not wait to be approved: it is %s", j.State)
	}
	if !r.Now().Before(j.ApproveUntil) {
		return fault.New(fault.NotAwaiting, "nobody approved this job in time: start it again")
	}
	return nil
}

// lapse ends the jobs that nobody approved in time.
func (r *Registry) lapse(ctx context.Context) error {
	waiting, err := r.Store.Jobs(ctx, Filter{State: AwaitingApproval})
	if err != nil {
		return err
	}
	var failed error // of some, which keep the others from nothing
	for _, j := range waiting {
		if r.Now().Before(j.ApproveUntil) {
			continue
		}
		_, err := r.move(ctx, j.ID, "job.lapse", func(ctx context.Context, j *Job) error {
			if j.State != AwaitingApproval { // another was faster
				return errUnchanged
			}
			if err := r.stop(ctx, j, "nobody approved it in time"); err != nil {
				return err
			}
			return r.tell(ctx, *j)
		})
		if err != nil && !errors.Is(err, errUnchanged) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
