package pin

import (
	"cmp"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// A Rule is what a refused PIN breaks: the fact "rule" of the refusal, for programs. Its message is for the user, and
// does not repeat the PIN.
type Rule string

// The rules.
const (
	NoPIN      Rule = "no_pin" // the token takes none
	Length     Rule = "length"
	Characters Rule = "characters"
	Letters    Rule = "letters" // too few
	Digits     Rule = "digits"  // too few
	Trivial    Rule = "trivial"
	Excluded   Rule = "excluded" // it has an excluded word in it
	Reused     Rule = "reused"   // it is one of the last
)

func refuse(r Rule, format string, args ...any) error {
	return fault.New(fault.PINInvalid, format, args...).With("rule", r)
}

// Rules are what a new PIN of one token must obey.
type Rules struct {
	Keys   Hasher
	Token  Token
	Policy policy.Token
	Past   History
	Now    time.Time // no four-digit PIN is a year from 1900 to this
	// Name is what it is called in refusals, "" for a PIN: a user may have a secret of her own that is made by the same rules.
	Name string
}

func (r Rules) name() string { return cmp.Or(r.Name, "PIN") }

// Lengths are the shortest and the longest PIN, in characters. A PINPad PIN is never longer than the code, or part of
// it would not be checked.
func (r Rules) Lengths() (least, most int) {
	least, most = r.Policy.PINMin, r.Policy.PINMax
	if r.Token.Type == device.PINPad {
		least, most = min(least, r.Token.Digits), min(most, r.Token.Digits)
	}
	return least, most
}

// Alphanumeric tells whether a PIN may have letters: only a fob's, since a PINPad PIN is added to the code.
func (r Rules) Alphanumeric() bool {
	return r.Token.Type == device.Fob && r.Policy.PINCharacters == policy.Alphanumeric
}

// New checks a PIN that was chosen for the token and returns the hash to keep. A refusal is a [fault.PINInvalid] that
// says in its message, for the user, which rule the PIN breaks, and names the [Rule].
func (r Rules) New(pin string) ([]byte, error) {
	if err := r.check(pin); err != nil {
		return nil, err
	}
	return keep(r.Keys, r.Token.bound(), pin), nil
}

func (r Rules) check(pin string) error {
	if err := r.form(pin); err != nil {
		return err
	}
	small := strings.ToLower(pin)
	easy := trivial(pin) || birthYear(pin, r.Now) || strings.Contains(strings.ToLower(r.Token.Serial), small)
	if r.Policy.RefuseTrivialPINs && easy {
		return refuse(Trivial, "this %s is too easy to guess: no sequence, repetition, keypad pattern, year or part of the serial number or user ID", r.name())
	}
	for _, word := range r.Policy.ExcludedWords {
		if strings.Contains(small, strings.ToLower(word)) {
			return refuse(Excluded, "this %s holds a word that is not allowed", r.name())
		}
	}
	if r.Past.holds(r.Keys, r.Token.bound(), pin, r.Policy.PINHistory) {
		return refuse(Reused, "this %s is one of the last %d: take a new one", r.name(), r.Policy.PINHistory)
	}
	return nil
}

const (
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// form checks how long a PIN is and what it is made of.
func (r Rules) form(pin string) error {
	if r.Token.Type == device.NoPIN {
		return refuse(NoPIN, "token %s takes no PIN: redistribute it with a profile that does", r.Token.Serial)
	}
	least, most := r.Lengths()
	characters, allowed := "digits", digits
	if r.Alphanumeric() {
		characters, allowed = "letters and digits", letters+digits
	}
	if n := len([]rune(pin)); n < least || n > most {
		if least == most {
			return refuse(Length, "a %s takes %d %s", r.name(), least, characters)
		}
		return refuse(Length, "a %s takes %d to %d %s", r.name(), least, most, characters)
	}
	if strings.Trim(pin, allowed) != "" {
		return refuse(Characters, "a %s takes only %s", r.name(), characters)
	}
	if !r.Alphanumeric() {
		return nil
	}
	if n := r.Policy.PINMinLetters; count(pin, letters) < n {
		return refuse(Letters, "a %s takes at least %d letters", r.name(), n)
	}
	if n := r.Policy.PINMinDigits; count(pin, digits) < n {
		return refuse(Digits, "a %s takes at least %d digits", r.name(), n)
	}
	return nil
}

// count is how many characters of s are in set.
func count(s, set string) int {
	n := 0
	for _, c := range s {
		if strings.ContainsRune(set, c) {
			n++
		}
	}
	return n
}
