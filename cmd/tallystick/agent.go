package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) agentCommands() *cobra.Command {
	return group("agent", "The programs that ask through the SecurID Authentication API",
		p.agentAdd(), p.agentList(), p.agentShow(), p.agentEdit(), p.agentDelete(), p.agentCredentialCommands())
}

// agentFlags are the settings of an agent.
type agentFlags struct {
	retry                   bool
	displayName, hmac, note string
	networks, methods, also []string
	allowed                 allowedFlags
}

// allowedFlags are whom an agent or a RADIUS client may ask about.
type allowedFlags struct {
	users, groups []string
	domain        string
}

func (f *allowedFlags) on(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringSliceVar(&f.users, "allow-user", nil, "`ID` of a user that it may ask about; may be given several times (default all users)")
	s.StringSliceVar(&f.groups, "allow-group", nil, "`group` whose members it may ask about; may be given several times")
	s.StringVar(&f.domain, "allow-domain", "", "security `domain` that the users must be in, or below (default everywhere below its own)")
}

// refuseEmpty refuses to add what is limited to nothing, as a script with an unset variable does: it would be limited by nothing.
func refuseEmpty(cmd *cobra.Command, _ []string) error {
	for _, name := range []string{"allow-user", "allow-group", "allow-domain", "network"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && strings.Trim(f.Value.String(), "[]") == "" {
			return cli.Usagef("--%s is empty: leave it out where there is to be no such limit", name)
		}
	}
	return nil
}

// noteStrangers warns of users who are named and not there, as they may be: they may come later. An ID that is misspelled shuts out who was meant.
func (f allowedFlags) noteStrangers(p *program, r run) {
	for _, id := range f.users {
		_, err := r.server.User(r.ctx, id)
		if refused := new(client.Error); errors.As(err, &refused) && refused.Code == string(fault.UserNotFound) {
			p.Note(fmt.Sprintf("warning: there is no user %q yet: 'tallystick user list' shows the users", id))
		}
	}
}

// lines are the restriction for people.
func (f allowedFlags) lines() []string {
	return []string{"allowed users", strings.Join(f.users, " "), "allowed groups", strings.Join(f.groups, ", "), "allowed domain", f.domain}
}

// listed is what of a list is to be changed: an empty flag takes all away.
func listed(cmd *cobra.Command, name string, values []string) *[]string {
	if values == nil {
		values = []string{}
	}
	return given(cmd, name, &values)
}

func (f *agentFlags) on(cmd *cobra.Command) {
	s := cmd.Flags()
	s.BoolVar(&f.retry, "retry", false, "a wrong passcode leaves the attempt open for another one")
	s.StringVar(&f.displayName, "display-name", "", "`name` of the method SECURID, for agents that show it (default none)")
	s.StringVar(&f.hmac, "hmac", "off", "signed requests: off, allowed or required")
	s.StringSliceVar(&f.networks, "network", nil, "`network` that it may ask from, such as 192.0.2.0/24; may be given several times (default all)")
	s.StringSliceVar(&f.methods, "passcode-method", []string{"SECURID"}, "`method` that it may send passcodes by: SECURID, TOKEN or EMERGENCY_TOKENCODE; may be given several times")
	s.StringSliceVar(&f.also, "also-named-by", nil, "what users may be named by beside their IDs: `mail` (default nothing)")
	f.allowed.on(cmd)
	s.StringVar(&f.note, "note", "", "`text` for administrators")
}

