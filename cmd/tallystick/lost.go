package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
)

func (p *program) tokenLost() *cobra.Command {
	var l client.Loss
	var life time.Duration
	cmd := p.command("lost SERIAL", "Stop a lost token, and give its user emergency codes", 1, nil)
	cmd.Long = `Stop a lost token: its codes are refused from now on. With --emergency its user gets codes that stand in for the tokencode.

Such codes are for a device that she left at home. By the token policy's default (emergency-if-found accept_and_end) the next right
passcode of the device itself is accepted from then on, and ends the codes: a thief who has the device and knows the PIN, if
it takes one, is taken for her. If it was stolen, take no codes, which refuses it whatever the policy says, with an activation code
that may have been sent to it, and have the seed changed:

  tallystick token lost SERIAL
  tallystick token redistribute SERIAL --reason LOST_DEVICE --profile PROFILE

or replace the token. Codes for the user of a stolen device are safe where the policy says emergency-if-found deny.`
	cmd.Flags().StringVar(&l.Emergency, "emergency", "", "codes that stand in for the tokencode: fixed (one, until it expires) or set (each once); none unless said")
	cmd.Flags().IntVar(&l.Count, "count", 10, "how many codes a set has, 1 to 50")
	lifeFlag(cmd.Flags(), &life, "life", 0, "how long the codes work, such as 3d (default what the token policy says)")
	p.does(cmd, func(r run) error {
		if l.Emergency != "set" && !cmd.Flags().Changed("count") {
			l.Count = 0
		}
		l.LifeSeconds = seconds(life)
		lost, err := r.server.ReportLost(r.ctx, r.args[0], l)
		if err != nil {
			return err
		}
		if l.Emergency != "" {
			p.warnOfThief(r, lost.Token)
		}
		if lost.Token.Distribution == "activation_lapsed" {
			p.Note("its activation code is refused, too: '" + newSeed(lost.Token) + "' makes another one")
		}
		if p.JSON {
			return p.PrintJSON(lost)
		}
		if len(lost.Codes) == 0 {
			return p.result(lost, "token %s is lost: it is refused until 'token found'", lost.Token.Serial)
		}
		pin := "with the PIN before them as ever"
		switch lost.Token.PINState {
		case "not_used":
			pin = "as they are, for it takes no PIN"
		case "none":
			pin = "as they are, for it has no PIN: the next sign-in sets one"
		}
		p.Note(fmt.Sprintf("token %s is lost; until %s these stand in for its tokencode, %s; they are not shown again",
			lost.Token.Serial, date(&lost.Token.Emergency.Until), pin))
		var codes strings.Builder
		for _, code := range lost.Codes {
			fmt.Fprintln(&codes, string(code))
		}
		if _, err := io.WriteString(p.Out, codes.String()); err != nil {
			return fmt.Errorf("token %s is lost, and its emergency codes could not be written (%w): the same command makes others in their place", lost.Token.Serial, err)
		}
		return nil
	})
	return cmd
}

// quoted are the characters that mean something to a shell between double quotes: who chose the name of a profile is not to run a command at
// whoever copies this one.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`", "!", `"'!'"`)

// newSeed is the command that gives a token whose device is lost another seed, by the profile that it was delivered with.
func newSeed(t client.Token) string {
	return fmt.Sprintf(`token redistribute %s --reason LOST_DEVICE --profile "%s"`, t.Serial, quoted.Replace(cmp.Or(t.Profile, "PROFILE")))
}

// warnOfThief warns that whoever has the device is let in, where the policy of the token's user says so. Where the policy cannot be read it may say
// so: the codes are made by then, and an error would keep them from her.
func (p *program) warnOfThief(r run, t client.Token) {
	delivered := t.Distribution == "issued" || t.Distribution == "confirmed" // whether an offer ended the old seed is not told
	if t.Distribution == "not_distributed" || delivered && t.Pending == nil && t.DistributedAt != nil && t.LostAt != nil && t.DistributedAt.After(*t.LostAt) {
		return // there is no device, or a new seed came since, and the device that is lost makes no codes any more
	}
	policy, accepted := "the token policy", "may be accepted"
	if u, err := r.server.User(r.ctx, t.UserID); err == nil {
		if found, err := r.server.TokenPolicyOf(r.ctx, u.Domain); err == nil {
			policy += " (emergency-if-found " + found.EmergencyIfFound + ")"
			accepted = map[string]string{"deny": "", "accept_and_end": "is accepted", "accept_after": "is accepted when the codes are over"}[found.EmergencyIfFound]
		}
	}
	if accepted == "" {
		return
	}
	thief := "whoever has the device and the PIN"
	if t.PINState == "not_used" || t.PINState == "none" {
		thief = "whoever has the device"
	}
	p.Note(fmt.Sprintf("warning: by %s %s %s. If it was stolen, 'token lost %[4]s' without codes refuses it; "+
		"then '%s' or 'token replace %[4]s'", policy, thief, accepted, t.Serial, newSeed(t)))
}

func (p *program) tokenFound() *cobra.Command {
	return p.change("found SERIAL", "Let a token that was lost authenticate again; its emergency codes end", "found", func(r run, serial string, version int) (client.Token, error) {
		return r.server.ReportFound(r.ctx, serial, version)
	})
}

// emergencyLine says what emergency access a token's user has, "" for none.
func emergencyLine(t client.Token) string {
	e := t.Emergency
	switch {
	case e == nil:
		return ""
	case e.Kind == "fixed":
		return fmt.Sprintf("one, again and again until %s%s", date(&e.Until), lastUsed(e))
	}
	return fmt.Sprintf("%d left of a set, until %s%s", e.Left, date(&e.Until), lastUsed(e))
}

func lastUsed(e *client.Emergency) string {
	if e.LastUsedAt == nil {
		return ""
	}
	return ", last used " + date(e.LastUsedAt)
}
