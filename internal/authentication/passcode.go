package authentication

import (
	"crypto/subtle"

	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/token"
)

// comparePINPad takes a tokencode out of a PINPad passcode: what remains must be the PIN behind zeros
// (spec/securid-tokencode.md section 7.2). The zeros are a cheap filter; a passcode of any other
// interval leaves digits in their place and nearly always ends there.
func (e *Engine) comparePINPad(t *token.Token, passcode string, tokencode uint32, digits int) string {
	var rest [8]byte // the most digits that a code has
	filtered := digits - t.PIN.Length
	if filtered < 0 {
		return BadPasscode
	}
	for i := digits - 1; i >= 0; i-- {
		rest[i] = '0' + (passcode[i]-'0'+10-byte(tokencode%10))%10
		tokencode /= 10
	}
	for _, c := range rest[:filtered] {
		if c != '0' {
			return BadPasscode
		}
	}
	if pin.Check(e.Keys, t.PIN.Hash, t.PINSerial(), string(rest[filtered:digits])) {
		return ""
	}
	if filtered == 0 {
		return BadPasscode // any passcode leaves some PIN: nothing says that the code was right
	}
	return BadPIN
}

// fits tells whether a passcode is made of one tokencode, and if not, why.
func (e *Engine) fits(t *token.Token, s token.Settings, passcode string, tokencode uint32) string {
	p := e.probe(t, s, passcode)
	switch {
	case p.code == "":
		return BadPasscode
	case p.pinpad:
		return e.comparePINPad(t, p.code, tokencode, s.Digits)
	case p.number != tokencode:
		return p.otherwise
	}
	return p.wrongPIN
}

// sameCode compares what was typed with a tokencode in constant time.
func sameCode(typed, code string) bool {
	return subtle.ConstantTimeCompare([]byte(typed), []byte(code)) == 1
}
