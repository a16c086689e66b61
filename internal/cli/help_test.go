package cli

import (
	"bytes"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
)

// example is a program with one group of one command.
func example() *cobra.Command {
	root := &cobra.Command{Use: "program", Long: "It is a program whose description is longer than forty columns are.\n\n  program group show THING --with a --flag\n\nThe end.", RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	group := &cobra.Command{Use: "group", Short: "Things, all of which are of a kind that takes many words"}
	show := &cobra.Command{Use: "show THING", Short: "Show a thing", RunE: func(*cobra.Command, []string) error { return nil }}
	show.Flags().String("colour", "red", "`name` of a colour that is told in more words than fit")
	group.AddCommand(show)
	root.AddCommand(group)
	return root
}

func TestUsageFits(t *testing.T) {
	root := example()
	show, _, err := root.Find([]string{"group", "show"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*cobra.Command{root, show, show.Parent()} {
		for line := range strings.Lines(usage(cmd, 60)) {
			if n := lipgloss.Width(strings.TrimRight(line, "\n")); n > 60 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		if !strings.Contains(usage(cmd, 0), "Usage:\n  "+cmd.CommandPath()) {
			t.Errorf("how it is called is not in: %s", usage(cmd, 0))
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	p := &Program{Name: "program", Out: &out, Err: &out}
	root := example()
	p.Prepare(root, []string{"group", "show", "--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Show a thing\n\nUsage:\n  program group show THING [flags]\n", "--colour name", `(default "red")`, "Flags of all commands:\n      --json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
}

func TestFillKeepsWhatIsCopied(t *testing.T) {
	want := "It is a program whose description is\nlonger than forty columns are.\n\n  program group show THING --with a --flag\n\nThe end."
	if got := fill(example().Long, 40); got != want {
		t.Errorf("got %q", got)
	}
	if got := fill(example().Long, 0); got != example().Long {
		t.Errorf("no terminal: %q", got)
	}
}