func (p *program) agentAdd() *cobra.Command {
	var f agentFlags
	var domain string
	cmd := p.command("add NAME", "Add an agent; NAME is what it gives as clientId", 1, func(r run) error {
		added, err := r.server.AddAgent(r.ctx, client.NewAgent{
			Agent: r.args[0], Domain: domain, Retry: f.retry, DisplayName: f.displayName, HMAC: f.hmac, Networks: f.networks, Methods: f.methods, AlsoNamedBy: f.also, Note: f.note,
			AllowedUsers: f.allowed.users, AllowedGroups: f.allowed.groups, AllowedDomain: f.allowed.domain,
		})
		if err != nil {
			return err
		}
		f.allowed.noteStrangers(p, r)
		return p.result(added, "added agent %s: 'tallystick agent credential add' makes its access ID and key", added.Agent)
	})
	domainFlag(cmd, &domain)
	f.on(cmd)
	cmd.PreRunE = refuseEmpty
	return cmd
}

func (p *program) agentList() *cobra.Command {
	return p.command("list", "List the agents", 0, func(r run) error {
		agents, err := r.server.Agents(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, client.AgentList{Agents: agents}, []string{"AGENT", "HMAC", "RETRY", "NETWORKS"}, agents, func(a client.Agent) []string {
			return []string{a.Agent, a.HMAC, yesNo(a.Retry), strings.Join(a.Networks, " ")}
		})
	})
}

func (p *program) agentShow() *cobra.Command {
	return p.command("show NAME", "Show an agent and its credentials", 1, func(r run) error {
		a, err := r.server.Agent(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		credentials, err := r.server.AgentCredentials(r.ctx, a.Agent)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(struct {
				client.Agent
				Credentials []client.AgentCredential `json:"credentials"`
			}{a, credentials})
		}
		p.fields("agent", a.Agent, "display name", a.DisplayName, "retry", yesNo(a.Retry), "hmac", a.HMAC, "networks", strings.Join(a.Networks, " "),
			"methods", strings.Join(a.Methods, " "), "also named by", strings.Join(a.AlsoNamedBy, " "), "domain", unlessRoot(a.Domain))
		p.fields(allowedFlags{a.AllowedUsers, a.AllowedGroups, a.AllowedDomain}.lines()...)
		p.fields("note", a.Note, "added", date(&a.CreatedAt))
		for _, c := range credentials {
			p.fields("access id", c.AccessID)
		}
		return nil
	})
}

// noteUnsigned warns where an agent has to sign and has no credential that can: what worked until now is refused.
func (f *agentFlags) noteUnsigned(p *program, r run) {
	if f.hmac != "required" {
		return
	}
	all, err := r.server.AgentCredentials(r.ctx, r.args[0])
	if err == nil && !slices.ContainsFunc(all, func(c client.AgentCredential) bool { return c.HMAC }) {
		p.Note("warning: none of the agent's credentials can sign, so that it is refused: make one that can with 'agent credential add'; until the agent has it, '--hmac allowed' takes the others")
	}
}

func (p *program) agentEdit() *cobra.Command {
	var f agentFlags
	cmd := p.command("edit NAME", "Change an agent", 1, nil)
	f.on(cmd)
	version := versionFlag(cmd, "the agent is")
	p.does(cmd, func(r run) error {
		return edits(p, r, "agent "+r.args[0], func() (client.Agent, error) { return r.server.Agent(r.ctx, r.args[0]) }, func() (client.Agent, error) {
			f.allowed.noteStrangers(p, r)
			f.noteUnsigned(p, r)
			return r.server.EditAgent(r.ctx, r.args[0], *version, client.AgentEdit{
				Retry: given(cmd, "retry", &f.retry), DisplayName: given(cmd, "display-name", &f.displayName), HMAC: given(cmd, "hmac", &f.hmac),
				Networks: listed(cmd, "network", f.networks), Methods: given(cmd, "passcode-method", &f.methods), AlsoNamedBy: listed(cmd, "also-named-by", f.also),
				AllowedUsers: listed(cmd, "allow-user", f.allowed.users), AllowedGroups: listed(cmd, "allow-group", f.allowed.groups),
				AllowedDomain: given(cmd, "allow-domain", &f.allowed.domain), Note: given(cmd, "note", &f.note),
			})
		})
	})
	return cmd
}

