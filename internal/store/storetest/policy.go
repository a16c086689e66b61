package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// A policyModel is what a random tree of domains with policies has to be.
type policyModel struct {
	parents  map[string]string
	own      map[string]map[string]int // by kind and domain, the setting that tells the policies apart
	versions map[string]map[string]int
}

func (m policyModel) names() []string {
	names := []string{}
	for name := range m.parents {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// holds is whose policy of a kind holds in a domain, and its setting.
func (m policyModel) holds(kind, name string) (string, int) {
	for ; name != domain.Root; name = m.parents[name] {
		if setting, is := m.own[kind][name]; is {
			return name, setting
		}
	}
	return domain.Root, m.own[kind][domain.Root]
}

func (m policyModel) below(name, top string) bool {
	for ; name != domain.Root; name = m.parents[name] {
		if name == top {
			return true
		}
	}
	return top == domain.Root
}

// policiesOfDomains grows random trees whose domains get policies, lose them, move and are deleted, and holds what each domain goes by
// against a model.
func policiesOfDomains(t *testing.T, s fixture) {
	ctx := t.Context()
	r := rand.New(rand.NewPCG(42, 10))
	policies, domains := &policy.Registry{Store: s, Now: now}, &domain.Registry{Store: s, Now: now}
	m := policyModel{map[string]string{}, map[string]map[string]int{"token": {"": 5}, "lockout": {"": 5}}, map[string]map[string]int{"token": {}, "lockout": {}}}
	edit := func(kind, name string, version, setting int) error {
		if kind == "token" {
			_, err := policies.EditTokenOf(ctx, name, version, func(p *policy.Token) { p.PINHistory = setting })
			return err
		}
		_, err := policies.EditLockoutOf(ctx, name, version, func(p *policy.Lockout) { p.Failures = setting })
		return err
	}
	for step := range 90 {
		names := append(m.names(), domain.Root)
		name, other := names[r.IntN(len(names))], names[r.IntN(len(names))]
		kind := []string{"token", "lockout"}[r.IntN(2)]
		version := max(m.versions[kind][name], 1)
		switch n := r.IntN(10); {
		case n < 3:
			added := fmt.Sprint("domain ", step)
			_, err := domains.Add(ctx, added, name, "")
			ok(t, err)
			m.parents[added] = name
		case n < 6:
			setting := step % 20
			if was, is := m.own[kind][name]; !is || was != setting {
				m.own[kind][name], m.versions[kind][name] = setting, version+1
			}
			ok(t, edit(kind, name, version, setting))
			refused(t, edit(kind, name, version+7, setting), fault.Conflict)
		case name == domain.Root:
			_, err := policies.InheritToken(ctx, name, 0)
			refused(t, err, fault.Invalid)
		case n < 7:
			var err error
			if kind == "token" {
				_, err = policies.InheritToken(ctx, name, version)
			} else {
				_, err = policies.InheritLockout(ctx, name, version)
			}
			ok(t, err)
			if _, is := m.own[kind][name]; is {
				delete(m.own[kind], name)
				m.versions[kind][name] = version + 1
			}
		case n < 9:
			_, err := domains.Edit(ctx, name, 0, func(d *domain.Domain) { d.Parent = other })
			if m.below(other, name) {
				refused(t, err, fault.DomainInvalid)
				continue
			}
			ok(t, err)
			m.parents[name] = other
		default:
			err := domains.Delete(ctx, name)
			if slices.ContainsFunc(m.names(), func(child string) bool { return m.parents[child] == name }) {
				refused(t, err, fault.DomainInUse)
				continue
			}
			ok(t, err)
			delete(m.parents, name)
			for _, kind := range []string{"token", "lockout"} {
				delete(m.own[kind], name)
				delete(m.versions[kind], name)
			}
			_, _, err = policies.In(ctx, name)
			refused(t, err, fault.DomainNotFound)
		}
		for _, name := range append(m.names(), domain.Root) {
			token, lockout, err := policies.In(ctx, name)
			ok(t, err)
			of, setting := m.holds("token", name)
			if token.Domain != of || token.PINHistory != setting || token.Version != max(m.versions["token"][name], 1) {
				t.Fatalf("step %d: in %q holds %+v, want %d of %q: %+v", step, name, token, setting, of, m)
			}
			of, setting = m.holds("lockout", name)
			if lockout.Domain != of || lockout.Failures != setting || lockout.Version != max(m.versions["lockout"][name], 1) {
				t.Fatalf("step %d: in %q holds %+v, want %d of %q: %+v", step, name, lockout, setting, of, m)
			}
		}
	}
	if len(m.parents) < 5 || len(m.own["token"]) < 3 || len(m.own["lockout"]) < 3 {
		t.Errorf("too dull to tell: %+v", m)
	}
}

// policiesInScope are for whom a domain belongs to: there and below, and nowhere else.
func policiesInScope(t *testing.T, s fixture) {
	ctx := t.Context()
	policies, domains := &policy.Registry{Store: s, Now: now}, &domain.Registry{Store: s, Now: now}
	for _, d := range [][2]string{{"berlin", ""}, {"mitte", "berlin"}, {"rome", ""}} {
		_, err := domains.Add(ctx, d[0], d[1], "")
		ok(t, err)
	}
	berlin, err := domains.Narrow(ctx, "berlin")
	ok(t, err)
	for _, name := range []string{"berlin", "mitte"} {
		_, err := policies.EditTokenOf(berlin, name, 0, func(p *policy.Token) { p.PINMin = 6 })
		ok(t, err)
		_, err = policies.InheritToken(berlin, name, 0)
		ok(t, err)
	}
	for _, name := range []string{"rome", "nowhere", domain.Root} {
		_, err := policies.EditTokenOf(berlin, name, 0, func(p *policy.Token) { p.PINMin = 6 })
		refused(t, err, fault.OutOfScope)
		_, err = policies.EditLockoutOf(berlin, name, 0, func(p *policy.Lockout) { p.Failures = 9 })
		refused(t, err, fault.OutOfScope)
		_, err = policies.InheritToken(berlin, name, 0)
		refused(t, err, fault.OutOfScope)
		_, _, err = policies.In(berlin, name)
		refused(t, err, fault.OutOfScope)
	}
	tree, err := policies.Get(ctx)
	same(t, must(t, tree, err).Token("rome").PINMin, policy.Default().Token.PINMin)
	_, err = policies.EditTokenOf(ctx, "nowhere", 0, func(p *policy.Token) { p.PINMin = 6 })
	refused(t, err, fault.DomainNotFound)
}

// policiesAndTheirDomain has servers give a domain a policy while others delete it: either it is gone with its policy, or it is there with it.
func policiesAndTheirDomain(t *testing.T, s servers) {
	for n := range 6 {
		name := fmt.Sprint("domain ", n)
		ok(t, s[0].AddDomain(t.Context(), domain.Domain{Name: name, CreatedAt: start, Version: 1}))
		s.atOnce(t, 6, func(s fixture, i int) (bool, error) {
			if i%3 == 0 {
				err := (&domain.Registry{Store: s, Now: now}).Delete(t.Context(), name)
				return err == nil, unless(err, fault.DomainNotFound)
			}
			_, err := (&policy.Registry{Store: s, Now: now}).EditLockoutOf(t.Context(), name, 0, func(l *policy.Lockout) { l.Failures = 10 + i })
			return err == nil, unless(err, fault.DomainNotFound, fault.Conflict)
		})
		tree, err := s[1].Policies(t.Context())
		if ok(t, err); tree.Has(name) || len(tree.Own(name)) > 0 {
			t.Errorf("left of %s: %v", name, tree.Own(name))
		}
	}
}

// unless is err unless it is of one of the kinds.
func unless(err error, kinds ...error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return nil
		}
	}
	return err
}
