package api

import (
	"context"
	"slices"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/internal/webhook"
)

// prunes tells whether what the configuration does not name is to go, and whether an object is such.
func (c *configuring) prunes(kind, name string) bool {
	return slices.Contains(c.in.Prune, kind) && !c.named[kind][name]
}

// pruneProfiles keeps those that tokens refer to, and those that RADIUS clients have attributes for.
func (c *configuring) pruneProfiles(ctx context.Context) error {
	all, err := c.Profiles.List(ctx)
	if err != nil {
		return err
	}
	clients, err := c.RADIUS.List(ctx)
	if err != nil {
		return err
	}
	answered := map[string]bool{}
	for _, r := range clients {
		for _, a := range r.Attributes {
			answered[a.Profile] = true
		}
	}
	for _, p := range all {
		if !c.prunes(kindProfiles, p.Name) {
			continue
		}
		users, err := c.Tokens.List(ctx, token.Filter{Profile: p.Name, Limit: 1})
		if err != nil {
			return err
		}
		if len(users) > 0 || answered[p.Name] {
			c.keep(kindProfiles, p.Name)
			continue
		}
		if err := c.step(c.Profiles.Delete(ctx, p.Name, ""), kindProfiles, p.Name, profileOf(p), nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) pruneDevices(ctx context.Context) error {
	catalog, err := c.Profiles.Catalog(ctx)
	if err != nil {
		return err
	}
	profiles, err := c.Profiles.List(ctx)
	if err != nil {
		return err
	}
	for _, d := range catalog.All() {
		if d.BuiltIn || !c.prunes(kindDevices, d.Name) {
			continue
		}
		if slices.ContainsFunc(profiles, func(p profile.Profile) bool { return p.DeviceType == d.Name }) {
			c.keep(kindDevices, d.Name)
			continue
		}
		if err := c.step(c.Profiles.DeleteDevice(ctx, d.Name), kindDevices, d.Name, deviceOf(d), nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) pruneRADIUSClients(ctx context.Context) error {
	all, err := c.RADIUS.List(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		if !c.prunes(kindRADIUS, r.Name) {
			continue
		}
		if err := c.step(c.RADIUS.Delete(ctx, r.Name), kindRADIUS, r.Name, radiusClientOf(r), nil); err != nil {
			return err
		}
	}
	return nil
}

// pruneDomains keeps those that hold something, and those that agents or RADIUS clients are limited to, or that reports are about which are made again and again.
func (c *configuring) pruneDomains(ctx context.Context) error {
	if !slices.Contains(c.in.Prune, kindDomains) {
		return nil
	}
	_, limits, err := c.limiting(ctx)
	if err != nil {
		return err
	}
	schedules, err := c.Reports.Schedules(ctx)
	if err != nil {
		return err
	}
	for _, s := range schedules {
		limits[s.Domain] = true
	}
	all, err := c.Domains.List(ctx)
	if err != nil {
		return err
	}
	parents := map[string]int{} // how many domains are right below
	for _, d := range all {
		parents[d.Parent]++
	}
	all = slices.DeleteFunc(all, func(d domain.Domain) bool { return !c.prunes(kindDomains, d.Name) })
	for len(all) > 0 { // what is below goes before what is above
		next := max(0, slices.IndexFunc(all, func(d domain.Domain) bool { return parents[d.Name] == 0 }))
		d := all[next]
		all = slices.Delete(all, next, next+1)
		_, counts, err := c.Domains.Get(ctx, d.Name)
		if err != nil {
			return err
		}
		held := parents[d.Name]
		for _, n := range counts {
			held += n
		}
		if held > 0 || limits[d.Name] {
			c.keep(kindDomains, d.Name)
			continue
		}
		parents[d.Parent]--
		if err := c.step(c.Domains.Delete(ctx, d.Name), kindDomains, d.Name, domainOf(ctx, d), nil); err != nil {
			return err
		}
	}
	return nil
}

// keep notes an object that would be pruned if it were not in use.
func (c *configuring) keep(kind, name string) {
	c.steps = append(c.steps, client.ConfigurationStep{Kind: kind, Name: name, Action: "keep", Changes: []client.ConfigurationChange{}})
}

// A found is an object that may be pruned.
type found struct {
	name   string
	shown  any
	inUse  bool
	delete func() error
}

// prune deletes the objects of a kind that the configuration does not name, but for those in use.
func (c *configuring) prune(kind string, all []found) error {
	for _, f := range all {
		switch {
		case !c.prunes(kind, f.name):
		case f.inUse:
			c.keep(kind, f.name)
		default:
			if err := c.step(f.delete(), kind, f.name, f.shown, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// pruneReportSchedules passes over those of reports that whoever applies may not have, as lists do.
func (c *configuring) pruneReportSchedules(ctx context.Context) error {
	all, err := c.Reports.Schedules(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s report.Schedule) bool { return s.Refuse(ctx) != nil })
	return c.prune(kindReportSchedules, mapped(all, func(s report.Schedule) found {
		return found{name: s.Name, shown: shownSchedule(s), delete: func() error { return c.Reports.DeleteSchedule(ctx, s.Name) }}
	}))
}

// pruneWebhooks keeps those that reports are posted to.
func (c *configuring) pruneWebhooks(ctx context.Context) error {
	all, err := c.Webhooks.List(ctx)
	if err != nil {
		return err
	}
	schedules, err := c.Reports.Schedules(ctx)
	if err != nil {
		return err
	}
	return c.prune(kindWebhooks, mapped(all, func(w webhook.Webhook) found {
		posted := slices.ContainsFunc(schedules, func(s report.Schedule) bool { return s.Order.Webhook == w.Name })
		return found{name: w.Name, shown: shownWebhook(w), inUse: posted, delete: func() error { return c.Webhooks.Delete(ctx, w.Name) }}
	}))
}

func (c *configuring) pruneMailTemplates(ctx context.Context) error {
	all, err := c.Mail.Templates(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t mail.Template) bool { return t.BuiltIn })
	return c.prune(kindMailTemplates, mapped(all, func(t mail.Template) found {
		return found{name: templateName(string(t.Event), t.Profile), shown: mailTemplateOf(t), delete: func() error { return c.Mail.ResetTemplate(ctx, t.Event, t.Profile) }}
	}))
}

// pruneDirectories keeps those that have brought people, who would be as if made by hand without them.
func (c *configuring) pruneDirectories(ctx context.Context) error {
	all, err := c.Directories.List(ctx)
	if err != nil {
		return err
	}
	var some []found
	for _, d := range all {
		people := 0
		if c.prunes(kindDirectories, d.Name) {
			if people, err = c.Directories.Brought(ctx, d.Name); err != nil {
				return err
			}
		}
		some = append(some, found{name: d.Name, shown: directoryOf(d), inUse: people > 0, delete: func() error { return c.Directories.Delete(ctx, d.Name) }})
	}
	return c.prune(kindDirectories, some)
}

// pruneAgents keeps those that have credentials: no key could be made again.
func (c *configuring) pruneAgents(ctx context.Context) error {
	all, err := c.Agents.List(ctx)
	if err != nil {
		return err
	}
	var some []found
	for _, a := range all {
		credentials, err := c.Agents.Credentials(ctx, a.Name)
		if err != nil {
			return err
		}
		some = append(some, found{name: a.Name, shown: agentOf(a), inUse: len(credentials) > 0, delete: func() error { return c.Agents.Delete(ctx, a.Name) }})
	}
	return c.prune(kindAgents, some)
}

// pruneGroups keeps those with members, and those that agents or RADIUS clients are limited to.
func (c *configuring) pruneGroups(ctx context.Context) error {
	if !slices.Contains(c.in.Prune, kindGroups) {
		return nil
	}
	all, err := c.Groups.List(ctx, user.GroupFilter{})
	if err != nil {
		return err
	}
	limited, _, err := c.limiting(ctx)
	if err != nil {
		return err
	}
	return c.prune(kindGroups, mapped(all, func(g user.Group) found {
		return found{name: g.Name, shown: groupOf(g), inUse: g.Members > 0 || limited[g.Name], delete: func() error { return c.Groups.Delete(ctx, g.Name) }}
	}))
}

// limiting are the groups and the domains that agents and RADIUS clients are limited to.
func (c *configuring) limiting(ctx context.Context) (groups, domains map[string]bool, err error) {
	groups, domains = map[string]bool{}, map[string]bool{}
	agents, err := c.Agents.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	clients, err := c.RADIUS.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range agents {
		mark(groups, a.Restriction.Groups)
		domains[a.Restriction.UserDomain] = true
	}
	for _, r := range clients {
		mark(groups, r.Restriction.Groups)
		domains[r.Restriction.UserDomain] = true
	}
	return groups, domains, nil
}

// mark puts names into a set.
func mark(set map[string]bool, names []string) {
	for _, name := range names {
		set[name] = true
	}
}
