package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
)

func (p *program) tokenLost() *cobra.Command {
	var l client.Loss
	var life time.Duration
	cmd := p.command("lost SERIAL", "Stop a lost token, and give its user emergency codes", 1, nil)
	cmd.Flags().StringVar(&l.Emergency, "emergency", "", "codes that stand in for the tokencode: fixed (one, until it expires) or set (each once); none unless said")
	cmd.Flags().IntVar(&l.Count, "count", 10, "how many codes a set has, 1 to 50")
	lifeFlag(cmd.Flags(), &life, "life", 0, "how long the codes work, such as 3d (default what the token policy says)")
	p.does(cmd, func(r run) error {
		if l.Emergency != "set" && !cmd.Flags().Changed("count") {
			l.Count = 0
		}
		l.LifeSeconds = seconds(life)
		lost, err := r.server.ReportLost(r.ctx, r.args[0], l)
		if err != nil || p.JSON {
			return p.unless(err, lost)
		}
		if len(lost.Codes) == 0 {
			return p.result(lost, "token %s is lost: it is refused until 'token found'", lost.Token.Serial)
		}
		p.Note(fmt.Sprintf("token %s is lost; until %s these stand in for its tokencode, with the PIN before them as ever; they are not shown again",
			lost.Token.Serial, date(&lost.Token.Emergency.Until)))
		for _, code := range lost.Codes {
			fmt.Fprintln(p.Out, string(code))
		}
		return nil
	})
	return cmd
}

func (p *program) tokenFound() *cobra.Command {
	return p.change("found SERIAL", "Let a token that was lost authenticate again; its emergency codes end", "found", func(r run, serial string, version int) (client.Token, error) {
		return r.server.ReportFound(r.ctx, serial, version)
	})
}

// emergencyLine says what emergency access a token's user has, "" for none.
func emergencyLine(t client.Token) string {
	e := t.Emergency
	switch {
	case e == nil:
		return ""
	case e.Kind == "fixed":
		return fmt.Sprintf("one, again and again until %s%s", date(&e.Until), lastUsed(e))
	}
	return fmt.Sprintf("%d left of a set, until %s%s", e.Left, date(&e.Until), lastUsed(e))
}

func lastUsed(e *client.Emergency) string {
	if e.LastUsedAt == nil {
		return ""
	}
	return ", last used " + date(e.LastUsedAt)
}
