package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// codeOptions are the flags of 'tally code' that are not about the source.
type codeOptions struct {
	from, serial, at string
	next             bool
	pin              *cli.Secret
}

func (c *program) codeCommand() *cobra.Command {
	var o codeOptions
	cmd := &cobra.Command{
		Use:   "code [TOKEN]",
		Short: "Show the code of a token, held or from a source",
		Long: "Show the code of a token that is held, or with --from that of a source, which is not stored.\n" +
			"An expired token has no code, except for a time that --at names.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return cli.Usagef("name one token")
			}
			return nil
		},
	}
	unlock := c.unlockFlags(cmd)
	o.pin = c.SecretFlag(cmd, "pin-file", "PIN of a PINPad token", "TALLY_PIN")
	cmd.Flags().Func("from", "compute the code of `SOURCE` and store nothing", cli.NotEmpty(&o.from))
	cmd.Flags().StringVar(&o.serial, "serial", "", "`serial number` of the token meant, if the source holds several")
	cmd.Flags().StringVar(&o.at, "at", "", "`time` for which to compute the code, such as 2026-11-24T08:00:00Z")
	cmd.Flags().BoolVar(&o.next, "next", false, "show the next code, too")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if o.from != "" && len(args) > 0 {
			return cli.Usagef("--from names the token: leave out the argument") // which may be a token string, too
		}
		if o.from == "" && o.serial != "" {
			return cli.Usagef("--serial is for --from: name a token that is held as the argument")
		}
		var token tokenapp.Token
		at, err := o.moment()
		if err != nil {
			return err
		}
		if o.from != "" {
			token, err = c.tokenFrom(o, unlock)
		} else {
			token, err = c.heldToken(args)
		}
		if err != nil {
			return err
		}
		return c.showCode(token, at, o)
	}
	return cmd
}

// moment is the time that --at names, the zero time without it.
func (o *codeOptions) moment() (time.Time, error) {
	if o.at == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, o.at)
	if err != nil || at.UTC().Year() < 0 || at.UTC().Year() > 9999 {
		return at, cli.Usagef("--at wants a time such as 2026-11-24T08:00:00Z")
	}
	return at, nil
}

// tokenFrom opens the source that --from names.
func (c *program) tokenFrom(o codeOptions, unlock *unlockFlags) (tokenapp.Token, error) {
	source, access, err := unlock.read(o.from, o.pin)
	if err != nil {
		return tokenapp.Token{}, err
	}
	if _, ok := source.Link(); ok {
		return tokenapp.Token{}, cli.Usagef("a provisioning link works once, and its token would be lost: use 'tally import'")
	}
	choose := func(a tokenapp.Access) (tokenapp.Token, error) { return source.Token(a, o.serial) }
	token, err := choose(access)
	if err != nil {
		return askPassword(c, err, &access, choose)
	}
	return token, nil
}

// heldToken is the token that the argument names, or the only one there is.
func (c *program) heldToken(args []string) (tokenapp.Token, error) {
	app, err := c.app()
	if err != nil {
		return tokenapp.Token{}, err
	}
	if len(args) == 1 {
		return app.Find(args[0])
	}
	tokens, err := app.Tokens()
	if err != nil {
		return tokenapp.Token{}, err
	}
	if len(tokens) == 0 {
		return tokenapp.Token{}, fault.New(fault.UnknownToken, "no tokens are held: 'tally import SOURCE' takes one in")
	}
	if len(tokens) > 1 {
		return tokenapp.Token{}, fault.New(fault.UnknownToken, "%d tokens are held: name the one you mean", len(tokens))
	}
	return tokens[0], nil
}

// shownCode is the document of 'tally code --json'.
type shownCode struct {
	Serial      string    `json:"serial"`
	Code        string    `json:"code"`
	SecondsLeft int       `json:"seconds_left"`
	ValidFrom   time.Time `json:"valid_from"`
	Next        string    `json:"next,omitempty"`
}

// showCode shows the code of a token at a time; the zero time is now.
func (c *program) showCode(t tokenapp.Token, at time.Time, o codeOptions) error {
	if o.at == "" {
		// A named time is a question about that time, which codes past the end can answer.
		if at = c.now(); t.Expired(at) {
			return fault.New(fault.Expired, "token %s expired after %s: ask for a new one", name(t), t.Info().Expiry)
		}
	}
	pin, err := o.pin.Value()
	if err != nil {
		return err
	}
	if pin == "" && t.AddPIN && c.Interactive() {
		if pin, err = c.AskSecret("PIN (none for the plain tokencode): "); err != nil {
			return err
		}
	} else if pin != "" && !t.AddPIN {
		c.Note("this token has no use for the PIN: it goes in front of the code where the code is asked for")
	}
	code, err := t.Code(at, pin)
	if err != nil {
		return err
	}
	shown := shownCode{Serial: t.Serial, Code: code.Text, SecondsLeft: code.Left, ValidFrom: code.ValidFrom}
	if o.next {
		next, err := t.Code(code.ValidFrom.Add(time.Duration(t.Interval)*time.Second), pin)
		if err != nil {
			return err
		}
		shown.Next = next.Text
	}
	return c.printCode(shown)
}

// printCode prints the code alone on its line, for people and for scripts.
func (c *program) printCode(shown shownCode) error {
	if c.JSON {
		return c.PrintJSON(shown)
	}
	lines := shown.Code + "\n"
	if shown.Next != "" {
		lines += shown.Next + "\n"
	}
	if _, err := io.WriteString(c.Out, lines); err != nil {
		return err
	}
	c.Note(fmt.Sprintf("current for %d s more", shown.SecondsLeft))
	return nil
}
