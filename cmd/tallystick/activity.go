package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// latest is how many events are shown with a user or a token.
const latest = 10

// allowed is err, unless it says that whoever asks may not see this part: the rest is shown without it.
func allowed(err error) error {
	if refused := new(client.Error); errors.As(err, &refused) && (refused.Code == string(fault.Forbidden) || refused.Code == string(fault.OutOfScope)) {
		return nil
	}
	return err
}

// signIns prints the last sign-ins, the newest first: when, where from, and why not and what to do.
func (p *program) signIns(all []client.SignIn) {
	if len(all) > 0 {
		fmt.Fprintln(p.Out, "sign-ins of the last 7 days, the newest first")
	}
	for _, s := range all {
		word := "accepted"
		if s.Reason != "" {
			word = "denied " + s.Reason
		}
		if s.Emergency != "" {
			word += ", with an emergency code"
		}
		from := []string{}
		for _, part := range []string{s.Agent, s.Station, strings.Join(s.Tokens, " ")} {
			if part != "" {
				from = append(from, part)
			}
		}
		fmt.Fprintf(p.Out, "  %s  %s  (%s)\n", date(&s.At), word, strings.Join(from, ", "))
		for _, sentence := range []string{s.Meaning, s.NextStep} {
			if sentence != "" {
				_ = cli.Paragraph(p.Out, cli.Width(p.Out), "    ", sentence) // where nobody reads there is nobody to tell
			}
		}
	}
}
