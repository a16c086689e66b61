package pin_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
)

// key hashes as a keyring does.
type key string

func (k key) MAC(purpose string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, []byte(string(k)+purpose))
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

const serial = "100000000001"

var (
	pinpad = pin.Token{Serial: serial, Type: device.PINPad, Digits: 6}
	fob    = pin.Token{Serial: serial, Type: device.Fob, Digits: 8}
	now    = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
)

// rules are those of a token under the default policy, changed.
func rules(t pin.Token, change func(*policy.Token)) pin.Rules {
	r := pin.Rules{Keys: key("k"), Token: t, Policy: policy.Default().Token, Now: now}
	if change != nil {
		change(&r.Policy)
	}
	return r
}

func TestOnlyThePINFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[0-9]{4,6}`).Draw(t, "pin")
		other := rapid.StringMatching(`[0-9]{4,6}`).Draw(t, "other")
		hash, err := pin.New(key("k"), pinpad, p)
		if err != nil {
			t.Skip("trivial")
		}
		if !pin.Check(key("k"), hash, serial, p) {
			t.Fatal("the PIN itself is refused")
		}
		if pin.Check(key("k"), hash, serial, other) != (p == other) {
			t.Fatal("another PIN fits")
		}
		if pin.Check(key("other"), hash, serial, p) || pin.Check(key("k"), hash, "100000000002", p) || pin.Check(key("k"), nil, serial, p) {
			t.Fatal("the hash fits another deployment, another token, or nothing")
		}
		again, _ := pin.New(key("k"), pinpad, p)
		if string(again) == string(hash) {
			t.Fatal("equal PINs have equal hashes")
		}
	})
}

// The history remembers the last PINs, the present one with them, and no more than the policy wants.
func TestHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 5).Draw(t, "history")
		r := rules(fob, func(p *policy.Token) { p.PINHistory, p.RefuseTrivialPINs = n, false })
		var used []string // the newest first
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			p := rapid.SampledFrom([]string{"4810", "4811", "4812", "4813", "4814", "4815", "4816"}).Draw(t, "pin")
			hash, err := r.New(p)
			last := used[:min(n, len(used))]
			if reused := strings.Contains(strings.Join(last, " "), p); reused != (err != nil) {
				t.Fatalf("after %v, %s of the last %d: %v", used, p, n, err)
			}
			if err != nil {
				broken(t, err, pin.Reused, p)
				continue
			}
			r.Past = r.Past.With(hash, r.Policy)
			used = append([]string{p}, used...)
		}
		if len(r.Past) > n*48 {
			t.Fatalf("%d bytes kept for %d PINs", len(r.Past), n)
		}
	})
}

// A policy that remembers fewer PINs than were kept goes by its own number.
func TestAHistoryThatIsLongerThanThePolicyWants(t *testing.T) {
	for history, reused := range map[int]string{0: "", 1: "4812", 2: "4812 4811", 5: "4812 4811 4810"} {
		r := rules(fob, nil)
		for _, p := range []string{"4810", "4811", "4812"} {
			hash, err := r.New(p)
			if err != nil {
				t.Fatal(err)
			}
			r.Past = r.Past.With(hash, r.Policy)
		}
		r.Policy.PINHistory = history
		for _, p := range []string{"4810", "4811", "4812"} {
			if _, err := r.New(p); (err != nil) != strings.Contains(reused, p) {
				t.Errorf("%s of the last %d: %v", p, history, err)
			}
		}
	}
}

// The hash of one PIN is a history, and a history is not changed by adding to it.
func TestAHashIsAHistory(t *testing.T) {
	r := rules(fob, nil)
	hash, err := r.New("4810")
	if err != nil {
		t.Fatal(err)
	}
	r.Past = hash
	_, err = r.New("4810")
	broken(t, err, pin.Reused, "4810")
	before := bytes.Clone(r.Past)
	r.Past.With(make([]byte, 48), r.Policy)
	if !bytes.Equal(r.Past, before) {
		t.Error("a history changed")
	}
	r.Past = r.Past[:20] // what is no history holds no PIN
	if _, err := r.New("4810"); err != nil {
		t.Error(err)
	}
}

func TestExpiry(t *testing.T) {
	p := policy.Default().Token
	if pin.Expired(now.AddDate(-50, 0, 0), false, p, now) {
		t.Error("a PIN expired though the policy lets it live for ever")
	}
	p.PINMaxLife = 90 * 24 * time.Hour
	for age, want := range map[time.Duration]bool{0: false, p.PINMaxLife - time.Second: false, p.PINMaxLife: true, 2 * p.PINMaxLife: true} {
		if pin.Expired(now.Add(-age), false, p, now) != want {
			t.Errorf("expired after %s: %t", age, !want)
		}
	}
	if !pin.Expired(now, true, p, now) {
		t.Error("a temporary PIN may stay")
	}
}

// broken fails the test unless err is the refusal of a rule that does not repeat the PIN.
func broken(t interface {
	Helper()
	Errorf(string, ...any)
}, err error, rule pin.Rule, p string) {
	t.Helper()
	var refusal *fault.Error
	if !errors.As(err, &refusal) || refusal.Code != fault.PINInvalid || refusal.Details["rule"] != rule {
		t.Errorf("%q: %v, want rule %s", p, err, rule)
	} else if p != "" && strings.Contains(err.Error(), p) {
		t.Errorf("the refusal repeats the PIN: %v", err)
	}
}
