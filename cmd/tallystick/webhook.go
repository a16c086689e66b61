package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) webhookCommands() *cobra.Command {
	return group("webhook", "Programs of yours that are called when something happened",
		p.webhookAdd(), p.webhookList(), p.webhookShow(), p.webhookEdit(), p.webhookTest(),
		p.deletion("delete NAME", "Delete a webhook", func(r run) error { return r.server.DeleteWebhook(r.ctx, r.args[0]) }))
}

// webhookFlags are the options of a webhook.
type webhookFlags struct {
	url, ca        string
	allowHTTP      bool
	actions, kinds []string
	giveUp         int
	after          int64
	secret         *cli.Secret
}

// on declares them; begins is where a webhook goes on if nobody says.
func (f *webhookFlags) on(p *program, cmd *cobra.Command, begins string) {
	s := cmd.Flags()
	s.StringVar(&f.url, "url", "", "`URL` that events are posted to: https, or http on this machine")
	s.BoolVar(&f.allowHTTP, "allow-http", false, "take http to other machines too: what is sent can be read on the way")
	s.StringVar(&f.ca, "receiver-ca", "", "`file` with the authorities that its certificate may be signed by (default the system's)")
	s.StringSliceVar(&f.actions, "actions", nil, "only these `actions`, such as token.assign or 'token.*,dist.*' (default all but authn.* and mail.sign_in)")
	s.StringSliceVar(&f.kinds, "kinds", nil, "only events about these `kinds` of objects, such as token,user")
	s.IntVar(&f.giveUp, "give-up", 5*24, "`hours` that an event is tried before the webhook is disabled")
	s.Int64Var(&f.after, "after", -1, "go on after this `place` in the log, -1 for its beginning; unless said, "+begins)
	s.Lookup("after").DefValue = "0" // its own words say the default
	f.secret = p.SecretFlag(cmd, "secret-file", "secret that calls are signed with")
}

// authorities reads a file with certification authorities; "" without one. An empty file is refused: it would stand for those of the system.
func authorities(file string) (string, error) {
	pem, err := readText(file)
	if err == nil && file != "" && strings.TrimSpace(pem) == "" {
		err = fault.New(fault.Invalid, "%s is empty: it takes certificates in PEM", file)
	}
	return pem, err
}

func (p *program) webhookAdd() *cobra.Command {
	var f webhookFlags
	var out string
	cmd := p.command("add NAME", "Have a program called when something happens; its secret is shown this once", 1, nil)
	f.on(p, cmd, "from now on")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write the secret to, instead of showing it")
	p.does(cmd, func(r run) error {
		if f.url == "" {
			return cli.Usagef("say where: --url https://hooks.example.com/tallystick")
		}
		if f.giveUp < 1 { // the server would take its default for 0
			return cli.Usagef("--give-up takes a number of hours, 1 or more")
		}
		if out != "" && f.secret.Given() {
			return cli.Usagef("--out keeps a secret that is made here: give --secret-file or --out")
		}
		ca, err := authorities(f.ca)
		if err != nil {
			return err
		}
		secret, err := f.secret.Value()
		if err != nil {
			return err
		}
		file, err := openOut(out)
		if err != nil {
			return err
		}
		defer file.drop()
		made, err := r.server.AddWebhook(r.ctx, client.NewWebhook{
			Webhook: r.args[0], URL: f.url, AllowHTTP: f.allowHTTP, CA: ca, Secret: client.Secret(secret), Actions: f.actions, Kinds: f.kinds,
			GiveUpHours: f.giveUp, After: given(cmd, "after", &f.after),
		})
		if err != nil {
			return err
		}
		result := map[string]any{"webhook": made.Webhook, "place": made.Place}
		switch {
		case f.secret.Given():
			return p.result(result, "added webhook %s; it hears of what follows place %d", made.Webhook, made.Place)
		case file != nil:
			if err := file.write([]byte(string(made.Secret) + "\n")); err != nil {
				return fmt.Errorf("the webhook was added and its secret could not be kept (%w): give it another with webhook edit --secret-file", err)
			}
			return p.result(result, "added webhook %s; its secret is in %s", made.Webhook, out)
		}
		result["secret"] = string(made.Secret)
		return p.result(result, "added webhook %s\nits secret, shown this once: %s", made.Webhook, string(made.Secret))
	})
	return cmd
}

