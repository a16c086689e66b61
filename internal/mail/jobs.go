package mail

import (
	"context"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

// RemindKind is the kind of jobs that remind users of tokens.
const RemindKind = "remind"

// Reminders is the worker of jobs that remind users of tokens, named by their serials.
func (o *Outbox) Reminders(right string) job.Worker {
	return job.Worker{Kind: RemindKind, Right: right, Do: func(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
		serials := make([]string, len(c.Items))
		for i, item := range c.Items {
			serials[i] = item.Key
		}
		all, err := o.Remind(ctx, serials)
		if err != nil {
			return nil, err
		}
		out := make([]job.Outcome, len(all))
		for i, r := range all {
			if r.Code != "" {
				out[i].Err = fault.New(r.Code, "%s", r.Message)
				continue
			}
			out[i].Message = "to " + r.UserID
		}
		return out, nil
	}}
}

// JobFinished writes to the administrators whom the settings name that a job is over, in the transaction of ctx; to nobody while
// mail is off.
func (o *Outbox) JobFinished(ctx context.Context, j job.Job) error {
	return o.notifyOf(ctx, JobFinished, j)
}

// JobAsked writes to them that a job waits to be approved.
func (o *Outbox) JobAsked(ctx context.Context, j job.Job) error {
	return o.notifyOf(ctx, JobApproval, j)
}

func (o *Outbox) notifyOf(ctx context.Context, e Event, j job.Job) error {
	s, err := o.Settings(ctx)
	if err != nil || !s.Enabled || len(s.Notify) == 0 {
		return err
	}
	var letters []letter
	for _, address := range s.Notify {
		letters = append(letters, letter{event: e, recipient: address, job: j.ID, data: Data{
			Job: j.ID, JobName: j.Name, JobKind: j.Kind, JobState: string(j.State), Total: j.Total, Done: j.Done, Failed: j.Failed,
		}})
	}
	_, err = o.post(ctx, letters)
	return err
}
