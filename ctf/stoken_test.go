package ctf_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/peertest"
)

// These tests run the program stoken, which nobody here wrote: it opens every
// form that we write, and we open every form that it writes.

func stoken(t *testing.T, args ...string) string {
	t.Helper()
	out, err := peertest.Stoken(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// secrets are the options that open a string.
func secrets(password, deviceID string) (args []string) {
	if password != "" {
		args = append(args, "--password="+password)
	}
	if deviceID != "" {
		args = append(args, "--devid="+deviceID)
	}
	return args
}

// instants are the times at which codes are compared: ordinary ones, and both
// sides of a day, a leap day, a year, and 32 bits.
var instants = []int64{1700000000, 1709164799, 1709251200, 1735689599, 1735689600, 2147483647, 4102444799}

// leftOut says which cases -short leaves out, of those that run stoken several times each. No variant has a period of 5.
func leftOut(n int) bool { return testing.Short() && n%5 != 0 }

// sameCodes compares codes of a string in stoken with those of a token, the
// nth time at other instants. It gives what else stoken says.
func sameCodes(t *testing.T, n int, text, password, deviceID string, token ctf.Token) (remark string) {
	t.Helper()
	for i := range 3 {
		at := instants[(3*n+i)%len(instants)]
		out := stoken(t, append([]string{
			"tokencode", "--token=" + text, "--batch", "--force", "--pin=1234", "--use-time=" + strconv.FormatInt(at, 10),
		}, secrets(password, deviceID)...)...)
		end := strings.LastIndexByte(out, '\n') + 1
		if got, want := out[end:], code(t, token, at, "1234"); got != want {
			t.Errorf("stoken shows %s at %d, want %s", got, at, want)
		}
		remark = out[:end]
	}
	return remark
}

func TestStokenReads(t *testing.T) {
	n := 0
	for _, version := range []int{2, 3} {
		for carrier := ctf.Plain; carrier <= ctf.IOS; carrier++ {
			if version == 3 && carrier < ctf.Android {
				continue
			}
			for _, password := range []string{"", "Pässwört <&> 1"} {
				for _, deviceID := range []string{"", "d82c-467c-56fb-2058-edf8-add6", android, strings.ReplaceAll(android, "-", "")} {
					token := sample()
					token.Digits, token.Interval, token.AddPIN, token.LocalPIN = 6+n&1*2, 30+n>>1&1*30, n>>2&1 == 0, n>>3&1 == 0
					token.Serial = fmt.Sprintf("%012d", 7777777*n)
					n++
					if leftOut(n) {
						continue
					}
					t.Run(fmt.Sprintf("version %d carrier %d password %t device %.8s", version, carrier, password != "", deviceID), func(t *testing.T) {
						text := encode(t, token, ctf.Options{Version: version, Carrier: carrier, Password: password, DeviceID: deviceID})
						sameCodes(t, n, text, password, deviceID, token)
					})
				}
			}
		}
	}
}

// A string that is bound to a class opens in stoken by itself; in the forms
// without URL only if the GUID was given with its dashes.
func TestStokenTriesClasses(t *testing.T) {
	for n, class := range ctf.Classes {
		bare := strings.ReplaceAll(class.GUID, "-", "")
		for _, o := range []ctf.Options{
			{Version: 2, Carrier: ctf.Plain, DeviceID: class.GUID},
			{Version: 2, Carrier: ctf.Android, DeviceID: []string{class.GUID, bare}[n%2]},
			{Version: 3, Carrier: ctf.Android, DeviceID: bare},
		} {
			if remark := sameCodes(t, n, encode(t, sample(), o), "", "", sample()); !strings.Contains(remark, "class GUID") {
				t.Errorf("version %d, carrier %d, class %s: stoken says %q", o.Version, o.Carrier, class.Name, remark)
			}
		}
	}
}

// stoken refuses with us what is locked with other secrets.
func TestStokenRefusesWithUs(t *testing.T) {
	for _, version := range []int{2, 3} {
		text := encode(t, sample(), ctf.Options{Version: version, Carrier: ctf.Android, Password: "secret", DeviceID: "d82c467c"})
		for _, c := range []struct {
			password, deviceID string
			want               error
		}{
			{"", "d82c467c", ctf.ErrPasswordRequired}, {"secret", "", ctf.ErrDeviceRequired},
			{"Secret", "d82c467c", ctf.ErrWrongPassword}, {"secret", "d82c467d", ctf.ErrWrongDevice},
		} {
			if _, err := open(text, c.password, c.deviceID); !errors.Is(err, c.want) {
				t.Errorf("version %d: %v, want %v", version, err, c.want)
			}
			args := append([]string{"tokencode", "--token=" + text, "--batch", "--force"}, secrets(c.password, c.deviceID)...)
			if out, err := peertest.Stoken(t, args...); err == nil {
				t.Errorf("version %d, %v: stoken shows %s", version, c.want, out)
			}
		}
	}
}

// We open what stoken exports, with the seed that it says is in it.
func TestStokenWrites(t *testing.T) {
	file := t.TempDir() + "/token.sdtid"
	n := 0
	for range 2 {
		issued := stoken(t, "issue")
		if err := os.WriteFile(file, []byte(issued), 0o600); err != nil {
			t.Fatal(err)
		}
		want := field(t, stoken(t, "show", "--seed", "--batch", "--file="+file), "Decrypted seed")
		for _, form := range []string{"", "--blocks", "--android", "--iphone", "--v3", "--v3 --iphone"} {
			for _, password := range []string{"", "Pässwört 1", strings.Repeat("x", 40)} {
				for _, deviceID := range []string{"", android, "d82c 467c 56fb 2058 edf8 add6"} {
					n++
					if leftOut(n) {
						continue
					}
					args := append([]string{"export", "--batch", "--file=" + file}, strings.Fields(form)...)
					if password != "" {
						args = append(args, "--new-password="+password)
					}
					if deviceID != "" {
						args = append(args, "--new-devid="+deviceID)
					}
					text := stoken(t, args...)
					token, err := open(text, password, deviceID)
					if err != nil {
						t.Errorf("%q, password %q, device %q: %v\n%s", form, password, deviceID, err, text)
						continue
					}
					if got := hex.EncodeToString(token.Seed); got != want {
						t.Errorf("%q: seed %s, want %s", form, got, want)
					}
					sameCodes(t, n, text, password, deviceID, token)
				}
			}
		}
	}
}

// field is a line of "stoken show", without blanks.
func field(t *testing.T, shown, name string) string {
	t.Helper()
	for line := range strings.Lines(shown) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), "")
		}
	}
	t.Fatalf("stoken does not show %s:\n%s", name, shown)
	return ""
}
