package policy

import (
	"github.com/tallystick/tallystick/internal/domain"
)

// A Tree is all policies at one moment: the settings, the policies of the deployment, and those of security domains. A policy holds
// in its domain and in those below it, down to domains that have one of their own. Nobody changes a Tree.
type Tree struct {
	Settings Settings

	tokens   map[string]Token   // by domain; those that are there
	lockouts map[string]Lockout // likewise
	versions map[place]int
	sets     map[string]*Set // what holds, by domain; every one of the tree
}

// A place is where there may be a policy.
type place struct{ kind, domain string }

// The kinds of policies.
const (
	tokenKind    = "token"
	lockoutKind  = "lockout"
	settingsKind = "settings"
)

// A Record is a policy of a kind as it is stored.
type Record struct {
	Kind    string // "token", "lockout" or "settings"
	Domain  string // domain.Root for the deployment's
	Version int
	Token   *Token // nil unless it is one
	Lockout *Lockout
}

// NewTree makes the tree of settings and policies. Parents are the parents of all domains but the root, by their names. A record
// without policy is of a domain that had one and inherits again. The deployment's policies are the default ones unless they are there.
func NewTree(s Settings, records []Record, parents map[string]string) *Tree {
	base := Default()
	t := &Tree{
		Settings: s, tokens: map[string]Token{domain.Root: base.Token}, lockouts: map[string]Lockout{domain.Root: base.Lockout},
		versions: map[place]int{}, sets: make(map[string]*Set, len(parents)+1),
	}
	for _, r := range records {
		t.versions[place{r.Kind, r.Domain}] = r.Version
		if r.Token != nil {
			own := *r.Token
			own.Domain, own.Version = r.Domain, r.Version
			t.tokens[r.Domain] = own
		}
		if r.Lockout != nil {
			own := *r.Lockout
			own.Domain, own.Version = r.Domain, r.Version
			t.lockouts[r.Domain] = own
		}
	}
	t.sets[domain.Root] = &Set{Token: t.tokens[domain.Root], Lockout: t.lockouts[domain.Root], Settings: s}
	for name := range parents {
		t.resolve(name, parents)
	}
	return t
}

// Alone is the tree of a deployment in which no domain has a policy of its own.
func Alone(s Set) *Tree {
	return NewTree(s.Settings, []Record{
		{Kind: tokenKind, Version: s.Token.Version, Token: &s.Token}, {Kind: lockoutKind, Version: s.Lockout.Version, Lockout: &s.Lockout},
	}, nil)
}

// resolve finds what holds in a domain. Domains without a policy of their own share what holds above.
func (t *Tree) resolve(name string, parents map[string]string) *Set {
	if s, is := t.sets[name]; is {
		return s
	}
	t.sets[name] = t.sets[domain.Root] // a ring cannot be, and must not hold anybody up
	above := t.resolve(parents[name], parents)
	token, ownToken := t.tokens[name]
	lockout, ownLockout := t.lockouts[name]
	if ownToken || ownLockout {
		own := *above
		if ownToken {
			own.Token = token
		}
		if ownLockout {
			own.Lockout = lockout
		}
		above = &own
	}
	t.sets[name] = above
	return above
}

// Of is what holds for the users of a domain and their tokens; for a domain that is not in the tree, the deployment's policies. The
// caller must not change what is in it.
func (t *Tree) Of(name string) *Set {
	if s, is := t.sets[name]; is {
		return s
	}
	return t.sets[domain.Root]
}

// Has tells whether a domain is in the tree.
func (t *Tree) Has(name string) bool {
	_, is := t.sets[name]
	return is
}

// Token is the token policy that holds in a domain, at the version that the domain's own has, or will follow on.
func (t *Tree) Token(name string) Token {
	p := t.Of(name).Token
	p.Version = t.version(tokenKind, name)
	return p
}

// Lockout is the lockout policy that holds in a domain, in the same way.
func (t *Tree) Lockout(name string) Lockout {
	p := t.Of(name).Lockout
	p.Version = t.version(lockoutKind, name)
	return p
}

// version is that of a domain's policy of a kind; 1 for one that never was.
func (t *Tree) version(kind, name string) int {
	return max(t.versions[place{kind, name}], 1)
}

// Own tells which policies a domain has of its own: "token", "lockout".
func (t *Tree) Own(name string) []string {
	own := []string{}
	if _, is := t.tokens[name]; is {
		own = append(own, tokenKind)
	}
	if _, is := t.lockouts[name]; is {
		own = append(own, lockoutKind)
	}
	return own
}

// Domains lists those whose users are under other policies than the deployment's, by what holds there.
func (t *Tree) Domains() map[*Set][]string {
	all := map[*Set][]string{}
	for name, s := range t.sets {
		if s != t.sets[domain.Root] {
			all[s] = append(all[s], name)
		}
	}
	return all
}
