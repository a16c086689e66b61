package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
)

func (p *program) settingsCommands() *cobra.Command {
	return group("settings", "What holds for the life of all tokens", p.settingsShow(), p.settingsEdit())
}

func deploymentSettings(s client.Settings) []setting {
	return []setting{
		{"max-tokens-per-user", number(s.MaxTokensPerUser)},
		{"min-days-left", number(s.MinDaysLeft)},
		{"warn-days", number(s.WarnDays)},
		{"issue-limit", number(s.IssueLimit)},
		{"activation-code-digits", number(s.ActivationCodeDigits)},
		{"no-pins", yesNo(s.NoPINs)},
		{"allow-unprotected-ctf", yesNo(s.AllowUnprotectedCTF)},
		{"split-delivery", yesNo(s.SplitDelivery)},
		{"result-life", life(s.ResultLifeSeconds)},
		{"bulk-approval", yesNo(s.BulkApproval)},
		{"audit-authentication-days", number(s.AuditAuthenticationDays)},
		{"audit-administration-days", number(s.AuditAdministrationDays)},
		{"audit-system-days", number(s.AuditSystemDays)},
		{"version", number(s.Version)},
	}
}

func (p *program) settingsShow() *cobra.Command {
	return p.command("show", "Show the settings", 0, func(r run) error {
		s, err := r.server.Settings(r.ctx)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(s)
		}
		for _, s := range deploymentSettings(s) {
			fmt.Fprintf(p.Out, "%-26s %s\n", s.name, s.value)
		}
		return nil
	})
}

func (p *program) settingsEdit() *cobra.Command {
	var edit client.SettingsEdit
	cmd := p.command("edit", "Change the settings; what is not said stays", 0, nil)
	f := cmd.Flags()
	optional(f, f.IntVar, &edit.MaxTokensPerUser, "max-tokens-per-user", "tokens that a user may hold: 1 to 10")
	optional(f, f.IntVar, &edit.MinDaysLeft, "min-days-left", "days that a token must last to be taken as the next available one")
	optional(f, f.IntVar, &edit.WarnDays, "warn-days", "days before its last valid day from which on a token is said to be expiring")
	optional(f, f.IntVar, &edit.IssueLimit, "issue-limit", "how often a token may be issued until 'token reset-issue-count'; 0 for no limit")
	optional(f, f.IntVar, &edit.ActivationCodeDigits, "activation-code-digits", "length of the activation codes that are made from now on, 8 to 40")
	optional(f, f.BoolVar, &edit.NoPINs, "no-pins", "tokens that are distributed from now on work without PIN, whatever their profile says")
	optional(f, f.BoolVar, &edit.AllowUnprotectedCTF, "allow-unprotected-ctf", "a compressed string that no password protects may be mailed")
	optional(f, f.BoolVar, &edit.SplitDelivery, "split-delivery", "a link and its activation code go in different messages")
	optionalLife(f, &edit.ResultLifeSeconds, "result-life", "how long what a job made can be downloaded: 1h to 30d")
	optional(f, f.BoolVar, &edit.BulkApproval, "bulk-approval", "a second administrator approves jobs that deliver tokens, with 'job approve'")
	optional(f, f.IntVar, &edit.AuditAuthenticationDays, "audit-authentication-days", "days that the audit log keeps the events that 'monitor authentication' shows, 30 or more; 0 for ever")
	optional(f, f.IntVar, &edit.AuditAdministrationDays, "audit-administration-days", "the same for 'monitor administration'")
	optional(f, f.IntVar, &edit.AuditSystemDays, "audit-system-days", "the same for 'monitor system'")
	version := versionFlag(cmd, "the settings are")
	p.does(cmd, func(r run) error {
		return sets(p, deploymentSettings, func() (client.Settings, error) { return r.server.Settings(r.ctx) }, func(before client.Settings) (client.Settings, error) {
			return r.server.EditSettings(r.ctx, cmp.Or(*version, before.Version), edit)
		})
	})
	return cmd
}
