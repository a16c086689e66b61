package emergency_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/emergency"
	"github.com/tallystick/tallystick/internal/fault"
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

func TestGenerate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default().Token
		p.EmergencyLength = rapid.IntRange(8, 16).Draw(t, "length")
		p.EmergencyCharacters = rapid.SampledFrom([]policy.Characters{policy.Digits, policy.Alphanumeric}).Draw(t, "characters")
		n := rapid.IntRange(1, emergency.MaxCodes).Draw(t, "codes")
		codes, err := emergency.Generate(n, p)
		if err != nil || len(codes) != n {
			t.Fatalf("%d codes, want %d: %v", len(codes), n, err)
		}
		allowed := "0123456789"
		if p.EmergencyCharacters == policy.Alphanumeric {
			allowed = "23456789ACDEFHJKMNPQRTUVWXY"
		}
		seen := map[string]bool{}
		for _, c := range codes {
			if len(c) != p.EmergencyLength || strings.Trim(c, allowed) != "" || seen[c] {
				t.Fatalf("code %q of %v", c, codes)
			}
			seen[c] = true
		}
	})
	if codes, err := emergency.Generate(emergency.MaxCodes, policy.Default().Token); err != nil || len(codes) != emergency.MaxCodes {
		t.Errorf("%d codes: %v", len(codes), err)
	}
	for _, n := range []int{-1, 0, emergency.MaxCodes + 1} {
		if _, err := emergency.Generate(n, policy.Default().Token); !errors.Is(err, fault.Invalid) {
			t.Errorf("%d codes: %v", n, err)
		}
	}
}

func TestOnlyTheCodeFits(t *testing.T) {
	const serial = "100000000001"
	rapid.Check(t, func(t *rapid.T) {
		codes, err := emergency.Generate(2, policy.Default().Token)
		if err != nil {
			t.Fatal(err)
		}
		kept := [][]byte{{}, emergency.Hash(key("k"), serial, codes[1]), emergency.Hash(key("k"), serial, codes[0]), nil}
		find := func(k key, kept [][]byte, serial, code string) int { return emergency.Find(k, kept, serial, code) }
		misread := strings.NewReplacer("8", "b", "6", "G", "5", "s", "2", "Z").Replace(strings.ToLower(codes[0]))
		for _, c := range []string{codes[0], strings.ToLower(codes[0]), misread} {
			if find("k", kept, serial, c) != 2 {
				t.Fatalf("%s does not fit %s", c, codes[0])
			}
		}
		if find("k", kept[2:], serial, codes[1]) != -1 || find("k", kept, "100000000002", codes[0]) != -1 ||
			find("other", kept, serial, codes[0]) != -1 || find("k", nil, serial, codes[0]) != -1 {
			t.Fatal("the hash fits another code, another token, another deployment, or nothing")
		}
	})
}

func TestLife(t *testing.T) {
	const day = 24 * time.Hour
	p := policy.Default().Token
	limited := p
	limited.EmergencyMaxLife = 10 * day
	for _, c := range []struct {
		p           policy.Token
		asked, want time.Duration
		code        fault.Code
	}{
		{p, 0, 7 * day, ""},
		{p, time.Minute, time.Minute, ""},
		{p, 365 * day, 365 * day, ""},
		{p, 366 * day, 0, fault.LifetimeTooLong},
		{p, -day, 0, fault.Invalid},
		{p, time.Second, 0, fault.Invalid},
		{limited, 0, 7 * day, ""},
		{limited, 10 * day, 10 * day, ""},
		{limited, 10*day + 1, 0, fault.LifetimeTooLong},
	} {
		if got, err := emergency.Life(c.asked, c.p); got != c.want || fault.CodeOf(err) != c.code {
			t.Errorf("asked %s, got %s, %v", c.asked, got, err)
		}
	}
	if _, err := emergency.Life(11*day, limited); err == nil || !strings.Contains(err.Error(), "live for 10 days at most") {
		t.Errorf("too long: %v", err)
	}
}
