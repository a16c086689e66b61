// Package pin holds the rules for PINs and what the server keeps of one: a
// hash keyed with a secret that is not in the database, never the PIN
// (spec/software-token-lifecycle.md sections 3 and 10.4; docs/divergences.md
// says why the hash is fast).
//
//	rules := pin.Rules{Keys: keyring, Token: t, Policy: policies.Token, Past: past, Now: now}
//	hash, err := rules.New("8093")          // err says for the user why not
//	past = past.With(hash, policies.Token)  // kept beside the hash
//	ok := pin.Check(keyring, hash, serial, "8093")
package pin

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/policy"
)

// A Hasher makes keyed hashes: a seed.Keyring.
type Hasher interface {
	MAC(purpose string, parts ...[]byte) []byte
}

// A Token is what a PIN must fit to.
type Token struct {
	Serial string
	// Bound is the serial that its hashes are bound to, "" for its own: a PIN may be carried over to the token that
	// replaces another one, and nobody knows it then to hash it anew.
	Bound  string
	Type   device.PINType
	Digits int // length of its codes
}

func (t Token) bound() string { return cmp.Or(t.Bound, t.Serial) }

// New is [Rules.New] under the default policy, for a token that had no PIN before.
func New(h Hasher, t Token, pin string) ([]byte, error) {
	return Rules{Keys: h, Token: t, Policy: policy.Default().Token}.New(pin)
}

// Expired tells whether a PIN that is right must be changed now: it is older than the policy's longest life, or it is a
// temporary one, which an administrator set and which expires at its first use.
func Expired(setAt time.Time, temporary bool, p policy.Token, now time.Time) bool {
	return temporary || p.PINMaxLife > 0 && !now.Before(setAt.Add(p.PINMaxLife))
}

const (
	saltSize = 16
	hashSize = saltSize + 32 // bytes of what is kept of one PIN: the salt, then HMAC-SHA-256
)

// keep makes what is kept of a PIN.
func keep(h Hasher, serial, pin string) []byte {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return hash(h, salt, serial, pin)
}

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

// A History is the hashes of the PINs that a token has had, the present one first: what [Rules.New] returned, one after
// the other. The hash of a single PIN is a history too. It ends with the assignment to its user.
type History []byte

// With is the history after one more PIN, cut to as many as the policy remembers.
func (past History) With(hash []byte, p policy.Token) History {
	all := append(append(History{}, hash...), past...)
	return all[:min(len(all), p.PINHistory*hashSize)]
}

// holds tells whether pin is one of the last n.
func (past History) holds(h Hasher, serial, pin string, n int) bool {
	found := false
	for ; n > 0 && len(past) >= hashSize; n-- {
		found = Check(h, past[:hashSize], serial, pin) || found
		past = past[hashSize:]
	}
	return found
}
