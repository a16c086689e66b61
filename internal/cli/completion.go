package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// CompletionCommand adds the command that writes completions for bash, zsh, fish and PowerShell. All other commands are there already.
func CompletionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Short = "Write the shell's part of completion: 'completion bash --help' says where it goes"
		c.Args = NoArgs
		c.RunE = func(cmd *cobra.Command, _ []string) error {
			return Usagef("completion takes the name of a shell; see '%s --help'", cmd.CommandPath())
		}
		for _, shell := range c.Commands() {
			shell.Args = Exactly(0)
		}
	}
}

// Suggestible tells whether a shell takes a name for text alone, with which it completes what somebody types; what stands behind a tab is a description.
// What several names begin with goes on the line as it is, and bash evaluates the line at the next tab, and puts earlier commands in the place of
// exclamation marks when it is entered: whoever gave the names would have run what they hold.
func Suggestible(suggestion string) bool {
	name, _, _ := strings.Cut(suggestion, "\t")
	return !strings.ContainsAny(name, "$`;&|<>()!")
}
