package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// commands are all commands that do something.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	p := &program{Program: cli.Program{Name: "tallystick", In: os.Stdin, Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}}
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if len(c.Commands()) == 0 {
			all = append(all, c)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(p.root(nil))
	if len(all) < 50 {
		t.Fatalf("%d commands", len(all))
	}
	return all
}

// What can lose something can be tried first.
func TestWhatLosesSomethingHasADryRun(t *testing.T) {
	losing := append(slices.Clone(triable), "device import", "apply", "radius user")
	for _, c := range commands(t) {
		path := strings.TrimPrefix(c.CommandPath(), "tallystick ")
		words := strings.Fields(path)
		if last := words[len(words)-1]; last != "delete" && last != "unassign" && last != "prune" && last != "reset" && !strings.HasPrefix(last, "clear-") && !slices.Contains(losing, path) {
			continue
		}
		if c.Flags().Lookup(dryRunFlag) == nil {
			t.Errorf("%s has no --%s", path, dryRunFlag)
		}
		losing = slices.DeleteFunc(losing, func(l string) bool { return l == path })
	}
	if len(losing) > 0 {
		t.Errorf("there are no commands %q", losing)
	}
}

// Every command says what the shell may suggest, if only that there is nothing.
func TestEveryCommandHasCompletions(t *testing.T) {
	for _, c := range commands(t) {
		if words := strings.Fields(c.Use); c.ValidArgsFunction == nil && (len(words) < 2 || words[1] != "FILE") && c.Parent().Name() != "completion" && c.Name() != "help" {
			t.Errorf("%s has no completions", c.CommandPath())
		}
	}
}

// Of names that begin alike, bash evaluates the beginning at the next tab: none that would run something is suggested.
func TestNamesThatAShellRunsAreNotSuggested(t *testing.T) {
	t.Setenv("TALLYSTICK_API_KEY", "key")
	p := &program{server: "https://localhost"}
	find := func(context.Context, *client.Client, string) ([]string, error) {
		return []string{"a$(id)1", "a$(id)2", "a`id`", "a;id", "a&id", "a|id", "a>f", "a<f", "a(id)", "a!!", "a b", "a'b\tof (whom)", "b"}, nil
	}
	if got := p.namesFrom(t.Context(), find, "a"); !slices.Equal(got, []string{"a b", "a'b\tof (whom)"}) {
		t.Errorf("%q", got)
	}
}
