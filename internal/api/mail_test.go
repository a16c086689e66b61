package api

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/distribution"
)

func mailRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	_, err := c.TestMail(ctx, "admin@example.com")
	refused(t, err, 422, "MAIL_OFF")
	_, err = c.Remind(ctx, client.Reminders{Select: client.Selection{Unconfirmed: true}})
	refused(t, err, 422, "MAIL_OFF")
	if s := try(c.MailSettings(ctx))(t); s.Enabled || s.Security != "starttls" || s.Version != 0 || !slices.Equal(s.ExpiryDays, []int{30, 7}) {
		t.Errorf("settings %+v", s)
	}
	on, host, from, none, port, password := true, "127.0.0.1", "tokens@example.com", "none", 1, client.Secret("mail password 123")
	edit := client.MailSettingsEdit{Enabled: &on, Host: &host, From: &from, Security: &none, Password: &password}
	try(c.EditMailSettings(ctx, 0, edit))(t)
	_, err = c.EditMailSettings(ctx, 1, client.MailSettingsEdit{Port: &port}) // without TLS it is anybody's who listens there
	refused(t, err, 400, "INVALID")
	s := try(c.EditMailSettings(ctx, 1, client.MailSettingsEdit{Port: &port, Password: &password}))(t)
	if !s.Enabled || !s.HasPassword || s.Version != 2 || s.Port != 1 {
		t.Errorf("settings %+v", s)
	}
	_, err = c.EditMailSettings(ctx, 1, client.MailSettingsEdit{Port: &port})
	refused(t, err, 409, "CONFLICT")
	if out := try(c.TestMail(ctx, "admin@example.com"))(t); out.Sent || out.Trouble != "UNREACHABLE" {
		t.Errorf("test %+v", out)
	}

	all := try(c.MailTemplates(ctx))(t)
	if len(all.Templates) != 11 || !slices.Contains(all.Variables, "UserName") {
		t.Errorf("templates %+v", all)
	}
	h.profile("mailed", "ctf")
	own := try(c.SaveMailTemplate(ctx, "distribution", "mailed", client.MailTexts{Subject: "Yours", Text: "{{.Link}}"}))(t)
	if shown := try(c.MailTemplate(ctx, "distribution", "mailed"))(t); shown != own || own.BuiltIn {
		t.Errorf("template %+v", shown)
	}
	_, err = c.SaveMailTemplate(ctx, "distribution", "nobody's", client.MailTexts{Subject: "Yours", Text: "{{.Link}}"})
	refused(t, err, 404, "PROFILE_NOT_FOUND")
	_, err = c.SaveMailTemplate(ctx, "distribution", "", client.MailTexts{Subject: "Yours", Text: "{{.Seed}}"})
	refused(t, err, 422, "TEMPLATE_INVALID")
	_, err = c.PreviewMail(ctx, "distribution", "", client.MailTexts{Subject: "x", Text: "{{.Seed}}"})
	refused(t, err, 422, "TEMPLATE_INVALID")
	if p := try(c.PreviewMail(ctx, "distribution", "mailed", client.MailTexts{}))(t); p.Subject != "Yours" || p.Text == "" {
		t.Errorf("preview %+v", p)
	}

	mailedDeliveries(t, h)
	must(t, c.ResetMailTemplate(ctx, "distribution", "mailed"))
	refused(t, c.ResetMailTemplate(ctx, "distribution", "mailed"), 404, "NOT_FOUND")
	if strings.Contains(h.logged.String(), string(password)) {
		t.Error("the password is in the log")
	}
}

