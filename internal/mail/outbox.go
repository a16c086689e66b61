package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
)

// An Outbox takes messages and keeps them until they are sent.
type Outbox struct {
	Store    Store
	Keys     Keyring
	Policies Policies
	Now      func() time.Time
	Service  string // who issues tokens, for templates
	// SignInURL is the page on which users ask for what is held for them.
	SignInURL string
	// Report returns what a run of a report has made, to be attached; [fault.NotFound] once it is gone.
	Report func(ctx context.Context, run string) ([]byte, error)
}

// Policies know the deployment's settings: a policy.Registry.
type Policies interface {
	Current(ctx context.Context) (*policy.Tree, error)
}

// A letter is a message in the making.
type letter struct {
	event      Event
	profile    string // whose template is taken
	userID     string
	serial     string
	generation int
	recipient  string
	job        string
	expires    time.Time // zero for when nobody takes it for long
	data       Data
	fileName   string
	file       []byte
	report     string // instead of file: the run of a report
	held       bool   // until the user has signed in
}

// post writes letters and puts them into the outbox, in the transaction of ctx. It returns their IDs.
func (o *Outbox) post(ctx context.Context, letters []letter) ([]string, error) {
	set, err := o.templates(ctx)
	if err != nil {
		return nil, err
	}
	ready := map[[2]string]*pattern{}
	all := make([]Message, len(letters))
	ids := make([]string, len(letters))
	for i, l := range letters {
		key := [2]string{string(l.event), l.profile}
		if ready[key] == nil {
			t, err := set.find(l.event, l.profile)
			if err != nil {
				return nil, err
			}
			if ready[key], err = compile(t); err != nil {
				return nil, err
			}
		}
		if all[i], err = o.message(l, ready[key]); err != nil {
			return nil, err
		}
		ids[i] = all[i].ID
	}
	return ids, o.Store.AddMessages(ctx, all)
}

func (o *Outbox) message(l letter, p *pattern) (Message, error) {
	if l.data.UserName == "" {
		l.data.UserName = l.data.UserID
	}
	l.data.Mail, l.data.Service = l.recipient, o.Service
	b, err := p.write(l.data)
	if err != nil {
		return Message{}, err
	}
	b.FileName, b.File, b.Report = l.fileName, l.file, l.report
	now := o.Now().UTC()
	m := Message{
		ID: uuid.Must(uuid.NewV7()).String(), Event: l.event, UserID: l.userID, Serial: l.serial, Generation: l.generation, Recipient: l.recipient, Job: l.job, State: Waiting,
		CreatedAt: now, NextAt: now, ExpiresAt: now.Add(longestTry),
	}
	if !l.expires.IsZero() && l.expires.Before(m.ExpiresAt) {
		m.ExpiresAt = l.expires.UTC()
	}
	if l.held {
		m.State, m.ExpiresAt = Held, now.Add(HeldFor)
		if !l.expires.IsZero() && l.expires.Before(m.ExpiresAt) {
			m.ExpiresAt = l.expires.UTC()
		}
	}
	m.Sealed, err = o.seal(m.ID, b)
	return m, err
}

func (o *Outbox) seal(id string, b body) (seed.Sealed, error) {
	plain, err := json.Marshal(b)
	if err != nil {
		return seed.Sealed{}, err
	}
	defer clear(plain)
	return o.Keys.Seal(plain, seed.OfMail(id))
}

// open opens the body of a message. The caller erases the file in it.
func open(ctx context.Context, keys Keyring, m Message) (body, error) {
	plain, err := keys.Open(ctx, m.Sealed, seed.OfMail(m.ID))
	if err != nil {
		return body{}, err
	}
	defer clear(plain)
	var b body
	err = json.Unmarshal(plain, &b)
	return b, err
}

// Get returns a message; [fault.NotFound]. Its body is not shown to anybody.
func (o *Outbox) Get(ctx context.Context, id string) (Message, error) {
	return o.Store.Message(ctx, id)
}

// List returns messages, the newest first.
func (o *Outbox) List(ctx context.Context, f Filter) ([]Message, error) {
	return o.Store.Messages(ctx, f)
}

