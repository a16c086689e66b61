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
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/fault"
)

// Exit statuses (spec/cli.md).
const (
	exitDone    = 0
	exitFailed  = 1 // something unforeseen
	exitUsage   = 2 // wrong usage
	exitRefused = 3 // the input or the state does not allow it
)

func main() {
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now}
	os.Exit(c.run(os.Args[1:]))
}

// cli is one run of the program: its streams, its clock and the flags that
// every command has.
type cli struct {
	in       *os.File
	out, err io.Writer
	now      func() time.Time

	json    bool
	store   string
	keyFile string
	ca      string
	limit   int
}

// A usageError is about how the program was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

const about = `tally holds software tokens and shows their tokencodes.

  tally                                        all tokens, in a full-screen view
  tally import alice.sdtid                     take in a token: file, string, QR picture or link
  tally code alice                             its code, now
  tally code --from alice.sdtid                a code without storing anything

TOKEN is a serial number or a nickname. SOURCE is the path of a token file
(.sdtid, or a .zip that holds some) or of a PNG or JPEG picture with a QR code,
- for standard input, a compressed token string or its URL, or a provisioning
link. Secrets come from a prompt, from a file (--password-file F and so on; -
is standard input) or from TALLY_PASSWORD, TALLY_PIN, TALLY_ACTIVATION_CODE and
TALLY_PASSPHRASE, never from the command line.`

// run runs the command that args name, and returns the exit status.
func (c *cli) run(args []string) int {
	root := &cobra.Command{
		Use:               "tally",
		Long:              about,
		Args:              noArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              func(cmd *cobra.Command, _ []string) error { return c.fullScreen(cmd) },
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&c.json, "json", false, "print one JSON document on standard output")
	flags.StringVar(&c.store, "store", "", "`directory` of the token database (TALLY_STORE)")
	flags.StringVar(&c.keyFile, "key-file", "", "`file` with the key of the token database, instead of keyring or passphrase (TALLY_KEY_FILE)")
	flags.StringVar(&c.ca, "ca", "", "`file` with a certification authority that a provisioning server may be signed by")
	flags.IntVar(&c.limit, "max-tokens", 0, "most tokens that the database holds (TALLY_MAX_TOKENS; 50)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(c.commands()...)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetArgs(args)
	return c.exit(root.Execute())
}

// commands is the table of commands, one file each.
func (c *cli) commands() []*cobra.Command {
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

// exactly is the check of a command that takes the arguments its usage line
// names. It replaces cobra's, whose errors cannot be told from others.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%d arguments where %q has %d", len(args), cmd.UseLine(), n)
		}
		return nil
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("there is no command %q", args[0])
	}
	return nil
}

// exit prints err, in the one place where errors are printed, and returns the
// exit status.
func (c *cli) exit(err error) int {
	if err == nil {
		return exitDone
	}
	code := fault.CodeOf(err)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "tally: %v\ntally: hint: 'tally --help' shows the commands, 'tally COMMAND --help' the flags of one\n", err)
		return exitUsage
	case code == "":
		fmt.Fprintf(c.err, "tally: %v\n", err)
		return exitFailed
	case c.json:
		c.printJSON(map[string]any{"error": map[string]string{"code": string(code), "message": err.Error()}})
		return exitRefused
	}
	fmt.Fprintf(c.err, "tally: %v (%s)\n", err, code)
	if hint := hints[code]; hint != "" {
		fmt.Fprintf(c.err, "tally: hint: %s\n", hint)
	}
	return exitRefused
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
	fault.ServerUnreachable: "the activation code was not used up unless the message says so",
}

// printJSON prints the one document.
func (c *cli) printJSON(document any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(document)
}

// note tells the user something that is no result.
func (c *cli) note(message string) { fmt.Fprintf(c.err, "tally: %s\n", message) }
