package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/distribution"
)

// What the shell is told while somebody types: names from the running server, and the words that a flag takes. Whatever goes
// wrong, there is nothing to suggest.

const (
	suggestions = 100              // at most
	patience    = 10 * time.Second // with the server
)

// A lookup asks a server for names that begin with a text; a tab stands before what is said of one.
type lookup func(ctx context.Context, server *client.Client, begin string) ([]string, error)

// complete gives every command below cmd its suggestions, by the names of its arguments and flags.
func (p *program) complete(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		p.complete(sub)
	}
	if cmd.ValidArgsFunction == nil {
		kind, most := argumentOf(cmd), 1
		if name, many := strings.CutSuffix(kind, "..."); many {
			kind, most = name, 0
		}
		if kind != "FILE" {
			cmd.ValidArgsFunction = p.suggestions(kind, most)
		}
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		suggest := cobra.NoFileCompletions
		kind, _ := pflag.UnquoteUsage(f)
		switch {
		case choices[f.Name] != nil:
			suggest = cobra.FixedCompletions(choices[f.Name], cobra.ShellCompDirectiveNoFileComp)
		case flagWords[f.Name] != "":
			suggest = p.suggestions(flagWords[f.Name], 0)
		case kind == "file" || kind == "directory" || f.Name == "out":
			return // what the shell does by itself
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, suggest) // fails only where there is one already
	})
}

// argumentOf is what a command takes as its first argument: the word in its usage line, or its group where that is NAME.
func argumentOf(cmd *cobra.Command) string {
	words := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(cmd.Use))
	switch {
	case len(words) < 2 || words[0] == "add" && words[1] != "AGENT":
		return "nothing"
	case words[1] == "NAME":
		return cmd.Parent().Name()
	}
	return words[1]
}

// suggestions are those for a kind of thing, of which a command takes so many arguments (0: any, as the value of a flag does).
func (p *program) suggestions(kind string, arguments int) cobra.CompletionFunc {
	find := lookups[kind]
	return func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if find == nil || arguments > 0 && len(args) >= arguments {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return p.namesFrom(cmd.Context(), find, begin), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesFrom asks the server for names.
func (p *program) namesFrom(ctx context.Context, find lookup, begin string) []string {
	if p.keyFile == "-" {
		return nil // standard input is the shell's
	}
	server, err := p.connect()
	if err != nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	names, err := find(ctx, server, begin)
	if err != nil {
		return nil
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, begin) || !cli.Suggestible(n) })
	return names[:min(len(names), suggestions)]
}

// flagWords are the kinds of thing that flags name.
var flagWords = map[string]string{
	"profile": "profile", "successor": "profile", "user": "USERID", "serial": "SERIAL", "with": "SERIAL", "donor": "SERIAL", "group": "group", "device-type": "TYPE",
	"allow-user": "USERID", "allow-group": "group", "allow-domain": "domain", "domain": "domain", "parent": "domain", "report": "report", "schedule": "schedule",
}

// lookups are by the words that usage lines have for arguments, and by the groups of commands that take a NAME.
var lookups = map[string]lookup{
	"SERIAL": func(ctx context.Context, s *client.Client, begin string) ([]string, error) {
		page, err := s.Tokens(ctx, client.TokenFilter{Query: begin, Limit: suggestions})
		return names(page.Tokens, func(t client.Token) string { return described(t.Serial, t.UserID, stateWord(t)) }), err
	},
	"USERID": users, "USER": users,
	"TYPE": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.Devices(ctx)
		return names(all, func(d client.Device) string { return described(d.DeviceType, d.Title) }), err
	},
	"JOB": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		page, err := s.Jobs(ctx, client.JobFilter{Limit: suggestions})
		return names(page.Jobs, func(j client.Job) string { return described(j.Job, j.Name, j.State) }), err
	},
	"AGENT": agents, "agent": agents,
	"profile": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.Profiles(ctx)
		return names(all, func(p client.Profile) string { return described(p.Profile, p.DeliveryMethod, "for "+p.DeviceType) }), err
	},
	"group": func(ctx context.Context, s *client.Client, begin string) ([]string, error) {
		page, err := s.Groups(ctx, client.GroupFilter{Query: begin, Limit: suggestions})
		return names(page.Groups, func(g client.Group) string { return g.Group }), err
	},
	"domain": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.Domains(ctx)
		return names(all, func(d client.Domain) string { return described(d.Domain, d.Note) }), err
	},
	"radius": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.RADIUSClients(ctx)
		return names(all, func(c client.RADIUSClient) string { return described(c.RADIUSClient, c.Address, c.Certificate) }), err
	},
	"api-key": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.APIKeys(ctx)
		return names(all, func(k client.APIKey) string { return described(k.Name, k.Role) }), err
	},
	"report": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.Reports(ctx)
		return names(all, func(t client.ReportTemplate) string { return described(t.Report, t.Title) }), err
	},
	"RUN": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		page, err := s.ReportRuns(ctx, client.ReportRunFilter{Limit: suggestions})
		return names(page.Runs, func(r client.ReportRun) string { return described(r.Run, r.Report, r.Format, r.State) }), err
	},
	"schedule": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.ReportSchedules(ctx)
		return names(all, func(r client.ReportSchedule) string { return described(r.Schedule, r.Report) }), err
	},
	"directory": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.Directories(ctx)
		return names(all, func(d client.Directory) string { return described(d.Directory, d.URL) }), err
	},
	"webhook": func(ctx context.Context, s *client.Client, _ string) ([]string, error) {
		all, err := s.Webhooks(ctx)
		return names(all, func(w client.Webhook) string { return w.Webhook }), err
	},
}

