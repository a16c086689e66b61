package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

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

// changed prints what an edit changed.
func (p *program) changed(document any, before, after []setting) error {
	if p.JSON {
		return p.PrintJSON(document)
	}
	if last := len(before) - 1; before[last] == after[last] { // the version
		p.Note("nothing changed")
		return nil
	}
	for i, s := range after {
		if s != before[i] {
			fmt.Fprintf(p.Out, "%-26s %s -> %s\n", s.name, orDash(before[i].value), orDash(s.value))
		}
	}
	return nil
}

// edited is the JSON document of an edit.
type edited[P any] struct {
	Before P `json:"before"`
	After  P `json:"after"`
}

// versionFlag gives cmd the flag for the version that an edit is meant for.
func versionFlag(cmd *cobra.Command, version *int) {
	cmd.Flags().IntVar(version, "version", 0, "refuse if the policy is not at this `version` any more")
}

// from is the version that an edit is meant for: the one that was given, else the one that is shown as before.
func from(given, read int) int {
	if given != 0 {
		return given
	}
	return read
}

// editedDomain describes the flag of an edit.
const editedDomain = "the policy of a security `domain`, which gets one of its own if it has none: a copy of what holds there, with the change"

// inherit is the command that takes a policy of a kind away.
func (p *program) inherit(kind string, do func(r run, domain string, version int) error) *cobra.Command {
	var domain string
	var version int
	cmd := p.command(kind, "Take a security domain's own "+kind+" policy away", 0, func(r run) error {
		if domain == "" {
			return cli.Usagef("say which domain: --domain NAME")
		}
		return do(r, domain, version)
	})
	policyDomainFlag(cmd, &domain, "the security `domain` that inherits again")
	versionFlag(cmd, &version)
	return cmd
}

func (p *program) inheritToken(r run, domain string, version int) error {
	before, err := r.server.TokenPolicyOf(r.ctx, domain)
	if err != nil {
		return err
	}
	after, err := r.server.InheritTokenPolicy(r.ctx, domain, from(version, before.Version))
	if err != nil {
		return err
	}
	return p.changed(edited[client.TokenPolicy]{before, after}, tokenSettings(before), tokenSettings(after))
}

func (p *program) inheritLockout(r run, domain string, version int) error {
	before, err := r.server.LockoutPolicyOf(r.ctx, domain)
	if err != nil {
		return err
	}
	after, err := r.server.InheritLockoutPolicy(r.ctx, domain, from(version, before.Version))
	if err != nil {
		return err
	}
	return p.changed(edited[client.LockoutPolicy]{before, after}, lockoutSettings(before), lockoutSettings(after))
}

