package domain

import (
	"context"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Scope is what somebody may see and change: a domain with all that are below it. The zero Scope is the whole deployment.
type Scope struct {
	top     string
	covered map[string]bool // names; nil for the whole deployment
	caller  *Scope          // that of who acts, where this is less; nil if it is the same
}

// At is ctx in which all can be seen, and what is made is placed in a domain.
func At(ctx context.Context, name string) context.Context { return WithScope(ctx, Scope{top: name}) }

// Caller is the scope of who acts: of a part that was chosen out of it with [Registry.Narrow] or [Scope.By], the whole.
func (s Scope) Caller() Scope {
	if s.caller != nil {
		return *s.caller
	}
	return s
}

// By is the scope as a part of that of who acts.
func (s Scope) By(caller Scope) Scope {
	s.caller = &caller
	return s
}

// Limited tells whether the scope is less than the whole deployment.
func (s Scope) Limited() bool { return s.covered != nil }

// Top is the domain that holds all of the scope; what is made without saying where is placed there.
func (s Scope) Top() string { return s.top }

// Covers tells whether a domain lies in the scope.
func (s Scope) Covers(name string) bool { return s.covered == nil || s.covered[name] }

// Names lists the domains of a limited scope.
func (s Scope) Names() []string { return slices.Sorted(maps.Keys(s.covered)) }

type scopeKey struct{}

// WithScope puts the scope of who acts into the context of a request. The store looks at it wherever it reads users,
// tokens, groups, agents, RADIUS clients, API keys or domains, and where it stores new ones.
func WithScope(ctx context.Context, s Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// ScopeFrom returns the scope of who acts; the whole deployment if nothing was said, which is so for the server itself.
func ScopeFrom(ctx context.Context) Scope {
	s, _ := ctx.Value(scopeKey{}).(Scope)
	return s
}

// Outside is the refusal for something that is not in the scope of ctx: missing if that is the whole deployment, else the same
// [fault.OutOfScope] whether there is such a thing elsewhere or not.
func Outside(ctx context.Context, missing *fault.Error, format string, args ...any) *fault.Error {
	if !ScopeFrom(ctx).Limited() {
		return missing
	}
	return fault.New(fault.OutOfScope, "there is no "+format+" in your security domain", args...)
}
