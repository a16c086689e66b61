package mail

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

const (
	noticePage = 500
	// remindEvery is how often a user is reminded of a token at most.
	remindEvery = 24 * time.Hour
	// MaxReminders is how many tokens one call reminds of.
	MaxReminders = 1000
)

// NoticeExpiring tells users of tokens that end soon: of each token once for each of the numbers of days in the settings. Any
// number of servers may do so at once.
func (o *Outbox) NoticeExpiring(ctx context.Context) error {
	s, err := o.Settings(ctx)
	if err != nil || !s.Enabled {
		return err
	}
	// The fewest days first: who is told of 7 days left is not told of 30 as well.
	days := slices.Sorted(slices.Values(s.ExpiryDays))
	for _, n := range days {
		var after Holder
		for more := true; more && ctx.Err() == nil; more = after.Serial != "" {
			if after, err = o.notice(ctx, n, after); err != nil {
				return err
			}
		}
	}
	return nil
}

// notice tells some users that a token has so many days left, or less, and returns the last of them, after whom there are more; the zero Holder at
// the end. Who cannot be written to was not told.
func (o *Outbox) notice(ctx context.Context, days int, after Holder) (last Holder, err error) {
	err = o.Store.Transact(ctx, func(ctx context.Context) error {
		last = Holder{}
		today := midnight(o.Now())
		some, err := o.Store.ExpiringHolders(ctx, today, days, after, noticePage)
		if err != nil {
			return err
		}
		if len(some) == noticePage {
			last = some[noticePage-1]
		}
		var told []Holder
		var letters []letter
		for _, h := range some {
			if checkAddress(h.UserID, h.Mail) == nil {
				l := h.letter(Expiry)
				l.data.DaysLeft, l.expires = int(midnight(h.Expiry).Sub(today)/(24*time.Hour)), h.Expiry.AddDate(0, 0, 1)
				told, letters = append(told, h), append(letters, l)
			}
		}
		if len(told) == 0 {
			return nil
		}
		if _, err := o.post(ctx, letters); err != nil {
			return err
		}
		return o.Store.AddNotices(ctx, told, days)
	})
	return last, err
}

// midnight is the beginning of a day, in UTC.
func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func (h Holder) letter(e Event) letter {
	return letter{event: e, profile: h.Profile, userID: h.UserID, serial: h.Serial, recipient: h.Mail, data: Data{
		UserID: h.UserID, UserName: h.UserName, Serial: h.Serial, Profile: h.Profile, DeviceType: h.DeviceType, Expiry: day(h.Expiry),
	}}
}

// A Reminded says what came of reminding the user of one token.
type Reminded struct {
	Serial, UserID string
	Code           fault.Code // why not; "" if there is a message
	Message        string
}

// Remind writes to those who were given one of some tokens, or a new seed for it, and have never used it, in one transaction: at most
// once a day about a token. It holds no secret: what was lost has to be distributed again.
func (o *Outbox) Remind(ctx context.Context, serials []string) ([]Reminded, error) {
	if len(serials) > MaxReminders {
		return nil, fault.New(fault.TooLarge, "one call reminds of up to %d tokens", MaxReminders)
	}
	if err := o.Ready(ctx, ""); err != nil {
		return nil, err
	}
	var all []Reminded
	err := o.Store.Transact(ctx, func(ctx context.Context) error {
		all = nil
		holders, err := o.Store.Holders(ctx, serials)
		if err != nil {
			return err
		}
		recent, err := o.Store.RemindedSince(ctx, serials, o.Now().Add(-remindEvery))
		if err != nil {
			return err
		}
		known := map[string]Holder{}
		for _, h := range holders {
			known[h.Serial] = h
		}
		var letters []letter
		var events []audit.Event
		for _, serial := range serials {
			h, there := known[serial]
			r := Reminded{Serial: serial, UserID: h.UserID}
			switch err := checkAddress(h.UserID, h.Mail); {
			case !there:
				missing := domain.Outside(ctx, fault.New(fault.TokenNotAssigned, "there is no such token, or nobody holds it"), "token %s that somebody holds", serial)
				r.Code, r.Message = missing.Code, missing.Message
			case !h.Waiting:
				r.Code, r.Message = fault.Conflict, "the token is in use, or was never given out"
			case slices.Contains(recent, serial):
				r.Code, r.Message = fault.TooMany, "the user was reminded within the last day"
			case !h.Enabled:
				r.Code, r.Message = fault.UserDisabled, "the user is disabled, and cannot sign in until 'user enable'"
			case user.Over(h.LastDay, o.Now()):
				r.Code, r.Message = fault.UserExpired, "the user had a last day, which is over, and cannot sign in until 'user edit --expiry' names a later one"
			case err != nil:
				r.Code, r.Message = fault.MailMissing, err.Error()
			default:
				letters = append(letters, h.letter(Reminder))
				events = append(events, audit.New(ctx, o.Now(), "mail.remind", "token:"+serial, audit.Details{"user": h.UserID}))
				recent = append(recent, serial) // named twice
			}
			all = append(all, r)
		}
		if len(letters) == 0 {
			return nil
		}
		if _, err := o.post(ctx, letters); err != nil {
			return err
		}
		return o.Store.RecordAll(ctx, events)
	})
	return all, err
}
