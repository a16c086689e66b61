package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
)

// nearest walks up from a domain to the first with a policy of its own.
func nearest(name string, own map[string]int, parents map[string]string) string {
	for name != domain.Root {
		if _, is := own[name]; is {
			return name
		}
		name = parents[name]
	}
	return domain.Root
}

// What holds in a domain is its own, or that of the nearest domain above that has one, each kind by itself.
func TestInheritanceInRandomTrees(t *testing.T) {
	for n := range 300 {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		parents, tokens, lockouts, versions := map[string]string{}, map[string]int{}, map[string]int{}, map[string]int{}
		records := []policy.Record{{Kind: "token", Token: new(policy.Default().Token), Version: 1}, {Kind: "lockout", Lockout: new(policy.Default().Lockout), Version: 1}}
		for i := range r.IntN(30) {
			name, parent := fmt.Sprint("d", i), domain.Root
			if i > 0 && r.IntN(4) > 0 {
				parent = fmt.Sprint("d", r.IntN(i))
			}
			parents[name], versions[name] = parent, 2+i
			switch r.IntN(5) {
			case 0:
				p := policy.Default().Token
				p.PINHistory, tokens[name] = i, i
				records = append(records, policy.Record{Kind: "token", Domain: name, Token: &p, Version: versions[name]})
			case 1:
				p := policy.Default().Lockout
				p.Failures, lockouts[name] = 10+i, 10+i
				records = append(records, policy.Record{Kind: "lockout", Domain: name, Lockout: &p, Version: versions[name]})
			case 2: // had one, and inherits again
				records = append(records, policy.Record{Kind: "token", Domain: name, Version: versions[name]})
			}
		}
		r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		tree := policy.NewTree(policy.Default().Settings, records, parents)
		others := map[string]bool{}
		for name := range parents {
			want := policy.Set{Token: policy.Default().Token, Lockout: policy.Default().Lockout}
			ofToken, ofLockout := nearest(name, tokens, parents), nearest(name, lockouts, parents)
			if ofToken != domain.Root {
				want.Token.PINHistory = tokens[ofToken]
			}
			if ofLockout != domain.Root {
				want.Lockout.Failures = lockouts[ofLockout]
			}
			got := tree.Of(name)
			if got.Token.PINHistory != want.Token.PINHistory || got.Token.Domain != ofToken || got.Lockout.Failures != want.Lockout.Failures || got.Lockout.Domain != ofLockout {
				t.Fatalf("seed %d: in %s of %v there hold %+v, with tokens %v and lockouts %v", n, name, parents, got, tokens, lockouts)
			}
			version := 1
			if slices.ContainsFunc(records, func(r policy.Record) bool { return r.Kind == "token" && r.Domain == name }) {
				version = versions[name]
			}
			if p := tree.Token(name); p.Version != version || p.Domain != ofToken {
				t.Fatalf("seed %d: %s is at version %d, want %d", n, name, p.Version, version)
			}
			if ofToken != domain.Root || ofLockout != domain.Root {
				others[name] = true
			}
		}
		for set, names := range tree.Domains() {
			for _, name := range names {
				if tree.Of(name) != set || !others[name] {
					t.Fatalf("seed %d: %s is listed with %+v", n, name, set)
				}
				delete(others, name)
			}
		}
		if len(others) > 0 {
			t.Fatalf("seed %d: not listed: %v", n, others)
		}
	}
}

// A ring in the table, which the server never makes, holds nobody up; a domain that is not known goes by the deployment's.
func TestBrokenTrees(t *testing.T) {
	ring := policy.NewTree(policy.Default().Settings, nil, map[string]string{"a": "b", "b": "c", "c": "a", "lost": "gone"})
	for _, name := range []string{"a", "b", "c", "lost", "unknown"} {
		if got := ring.Of(name); got != ring.Of(domain.Root) {
			t.Errorf("in %s: %+v", name, got)
		}
	}
	if ring.Has("unknown") || !ring.Has("a") || !ring.Has(domain.Root) {
		t.Error("the tree has what it was not made of")
	}
}
