package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
)

// triable are the commands whose one call can be made as a dry run: the server does it, undoes it and answers as it would have.
// Commands that delete have a --dry-run of their own (deletion), and so have those that work on many things.
var triable = []string{
	"user edit", "user enable", "user disable", "group edit", "profile edit", "policy edit token", "policy edit lockout",
	"policy inherit token", "policy inherit lockout", "settings edit",
	"domain edit", "domain move", "radius edit", "agent edit", "agent credential edit", "agent credential deprecate", "webhook edit", "directory edit", "mail settings edit", "token edit",
	"token unassign", "token revoke", "token clear-pin", "user clear-fixed-passcode", "user clear-on-demand", "radius user", "mail template reset",
}

const dryRunFlag = "dry-run"

// dryRuns gives them the flag.
func dryRuns(root *cobra.Command) {
	for _, words := range triable {
		cmd, _, err := root.Find(strings.Fields(words))
		if err == nil && cmd.CommandPath() == root.Name()+" "+words && cmd.Flags().Lookup(dryRunFlag) == nil {
			cmd.Flags().Bool(dryRunFlag, false, "change nothing, and show what the answer would be")
			cmd.Annotations = map[string]string{dryRunFlag: "undone"}
		}
	}
}

// dry is the context of a command's calls, and whether they are undone.
func dry(cmd *cobra.Command) (context.Context, bool) {
	on, err := cmd.Flags().GetBool(dryRunFlag)
	if err != nil || !on || cmd.Annotations[dryRunFlag] == "" {
		return cmd.Context(), false
	}
	return client.DryRun(cmd.Context()), true
}
