package distribution_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/sdtid"
)

// stoken is what it shows at a time for a token file.
func (w *world) stoken(file []byte, at time.Time) string {
	w.Helper()
	path := filepath.Join(w.TempDir(), "token.sdtid")
	w.must(os.WriteFile(path, file, 0o600))
	out, err := exec.CommandContext(w.ctx, "stoken", "tokencode", "--file="+path, "--batch", "--use-time="+strconv.FormatInt(at.Unix(), 10), "--force").Output()
	w.must(err)
	return strings.TrimSpace(string(out))
}

// Extension changes no byte of what the app computes: not what ours shows nor what stoken shows, before and after, and
// both sign in when the day is over that they know.
func TestInvariant09ExtensionChangesNoCode(t *testing.T) {
	w := newWorld(t)
	peertest.Need(t, "stoken")
	w.profile("file", device.File, nil)
	serials, err := w.records.Create(w.ctx, 1, time.Time{}, w.Now().AddDate(0, 0, 40))
	w.must(err)
	serial := serials[0]
	_, err = w.tokens.Assign(w.ctx, serial, "alice")
	w.must(err)
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
	w.must(err)
	spare, err := w.records.Create(w.ctx, 1, time.Time{}, w.Now().AddDate(3, 0, 0))
	w.must(err)

	days := []time.Time{w.Now(), w.Now().AddDate(0, 0, 39), w.Now().AddDate(0, 0, 60), w.Now().AddDate(2, 0, 0)}
	type shown struct{ ours, stokens string }
	show := func() (all []shown) {
		for _, at := range days {
			w.Set(at)
			all = append(all, shown{w.code(out.File, ""), w.stoken(out.File, w.Now())})
		}
		return all
	}
	before, was := show(), w.token(serial)
	w.Set(days[2])
	w.check(w.code(out.File, ""), "denied") // it has expired
	for round, e := range []token.Extension{{Until: days[2].AddDate(0, 0, 1).Truncate(24 * time.Hour)}, {Donors: true}} {
		outcomes, _, err := w.tokens.Extend(w.ctx, serials, e)
		w.must(err)
		w.must(outcomes[0].Err)
		is := w.token(serial)
		if !bytes.Equal(is.Current.Sealed.Blob, was.Current.Sealed.Blob) || is.Current.Number != was.Current.Number || !is.Expiry.Equal(was.Expiry) {
			t.Errorf("round %d: the seed or what the device knows changed", round)
		}
	}
	after := show()
	for i := range days {
		if before[i] != after[i] || before[i].ours != before[i].stokens {
			t.Errorf("on %s: %v before, %v after", days[i].Format(time.DateOnly), before[i], after[i])
		}
	}
	w.Set(days[2].Add(time.Minute))
	w.check(w.stoken(out.File, w.Now()), "accepted")
	w.Set(days[3])
	w.check(w.code(out.File, ""), "accepted")
	_, err = w.tokens.Get(w.ctx, spare[0])
	w.refused(err, fault.TokenNotFound)
}

// The app learns of an extension with the next delivery: with a file at once, by dynamic provisioning in the exchange.
func TestTheNextDeliveryTellsOfAnExtension(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	serial := w.assigned()
	request := distribution.Request{Serial: serial, Profile: "file", Grace: -1}
	_, err := w.dist.Distribute(w.ctx, request)
	w.must(err)
	later := w.token(serial).Expiry.AddDate(1, 0, 0)
	outcomes, _, err := w.tokens.Extend(w.ctx, []string{serial}, token.Extension{Until: later})
	w.must(err)
	w.must(outcomes[0].Err)
	out, err := w.dist.Redistribute(w.ctx, request, distribution.NewDevice, "")
	w.must(err)
	f, err := sdtid.Parse(out.File)
	w.must(err)
	tokens, err := f.Open("")
	w.must(err)
	if !tokens[0].Expiry.Equal(later) || !w.token(serial).Expiry.Equal(later) {
		t.Errorf("the file says %s, and the record %s", tokens[0].Expiry, w.token(serial).Expiry)
	}
}
