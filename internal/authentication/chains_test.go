package authentication

import (
	"testing"

	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// The chains of a token's seeds end with one of them, and nobody else's do; one that is in use is erased after its use.
func TestChainsOfATokenAreDropped(t *testing.T) {
	var all chains
	g := token.Generation{Settings: token.Factory, Fingerprint: []byte("print")}
	for _, slot := range []string{"100000000001", "100000000001" + ofPending, "100000000002"} {
		c, err := newChain(slot, slot[:12], seed.Generate(), token.Factory)
		if err != nil {
			t.Fatal(err)
		}
		c.fingerprint = string(g.Fingerprint)
		all.put(c)
		all.release(c)
	}
	used := all.get("100000000001", &g)
	all.drop("100000000001")
	if all.get("100000000001", &g) != nil || all.get("100000000001"+ofPending, &g) != nil || all.get("100000000002", &g) == nil {
		t.Error("other chains are left than those of other tokens")
	}
	if !used.forgotten || used.users != 1 {
		t.Error("a chain in use is not left to its user")
	}
	all.release(used)
	if used.users != 0 {
		t.Error("it is in use for ever")
	}
}
