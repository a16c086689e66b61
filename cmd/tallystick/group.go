package main

import (
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) groupCommands() *cobra.Command {
	return group("group", "Groups of people, to choose them by", p.groupAdd(), p.groupList(), p.groupShow(), p.groupEdit(), p.groupMembers(), p.groupDelete())
}

func (p *program) groupAdd() *cobra.Command {
	var g client.NewGroup
	cmd := p.command("add NAME", "Add a group, without members", 1, func(r run) error {
		g.Group = r.args[0]
		added, err := r.server.AddGroup(r.ctx, g)
		if err != nil {
			return err
		}
		return p.result(map[string]string{"group": added.Group}, "added group %s", added.Group)
	})
	cmd.Flags().StringVar(&g.Note, "note", "", "`text` that says what it is for")
	domainFlag(cmd, &g.Domain)
	return cmd
}

func (p *program) groupList() *cobra.Command {
	var f client.GroupFilter
	cmd := p.command("list", "List groups", 0, func(r run) error {
		groups, err := collect(r.server.AllGroups(r.ctx, f), 0)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"groups": groups}, []string{"GROUP", "MEMBERS", "NOTE"}, groups, func(g client.Group) []string {
			return []string{g.Group, number(g.Members), g.Note}
		})
	})
	cmd.Flags().StringVar(&f.Query, "query", "", "`part` of name or note")
	cmd.Flags().StringVar(&f.UserID, "user", "", "only those that a `user` is a member of")
	inDomainFlag(cmd, &f.Domain)
	return cmd
}

func (p *program) groupShow() *cobra.Command {
	return p.command("show NAME", "Show a group; 'user list --group NAME' shows its members", 1, func(r run) error {
		g, err := r.server.Group(r.ctx, r.args[0])
		if err != nil || p.JSON {
			return p.unless(err, g)
		}
		p.fields("group", g.Group, "note", g.Note, "members", number(g.Members), "domain", unlessRoot(g.Domain), "added", date(&g.CreatedAt), "version", number(g.Version))
		return nil
	})
}

func (p *program) groupEdit() *cobra.Command {
	var note string
	cmd := p.command("edit NAME", "Change what is noted of a group", 1, nil)
	cmd.Flags().StringVar(&note, "note", "", "`text` that says what it is for")
	version := versionFlag(cmd, "the group is")
	p.does(cmd, func(r run) error {
		return edits(p, r, "group "+r.args[0], func() (client.Group, error) { return r.server.Group(r.ctx, r.args[0]) }, func() (client.Group, error) {
			return r.server.EditGroup(r.ctx, r.args[0], *version, client.GroupEdit{Note: given(cmd, "note", &note)})
		})
	})
	return cmd
}

func (p *program) groupMembers() *cobra.Command {
	var add, remove []string
	var addFile, removeFile string
	cmd := p.command("members NAME", "Add members to a group and take others out, all or none", 1, nil)
	cmd.Flags().StringArrayVar(&add, "add", nil, "`user` who becomes a member; may be repeated")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "`user` who is a member no more; may be repeated")
	cmd.Flags().StringVar(&addFile, "add-file", "", "`file` with the user ID of a new member in each line; - is standard input")
	cmd.Flags().StringVar(&removeFile, "remove-file", "", "`file` with the user ID of a former member in each line; - is standard input")
	p.does(cmd, func(r run) error {
		if addFile == "-" && removeFile == "-" {
			return cli.Usagef("only one thing can come from standard input")
		}
		for _, more := range []struct {
			file string
			to   *[]string
		}{{addFile, &add}, {removeFile, &remove}} {
			if more.file == "" {
				continue
			}
			names, err := p.lines(more.file)
			if err != nil {
				return err
			}
			*more.to = append(*more.to, names...)
		}
		if len(add)+len(remove) == 0 {
			return cli.Usagef("say who comes or goes: --add, --add-file, --remove or --remove-file; 'tallystick user list --group %s' lists the members", r.args[0])
		}
		done, err := r.server.ChangeMembers(r.ctx, r.args[0], client.MemberChange{Add: add, Remove: remove})
		if err != nil {
			return err
		}
		return p.result(done, "group %s: %d came, %d went", r.args[0], done.Added, done.Removed)
	})
	return cmd
}

func (p *program) groupDelete() *cobra.Command {
	return p.deletion("delete NAME", "Delete a group; its members stay what they are", func(r run) error {
		return r.server.DeleteGroup(r.ctx, r.args[0])
	})
}
