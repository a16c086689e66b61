// Package cli is what the two command lines have in common: the contract of
// spec/cli.md. Exit statuses, the one place where errors are shown, results as
// one JSON document, and secrets that come from a prompt, a file or the
// environment, never from an argument.
package cli

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/tallystick/tallystick/internal/fault"
)

// Exit statuses.
const (
	Done    = 0
	Failed  = 1 // something unforeseen
	Usage   = 2 // wrong usage
	Refused = 3 // the input or the state does not allow it
)

// A Program is one run of a command line.
type Program struct {
	Name     string // as users type it
	In       *os.File
	Out, Err io.Writer
	JSON     bool // results are one JSON document on Out, and nothing else is
	// Text is set where arguments and secrets are sent as JSON, which holds nothing but text in UTF-8: what is none would arrive as something else. Without
	// it secrets are bytes, such as those that open a file from elsewhere.
	Text bool
	// Hints are next steps that a refusal's own message does not name, since they are flags of this program.
	Hints map[fault.Code]string

	printed bool          // the one document is out
	help    func() string // where to look after a wrong call; set by Prepare
}

// Error codes of the document for exit statuses that are no refusals.
const (
	codeUsage  fault.Code = "USAGE"
	codeFailed fault.Code = "FAILED"
)

// A usageError is about how the program was called.
type usageError struct {
	error
	declined bool
}

// Usagef makes the error of a wrong call, which exits with [Usage].
func Usagef(format string, args ...any) error { return usageError{error: fmt.Errorf(format, args...)} }

// Declinedf makes the error of a question that was answered with no. It exits as a wrong call does, without the hint: whoever was asked knows the command.
func Declinedf(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...), true}
}

// A Status is an error that only ends the program with that exit status: what there was to say has been printed.
type Status int

// Error names the status.
func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Prepare gives the root command what all have: --json, and errors that are shown in one place. args is the command line.
func (p *Program) Prepare(root *cobra.Command, args []string) {
	p.Out, p.Err = &output{Writer: p.Out, terminal: Terminal(p.Out) != nil}, &output{Writer: p.Err, terminal: Terminal(p.Err) != nil}
	root.SetArgs(args)
	p.help = func() string { return helpFor(root, args) }
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().BoolVar(&p.JSON, "json", false, "print one JSON document on standard output")
	// Known before a wrong flag in front of it ends the parsing: the error is a document, too.
	p.JSON = slices.Contains(args, "--json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if fault.CodeOf(err) != "" { // a refusal, which the server would have given too
			return err
		}
		return usageError{error: plainly(err)}
	})
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	root.Version = release()
	root.SetVersionTemplate(p.versionText(root.Version))
	help(root)
}

// release is what this program was built as: what backups and [fault.SchemaNewer] name.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// versionText is what --version prints: the line that people know from other programs, or the one document.
func (p *Program) versionText(release string) string {
	if p.JSON {
		text, _ := json.Marshal(map[string]string{"version": release}) // two texts are always JSON
		return string(text) + "\n"
	}
	return p.Name + " " + release + "\n"
}

// plainly puts what a flag does not take into words that are not those of strconv.
func plainly(err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) || !errors.As(err, new(*strconv.NumError)) {
		return err
	}
	takes := "a number"
	if wrong.GetFlag().Value.Type() == "bool" {
		takes = "true or false"
	}
	if errors.Is(err, strconv.ErrRange) {
		takes = "a smaller number"
	}
	return fmt.Errorf("--%s takes %s, and not %q", wrong.GetFlag().Name, takes, wrong.GetValue())
}

// NotEmpty sets a flag without which a command is about something else, such as the user's own tokens or another server. A script whose variable is
// not set does not mean that.
func NotEmpty(to *string) func(string) error {
	return func(value string) error {
		if value == "" {
			return errors.New("it is empty")
		}
		*to = value
		return nil
	}
}

// CheckArgs refuses a command line that is not in UTF-8, where [Program.Text] says so. It does not repeat the argument, which a terminal could not show.
func (p *Program) CheckArgs(args []string) error {
	for i, arg := range args {
		if p.Text && !utf8.ValidString(arg) {
			return Usagef("argument %d is not in UTF-8: write it in UTF-8, or rename the file that it names; 'locale' says what the terminal writes", i+1)
		}
	}
	return nil
}

// readable refuses a secret that is not in UTF-8, where it has to be.
func (p *Program) readable(secret, source string) (string, error) {
	if p.Text && !utf8.ValidString(secret) {
		return "", fault.New(fault.Invalid, "%s is not text in UTF-8, as a secret must be: nothing was sent. If it was written in another encoding, 'iconv -f ISO-8859-1 -t UTF-8 FILE' turns it into UTF-8; "+
			"random bytes are to be written as text, such as in base64", source)
	}
	return secret, nil
}

