package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
)

func (p *program) clockCommands() *cobra.Command {
	show := p.command("show", "Show the clocks of the servers", 0, func(r run) error {
		c, err := r.server.Clock(r.ctx)
		if err != nil {
			return err
		}
		return p.clocks(c)
	})
	confirm := p.command("confirm", "Say that the time is right although a clock went back", 0, func(r run) error {
		c, err := r.server.ConfirmClock(r.ctx)
		if err != nil {
			return err
		}
		return p.clocks(c)
	})
	return group("clock", "The clocks that tokencodes are decided by", show, confirm, p.clockOffsets(), p.clockCorrect(), p.clockCorrections(), p.clockUndo())
}

// clocks prints what the servers say of their clocks.
func (p *program) clocks(c client.Clock) error {
	if !c.Trusted {
		p.Note(fmt.Sprintf("warning: the clock of this server is %.3f s behind what it has shown: no passcode is decided until it has caught up, or until 'tallystick clock confirm'", c.BehindSeconds))
	}
	return tabulate(p, c, []string{"SERVER", "LATEST", "AHEAD OF DATABASE", "SAID AT"}, c.Servers, func(s client.ServerClock) []string {
		return []string{s.Server, date(&s.Latest), fmt.Sprintf("%+.3f s", s.AheadSeconds), date(&s.At)}
	})
}
