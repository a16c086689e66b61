package cli_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/cli/clitest"
)

// full is a standard output on a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// Whoever prints need not look: a result that could not be written is none.
func TestAResultThatCannotBeWrittenIsAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		does   func(*cli.Program) error
		status int
		says   string
	}{
		"who prints does not look": {func(p *cli.Program) error { fmt.Fprint(p.Out, "a result"); return nil }, cli.Failed, "no space left"},
		"who prints looks":         {func(p *cli.Program) error { return p.PrintJSON(1) }, cli.Failed, "no space left"},
		"a status of its own":      {func(p *cli.Program) error { fmt.Fprint(p.Out, "denied"); return cli.Status(cli.Refused) }, cli.Failed, "no space left"},
		"another failure":          {func(*cli.Program) error { return errors.New("no such file") }, cli.Failed, "no such file"},
		"nothing to print":         {func(*cli.Program) error { return nil }, cli.Done, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var errs strings.Builder
			p := &cli.Program{Name: "prog", In: os.Stdin, Out: full{}, Err: &errs}
			root := &cobra.Command{Use: "prog", RunE: func(*cobra.Command, []string) error { return c.does(p) }}
			p.Prepare(root, []string{"--json"})
			if status := p.Exit(root.Execute()); status != c.status || !strings.Contains(errs.String(), c.says) || c.says == "" && errs.Len() > 0 {
				t.Errorf("status %d, says %q", status, errs.String())
			}
		})
	}
}

// What comes from records, files and directories does nothing to a terminal but be read; a file gets it as it is.
func TestATerminalIsShownTextAndNothingElse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("terminals are made on Linux only")
	}
	keyboard, terminal, err := clitest.OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parts := []string{"bürger\tü\n", "\x1b]0;title\a", "\u009b31m", "red\rgreen\x7f", "\xc2", "\x9bm", "a line\r\n"}
	for _, out := range []*os.File{terminal, file} {
		p := &cli.Program{Name: "prog", In: os.Stdin, Out: out, Err: out}
		p.Prepare(&cobra.Command{}, nil)
		for _, part := range parts {
			if n, err := io.WriteString(p.Out, part); err != nil || n != len(part) {
				t.Fatal(n, err)
			}
		}
		p.Note("\x1b[2Jwarned")
	}
	terminal.Close()
	shown, _ := io.ReadAll(keyboard) // ends with an error where the terminal is closed
	// The terminal itself makes \n a \r\n.
	if want := "bürger\tü\r\n?]0;title?\xc2?31mred?green?\xc2?ma line\r\r\nprog: ?[2Jwarned\r\n"; string(shown) != want {
		t.Errorf("shown: %q", shown)
	}
	if kept, err := os.ReadFile(file.Name()); err != nil || string(kept) != strings.Join(parts, "")+"prog: \x1b[2Jwarned\n" {
		t.Errorf("kept: %q, %v", kept, err)
	}
}
