package policy

import (
	"context"
	"reflect"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/recent"
)

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Joins tells whether ctx carries a transaction.
	Joins(ctx context.Context) bool
	// Policies returns all policies at one moment; what was never saved is the default. It locks nothing, in a
	// transaction neither: authentications read them.
	Policies(ctx context.Context) (*Tree, error)
	// HoldPolicies has others who change a policy wait until the transaction of ctx ends.
	HoldPolicies(ctx context.Context) error
	// HoldDomain keeps a domain from being deleted until the transaction of ctx ends. [fault.DomainNotFound], or
	// [fault.OutOfScope] for one that is not in the scope of ctx.
	HoldDomain(ctx context.Context, name string) error
	// SaveTokenPolicy stores the token policy of t.Domain, whose version is still t.Version, and counts it up; else [fault.Conflict].
	SaveTokenPolicy(ctx context.Context, t Token) error
	// SaveLockoutPolicy stores the lockout policy of l.Domain, whose version is still l.Version, and counts it up; else [fault.Conflict].
	SaveLockoutPolicy(ctx context.Context, l Lockout) error
	// DropPolicy takes a domain's own policy of a kind away, whose version is still that one, and counts it up; else [fault.Conflict].
	DropPolicy(ctx context.Context, kind, domain string, version int) error
	// SaveSettings stores settings whose Version is still s.Version, and counts it up; else [fault.Conflict].
	SaveSettings(ctx context.Context, s Settings) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Registry keeps the deployment's policies. It is safe for concurrent use.
type Registry struct {
	Store Store
	Now   func() time.Time

	last recent.Value[*Tree]
}

// Get reads the policies.
func (r *Registry) Get(ctx context.Context) (*Tree, error) { return r.Store.Policies(ctx) }

// In reads what holds in a domain. [fault.DomainNotFound], [fault.OutOfScope].
func (r *Registry) In(ctx context.Context, name string) (Token, Lockout, error) {
	t, err := r.Store.Policies(ctx)
	if err != nil {
		return Token{}, Lockout{}, err
	}
	if !t.Has(name) || !domain.ScopeFrom(ctx).Covers(name) {
		return Token{}, Lockout{}, domain.NotFound(ctx, name)
	}
	return t.Token(name), t.Lockout(name), nil
}

// Current returns the policies as they were at most a second ago, nearly always without asking the database.
func (r *Registry) Current(ctx context.Context) (*Tree, error) {
	if r.Store.Joins(ctx) {
		return r.last.Within(ctx, r.Now, r.Store.Policies)
	}
	return r.last.Get(ctx, r.Now, r.Store.Policies)
}

// Forget has the policies read again when they are needed next: something changed them, or the domains that they hold in.
func (r *Registry) Forget() { r.last.Forget() }

// EditToken is [Registry.EditTokenOf] for the deployment.
func (r *Registry) EditToken(ctx context.Context, version int, change func(*Token)) (Token, error) {
	return r.EditTokenOf(ctx, domain.Root, version, change)
}

// EditLockout is [Registry.EditLockoutOf] for the deployment.
func (r *Registry) EditLockout(ctx context.Context, version int, change func(*Lockout)) (Lockout, error) {
	return r.EditLockoutOf(ctx, domain.Root, version, change)
}

// EditTokenOf runs change on the token policy of a domain and saves it, in one transaction. A domain that has none of its own gets
// one: what held there before, with the change. If version is not 0, the policy must still be at it: else [fault.Conflict].
// [fault.PolicyInvalid], [fault.DomainNotFound], [fault.OutOfScope].
func (r *Registry) EditTokenOf(ctx context.Context, at string, version int, change func(*Token)) (Token, error) {
	return edit(ctx, r, editing[Token]{
		kind: tokenKind, domain: at, from: version, change: change, save: r.Store.SaveTokenPolicy,
		read: func(t *Tree) Token { return t.Token(at) }, place: func(p *Token) (*string, *int) { return &p.Domain, &p.Version },
	})
}

// EditLockoutOf does the same with the lockout policy.
func (r *Registry) EditLockoutOf(ctx context.Context, at string, version int, change func(*Lockout)) (Lockout, error) {
	return edit(ctx, r, editing[Lockout]{
		kind: lockoutKind, domain: at, from: version, change: change, save: r.Store.SaveLockoutPolicy,
		read: func(t *Tree) Lockout { return t.Lockout(at) }, place: func(p *Lockout) (*string, *int) { return &p.Domain, &p.Version },
	})
}

// EditSettings does the same with the deployment's settings.
func (r *Registry) EditSettings(ctx context.Context, version int, change func(*Settings)) (Settings, error) {
	var nowhere string
	return edit(ctx, r, editing[Settings]{
		kind: settingsKind, domain: domain.Root, from: version, change: change, save: r.Store.SaveSettings,
		read: func(t *Tree) Settings { return t.Settings }, place: func(s *Settings) (*string, *int) { return &nowhere, &s.Version },
	})
}

