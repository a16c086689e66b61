package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) userCommands() *cobra.Command {
	return group("user", "The people who hold tokens", p.userAdd(), p.userImport(), p.userList(), p.userShow(), p.userEdit(), p.userEnable(), p.userDisable(), p.userUnlock(), p.userSetFixedPasscode(), p.userClearFixedPasscode(), p.userSetOnDemand(), p.userClearOnDemand(),
		p.userDelete())
}

func (p *program) userAdd() *cobra.Command {
	var u client.NewUser
	cmd := p.command("add USERID", "Add a person", 1, func(r run) error {
		u.UserID = r.args[0]
		added, err := r.server.AddUser(r.ctx, u)
		if err != nil {
			return err
		}
		if added.Alike != "" {
			p.Note(fmt.Sprintf("beside user %s, whose ID differs by the case of letters alone: a gateway that asks a directory may take one for the other", added.Alike))
		}
		return p.result(map[string]string{"user_id": added.UserID}, "added user %s", added.UserID)
	})
	cmd.Flags().StringVar(&u.Name, "name", "", "`name` of the person")
	cmd.Flags().StringVar(&u.Mail, "mail", "", "mail `address`")
	dayFlag(cmd.Flags(), &u.Expiry, "expiry", "last `day` on which the person's tokens may authenticate, in UTC (default none)")
	domainFlag(cmd, &u.Domain)
	return cmd
}

func (p *program) userList() *cobra.Command {
	var f client.UserFilter
	cmd := p.command("list", "List people", 0, func(r run) error {
		users, err := collect(r.server.AllUsers(r.ctx, f), 0)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"users": users}, []string{"USER", "NAME", "MAIL", "ENABLED", "LOCKED"}, users, func(u client.User) []string {
			return []string{u.UserID, u.Name, u.Mail, enabledWord(u), lockedWord(u.Lockout)}
		})
	})
	cmd.Flags().StringVar(&f.Query, "query", "", "`part` of ID, name or mail address")
	cmd.Flags().StringVar(&f.Group, "group", "", "only the members of a `group`")
	inDomainFlag(cmd, &f.Domain)
	return cmd
}

func (p *program) userShow() *cobra.Command {
	cmd := p.command("show USERID", "Show a person and the tokens", 1, nil)
	most := signInsFlag(cmd)
	p.does(cmd, func(r run) error {
		u, err := r.server.User(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		tokens, err := collect(r.server.AllTokens(r.ctx, client.TokenFilter{UserID: u.UserID}), 0)
		if err != nil {
			return err
		}
		signIns, more, err := lastSignIns(*most, func(limit int) ([]client.SignIn, error) { return r.server.UserActivity(r.ctx, u.UserID, limit) })
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(struct {
				client.User
				SignIns []client.SignIn `json:"sign_ins,omitempty"`
				Tokens  []client.Token  `json:"tokens"`
			}{u, signIns, tokens})
		}
		p.fields("user", u.UserID, "name", u.Name, "mail", u.Mail, "domain", unlessRoot(u.Domain), "enabled", enabledWord(u), "last day", u.Expiry, "token policy", policyLine(u.Domain, u.TokenPolicy),
			"lockout policy", policyLine(u.Domain, u.LockoutPolicy), "locked", lockedWord(u.Lockout), "failures", failuresLine(u.Lockout.Failures), "unknown sources", failuresLine(u.Lockout.UnknownSources), "fixed passcode", fixedLine(u.FixedPasscodeSetAt), "codes on demand", onDemandLine(u.OnDemand), "added", date(&u.CreatedAt))
		for _, t := range tokens {
			p.fields("token", t.Serial+" "+stateWord(t))
		}
		p.signIns(signIns, more)
		return nil
	})
	return cmd
}

