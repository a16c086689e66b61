package mail

import (
	"context"
	"time"
)

// Reach refuses a user who cannot be sent codes on demand: [fault.MailOff], [fault.MailMissing].
func (o *Outbox) Reach(ctx context.Context, userID string) error {
	_, err := o.onDemand(ctx, userID, "", time.Time{})
	return err
}

// SendCode puts a message with a code in place of a tokencode into the outbox, in the transaction of ctx. It goes before all others: its user
// waits. After until it is not sent any more. Refusals are those of Reach.
func (o *Outbox) SendCode(ctx context.Context, userID, code string, until time.Time) error {
	l, err := o.onDemand(ctx, userID, code, until)
	if err != nil {
		return err
	}
	_, err = o.post(ctx, []letter{l})
	return err
}

func (o *Outbox) onDemand(ctx context.Context, userID, code string, until time.Time) (letter, error) {
	if err := o.Ready(ctx, ""); err != nil {
		return letter{}, err
	}
	u, err := o.Store.Addressee(ctx, userID)
	if err != nil {
		return letter{}, err
	}
	return letter{
		event: OnDemandCode, userID: u.ID, recipient: u.Mail, expires: until,
		data: Data{UserID: u.ID, UserName: u.Name, Code: code, CodeExpires: minute(until)},
	}, o.Reaches(u)
}
