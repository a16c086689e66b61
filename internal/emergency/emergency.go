// Package emergency makes and checks emergency codes: what a user types in
// place of the tokencode while the token is lost or forgotten, either one code
// until its expiry or a set of codes that work once each
// (spec/software-token-lifecycle.md section 11.1).
//
// The server keeps a keyed hash. It is the same for the same token and code,
// so that a code can be claimed by its hash in one conditional write.
package emergency

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// A Hasher makes keyed hashes: a seed.Keyring.
type Hasher interface {
	MAC(purpose string, parts ...[]byte) []byte
}

// MaxCodes is how many one-time codes a set holds at most.
const MaxCodes = 50

const digits = "0123456789"

// plain are characters of which none is taken for another: of B and 8, G and 6, S and 5, Z and 2 only the digit is
// there, and none of 0, 1, I, L, O. Eight of them are 38 bits.
const plain = "23456789ACDEFHJKMNPQRTUVWXY"

// lookAlikes are what a user may have read in place of the characters that are there.
var lookAlikes = strings.NewReplacer("B", "8", "G", "6", "S", "5", "Z", "2")

// Generate makes n different codes, 1 to [MaxCodes], of the policy's length and characters.
func Generate(n int, p policy.Token) ([]string, error) {
	if n < 1 || n > MaxCodes {
		return nil, fault.New(fault.Invalid, "a set holds 1 to %d emergency codes, not %d", MaxCodes, n)
	}
	codes, seen := make([]string, 0, n), map[string]bool{}
	for len(codes) < n {
		if code := draw(p); !seen[code] {
			seen[code] = true
			codes = append(codes, code)
		}
	}
	return codes, nil
}

func draw(p policy.Token) string {
	from := plain
	if p.EmergencyCharacters == policy.Digits {
		from = digits
	}
	code := make([]byte, p.EmergencyLength)
	for i := range code {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(from))))
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		code[i] = from[at.Int64()]
	}
	return string(code)
}

// Hash is what the server keeps of a token's code, 32 bytes. Case does not matter, nor does a look-alike.
func Hash(h Hasher, serial, code string) []byte {
	return h.MAC("emergency-code", []byte(serial), []byte(lookAlikes.Replace(strings.ToUpper(code))))
}

// Find tells in constant time which of a token's kept hashes code is the one of, -1 for none.
func Find(h Hasher, kept [][]byte, serial, code string) int {
	hash, at := Hash(h, serial, code), -1
	for i, k := range kept {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(k, hash), i, at)
	}
	return at
}

// Life is how long codes live for which a life was asked, 0 if none was. [fault.LifetimeTooLong] if the policy does
// not allow it.
func Life(asked time.Duration, p policy.Token) (time.Duration, error) {
	longest := p.EmergencyMaxLife
	if longest == 0 {
		longest = policy.MaxEmergencyLife
	}
	switch {
	case asked == 0:
		return p.EmergencyLife, nil
	case asked < time.Minute:
		return 0, fault.New(fault.Invalid, "emergency codes live for a minute at least")
	case asked > longest:
		return 0, fault.New(fault.LifetimeTooLong, "emergency codes live for %s at most: the token policy of the user says so", inWords(longest))
	}
	return asked, nil
}

// inWords is a length of time in whole days, if it is one of those.
func inWords(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}
