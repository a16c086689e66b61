package cli

import (
	"fmt"
	"io"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
)

// help gives root and all commands below it a help that fits the terminal: what a command does, how it is called, what is
// below it, and its flags.
func help(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		about := cmd.Long
		if about == "" {
			about = cmd.Short
		}
		out := cmd.OutOrStdout()
		columns := Width(out)
		fmt.Fprintf(out, "%s\n\n%s", fill(about, columns), usage(cmd, columns)) // where nobody reads there is nobody to tell
	})
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		out := cmd.OutOrStdout()
		_, err := io.WriteString(out, usage(cmd, Width(out)))
		return err
	})
}

// usage is how a command is called, in so many columns; 0 for any.
func usage(cmd *cobra.Command, columns int) string {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.Runnable() && (!cmd.HasAvailableSubCommands() || strings.Contains(cmd.Use, " ")) {
		for _, line := range wrap(cmd.UseLine(), columns-2) {
			b.WriteString("  " + line + "\n")
		}
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		var pairs []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				pairs = append(pairs, "  "+c.Name(), c.Short)
			}
		}
		b.WriteString(pairsIn(columns, pairs))
	}
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n%s:\n%s", title, text)
		}
	}
	section("Flags", cmd.LocalFlags().FlagUsagesWrapped(columns))
	section("Flags of all commands", cmd.InheritedFlags().FlagUsagesWrapped(columns))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n'%s COMMAND --help' says more about a command.\n", cmd.CommandPath())
	}
	return b.String()
}

// pairsIn are names and what is said of each, in two columns.
func pairsIn(columns int, pairs []string) string {
	names := 0
	for i := 0; i < len(pairs); i += 2 {
		names = max(names, lipgloss.Width(pairs[i]))
	}
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		for _, line := range wrap(pairs[i+1], columns-names-2) {
			b.WriteString(name + strings.Repeat(" ", names-lipgloss.Width(name)+1) + " " + line + "\n")
			name = ""
		}
	}
	return b.String()
}

// fill breaks the lines of a text that are too long for so many columns. Lines that are indented are commands to be copied: they stay.
func fill(text string, columns int) string {
	var out, paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			out = append(out, wrap(strings.Join(paragraph, " "), columns)...)
		}
		paragraph = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case columns <= 0 || line == "" || strings.HasPrefix(line, " "):
			flush()
			out = append(out, line)
		default:
			paragraph = append(paragraph, line)
		}
	}
	flush()
	return strings.Join(out, "\n")
}
