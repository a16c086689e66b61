package main

import (
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) checkCommand() *cobra.Command {
	cmd := p.command("check USER", "Is this passcode of a user right? It counts as used afterwards", 1, nil)
	passcode := p.SecretFlag(cmd, "passcode-file", "passcode", "TALLYSTICK_PASSCODE")
	p.does(cmd, func(r run) error {
		secret, err := p.ask(passcode, "Passcode: ")
		if err != nil {
			return err
		}
		result, err := r.server.Authenticate(r.ctx, r.args[0], client.Secret(secret))
		if err != nil {
			return err
		}
		if err := p.result(client.Decision{Result: result}, "%s", result); err != nil || result == client.Accepted {
			return err
		}
		return cli.Status(cli.Refused)
	})
	return cmd
}

func (p *program) whoamiCommand() *cobra.Command {
	return p.command("whoami", "Show who the server takes you for", 0, func(r run) error {
		me, err := r.server.WhoAmI(r.ctx)
		if err != nil {
			return err
		}
		return p.result(me, "%s, in the role %s", me.Actor, me.Role)
	})
}