func (p *program) tokenPolicyEdit() *cobra.Command {
	var f struct {
		domain, nextCode, creation, characters, emergencyCharacters, ifFound, fixed                    string
		ntc, pinMin, pinMax, minLetters, minDigits, history, emergencyLength, fixedMin, small, version int
		trivial, onDemand, deleteReplaced                                                              bool
		words                                                                                          []string
		pinMaxLife, pinMinLife, emergencyLife, emergencyMaxLife, onDemandLife, medium, large           time.Duration
	}
	cmd := p.command("token", "Change the rules for tokens and their PINs; what is not said stays", 0, nil)
	s := cmd.Flags()
	s.IntVar(&f.ntc, "incorrect-before-ntc", 0, "wrong passcodes in a row before the next tokencode is asked for: 0 for never, to 20")
	s.StringVar(&f.nextCode, "next-code-failure", "", "what a wrong next tokencode does: fail or lock")
	s.StringVar(&f.creation, "pin-creation", "", "who chooses a new PIN: user, system or either")
	s.IntVar(&f.pinMin, "pin-min", 0, "shortest PIN: 4 to 16 characters")
	s.IntVar(&f.pinMax, "pin-max", 0, "longest PIN: 4 to 16 characters; a PINPad PIN is never longer than the code")
	s.StringVar(&f.characters, "pin-characters", "", "what a fob PIN is made of: digits or alphanumeric; a PINPad PIN is always digits")
	s.IntVar(&f.minLetters, "pin-min-letters", 0, "fewest letters of an alphanumeric PIN")
	s.IntVar(&f.minDigits, "pin-min-digits", 0, "fewest digits of an alphanumeric PIN")
	s.BoolVar(&f.trivial, "refuse-trivial-pins", false, "refuse sequences, repeats, keypad patterns, parts of the serial and years of birth")
	s.StringSliceVar(&f.words, "excluded-words", nil, "`words` of 4 to 16 letters and digits that are not to be part of a PIN, with commas between; \"\" for none")
	lifeFlag(s, &f.pinMaxLife, "pin-max-life", 0, "when a PIN must be changed; 0 for never")
	lifeFlag(s, &f.pinMinLife, "pin-min-life", 0, "how long a user must keep a PIN before she may change it at her own wish, which nothing offers yet: it has no effect")
	s.IntVar(&f.history, "pin-history", 0, "how many of the last PINs may not be taken again: 0 to 20")
	s.IntVar(&f.emergencyLength, "emergency-length", 0, "length of an emergency code: 8 to 16 characters")
	s.StringVar(&f.emergencyCharacters, "emergency-characters", "", "what an emergency code is made of: digits or alphanumeric")
	lifeFlag(s, &f.emergencyLife, "emergency-life", 0, "how long emergency codes live, unless said")
	lifeFlag(s, &f.emergencyMaxLife, "emergency-max-life", 0, "the longest life that may be said; 0 for no limit")
	s.StringVar(&f.ifFound, "emergency-if-found", "", "what becomes of a lost token that turns up: deny, accept_and_end or accept_after")
	s.StringVar(&f.fixed, "fixed-passcode", "", "fixed passcodes: off, pin (made like PINs) or own (letters and digits, of fixed-passcode-min characters at least)")
	s.IntVar(&f.fixedMin, "fixed-passcode-min", 0, "shortest fixed passcode of its own: 8 to 64 characters")
	s.BoolVar(&f.onDemand, "on-demand", false, "let users get codes by mail who have a PIN for them")
	lifeFlag(s, &f.onDemandLife, "on-demand-life", 0, "how long such a code lives: 1m to 24h")
	s.BoolVar(&f.deleteReplaced, "delete-replaced", false, "delete a token that another one has replaced, instead of unassigning it")
	s.IntVar(&f.small, "window-small", 0, "intervals to each side in which a code is accepted at once: 0 to 10")
	lifeFlag(s, &f.medium, "window-medium", 0, "time to each side in which a code is accepted with the next one: up to 2h")
	lifeFlag(s, &f.large, "window-large", 0, "time to each side which resynchronisation searches: up to 24h")
	shown(s, "never", "0", "incorrect-before-ntc")
	shown(s, "no limit", "0", "pin-max-life", "emergency-max-life")
	shown(s, "none", "0", "pin-min-life")
	shown(s, "yes", "true", "refuse-trivial-pins", "on-demand", "delete-replaced")
	shown(s, "no", "false", "refuse-trivial-pins", "on-demand", "delete-replaced")
	versionFlag(cmd, &f.version)
	policyDomainFlag(cmd, &f.domain, editedDomain)
	p.does(cmd, func(r run) error {
		before, err := r.server.TokenPolicyOf(r.ctx, f.domain)
		if err != nil {
			return err
		}
		after, err := r.server.EditTokenPolicyOf(r.ctx, f.domain, from(f.version, before.Version), client.TokenPolicyEdit{
			IncorrectBeforeNTC: given(cmd, "incorrect-before-ntc", &f.ntc), NextCodeFailure: given(cmd, "next-code-failure", &f.nextCode),
			PINCreation: given(cmd, "pin-creation", &f.creation), PINMin: given(cmd, "pin-min", &f.pinMin), PINMax: given(cmd, "pin-max", &f.pinMax),
			PINCharacters: given(cmd, "pin-characters", &f.characters), PINMinLetters: given(cmd, "pin-min-letters", &f.minLetters),
			PINMinDigits: given(cmd, "pin-min-digits", &f.minDigits), RefuseTrivialPINs: given(cmd, "refuse-trivial-pins", &f.trivial),
			ExcludedWords: given(cmd, "excluded-words", &f.words), PINMaxLifeSeconds: givenSeconds(cmd, "pin-max-life", f.pinMaxLife),
			PINMinLifeSeconds: givenSeconds(cmd, "pin-min-life", f.pinMinLife), PINHistory: given(cmd, "pin-history", &f.history),
			EmergencyLength: given(cmd, "emergency-length", &f.emergencyLength), EmergencyCharacters: given(cmd, "emergency-characters", &f.emergencyCharacters),
			EmergencyLifeSeconds: givenSeconds(cmd, "emergency-life", f.emergencyLife), EmergencyMaxLifeSeconds: givenSeconds(cmd, "emergency-max-life", f.emergencyMaxLife),
			EmergencyIfFound: given(cmd, "emergency-if-found", &f.ifFound), FixedPasscode: given(cmd, "fixed-passcode", &f.fixed), FixedPasscodeMin: given(cmd, "fixed-passcode-min", &f.fixedMin),
			OnDemand: given(cmd, "on-demand", &f.onDemand), OnDemandLifeSeconds: givenSeconds(cmd, "on-demand-life", f.onDemandLife),
			DeleteReplaced: given(cmd, "delete-replaced", &f.deleteReplaced), WindowSmall: given(cmd, "window-small", &f.small),
			WindowMediumSeconds: givenSeconds(cmd, "window-medium", f.medium), WindowLargeSeconds: givenSeconds(cmd, "window-large", f.large),
		})
		if err != nil {
			return err
		}
		return p.changed(edited[client.TokenPolicy]{before, after}, tokenSettings(before), tokenSettings(after))
	})
	return cmd
}

