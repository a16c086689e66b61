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
	if err := whole.check([]carried{whole}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*carried){
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
