package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) userImport() *cobra.Command {
	var f client.UserFile
	var columns []string
	cmd := p.command("import FILE", "Add the people of a CSV file, and change those who are here", 1, nil)
	s := cmd.Flags()
	s.StringArrayVar(&columns, "column", nil, "`FIELD=COLUMN`: which column holds user_id, name, mail, enabled, expiry or groups, by its title, or #1 for the first; name=first+last joins two")
	s.StringVar(&f.Encoding, "encoding", "", "utf-8, utf-16 or windows-1252 (default as the byte order mark says, or UTF-8)")
	s.StringVar(&f.Delimiter, "delimiter", "", "`character` between fields (default what the first line has most of)")
	s.BoolVar(&f.NoHeader, "no-header", false, "the first line is a person, too; columns go by number")
	s.BoolVar(&f.AddGroups, "add-groups", false, "add groups that are not there")
	domainFlag(cmd, &f.Domain)
	s.BoolVar(&f.Partial, "partial", false, "do what can be done (default all or nothing)")
	s.BoolVar(&f.DryRun, "dry-run", false, "only show who would be added, changed or disabled")
	p.does(cmd, func(r run) error {
		f.Columns = map[string]string{}
		for _, c := range columns {
			field, column, is := strings.Cut(c, "=")
			if _, twice := f.Columns[field]; twice || !is {
				return cli.Usagef("--column takes FIELD=COLUMN, such as user_id=Login, each field once; name=First+Last joins two columns")
			}
			f.Columns[field] = column
		}
		if f.Delimiter == `\t` || f.Delimiter == "tab" {
			f.Delimiter = "\t"
		}
		var err error
		if f.File, err = p.readUpTo(r.args[0], maxList); err != nil {
			return err
		}
		if len(f.File) == 0 {
			return fault.New(fault.Invalid, "%s is empty: its first line names the columns, and each other one is a person", r.args[0])
		}
		done, err := r.server.ImportUsers(r.ctx, f)
		if refused := new(client.Error); errors.As(err, &refused) && refused.Code == string(fault.GroupNotFound) {
			refused.Message += ": --add-groups adds those that are not there"
		}
		if err != nil {
			return err
		}
		p.readColumns(done)
		if err := p.appliedUsers(done); err != nil {
			return err
		}
		if f.DryRun && !f.Partial && done.Failed > 0 { // it would be refused
			return cli.Status(cli.Refused)
		}
		return nil
	})
	return cmd
}

// readColumns tells what the columns of a file are taken for, at a dry run or where some are not read: a title that is not known may be meant for a field.
func (p *program) readColumns(a client.AppliedUsers) {
	if len(a.UnusedColumns) == 0 && !a.DryRun {
		return
	}
	var used []string
	for _, field := range slices.Sorted(maps.Keys(a.Columns)) {
		used = append(used, field+"="+titles(a.Columns[field], "+"))
	}
	words := "columns that are read: " + strings.Join(used, ", ")
	if len(a.UnusedColumns) > 0 {
		words += "; not read: " + titles(a.UnusedColumns, ", ") + " (--column FIELD=COLUMN has one read)"
	}
	p.Note(words)
}

// titles names columns: quoted where they have what is not printable, and no more of them than anybody reads.
func titles(all []string, between string) string {
	const most, longest = 20, 60
	var shown []string
	for _, title := range all[:min(len(all), most)] {
		if len(title) > longest {
			title = strings.ToValidUTF8(title[:longest], "") + "..."
		}
		if strings.ContainsFunc(title, func(c rune) bool { return !unicode.IsPrint(c) }) {
			title = strconv.Quote(title)
		}
		shown = append(shown, title)
	}
	if n := len(all) - most; n > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(shown, between)
}

// codeWords is a code behind a message, which what is only to be known lacks.
func codeWords(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}

// appliedUsers prints what became of people: each of them for a dry run, else those who could not be, or not with all that is said of them.
func (p *program) appliedUsers(a client.AppliedUsers) error {
	if p.JSON {
		return p.PrintJSON(a)
	}
	shown := []client.AppliedUser{}
	for _, row := range a.Rows {
		if a.DryRun || row.Message != "" {
			shown = append(shown, row)
		}
	}
	if len(shown) > 0 {
		head, lines := []string{"LINE", "USER", "ACTION"}, shown[0].Line > 0
		if !lines { // they come from no file
			head = head[1:]
		}
		err := tabulate(p, nil, head, shown, func(row client.AppliedUser) (cells []string) {
			if lines {
				cells = append(cells, number(row.Line))
			}
			if cells = append(cells, row.UserID, row.Action); row.Message != "" {
				cells = append(cells, row.Message+codeWords(row.Code))
			}
			return cells
		})
		if err != nil {
			return err
		}
	}
	if len(a.AddedGroups) > 0 {
		if err := p.result(nil, "groups that %sadded: %s", map[bool]string{true: "would be ", false: "were "}[a.DryRun], strings.Join(a.AddedGroups, ", ")); err != nil {
			return err
		}
	}
	verb := ""
	if a.DryRun {
		verb = " would be"
	}
	return p.result(nil, "%d%s added, %d changed, %d disabled, %d enabled, %d unchanged; %d cannot be", a.Added, verb, a.Changed, a.Disabled, a.Enabled, a.Unchanged, a.Failed)
}