func (p *program) lockoutPolicyEdit() *cobra.Command {
	var domain string
	var failures, version int
	var within, unlockAfter time.Duration
	var separate bool
	cmd := p.command("lockout", "Change when wrong passcodes lock a user; what is not said stays", 0, nil)
	s := cmd.Flags()
	s.IntVar(&failures, "failures", 0, "wrong passcodes in a row that lock a user: 0 for never, to 100")
	lifeFlag(s, &within, "within", 0, "how long a failure counts")
	lifeFlag(s, &unlockAfter, "unlock-after", 0, "when a locked user is unlocked; 0: only by an administrator")
	s.BoolVar(&separate, "separate-unknown-sources", false, "count failures from where the user never succeeded from on their own")
	shown(s, "never lock", "0", "failures")
	shown(s, "never", "0", "unlock-after")
	shown(s, "yes", "true", "separate-unknown-sources")
	shown(s, "no", "false", "separate-unknown-sources")
	versionFlag(cmd, &version)
	policyDomainFlag(cmd, &domain, editedDomain)
	p.does(cmd, func(r run) error {
		before, err := r.server.LockoutPolicyOf(r.ctx, domain)
		if err != nil {
			return err
		}
		after, err := r.server.EditLockoutPolicyOf(r.ctx, domain, from(version, before.Version), client.LockoutPolicyEdit{
			Failures: given(cmd, "failures", &failures), WithinSeconds: givenSeconds(cmd, "within", within),
			UnlockAfterSeconds: givenSeconds(cmd, "unlock-after", unlockAfter), SeparateUnknownSources: given(cmd, "separate-unknown-sources", &separate),
		})
		if err != nil {
			return err
		}
		return p.changed(edited[client.LockoutPolicy]{before, after}, lockoutSettings(before), lockoutSettings(after))
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

// givenSeconds is a length of time as the API takes it if its flag was given, else nil.
func givenSeconds(cmd *cobra.Command, flag string, d time.Duration) *int64 {
	n := seconds(d)
	return given(cmd, flag, &n)
}
