package authentication

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// found is where in the window a passcode was found, or why it was not.
type found struct {
	interval int64  // of the code
	offset   int64  // intervals the token is ahead of the server
	reason   string // "" if the passcode is right
}

// match compares a passcode with the codes of the token's current generation in the small window.
func (e *Engine) match(ctx context.Context, t *token.Token, passcode string, now time.Time) (found, error) {
	g := t.Current
	secret, err := e.Keys.OpenSeed(ctx, g.Sealed, t.Serial, g.Number)
	if err != nil {
		return found{}, err
	}
	defer secret.Erase()
	raw := secret.Reveal()
	defer clear(raw)
	chain, err := securid.NewChain(raw, t.Serial, g.Settings.Digits, g.Settings.Interval)
	if err != nil {
		return found{}, err
	}
	defer chain.Erase()

	given, reason := split(t, g.Settings, passcode)
	if reason != "" {
		return found{reason: reason}, nil
	}
	here := securid.Interval(now, g.Settings.Interval)
	best := found{reason: BadPasscode}
	for i := here + g.Offset - smallWindow; i <= here+g.Offset+smallWindow; i++ {
		m := found{interval: i, offset: i - here, reason: e.compare(t, g.Settings, given, chain.At(i))}
		if m.reason == "" && i <= g.LastInterval {
			m.reason = AlreadyUsed
		}
		if m.reason == "" {
			return m, nil
		}
		if m.reason != BadPasscode {
			best = m
		}
	}
	return best, nil
}

// given is a passcode taken apart: the code, or the code with the PIN in it, and a fob's PIN.
type given struct {
	code string
	pin  string
}

// split takes a passcode apart by the token's PIN type (section 2), or gives the reason why it cannot be one.
func split(t *token.Token, s token.Settings, passcode string) (given, string) {
	if strings.Trim(passcode, "0123456789") != "" {
		return given{}, BadPasscode
	}
	switch {
	case len(passcode) == s.Digits && pinned(t, s) && s.PINType == device.Fob:
		return given{}, PINMissing
	case len(passcode) == s.Digits:
		return given{code: passcode}, ""
	case len(passcode) == t.PIN.Length+s.Digits && pinned(t, s) && s.PINType == device.Fob:
		return given{code: passcode[t.PIN.Length:], pin: passcode[:t.PIN.Length]}, ""
	}
	return given{}, BadPasscode
}

// compare tells whether what was given fits one tokencode, and if not, why.
func (e *Engine) compare(t *token.Token, s token.Settings, in given, tokencode uint32) string {
	if s.PINType == device.PINPad && pinned(t, s) {
		return e.comparePINPad(t, in.code, securid.Format(tokencode, s.Digits))
	}
	code, err := strconv.ParseUint(in.code, 10, 32)
	if err != nil || uint32(code) != tokencode {
		return BadPasscode
	}
	if pinned(t, s) && !pin.Check(e.Keys, t.PIN.Hash, t.Serial, in.pin) {
		return BadPIN
	}
	return ""
}

// comparePINPad takes the tokencode out of the passcode: what remains must be the PIN behind zeros
// (spec/securid-tokencode.md section 7.2). The zeros are a cheap filter; a passcode of any other
// interval leaves digits in their place and nearly always ends there.
func (e *Engine) comparePINPad(t *token.Token, passcode, tokencode string) string {
	rest, err := securid.SubtractPIN(passcode, tokencode)
	if err != nil || t.PIN.Length > len(rest) {
		return BadPasscode
	}
	zeros, guess := rest[:len(rest)-t.PIN.Length], rest[len(rest)-t.PIN.Length:]
	if strings.Trim(zeros, "0") != "" {
		return BadPasscode
	}
	if !pin.Check(e.Keys, t.PIN.Hash, t.Serial, guess) {
		if zeros == "" {
			return BadPasscode // any passcode leaves some PIN: nothing says that the code was right
		}
		return BadPIN
	}
	return ""
}
