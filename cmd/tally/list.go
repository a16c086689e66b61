package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// noticeDays is when the user is told that a token will expire.
const noticeDays = 30

func (c *program) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens that are held",
		Args:  cli.Exactly(0),
		RunE: func(*cobra.Command, []string) error {
			app, err := c.app()
			if err != nil {
				return err
			}
			tokens, err := app.Tokens()
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(tokenList(tokens))
			}
			return c.printList(app, tokens)
		},
	}
}

// printList prints a table for people, and what they should know about it.
func (c *program) printList(app *tokenapp.App, tokens []tokenapp.Token) error {
	if len(tokens) == 0 {
		c.Note("no tokens are held: 'tally import SOURCE' takes one in")
	} else {
		rows := make([][]string, len(tokens))
		for n, t := range tokens {
			i := t.Info()
			pin := map[bool]string{true: "PINPad", false: "-"}[t.AddPIN]
			rows[n] = []string{i.Serial, i.Nickname, fmt.Sprintf("%d digits, %d s", i.Digits, i.IntervalSeconds), pin, i.Expiry}
		}
		if err := cli.Table(c.Out, cli.Width(c.Out), []string{"SERIAL", "NICKNAME", "CODES", "PIN", "VALID UNTIL"}, rows); err != nil {
			return err
		}
	}
	for _, t := range tokens {
		if days, known := t.DaysLeft(c.now()); known && days <= noticeDays {
			c.Note(expiryNotice(t, days))
		}
	}
	waiting, err := app.Waiting()
	for _, serial := range waiting {
		c.Note(waitingNotice(tokens, serial))
	}
	return err
}

// waitingNotice says how to take in, or be rid of, a token that was fetched.
func waitingNotice(held []tokenapp.Token, serial string) string {
	for _, t := range held {
		if t.Serial == serial {
			return fmt.Sprintf("a new seed for token %s waits: repeat its import with --replace to take it", name(t))
		}
	}
	return fmt.Sprintf("token %s was fetched and waits: repeat its import to take it, or 'tally delete %[1]s' to be rid of it", serial)
}

// name is what to call a token in a sentence.
func name(t tokenapp.Token) string {
	if t.Nickname == "" {
		return t.Serial
	}
	return fmt.Sprintf("%s (%s)", t.Nickname, t.Serial)
}

func expiryNotice(t tokenapp.Token, days int) string {
	switch {
	case days < 0:
		return fmt.Sprintf("token %s has expired: ask for a new one", name(t))
	case days == 0:
		return fmt.Sprintf("token %s expires today: ask for a new one", name(t))
	}
	return fmt.Sprintf("token %s expires in %d days: ask for a new one", name(t), days)
}