func (p *program) userEdit() *cobra.Command {
	var name, mail, expiry string
	var enabled bool
	cmd := p.command("edit USERID", "Change a person's record", 1, nil)
	cmd.Flags().StringVar(&name, "name", "", "`name` of the person")
	cmd.Flags().StringVar(&mail, "mail", "", "mail `address`")
	cmd.Flags().BoolVar(&enabled, "enabled", true, "whether the person's tokens may authenticate")
	cmd.Flags().Var(lastDayValue{dayValue{&expiry}}, "expiry", "last day on which the person's tokens may authenticate, in UTC; `day` or none")
	version := versionFlag(cmd, "the record is")
	p.does(cmd, func(r run) error {
		return edits(p, r, "user "+r.args[0], func() (client.User, error) { return r.server.User(r.ctx, r.args[0]) }, func() (client.User, error) {
			return r.server.EditUser(r.ctx, r.args[0], *version, client.UserEdit{
				Name: given(cmd, "name", &name), Mail: given(cmd, "mail", &mail), Enabled: given(cmd, "enabled", &enabled), Expiry: given(cmd, "expiry", &expiry),
			})
		})
	})
	return cmd
}

func (p *program) userEnable() *cobra.Command {
	return p.userTurned("enable", "Let the tokens of a person who was disabled authenticate again", true)
}

func (p *program) userDisable() *cobra.Command {
	return p.userTurned("disable", "Stop all tokens of a person; 'user enable' undoes it", false)
}

// userTurned is a command that has a person enabled or not.
func (p *program) userTurned(verb, short string, enabled bool) *cobra.Command {
	return p.command(verb+" USERID", short, 1, func(r run) error {
		u, err := r.server.EditUser(r.ctx, r.args[0], 0, client.UserEdit{Enabled: &enabled})
		if err != nil {
			return err
		}
		return p.result(u, "%s user %s", r.verb(verb+"d", verb), u.UserID)
	})
}

// policyLine says whose policy holds for a user of a domain; "" for the deployment's, which needs no word where nobody has another one.
func policyLine(domain, from string) string {
	switch {
	case domain == "root":
		return ""
	case from == domain:
		return "of " + domain
	}
	return "of " + above(from)
}

// enabledWord says whether a user's tokens may authenticate.
func enabledWord(u client.User) string {
	if u.Enabled && u.Expired {
		return "expired"
	}
	return yesNo(u.Enabled)
}

// lockedWord says whether a user is locked, and where.
func lockedWord(l client.Lockout) string {
	switch {
	case l.Locked:
		return "yes"
	case l.UnknownSources.Locked:
		return "unknown sources"
	}
	return "no"
}

// failuresLine says what failures count, "" if none do.
func failuresLine(f client.Failures) string {
	switch {
	case f.Count == 0 && !f.Locked:
		return ""
	case f.UnlocksAt != nil:
		return fmt.Sprintf("%d since %s, locked until %s", f.Count, date(f.Since), date(f.UnlocksAt))
	case f.Locked:
		return fmt.Sprintf("%d since %s, locked since %s: 'user unlock' ends it", f.Count, date(f.Since), date(f.LockedAt))
	}
	return fmt.Sprintf("%d since %s", f.Count, date(f.Since))
}

func (p *program) userUnlock() *cobra.Command {
	return p.command("unlock USERID", "Let a person who was locked authenticate again, from everywhere", 1, func(r run) error {
		if err := r.server.Unlock(r.ctx, r.args[0]); err != nil {
			return err
		}
		return p.result(map[string]string{"user_id": r.args[0]}, "user %s is unlocked", r.args[0])
	})
}

// fixedLine says since when there is a fixed passcode, "" if there is none.
func fixedLine(setAt *time.Time) string {
	if setAt == nil {
		return ""
	}
	return "since " + date(setAt)
}

// onDemandLine says what a user has of codes by mail, "" for nothing.
func onDemandLine(o *client.OnDemand) string {
	if o == nil {
		return ""
	}
	line := "PIN of " + date(&o.PINSetAt)
	if o.MustChange {
		line += ", to be changed at its next use"
	}
	if o.SentAt != nil {
		line += ", last code of " + date(o.SentAt)
	}
	if o.CodeUntil != nil {
		line += ", good until " + date(o.CodeUntil)
	}
	return line
}

