package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

func agentOf(a access.Agent) client.Agent {
	return client.Agent{
		Agent: a.Name, Retry: a.Retry, DisplayName: a.DisplayName, HMAC: string(a.HMAC), Note: a.Note, CreatedAt: a.CreatedAt, Version: a.Version, Domain: domain.Show(a.Domain),
		Methods: a.Methods, AlsoNamedBy: allOf(a.AlsoNamedBy), AllowedUsers: allOf(a.Restriction.Users), AllowedGroups: allOf(a.Restriction.Groups), AllowedDomain: a.Restriction.UserDomain,
		Networks: mapped(a.Networks, func(n netip.Prefix) string { return n.String() }),
	}
}

// allOf is a list that is written as [] if there is nothing in it.
func allOf(texts []string) []string { return append([]string{}, texts...) }

// restrict changes what an edit says of a restriction.
func restrict(r *access.Restriction, users, groups *[]string, within *string) {
	set(&r.Users, users)
	set(&r.Groups, groups)
	if within != nil {
		r.UserDomain = domain.Parse(*within)
	}
}

// networksOf reads addresses and networks.
func networksOf(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			addr = addr.Unmap() // as agents' own addresses are
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s is no address and no network: write 192.0.2.7 or 192.0.2.0/24", shown(text))
		}
		if n.Addr().Is4In6() {
			return nil, fault.New(fault.Invalid, "write the network %s as one of IPv4, such as 192.0.2.0/24: no address is in it", shown(text))
		}
		all = append(all, n)
	}
	return all, nil
}

func (a *API) addAgent(ctx context.Context, _ *request, in client.NewAgent) (answer, error) {
	ctx, err := a.making(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	networks, err := networksOf(in.Networks)
	if err != nil {
		return answer{}, err
	}
	added, err := a.Agents.Add(ctx, access.Agent{
		Name: in.Agent, Retry: in.Retry, DisplayName: in.DisplayName, HMAC: access.HMACMode(in.HMAC), Networks: networks, Methods: in.Methods, AlsoNamedBy: in.AlsoNamedBy, Note: in.Note,
		Restriction: access.Restriction{Users: in.AllowedUsers, Groups: in.AllowedGroups, UserDomain: domain.Parse(in.AllowedDomain)},
	})
	if err != nil {
		return answer{}, err
	}
	return created(at("agents", added.Name), added.Version, agentOf(added))
}

func (a *API) listAgents(ctx context.Context, _ *request) (answer, error) {
	agents, err := a.Agents.List(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.AgentList{Agents: mapped(agents, agentOf)})
}

func (a *API) showAgent(ctx context.Context, r *request) (answer, error) {
	found, err := a.Agents.Get(ctx, r.PathValue("agent"))
	return record(found, found.Version, agentOf, err)
}

// agentEdit is an edit in the words of the domain.
func agentEdit(in client.AgentEdit) (func(*access.Agent), error) {
	var networks []netip.Prefix
	if in.Networks != nil {
		var err error
		if networks, err = networksOf(*in.Networks); err != nil {
			return nil, err
		}
	}
	return func(a *access.Agent) {
		set(&a.Retry, in.Retry)
		set(&a.DisplayName, in.DisplayName)
		set(&a.HMAC, (*access.HMACMode)(in.HMAC))
		set(&a.Note, in.Note)
		set(&a.Methods, in.Methods)
		set(&a.AlsoNamedBy, in.AlsoNamedBy)
		restrict(&a.Restriction, in.AllowedUsers, in.AllowedGroups, in.AllowedDomain)
		if in.Networks != nil {
			a.Networks = networks
		}
	}, nil
}

func (a *API) editAgent(ctx context.Context, r *request, in client.AgentEdit) (answer, error) {
	change, err := agentEdit(in)
	if err != nil {
		return answer{}, err
	}
	edited, err := a.Agents.Edit(ctx, r.PathValue("agent"), r.version, change)
	return record(edited, edited.Version, agentOf, err)
}

func (a *API) deleteAgent(ctx context.Context, r *request) (answer, error) {
	return done(a.Agents.Delete(ctx, r.PathValue("agent")))
}

func credentialOf(c access.Credential) client.AgentCredential {
	return client.AgentCredential{
		AccessID: c.ID, Agent: c.Agent, Deprecated: c.Deprecated, HMAC: c.Signs(), Note: c.Note, CreatedAt: c.CreatedAt, ExpiresAt: moment(c.ExpiresAt),
	}
}

func (a *API) addCredential(ctx context.Context, r *request, in client.NewAgentCredential) (answer, error) {
	c, key, err := a.Agents.AddCredential(ctx, r.PathValue("agent"), in.Note, time.Duration(in.LifeSeconds)*time.Second)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusCreated, client.CreatedAgentCredential{AgentCredential: credentialOf(c), AccessKey: client.Secret(key)})
}

func (a *API) listCredentials(ctx context.Context, r *request) (answer, error) {
	all, err := a.Agents.Credentials(ctx, r.PathValue("agent"))
	if err != nil {
		return answer{}, err
	}
	return ok(client.AgentCredentialList{Credentials: mapped(all, credentialOf)})
}

func (a *API) editCredential(ctx context.Context, r *request, in client.AgentCredentialEdit) (answer, error) {
	c, err := a.Agents.EditCredential(ctx, r.PathValue("access_id"), func(c *access.Credential) {
		set(&c.Deprecated, in.Deprecated)
		set(&c.Note, in.Note)
	})
	if err != nil {
		return answer{}, err
	}
	return ok(credentialOf(c))
}

func (a *API) deleteCredential(ctx context.Context, r *request) (answer, error) {
	return done(a.Agents.DeleteCredential(ctx, r.PathValue("access_id")))
}
