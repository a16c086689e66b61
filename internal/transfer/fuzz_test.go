package transfer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

func pack(t testing.TB, lines []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(lines)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const good = `{"format":"tallystick-transfer","version":2,"users":true}
{"tokens":[{"serial":"000000000001","seed":"AAECAwQFBgcICQoLDA0ODw==","user":{"id":"alice"}}]}
{"end":1}
`

// Whatever was sealed: no panic, a refusal or whole lines; and a token is checked before it becomes one.
func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"format":"tallystick-transfer","version":3}` + "\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		_, _, _, err := read(bytes.NewReader(pack(t, lines)), func(p parcel) bool {
			if len(p.text) == 0 {
				t.Error("a token without a line")
			}
			return true
		})
		if err != nil {
			if !errors.Is(err, fault.TransferFormat) && !errors.Is(err, fault.SchemaNewer) {
				t.Errorf("refused with %v", err)
			}
		}
	})
}

func TestWhatIsNoTransfer(t *testing.T) {
	n := 0
	count := func(parcel) bool { n++; return true }
	if _, _, _, err := read(bytes.NewReader(pack(t, []byte(good))), count); err != nil || n != 1 {
		t.Fatalf("%d lines, %v", n, err)
	}
	for name, lines := range map[string]string{
		"empty": "", "no header": "{}\n", "no end": good[:len(good)-11], "another count": good[:len(good)-10] + `{"end":2}` + "\n", "more": good + "{}\n", "no JSON": good[:60] + "x\n",
		"not signed":               strings.Replace(good, `"version":2`, `"version":1`, 1),
		"no tokens":                `{"format":"tallystick-transfer","version":2}` + "\n{}\n" + `{"end":1}` + "\n",
		"users that were not said": `{"format":"tallystick-transfer","version":2}` + good[57:],
	} {
		if _, _, _, err := read(bytes.NewReader(pack(t, []byte(lines))), count); !errors.Is(err, fault.TransferFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One line with a token twice would fail all that are taken in with it, so it is refused alone.
func TestATokenComesOnce(t *testing.T) {
	day := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	c := carried{Serial: "000000000001", Origin: token.Generated, Seed: make([]byte, 16), Generation: 1, Digits: 8, Interval: 60, PINType: device.NoPIN, Expiry: day, Effective: day}
	other := c
	other.Serial = "000000000002"
	if err := c.check([]carried{c, other}); err != nil {
		t.Fatal(err)
	}
	if err := c.check([]carried{c, c}); !errors.Is(err, fault.ImportRecord) {
		t.Errorf("twice: %v", err)
	}
}

// What a deployment does not write itself is refused in the one token that has it.
func TestATokenHasWhatATokenCanHave(t *testing.T) {
	day := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	whole := carried{
		Serial: "000000000001", Origin: token.Generated, Seed: make([]byte, 16), Generation: 1, Digits: 8, Interval: 60, PINType: device.NoPIN, Expiry: day, Effective: day,
		Method: device.File, DeviceID: "00:11-AB", Nickname: "Büro München",
	}
	never := token.LastExpiry.AddDate(0, 0, 1)
	if err := whole.check([]carried{whole}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*carried){
		"another serial":      func(c *carried) { c.Serial = "1" },
		"half a seed":         func(c *carried) { c.Seed = c.Seed[:8] },
		"seven digits":        func(c *carried) { c.Digits = 7 },
		"other intervals":     func(c *carried) { c.Interval = 45 },
		"a PIN of its own":    func(c *carried) { c.PINType = "own" },
		"no generation":       func(c *carried) { c.Generation = 0 },
		"a late generation":   func(c *carried) { c.Generation = 1<<30 + 1 },
		"no end":              func(c *carried) { c.Expiry = time.Time{} },
		"no end that counts":  func(c *carried) { c.Effective = time.Time{} },
		"a late end":          func(c *carried) { c.Expiry = never },
		"a late one":          func(c *carried) { c.Effective = never },
		"made too late":       func(c *carried) { c.MadeAt = never },
		"lost too late":       func(c *carried) { c.LostAt = never },
		"found":               func(c *carried) { c.Origin = "found" },
		"used before time":    func(c *carried) { c.LastInterval = token.Unused - 1 },
		"used up":             func(c *carried) { c.LastInterval = 1<<40 + 1 },
		"a fast clock":        func(c *carried) { c.Offset = 1<<30 + 1 },
		"a slow clock":        func(c *carried) { c.Offset = -1<<30 - 1 },
		"issued less":         func(c *carried) { c.Issues = -1 },
		"nobody's, enabled":   func(c *carried) { c.Enabled = true },
		"nobody's, replacing": func(c *carried) { c.Replaces = "000000000002" },
		"nobody's, replaced":  func(c *carried) { c.ReplacedBy = "000000000002" },
		"replacing none":      func(c *carried) { c.User, c.Distribution, c.Replaces = &person{}, token.Issued, "000000000002" },
		"replaced by none":    func(c *carried) { c.User, c.Distribution, c.ReplacedBy = &person{}, token.Issued, "000000000002" },
		"in the post":         func(c *carried) { c.User, c.Distribution = &person{}, "posted" },
		"delivered by pigeon": func(c *carried) { c.Method = "pigeon" },
		"a long nickname":     func(c *carried) { c.Nickname = strings.Repeat("x", 40_000) },
		"a screen's nickname": func(c *carried) { c.Nickname = "\x1b[2J" },
		"a device of lines":   func(c *carried) { c.DeviceID = "a\nb" },
	} {
		c := whole
		if change(&c); !errors.Is(c.check([]carried{c}), fault.ImportRecord) {
			t.Errorf("%s is taken in", name)
		}
	}
}
