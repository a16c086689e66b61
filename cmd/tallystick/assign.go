package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) tokenAssign() *cobra.Command {
	var user, serial, users, serials string
	var b client.BulkAssignment
	var yes bool
	cmd := p.command("assign", "Give a token to a user, or as many tokens as there are users to all of them", 0, nil)
	s := cmd.Flags()
	s.StringVar(&user, "user", "", "`user` who gets the token")
	s.StringVar(&serial, "serial", "", "serial `number` of the token (default the next available one)")
	s.StringVar(&users, "users", "", "`file` with a user ID in each line; - is standard input")
	s.StringVar(&b.Group, "group", "", "the members of a `group` in place of --users")
	s.StringVar(&serials, "serials", "", "`file` with a serial number in each line, exactly as many as users; - is standard input")
	s.BoolVar(&b.Next, "next", false, "the next available tokens in place of --serials")
	s.StringVar(&b.Sort, "sort", "", "`order` of the users: given (of the file, the default), user_id or name; tokens are in that of their serials")
	s.BoolVar(&b.Partial, "partial", false, "assign what can be assigned (default all or nothing)")
	s.BoolVar(&b.DryRun, "dry-run", false, "only show the pairs")
	s.BoolVar(&yes, "yes", false, "do not ask whether the pairs are right; with --user nothing is asked")
	p.does(cmd, func(r run) error {
		if user != "" {
			if users != "" || b.Group != "" || serials != "" || b.Next {
				return cli.Usagef("--user is for one; many are named by --users or --group")
			}
			if b.Partial || b.Sort != "" {
				return cli.Usagef("--partial and --sort are for many: name them with --users or --group")
			}
			if b.DryRun { // the pair is shown as those of many are
				b.Users, b.Next = []string{user}, serial == ""
				if serial != "" {
					b.Serials = []string{serial}
				}
				return p.assignMany(r, b, yes, false)
			}
			return p.assignOne(r, user, serial)
		}
		switch {
		case serial != "":
			return cli.Usagef("--serial goes with --user; many tokens are named by --serials")
		case (users == "") == (b.Group == ""):
			return cli.Usagef("say to whom: --user USERID for one, --users FILE or --group NAME for many")
		case (serials == "") == !b.Next:
			return cli.Usagef("say which tokens: --serials FILE or --next")
		case users == "-" && serials == "-":
			return cli.Usagef("only one thing can come from standard input")
		}
		var err error
		if users != "" {
			if b.Users, err = p.lines(users); err != nil {
				return err
			}
		}
		if serials != "" {
			if b.Serials, err = p.lines(serials); err != nil {
				return err
			}
			b.Serials = fullSerials(b.Serials)
		}
		return p.assignMany(r, b, yes, users == "-" || serials == "-")
	})
	return cmd
}

func (p *program) assignOne(r run, user, serial string) error {
	var t client.Token
	var err error
	if serial == "" {
		t, err = r.server.AssignNext(r.ctx, user)
	} else {
		t, err = r.server.Assign(r.ctx, serial, user)
	}
	if err != nil {
		return err
	}
	return p.result(map[string]string{"user_id": t.UserID, "serial": t.Serial}, "token %s now belongs to %s", t.Serial, t.UserID)
}

// assignMany shows the pairs, asks, and then has assigned what was shown.
func (p *program) assignMany(r run, b client.BulkAssignment, yes, stdinTaken bool) error {
	look := b
	look.DryRun = true
	shown, err := r.server.AssignMany(r.ctx, look)
	if err != nil {
		return err
	}
	if b.DryRun {
		if err := p.pairs(shown, p.Out, len(shown.Rows)); err != nil || b.Partial || shown.Failed == 0 {
			return err
		}
		return cli.Status(cli.Refused) // as it would be
	}
	if !yes && p.Interactive() && (b.Partial || shown.Failed == 0) { // what is refused is not asked about
		const most = 100
		if err := p.pairs(client.Assignments{Rows: shown.Rows}, p.Err, most); err != nil {
			return err
		}
		sure := false
		if !stdinTaken {
			sure, err = p.Confirm("Assign these %s?", counted(len(shown.Rows), "token"))
		}
		if !sure {
			return declined(err, "nothing was assigned: --yes assigns without a question")
		}
	}
	confirmed := client.BulkAssignment{Partial: b.Partial}
	missing := []client.AssignmentRow{}
	for _, row := range shown.Rows {
		if row.Serial == "" { // there is no token for her
			missing = append(missing, row)
			continue
		}
		confirmed.Pairs = append(confirmed.Pairs, client.AssignmentPair{UserID: row.UserID, Serial: row.Serial})
	}
	if len(missing) > 0 && !b.Partial {
		return fault.New(fault.Code(missing[0].Code), "nothing was assigned, for %d of %d users get no token: %s", len(missing), len(shown.Rows), missing[0].Message)
	}
	done := client.Assignments{}
	if len(confirmed.Pairs) > 0 {
		if done, err = r.server.AssignMany(r.ctx, confirmed); err != nil {
			return err
		}
	}
	done.Failed += len(missing)
	done.Rows = append(done.Rows, missing...)
	return p.pairs(done, p.Out, len(done.Rows))
}

// pairs prints a pairing, of its rows the first most.
func (p *program) pairs(a client.Assignments, out io.Writer, most int) error {
	if p.JSON && out == p.Out {
		return p.PrintJSON(a)
	}
	var rows [][]string
	for i, row := range a.Rows {
		if i == most {
			break
		}
		said := ""
		if !row.OK {
			said = "no: " + row.Message + " (" + row.Code + ")"
		} else if row.Message != "" {
			said = "warning: " + row.Message
		}
		rows = append(rows, []string{row.UserID, row.Serial, said})
	}
	if err := cli.Table(out, cli.Width(out), []string{"USER", "TOKEN", ""}, rows); err != nil {
		return err
	}
	if left := len(a.Rows) - most; left > 0 {
		fmt.Fprintf(out, "and %d more: --dry-run shows all\n", left)
	}
	if out != p.Out {
		return nil
	}
	verb := "assigned"
	if a.DryRun {
		verb = "would assign"
	}
	_, err := fmt.Fprintf(out, "%s %s; %d cannot be assigned\n", verb, counted(a.Assigned, "token"), a.Failed)
	return err
}

// maxList is the largest list of names that is sent.
const maxList = 24 << 20

// lines reads a file, or standard input for "-", with a name in each line. Empty lines are passed over.
func (p *program) lines(name string) ([]string, error) {
	data, err := p.readUpTo(name, maxList)
	if err == nil {
		err = inUTF8(data, name)
	}
	if err != nil {
		return nil, err
	}
	all := []string{}
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		if text := strings.TrimSpace(string(line)); text != "" {
			all = append(all, text)
		}
	}
	return all, nil
}
