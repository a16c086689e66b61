package pin

import (
	"crypto/rand"
	"errors"
	"math/big"
)

// preferred is the length of a PIN that the system makes where the policy leaves a choice: a million of them, and a user
// can still remember one.
const preferred = 6

// easyLetters are those that are not taken for other letters or for digits.
const easyLetters = "abcdefghjkmnpqrtuvwxy"

// Generate makes a PIN by the rules, for the user to be shown once. All PINs of its shape that the rules allow are
// equally likely. Its shape is 6 characters, or what of the allowed lengths is next to that, with as many letters as the
// policy demands: a user must type it on the smallest keypad.
func (r Rules) Generate() (string, error) {
	for range 1000 {
		pin := r.draw()
		if err := r.form(pin); err != nil {
			return "", err // the token takes no PIN
		}
		if r.check(pin) == nil {
			return pin, nil
		}
	}
	return "", errors.New("pin: the policy leaves no PIN to make")
}

// draw makes a PIN of the right shape.
func (r Rules) draw() string {
	least, most := r.Lengths()
	pin := make([]byte, max(least, min(preferred, most)))
	for i := range pin {
		pin[i] = digits[random(len(digits))]
	}
	if !r.Alphanumeric() {
		return string(pin)
	}
	// Each place is a letter with the chance that is left, so that every choice of places is equally likely.
	for i, left := 0, r.Policy.PINMinLetters; i < len(pin); i++ {
		if random(len(pin)-i) < left {
			pin[i] = easyLetters[random(len(easyLetters))]
			left--
		}
	}
	return string(pin)
}

// random is a number from 0 to below n, all equally likely.
func random(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return int(i.Int64())
}
