package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
)

func (p *program) mailCommands() *cobra.Command {
	return group("mail", "What users are written, and what became of it",
		group("settings", "How mail is sent", p.mailSettingsShow(), p.mailSettingsEdit(), p.mailSettingsTest()),
		group("template", "What messages say", p.mailTemplateList(), p.mailTemplateShow(), p.mailTemplateEdit(), p.mailTemplateReset(), p.mailTemplatePreview()),
		p.mailList(), p.mailShow(), p.mailResend(), p.mailCancel(), p.mailRemind(), p.mailRelease())
}

func (p *program) mailSettingsShow() *cobra.Command {
	return p.command("show", "Show how mail is sent; the password is never shown", 0, func(r run) error {
		s, err := r.server.MailSettings(r.ctx)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(s)
		}
		var days []string
		for _, n := range s.ExpiryDays {
			days = append(days, number(n))
		}
		server := ""
		if s.Host != "" {
			server = s.Host + ":" + number(s.Port)
		}
		p.fields("enabled", yesNo(s.Enabled), "server", server, "security", s.Security, "user name", s.UserName, "password", yesNo(s.HasPassword), "from", s.From,
			"reply to", s.ReplyTo, "per minute", number(s.PerMinute), "notify", strings.Join(s.Notify, ", "), "expiry days", strings.Join(days, ", "),
			"trouble", s.Trouble, "trouble since", date(s.TroubleSince), "version", number(s.Version))
		return nil
	})
}

func (p *program) mailSettingsEdit() *cobra.Command {
	var host, security, ca, user, from, replyTo string
	var port, perMinute int
	var enable, disable bool
	var notify []string
	var days []int
	cmd := p.command("edit", "Change how mail is sent", 0, nil)
	s := cmd.Flags()
	s.BoolVar(&enable, "enable", false, "send mail")
	s.BoolVar(&disable, "disable", false, "send none; what waits goes on waiting")
	s.StringVar(&host, "host", "", "`name` or address of the mail server")
	s.IntVar(&port, "port", 0, "its port (default 587 for starttls, 465 for tls, 25 for none)")
	s.StringVar(&security, "security", "", "starttls, tls, or none for a mail server on this machine")
	s.StringVar(&ca, "server-ca", "", "`file` with the authorities that its certificate may be signed by (default the system's)")
	s.StringVar(&user, "user-name", "", "`name` to log in with")
	s.StringVar(&from, "from", "", "`address` that mail comes from: 'Tokens <tokens@example.com>'")
	s.StringVar(&replyTo, "reply-to", "", "`address` that answers go to")
	s.IntVar(&perMinute, "per-minute", 0, "messages at most, of all servers together")
	s.StringSliceVar(&notify, "notify", nil, "`addresses` of administrators who are told when a job is over, or waits to be approved")
	s.IntSliceVar(&days, "expiry-days", nil, "how many `days` before the end of a token its user is told: 30,7")
	version := versionFlag(cmd, "the settings are")
	secret := p.SecretFlag(cmd, "password-file", "password to log in with")
	p.does(cmd, func(r run) error {
		if enable && disable {
			return cli.Usagef("--enable and --disable exclude each other")
		}
		pem, err := authorities(ca)
		if err != nil {
			return err
		}
		password, err := secret.Value()
		if err != nil {
			return err
		}
		if notify == nil {
			notify = []string{}
		}
		if days == nil {
			days = []int{}
		}
		edit := client.MailSettingsEdit{
			Host: given(cmd, "host", &host), Port: given(cmd, "port", &port), Security: given(cmd, "security", &security), CA: given(cmd, "server-ca", &pem),
			UserName: given(cmd, "user-name", &user), Password: given(cmd, "password-file", (*client.Secret)(&password)), From: given(cmd, "from", &from),
			ReplyTo: given(cmd, "reply-to", &replyTo), PerMinute: given(cmd, "per-minute", &perMinute), Notify: given(cmd, "notify", &notify),
			ExpiryDays: given(cmd, "expiry-days", &days),
		}
		if enable || disable {
			edit.Enabled = &enable
		}
		return edits(p, r, "the mail settings", func() (client.MailSettings, error) { return r.server.MailSettings(r.ctx) }, func() (client.MailSettings, error) {
			return r.server.EditMailSettings(r.ctx, *version, edit)
		})
	})
	return cmd
}

// readText reads a file; "" for none.
func readText(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = inUTF8(text, file)
	}
	return string(text), err
}

