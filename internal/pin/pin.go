// Package pin holds the rules for PINs and what the server keeps of one: a
// hash keyed with a secret that is not in the database, never the PIN
// (spec/software-token-lifecycle.md sections 3 and 10.4; docs/divergences.md
// says why the hash is fast).
package pin

import (
	"crypto/rand"
	"crypto/subtle"
	"strings"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

// Lengths of a PIN in characters.
const (
	MinLength = 4
	MaxLength = 8
)

// A Hasher makes keyed hashes: a seed.Keyring.
type Hasher interface {
	MAC(purpose string, parts ...[]byte) []byte
}

// A Token is what a PIN must fit to.
type Token struct {
	Serial string
	Type   device.PINType
	Digits int // length of its codes
}

// New checks a PIN for a token and returns the hash to keep: 4 to 8 digits, and none of the
// trivial ones. A PINPad PIN must not be longer than the code, or part of it would never be checked.
func New(h Hasher, t Token, pin string) ([]byte, error) {
	if t.Type == device.NoPIN {
		return nil, fault.New(fault.PINInvalid, "token %s takes no PIN: redistribute it with a profile that does", t.Serial)
	}
	if len(pin) < MinLength || len(pin) > MaxLength || strings.Trim(pin, "0123456789") != "" {
		return nil, fault.New(fault.PINInvalid, "a PIN takes %d to %d digits", MinLength, MaxLength)
	}
	if t.Type == device.PINPad && len(pin) > t.Digits {
		return nil, fault.New(fault.PINInvalid, "a PIN for this token takes at most %d digits, as its codes do", t.Digits)
	}
	if trivial(pin) || strings.Contains(t.Serial, pin) {
		return nil, fault.New(fault.PINInvalid, "this PIN is too easy to guess: no sequence, no repetition, no part of the serial number")
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return hash(h, salt, t.Serial, pin), nil
}

// trivial finds PINs that people choose first: one step repeated, such as
// 1111, 1234 or 9753, and a short group repeated, such as 1212.
func trivial(pin string) bool {
	sameStep := true
	for i := 2; i < len(pin); i++ {
		sameStep = sameStep && pin[i]-pin[i-1] == pin[1]-pin[0]
	}
	for n := 1; n <= len(pin)/2; n++ {
		if len(pin)%n == 0 && strings.Repeat(pin[:n], len(pin)/n) == pin {
			return true
		}
	}
	return sameStep
}

const saltSize = 16

func hash(h Hasher, salt []byte, serial, pin string) []byte {
	return append(salt[:saltSize:saltSize], h.MAC("pin", salt, []byte(serial), []byte(pin))...)
}

// Check tells in constant time whether pin is the one that the kept hash was made from.
func Check(h Hasher, kept []byte, serial, pin string) bool {
	if len(kept) <= saltSize {
		return false
	}
	return subtle.ConstantTimeCompare(kept, hash(h, kept[:saltSize], serial, pin)) == 1
}
