package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

func (c *program) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import SOURCE",
		Short: "Take tokens into the database",
		Long: "Take the tokens of a file, string, picture or link into the database: all of them or none.\n" +
			"A serial number that is held is refused unless --replace swaps its seed in place. What a link has brought and cannot\n" +
			"be taken in is kept aside: repeat the import when the reason is gone.",
		Args: cli.Exactly(1),
	}
	unlock := c.unlockFlags(cmd)
	code := c.SecretFlag(cmd, "activation-code-file", "activation code for a provisioning link that holds none", "TALLY_ACTIVATION_CODE")
	var o tokenapp.ImportOptions
	cmd.Flags().StringVar(&o.Nickname, "nickname", "", "what to call the token")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "give a held token of the same serial number the new seed; its nickname and place stay")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		source, access, err := unlock.read(args[0], code)
		if err != nil {
			return err
		}
		app, err := c.app()
		if err != nil {
			return err
		}
		if link, ok := source.Link(); ok {
			if link.Code, err = c.activationCode(link, code); err != nil {
				return err
			}
			return c.provision(app, link, o)
		}
		if access.Own, err = app.DeviceID(); err != nil {
			return err
		}
		tokens, err := source.Open(access)
		if err != nil {
			tokens, err = askPassword(c, err, &access, source.Open)
		}
		if err != nil {
			return err
		}
		added, err := app.Import(tokens, o)
		if err != nil {
			return err
		}
		if err := c.printImported(added); err != nil {
			return err
		}
		notices, err := waitingFor(app, added)
		for _, n := range notices {
			c.Note(n)
		}
		return err
	}
	return cmd
}

// activationCode is the code given with the command, else that of the link,
// else what the user types.
func (c *program) activationCode(link ctkip.Link, given *cli.Secret) (ctkip.Code, error) {
	code, err := given.Value()
	if err != nil || code != "" {
		return ctkip.Code(code), err
	}
	if link.Code == "" && c.Interactive() {
		code, err = c.AskSecret("Activation code: ")
		return ctkip.Code(code), err
	}
	if link.Code == "" {
		return "", cli.Usagef("the link holds no activation code: give it with --activation-code-file or TALLY_ACTIVATION_CODE")
	}
	return link.Code, nil
}

// provision fetches the token that the link leads to. An interrupt ends the
// exchange and not the program, which may just be storing what it got.
func (c *program) provision(app *tokenapp.App, link ctkip.Link, o tokenapp.ImportOptions) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	roots, err := cli.Roots(c.ca)
	if err != nil {
		return err
	}
	p := tokenapp.Provisioner{Roots: roots, Warn: c.Note, Progress: c.Note}
	var interrupted error
	ask := func(question string, about any) (yes bool) {
		if interrupted == nil {
			yes, interrupted = c.Confirm(question, about)
		}
		return yes && interrupted == nil
	}
	if c.Interactive() {
		p.Confirm = func(held tokenapp.Token) bool {
			return ask("Token %s is held already. Give it the seed that the server has just made?", name(held))
		}
		p.Retry = func(reason error) bool {
			return ask("The new token could not be written (%v), and its activation code is used up. Try again?", reason)
		}
	}
	token, err := app.Provision(ctx, link, o, p)
	if err != nil && interrupted != nil { // what was answered is not no, and what is left to do stays
		return fmt.Errorf("%w: %s", interrupted, err.Error())
	}
	if err != nil {
		return err
	}
	return c.printImported([]tokenapp.Token{token})
}

// waitingFor tells of seeds that wait for tokens just imported: which one is newer, only the server knows.
func waitingFor(app *tokenapp.App, imported []tokenapp.Token) (notices []string, err error) {
	waiting, err := app.Waiting()
	for _, serial := range waiting {
		if slices.ContainsFunc(imported, func(t tokenapp.Token) bool { return t.Serial == serial }) {
			notices = append(notices, waitingNotice(imported, serial))
		}
	}
	return notices, err
}

func (c *program) printImported(tokens []tokenapp.Token) error {
	if c.JSON {
		return c.printTokens(tokens)
	}
	for _, t := range tokens {
		fmt.Fprintf(c.Out, "imported %s\n", name(t))
		if days, known := t.DaysLeft(c.now()); known && days <= noticeDays {
			c.Note(expiryNotice(t, days))
		}
	}
	return nil
}
