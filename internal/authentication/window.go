package authentication

import (
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// match looks for a passcode among the codes of a generation: in the small window, then in the medium one, first among
// those that were not used, then, to tell why it is refused, among those that were (section 10.2).
func (r *round) match(t *tokenState, number int, passcode string) (verdict, error) {
	g := t.generation(number)
	v := verdict{token: t, number: number}
	err := r.codes(t.token, g, func(c *securid.Chain) { r.search(c, t, g, passcode, &v) })
	return v, err
}

// search fills in where the passcode was found, or why it is not right.
func (r *round) search(c *securid.Chain, t *tokenState, g *token.Generation, passcode string, v *verdict) {
	here := securid.Interval(r.now, g.Settings.Interval)
	from := here + g.Offset
	small := int64(t.policy.Token.WindowSmall)
	medium := max(small, int64(t.policy.Token.WindowMedium.Seconds())/int64(g.Settings.Interval))
	probe := r.engine.probe(t.as(g.Number), g.Settings, passcode)
	found := func(interval int64) { v.interval, v.offset = interval, interval-here }

	at, reason, ok := probe.find(c, max(from-medium, g.LastInterval+1), from+medium, from)
	far := at < from-small || at > from+small
	if ok && reason == "" {
		found(at)
		v.far = far
		return
	}
	before, wrong, used := probe.find(c, from-medium, min(from+medium, g.LastInterval), from)
	switch {
	case used && wrong == "":
		found(before)
		v.reason = AlreadyUsed
	case ok && !(probe.pinpad && far): // a wide window has some code that differs from any passcode by what may be a PIN
		found(at)
		v.reason = reason
	case used && !probe.pinpad:
		found(before)
		v.reason = wrong
	default:
		v.reason = probe.otherwise
	}
}

// A probe is a passcode taken apart for one token, ready to be compared with many codes.
type probe struct {
	engine   *Engine
	token    *token.Token
	digits   int
	pinpad   bool   // the PIN is in the code
	code     string // "" if the passcode cannot be one of this token
	number   uint32 // the code, if the PIN is not in it
	wrongPIN string // what is wrong with the PIN before the code, "" if nothing is
	// otherwise is the reason if no code fits.
	otherwise string
}

// probe takes a passcode apart by the token's PIN type (section 2).
func (e *Engine) probe(t *token.Token, s token.Settings, passcode string) probe {
	p := probe{engine: e, token: t, digits: s.Digits, otherwise: BadPasscode}
	before := len(passcode) - s.Digits // the characters before the code
	pinned := t.PIN.IsSet() && s.PINType != device.NoPIN
	switch {
	case before < 0:
		return p
	case before > 0 && (!pinned || s.PINType != device.Fob):
		p.wrongPIN = PINUnexpected
	case pinned && s.PINType == device.Fob && before == 0:
		p.wrongPIN = PINMissing
	case pinned && s.PINType == device.Fob && !pin.Check(e.Keys, t.PIN.Hash, t.PINSerial(), passcode[:before]):
		p.wrongPIN = BadPIN
	case pinned && s.PINType == device.Fob:
		p.otherwise = BadTokencode
	case pinned:
		p.pinpad = true
	}
	for _, c := range []byte(passcode[before:]) {
		if c < '0' || c > '9' {
			return p
		}
		p.number = p.number*10 + uint32(c-'0')
	}
	p.code = passcode[before:]
	return p
}

// find looks for the passcode among the codes of first to last, outwards from the interval from. reason is "" if all
// of it is right, else what is wrong with the PIN.
func (p *probe) find(c *securid.Chain, first, last, from int64) (at int64, reason string, ok bool) {
	if p.code == "" || first > last {
		return 0, "", false
	}
	if !p.pinpad {
		at, ok = c.Find(p.number, first, last, from)
		return at, p.wrongPIN, ok
	}
	for n := int64(0); n <= 2*max(from-first, last-from); n++ { // from, from-1, from+1, from-2, ...
		i := from + n/2
		if n%2 == 1 {
			i = from - (n+1)/2
		}
		if i < first || i > last {
			continue
		}
		switch p.engine.comparePINPad(p.token, p.code, c.At(i), p.digits) {
		case "":
			return i, "", true
		case BadPIN:
			if !ok {
				at, reason, ok = i, BadPIN, true
			}
		}
	}
	return at, reason, ok
}