// webhookState is a word or two on how a webhook does.
func webhookState(w client.Webhook) string {
	switch {
	case !w.Enabled && w.Trouble != "":
		return "disabled: " + w.Trouble
	case !w.Enabled:
		return "disabled"
	case w.Trouble != "":
		return "failing: " + w.Trouble
	}
	return "ok"
}

// answerOf is the status of the receiver's last answer, "" for none.
func answerOf(w client.Webhook) string {
	if w.Status == 0 {
		return ""
	}
	return number(w.Status)
}

func (p *program) webhookList() *cobra.Command {
	return p.command("list", "List the webhooks and how they do", 0, func(r run) error {
		all, err := r.server.Webhooks(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, client.WebhookList{Webhooks: all}, []string{"NAME", "STATE", "BEHIND", "STATUS", "DELIVERED", "URL"}, all, func(w client.Webhook) []string {
			return []string{w.Webhook, webhookState(w), fmt.Sprint(w.Behind), answerOf(w), date(w.DeliveredAt), w.URL}
		})
	})
}

func (p *program) webhookShow() *cobra.Command {
	return p.command("show NAME", "Show a webhook; its secret is never shown", 1, func(r run) error {
		w, err := r.server.Webhook(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(w)
		}
		p.fields("webhook", w.Webhook, "url", w.URL, "state", webhookState(w), "actions", strings.Join(w.Actions, " "), "kinds", strings.Join(w.Kinds, " "),
			"place", fmt.Sprint(w.Place), "behind", fmt.Sprint(w.Behind), "delivered", date(w.DeliveredAt), "tried", date(w.TriedAt), "status", answerOf(w),
			"failing since", date(w.FailingSince), "next try", date(w.NextTryAt), "gives up after", number(w.GiveUpHours)+" h", "version", number(w.Version))
		return nil
	})
}

func (p *program) webhookEdit() *cobra.Command {
	var f webhookFlags
	var enable, disable, skip bool
	cmd := p.command("edit NAME", "Change a webhook, or enable it again; what failed is tried at once", 1, nil)
	f.on(p, cmd, "where it is")
	cmd.Flags().BoolVar(&enable, "enable", false, "call it again, from where it stopped")
	cmd.Flags().BoolVar(&disable, "disable", false, "do not call it")
	cmd.Flags().BoolVar(&skip, "skip", false, "leave out what is waiting")
	version := versionFlag(cmd, "the webhook is")
	p.does(cmd, func(r run) error {
		if enable && disable || skip && cmd.Flags().Changed("after") {
			return cli.Usagef("--enable and --disable exclude each other, and so do --skip and --after")
		}
		ca, err := authorities(f.ca)
		if err != nil {
			return err
		}
		secret, err := f.secret.Value()
		if err != nil {
			return err
		}
		edit := client.WebhookEdit{
			URL: given(cmd, "url", &f.url), AllowHTTP: given(cmd, "allow-http", &f.allowHTTP), CA: given(cmd, "receiver-ca", &ca),
			Secret: given(cmd, "secret-file", (*client.Secret)(&secret)), Actions: given(cmd, "actions", &f.actions), Kinds: given(cmd, "kinds", &f.kinds),
			GiveUpHours: given(cmd, "give-up", &f.giveUp), After: given(cmd, "after", &f.after), Skip: skip,
		}
		if enable || disable {
			edit.Enabled = &enable
		}
		return edits(p, r, "webhook "+r.args[0], func() (client.Webhook, error) { return r.server.Webhook(r.ctx, r.args[0]) }, func() (client.Webhook, error) {
			return r.server.EditWebhook(r.ctx, r.args[0], *version, edit)
		})
	})
	return cmd
}

func (p *program) webhookTest() *cobra.Command {
	return p.command("test NAME", "Call a webhook with the event webhook.test, once", 1, func(r run) error {
		out, err := r.server.TestWebhook(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if !out.Taken {
			return fault.New(fault.WebhookFailed, "the receiver did not take it: %s, status %d", out.Trouble, out.Status)
		}
		return p.result(out, "the receiver took it, with status %d", out.Status)
	})
}
