package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
)

// Kinds of what a configuration holds, under the names of its members.
const (
	kindDevices       = "devices"
	kindTokenPolicy   = "token_policy"
	kindLockoutPolicy = "lockout_policy"
	kindSettings      = "settings"
	kindProfiles      = "profiles"
	kindRADIUS        = "radius_clients"
	kindDomains       = "domains"

	kindGroups          = "groups"
	kindAgents          = "agents"
	kindDirectories     = "directories"
	kindMailSettings    = "mail_settings"
	kindMailTemplates   = "mail_templates"
	kindWebhooks        = "webhooks"
	kindReportSchedules = "report_schedules"
)

// configure makes the deployment what a configuration says: each object by the edit that its own route would make, all in one
// transaction, in an order in which everything that is needed is there already. An object that is so already is not touched.
func (a *API) configure(ctx context.Context, _ *request, in client.Configuration) (answer, error) {
	if err := mayConfigure(access.Role(audit.ActorFrom(ctx).Role), in); err != nil {
		return answer{}, err
	}
	var plan client.ConfigurationPlan
	err := a.Store.Transact(ctx, func(ctx context.Context) (err error) {
		c := &configuring{API: a, in: in}
		if err := c.run(ctx); err != nil {
			return err
		}
		plan, err = c.plan()
		if err == nil && in.Expect != "" && in.Expect != plan.Digest {
			err = fault.New(fault.Conflict, "the server changed since this was planned: look at the plan again")
		}
		return err
	})
	if err != nil {
		return answer{}, err
	}
	// Those who keep a copy may have made it before the transaction ended.
	a.Profiles.Devices.Forget()
	a.Policies.Forget()
	return ok(plan)
}

// mayConfigure refuses a configuration with something in it that the role may not change.
func mayConfigure(role access.Role, in client.Configuration) error {
	prunes := func(kind string) bool { return slices.Contains(in.Prune, kind) }
	for _, part := range []struct {
		there bool
		need  access.Right
	}{
		{len(in.Devices) > 0 || len(in.Profiles) > 0 || prunes(kindDevices) || prunes(kindProfiles), access.ManageProfiles},
		{in.TokenPolicy != nil || in.LockoutPolicy != nil || in.Settings != nil || slices.ContainsFunc(in.Domains, governed), access.ManagePolicies},
		{len(in.RADIUSClients) > 0 || prunes(kindRADIUS) || len(in.Agents) > 0 || prunes(kindAgents), access.ManageAgents},
		{len(in.Domains) > 0 || prunes(kindDomains) || placed(in), access.ManageDomains},
		{len(in.Groups) > 0 || prunes(kindGroups), access.ManageUsers},
		{len(in.Directories) > 0 || prunes(kindDirectories), access.ManageSources},
		{in.MailSettings != nil || len(in.MailTemplates) > 0 || prunes(kindMailTemplates), access.ManageMail},
		{len(in.Webhooks) > 0 || prunes(kindWebhooks), access.ManageWebhooks},
		{len(in.ReportSchedules) > 0 || prunes(kindReportSchedules), access.ManageReports},
	} {
		if part.there && !role.May(part.need) {
			return role.Refuse(part.need)
		}
	}
	return nil
}

// placed tells whether something is to be in a certain domain.
func placed(in client.Configuration) bool {
	return slices.ContainsFunc(in.RADIUSClients, func(c client.ConfiguredRADIUSClient) bool { return c.Domain != "" }) ||
		slices.ContainsFunc(in.Agents, func(a client.ConfiguredAgent) bool { return a.Domain != "" }) ||
		slices.ContainsFunc(in.Groups, func(g client.ConfiguredGroup) bool { return g.Domain != "" })
}

// governed tells whether a domain is to have certain policies.
func governed(d client.ConfiguredDomain) bool {
	return d.TokenPolicy != nil || d.LockoutPolicy != nil || len(d.Inherit) > 0
}

// A configuring is a configuration on its way into the database.
type configuring struct {
	*API
	in    client.Configuration
	steps []client.ConfigurationStep
	named map[string]map[string]bool // what the configuration names, by kind
	// leftWebhooks are those that are to hear of no more reports.
	leftWebhooks []client.ConfiguredWebhook
}

