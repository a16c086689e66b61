package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// many are the flags of a command that does something to many tokens as a job.
type many struct {
	filter, name string
	dryRun, wait bool
	rate         int
}

func (m *many) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.filter, "select", "", "many tokens in place of SERIAL, as a job; the "+filters)
	m.jobFlags(cmd)
}

// jobFlags are those of flags that are about the job, and not about which tokens.
func (m *many) jobFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&m.dryRun, "dry-run", false, "say what would become of each, and change nothing")
	f.BoolVar(&m.wait, "wait", false, "follow the job to its end")
	f.StringVar(&m.name, "name", "", "`name` of the job (default its kind and the time)")
	f.IntVar(&m.rate, "rate", 0, "tokens a second at most (default no limit)")
}

// one tells whether the command is about the one token it names, at once, and refuses to be about none or about two things.
func (m *many) one(args []string) (bool, error) {
	switch {
	case m.filter != "" && len(args) > 0:
		return false, cli.Usagef("say either which serials, or --select")
	case m.filter == "" && len(args) == 0:
		return false, cli.Usagef("say which tokens: their serials, or --select FILTER")
	}
	return len(args) == 1 && !m.dryRun && m.name == "" && m.rate == 0, nil
}

// order is what a job of the command is to do.
func (m *many) order(p *program, args []string) (client.CareOrder, error) {
	o := client.CareOrder{Selection: client.Selection{Serials: args}, Name: m.name, DryRun: m.dryRun, Rate: m.rate}
	if m.filter != "" {
		var err error
		if o.Selection, err = p.selection(m.filter); err != nil {
			return o, err
		}
	}
	return o, nil
}

// waits tells whether the command goes on until the job has ended.
func (m *many) waits(r run) bool { return m.wait || m.dryRun || len(r.args) > 0 }

// begun shows a job that was started: at its end, with what became of each token, if it is a dry run or about serials that
// were named.
func (m *many) begun(p *program, r run, j client.Job, err error) error {
	if err != nil {
		return err
	}
	if !m.waits(r) {
		return p.shownJob(j)
	}
	if j, err = p.follow(r, j.Job); err != nil {
		return err
	}
	if !p.JSON && (m.dryRun || len(r.args) > 0) {
		if err := p.items(r.ctx, r.server, j.Job, client.JobItemFilter{}, 0); err != nil {
			return err
		}
		fmt.Fprintln(p.Out)
	}
	return p.endedJob(j)
}

// cares is a command that changes the state of the token it names, or of many as a job.
func (p *program) cares(use, short, done string, one func(run, string, int) (client.Token, error), all func(*client.Client, context.Context, client.CareOrder) (client.Job, error)) *cobra.Command {
	var m many
	cmd := p.command(use+" SERIAL... | --select FILTER", short, 0, nil)
	cmd.Args = cobra.ArbitraryArgs
	m.flags(cmd)
	version := versionFlag(cmd, "the token is")
	p.does(cmd, func(r run) error {
		single, err := m.one(r.args)
		if err != nil {
			return err
		}
		if single {
			t, err := one(r, r.args[0], *version)
			if err != nil {
				return err
			}
			return p.result(t, "%s token %s", done, t.Serial)
		}
		if *version != 0 {
			return cli.Usagef("--version is for one token")
		}
		o, err := m.order(p, r.args)
		if err != nil {
			return err
		}
		j, err := all(r.server, r.ctx, o)
		return m.begun(p, r, j, err)
	})
	return cmd
}

func (p *program) tokenEnable() *cobra.Command {
	return p.cares("enable", "Let assigned tokens authenticate", "enabled", func(r run, serial string, version int) (client.Token, error) {
		return r.server.Enable(r.ctx, serial, version)
	}, (*client.Client).EnableMany)
}

func (p *program) tokenDisable() *cobra.Command {
	return p.cares("disable", "Stop tokens and keep everything else", "disabled", func(r run, serial string, version int) (client.Token, error) {
		return r.server.Disable(r.ctx, serial, version)
	}, (*client.Client).DisableMany)
}

func (p *program) tokenUnassign() *cobra.Command {
	return p.cares("unassign", "Take tokens from their users", "unassigned", func(r run, serial string, version int) (client.Token, error) {
		return r.server.Unassign(r.ctx, serial, version)
	}, (*client.Client).UnassignMany)
}

