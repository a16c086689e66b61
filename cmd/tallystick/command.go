package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// A run is what a command works with.
type run struct {
	ctx    context.Context
	server *client.Client
	args   []string
	dry    bool // --dry-run: the server undoes what it does
}

// command makes a command that talks to a server and takes n arguments; do may be given later, see does.
func (p *program) command(use, short string, n int, do func(run) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cli.Exactly(n)}
	p.does(cmd, do)
	return cmd
}

// does says what a command does.
func (p *program) does(cmd *cobra.Command, do func(run) error) {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := changesSomething(cmd); err != nil {
			return err
		}
		server, err := p.connect()
		if err != nil {
			return err
		}
		if strings.Contains(cmd.Use, "SERIAL") {
			args = fullSerials(args)
		}
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if flagWords[f.Name] == "SERIAL" && f.Value.Type() == "string" {
				err = errors.Join(err, f.Value.Set(fullSerial(f.Value.String())))
			}
		})
		if err != nil {
			return err
		}
		ctx, undone := dry(cmd)
		err = inFlags(cmd, p.understood(do(run{ctx, server, args, undone})))
		if err == nil && undone {
			p.Note("a dry run: nothing was changed")
		}
		return err
	}
}

// changesSomething refuses a command that edits one thing, and is not told what about it.
func changesSomething(cmd *cobra.Command) error {
	const most = 8 // that fit into a message
	if cmd.Name() != "edit" && cmd.Parent().Name() != "edit" {
		return nil
	}
	var flags []string
	changed := false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "help", "version", "domain", "profile", dryRunFlag: // say which, and how
		default:
			flags, changed = append(flags, "--"+f.Name), changed || f.Changed
		}
	})
	switch {
	case changed:
		return nil
	case len(flags) > most:
		return cli.Usagef("say what to change")
	}
	return cli.Usagef("say what to change: %s", strings.Join(flags, ", "))
}

// apiName is how a refusal begins that names what it is about as the API does.
var apiName = regexp.MustCompile(`^the (member|query parameter|path parameter) "?(\w+)(?:/(\d+))?"? `)

// inFlags puts the flag or argument into a refusal that names a member or parameter of the API, where the command has one for it.
func inFlags(cmd *cobra.Command, err error) error {
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Code != fault.Invalid {
		return err
	}
	found := apiName.FindStringSubmatch(refused.Message)
	if found == nil {
		return err
	}
	name := hereCalled(cmd, found[2], found[1] == "path parameter")
	if name == "" {
		return err
	}
	if at, err := strconv.Atoi(found[3]); err == nil { // which of many, as in a file of them
		name = fmt.Sprintf("number %d of %s", at+1, name)
	}
	return &fault.Error{Code: refused.Code, Message: name + " " + refused.Message[len(found[0]):], Details: refused.Details}
}

// hereCalled is the flag or argument of a command that a name of the API stands for, "" if it has none. What is in a path is the first argument, if it is no flag.
func hereCalled(cmd *cobra.Command, name string, inPath bool) string {
	words := strings.Fields(strings.NewReplacer("[", "", "]", "", "...", "").Replace(cmd.Use))[1:]
	word := strings.ToUpper(strings.ReplaceAll(name, "_", ""))
	if inPath && slices.Contains(words, word) {
		return word
	}
	flag := strings.ReplaceAll(strings.TrimSuffix(name, "_seconds"), "_", "-")
	if other := otherFlags[name]; other != "" {
		flag = other
	}
	for _, flag := range []string{flag, flag + "-file", strings.TrimSuffix(flag, "-method")} { // what is secret comes from a file
		if cmd.Flags().Lookup(flag) != nil {
			return "--" + flag
		}
	}
	if slices.Contains(words, word) {
		return word
	}
	if len(words) > 0 && (inPath || words[0] == "NAME" && cmd.HasParent() && strings.EqualFold(word, cmd.Parent().Name())) { // of what the group is about
		return words[0]
	}
	return ""
}

// otherFlags are those of members that have another name there.
var otherFlags = map[string]string{
	"prompt_set": "prompts", "require_message_authenticator": "message-authenticator", "reply_attributes": "attribute", "give_up_hours": "give-up", "methods": "passcode-method",
	"networks": "network", "allowed_users": "allow-user", "allowed_groups": "allow-group", "allowed_domain": "allow-domain", "seconds": "by",
}

// fullSerial is a serial number with the zeros in front that people and spreadsheets leave out; what is none stays.
func fullSerial(text string) string {
	if len(text) == 0 || len(text) >= 12 || strings.Trim(text, "0123456789") != "" {
		return text
	}
	return strings.Repeat("0", 12-len(text)) + text
}

func fullSerials(all []string) []string {
	full := make([]string, len(all))
	for i, text := range all {
		full[i] = fullSerial(text)
	}
	return full
}

// given is a flag's value if the flag was given, else nil.
func given[T any](cmd *cobra.Command, flag string, value *T) *T {
	if cmd.Flags().Changed(flag) {
		return value
	}
	return nil
}

// An optionalValue is that of a flag of an edit, which holds it once the flag is given.
type optionalValue[T any] struct {
	pflag.Value
	value *T
	of    **T
}

// Set takes the value.
func (v optionalValue[T]) Set(text string) error {
	*v.of = v.value
	return v.Value.Set(text)
}

// optional adds a flag of what an edit may set, such as one that f.IntVar adds.
func optional[T any](f *pflag.FlagSet, add func(to *T, name string, otherwise T, usage string), of **T, name, usage string) {
	var value, none T
	add(&value, name, none, usage)
	flag := f.Lookup(name)
	flag.Value = optionalValue[T]{flag.Value, &value, of}
}

// result prints the JSON document, or a line for people.
func (p *program) result(document any, format string, args ...any) error {
	if p.JSON {
		return p.PrintJSON(document)
	}
	_, err := fmt.Fprintf(p.Out, format+"\n", args...)
	return err
}

// wrote prints what came of writing a file, beside standard output if that is what was written.
func (p *program) wrote(file string, document any, format string, args ...any) error {
	if p.isOutput(file) {
		p.Note(fmt.Sprintf(format, args...))
		return nil
	}
	return p.result(document, format, args...)
}

// tabulate prints the JSON document, or all in rows for people.
func tabulate[T any](p *program, document any, head []string, all []T, row func(T) []string) error {
	if p.JSON {
		return p.PrintJSON(document)
	}
	if len(all) == 0 {
		p.Note("there are none")
		return nil
	}
	rows := make([][]string, len(all))
	for i, one := range all {
		rows[i] = row(one)
	}
	return cli.Table(p.Out, cli.Width(p.Out), head, rows)
}

// collect is what comes, up to an error, or to so many; 0 for all.
func collect[T any](from iter.Seq2[T, error], most int) ([]T, error) {
	all := []T{} // never null in a document
	for one, err := range from {
		if err != nil {
			return nil, err
		}
		if all = append(all, one); len(all) == most {
			break
		}
	}
	return all, nil
}

// nameColumns is how wide the names of fields are at least, so that values stand below each other.
const nameColumns = 16

// fields prints names and values for people, leaving out empty values.
func (p *program) fields(pairs ...string) {
	cli.Fields(p.Out, cli.Width(p.Out), nameColumns, pairs...) // where nobody reads there is nobody to tell
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// date is a time for people, in UTC; "" for none.
func date(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
