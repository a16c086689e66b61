package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// longPoll is how long the server is asked to wait for news before it says that there are none.
const longPoll = 25 * time.Second

func (p *program) changesCommand() *cobra.Command {
	f := client.ChangeFilter{}
	var fresh, follow bool
	cmd := p.command("changes", "Print what happened, in the order of the audit log, for scripts that react to it", 0, nil)
	p.does(cmd, func(r run) error {
		if fresh && cmd.Flags().Changed("after") {
			return cli.Usagef("--new and --after are two places to begin at: give one")
		}
		if fresh && !follow {
			return cli.Usagef("--new goes with --follow: from now on nothing has happened yet")
		}
		if fresh {
			now, err := r.server.Changes(r.ctx, client.ChangeFilter{After: -1, Limit: 1})
			if err != nil {
				return err
			}
			f.After = now.Size - 1
		}
		if follow {
			f.Wait = longPoll
		}
		for e, err := range r.server.AllChanges(r.ctx, f) {
			if err != nil && r.ctx.Err() != nil {
				return nil // stopped by a signal
			}
			if err != nil {
				return err
			}
			if err := p.printChange(e); err != nil {
				return err
			}
		}
		return nil
	})
	cmd.Long = `Print what happened, in the order of the audit log, a line for each event; with --json, each line is a JSON document.
Whoever keeps the place of the last line, and gives it with --after the next time, misses nothing and sees nothing twice.
Sign-ins are left out unless they are asked for: --action 'authn.*', or --action '*' for everything.`
	s := cmd.Flags()
	s.Int64Var(&f.After, "after", -1, "`place` that was read last (default from the beginning)")
	s.Lookup("after").DefValue = "0" // its own words say the default
	s.BoolVar(&fresh, "new", false, "only what happens from now on; with --follow")
	s.BoolVar(&follow, "follow", false, "go on as things happen, until interrupted")
	s.StringArrayVar(&f.Actions, "action", nil, "only this `action`, such as token.assign or 'token.*'; may be given several times")
	s.StringArrayVar(&f.Kinds, "kind", nil, "only this `kind` of objects, such as token or user; may be given several times")
	return cmd
}

// printChange prints one event as one line.
func (p *program) printChange(e client.Event) error {
	if !p.JSON {
		_, err := fmt.Fprintf(p.Out, "%d  %s  %s  %s\n", e.Seq, date(&e.At), e.Actor, eventLine(e))
		return err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = p.Stream().Write(append(line, '\n'))
	return err
}
