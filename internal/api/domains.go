package api

import (
	"context"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
)

// domainOf shows a domain, and the one above it as the caller may know that.
func domainOf(ctx context.Context, d domain.Domain) client.Domain {
	out := client.Domain{Domain: domain.Show(d.Name), Note: d.Note, Version: d.Version, CreatedAt: moment(d.CreatedAt)}
	if d.Name != domain.Root {
		out.Parent = whose(ctx, d.Parent)
	}
	return out
}

func (a *API) addDomain(ctx context.Context, _ *request, in client.NewDomain) (answer, error) {
	parent := domain.Parse(in.Parent)
	if in.Parent == "" {
		parent = domain.ScopeFrom(ctx).Top()
	}
	d, err := a.Domains.Add(ctx, in.Domain, parent, in.Note)
	if err != nil {
		return answer{}, err
	}
	return created(at("domains", d.Name), d.Version, domainOf(ctx, d))
}

func (a *API) listDomains(ctx context.Context, _ *request) (answer, error) {
	all, err := a.Domains.List(ctx)
	if err != nil {
		return answer{}, err
	}
	policies, err := a.Policies.Get(ctx)
	if err != nil {
		return answer{}, err
	}
	if !domain.ScopeFrom(ctx).Limited() {
		all = append([]domain.Domain{{Version: 1}}, all...)
	}
	return ok(client.DomainList{Domains: mapped(all, func(d domain.Domain) client.Domain {
		out := domainOf(ctx, d)
		out.OwnPolicies = policies.Own(d.Name)
		return out
	})})
}

func (a *API) showDomain(ctx context.Context, r *request) (answer, error) {
	d, counts, err := a.Domains.Get(ctx, domain.Parse(r.PathValue("domain")))
	if err != nil {
		return answer{}, err
	}
	policies, err := a.Policies.Get(ctx)
	if err != nil {
		return answer{}, err
	}
	out := domainOf(ctx, d)
	out.OwnPolicies = policies.Own(d.Name)
	out.Objects = &client.ObjectCounts{
		Users: counts[domain.Users], Tokens: counts[domain.Tokens], Groups: counts[domain.Groups], Agents: counts[domain.Agents],
		RADIUSClients: counts[domain.RADIUSClients], APIKeys: counts[domain.APIKeys],
	}
	return versioned(http.StatusOK, d.Version, out)
}

// domainEdit is an edit in the words of the domain.
func domainEdit(in client.DomainEdit) func(*domain.Domain) {
	return func(d *domain.Domain) {
		if in.Parent != nil {
			d.Parent = domain.Parse(*in.Parent)
		}
		set(&d.Note, in.Note)
	}
}

func (a *API) editDomain(ctx context.Context, r *request, in client.DomainEdit) (answer, error) {
	d, err := a.Domains.Edit(ctx, domain.Parse(r.PathValue("domain")), r.version, domainEdit(in))
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, d.Version, domainOf(ctx, d))
}

func (a *API) deleteDomain(ctx context.Context, r *request) (answer, error) {
	return done(a.Domains.Delete(ctx, domain.Parse(r.PathValue("domain"))))
}

func (a *API) putObjects(ctx context.Context, r *request, in client.DomainObjects) (answer, error) {
	moved, err := a.Domains.Put(ctx, domain.Parse(r.PathValue("domain")), map[domain.Kind][]string{
		domain.Users: in.Users, domain.Tokens: in.Tokens, domain.Groups: in.Groups, domain.Agents: in.Agents, domain.RADIUSClients: in.RADIUSClients,
	})
	if err != nil {
		return answer{}, err
	}
	return ok(client.ObjectCounts{Users: moved[domain.Users], Tokens: moved[domain.Tokens], Groups: moved[domain.Groups], Agents: moved[domain.Agents],
		RADIUSClients: moved[domain.RADIUSClients]})
}
