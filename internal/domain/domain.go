// Package domain is the security domains: a tree that users, tokens, groups,
// agents and RADIUS clients each have their place in, and that API keys are
// limited by (spec/software-token-lifecycle.md sections 2 and 15).
//
// A key that is limited to a domain sees and changes what is there and below.
// Its [Scope] travels in the context of its requests, and the store holds each
// query against it: no other layer has to think of it. Profiles, device
// definitions and settings belong to the whole deployment; a domain may have
// policies of its own (package policy).
package domain

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Domain is a node of the tree. Names are unique in a deployment.
type Domain struct {
	Name      string
	Parent    string // Root for those on top
	Note      string
	CreatedAt time.Time
	Version   int // grows with every change
}

// Root is the name of the root of the tree, which has no record. People call it "root".
const Root = ""

const rootName = "root"

// Show is how people are shown the name of a domain.
func Show(name string) string {
	if name == Root {
		return rootName
	}
	return name
}

// Parse reads what people call a domain.
func Parse(name string) string {
	if name == rootName {
		return Root
	}
	return name
}

// A Kind is a kind of object that has its place in the tree.
type Kind string

// The kinds.
const (
	Users         Kind = "user"
	Tokens        Kind = "token"
	Groups        Kind = "group"
	Agents        Kind = "agent"
	RADIUSClients Kind = "radius_client"
	APIKeys       Kind = "api_key"   // limited to the domain
	Directories   Kind = "directory" // whose people are placed in the domain
)

