package api

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/throttle"
)

func mailSettingsOf(s mail.Settings) client.MailSettings {
	return client.MailSettings{
		Enabled: s.Enabled, Host: s.Host, Port: s.Port, Security: string(s.Security), CA: s.CA, UserName: s.UserName, HasPassword: s.Password, From: s.From,
		ReplyTo: s.ReplyTo, PerMinute: s.PerMinute, Notify: texts(s.Notify), ExpiryDays: append([]int{}, s.ExpiryDays...), Trouble: string(s.Trouble),
		TroubleSince: moment(s.TroubleAt), Version: s.Version,
	}
}

func (a *API) showMailSettings(ctx context.Context, _ *request) (answer, error) {
	s, err := a.Mail.Settings(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(mailSettingsOf(s))
}

// mailSettingsEdit is an edit in the words of the domain, but for the password.
func mailSettingsEdit(in client.MailSettingsEdit) func(*mail.Settings) {
	return func(s *mail.Settings) {
		set(&s.Enabled, in.Enabled)
		set(&s.Host, in.Host)
		s.Secure((*mail.Security)(in.Security), in.Port)
		set(&s.CA, in.CA)
		set(&s.UserName, in.UserName)
		set(&s.From, in.From)
		set(&s.ReplyTo, in.ReplyTo)
		set(&s.PerMinute, in.PerMinute)
		set(&s.Notify, in.Notify)
		set(&s.ExpiryDays, in.ExpiryDays)
	}
}

func (a *API) editMailSettings(ctx context.Context, r *request, in client.MailSettingsEdit) (answer, error) {
	s, err := a.Mail.EditSettings(ctx, r.version, (*string)(in.Password), mailSettingsEdit(in))
	return record(s, s.Version, mailSettingsOf, err)
}

func (a *API) testMail(ctx context.Context, _ *request, in client.MailAddress) (answer, error) {
	trouble, code, err := a.Mailer.Test(ctx, in.To)
	if err != nil {
		return answer{}, err
	}
	return ok(client.MailTest{Sent: trouble == "", Code: code, Trouble: string(trouble)})
}

func mailTemplateOf(t mail.Template) client.MailTemplate {
	return client.MailTemplate{Event: string(t.Event), Profile: t.Profile, Subject: t.Subject, Text: t.Text, HTML: t.HTML, BuiltIn: t.BuiltIn}
}

func (a *API) listMailTemplates(ctx context.Context, _ *request) (answer, error) {
	all, err := a.Mail.Templates(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.MailTemplateList{Templates: mapped(all, mailTemplateOf), Variables: mail.Variables()})
}

func (a *API) showMailTemplate(ctx context.Context, r *request) (answer, error) {
	t, err := a.Mail.Template(ctx, mail.Event(r.PathValue("event")), r.query("profile"))
	if err != nil {
		return answer{}, err
	}
	return ok(mailTemplateOf(t))
}

func (a *API) saveMailTemplate(ctx context.Context, r *request, in client.MailTexts) (answer, error) {
	t := mail.Template{Event: mail.Event(r.PathValue("event")), Profile: r.query("profile"), Subject: in.Subject, Text: in.Text, HTML: in.HTML}
	if t.Profile != "" {
		if _, err := a.Profiles.Get(ctx, t.Profile); err != nil {
			return answer{}, err
		}
	}
	if err := a.Mail.SaveTemplate(ctx, t); err != nil {
		return answer{}, err
	}
	return ok(mailTemplateOf(t))
}

func (a *API) resetMailTemplate(ctx context.Context, r *request) (answer, error) {
	return done(a.Mail.ResetTemplate(ctx, mail.Event(r.PathValue("event")), r.query("profile")))
}

func (a *API) previewMailTemplate(ctx context.Context, r *request, in client.MailTexts) (answer, error) {
	out, err := a.Mail.Preview(ctx, mail.Template{Event: mail.Event(r.PathValue("event")), Profile: r.query("profile"), Subject: in.Subject, Text: in.Text, HTML: in.HTML})
	if err != nil {
		return answer{}, err
	}
	return ok(client.MailTexts{Subject: out.Subject, Text: out.Text, HTML: out.HTML})
}

func mailMessageOf(m mail.Message) client.MailMessage {
	return client.MailMessage{
		Message: m.ID, Event: string(m.Event), UserID: m.UserID, Serial: m.Serial, To: m.Recipient, Job: m.Job, State: string(m.State), Tries: m.Tries,
		Code: m.Code, Trouble: string(m.Trouble), CreatedAt: m.CreatedAt, NextTryAt: nextTry(m), EndedAt: moment(m.EndedAt),
	}
}

func (a *API) listMail(ctx context.Context, r *request) (answer, error) {
	limit := r.limit()
	f := mail.Filter{State: mail.State(r.query("state")), UserID: r.query("user_id"), Serial: r.query("serial"), Before: r.query("before"), Limit: limit + 1}
	all, err := a.Mail.List(ctx, f)
	if err == nil && len(all) == 0 { // of a user or token that was deleted there may be some
		err = a.thereAre(ctx, f.UserID, f.Serial, "")
	}
	if err != nil {
		return answer{}, err
	}
	some, next := page(all, limit, func(m mail.Message) string { return m.ID })
	return ok(client.MailPage{Messages: mapped(some, mailMessageOf), Next: next})
}

func (a *API) showMail(ctx context.Context, r *request) (answer, error) {
	return shownMail(a.Mail.Get(ctx, r.PathValue("message")))
}

func (a *API) resendMail(ctx context.Context, r *request) (answer, error) {
	return shownMail(a.Mail.Resend(ctx, r.PathValue("message")))
}

func (a *API) cancelMail(ctx context.Context, r *request) (answer, error) {
	return shownMail(a.Mail.Cancel(ctx, r.PathValue("message")))
}

// shownMail answers with a message, never with its body.
func shownMail(m mail.Message, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return ok(mailMessageOf(m))
}

// remind starts a job that reminds users of tokens that they were given and have never used.
func (a *API) remind(ctx context.Context, _ *request, in client.Reminders) (answer, error) {
	if err := a.Mail.Ready(ctx, ""); err != nil {
		return answer{}, err
	}
	selection, err := a.chosen(ctx, in.Select)
	if err != nil {
		return answer{}, err
	}
	return a.startedJob(a.Jobs.Start(ctx, job.Order{Kind: mail.RemindKind, Items: a.selected(ctx, selection), DryRun: in.DryRun}))
}

// nextTry is when a message that waits is tried.
func nextTry(m mail.Message) *time.Time {
	if m.State != mail.Waiting {
		return nil
	}
	return &m.NextAt
}

// releaseMail decides for a program of the deployment, such as a portal, what the page for users decides too.
func (a *API) releaseMail(ctx context.Context, _ *request, in client.MailClaim) (answer, error) {
	if !a.subjects.Allows(throttle.Subject(domain.ScopeFrom(ctx).Top(), in.UserID), a.Now()) {
		return answer{}, fault.New(fault.TooMany, "too many claims of this user come at once: wait a second")
	}
	n, err := a.SignIn.Release(ctx, mail.Claim{UserID: in.UserID, Passcode: string(in.Passcode), Password: string(in.Password), Station: in.Station})
	if err != nil {
		return answer{}, err
	}
	return ok(client.MailReleased{Messages: n})
}