// An editing is a change of one policy.
type editing[P interface{ Validate() error }] struct {
	kind, domain string
	from         int                      // the version that it is meant for; 0 for any
	read         func(*Tree) P            // what holds there
	place        func(*P) (*string, *int) // the domain whose policy it is, and its version
	change       func(*P)
	save         func(context.Context, P) error
}

func edit[P interface{ Validate() error }](ctx context.Context, r *Registry, e editing[P]) (P, error) {
	var after P
	err := r.changing(ctx, e.domain, func(ctx context.Context, t *Tree) error {
		before := e.read(t)
		from, version := e.place(&before)
		if e.from != 0 && e.from != *version {
			return Stale(e.kind, e.domain)
		}
		after = before
		e.change(&after)
		to, counted := e.place(&after)
		*to, *counted = e.domain, *version
		if err := after.Validate(); err != nil {
			return err
		}
		was, is := differences(before, after)
		if len(is) == 0 && *from == e.domain {
			return nil
		}
		if err := e.save(ctx, after); err != nil {
			return err
		}
		*counted++
		action, details := "policy.edit", audit.Details{"before": was, "after": is}
		if e.domain != domain.Root {
			details["domain"] = e.domain
		}
		if *from != e.domain {
			action, details["inherited_from"] = "policy.add", domain.Show(*from)
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), action, "policy:"+e.kind, details))
	})
	return after, err
}

// InheritToken takes the token policy of a domain away: what holds above holds there again. One that inherits already stays as it is.
// If version is not 0, the policy must still be at it: else [fault.Conflict]. [fault.Invalid] for the deployment's policy,
// [fault.DomainNotFound], [fault.OutOfScope]. It returns what holds then.
func (r *Registry) InheritToken(ctx context.Context, at string, version int) (Token, error) {
	return inherit(ctx, r, tokenKind, at, version, func(t *Tree) Token { return t.Token(at) }, func(p *Token) (string, int) { return p.Domain, p.Version })
}

// InheritLockout does the same with the lockout policy.
func (r *Registry) InheritLockout(ctx context.Context, at string, version int) (Lockout, error) {
	return inherit(ctx, r, lockoutKind, at, version, func(t *Tree) Lockout { return t.Lockout(at) }, func(p *Lockout) (string, int) { return p.Domain, p.Version })
}

func inherit[P any](ctx context.Context, r *Registry, kind, at string, version int, read func(*Tree) P, place func(*P) (string, int)) (P, error) {
	var after P
	err := r.changing(ctx, at, func(ctx context.Context, t *Tree) error {
		if at == domain.Root {
			return fault.New(fault.Invalid, "there is nothing above the deployment's own policy: edit it")
		}
		before := read(t)
		owner, now := place(&before)
		if version != 0 && version != now {
			return Stale(kind, at)
		}
		if after = before; owner != at {
			return nil
		}
		if err := r.Store.DropPolicy(ctx, kind, at, now); err != nil {
			return err
		}
		t, err := r.Store.Policies(ctx)
		if err != nil {
			return err
		}
		after = read(t)
		owner, _ = place(&after)
		was, is := differences(before, after)
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "policy.inherit", "policy:"+kind,
			audit.Details{"domain": at, "inherits_from": domain.Show(owner), "before": was, "after": is}))
	})
	return after, err
}

// changing runs a change of a policy of a domain in one transaction, one after the other, while the domain stays.
func (r *Registry) changing(ctx context.Context, at string, do func(context.Context, *Tree) error) error {
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.HoldPolicies(ctx); err != nil {
			return err
		}
		if err := r.Store.HoldDomain(ctx, at); err != nil {
			return err
		}
		t, err := r.Store.Policies(ctx)
		if err != nil {
			return err
		}
		return do(ctx, t)
	})
	if err == nil {
		r.Forget() // this server goes by it at once
	}
	return err
}

// Stale is the refusal to change a policy of a kind that somebody else changed meanwhile.
func Stale(kind, at string) *fault.Error {
	switch {
	case kind == settingsKind:
		return fault.New(fault.Conflict, "the settings were changed meanwhile: read them again")
	case at != domain.Root:
		return fault.New(fault.Conflict, "the %s policy of domain %s was changed meanwhile: read it again", kind, at)
	}
	return fault.New(fault.Conflict, "the %s policy was changed meanwhile: read it again", kind)
}

// differences are the settings in which two policies of a kind differ, under their names in JSON and with lengths of time in words.
func differences(before, after any) (was, is audit.Details) {
	was, is = audit.Details{}, audit.Details{}
	b, a := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range b.NumField() {
		name := b.Type().Field(i).Tag.Get("json")
		if name != "-" && !reflect.DeepEqual(b.Field(i).Interface(), a.Field(i).Interface()) {
			was[name], is[name] = shown(b.Field(i).Interface()), shown(a.Field(i).Interface())
		}
	}
	return was, is
}

func shown(setting any) any {
	if d, ok := setting.(time.Duration); ok {
		return d.String()
	}
	return setting
}
