package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/internal/cli"
)

// completion adds the command that writes the shell's side of completion, and what it suggests: tokens where a command takes
// one, files where it takes a source.
func (c *program) completion(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		argument := ""
		if words := strings.Fields(cmd.Use); len(words) > 1 {
			argument = strings.Trim(words[1], "[]")
		}
		switch argument {
		case "TOKEN":
			cmd.ValidArgsFunction = c.heldTokens
		case "":
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	cli.CompletionCommand(root)
}

// heldTokens are the tokens that begin with a text, by nickname or serial. The database is opened only if nobody has to be asked.
func (c *program) heldTokens(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	app, err := c.app()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	app.Keys.Warn = func(string) {}
	if os.Getenv("TALLY_PASSPHRASE") == "" {
		app.Keys.Passphrase = nil // would ask
	}
	tokens, err := app.Tokens()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range tokens {
		name, other := t.Nickname, t.Serial
		if name == "" || !strings.HasPrefix(name, begin) || !cli.Suggestible(name) {
			name, other = t.Serial, t.Nickname
		}
		if strings.HasPrefix(name, begin) {
			if other != "" {
				name = cobra.CompletionWithDesc(name, other)
			}
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
