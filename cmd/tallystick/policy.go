package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) policyCommands() *cobra.Command {
	edit := group("edit", "Change a policy; other servers go by it within a second", p.tokenPolicyEdit(), p.lockoutPolicyEdit())
	inherit := group("inherit", "Take a security domain's own policy away: what holds above it holds there again",
		p.inherit("token", p.inheritToken), p.inherit("lockout", p.inheritLockout))
	return group("policy", "The rules for tokens, PINs and lockout, of the deployment and of security domains", p.policyShow(), edit, inherit)
}

// policyDomainFlag is whose policies a command is about.
func policyDomainFlag(cmd *cobra.Command, to *string, about string) {
	cmd.Flags().Func("domain", about, cli.NotEmpty(to))
}

// A setting is one line of a policy. Its name is that of its flag.
type setting struct{ name, value string }

func tokenSettings(o client.TokenPolicy) []setting {
	return []setting{
		{"incorrect-before-ntc", orWord(o.IncorrectBeforeNTC == 0, "never", number(o.IncorrectBeforeNTC))},
		{"next-code-failure", o.NextCodeFailure},
		{"pin-creation", o.PINCreation},
		{"pin-min", number(o.PINMin)},
		{"pin-max", number(o.PINMax)},
		{"pin-characters", o.PINCharacters},
		{"pin-min-letters", number(o.PINMinLetters)},
		{"pin-min-digits", number(o.PINMinDigits)},
		{"refuse-trivial-pins", yesNo(o.RefuseTrivialPINs)},
		{"excluded-words", strings.Join(o.ExcludedWords, ",")},
		{"pin-max-life", orWord(o.PINMaxLifeSeconds == 0, "no limit", life(o.PINMaxLifeSeconds))},
		{"pin-min-life", orWord(o.PINMinLifeSeconds == 0, "none", life(o.PINMinLifeSeconds))},
		{"pin-history", number(o.PINHistory)},
		{"emergency-length", number(o.EmergencyLength)},
		{"emergency-characters", o.EmergencyCharacters},
		{"emergency-life", life(o.EmergencyLifeSeconds)},
		{"emergency-max-life", orWord(o.EmergencyMaxLifeSeconds == 0, "no limit", life(o.EmergencyMaxLifeSeconds))},
		{"emergency-if-found", o.EmergencyIfFound},
		{"fixed-passcode", o.FixedPasscode},
		{"fixed-passcode-min", number(o.FixedPasscodeMin)},
		{"on-demand", yesNo(o.OnDemand)},
		{"on-demand-life", life(o.OnDemandLifeSeconds)},
		{"delete-replaced", yesNo(o.DeleteReplaced)},
		{"window-small", number(o.WindowSmall)},
		{"window-medium", life(o.WindowMediumSeconds)},
		{"window-large", life(o.WindowLargeSeconds)},
		{"version", number(o.Version)},
	}
}

func lockoutSettings(o client.LockoutPolicy) []setting {
	return []setting{
		{"failures", orWord(o.Failures == 0, "never lock", number(o.Failures))},
		{"within", life(o.WithinSeconds)},
		{"unlock-after", orWord(o.UnlockAfterSeconds == 0, "never", life(o.UnlockAfterSeconds))},
		{"separate-unknown-sources", yesNo(o.SeparateUnknownSources)},
		{"version", number(o.Version)},
	}
}

func (p *program) policyShow() *cobra.Command {
	var domain string
	cmd := p.command("show", "Show the policies of the deployment, or those that hold in a security domain", 0, func(r run) error {
		all, err := r.server.PoliciesOf(r.ctx, domain)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(all)
		}
		for _, part := range []struct {
			title, from string
			settings    []setting
		}{{"token", all.Token.Domain, tokenSettings(all.Token)}, {"lockout", all.Lockout.Domain, lockoutSettings(all.Lockout)}} {
			fmt.Fprintf(p.Out, "%s policy%s\n", part.title, whose(domain, part.from))
			for _, s := range part.settings {
				fmt.Fprintf(p.Out, "  %-26s %s\n", s.name, orDash(s.value))
			}
		}
		return nil
	})
	policyDomainFlag(cmd, &domain, "what holds for the people of a security `domain`")
	return cmd
}

// whose says where a policy of a domain comes from.
func whose(domain, from string) string {
	switch {
	case domain == "" || domain == "root":
		return ""
	case domain == from:
		return " of " + domain
	}
	return " of " + domain + ", inherited from " + above(from)
}

// above is the domain that something is inherited from, whose name may not be for who asks.
func above(from string) string {
	switch from {
	case "":
		return "a domain above"
	case "root":
		return "the deployment"
	}
	return from
}

// orWord is a word where a number means something that the number does not say, else the value.
func orWord(special bool, word, value string) string {
	if special {
		return word
	}
	return value
}

