package pin_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
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

var pinpad = pin.Token{Serial: "100000000001", Type: device.PINPad, Digits: 6}

func TestRefusedPINs(t *testing.T) {
	for _, p := range []string{"", "123", "123456789", "12a4", "1111", "1234", "9876", "1357", "1212", "121212", "0000", "100000", "87654321", "２３４５"} {
		if _, err := pin.New(key("k"), pin.Token{Serial: "100000000001", Type: device.Fob, Digits: 8}, p); !errors.Is(err, fault.PINInvalid) {
			t.Errorf("%q: %v", p, err)
		} else if p != "" && strings.Contains(err.Error(), p) {
			t.Errorf("the refusal repeats the PIN: %v", err)
		}
	}
	if _, err := pin.New(key("k"), pinpad, "8093571"); !errors.Is(err, fault.PINInvalid) {
		t.Errorf("a PINPad PIN longer than the code: %v", err)
	}
	if _, err := pin.New(key("k"), pin.Token{Type: device.NoPIN, Digits: 8}, "8093"); !errors.Is(err, fault.PINInvalid) {
		t.Errorf("a PIN for a token without: %v", err)
	}
}

func TestOnlyThePINFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[0-9]{4,6}`).Draw(t, "pin")
		other := rapid.StringMatching(`[0-9]{4,6}`).Draw(t, "other")
		hash, err := pin.New(key("k"), pinpad, p)
		if err != nil {
			t.Skip("trivial")
		}
		if !pin.Check(key("k"), hash, pinpad.Serial, p) {
			t.Fatal("the PIN itself is refused")
		}
		if pin.Check(key("k"), hash, pinpad.Serial, other) != (p == other) {
			t.Fatal("another PIN fits")
		}
		if pin.Check(key("other"), hash, pinpad.Serial, p) || pin.Check(key("k"), hash, "100000000002", p) || pin.Check(key("k"), nil, pinpad.Serial, p) {
			t.Fatal("the hash fits another deployment, another token, or nothing")
		}
		again, _ := pin.New(key("k"), pinpad, p)
		if string(again) == string(hash) {
			t.Fatal("equal PINs have equal hashes")
		}
	})
}
