package cli_test

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// do runs a program whose one command fails with err, and returns its status and what it wrote.
func do(t *testing.T, err error, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	p := &cli.Program{Name: "prog", In: os.Stdin, Out: &o, Err: &e, Hints: map[fault.Code]string{fault.NotFound: "look elsewhere"}}
	root := &cobra.Command{Use: "prog", Args: cli.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }}
	root.AddCommand(&cobra.Command{Use: "do THING", Args: cli.Exactly(1), RunE: func(*cobra.Command, []string) error { return err }})
	p.Prepare(root, args)
	status = p.Exit(root.Execute())
	return status, o.String(), e.String()
}

func TestExitStatuses(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		args   []string
		status int
		out    string
		errs   string
	}{
		"done":            {nil, []string{"do", "x"}, 0, "", ""},
		"defect":          {errors.New("disk"), []string{"do", "x"}, 1, "", "prog: disk\n"},
		"no argument":     {nil, []string{"do"}, 2, "", "hint: 'prog do --help' shows its arguments and flags"},
		"mistyped":        {nil, []string{"od", "x"}, 2, "", "there is no command \"od\": did you mean 'prog do'?\nprog: hint: 'prog --help' shows its commands and flags"},
		"no command":      {nil, []string{"frobnicate"}, 2, "", "prog: there is no command \"frobnicate\"\n"},
		"declined":        {cli.Declinedf("nothing was done"), []string{"do", "x"}, 2, "", "prog: nothing was done\n"},
		"unknown flag":    {nil, []string{"do", "x", "--what"}, 2, "", "unknown flag"},
		"refusal":         {fault.New(fault.NotFound, "no such thing"), []string{"do", "x"}, 3, "", "prog: no such thing (NOT_FOUND)\nprog: hint: look elsewhere\n"},
		"refusal as JSON": {fault.New(fault.NotFound, "no <such> thing"), []string{"--json", "do", "x"}, 3, `{"error":{"code":"NOT_FOUND","message":"no <such> thing"}}` + "\n", ""},
		"refusal with facts": {fault.New(fault.NotFound, "no such thing").With("things", 2), []string{"--json", "do", "x"}, 3,
			`{"error":{"code":"NOT_FOUND","details":{"things":2},"message":"no such thing"}}` + "\n", ""},
		"defect as JSON": {errors.New("disk"), []string{"do", "x", "--json"}, 1, `{"error":{"code":"FAILED","message":"disk"}}` + "\n", ""},
		"usage as JSON":  {nil, []string{"do", "--what", "x", "--json"}, 2, `{"error":{"code":"USAGE","message":"unknown flag: --what"}}` + "\n", ""},
		"said already":   {cli.Status(cli.Refused), []string{"do", "x"}, 3, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errs := do(t, c.err, c.args...)
			if status != c.status || out != c.out || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("status %d, out %q, err %q", status, out, errs)
			}
		})
	}
}

func TestSecretsComeFromFilesAndTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	p := &cli.Program{Name: "prog", In: os.Stdin}
	for content, want := range map[string]string{"a b\n": "a b", "a b\r\n": "a b", "a\n\n": "a\n", "": "", " a ": " a "} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := p.ReadSecret(file, "PROG_SECRET"); err != nil || got != want {
			t.Errorf("%q is read as %q, %v", content, got, err)
		}
	}
	t.Setenv("PROG_SECRET", "from outside")
	if got, err := p.ReadSecret("", "PROG_SECRET"); err != nil || got != "from outside" {
		t.Errorf("environment: %q, %v", got, err)
	}
	if err := os.WriteFile(file, make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ReadSecret(file, ""); err == nil {
		t.Error("a large file is taken for a secret")
	}
}

// What is sent as JSON must be text; what opens a file from elsewhere need not.
func TestSecretsThatAreSentAreText(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("m\xfcller\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PROG_SECRET", "m\xfcller")
	sends, opens := &cli.Program{Name: "prog", In: os.Stdin, Text: true}, &cli.Program{Name: "prog", In: os.Stdin}
	for source, want := range map[string]string{file: file, "": "PROG_SECRET"} {
		got, err := sends.ReadSecret(source, "PROG_SECRET")
		if got != "" || !errors.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), want+" is not text in UTF-8") {
			t.Errorf("from %q: %q, %v", source, got, err)
		}
		if got, err := opens.ReadSecret(source, "PROG_SECRET"); got != "m\xfcller" || err != nil {
			t.Errorf("bytes from %q: %q, %v", source, got, err)
		}
	}
	args := []string{"do", "m\xfcller"}
	var usage strings.Builder
	sends.Err = &usage
	if status := sends.Exit(sends.CheckArgs(args)); status != cli.Usage || !strings.Contains(usage.String(), "argument 2 is not in UTF-8") {
		t.Errorf("status %d: %s", status, usage.String())
	}
	if err := errors.Join(opens.CheckArgs(args), sends.CheckArgs([]string{"do", "m\u00fcller"})); err != nil {
		t.Error(err)
	}
}

// interrupted calls do, which gets a program whose standard input never says anything, and interrupts it once ready tells that it waits.
func interrupted(t *testing.T, ready func(prompt *os.File), do func(*cli.Program) error) {
	t.Helper()
	in, mute, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	prompt, asked, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- do(&cli.Program{Name: "prog", In: in, Err: asked}) }()
	ready(prompt)
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || err.Error() != "interrupted" {
		t.Errorf("it ended with %v", err)
	}
}

func TestInterruptEndsWhatWaits(t *testing.T) {
	// As programs have it that take interrupts for their own: they would not end by one.
	_, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	isAsked := func(prompt *os.File) {
		if _, err := prompt.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	interrupted(t, isAsked, func(p *cli.Program) error {
		yes, err := p.Confirm("Sure?")
		if yes {
			t.Error("an interrupt is taken for a yes")
		}
		return err
	})
	interrupted(t, isAsked, func(p *cli.Program) error {
		_, err := p.AskText("Name: ")
		return err
	})
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	isOpen := func(*os.File) { // which it is once both ends are
		writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { writer.Close() })
	}
	interrupted(t, isOpen, func(p *cli.Program) error {
		_, err := p.ReadSecret(fifo, "")
		return err
	})
}

func TestRootsAreReadFromAFile(t *testing.T) {
	if roots, err := cli.Roots(""); roots != nil || err != nil {
		t.Errorf("without a file: %v, %v", roots, err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &cli.Program{Name: "prog", In: os.Stdin, Out: io.Discard, Err: io.Discard}
	for name, want := range map[string]int{file: cli.Usage, file + "x": cli.Failed} {
		if _, err := cli.Roots(name); p.Exit(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