func (p *program) tokenClearNTC() *cobra.Command {
	var m many
	cmd := p.command("clear-ntc SERIAL... | --select FILTER", "Forget wrong passcodes: the next right one is accepted without the tokencode after it", 0, nil)
	cmd.Args = cobra.ArbitraryArgs
	m.flags(cmd)
	p.does(cmd, func(r run) error {
		if _, err := m.one(r.args); err != nil {
			return err
		}
		o, err := m.order(p, r.args)
		if err != nil {
			return err
		}
		j, err := r.server.ClearNTCMany(r.ctx, o)
		return m.begun(p, r, j, err)
	})
	return cmd
}

func (p *program) tokenDelete() *cobra.Command {
	var m many
	cmd := p.command("delete SERIAL... | --select FILTER", "Delete tokens and destroy their seeds", 0, nil)
	cmd.Args = cobra.ArbitraryArgs
	m.flags(cmd)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	p.does(cmd, func(r run) error {
		single, err := m.one(r.args)
		if err != nil {
			return err
		}
		if single {
			return p.deletes(r.args[0], *yes, func() error { return r.server.DeleteToken(r.ctx, r.args[0]) })
		}
		o, err := m.order(p, r.args)
		if err != nil {
			return err
		}
		if !m.dryRun && !*yes {
			if n, err := p.countedFirst(r, o); err != nil || n == 0 {
				return err
			}
		}
		j, err := r.server.DeleteMany(r.ctx, o)
		return m.begun(p, r, j, err)
	})
	return cmd
}

// countedFirst asks whether as many tokens are to be deleted as there are, which a dry run counts.
func (p *program) countedFirst(r run, o client.CareOrder) (int, error) {
	if !p.Interactive() {
		return 0, cli.Usagef("deleting many tokens takes --yes where nobody can be asked; --dry-run counts them")
	}
	o.DryRun, o.Name = true, ""
	j, err := r.server.DeleteMany(r.ctx, o)
	if err != nil {
		return 0, err
	}
	if j, err = p.follow(r, j.Job); err != nil {
		return 0, err
	}
	if j.Done == 0 {
		p.Note("there are none to delete")
		return 0, nil
	}
	if yes, err := p.Confirm("Delete %s and destroy their seeds?", counted(j.Done, "token")); !yes {
		return 0, declined(err, "nothing was deleted")
	}
	return j.Done, nil
}

func (p *program) tokenReplace() *cobra.Command {
	var m many
	var with client.Replacement
	var keepPIN bool
	cmd := p.command("replace SERIAL... | --select FILTER", "Give the users of tokens other ones; their first use ends the first ones'", 0, nil)
	cmd.Args = cobra.ArbitraryArgs
	m.flags(cmd)
	cmd.Flags().StringVar(&with.With, "with", "", "serial `number` of the new token, for one (default the next available one)")
	cmd.Flags().BoolVar(&keepPIN, "keep-pin", true, "the PIN comes along, if the new token can have it")
	p.does(cmd, func(r run) error {
		single, err := m.one(r.args)
		switch {
		case err != nil:
			return err
		case single:
			with.NewPIN = !keepPIN
			t, err := r.server.Replace(r.ctx, r.args[0], with)
			if err != nil {
				return err
			}
			return p.result(t, "token %s takes over from %s with its first use; distribute it to %s", t.Serial, r.args[0], t.UserID)
		case with.With != "":
			return cli.Usagef("--with is for one token")
		}
		o, err := m.order(p, r.args)
		if err != nil {
			return err
		}
		j, err := r.server.ReplaceMany(r.ctx, client.ReplacementOrder{Selection: o.Selection, NewPIN: !keepPIN, Name: o.Name, DryRun: o.DryRun, Rate: o.Rate})
		return m.begun(p, r, j, err)
	})
	return cmd
}