func (p *program) agentDelete() *cobra.Command {
	return p.deletion("delete NAME", "Delete an agent and its credentials", func(r run) error { return r.server.DeleteAgent(r.ctx, r.args[0]) })
}

func (p *program) agentCredentialCommands() *cobra.Command {
	return group("credential", "What agents prove themselves with",
		p.credentialAdd(), p.credentialList(), p.credentialEdit(), p.credentialDeprecate(),
		p.deletion("delete ACCESS-ID", "Make a credential useless", func(r run) error { return r.server.DeleteAgentCredential(r.ctx, r.args[0]) }))
}

func (p *program) credentialAdd() *cobra.Command {
	var n client.NewAgentCredential
	var life time.Duration
	var out string
	cmd := p.command("add AGENT", "Make an access ID and an access key; the key is shown this once", 1, func(r run) error {
		file, err := openOut(out)
		if err != nil {
			return err
		}
		defer file.drop()
		n.LifeSeconds = seconds(life)
		c, err := r.server.AddAgentCredential(r.ctx, r.args[0], n)
		if err != nil {
			return err
		}
		if file != nil {
			if err := file.write([]byte(string(c.AccessKey) + "\n")); err != nil {
				return fmt.Errorf("the credential was made and its key could not be kept (%w): delete it and make another", err)
			}
			return p.result(c.AgentCredential, "access ID   %s\naccess key  in %s", c.AccessID, out)
		}
		return p.result(map[string]string{"access_id": c.AccessID, "agent": c.Agent, "access_key": string(c.AccessKey)},
			"access ID   %s\naccess key  %s", c.AccessID, string(c.AccessKey))
	})
	cmd.Flags().StringVar(&n.Note, "note", "", "`text` for administrators")
	lifeFlag(cmd.Flags(), &life, "life", 0, "how long it works, such as 365d (default for ever)")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write the access key to, instead of showing it")
	return cmd
}

func (p *program) credentialList() *cobra.Command {
	return p.command("list AGENT", "List the credentials of an agent", 1, func(r run) error {
		all, err := r.server.AgentCredentials(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		head := []string{"ACCESS ID", "DEPRECATED", "HMAC", "MADE", "EXPIRES", "NOTE"}
		return tabulate(p, client.AgentCredentialList{Credentials: all}, head, all, func(c client.AgentCredential) []string {
			return []string{c.AccessID, yesNo(c.Deprecated), yesNo(c.HMAC), date(&c.CreatedAt), date(c.ExpiresAt), c.Note}
		})
	})
}

func (p *program) credentialEdit() *cobra.Command {
	var deprecated bool
	var note string
	cmd := p.command("edit ACCESS-ID", "Change a credential", 1, nil)
	cmd.Flags().BoolVar(&deprecated, "deprecated", true, "whether each use is warned about")
	cmd.Flags().StringVar(&note, "note", "", "`text` for administrators")
	p.does(cmd, func(r run) error {
		c, err := r.server.EditAgentCredential(r.ctx, r.args[0], client.AgentCredentialEdit{
			Deprecated: given(cmd, "deprecated", &deprecated), Note: given(cmd, "note", &note),
		})
		if err != nil {
			return err
		}
		return p.result(c, "%s the credential of agent %s", r.verb("changed", "change"), c.Agent)
	})
	return cmd
}

func (p *program) credentialDeprecate() *cobra.Command {
	return p.command("deprecate ACCESS-ID", "Warn about each use of a credential; 'credential edit --deprecated=false' undoes it", 1, func(r run) error {
		yes := true
		c, err := r.server.EditAgentCredential(r.ctx, r.args[0], client.AgentCredentialEdit{Deprecated: &yes})
		if err != nil {
			return err
		}
		return p.result(c, "%s the credential of agent %s: it works on, and each use is warned about", r.verb("deprecated", "deprecate"), c.Agent)
	})
}
