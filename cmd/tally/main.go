// Command tally is the token app for a terminal: it holds software tokens in
// an encrypted database and shows their codes. Without arguments it fills the
// terminal with them.
//
// Its commands, flags, exit statuses, JSON documents and error codes are the
// contract of spec/cli.md. Everything that is not showing or asking is in
// internal/tokenapp. The messages follow three rules: results go to standard
// output and words to standard error, an error says what to do next, and what
// --json prints is the only thing on standard output.
package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func main() {
	p := &program{Program: cli.Program{Name: "tally", In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Hints: hints}, now: time.Now}
	os.Exit(p.run(os.Args[1:]))
}

// program is one run: its streams, its clock and the flags that every
// command has.
type program struct {
	cli.Program
	now func() time.Time

	store   string
	keyFile string
	ca      string
	limit   int
}

const about = `tally holds software tokens and shows their tokencodes.

  tally                          all tokens, in a full-screen view
  tally import alice.sdtid       take in a token: file, string, QR code, link
  tally code alice               its code, now
  tally code --from alice.sdtid  a code without storing anything

TOKEN is a serial number or a nickname. SOURCE is the path of a token file
(.sdtid, or a .zip that holds some), of a PNG or JPEG picture with a QR code or
of a saved mail, - for standard input, a compressed token string or its URL, or
a provisioning link, also with the text of a mail around it. Secrets come from a
prompt, from a file (--password-file F and so on; - is standard input) or from
TALLY_PASSWORD, TALLY_PIN, TALLY_ACTIVATION_CODE and TALLY_PASSPHRASE, never
from the command line.`

// run runs the command that args name, and returns the exit status.
func (c *program) run(args []string) int {
	root := &cobra.Command{
		Use:  "tally",
		Long: about,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.fullScreen(cmd) },
	}
	c.Prepare(root, args)
	flags := root.PersistentFlags()
	flags.Func("store", "`directory` of the token database (TALLY_STORE)", cli.NotEmpty(&c.store))
	flags.StringVar(&c.keyFile, "key-file", "", "`file` with the key of the token database, instead of keyring or passphrase (TALLY_KEY_FILE)")
	flags.StringVar(&c.ca, "ca", "", "`file` with a certification authority that a provisioning server may be signed by")
	flags.IntVar(&c.limit, "max-tokens", 0, "most tokens that the database holds (TALLY_MAX_TOKENS; 50)")
	root.AddCommand(c.commands()...)
	c.completion(root)
	return c.Exit(root.Execute())
}

// commands is the table of commands, one file each.
func (c *program) commands() []*cobra.Command {
	return []*cobra.Command{
		c.inspectCommand(),
		c.importCommand(),
		c.listCommand(),
		c.codeCommand(),
		c.renameCommand(),
		c.deleteCommand(),
		c.resetCommand(),
		c.deviceIDCommand(),
	}
}

// hints are the next steps that a message from tokenapp does not name, since
// they are flags of this program.
var hints = map[fault.Code]string{
	fault.PasswordRequired:  "give the password with --password-file FILE, or --password-file - to read it from standard input",
	fault.WrongPassword:     "passwords are case-sensitive; some servers make them of user ID and password together",
	fault.DeviceIDRequired:  "give the ID of the device that it was made for with --device-id ID",
	fault.WrongDevice:       "if it was made for another ID that is yours, give it with --device-id ID",
	fault.UnknownToken:      "'tally list' shows the tokens that are held",
	fault.BadFormat:         "SOURCE is a token file, a zip archive or a picture, a token string or a link; see 'tally --help'",
	fault.ChecksumFailed:    "something was lost or changed on the way: copy it again, as a whole",
	fault.ActivationRefused: "'tally list' shows whether its token is here already: an import that was repeated, or killed at its end, has brought it",
	fault.ServerUnreachable: "the activation code was not used up unless the message says so",
}
