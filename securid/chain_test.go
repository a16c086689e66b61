package securid

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every step of the key chain, against the intermediate values that stoken
// does not show.
func TestChainVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/primitives.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Chains []map[string]any `json:"tokencode_chain"`
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Chains) == 0 {
		t.Fatalf("%d chains, %v", len(file.Chains), err)
	}
	for _, v := range file.Chains {
		text := func(name string) string { return v[name].(string) }
		number := func(name string) int { return int(v[name].(float64)) }
		seed, err := hex.DecodeString(text("seed_hex"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewChain(seed, text("serial"), 8, number("interval"))
		if err != nil {
			t.Fatal(err)
		}
		at := Interval(time.Unix(int64(number("unix_time")), 0), number("interval"))
		out := c.block(at >> 2)
		if got := hex.EncodeToString(out[:]); got != text("out_hex") {
			t.Errorf("out is %s, want %s", got, text("out_hex"))
		}
		if got := Format(c.At(at), 8); at&3 != int64(number("slot")) || got != text("tokencode8") {
			t.Errorf("code %s in slot %d, want %s in %d", got, at&3, text("tokencode8"), number("slot"))
		}
		for name, k := range map[string]key{"year": c.years[0], "month": c.months[0], "day": newest(c.days[:]), "hour": newest(c.hours[:])} {
			if got := hex.EncodeToString(k.raw[:]); got != text("k_"+name+"_hex") {
				t.Errorf("the key of the %s is %s", name, got)
			}
		}
		b8, err := hex.DecodeString(text("b8_hex"))
		if err != nil {
			t.Fatal(err)
		}
		for n, name := range map[int]string{2: "b2_hex", 3: "b3_hex", 4: "b4_hex", 5: "b5_hex", 8: "b8_hex"} {
			b := c.template(b8[:n])
			if got := hex.EncodeToString(b[:]); got != text(name) {
				t.Errorf("%s is %s", name, got)
			}
		}
	}
}

func newest(keys []key) (k key) {
	for _, other := range keys {
		if other.used >= k.used {
			k = other
		}
	}
	return k
}

// meter counts what a key encrypts.
type meter struct {
	cipher.Block
	blocks *int
}

func (m meter) Encrypt(dst, src []byte) {
	*m.blocks++
	m.Block.Encrypt(dst, src)
}

// The table of section 10.3: blocks and key schedules that a window costs at
// most, cold and warm, wherever in two days it lies. Only making a key
// schedule allocates, so allocations count them: on average over some runs,
// since the runtime allocates a little of its own now and then.
func TestWindowCosts(t *testing.T) {
	midnight := Interval(time.Date(2026, 6, 10, 0, 0, 0, 0, time.UTC), 60)
	fresh, err := NewChain(make([]byte, SeedSize), "000123456789", 8, 60)
	if err != nil {
		t.Fatal(err)
	}
	c := new(Chain)
	for _, w := range []struct {
		around    int64
		schedules int // cold, inside one day, with that of the seed
		blocks    int // warm
	}{{0, 5, 1}, {1, 6, 2}, {2, 6, 2}, {3, 6, 3}, {10, 6, 6}, {12, 6, 7}, {70, 8, 36}, {720, 30, 361}} {
		for from := midnight; from < midnight+2*1440; from += 11 {
			first, last := from-w.around, from+w.around
			search := func() { c.Find(1<<31, first, last, from) } // no code is that large

			cold := testing.AllocsPerRun(20, func() { *c = *fresh; search() })
			allowed := w.schedules
			if w.around < 720 && floorDiv(first, 1440) != floorDiv(last, 1440) {
				allowed++ // the key of another day
			}
			if int(cold) > allowed {
				t.Fatalf("+-%d at %d: %v key schedules, want %d", w.around, from-midnight, cold, allowed)
			}
			if w.around > 70 {
				continue // more hours than a chain remembers
			}
			blocks := 0
			for i := range c.hours {
				if k := &c.hours[i]; k.schedule != nil {
					k.schedule = meter{k.schedule, &blocks}
				}
			}
			warm := testing.AllocsPerRun(20, func() { blocks, c.blocks = 0, [2]block{}; search() })
			if warm != 0 || blocks > w.blocks {
				t.Fatalf("+-%d at %d, warm: %v key schedules and %d blocks, want 0 and %d", w.around, from-midnight, warm, blocks, w.blocks)
			}
		}
	}
}

// A chain that was shrunk gives the same codes, and for those of the same hour it makes no key schedule.
func TestShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := rapid.SampledFrom([]int{30, 60}).Draw(t, "interval")
		made := func() *Chain {
			c, err := NewChain(bytes.Repeat([]byte{7}, SeedSize), "000123456789", 8, interval)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		used, whole := made(), made()
		at := rapid.Int64Range(25_000_000, 35_000_000).Draw(t, "at")
		for range 20 {
			if got, want := used.At(at), whole.At(at); got != want {
				t.Fatalf("at %d it is %d, want %d", at, got, want)
			}
			used.Shrink()
			if n := used.schedules(); n != 1 {
				t.Fatalf("%d key schedules are left", n)
			}
			again := func() {
				used.blocks = [2]block{}
				used.At(at)
				used.Shrink()
			}
			if n := testing.AllocsPerRun(20, again); n != 0 {
				t.Fatalf("a code of the same hour took %v key schedules", n)
			}
			at += rapid.Int64Range(-3000, 3000).Draw(t, "step")
		}
	})
}

// schedules is how many a chain holds.
func (c *Chain) schedules() (n int) {
	for _, keys := range [][]key{{c.seed}, c.years[:], c.months[:], c.days[:], c.hours[:]} {
		for _, k := range keys {
			if k.schedule != nil {
				n++
			}
		}
	}
	return n
}

func TestErase(t *testing.T) {
	c, err := NewChain(make([]byte, SeedSize), "000123456789", 8, 60)
	if err != nil {
		t.Fatal(err)
	}
	c.At(29_000_000)
	c.Erase()
	if *c != (Chain{}) {
		t.Error("something is left")
	}
}

func TestChainIsNotPrinted(t *testing.T) {
	c, err := NewChain([]byte("0123456789abcdef"), "000123456789", 8, 60)
	if err != nil {
		t.Fatal(err)
	}
	c.At(29_000_000)
	for _, v := range []any{c, *c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); got != "tokencode chain (hidden)" {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
}
