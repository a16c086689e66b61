package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// domainFlag is where something new is placed.
func domainFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().Func("domain", "security `domain` that it belongs to (default the top of what you see)", cli.NotEmpty(to))
}

// inDomainFlag limits a list.
func inDomainFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().Func("domain", "only those in a security `domain` or below it", cli.NotEmpty(to))
}

// unlessRoot is a domain for people; what is at the root needs no word.
func unlessRoot(domain string) string {
	if domain == "root" {
		return ""
	}
	return domain
}

func (p *program) domainCommands() *cobra.Command {
	return group("domain", "The tree of security domains that people, tokens, groups, agents and RADIUS clients belong to",
		p.domainAdd(), p.domainList(), p.domainShow(), p.domainEdit(), p.domainMove(), p.domainPut(), p.domainDelete())
}

func (p *program) domainAdd() *cobra.Command {
	var d client.NewDomain
	cmd := p.command("add NAME", "Add a security domain", 1, func(r run) error {
		d.Domain = r.args[0]
		added, err := r.server.AddDomain(r.ctx, d)
		if err != nil {
			return err
		}
		return p.result(map[string]string{"domain": added.Domain}, "added domain %s below %s", added.Domain, added.Parent)
	})
	cmd.Flags().StringVar(&d.Parent, "parent", "", "`domain` that it is below (default the top of what you see)")
	cmd.Flags().StringVar(&d.Note, "note", "", "`text` that says what it is for")
	return cmd
}

func (p *program) domainList() *cobra.Command {
	return p.command("list", "List the security domains, as a tree", 0, func(r run) error {
		domains, err := r.server.Domains(r.ctx)
		if err != nil {
			return err
		}
		rows := treeOf(domains)
		return tabulate(p, map[string]any{"domains": domains}, []string{"DOMAIN", "OWN POLICIES", "NOTE"}, rows, func(cells []string) []string { return cells })
	})
}

// treeOf lists domains, each below its parent and further in.
func treeOf(domains []client.Domain) (rows [][]string) {
	here := map[string]bool{}
	for _, d := range domains {
		here[d.Domain] = true
	}
	var grow func(parent string, depth int)
	grow = func(parent string, depth int) {
		for _, d := range domains {
			top := depth == 0 && !here[d.Parent]
			if top || depth > 0 && d.Parent == parent {
				rows = append(rows, []string{strings.Repeat("  ", depth) + d.Domain, ownPolicies(d), d.Note})
				grow(d.Domain, depth+1)
			}
		}
	}
	grow("", 0)
	return rows
}

// ownPolicies are the policies that a domain has of its own; the root, which has them all, needs no word.
func ownPolicies(d client.Domain) string {
	if d.Domain == "root" {
		return ""
	}
	return strings.Join(d.OwnPolicies, " ")
}

func (p *program) domainShow() *cobra.Command {
	return p.command("show NAME", "Show a security domain, and how many objects are in it", 1, func(r run) error {
		d, err := r.server.Domain(r.ctx, r.args[0])
		if err != nil || p.JSON {
			return p.unless(err, d)
		}
		o := d.Objects
		p.fields("domain", d.Domain, "below", d.Parent, "note", d.Note, "own policies", ownPolicies(d), "users", number(o.Users), "tokens", number(o.Tokens), "groups", number(o.Groups),
			"agents", number(o.Agents), "RADIUS clients", number(o.RADIUSClients), "API keys", number(o.APIKeys), "added", date(d.CreatedAt))
		return nil
	})
}

func (p *program) domainEdit() *cobra.Command {
	var note string
	cmd := p.command("edit NAME", "Change what is noted of a security domain", 1, nil)
	cmd.Flags().StringVar(&note, "note", "", "`text` that says what it is for")
	version := versionFlag(cmd, "the domain is")
	p.does(cmd, func(r run) error {
		return edits(p, r, "domain "+r.args[0], func() (client.Domain, error) {
			d, err := r.server.Domain(r.ctx, r.args[0])
			d.Objects = nil // what an edit answers does not count them
			return d, err
		}, func() (client.Domain, error) {
			return r.server.EditDomain(r.ctx, r.args[0], *version, client.DomainEdit{Note: given(cmd, "note", &note)})
		})
	})
	return cmd
}

func (p *program) domainMove() *cobra.Command {
	var parent string
	cmd := p.command("move NAME", "Move a security domain, with all that is below it", 1, func(r run) error {
		if parent == "" {
			return cli.Usagef("say below which: --parent DOMAIN")
		}
		d, err := r.server.EditDomain(r.ctx, r.args[0], 0, client.DomainEdit{Parent: &parent})
		if err != nil {
			return err
		}
		return p.result(d, "%s domain %s below %s", r.verb("moved", "move"), d.Domain, d.Parent)
	})
	cmd.Flags().StringVar(&parent, "parent", "", "`domain` that it is to be below; root for the top")
	return cmd
}

func (p *program) domainPut() *cobra.Command {
	var o client.DomainObjects
	var users, serials string
	cmd := p.command("put NAME", "Move people, tokens, groups, agents and RADIUS clients into a security domain, all or none", 1, nil)
	s := cmd.Flags()
	s.StringArrayVar(&o.Users, "user", nil, "`user`, with the tokens that she holds; may be repeated, as all of these")
	s.StringArrayVar(&o.Tokens, "token", nil, "`serial` of a token")
	s.StringArrayVar(&o.Groups, "group", nil, "`group`, without its members")
	s.StringArrayVar(&o.Agents, "agent", nil, "`agent`")
	s.StringArrayVar(&o.RADIUSClients, "radius", nil, "`RADIUS client`")
	s.StringVar(&users, "users", "", "`file` with a user ID in each line; - is standard input")
	s.StringVar(&serials, "tokens", "", "`file` with a serial number in each line; - is standard input")
	p.does(cmd, func(r run) error {
		if users == "-" && serials == "-" {
			return cli.Usagef("only one thing can come from standard input")
		}
		for _, more := range []struct {
			file string
			to   *[]string
		}{{users, &o.Users}, {serials, &o.Tokens}} {
			if more.file != "" {
				names, err := p.lines(more.file)
				if err != nil {
					return err
				}
				*more.to = append(*more.to, names...)
			}
		}
		o.Tokens = fullSerials(o.Tokens)
		if len(slices.Concat(o.Users, o.Tokens, o.Groups, o.Agents, o.RADIUSClients)) == 0 {
			return cli.Usagef("say what is to move: --user, --users, --token, --tokens, --group, --agent or --radius")
		}
		n, err := r.server.PutIntoDomain(r.ctx, r.args[0], o)
		if err != nil {
			return err
		}
		return p.result(n, "into %s: %s, %s, %s, %s, %s", r.args[0], counted(n.Users, "user"), counted(n.Tokens, "token"), counted(n.Groups, "group"),
			counted(n.Agents, "agent"), counted(n.RADIUSClients, "RADIUS client"))
	})
	return cmd
}

func (p *program) domainDelete() *cobra.Command {
	return p.deletion("delete NAME", "Delete a security domain that holds nothing", func(r run) error {
		return r.server.DeleteDomain(r.ctx, r.args[0])
	})
}