// What goes by mail is not in the answer, and in no list of messages.
func mailedDeliveries(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	d := client.Distribution{Profile: "mailed", Password: "correct horse 42", Mail: true, SecretBy: "mail"}
	serial := h.assigned("mailed").Serial
	_, err := c.Distribute(ctx, serial, d)
	refused(t, err, 422, "MAIL_MISSING")
	if got := try(c.Token(ctx, serial))(t); got.IssueCount != 0 {
		t.Errorf("a delivery that cannot be mailed was made: %+v", got)
	}
	address := "mailed@example.com"
	try(c.EditUser(ctx, "mailed", 0, client.UserEdit{Mail: &address}))(t)
	open := d
	open.Password = ""
	_, err = c.Distribute(ctx, serial, open)
	refused(t, err, 422, "PASSWORD_REQUIRED")
	issue := try(c.Distribute(ctx, serial, d))(t)
	if len(issue.Mails) != 2 || issue.Delivery.CTF+issue.Delivery.CTFURL+issue.Delivery.QR != "" || issue.Delivery.Method != "ctf" {
		t.Errorf("issued %+v", issue)
	}
	page := try(c.MailMessages(ctx, client.MailFilter{Serial: serial, UserID: "mailed", State: "waiting", Limit: 1}))(t)
	if len(page.Messages) != 1 || page.Next == "" || page.Messages[0].To != address || page.Messages[0].Job != issue.Job || page.Messages[0].NextTryAt == nil {
		t.Errorf("messages %+v", page)
	}
	m := try(c.MailMessage(ctx, issue.Mails[1]))(t)
	if m.Event != "password" || m.State != "waiting" {
		t.Errorf("message %+v", m)
	}
	_, err = c.ResendMail(ctx, m.Message)
	refused(t, err, 409, "CONFLICT")
	if m = try(c.CancelMail(ctx, m.Message))(t); m.State != "cancelled" {
		t.Errorf("cancelled %+v", m)
	}
	_, err = c.CancelMail(ctx, m.Message)
	refused(t, err, 409, "CONFLICT")
	failed := try(h.Mail.Get(ctx, issue.Mails[0]))(t)
	was := failed.State
	failed.State, failed.Trouble = "unknown", "INTERRUPTED"
	must(t, h.db.SaveMessage(ctx, failed, was))
	if m = try(c.ResendMail(ctx, failed.ID))(t); m.State != "waiting" {
		t.Errorf("sent again %+v", m)
	}
	_, err = c.MailMessage(ctx, "nothing")
	refused(t, err, 404, "NOT_FOUND")
	if j := try(c.Remind(ctx, client.Reminders{Select: client.Selection{Serials: []string{serial}}}))(t); j.Kind != "remind" || j.Total != 1 {
		t.Errorf("reminders %+v", j)
	}
	held, mine := d, h.assigned("held").Serial
	held.SecretBy = "sign_in"
	try(c.EditUser(ctx, "held", 0, client.UserEdit{Mail: &address}))(t)
	issue = try(c.Distribute(ctx, mine, held))(t)
	if !slices.Contains(issue.Warnings, distribution.CannotSignIn) { // her first token, and she is in no directory
		t.Errorf("warned of %q", issue.Warnings)
	}
	if m = try(c.MailMessage(ctx, issue.Mails[1]))(t); m.State != "held" || m.Event != "password" || issue.Delivery.CTF != "" {
		t.Errorf("held %+v", m)
	}
	portal := h.as(access.AgentRole)
	for n, code := range []client.Secret{"87654321", "12345678", "12345678"} {
		if out := try(portal.ReleaseMail(ctx, client.MailClaim{UserID: "held", Passcode: code, Station: "portal"}))(t); out.Messages != n%2 {
			t.Errorf("%d: %+v", n, out)
		}
	}
	if m = try(c.MailMessage(ctx, issue.Mails[1]))(t); m.State != "waiting" {
		t.Errorf("released %+v", m)
	}
	_, err = portal.ReleaseMail(ctx, client.MailClaim{UserID: "held", Passcode: "1", Password: "2"})
	refused(t, err, 400, "INVALID")
	_, err = h.as(access.Auditor).ReleaseMail(ctx, client.MailClaim{UserID: "held", Passcode: "1"})
	refused(t, err, 403, "FORBIDDEN")

	again := try(c.Redistribute(ctx, serial, client.Redistribution{Distribution: d, Reason: "NOT_RECEIVED"}))(t)
	if len(again.Mails) != 2 {
		t.Errorf("again %+v", again)
	}
	if m = try(c.MailMessage(ctx, failed.ID))(t); m.State != "cancelled" || m.Trouble != "SUPERSEDED" {
		t.Errorf("what a redistribution made useless is %+v", m)
	}
}