func orDash(value string) string { return cmp.Or(value, "-") }

// sets changes the settings that get gives, and says which of them are others now. do changes them, unless they are not at the version
// of what is shown as before any more, or at the one that was given.
func sets[T any](p *program, settings func(T) []setting, get func() (T, error), do func(before T) (T, error)) error {
	before, err := get()
	if err != nil {
		return err
	}
	after, err := do(before)
	if err != nil {
		return err
	}
	if p.JSON {
		return p.PrintJSON(struct {
			Before T `json:"before"`
			After  T `json:"after"`
		}{before, after})
	}
	was, is := settings(before), settings(after)
	if last := len(was) - 1; was[last] == is[last] { // the version
		p.Note("nothing changed")
		return nil
	}
	for i, s := range is {
		if s != was[i] {
			fmt.Fprintf(p.Out, "%-26s %s -> %s\n", s.name, orDash(was[i].value), orDash(s.value))
		}
	}
	return nil
}

// editedDomain describes the flag of an edit.
const editedDomain = "the policy of a security `domain`, which gets one of its own if it has none: a copy of what holds there, with the change"

// inherit is the command that takes a policy of a kind away.
func (p *program) inherit(kind string, do func(r run, domain string, version int) error) *cobra.Command {
	var domain string
	cmd := p.command(kind, "Take a security domain's own "+kind+" policy away", 0, nil)
	policyDomainFlag(cmd, &domain, "the security `domain` that inherits again")
	version := versionFlag(cmd, "the policy is")
	p.does(cmd, func(r run) error {
		if domain == "" {
			return cli.Usagef("say which domain: --domain NAME")
		}
		return do(r, domain, *version)
	})
	return cmd
}

func (p *program) inheritToken(r run, domain string, version int) error {
	return sets(p, tokenSettings, func() (client.TokenPolicy, error) { return r.server.TokenPolicyOf(r.ctx, domain) }, func(before client.TokenPolicy) (client.TokenPolicy, error) {
		return r.server.InheritTokenPolicy(r.ctx, domain, cmp.Or(version, before.Version))
	})
}

func (p *program) inheritLockout(r run, domain string, version int) error {
	return sets(p, lockoutSettings, func() (client.LockoutPolicy, error) { return r.server.LockoutPolicyOf(r.ctx, domain) }, func(before client.LockoutPolicy) (client.LockoutPolicy, error) {
		return r.server.InheritLockoutPolicy(r.ctx, domain, cmp.Or(version, before.Version))
	})
}