func (p *program) tokenExtend() *cobra.Command {
	var m many
	var e client.Extension
	cmd := p.command("extend SERIAL... | --select FILTER", "Extend the lifetime of tokens; nothing happens on the devices", 0, nil)
	cmd.Args = cobra.ArbitraryArgs
	m.flags(cmd)
	dayFlag(cmd.Flags(), &e.Until, "until", "new last valid `day`, YYYY-MM-DD; with --donors the day until which donors last at least")
	cmd.Flags().BoolVar(&e.Donors, "donors", false, "each token consumes the next available record that lasts longer, and gets its last valid day")
	cmd.Flags().StringVar(&e.Donor, "donor", "", "serial `number` of the record to consume, for one token")
	p.does(cmd, func(r run) error {
		if _, err := m.one(r.args); err != nil {
			return err
		}
		if e.Until == "" && e.Donor == "" && !e.Donors {
			return cli.Usagef("say until when with --until DAY, or what to consume with --donors or --donor SERIAL")
		}
		if len(r.args) == 1 && m.name == "" && m.rate == 0 {
			ctx := r.ctx
			if m.dryRun {
				ctx = client.DryRun(ctx)
			}
			x, err := r.server.Extend(ctx, r.args[0], e)
			if err != nil {
				return err
			}
			return p.result(x, "%s", extendedWords(x, m.dryRun))
		}
		if e.Donor != "" {
			return cli.Usagef("--donor is for one token: take --donors")
		}
		o, err := m.order(p, r.args)
		if err != nil {
			return err
		}
		if s := &o.Selection; len(s.Serials) == 0 && len(s.Users) == 0 { // of what nobody listed, only what can be
			extendable := true
			s.Extendable = &extendable
		}
		j, err := r.server.ExtendMany(r.ctx, client.ExtensionOrder{Selection: o.Selection, Until: e.Until, Donors: e.Donors, Name: o.Name, DryRun: o.DryRun, Rate: o.Rate})
		return m.begun(p, r, j, err)
	})
	return cmd
}

func extendedWords(x client.Extended, dryRun bool) string {
	lasts := "lasts"
	if dryRun {
		lasts = "would last"
	}
	words := fmt.Sprintf("token %s %s until %s (before %s)", x.Serial, lasts, x.Until, x.Was)
	if x.Donor != "" {
		words += ", for record " + x.Donor
	}
	return words
}

func (p *program) tokenExtensions() *cobra.Command {
	var f client.ExtensionFilter
	cmd := p.command("extensions", "List whose lifetime was extended: from when to when, for which record, by whom", 0, func(r run) error {
		all, err := collect(r.server.AllExtensions(r.ctx, f), 0)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"extensions": all}, []string{"SERIAL", "NUMBER", "BEFORE", "LAST DAY", "DEVICE", "DONOR", "BY", "AT"}, all, func(x client.Extended) []string {
			return []string{x.Serial, number(x.Number), x.Was, x.Until, x.DeviceUntil, orDash(x.Donor), x.By, date(&x.At)}
		})
	})
	cmd.Flags().StringVar(&f.Serial, "serial", "", "only of a token")
	cmd.Flags().StringVar(&f.Job, "job", "", "only what a `job` did, by its ID")
	return cmd
}

func (p *program) tokenEdit() *cobra.Command {
	var notes string
	var e client.LabelEdit
	var attributes, without []string
	cmd := p.command("edit SERIAL", "Write notes, attributes and tags on a token; what is not said stays", 1, nil)
	f := cmd.Flags()
	f.StringVar(&notes, "notes", "", "`text`; \"\" for none")
	f.StringSliceVar(&e.AddTags, "tag", nil, "`tags` to add, with commas between")
	f.StringSliceVar(&e.RemoveTags, "untag", nil, "`tags` to take away")
	f.StringArrayVar(&attributes, "attribute", nil, "set a custom attribute, `NAME=VALUE`; more than once for several")
	f.StringArrayVar(&without, "no-attribute", nil, "take the custom attribute of that `name` away")
	version := versionFlag(cmd, "the token is")
	p.does(cmd, func(r run) error {
		e.Notes = given(cmd, "notes", &notes)
		e.Attributes = map[string]*string{}
		for _, pair := range attributes {
			name, value, is := strings.Cut(pair, "=")
			if !is {
				return cli.Usagef("--attribute takes NAME=VALUE, not %q", pair)
			}
			e.Attributes[name] = &value
		}
		for _, name := range without {
			e.Attributes[name] = nil
		}
		t, err := r.server.EditLabel(r.ctx, r.args[0], *version, e)
		if err != nil {
			return err
		}
		return p.result(t, "%s token %s", r.verb("edited", "edit"), t.Serial)
	})
	return cmd
}
