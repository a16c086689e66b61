package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// noDefault is, for types of flags, the default that the help does not show.
var noDefault = map[string]string{"bool": "false", "string": "", "int": "0", "duration": "0", "stringSlice": "[]"}

// withoutDefaults takes the defaults out of the help of commands that edit, where what is not said stays as it is, and of switches
// of lists, which do not choose unless they are given.
func withoutDefaults(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		withoutDefaults(sub)
	}
	edits := cmd.Name() == "edit" || cmd.HasParent() && cmd.Parent().Name() == "edit"
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !edits && (cmd.Name() != "list" || f.Value.Type() != "bool") {
			return
		}
		if edits {
			f.Usage, _, _ = strings.Cut(f.Usage, " (default ")
		}
		if none, known := noDefault[f.Value.Type()]; known {
			f.DefValue = none
		}
	})
}