func (p *program) tokenPolicyEdit() *cobra.Command {
	var edit client.TokenPolicyEdit
	var words []string
	var domain string
	cmd := p.command("token", "Change the rules for tokens and their PINs; what is not said stays", 0, nil)
	s := cmd.Flags()
	optional(s, s.IntVar, &edit.IncorrectBeforeNTC, "incorrect-before-ntc", "wrong passcodes in a row before the next tokencode is asked for: 0 for never, to 20")
	optional(s, s.StringVar, &edit.NextCodeFailure, "next-code-failure", "what a wrong next tokencode does: fail or lock")
	optional(s, s.StringVar, &edit.PINCreation, "pin-creation", "who chooses a new PIN: user, system or either")
	optional(s, s.IntVar, &edit.PINMin, "pin-min", "shortest PIN: 4 to 16 characters")
	optional(s, s.IntVar, &edit.PINMax, "pin-max", "longest PIN: 4 to 16 characters; a PINPad PIN is never longer than the code")
	optional(s, s.StringVar, &edit.PINCharacters, "pin-characters", "what a fob PIN is made of: digits or alphanumeric; a PINPad PIN is always digits")
	optional(s, s.IntVar, &edit.PINMinLetters, "pin-min-letters", "fewest letters of an alphanumeric PIN")
	optional(s, s.IntVar, &edit.PINMinDigits, "pin-min-digits", "fewest digits of an alphanumeric PIN")
	optional(s, s.BoolVar, &edit.RefuseTrivialPINs, "refuse-trivial-pins", "refuse sequences, repeats, keypad patterns, parts of the serial and years of birth")
	s.StringSliceVar(&words, "excluded-words", nil, "`words` of 4 to 16 letters and digits that are not to be part of a PIN, with commas between; \"\" for none")
	optionalLife(s, &edit.PINMaxLifeSeconds, "pin-max-life", "when a PIN must be changed; 0 for never")
	optionalLife(s, &edit.PINMinLifeSeconds, "pin-min-life", "how long a user must keep a PIN before she may change it at her own wish, which nothing offers yet: it has no effect")
	optional(s, s.IntVar, &edit.PINHistory, "pin-history", "how many of the last PINs may not be taken again: 0 to 20")
	optional(s, s.IntVar, &edit.EmergencyLength, "emergency-length", "length of an emergency code: 8 to 16 characters")
	optional(s, s.StringVar, &edit.EmergencyCharacters, "emergency-characters", "what an emergency code is made of: digits or alphanumeric")
	optionalLife(s, &edit.EmergencyLifeSeconds, "emergency-life", "how long emergency codes live, unless said")
	optionalLife(s, &edit.EmergencyMaxLifeSeconds, "emergency-max-life", "the longest life that may be said; 0 for no limit")
	optional(s, s.StringVar, &edit.EmergencyIfFound, "emergency-if-found", "what becomes of a lost token that turns up: deny, accept_and_end or accept_after")
	optional(s, s.StringVar, &edit.FixedPasscode, "fixed-passcode", "fixed passcodes: off, pin (made like PINs) or own (letters and digits, of fixed-passcode-min characters at least)")
	optional(s, s.IntVar, &edit.FixedPasscodeMin, "fixed-passcode-min", "shortest fixed passcode of its own: 8 to 64 characters")
	optional(s, s.BoolVar, &edit.OnDemand, "on-demand", "let users get codes by mail who have a PIN for them")
	optionalLife(s, &edit.OnDemandLifeSeconds, "on-demand-life", "how long such a code lives: 1m to 24h")
	optional(s, s.BoolVar, &edit.DeleteReplaced, "delete-replaced", "delete a token that another one has replaced, instead of unassigning it")
	optional(s, s.IntVar, &edit.WindowSmall, "window-small", "intervals to each side in which a code is accepted at once: 0 to 10")
	optionalLife(s, &edit.WindowMediumSeconds, "window-medium", "time to each side in which a code is accepted with the next one: up to 2h")
	optionalLife(s, &edit.WindowLargeSeconds, "window-large", "time to each side which resynchronisation searches: up to 24h")
	shown(s, "never", "0", "incorrect-before-ntc")
	shown(s, "no limit", "0", "pin-max-life", "emergency-max-life")
	shown(s, "none", "0", "pin-min-life")
	shown(s, "yes", "true", "refuse-trivial-pins", "on-demand", "delete-replaced")
	shown(s, "no", "false", "refuse-trivial-pins", "on-demand", "delete-replaced")
	version := versionFlag(cmd, "the policy is")
	policyDomainFlag(cmd, &domain, editedDomain)
	p.does(cmd, func(r run) error {
		edit.ExcludedWords = given(cmd, "excluded-words", &words)
		return sets(p, tokenSettings, func() (client.TokenPolicy, error) { return r.server.TokenPolicyOf(r.ctx, domain) }, func(before client.TokenPolicy) (client.TokenPolicy, error) {
			return r.server.EditTokenPolicyOf(r.ctx, domain, cmp.Or(*version, before.Version), edit)
		})
	})
	return cmd
}

func (p *program) lockoutPolicyEdit() *cobra.Command {
	var edit client.LockoutPolicyEdit
	var domain string
	cmd := p.command("lockout", "Change when wrong passcodes lock a user; what is not said stays", 0, nil)
	s := cmd.Flags()
	optional(s, s.IntVar, &edit.Failures, "failures", "wrong passcodes in a row that lock a user: 0 for never, to 100")
	optionalLife(s, &edit.WithinSeconds, "within", "how long a failure counts")
	optionalLife(s, &edit.UnlockAfterSeconds, "unlock-after", "when a locked user is unlocked; 0: only by an administrator")
	optional(s, s.BoolVar, &edit.SeparateUnknownSources, "separate-unknown-sources", "count failures from where the user never succeeded from on their own")
	shown(s, "never lock", "0", "failures")
	shown(s, "never", "0", "unlock-after")
	shown(s, "yes", "true", "separate-unknown-sources")
	shown(s, "no", "false", "separate-unknown-sources")
	version := versionFlag(cmd, "the policy is")
	policyDomainFlag(cmd, &domain, editedDomain)
	p.does(cmd, func(r run) error {
		return sets(p, lockoutSettings, func() (client.LockoutPolicy, error) { return r.server.LockoutPolicyOf(r.ctx, domain) }, func(before client.LockoutPolicy) (client.LockoutPolicy, error) {
			return r.server.EditLockoutPolicyOf(r.ctx, domain, cmp.Or(*version, before.Version), edit)
		})
	})
	return cmd
}

// A wordValue takes a word for one of its values.
type wordValue struct {
	pflag.Value
	word, value string
}

// Set takes the word, or a value.
func (w wordValue) Set(text string) error {
	if text == w.word {
		text = w.value
	}
	return w.Value.Set(text)
}

// shown has flags take a word that 'policy show' says in place of a value.
func shown(s *pflag.FlagSet, word, value string, flags ...string) {
	for _, name := range flags {
		f := s.Lookup(name)
		f.Value = wordValue{f.Value, word, value}
	}
}
