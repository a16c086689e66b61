package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

func (c *program) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rename TOKEN NAME",
		Short: "Give a token another nickname",
		Args:  cli.Exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			app, err := c.app()
			if err != nil {
				return err
			}
			token, err := app.Rename(args[0], args[1])
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printTokens([]tokenapp.Token{token})
			}
			fmt.Fprintf(c.Out, "renamed %s\n", name(token))
			return nil
		},
	}
}

func (c *program) deleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete TOKEN",
		Short: "Delete a token; only the issuer can bring it back",
		Args:  cli.Exactly(1),
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		app, err := c.app()
		if err != nil {
			return err
		}
		token, waits, err := app.Meant(args[0])
		if err != nil {
			return err
		}
		question := "Delete token " + name(token) + "?"
		if waits {
			question = "Delete token " + token.Serial + ", which was fetched and waits to be taken in?"
		}
		if err := c.sure(*yes, question); err != nil {
			return err
		}
		if err := app.Delete(token); err != nil {
			return err
		}
		if c.JSON {
			return c.PrintJSON(map[string]string{"deleted": token.Serial})
		}
		fmt.Fprintf(c.Out, "deleted %s\n", name(token))
		return nil
	}
	return cmd
}

func (c *program) resetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Drop the whole token database and the device ID",
		Args:  cli.Exactly(0),
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(*cobra.Command, []string) error {
		app, err := c.app()
		if err != nil {
			return err
		}
		if err := c.sure(*yes, "Drop all tokens in "+app.Dir+" and the device ID?"); err != nil {
			return err
		}
		if err := app.Reset(); err != nil {
			return err
		}
		if c.JSON {
			return c.PrintJSON(map[string]bool{"reset": true})
		}
		fmt.Fprintln(c.Out, "dropped the token database; the device ID will be another one")
		return nil
	}
	return cmd
}

// sure is an error unless the user wants what cannot be undone.
func (c *program) sure(yes bool, question string) error {
	if yes {
		return nil
	}
	if !c.Interactive() {
		return cli.Usagef("there is no terminal to ask on: say --yes")
	}
	sure, err := c.Confirm("%s", question)
	if err == nil && !sure {
		err = cli.Declinedf("nothing was changed")
	}
	return err
}

func (c *program) deviceIDCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "device-id",
		Short: "Show the ID that an administrator can bind tokens to",
		Args:  cli.Exactly(0),
		RunE: func(*cobra.Command, []string) error {
			app, err := c.app()
			if err != nil {
				return err
			}
			id, err := app.DeviceID()
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(map[string]string{"device_id": id})
			}
			fmt.Fprintln(c.Out, id)
			return nil
		},
	}
}