func (p *program) userSetFixedPasscode() *cobra.Command {
	cmd := p.command("set-fixed-passcode USERID", "Give a person a passcode that stays the same", 1, nil)
	passcode := p.SecretFlag(cmd, "passcode-file", "passcode", "TALLYSTICK_FIXED_PASSCODE")
	p.does(cmd, func(r run) error {
		secret, err := p.newSecret(passcode, "passcode")
		if err != nil {
			return err
		}
		if err := r.server.SetFixedPasscode(r.ctx, r.args[0], client.FixedPasscode{Passcode: client.Secret(secret)}); err != nil {
			return err
		}
		return p.result(map[string]string{"user_id": r.args[0]}, "user %s has a fixed passcode now", r.args[0])
	})
	return cmd
}

func (p *program) userClearFixedPasscode() *cobra.Command {
	return p.command("clear-fixed-passcode USERID", "Take a person's fixed passcode away", 1, func(r run) error {
		if err := r.server.ClearFixedPasscode(r.ctx, r.args[0]); err != nil {
			return err
		}
		return p.result(map[string]string{"user_id": r.args[0]}, "%s the fixed passcode of user %s", r.verb("cleared", "clear"), r.args[0])
	})
}

func (p *program) userSetOnDemand() *cobra.Command {
	cmd := p.command("set-on-demand USERID", "Let a person have codes on demand, by mail, with a PIN to ask for them", 1, nil)
	pin := p.SecretFlag(cmd, "pin-file", "PIN", pinVariables...)
	temporary := cmd.Flags().Bool("temporary", false, "the person must change it at its first use")
	p.does(cmd, func(r run) error {
		secret, err := p.newSecret(pin, "PIN")
		if err != nil {
			return err
		}
		if err := r.server.SetOnDemand(r.ctx, r.args[0], client.PIN{PIN: client.Secret(secret), Temporary: *temporary}); err != nil {
			return err
		}
		return p.result(map[string]string{"user_id": r.args[0]}, "user %s gets codes on demand now, for this PIN", r.args[0])
	})
	return cmd
}

func (p *program) userClearOnDemand() *cobra.Command {
	return p.command("clear-on-demand USERID", "End codes on demand for a person", 1, func(r run) error {
		if err := r.server.ClearOnDemand(r.ctx, r.args[0]); err != nil {
			return err
		}
		return p.result(map[string]string{"user_id": r.args[0]}, "%s codes on demand for user %s", r.verb("ended", "end"), r.args[0])
	})
}

func (p *program) userDelete() *cobra.Command {
	return p.deletion("delete USERID", "Delete a person who holds no token", func(r run) error {
		return r.server.DeleteUser(r.ctx, r.args[0])
	})
}

// deletion is a command that deletes the one thing it names, after a question.
func (p *program) deletion(use, short string, do func(run) error) *cobra.Command {
	cmd := p.command(use, short, 1, nil)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	dryRun := cmd.Flags().Bool("dry-run", false, "delete nothing, and say whether it could be done")
	p.does(cmd, func(r run) error {
		if *dryRun {
			r.ctx = client.DryRun(r.ctx)
			if err := do(r); err != nil {
				return err
			}
			return p.result(map[string]string{"would_delete": r.args[0]}, "would delete %s", r.args[0])
		}
		return p.deletes(r.args[0], *yes, func() error { return do(r) })
	})
	return cmd
}

// declined is the end of a command whose question was not answered with yes: err says why there was no answer at all.
func declined(err error, words string) error {
	if err != nil {
		return err
	}
	return cli.Declinedf("%s", words)
}

// deletes deletes one thing, after a question unless yes says not to ask.
func (p *program) deletes(name string, yes bool, do func() error) error {
	if !yes && p.Interactive() {
		if sure, err := p.Confirm("Delete %s?", name); !sure {
			return declined(err, "nothing was deleted")
		}
	}
	if err := do(); err != nil {
		return err
	}
	return p.result(map[string]string{"deleted": name}, "deleted %s", name)
}

func number(n int) string { return strconv.Itoa(n) }

// counted is a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return number(n) + " " + thing
}
