package authentication

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// resyncBeyond is how far to each side of now a pair of tokencodes is looked for once it is not in the large window, to
// tell a clock that is far off (a wrong date, a wrong time zone) from codes of another token.
const resyncBeyond = 7 * 24 * time.Hour

// Resync learns how far the clock of a token is off from two successive tokencodes, without PIN: of a PINPad token, those
// that the app shows for an empty PIN (section 11). They are looked for in the policy's large window, in each seed that
// the token may have. Both are used up then, and wrong passcodes before them are forgotten.
//
// The refusals are [fault.ResyncNoMatch], [fault.ResyncNotSuccessive], [fault.ResyncOutOfRange], [fault.ResyncPasscode],
// [fault.ResyncUsed] and, for what cannot be a code, [fault.Invalid].
func (e *Engine) Resync(ctx context.Context, serial, first, second string) error {
	t, err := e.held(ctx, serial)
	if err != nil {
		return err
	}
	return e.alone(ctx, t.UserID, func(r *round, j *job) error {
		s := r.subject(j, t.UserID)
		if s == nil || s.holding(serial) == nil {
			return fault.New(fault.Conflict, "token %s got another user meanwhile: read it again", serial)
		}
		err := r.resync(j, s, s.holding(serial), first, second)
		if code := fault.CodeOf(err); code != "" {
			r.record(j, "resync.fail", "token:"+serial, string(code), audit.Details{"user": s.UserID})
		}
		return err
	})
}

func (r *round) resync(j *job, s *subject, t *tokenState, first, second string) error {
	r.endGrace(j, t)
	var refusal error
	for _, number := range numbers(t.token) {
		at, err := r.successive(t, number, plainCode(first), plainCode(second))
		if err == nil {
			r.resynced(j, s, t, number, at)
			return nil
		}
		if refusal == nil || knowing(err) > knowing(refusal) {
			refusal = err
		}
	}
	return refusal
}

// knowing ranks the refusals of seeds by how much they know of two codes. What is too long or too short for one may be right for another.
func knowing(refusal error) int {
	switch code := fault.CodeOf(refusal); {
	case errors.Is(refusal, errTooLong), code == fault.Invalid:
		return 0
	case code == fault.ResyncNoMatch:
		return 1
	case code == fault.ResyncPasscode:
		return 2
	}
	return 3
}

// plainCode is a code without the blanks that people type between its groups of digits.
func plainCode(typed string) string { return strings.Join(strings.Fields(typed), "") }

// resynced stores what the code of an interval and the one after it tell.
func (r *round) resynced(j *job, s *subject, t *tokenState, number int, at int64) {
	g := t.generation(number)
	here := securid.Interval(r.now, g.Settings.Interval)
	was := g.Offset
	r.endNext(j, s, t, Source{})
	g.LastInterval = at + 1
	r.learn(g, at+1-here)
	r.record(j, "resync.done", "token:"+t.token.Serial, "", audit.Details{
		"user": s.UserID, "generation": number, "offset": g.Offset, "was_offset": was,
	})
	v := verdict{token: t, number: number, interval: at + 1}
	ours := !t.token.LostWith(g)
	r.prove(j, v)
	if ours { // a seed that was made since the token was lost has come
		r.turnUp(j, v)
	}
}

// learn stores the clock offset that a code told which nobody was told is accepted. It stores when, so that a correction of clocks comes to it
// if the server's own was wrong, and takes away who was told of the last success: that code is no retransmission of another one's.
func (r *round) learn(g *token.Generation, offset int64) {
	g.Offset, g.LastUsedAt, g.LastAgent = offset, r.now, ""
}

