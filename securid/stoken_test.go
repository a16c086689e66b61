package securid_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/securid"
)

// An issued token is one that stoken made, with a seed of its own choice.
type issued struct {
	path, serial     string
	seed             []byte
	digits, interval int
	addPIN           bool
}

// template says what stoken is to issue.
const template = `<?xml version="1.0"?>
<TKNBatch><TKN>
<SN>%s</SN><Digits>%d</Digits><Interval>%d</Interval><AddPIN>%d</AddPIN>
</TKN></TKNBatch>
`

func issue(t *testing.T, n int) issued {
	t.Helper()
	dir := t.TempDir()
	i := issued{
		path: filepath.Join(dir, "token.sdtid"), serial: fmt.Sprintf("%012d", 98765432109*int64(n)),
		digits: 6 + n&1*2, interval: 30 + n>>1&1*30, addPIN: n>>2 == 1,
	}
	skeleton := filepath.Join(dir, "template")
	if err := os.WriteFile(skeleton, fmt.Appendf(nil, template, i.serial, i.digits, i.interval, n>>2), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := peertest.Stoken(t, "issue", "--template="+skeleton)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := peertest.Stoken(t, "show", "--seed", "--batch", "--file="+i.path)
	if err != nil {
		t.Fatal(err)
	}
	_, seed, _ := strings.Cut(shown, "Decrypted seed")
	seed, _, _ = strings.Cut(seed, "\n")
	i.seed = unhex(t, strings.ReplaceAll(strings.TrimLeft(seed, " :"), " ", ""))
	return i
}

// stoken shows our codes, for tokens of its own of every kind, at any time.
func TestStokenAgrees(t *testing.T) {
	var tokens []issued
	for n := range 8 {
		tokens = append(tokens, issue(t, n))
	}
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.SampledFrom(tokens).Draw(rt, "token")
		at := rapid.Int64Range(0, 2*4102444800).Draw(rt, "time")
		pin := rapid.StringMatching(`[0-9]{4,8}`).Draw(rt, "PIN")
		want, err := securid.Code(i.seed, i.serial, i.digits, i.interval, time.Unix(at, 0))
		if err == nil && i.addPIN {
			want, err = securid.AddPIN(want, pin)
		}
		if err != nil {
			rt.Fatal(err)
		}
		got, err := peertest.Stoken(t, "tokencode", "--batch", "--force", "--file="+i.path, "--pin="+pin, "--use-time="+strconv.FormatInt(at, 10))
		if err != nil || got != want {
			rt.Fatalf("stoken shows %s for %+v at %d, want %s (%v)", got, i, at, want, err)
		}
	})
}