// Resend has a message sent again that failed, or of which nobody knows whether it arrived: whoever decides that knows that it may
// arrive twice. One to a user goes to her present address; [fault.MailMissing] if she has none.
func (o *Outbox) Resend(ctx context.Context, id string) (Message, error) {
	return o.decide(ctx, id, "mail.resend", func(ctx context.Context, m *Message) error {
		now := o.Now().UTC()
		if m.State != Unknown && m.State != Failed {
			return fault.New(fault.Conflict, "message %s is %s: only one that failed or is unknown is sent again", id, m.State)
		}
		over := m.Sealed.KeyID == 0 || m.Trouble == TooLate
		if m.Generation > 0 { // an older release kept what was being sent when its seed was destroyed
			has, err := o.Store.HasGeneration(ctx, m.Serial, m.Generation)
			if err != nil {
				return err
			}
			over = over || !has
		}
		if over {
			return fault.New(fault.Conflict, "what message %s tells is over: distribute or redistribute the token again, or, of a code to sign in with, have her ask for another one", id)
		}
		if m.UserID != "" {
			u, err := o.Store.Addressee(ctx, m.UserID)
			if err == nil {
				err = o.Reaches(u)
			}
			if err != nil {
				return err
			}
			m.Recipient = u.Mail
		}
		m.State, m.NextAt, m.Tries, m.Trouble, m.EndedAt = Waiting, now, 0, "", time.Time{}
		if !m.Event.brief() {
			m.ExpiresAt = now.Add(longestTry)
		}
		return nil
	})
}

// Cancel has a message not sent that is held, waits, failed or is unknown, and erases its body.
func (o *Outbox) Cancel(ctx context.Context, id string) (Message, error) {
	return o.decide(ctx, id, "mail.cancel", func(_ context.Context, m *Message) error {
		if m.State != Held && m.State != Waiting && m.State != Unknown && m.State != Failed {
			return fault.New(fault.Conflict, "message %s is %s: it cannot be called back", id, m.State)
		}
		m.end(Cancelled, Withdrawn, o.Now())
		return nil
	})
}

func (o *Outbox) decide(ctx context.Context, id, action string, change func(context.Context, *Message) error) (Message, error) {
	var m Message
	err := o.Store.Transact(ctx, func(ctx context.Context) (err error) {
		if m, err = o.Store.Message(ctx, id); err != nil {
			return err
		}
		was := m.State
		if err := change(ctx, &m); err != nil {
			return err
		}
		if err := o.Store.SaveMessage(ctx, m, was); err != nil {
			return err
		}
		event := m.event(ctx, o.Now(), action)
		event.Details["to"] = m.Recipient
		return o.Store.Record(ctx, event)
	})
	return m, err
}

// end puts a message into a final state. The body goes, unless somebody may want to send it again.
func (m *Message) end(s State, why Trouble, at time.Time) {
	m.State, m.Trouble, m.EndedAt = s, why, at.UTC()
	if s == Sent || s == Cancelled || why == TooLate {
		m.Sealed = seed.Sealed{}
	}
}

// conclude ends a message that the mail server had, or may have had. One that was cancelled meanwhile has no body that could be sent again.
func (m *Message) conclude(s State, why Trouble, at time.Time) {
	if s != Sent && m.Sealed.KeyID == 0 {
		s, why = Cancelled, m.Trouble
	}
	m.end(s, why, at)
}

// event is the audit event of something that became of a message.
func (m *Message) event(ctx context.Context, at time.Time, action string) audit.Event {
	object := "mail:" + m.ID
	if m.UserID != "" {
		object = "user:" + m.UserID
	}
	details := audit.Details{"mail": m.ID, "event": m.Event}
	for name, value := range map[string]string{"token": m.Serial, "job": m.Job} {
		if value != "" {
			details[name] = value
		}
	}
	if m.Code != 0 {
		details["code"] = m.Code
	}
	return audit.New(ctx, at, action, object, details)
}

// Forget removes messages that ended long ago, and gives those up that nobody has asked for in time.
func (o *Outbox) Forget(ctx context.Context) error {
	if err := o.overdue(ctx); err != nil {
		return err
	}
	_, err := o.Store.DropMessages(ctx, o.Now().Add(-Kept))
	return err
}

// day writes a date for people, in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// minute writes a moment for people.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s UTC", t.UTC().Format("2006-01-02 15:04"))
}