// successive is the interval of the first of two codes of a generation, of which the second is the next.
func (r *round) successive(t *tokenState, number int, first, second string) (at int64, err error) {
	g := t.generation(number)
	one, err := codeNumber(t.token, g, first)
	if err != nil {
		return 0, err
	}
	two, err := codeNumber(t.token, g, second)
	if err != nil {
		return 0, err
	}
	here := securid.Interval(r.now, g.Settings.Interval)
	large, beyond := intervals(t.policy.Token.WindowLarge, g), intervals(resyncBeyond, g)
	// Around what the clock showed before, and around now, in case that it was set right.
	lowest, highest := here-large+min(g.Offset, 0), here+large+max(g.Offset, 0)
	var near, before, after pair
	merged := false
	err = r.codes(t.token, g, func(c *securid.Chain) {
		near = findPair(c, one, two, lowest, highest, here+g.Offset)
		if near.found || near.first && near.second {
			return
		}
		before = findPair(c, one, two, here-beyond, lowest, here)
		after = findPair(c, one, two, highest, here+beyond, here)
		p := r.engine.probe(t.as(number), g.Settings, first)
		if p.pinpad {
			_, wrong, ok := p.find(c, lowest, highest, here+g.Offset)
			merged = ok && wrong == ""
		}
	})
	switch {
	case err != nil:
		return 0, err
	case near.found && near.at <= g.LastInterval:
		return 0, usedBefore(g.LastInterval-near.at-1, g)
	case near.found:
		return near.at, nil
	case near.first && near.second:
		return 0, fault.New(fault.ResyncNotSuccessive, "these are tokencodes of the token, but the second is not the one that follows the first: enter one, wait until it changes, and enter the next")
	case merged:
		return 0, errPasscode
	case before.found:
		return 0, outOfRange(here-before.at, "behind", g)
	case after.found:
		return 0, outOfRange(after.at-here, "ahead", g)
	}
	return 0, fault.New(fault.ResyncNoMatch, "these are no tokencodes of token %s within %s of now: compare the serial number in the app, and enter the codes without the PIN", t.token.Serial, t.policy.Token.WindowLarge)
}

// Two refusals with the same words: of a code that holds a PIN, and of what is too long for a code.
var (
	errPasscode = morePasscode()
	errTooLong  = morePasscode()
)

func morePasscode() error {
	return fault.New(fault.ResyncPasscode, "this is more than a tokencode: leave the PIN out; an app that asks for the PIN shows the tokencode when the PIN is left empty")
}

// usedBefore is the refusal of two codes, the second of which comes so many intervals before the last that was used.
func usedBefore(off int64, g *token.Generation) error {
	if off <= 1 {
		return fault.New(fault.ResyncUsed, "these tokencodes, or later ones, were used before: wait for the next two")
	}
	return fault.New(fault.ResyncUsed, "later tokencodes than these were used before, since the clock of the device was %s ahead of what it shows now: "+
		"wait for so long, or have the token get a new seed with 'token redistribute'", length(off, g))
}

func outOfRange(off int64, direction string, g *token.Generation) error {
	return fault.New(fault.ResyncOutOfRange, "the clock of the device is %s %s: set its time, date and time zone, and try again", length(off, g).Round(time.Minute), direction)
}

// length is how long so many intervals of a generation are.
func length(n int64, g *token.Generation) time.Duration {
	return time.Duration(n) * time.Duration(g.Settings.Interval) * time.Second
}

// intervals is how many of a generation's a length of time holds.
func intervals(d time.Duration, g *token.Generation) int64 {
	return int64(d.Seconds()) / int64(g.Settings.Interval)
}

// codeNumber reads a tokencode as a generation shows it.
func codeNumber(t *token.Token, g *token.Generation, code string) (uint32, error) {
	switch digits := strings.Trim(code, "0123456789") == ""; {
	case len(code) > g.Settings.Digits, !digits:
		return 0, errTooLong
	case len(code) < g.Settings.Digits:
		return 0, fault.New(fault.Invalid, "a tokencode of token %s has %d digits", t.Serial, g.Settings.Digits)
	}
	n, err := strconv.ParseUint(code, 10, 32)
	return uint32(n), err
}

// A pair is what a search for two successive codes found.
type pair struct {
	found         bool
	at            int64 // the interval of the first, nearest to where the search is around
	first, second bool  // whether each was there at all
}

// findPair looks for two successive codes among the intervals first to last, both included.
func findPair(c *securid.Chain, one, two uint32, first, last, around int64) pair {
	var p pair
	code := c.At(first)
	for i := first; i <= last; i++ {
		p.first = p.first || code == one
		p.second = p.second || code == two
		next := c.At(i + 1)
		if i < last && code == one && next == two && (!p.found || distance(i, around) < distance(p.at, around)) {
			p.found, p.at = true, i
		}
		code = next
	}
	return p
}

func distance(a, b int64) int64 { return max(a-b, b-a) }
