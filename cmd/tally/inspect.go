package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

func (c *program) inspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect SOURCE",
		Short: "Show what a token file, string, picture or link holds",
		Long: "Show what a token file, string, picture or link holds, without storing anything.\n" +
			"Without a password this is what anybody can read, and not checked; with it, everything is checked.",
		Args: cli.Exactly(1),
	}
	unlock := c.unlockFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		source, access, err := unlock.read(args[0])
		if err != nil {
			return err
		}
		if link, ok := source.Link(); ok {
			return c.printTokens([]tokenapp.Token{linkToken(link)})
		}
		tokens, err := source.Inspect(access)
		if err != nil {
			// Where nothing at all can be read without the password.
			tokens, err = askPassword(c, err, &access, source.Inspect)
		}
		if err != nil {
			return err
		}
		return c.printTokens(tokens)
	}
	return cmd
}

// linkToken is what a provisioning link says about its token: next to nothing.
// Asking the server would use the activation code up.
func linkToken(link ctkip.Link) tokenapp.Token {
	t := tokenapp.Token{Format: tokenapp.FormatCTKIP}
	if u, err := url.Parse(link.URL); err == nil {
		t.Issuer = u.Host
	}
	return t
}

// printTokens prints one token as it is and several as a list.
func (c *program) printTokens(tokens []tokenapp.Token) error {
	if c.JSON {
		if len(tokens) == 1 {
			return c.PrintJSON(tokens[0].Info())
		}
		return c.PrintJSON(tokenList(tokens))
	}
	for i, t := range tokens {
		if i > 0 {
			fmt.Fprintln(c.Out)
		}
		describe(c.Out, t)
	}
	return nil
}

// tokenList is the document that lists tokens.
func tokenList(tokens []tokenapp.Token) any {
	list := struct {
		Tokens []tokenapp.Info `json:"tokens"`
	}{[]tokenapp.Info{}}
	for _, t := range tokens {
		list.Tokens = append(list.Tokens, t.Info())
	}
	return list
}

// describe prints a token for people; lines without content are left out.
func describe(w io.Writer, t tokenapp.Token) {
	i := t.Info()
	codes, pin := "", ""
	if i.Digits > 0 {
		codes = fmt.Sprintf("%d digits, every %d seconds", i.Digits, i.IntervalSeconds)
		pin = map[string]string{"pinpad": "typed into the app (PINPad)", "fob_or_none": "in front of the code, or none"}[i.PINType]
	}
	var protection []string
	if i.PasswordProtected {
		protection = append(protection, "password")
	}
	if i.DeviceBound {
		protection = append(protection, strings.TrimSpace("device "+i.DeviceID))
	}
	for _, line := range [][2]string{
		{"serial", i.Serial},
		{"nickname", i.Nickname},
		{"codes", codes},
		{"PIN", pin},
		{"valid from", i.Birth},
		{"valid until", i.Expiry},
		{"protection", strings.Join(protection, ", ")},
		{"issuer", i.Issuer},
		{"format", string(i.Format)},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-12s %s\n", line[0]+":", line[1])
		}
	}
}
