package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) tokenResync() *cobra.Command {
	cmd := p.command("resync SERIAL", "Learn from two successive tokencodes how far the clock of a token is off", 1, nil)
	file := p.SecretFlag(cmd, "codes-file", "two tokencodes, one after the other, without PIN")
	p.does(cmd, func(r run) error {
		codes, err := p.tokencodes(file)
		if err != nil {
			return err
		}
		t, err := r.server.Resync(r.ctx, r.args[0], codes)
		if err != nil {
			return err
		}
		off := offsetWord(t)
		if off == "" {
			off = "right"
		}
		return p.result(t, "the clock of token %s is %s; both codes are used up", t.Serial, off)
	})
	return cmd
}

// tokencodes reads two codes from a file, or asks for one after the other.
func (p *program) tokencodes(file *cli.Secret) (c client.Tokencodes, err error) {
	var text string
	if file.Given() || !p.Interactive() {
		text, err = file.Value()
		lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
		if err == nil && len(lines) != 2 {
			err = cli.Usagef("give two tokencodes with --codes-file FILE: one on each of two lines")
		}
		if err == nil {
			c.First, c.Second = client.Secret(lines[0]), client.Secret(lines[1])
		}
		return c, err
	}
	for _, ask := range []struct {
		to     *client.Secret
		prompt string
	}{{&c.First, "tokencode that the app shows now, without PIN: "}, {&c.Second, "the next one, once it has changed: "}} {
		if text, err = p.AskSecret(ask.prompt); err != nil {
			return c, err
		}
		*ask.to = client.Secret(text)
	}
	return c, nil
}