func (p *program) mailSettingsTest() *cobra.Command {
	return p.command("test ADDRESS", "Send a message there now", 1, func(r run) error {
		out, err := r.server.TestMail(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if !out.Sent {
			return fault.New(fault.MailFailed, "it was not sent: %s%s", out.Trouble, answered(out.Code))
		}
		return p.result(out, "the mail server took it")
	})
}

// answered is the code that a mail server answered.
func answered(code int) string {
	if code == 0 {
		return ""
	}
	return ", the mail server answered " + strconv.Itoa(code)
}

func (p *program) mailTemplateList() *cobra.Command {
	return p.command("list", "List the templates in use", 0, func(r run) error {
		all, err := r.server.MailTemplates(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, all, []string{"EVENT", "PROFILE", "BUILT IN", "SUBJECT"}, all.Templates, func(t client.MailTemplate) []string {
			return []string{t.Event, t.Profile, yesNo(t.BuiltIn), t.Subject}
		})
	})
}

// ofProfile is the flag that names whose template it is.
func ofProfile(cmd *cobra.Command) *string {
	return cmd.Flags().String("profile", "", "the template that this `profile` has of its own")
}

func (p *program) mailTemplateShow() *cobra.Command {
	cmd := p.command("show EVENT", "Show a template, and the variables that it may have", 1, nil)
	profile := ofProfile(cmd)
	p.does(cmd, func(r run) error {
		t, err := r.server.MailTemplate(r.ctx, r.args[0], *profile)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(t)
		}
		fmt.Fprintf(p.Out, "Subject: %s\n\n%s\n", t.Subject, t.Text)
		if t.HTML != "" {
			fmt.Fprintf(p.Out, "--- HTML ---\n%s\n", t.HTML)
		}
		return nil
	})
	return cmd
}

func (p *program) mailTemplateEdit() *cobra.Command {
	var subject, text, html string
	cmd := p.command("edit EVENT", "Replace a template; what is not given stays", 1, nil)
	cmd.Flags().StringVar(&subject, "subject", "", "`text` of the subject")
	cmd.Flags().StringVar(&text, "text-file", "", "`file` with the text")
	cmd.Flags().StringVar(&html, "html-file", "", "`file` with the HTML; an empty one for a message of text alone")
	profile := ofProfile(cmd)
	p.does(cmd, func(r run) error {
		t, err := r.server.MailTemplate(r.ctx, r.args[0], *profile)
		if err != nil {
			return err
		}
		for flag, member := range map[string]*string{"text-file": &t.Text, "html-file": &t.HTML} {
			if file, _ := cmd.Flags().GetString(flag); cmd.Flags().Changed(flag) {
				if *member, err = readText(file); err != nil {
					return err
				}
			}
		}
		if cmd.Flags().Changed("subject") {
			t.Subject = subject
		}
		t, err = r.server.SaveMailTemplate(r.ctx, t.Event, *profile, client.MailTexts{Subject: t.Subject, Text: t.Text, HTML: t.HTML})
		if err != nil {
			return err
		}
		shown := t.Event
		if *profile != "" {
			shown += " --profile " + strconv.Quote(*profile)
		}
		return p.result(t, "changed the template of %s; 'mail template preview %s' shows it", t.Event, shown)
	})
	return cmd
}

func (p *program) mailTemplateReset() *cobra.Command {
	cmd := p.command("reset EVENT", "Go back to the template for all profiles, or to the built-in one", 1, nil)
	profile := ofProfile(cmd)
	p.does(cmd, func(r run) error {
		if err := r.server.ResetMailTemplate(r.ctx, r.args[0], *profile); err != nil {
			return err
		}
		return p.result(map[string]string{"reset": r.args[0]}, "the template of %s %s the one before", r.args[0], r.verb("is", "be"))
	})
	return cmd
}

func (p *program) mailTemplatePreview() *cobra.Command {
	cmd := p.command("preview EVENT", "Write a message with made-up data", 1, nil)
	profile := ofProfile(cmd)
	html := cmd.Flags().Bool("html", false, "show the HTML, not the text")
	p.does(cmd, func(r run) error {
		out, err := r.server.PreviewMail(r.ctx, r.args[0], *profile, client.MailTexts{})
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(out)
		}
		body := out.Text
		if *html {
			body = out.HTML
		}
		_, err = fmt.Fprintf(p.Out, "Subject: %s\n\n%s", out.Subject, body)
		return err
	})
	return cmd
}