func (c *configuring) run(ctx context.Context) error {
	c.named = map[string]map[string]bool{}
	// One configuration at a time, and none beside an edit of definitions or profiles, which locks the same first: they would wait for each other in a ring.
	if _, err := c.Profiles.Catalog(ctx); err != nil {
		return err
	}
	for _, do := range []func(context.Context) error{
		c.settings, c.devices, c.profiles, c.domains, c.domainPolicies, c.groups, c.radiusClients, c.agents, c.directories, c.mailSettings, c.mailTemplates, c.webhooks, c.reportSchedules,
		c.pruneReportSchedules, c.afterSchedules, c.pruneWebhooks, c.pruneMailTemplates, c.pruneDirectories, c.pruneAgents, c.pruneRADIUSClients, c.pruneGroups,
		c.pruneProfiles, c.pruneDevices, c.pruneDomains,
	} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// kindWords are the kinds in words.
var kindWords = map[string]string{
	kindDevices: "device type", kindTokenPolicy: "token policy", kindLockoutPolicy: "lockout policy", kindSettings: "settings",
	kindProfiles: "profile", kindRADIUS: "RADIUS client", kindDomains: "security domain", kindGroups: "group", kindAgents: "agent",
	kindDirectories: "directory", kindMailSettings: "mail settings", kindMailTemplates: "mail template", kindWebhooks: "webhook", kindReportSchedules: "report schedule",
}

// about adds to a refusal what it is about.
func about(err error, kind, name string) error {
	if fault.CodeOf(err) == "" {
		return err
	}
	var told *fault.Error
	if err = fault.Wrap(err, "%s", strings.TrimSpace(kindWords[kind]+" "+name)); errors.As(err, &told) {
		details := maps.Clone(told.Details)
		return (&fault.Error{Code: told.Code, Message: told.Message, Details: details}).With("kind", kind).With("name", name)
	}
	return err
}

// names notes that the configuration names an object, which it may do once.
func (c *configuring) names(kind, name string) error {
	if c.named[kind][name] {
		return about(fault.New(fault.Invalid, "it is in the configuration twice"), kind, name)
	}
	if c.named[kind] == nil {
		c.named[kind] = map[string]bool{}
	}
	c.named[kind][name] = true
	return nil
}

// settings are what there is one of.
func (c *configuring) settings(ctx context.Context) error {
	before, err := c.Policies.Get(ctx)
	if err != nil {
		return err
	}
	if in := c.in.TokenPolicy; in != nil {
		after, err := c.Policies.EditToken(ctx, 0, tokenPolicyEdit(*in))
		if err := c.step(err, kindTokenPolicy, "", tokenPolicyOf(ctx, before.Token(domain.Root)), tokenPolicyOf(ctx, after)); err != nil {
			return err
		}
	}
	if in := c.in.LockoutPolicy; in != nil {
		after, err := c.Policies.EditLockout(ctx, 0, lockoutPolicyEdit(*in))
		if err := c.step(err, kindLockoutPolicy, "", lockoutPolicyOf(ctx, before.Lockout(domain.Root)), lockoutPolicyOf(ctx, after)); err != nil {
			return err
		}
	}
	if in := c.in.Settings; in != nil {
		var after policy.Settings
		after, err = c.Policies.EditSettings(ctx, 0, settingsEdit(*in))
		return c.step(err, kindSettings, "", settingsOf(before.Settings), settingsOf(after))
	}
	return nil
}

func (c *configuring) devices(ctx context.Context) error {
	for n, file := range c.in.Devices {
		content, err := device.Parse(file)
		if err != nil {
			return about(err, kindDevices, fmt.Sprintf("#%d", n))
		}
		for _, d := range content.Definitions {
			if err := c.device(ctx, d); err != nil {
				return inFile(err, n)
			}
		}
	}
	return nil
}

// inFile adds to a refusal of a definition which of the files it is in: a configuration that names a file does not know what that defines.
func inFile(err error, n int) error {
	var told *fault.Error
	if errors.As(err, &told) {
		return told.With("member", fmt.Sprintf("%s/#%d", kindDevices, n))
	}
	return err
}

func (c *configuring) device(ctx context.Context, d device.Definition) error {
	catalog, err := c.Profiles.Catalog(ctx)
	if err != nil {
		return err
	}
	here, replaces := catalog.Exactly(d.Name)
	if replaces {
		d.Name = here.Name
	}
	if err := c.names(kindDevices, d.Name); err != nil {
		return err
	}
	var before any
	if replaces {
		before = deviceOf(here)
		if changes, err := differences(before, deviceOf(d)); err != nil || len(changes) == 0 {
			return c.step(err, kindDevices, d.Name, before, before)
		}
	}
	_, err = c.Profiles.AddDevices(ctx, []device.Definition{d}, false)
	return c.step(err, kindDevices, d.Name, before, deviceOf(d))
}

func (c *configuring) profiles(ctx context.Context) error {
	for _, in := range c.in.Profiles {
		if err := c.names(kindProfiles, in.Profile); err != nil {
			return err
		}
		var edit client.ProfileEdit
		if in.Set != nil {
			edit = *in.Set
		}
		var before any
		var after profile.Profile
		here, err := c.Profiles.Get(ctx, in.Profile)
		switch {
		case err == nil:
			before = profileOf(here)
			after, err = c.Profiles.Edit(ctx, in.Profile, 0, profileEdit(edit))
		case errors.Is(err, fault.ProfileNotFound):
			p := profile.Profile{Name: in.Profile, Grace: -1}
			profileEdit(edit)(&p)
			after, err = c.Profiles.Add(ctx, p)
		}
		if err := c.step(err, kindProfiles, in.Profile, before, profileOf(after)); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) radiusClients(ctx context.Context) error {
	for _, in := range c.in.RADIUSClients {
		if err := c.names(kindRADIUS, in.RADIUSClient); err != nil {
			return err
		}
		if err := c.radiusClient(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) radiusClient(ctx context.Context, in client.ConfiguredRADIUSClient) error {
	var edit client.RADIUSClientEdit
	if in.Set != nil {
		edit = *in.Set
	}
	change, err := radiusClientEdit(edit)
	if err != nil {
		return about(err, kindRADIUS, in.RADIUSClient)
	}
	here, err := c.RADIUS.Get(ctx, in.RADIUSClient)
	if errors.Is(err, fault.NotFound) {
		n, secret := access.RADIUSClient{Name: in.RADIUSClient, Challenges: true}, ""
		change(&n)
		if edit.Secret != nil {
			secret = string(*edit.Secret)
		}
		if ctx, err = c.making(ctx, in.Domain); err != nil {
			return about(err, kindRADIUS, in.RADIUSClient)
		}
		after, err := c.RADIUS.Add(ctx, n, secret)
		return c.step(err, kindRADIUS, in.RADIUSClient, nil, radiusClientOf(after))
	}
	if err != nil {
		return err
	}
	var after access.RADIUSClient
	// It moves first: whom it may ask about is to fit where it will be.
	if _, err = c.moves(ctx, domain.RADIUSClients, in.RADIUSClient, here.Domain, in.Domain); err == nil {
		after, err = c.RADIUS.Edit(ctx, in.RADIUSClient, 0, (*string)(edit.Secret), change)
	}
	if err := c.step(err, kindRADIUS, in.RADIUSClient, radiusClientOf(here), radiusClientOf(after)); err != nil {
		return err
	}
	if edit.Secret != nil && !bytes.Equal(here.Secret.Blob, after.Secret.Blob) { // sealed: it was replaced by another
		c.hidden("secret")
	}
	return nil
}

// domains come parents first, in whatever order the configuration has them.
func (c *configuring) domains(ctx context.Context) error {
	todo := slices.Clone(c.in.Domains)
	for _, in := range todo {
		if err := c.names(kindDomains, in.Domain); err != nil {
			return err
		}
	}
	waits := func(in client.ConfiguredDomain) bool { // for its parent, which is among those that are still to be made
		return in.Set != nil && in.Set.Parent != nil && slices.ContainsFunc(todo, func(d client.ConfiguredDomain) bool { return d.Domain == *in.Set.Parent })
	}
	for len(todo) > 0 {
		next := max(0, slices.IndexFunc(todo, func(d client.ConfiguredDomain) bool { return !waits(d) })) // a ring is refused where it begins
		in := todo[next]
		todo = slices.Delete(todo, next, next+1)
		if err := c.domain(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) domain(ctx context.Context, in client.ConfiguredDomain) error {
	var edit client.DomainEdit
	if in.Set != nil {
		edit = *in.Set
	}
	here, _, err := c.Domains.Get(ctx, domain.Parse(in.Domain))
	if errors.Is(err, fault.DomainNotFound) {
		var d domain.Domain
		domainEdit(edit)(&d)
		after, err := c.Domains.Add(ctx, in.Domain, d.Parent, d.Note)
		return c.step(err, kindDomains, in.Domain, nil, domainOf(ctx, after))
	}
	if err != nil {
		return err
	}
	after, err := c.Domains.Edit(ctx, here.Name, 0, domainEdit(edit))
	return c.step(err, kindDomains, in.Domain, domainOf(ctx, here), domainOf(ctx, after))
}

// domainPolicies come after all domains are where they belong, from the top down: a domain's own policy begins as what holds there.
func (c *configuring) domainPolicies(ctx context.Context) error {
	todo := slices.DeleteFunc(slices.Clone(c.in.Domains), func(d client.ConfiguredDomain) bool { return !governed(d) })
	if len(todo) == 0 {
		return nil
	}
	all, err := c.Domains.List(ctx)
	if err != nil {
		return err
	}
	depth := domain.Depths(all)
	slices.SortStableFunc(todo, func(a, b client.ConfiguredDomain) int { return cmp.Compare(depth[a.Domain], depth[b.Domain]) })
	for _, in := range todo {
		if err := c.governs(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// governs gives a domain the policies that a configuration says.
func (c *configuring) governs(ctx context.Context, in client.ConfiguredDomain) error {
	at := domain.Parse(in.Domain)
	if in.TokenPolicy != nil && slices.Contains(in.Inherit, "token") || in.LockoutPolicy != nil && slices.Contains(in.Inherit, "lockout") {
		return about(fault.New(fault.Invalid, "a policy is either its own or inherited"), kindDomains, in.Domain)
	}
	all, err := c.Policies.Get(ctx)
	if err != nil {
		return err
	}
	// shown is a policy as a step has it: nothing for one that is inherited.
	shown := func(own bool, document any) any {
		if own {
			return document
		}
		return nil
	}
	token, lockout := all.Token(at), all.Lockout(at)
	hadToken, hadLockout := shown(token.Domain == at, tokenPolicyOf(ctx, token)), shown(lockout.Domain == at, lockoutPolicyOf(ctx, lockout))
	if in.TokenPolicy != nil {
		after, err := c.Policies.EditTokenOf(ctx, at, 0, tokenPolicyEdit(*in.TokenPolicy))
		if err := c.step(err, kindTokenPolicy, in.Domain, hadToken, tokenPolicyOf(ctx, after)); err != nil {
			return err
		}
	}
	if in.LockoutPolicy != nil {
		after, err := c.Policies.EditLockoutOf(ctx, at, 0, lockoutPolicyEdit(*in.LockoutPolicy))
		if err := c.step(err, kindLockoutPolicy, in.Domain, hadLockout, lockoutPolicyOf(ctx, after)); err != nil {
			return err
		}
	}
	if slices.Contains(in.Inherit, "token") && hadToken != nil {
		_, err := c.Policies.InheritToken(ctx, at, 0)
		if err := c.step(err, kindTokenPolicy, in.Domain, hadToken, nil); err != nil {
			return err
		}
	}
	if slices.Contains(in.Inherit, "lockout") && hadLockout != nil {
		_, err := c.Policies.InheritLockout(ctx, at, 0)
		return c.step(err, kindLockoutPolicy, in.Domain, hadLockout, nil)
	}
	return nil
}

// step notes what became of an object, nil where there is none, or refuses with err what was to become of it.
func (c *configuring) step(err error, kind, name string, before, after any) error {
	if err != nil {
		return about(err, kind, name)
	}
	s := client.ConfigurationStep{Kind: kind, Name: name, Action: "change", Changes: []client.ConfigurationChange{}}
	switch {
	case after == nil:
		s.Action = "delete"
	default:
		if s.Changes, err = differences(before, after); err != nil {
			return err
		}
		if before == nil {
			s.Action = "add"
		} else if len(s.Changes) == 0 {
			s.Action = "none"
		}
	}
	c.steps = append(c.steps, s)
	return nil
}

// plan is what was done.
func (c *configuring) plan() (client.ConfigurationPlan, error) {
	p := client.ConfigurationPlan{Steps: append([]client.ConfigurationStep{}, c.steps...)}
	text, err := json.Marshal(p.Steps)
	if err != nil {
		return p, err
	}
	sum := sha256.Sum256(text)
	p.Digest = hex.EncodeToString(sum[:])
	return p, nil
}

// unplanned are the members of objects that nobody sets: they name the object, or tell of its past.
var unplanned = []string{"profile", "radius_client", "device_type", "domain", "created_at", "imported_at", "built_in", "version"}

// differences are the members in which two documents of one type differ. before may be nil.
func differences(before, after any) ([]client.ConfigurationChange, error) {
	was, err := members(before)
	if err != nil {
		return nil, err
	}
	is, err := members(after)
	if err != nil {
		return nil, err
	}
	_, aDevice := after.(client.Device)
	_, aProfile := after.(client.Profile)
	_, aRADIUSClient := after.(client.RADIUSClient)
	_, all := after.(settable)
	if all { // one of them may leave out what is empty
		for name := range was {
			is[name] += ""
		}
	}
	changes := []client.ConfigurationChange{}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		set := all || name == "version" && aDevice || name == "device_type" && aProfile || name == "domain" && aRADIUSClient
		if was[name] != is[name] && (set || !slices.Contains(unplanned, name)) {
			changes = append(changes, client.ConfigurationChange{Member: name, From: was[name], To: is[name]})
		}
	}
	return changes, nil
}

// members are those of a document: texts as they are, anything else in JSON.
func members(document any) (map[string]string, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for name, value := range raw {
		all[name] = string(value)
		var plain string
		if json.Unmarshal(value, &plain) == nil {
			all[name] = plain
		}
	}
	return all, nil
}