// A job sends each delivery to its user and keeps of it what does not go by mail; who has no address gets nothing.
func TestBulkDeliveriesByMail(t *testing.T) {
	h := newHouse(t)
	ctx, c := t.Context(), h.admin
	h.profile("bulk file", "file")
	h.profile("bulk phone", "ctkip")
	var serials []string
	for _, id := range []string{"anna", "boris", "nobody"} {
		serials = append(serials, h.assigned(id).Serial)
		if address := id + "@example.com"; id != "nobody" {
			try(c.EditUser(ctx, id, 0, client.UserEdit{Mail: &address}))(t)
		}
	}
	order := client.BulkDistribution{Selection: client.Selection{Serials: serials}, Name: "files", Profile: "bulk file", IndividualPasswords: true, Mail: true}
	_, err := c.DistributeMany(ctx, order)
	refused(t, err, 422, "MAIL_OFF")
	on, host, from, none := true, "127.0.0.1", "tokens@example.com", "none"
	try(c.EditMailSettings(ctx, 0, client.MailSettingsEdit{Enabled: &on, Host: &host, From: &from, Security: &none, Notify: &[]string{"ops@example.com"}}))(t)
	open := order
	open.IndividualPasswords = false
	_, err = c.DistributeMany(ctx, open)
	refused(t, err, 422, "PASSWORD_REQUIRED")

	dry := order
	dry.DryRun = true
	try(c.DistributeMany(ctx, dry))(t)
	must(t, h.Jobs.RunAll(ctx))
	if page := try(c.MailMessages(ctx, client.MailFilter{}))(t); len(page.Messages) != 0 {
		t.Errorf("a dry run wrote %+v", page)
	}
	order.Name = "for good"
	j := try(c.DistributeMany(ctx, order))(t)
	must(t, h.Jobs.RunAll(ctx))
	items := try(c.JobItems(ctx, j.Job, client.JobItemFilter{}))(t).Items
	if len(items) != 3 || !items[0].OK || !items[1].OK || items[2].Code != "MAIL_MISSING" {
		t.Errorf("items %+v", items)
	}
	var events []string
	for _, m := range try(c.MailMessages(ctx, client.MailFilter{}))(t).Messages {
		events = append(events, m.Event+" "+m.UserID)
	}
	slices.Sort(events)
	if !slices.Equal(events, []string{"distribution anna", "distribution boris", "job_finished "}) {
		t.Errorf("messages %q", events)
	}
	if parts := try(c.JobParts(ctx, j.Job))(t); parts.Gone != 0 || !slices.Equal(parts.Parts, []string{"list", "passwords"}) {
		t.Errorf("parts %v", parts)
	}
	var table strings.Builder
	must(t, c.DownloadJobPart(ctx, j.Job, "passwords", &table))
	if strings.Count(table.String(), "\n") != 3 {
		t.Errorf("passwords: %d lines", strings.Count(table.String(), "\n"))
	}

	order.Name, order.Profile, order.IndividualPasswords, order.SecretBy = "phones", "bulk phone", false, "mail"
	j = try(c.DistributeMany(ctx, order))(t)
	must(t, h.Jobs.RunAll(ctx))
	if sent := try(c.MailMessages(ctx, client.MailFilter{UserID: "anna", State: "waiting"}))(t).Messages; len(sent) != 2 || sent[0].Event != "activation_code" || sent[1].Event != "redistribution" {
		t.Errorf("messages %+v", sent)
	}
	table.Reset()
	must(t, c.DownloadJobPart(ctx, j.Job, "list", &table))
	if code := regexp.MustCompile(`,[0-9]{12}(,|\n)`); code.MatchString(table.String()) || !strings.Contains(table.String(), serials[0]) {
		t.Errorf("the list shows codes that were mailed: %s", table.String())
	}
}