// kinds are those of objects that are moved.
var kinds = []Kind{Users, Tokens, Groups, Agents, RADIUSClients}

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Domains lists all domains by name, whatever the scope of ctx. Within a transaction all of them are locked for change.
	Domains(ctx context.Context) ([]Domain, error)
	// AddDomain stores a new domain; [fault.DomainExists].
	AddDomain(ctx context.Context, d Domain) error
	// SaveDomain stores a changed parent or note of a domain whose Version is still d.Version, and counts it up; else [fault.Conflict].
	SaveDomain(ctx context.Context, d Domain) error
	// DeleteDomain removes a domain that holds nothing, and that no agent or RADIUS client is limited to; else [fault.DomainInUse].
	DeleteDomain(ctx context.Context, name string) error
	// CountObjects tells how many objects of each kind have their place in a domain itself.
	CountObjects(ctx context.Context, name string) (map[Kind]int, error)
	// MoveObjects gives objects of a kind, all of them in the scope of ctx, another place; those that a user holds go along with her. It
	// returns those that were elsewhere, and how many went along; a refusal such as [fault.UserNotFound] if one is not there or out of scope.
	MoveObjects(ctx context.Context, kind Kind, names []string, into string) (moved []string, along int, err error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// RecordAll keeps many.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// A Registry keeps the deployment's domains.
type Registry struct {
	Store Store
	Now   func() time.Time
	// Changed, if set, is told that the tree was changed.
	Changed func()
}

// change runs a change of the tree in one transaction.
func (r *Registry) change(ctx context.Context, do func(context.Context) error) error {
	err := r.Store.Transact(ctx, do)
	if err == nil && r.Changed != nil {
		r.Changed()
	}
	return err
}

// A Tree is all domains by name.
type Tree map[string]Domain

func treeOf(all []Domain) Tree {
	t := Tree{}
	for _, d := range all {
		t[d.Name] = d
	}
	return t
}

// Depths are how far below the root domains are, by their names; 1 for those on top.
func Depths(all []Domain) map[string]int {
	tree, depths := treeOf(all), map[string]int{}
	for name := range tree {
		for at := name; at != Root && depths[name] <= len(tree); at = tree[at].Parent {
			depths[name]++
		}
	}
	return depths
}

// below tells whether a domain is another one, or below it.
func (t Tree) below(name, top string) bool {
	for range len(t) + 1 { // a ring cannot be, and must not hold anybody up
		if name == top {
			return true
		}
		if name == Root {
			return false
		}
		name = t[name].Parent
	}
	return false
}

// Above lists a domain and those above it, up to the root.
func (t Tree) Above(name string) []string {
	all := []string{name}
	for name != Root && len(all) <= len(t)+1 { // a ring cannot be, and must not hold anybody up
		name = t[name].Parent
		all = append(all, name)
	}
	return all
}

// Scope is that of a domain and all below it; [fault.DomainNotFound].
func (r *Registry) Scope(ctx context.Context, top string) (Scope, error) {
	if top == Root {
		return Scope{}, nil
	}
	all, err := r.Store.Domains(ctx)
	if err != nil {
		return Scope{}, err
	}
	tree := treeOf(all)
	if _, is := tree[top]; !is {
		return Scope{}, NotFound(ctx, top)
	}
	s := Scope{top: top, covered: map[string]bool{}}
	for name := range tree {
		if tree.below(name, top) {
			s.covered[name] = true
		}
	}
	return s, nil
}

// Tree is all domains now.
func (r *Registry) Tree(ctx context.Context) (Tree, error) {
	all, err := r.Store.Domains(ctx)
	return treeOf(all), err
}

// Below is what lies in all of some domains or below them: as [Registry.Scope] for one, but that it covers nothing once the domain is gone.
func (t Tree) Below(tops ...string) Scope {
	tops = slices.DeleteFunc(slices.Clone(tops), func(top string) bool { return top == Root })
	if len(tops) == 0 {
		return Scope{}
	}
	s := Scope{top: tops[len(tops)-1], covered: map[string]bool{}}
	for name := range t {
		if !slices.ContainsFunc(tops, func(top string) bool { return !t.below(name, top) }) {
			s.covered[name] = true
		}
	}
	return s
}

// Narrow is ctx with the scope of a domain: what is listed in it is what lies there and below, and what is made in it is placed
// there. [fault.OutOfScope] if the domain is not in the scope of ctx.
func (r *Registry) Narrow(ctx context.Context, top string) (context.Context, error) {
	if !ScopeFrom(ctx).Covers(top) {
		return ctx, NotFound(ctx, top)
	}
	s, err := r.Scope(ctx, top)
	if err != nil {
		return ctx, err
	}
	return WithScope(ctx, s.By(ScopeFrom(ctx).Caller())), nil
}

// NotFound is the refusal for a domain that is not there, or not in the scope of ctx.
func NotFound(ctx context.Context, name string) *fault.Error {
	missing := fault.New(fault.DomainNotFound, "there is no security domain %q", Show(name))
	if name == Root {
		missing = fault.New(fault.DomainNotFound, "the root of the security domains has no record: it is neither edited, moved nor deleted")
	}
	return Outside(ctx, missing, "domain %q", Show(name))
}

// List returns the domains of the scope of ctx by name. The root is not among them.
func (r *Registry) List(ctx context.Context) ([]Domain, error) {
	all, err := r.Store.Domains(ctx)
	if err != nil {
		return nil, err
	}
	scope, seen := ScopeFrom(ctx), []Domain{}
	for _, d := range all {
		if scope.Covers(d.Name) {
			seen = append(seen, d)
		}
	}
	return seen, nil
}

// Get returns a domain, and how many objects have their place in it.
func (r *Registry) Get(ctx context.Context, name string) (Domain, map[Kind]int, error) {
	d := Domain{Version: 1}
	if name != Root || ScopeFrom(ctx).Limited() {
		all, err := r.Store.Domains(ctx)
		if err != nil {
			return d, nil, err
		}
		if d, err = find(ctx, treeOf(all), name); err != nil {
			return d, nil, err
		}
	}
	counts, err := r.Store.CountObjects(ctx, name)
	return d, counts, err
}

// find returns a domain of a tree that is in the scope of ctx.
func find(ctx context.Context, tree Tree, name string) (Domain, error) {
	d, is := tree[name]
	if !is || !ScopeFrom(ctx).Covers(name) {
		return d, NotFound(ctx, name)
	}
	return d, nil
}

// Add stores a new domain below another one.
func (r *Registry) Add(ctx context.Context, name, parent, note string) (Domain, error) {
	d := Domain{Name: name, Parent: parent, Note: note, CreatedAt: r.Now().UTC(), Version: 1}
	if err := d.check(); err != nil {
		return d, err
	}
	err := r.change(ctx, func(ctx context.Context) error {
		all, err := r.Store.Domains(ctx)
		if err != nil {
			return err
		}
		if err := place(ctx, treeOf(all), parent); err != nil {
			return err
		}
		if err := r.Store.AddDomain(ctx, d); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "domain.add", "domain:"+name, audit.Details{"parent": Show(parent), "note": note}))
	})
	return d, err
}

// place refuses a parent that is not there or not in the scope of ctx.
func place(ctx context.Context, tree Tree, parent string) error {
	if parent == Root && !ScopeFrom(ctx).Limited() {
		return nil
	}
	_, err := find(ctx, tree, parent)
	return err
}

