package main

import (
	"fmt"
	"time"

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
	var maxTokens, minDays, warnDays, issueLimit, codeDigits, authenticationDays, administrationDays, systemDays, version int
	var noPINs, unprotected, split, approval bool
	var resultLife time.Duration
	cmd := p.command("edit", "Change the settings; what is not said stays", 0, nil)
	f := cmd.Flags()
	f.IntVar(&maxTokens, "max-tokens-per-user", 0, "tokens that a user may hold: 1 to 10")
	f.IntVar(&minDays, "min-days-left", 0, "days that a token must last to be taken as the next available one")
	f.IntVar(&warnDays, "warn-days", 0, "days before its last valid day from which on a token is said to be expiring")
	f.IntVar(&issueLimit, "issue-limit", 0, "how often a token may be issued until 'token reset-issue-count'; 0 for no limit")
	f.IntVar(&codeDigits, "activation-code-digits", 0, "length of the activation codes that are made from now on, 8 to 40")
	f.BoolVar(&noPINs, "no-pins", false, "tokens that are distributed from now on work without PIN, whatever their profile says")
	f.BoolVar(&unprotected, "allow-unprotected-ctf", false, "a compressed string that no password protects may be mailed")
	f.BoolVar(&split, "split-delivery", true, "a link and its activation code go in different messages")
	lifeFlag(f, &resultLife, "result-life", 0, "how long what a job made can be downloaded: 1h to 30d")
	f.BoolVar(&approval, "bulk-approval", false, "a second administrator approves jobs that deliver tokens, with 'job approve'")
	f.IntVar(&authenticationDays, "audit-authentication-days", 0, "days that the audit log keeps the events that 'monitor authentication' shows, 30 or more; 0 for ever")
	f.IntVar(&administrationDays, "audit-administration-days", 0, "the same for 'monitor administration'")
	f.IntVar(&systemDays, "audit-system-days", 0, "the same for 'monitor system'")
	f.IntVar(&version, "version", 0, "refuse if the settings are not at this `version` any more")
	p.does(cmd, func(r run) error {
		before, err := r.server.Settings(r.ctx)
		if err != nil {
			return err
		}
		after, err := r.server.EditSettings(r.ctx, from(version, before.Version), client.SettingsEdit{
			MaxTokensPerUser: given(cmd, "max-tokens-per-user", &maxTokens), MinDaysLeft: given(cmd, "min-days-left", &minDays),
			WarnDays: given(cmd, "warn-days", &warnDays), IssueLimit: given(cmd, "issue-limit", &issueLimit), ActivationCodeDigits: given(cmd, "activation-code-digits", &codeDigits), NoPINs: given(cmd, "no-pins", &noPINs),
			AllowUnprotectedCTF: given(cmd, "allow-unprotected-ctf", &unprotected), SplitDelivery: given(cmd, "split-delivery", &split),
			ResultLifeSeconds: givenSeconds(cmd, "result-life", resultLife), BulkApproval: given(cmd, "bulk-approval", &approval),
			AuditAuthenticationDays: given(cmd, "audit-authentication-days", &authenticationDays), AuditAdministrationDays: given(cmd, "audit-administration-days", &administrationDays),
			AuditSystemDays: given(cmd, "audit-system-days", &systemDays),
		})
		if err != nil {
			return err
		}
		return p.changed(edited[client.Settings]{before, after}, deploymentSettings(before), deploymentSettings(after))
	})
	return cmd
}
