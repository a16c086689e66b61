package mail

import (
	"context"
	"slices"
	"time"
)

// MaxAttached is how many bytes a report may have to be attached: mail servers commonly take 10 MB, and an attachment travels a third
// larger than it is. A larger one is announced, with how to get it.
const MaxAttached = 5 << 20

// A Report is one that was made, or could not be.
type Report struct {
	Run, Schedule, Name, State string // Schedule is "" for none
	Rows                       int
	FileName                   string
	Size                       int64     // bytes
	Until                      time.Time // when it is destroyed
	To                         []string  // who is sent the report itself, if it was made
}

// ReportFinished writes of a report, in the transaction of ctx, so that there is one message to each address, whichever server made it:
// the report itself to those whom its order names, while mail is off too; and if it is of a schedule, to the administrators whom the
// settings name that it is there.
func (o *Outbox) ReportFinished(ctx context.Context, r Report) error {
	s, err := o.Settings(ctx)
	if err != nil {
		return err
	}
	told := letter{event: ReportFinished, job: r.Run, expires: r.Until, data: Data{
		Job: r.Run, JobName: r.Schedule, JobKind: r.Name, JobState: r.State, Total: r.Rows,
	}}
	sent := told
	if r.State == "done" && r.Size <= MaxAttached {
		sent.fileName, sent.data.FileName, sent.report = r.FileName, r.FileName, r.Run
	}
	var letters []letter
	add := func(l letter, to string) {
		l.recipient = to
		letters = append(letters, l)
	}
	for _, to := range r.To {
		add(sent, to)
	}
	for _, to := range s.Notify {
		if s.Enabled && r.Schedule != "" && !slices.Contains(r.To, to) {
			add(told, to)
		}
	}
	if len(letters) == 0 {
		return nil
	}
	_, err = o.post(ctx, letters)
	return err
}
