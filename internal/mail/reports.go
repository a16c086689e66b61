package mail

import "context"

// ReportFinished writes to the administrators whom the settings name that a report of a schedule was made, or could not be, in the
// transaction of ctx; to nobody while mail is off. The report holds names and stays where it is: the message says how to get it.
func (o *Outbox) ReportFinished(ctx context.Context, run, schedule, report, state string, rows int) error {
	s, err := o.Settings(ctx)
	if err != nil || !s.Enabled || len(s.Notify) == 0 {
		return err
	}
	var letters []letter
	for _, address := range s.Notify {
		letters = append(letters, letter{event: ReportFinished, recipient: address, job: run, data: Data{
			Job: run, JobName: schedule, JobKind: report, JobState: state, Total: rows,
		}})
	}
	_, err = o.post(ctx, letters)
	return err
}
