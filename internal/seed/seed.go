// Package seed keeps the secret of a token: made at random, never printed,
// and sealed at rest.
//
// A [Seed] holds the 16 bytes while the server or the app works with them. It
// cannot be printed, logged or marshalled; its bytes leave through
// [Seed.Reveal] only, so a search for Reveal finds every line that handles
// them. What is stored is a [Sealed]: the secret encrypted under a data key of
// the deployment's [Keyring], bound to what it belongs to. Data keys are
// wrapped by a master key that never enters the database (docs/security.md).
package seed

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Size is the length of a seed in bytes (spec/securid-tokencode.md section 2).
const Size = 16

// A Seed is the secret of one token. The zero value holds nothing.
type Seed struct{ secret func() []byte } // fmt prints fields, even unexported ones, but not what a func holds

// New keeps a copy of b, which the caller may then erase.
func New(b []byte) Seed {
	b = bytes.Clone(b)
	return Seed{func() []byte { return b }}
}

// Generate makes a new seed of [Size] bytes from the system's random source.
func Generate() Seed {
	b := make([]byte, Size)
	rand.Read(b) // never fails: it ends the program instead
	return Seed{func() []byte { return b }}
}

// IsZero tells whether s holds no seed.
func (s Seed) IsZero() bool { return s.secret == nil }

// Reveal returns a copy of the bytes, nil for the zero Seed. Whoever calls it
// answers for where they go, and erases the copy with clear.
func (s Seed) Reveal() []byte {
	if s.secret == nil {
		return nil
	}
	return bytes.Clone(s.secret())
}

// Erase overwrites the secret in memory; every copy of s then holds zeros.
func (s Seed) Erase() {
	if s.secret != nil {
		clear(s.secret())
	}
}

// Equal compares two seeds in constant time. Zero Seeds equal nothing.
func (s Seed) Equal(o Seed) bool {
	return s.secret != nil && o.secret != nil && subtle.ConstantTimeCompare(s.secret(), o.secret()) == 1
}

// Format hides the seed from every verb of package fmt.
func (Seed) Format(f fmt.State, _ rune) { io.WriteString(f, "seed(hidden)") }

// LogValue hides the seed from package slog.
func (Seed) LogValue() slog.Value { return slog.StringValue("seed(hidden)") }

// MarshalText refuses: a seed is sealed or revealed, never marshalled.
func (Seed) MarshalText() ([]byte, error) {
	return nil, errors.New("seed: never marshalled, see Reveal and Keyring.Seal")
}