func (p *program) mailList() *cobra.Command {
	var f client.MailFilter
	cmd := p.command("list", "List messages, the newest first; bodies are never shown", 0, func(r run) error {
		page, err := r.server.MailMessages(r.ctx, f)
		if err != nil {
			return err
		}
		if page.Next != "" {
			p.Note("there are more: --before " + page.Next)
		}
		return tabulate(p, page, []string{"MESSAGE", "WHEN", "EVENT", "STATE", "TROUBLE", "USER", "TOKEN"}, page.Messages, func(m client.MailMessage) []string {
			return []string{m.Message, date(&m.CreatedAt), m.Event, m.State, m.Trouble, m.UserID, m.Serial}
		})
	})
	s := cmd.Flags()
	s.StringVar(&f.State, "state", "", "only those in a `state`: held, waiting, sending, sent, failed, unknown or cancelled")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(names(mail.States(), func(s mail.State) string { return string(s) }), cobra.ShellCompDirectiveNoFileComp))
	s.StringVar(&f.UserID, "user", "", "only those to this `user`")
	s.StringVar(&f.Serial, "serial", "", "only those about this `token`")
	s.StringVar(&f.Before, "before", "", "only messages before this one: the next page")
	s.IntVar(&f.Limit, "limit", 0, "at most so many `messages`")
	return cmd
}

func (p *program) mailShow() *cobra.Command {
	return p.command("show MESSAGE", "Show what became of a message", 1, func(r run) error {
		m, err := r.server.MailMessage(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(m)
		}
		code := ""
		if m.Code != 0 {
			code = number(m.Code)
		}
		p.fields("message", m.Message, "event", m.Event, "user", m.UserID, "token", m.Serial, "to", m.To, "state", m.State, "trouble", m.Trouble,
			"tries", number(m.Tries), "answer", code, "written", date(&m.CreatedAt), "next try", date(m.NextTryAt), "ended", date(m.EndedAt))
		if m.State == "unknown" {
			p.Note("nobody knows whether it arrived: ask the user, and then 'mail resend' or 'mail cancel' it")
		}
		return nil
	})
}

func (p *program) mailResend() *cobra.Command {
	return p.command("resend MESSAGE", "Send a message again that failed or is unknown, to the present address of the user; it may arrive twice", 1, func(r run) error {
		m, err := r.server.ResendMail(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.result(m, "message %s is sent again", m.Message)
	})
}

func (p *program) mailCancel() *cobra.Command {
	return p.command("cancel MESSAGE", "Do not send a message, and erase its body", 1, func(r run) error {
		m, err := r.server.CancelMail(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.result(m, "message %s is cancelled", m.Message)
	})
}

func (p *program) mailRemind() *cobra.Command {
	var filter string
	var dry bool
	cmd := p.command("remind", "Remind users of tokens that they were given and have never used", 0, func(r run) error {
		if filter == "" {
			return cli.Usagef("say of which tokens: --select unconfirmed")
		}
		selection, err := p.selection(filter)
		if err != nil {
			return err
		}
		j, err := r.server.Remind(r.ctx, client.Reminders{Select: selection, DryRun: dry})
		if err != nil {
			return err
		}
		if dry {
			if j, err = p.followOn(r, j); err != nil {
				return err
			}
			return p.foreseen(r, j)
		}
		return p.result(map[string]string{"job": j.Job}, "%s", p.begunWords(j, ""))
	})
	cmd.Flags().StringVar(&filter, "select", "", filters)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say who would be written to, and write to nobody")
	return cmd
}

func (p *program) mailRelease() *cobra.Command {
	cmd := p.command("release USER", "Have the messages sent that are held for a user, by a passcode or her directory's password", 1, nil)
	passcode := p.SecretFlag(cmd, "passcode-file", "passcode of a token that she has", "TALLYSTICK_PASSCODE")
	password := p.SecretFlag(cmd, "password-file", "password of the directory that she comes from")
	p.does(cmd, func(r run) error {
		if passcode.Given() == password.Given() {
			return cli.Usagef("give --passcode-file or --password-file")
		}
		c := client.MailClaim{UserID: r.args[0]}
		var secret string
		var err error
		if passcode.Given() {
			secret, err = p.ask(passcode, "Passcode: ")
			c.Passcode = client.Secret(secret)
		} else {
			secret, err = p.ask(password, "Password: ")
			c.Password = client.Secret(secret)
		}
		if err != nil {
			return err
		}
		out, err := r.server.ReleaseMail(r.ctx, c)
		if err != nil {
			return err
		}
		if err := p.result(out, "%d messages are on their way", out.Messages); err != nil || out.Messages > 0 {
			return err
		}
		return cli.Status(cli.Refused)
	})
	return cmd
}