// Exactly is the check of a command that takes the n arguments which its usage line
// names. It replaces cobra's, whose errors cannot be told from others.
func Exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			count := fmt.Sprintf("%d arguments", len(args))
			if len(args) == 1 {
				count = "1 argument"
			}
			return Usagef("%s where %q has %d", count, cmd.UseLine(), n)
		}
		return nil
	}
}

// NoArgs is the check of a command that only has subcommands.
func NoArgs(cmd *cobra.Command, args []string) error {
	const longest = 24 // characters; what is longer may be something else, such as a token string with its seed
	if len(args) > 0 && utf8.RuneCountInString(args[0]) > longest {
		return Usagef("there is no command of that name: a command comes first")
	}
	if len(args) == 0 {
		return nil
	}
	const typos = 2 // letters that are other ones, missing or too many
	cmd.SuggestionsMinimumDistance = typos
	meant := ""
	for _, name := range cmd.SuggestionsFor(args[0]) {
		meant += fmt.Sprintf(", or '%s %s'", cmd.CommandPath(), name)
	}
	if meant != "" {
		meant = ": did you mean " + strings.TrimPrefix(meant, ", or ") + "?"
	}
	return Usagef("there is no command %q%s", args[0], meant)
}

// helpFor says where the help is of the command that args name.
func helpFor(root *cobra.Command, args []string) string {
	cmd, _, err := root.Find(args)
	if err != nil {
		cmd = root
	}
	if cmd.HasAvailableSubCommands() {
		return fmt.Sprintf("'%s --help' shows its commands and flags", cmd.CommandPath())
	}
	return fmt.Sprintf("'%s --help' shows its arguments and flags", cmd.CommandPath())
}

// Exit shows err and returns the exit status.
func (p *Program) Exit(err error) int {
	var status Status
	if o, is := p.Out.(*output); is && o.failed != nil && (err == nil || errors.As(err, &status)) {
		err = o.failed
	}
	if err == nil {
		return Done
	}
	if errors.As(err, &status) {
		return int(status)
	}
	exit, code := Refused, fault.CodeOf(err)
	text, hint := fmt.Sprintf("%v (%s)", err, code), p.Hints[code]
	var usage usageError
	switch {
	case errors.As(err, &usage):
		exit, code, text = Usage, codeUsage, err.Error()
		if !usage.declined && p.help != nil {
			hint = p.help()
		}
	case code == "":
		exit, code, text = Failed, codeFailed, err.Error()
	}
	if p.JSON && !p.printed {
		document := map[string]any{"code": string(code), "message": err.Error()}
		if refusal := new(fault.Error); errors.As(err, &refusal) && len(refusal.Details) > 0 {
			document["details"] = refusal.Details
		}
		if p.PrintJSON(map[string]any{"error": document}) == nil {
			return exit
		}
	}
	p.Note(text)
	if hint != "" {
		p.Note("hint: " + hint)
	}
	return exit
}

// PrintJSON prints the one document.
func (p *Program) PrintJSON(document any) error {
	e := json.NewEncoder(p.Out)
	e.SetEscapeHTML(false)
	err := e.Encode(document)
	p.printed = err == nil
	return err
}

// Stream is Out for a document that is written as it comes. Once there is some of it, an error is told beside it, and is no second document.
func (p *Program) Stream() io.Writer { return stream{p} }

type stream struct{ p *Program }

func (s stream) Write(b []byte) (int, error) {
	n, err := s.p.Out.Write(b)
	s.p.printed = s.p.printed || n > 0
	return n, err
}

// Note tells the user something that is no result.
func (p *Program) Note(message string) { fmt.Fprintf(p.Err, "%s: %s\n", p.Name, message) }

// Interactive tells whether there is somebody to ask.
func (p *Program) Interactive() bool { return term.IsTerminal(int(p.In.Fd())) }

var errInterrupted = errors.New("interrupted")

// Interruptible does what may wait for somebody or something, and ends with an error at an interrupt, also where the program
// takes interrupts for its own and would go on waiting. What do waits for then is left to the end of the program.
func Interruptible[T any](do func() (T, error)) (T, error) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)

	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-interrupts:
		var none T
		return none, errInterrupted
	}
}

