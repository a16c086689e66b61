package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/cli"
)

// monitored are the actions that a monitor has to hear of. Sign-ins are many: only the monitor of them has them sent.
var monitored = map[audit.Category][]string{
	"":                   {"*"},
	audit.Authentication: audit.SignInActions(),
}

func (p *program) monitorCommand() *cobra.Command {
	var after int64
	count := 0
	cmd := &cobra.Command{Use: "monitor [CATEGORY]", Short: "Show sign-ins, administration or the servers' own events as they happen", Args: cobra.ArbitraryArgs}
	cmd.ValidArgsFunction = cobra.FixedCompletions(names(audit.Categories(), func(c audit.Category) string { return string(c) }), cobra.ShellCompDirectiveNoFileComp)
	cmd.Long = `Show what happens as it happens, until interrupted: all of it, or only
  authentication   who signs in or tries to, lockouts, next tokencodes, new PINs that are asked for
  administration   what administrators and their programs do
  system           what the servers do and notice by themselves
It takes the right read_changes. With --json each line is a JSON document.`
	cmd.Flags().Int64Var(&after, "after", -1, "begin after this `place` in the audit log (default with what happens from now on)")
	cmd.Flags().Lookup("after").DefValue = "0" // its own words say the default
	cmd.Flags().IntVar(&count, "count", 0, "end after so many `events`")
	p.does(cmd, func(r run) error {
		wanted, err := category(r.args)
		if err != nil {
			return err
		}
		f := client.ChangeFilter{After: after, Wait: longPoll, Actions: monitored[wanted]}
		if !cmd.Flags().Changed("after") {
			now, err := r.server.Changes(r.ctx, client.ChangeFilter{After: -1, Limit: 1})
			if err != nil {
				return err
			}
			f.After = now.Size - 1
		}
		left := count
		for e, err := range r.server.AllChanges(r.ctx, f) {
			if err != nil && r.ctx.Err() != nil {
				return nil // stopped by a signal
			}
			if err != nil {
				return err
			}
			if is := (audit.Event{Action: e.Action, Actor: audit.Actor{Name: e.Actor}}).Category(); wanted != "" && is != wanted {
				continue
			}
			if err := p.printMonitored(e); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		return nil
	})
	return cmd
}

// category is what the arguments name, "" for all.
func category(args []string) (audit.Category, error) {
	if len(args) == 0 {
		return "", nil
	}
	for _, c := range audit.Categories() {
		if len(args) == 1 && string(c) == args[0] {
			return c, nil
		}
	}
	return "", cli.Usagef("monitor takes one of authentication, administration and system, or nothing for all")
}

// printMonitored prints one event as one line: what people look for first is in the same place on each.
func (p *program) printMonitored(e client.Event) error {
	if p.JSON {
		return p.printChange(e)
	}
	outcome := "ok  "
	if e.Outcome != audit.Success {
		outcome = "FAIL"
	}
	words := []string{e.Object}
	if e.Reason != "" {
		words = append(words, e.Reason)
	}
	for _, name := range []string{"token", "tokens", "agent", "station", "because", "count"} {
		switch v := e.Details[name].(type) {
		case nil:
		case []any:
			words = append(words, name+"="+strings.Trim(fmt.Sprint(v), "[]"))
		default:
			words = append(words, fmt.Sprintf("%s=%v", name, v))
		}
	}
	by := e.Actor
	if e.Client != "" {
		by += " at " + e.Client
	}
	line := fmt.Sprintf("%s  %s  %-16s  %s  (%s)", date(&e.At), outcome, e.Action, strings.Join(words, " "), by)
	_, err := fmt.Fprintln(p.Out, strings.Map(printable, line))
	return err
}