func users(ctx context.Context, s *client.Client, begin string) ([]string, error) {
	page, err := s.Users(ctx, client.UserFilter{Query: begin, Limit: suggestions})
	return names(page.Users, func(u client.User) string { return described(u.UserID, u.Name) }), err
}

func agents(ctx context.Context, s *client.Client, _ string) ([]string, error) {
	all, err := s.Agents(ctx)
	return names(all, func(a client.Agent) string { return described(a.Agent, a.DisplayName) }), err
}

func names[T any](all []T, name func(T) string) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = name(v)
	}
	return out
}

// described is a name with what is said of it.
func described(name string, of ...string) string {
	said := strings.Join(slices.DeleteFunc(of, func(s string) bool { return s == "" }), ", ")
	if said == "" {
		return name
	}
	return cobra.CompletionWithDesc(name, said)
}

// choices are the words that flags take.
var choices = map[string][]string{
	"delivery": {"file", "ctf", "ctkip"}, "pin-type": {"pinpad", "fob", "none"}, "digits": {"6", "8"}, "interval": {"30", "60"}, "ctf-version": {"2", "3", "4"},
	"binding": {"class", "ask", "none", "device_id"}, "protection": {"optional", "none", "password", "user_id", "user_id_password"},
	"url-style":   {"android", "iphone", "ios", "securid", "authenticator", "loopback", "securid_ask"},
	"switch-over": {"immediate", "on_activation"}, "reason": names(distribution.Reasons(), func(r distribution.Reason) string { return string(r) }),
	"role": names(access.Roles(), func(r access.Role) string { return string(r) }), "outcome": {"success", "failure"},
	"distribution": {"not_distributed", "issued", "pending_activation", "activation_lapsed", "confirmed"},
	"pin-creation": {"user", "system", "either"}, "next-code-failure": {"fail", "lock"}, "pin-characters": {"digits", "alphanumeric"},
	"emergency-characters": {"digits", "alphanumeric"}, "emergency-if-found": {"deny", "accept_and_end", "accept_after"}, "fixed-passcode": {"off", "pin", "own"},
	"prompts": {"securid", "cisco-asa", "plain"}, "message-authenticator": {"require", "warn", "off"}, "strip-realm": {"none", "prefix", "suffix"},
	"passcode-method": access.PasscodeMethods, "also-named-by": access.NameKinds, "hmac": {"off", "allowed", "required"}, "prune": {"profiles", "devices", "radius_clients", "domains", "groups", "agents", "directories", "mail_templates", "webhooks", "report_schedules"}, "format": {"table", "csv", "json", "pdf"}, "every": {"day", "week", "month"},
	"weekday":  {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"},
	"protocol": {"radius", "rest"}, "log-level": {"debug", "info", "warn", "error"}, "select": {"all", "undistributed", "group:", "serials:"},
}

// completion adds the command that writes the shell's side of it.
func (p *program) completion(root *cobra.Command) {
	p.complete(root)
	cli.CompletionCommand(root)
}