// AskSecret asks on the terminal without showing what is typed. An interrupt
// gives the terminal its echo back before it ends the program.
func (p *Program) AskSecret(prompt string) (string, error) {
	fd := int(p.In.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	secret, err := Interruptible(func() ([]byte, error) {
		fmt.Fprint(p.Err, prompt)
		return term.ReadPassword(fd)
	})
	fmt.Fprintln(p.Err)
	if errors.Is(err, errInterrupted) {
		err = errors.Join(err, term.Restore(fd, state))
	}
	if err != nil {
		return "", err
	}
	return p.readable(string(secret), "what was typed")
}

// Confirm asks a question that only "y" or "yes" affirms. Without an answer it is no; an interrupt is an error.
func (p *Program) Confirm(format string, args ...any) (bool, error) {
	answer, err := p.line(fmt.Sprintf(format, args...) + " [y/N] ")
	switch strings.ToLower(answer) {
	case "y", "yes":
		return true, err
	}
	return false, err
}

// AskText asks for a line of text, "" without an answer; an interrupt is an error.
func (p *Program) AskText(prompt string) (string, error) {
	answer, err := p.line(prompt)
	if err != nil {
		return "", err
	}
	return p.readable(answer, "what was typed")
}

// line asks for a line that may be seen, "" if there is none.
func (p *Program) line(prompt string) (string, error) {
	answer, err := Interruptible(func() (string, error) {
		fmt.Fprint(p.Err, prompt)
		answer, _ := bufio.NewReader(p.In).ReadString('\n') // the end of what is typed answers, too
		return strings.TrimSpace(answer), nil
	})
	if err != nil {
		fmt.Fprintln(p.Err) // what follows does not go behind the question
	}
	return answer, err
}

// maxSecret bounds the file that a secret is read from.
const maxSecret = 4 << 10

// A Secret is a flag that names the file of a secret, and the environment
// variables that are asked without the flag, of which the first one that is set counts.
type Secret struct {
	p    *Program
	file string
	env  []string
}

// SecretFlag gives cmd such a flag.
func (p *Program) SecretFlag(cmd *cobra.Command, name, what string, env ...string) *Secret {
	s := &Secret{p: p, env: env}
	usage := fmt.Sprintf("`file` with the %s; - is standard input", what)
	if len(env) > 0 {
		usage += " (" + strings.Join(env, ", or ") + ")"
	}
	cmd.Flags().StringVar(&s.file, name, "", usage)
	return s
}

// Given tells whether the flag or a variable is there.
func (s *Secret) Given() bool { return s.file != "" || firstSet(s.env) != "" }

// OnlyFlag has the variables count for nothing from here on.
func (s *Secret) OnlyFlag() { s.env = nil }

// Flagged tells whether the flag is there, whatever the variables say.
func (s *Secret) Flagged() bool { return s.file != "" }

// Value is the secret, "" if there is none.
func (s *Secret) Value() (string, error) { return s.p.ReadSecret(s.file, s.env...) }

// firstSet is the first environment variable of some that is set, "" if none is.
func firstSet(env []string) string {
	for _, name := range env {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// ReadSecret reads a secret from a file (- is standard input), or without one from the first environment
// variable that is set; "" if there is none. One trailing newline is dropped. What is not in UTF-8 is refused where [Program.Text] says so.
func (p *Program) ReadSecret(file string, env ...string) (string, error) {
	if file == "" {
		name := firstSet(env)
		return p.readable(os.Getenv(name), name)
	}
	source := file
	if file == "-" {
		source = "what came from standard input"
	}
	text, err := p.Beginning(file, maxSecret+1)
	if err != nil {
		return "", err
	}
	if len(text) > maxSecret {
		return "", Usagef("%s is too large to hold a secret", file)
	}
	secret := strings.TrimSuffix(string(text), "\n")
	return p.readable(strings.TrimSuffix(secret, "\r"), source)
}

// Beginning reads the first n bytes of a file, or of standard input for "-". An interrupt ends it: a pipe may have no writer yet.
func (p *Program) Beginning(name string, n int64) ([]byte, error) {
	return Interruptible(func() ([]byte, error) {
		in := p.In
		if name != "-" {
			file, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			defer file.Close()
			in = file
		}
		return io.ReadAll(io.LimitReader(in, n))
	})
}

// Roots are the system's certification authorities and the one in a PEM file; nil, which is the system's, if no file is
// named. The file is that of a --ca flag.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, Usagef("--ca: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// OnlyOneStdin refuses a call in which two things come from standard input.
func OnlyOneStdin(source string, secrets ...*Secret) error {
	n := 0
	if source == "-" {
		n++
	}
	for _, s := range secrets {
		if s.file == "-" {
			n++
		}
	}
	if n > 1 {
		return Usagef("only one thing can come from standard input")
	}
	return nil
}
