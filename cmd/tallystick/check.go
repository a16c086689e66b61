package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) checkCommand() *cobra.Command {
	cmd := p.command("check USER", "Is this passcode of a user right? It counts as used afterwards", 1, nil)
	cmd.Long = `Is this passcode of a user right? It counts as used afterwards.

On a terminal the command goes on where a right passcode is not enough: it asks for the next tokencode or a new PIN. Elsewhere
--json prints what is asked for, and with --attempt and --turn from there the file of --passcode-file holds the answer.`
	passcode := p.SecretFlag(cmd, "passcode-file", "passcode", "TALLYSTICK_PASSCODE")
	attempt := cmd.Flags().String("attempt", "", "go on with this `attempt`")
	turn := cmd.Flags().Int("turn", 0, "`number` of the turn that is answered")
	p.does(cmd, func(r run) error {
		what := client.Check{UserID: r.args[0], Attempt: *attempt, Turn: *turn}
		secret, err := p.ask(passcode, "Passcode: ")
		if err != nil {
			return err
		}
		if what.Attempt == "" {
			if secret == "" {
				return cli.Usagef("say which passcode: --passcode-file FILE (- is standard input), TALLYSTICK_PASSCODE, or type it at a terminal")
			}
			what.Passcode = client.Secret(secret)
		} else {
			what.UserID, what.Answer = "", client.Secret(secret)
		}
		d, err := r.server.Check(r.ctx, what)
		for err == nil && d.Step != "" && !p.JSON && !passcode.Given() && p.Interactive() {
			d, err = p.goOn(r, d)
		}
		if err != nil {
			return err
		}
		if err := p.decided(d); err != nil || d.Result == client.Accepted {
			return err
		}
		return cli.Status(cli.Refused)
	})
	return cmd
}

// decided prints a decision.
func (p *program) decided(d client.Decision) error {
	if !p.JSON && d.Rejected != "" {
		p.Note("this PIN is not taken: " + d.Rejected)
	}
	return p.result(d, "%s", d.Result)
}

// goOn asks the person at the terminal for what a decision asks for, and sends it.
func (p *program) goOn(r run, d client.Decision) (client.Decision, error) {
	var answer string
	var err error
	switch d.Step {
	case "new_pin":
		answer, err = p.newPIN(d)
	case "system_pin":
		p.Note("your new PIN is " + string(d.SystemPIN) + ": remember it")
		var taken bool
		if taken, err = p.Confirm("Take it?"); !taken {
			answer = "n"
		}
	case "reauthenticate":
		if d.Mailed {
			answer, err = p.AskSecret("The PIN is set. Type it again, and another code is sent by mail.\nNew PIN: ")
			break
		}
		answer, err = p.AskSecret("The PIN is set. Wait for the tokencode to change.\nPasscode with the new PIN: ")
	default:
		if d.Mailed {
			answer, err = p.AskSecret("A code was sent by mail.\nCode: ")
			break
		}
		answer, err = p.AskSecret("Wait for the tokencode to change.\nNext tokencode, without PIN: ")
	}
	if err != nil {
		return d, err
	}
	return r.server.Answer(r.ctx, d, client.Secret(answer))
}

// newPIN asks for a new PIN twice, and again if the two differ.
func (p *program) newPIN(d client.Decision) (string, error) {
	if d.Rejected != "" {
		p.Note("this PIN is not taken: " + d.Rejected)
	}
	characters := "digits"
	if d.PIN.Alphanumeric {
		characters = "letters and digits"
	}
	return p.askTwice(fmt.Sprintf("New PIN, %d to %d %s", d.PIN.Min, d.PIN.Max, characters))
}

// askTwice asks for a secret that nobody sees until the same one is typed twice.
func (p *program) askTwice(what string) (string, error) {
	for {
		pin, err := p.AskSecret(what + ": ")
		if err != nil {
			return "", err
		}
		again, err := p.AskSecret("The same again: ")
		if err != nil || pin == again {
			return pin, err
		}
		p.Note("they do not match")
	}
}

func (p *program) whoamiCommand() *cobra.Command {
	return p.command("whoami", "Show who the server takes you for", 0, func(r run) error {
		me, err := r.server.WhoAmI(r.ctx)
		if err != nil {
			return err
		}
		where := ""
		if me.Domain != "" {
			where = ", limited to the security domain " + me.Domain
		}
		return p.result(me, "%s, in the role %s%s", me.Actor, me.Role, where)
	})
}