// Edit changes the note of a domain, and its parent: all that is below it goes along. If version is not 0, the domain must still
// be at it: else [fault.Conflict]. [fault.DomainInvalid] for a parent that is below the domain.
func (r *Registry) Edit(ctx context.Context, name string, version int, change func(*Domain)) (Domain, error) {
	var after Domain
	err := r.change(ctx, func(ctx context.Context) error {
		all, err := r.Store.Domains(ctx)
		if err != nil {
			return err
		}
		tree := treeOf(all)
		before, err := find(ctx, tree, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "domain %s was changed meanwhile: read it again", name)
		}
		after = before
		change(&after)
		after.Name, after.Version, after.CreatedAt = before.Name, before.Version, before.CreatedAt
		if err := after.check(); err != nil {
			return err
		}
		if after.Parent != before.Parent {
			if err := moves(ctx, tree, before, after.Parent); err != nil {
				return err
			}
		}
		if after == before {
			return nil // nothing is changed, the version neither
		}
		if err := r.Store.SaveDomain(ctx, after); err != nil {
			return err
		}
		after.Version++
		action := "domain.edit"
		if after.Parent != before.Parent {
			action = "domain.move"
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), action, "domain:"+name, audit.Details{
			"before": audit.Details{"parent": Show(before.Parent), "note": before.Note}, "after": audit.Details{"parent": Show(after.Parent), "note": after.Note},
		}))
	})
	return after, err
}

// moves refuses a move of a domain below another one that cannot be.
func moves(ctx context.Context, tree Tree, d Domain, parent string) error {
	if !ScopeFrom(ctx).Covers(d.Parent) { // the top of a scope stays where it is
		return fault.New(fault.OutOfScope, "domain %s is the top of your security domain: it is moved by somebody of the domain above", d.Name)
	}
	if err := place(ctx, tree, parent); err != nil {
		return err
	}
	if tree.below(parent, d.Name) {
		return fault.New(fault.DomainInvalid, "domain %s cannot be below %s, which is below it", d.Name, Show(parent))
	}
	return nil
}

// Delete removes a domain that holds nothing, and that no agent or RADIUS client is limited to.
func (r *Registry) Delete(ctx context.Context, name string) error {
	return r.change(ctx, func(ctx context.Context) error {
		all, err := r.Store.Domains(ctx)
		if err != nil {
			return err
		}
		d, err := find(ctx, treeOf(all), name)
		if err != nil {
			return err
		}
		if !ScopeFrom(ctx).Covers(d.Parent) {
			return fault.New(fault.OutOfScope, "domain %s is the top of your security domain: it is deleted by somebody of the domain above", name)
		}
		if err := r.Store.DeleteDomain(ctx, name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "domain.delete", "domain:"+name, audit.Details{"parent": Show(d.Parent)}))
	})
}

// MaxMoved is how many objects one call moves.
const MaxMoved = 100_000

// Put gives objects their place in a domain, all or, after an error, none. Both the place where they are and the new one are in the
// scope of ctx. The tokens that a user holds go along with her. It returns how many objects of each kind, these tokens among them, were elsewhere before.
func (r *Registry) Put(ctx context.Context, into string, objects map[Kind][]string) (map[Kind]int, error) {
	n := 0
	for _, names := range objects {
		n += len(names)
	}
	if n == 0 || n > MaxMoved {
		return nil, fault.New(fault.Invalid, "between 1 and %d objects can be moved at once, not %d", MaxMoved, n)
	}
	moved := map[Kind]int{}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		all, err := r.Store.Domains(ctx)
		if err != nil {
			return err
		}
		if err := place(ctx, treeOf(all), into); err != nil {
			return err
		}
		clear(moved)
		for _, kind := range kinds {
			if len(objects[kind]) == 0 {
				continue
			}
			names, along, err := r.Store.MoveObjects(ctx, kind, objects[kind], into)
			if err != nil {
				return err
			}
			moved[kind] += len(names)
			moved[Tokens] += along
			events := make([]audit.Event, len(names))
			for i, name := range names {
				events[i] = audit.New(ctx, r.Now(), "domain.put", string(kind)+":"+name, audit.Details{"domain": Show(into)})
			}
			if err := r.Store.RecordAll(ctx, events); err != nil {
				return err
			}
		}
		return nil
	})
	return moved, err
}

// names are what domains may be called: they stand in lists, paths and audit events.
var names = regexp.MustCompile(`^[0-9A-Za-z\pL][0-9A-Za-z\pL ._-]{0,62}$`)

// check holds what every domain keeps to.
func (d Domain) check() error {
	if !names.MatchString(d.Name) || len(d.Name) > 64 || strings.HasSuffix(d.Name, " ") || strings.EqualFold(d.Name, rootName) {
		return fault.New(fault.DomainInvalid, "the name of a security domain takes up to 64 bytes of letters, digits, blanks, dots, dashes and underscores, and is not root")
	}
	if len(d.Note) > 256 || strings.ContainsFunc(d.Note, func(c rune) bool { return c < ' ' }) {
		return fault.New(fault.DomainInvalid, "the note of a security domain takes up to 256 bytes without control characters")
	}
	return nil
}
