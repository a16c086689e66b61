package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// latest is how many events are shown with a user or a token, and sign-ins unless it is said.
const latest = 10

// mostSignIns is how many sign-ins the server tells of at once.
const mostSignIns = 1000

// signInsFlag gives cmd the flag for how many sign-ins it shows.
func signInsFlag(cmd *cobra.Command) *int {
	return cmd.Flags().Int("sign-ins", latest, "show so many of the sign-ins of the last 7 days at most, 1 to 1000")
}

// lastSignIns reads n sign-ins, and tells whether there are more; none where whoever asks may not see them.
func lastSignIns(n int, read func(limit int) ([]client.SignIn, error)) (all []client.SignIn, more bool, err error) {
	if n < 1 || n > mostSignIns {
		return nil, false, cli.Usagef("--sign-ins takes 1 to %d", mostSignIns)
	}
	all, err = read(min(n+1, mostSignIns))
	if len(all) > n {
		all, more = all[:n], true
	}
	if len(all) == mostSignIns { // whether there are more, the server does not say
		more = true
	}
	return all, more, allowed(err)
}

// allowed is err, unless it says that whoever asks may not see this part: the rest is shown without it.
func allowed(err error) error {
	if refused := new(client.Error); errors.As(err, &refused) && (refused.Code == string(fault.Forbidden) || refused.Code == string(fault.OutOfScope)) {
		return nil
	}
	return err
}

// methods are what was given in place of a token's code, for the end of a line.
var methods = map[string]string{
	"fixed_passcode": ", with the fixed passcode", "on_demand_pin": ", with the PIN for codes on demand", "on_demand_code": ", with a code on demand",
}

// signIns prints the last sign-ins, the newest first: when, where from, and why not and what to do; and whether there are more.
func (p *program) signIns(all []client.SignIn, more bool) {
	if len(all) > 0 {
		fmt.Fprintln(p.Out, "sign-ins of the last 7 days, the newest first")
	}
	for _, s := range all {
		word := "accepted"
		switch {
		case s.Outcome == "challenge":
			word = "asked for more " + s.Reason
		case s.Reason != "":
			word = "denied " + s.Reason
		}
		if s.Emergency != "" {
			word += ", with an emergency code"
		}
		word += methods[s.Method]
		from := []string{}
		for _, part := range []string{s.Agent, s.Station, strings.Join(s.Tokens, " ")} {
			if part != "" {
				from = append(from, strings.Map(printable, part)) // a station is what an agent was told, by whoever signs in
			}
		}
		fmt.Fprintf(p.Out, "  %s  %s  (%s)\n", date(&s.At), word, strings.Join(from, ", "))
		for _, sentence := range []string{s.Meaning, s.NextStep} {
			if sentence != "" {
				_ = cli.Paragraph(p.Out, cli.Width(p.Out), "    ", sentence) // where nobody reads there is nobody to tell
			}
		}
	}
	switch {
	case more && len(all) == mostSignIns:
		fmt.Fprintln(p.Out, "  ... and there may be more before these")
	case more:
		fmt.Fprintf(p.Out, "  ... and more before these: --sign-ins %d shows so many\n", min(10*len(all), mostSignIns))
	}
}
