package token

import "time"

// A Lifetime is where a token stands between its first and its last valid day (section 3.1).
type Lifetime string

// The states of a lifetime. An expiring token is valid.
const (
	NotYetValid Lifetime = "not_yet_valid"
	Valid       Lifetime = "valid"
	Expiring    Lifetime = "expiring" // its last valid day comes within some days
	Expired     Lifetime = "expired"
)

// LifetimeAt is the lifetime state at a moment. A valid token is expiring from so many days before its last valid day on (section 3.1: up to that many).
func (t *Token) LifetimeAt(now time.Time, warnDays int) Lifetime {
	switch {
	case t.ExpiredAt(now):
		return Expired
	case now.Before(t.Birth):
		return NotYetValid
	case t.endsWithin(now, warnDays):
		return Expiring
	}
	return Valid
}

// During narrows a filter to tokens that are in a lifetime state at a moment, as LifetimeAt tells it; "" narrows nothing.
func (f *Filter) During(l Lifetime, now time.Time, warnDays int) {
	today := now.UTC().Truncate(24 * time.Hour)
	soon := today.AddDate(0, 0, warnDays+1)
	var from, before time.Time
	switch l {
	case Expired:
		before = today
	case NotYetValid:
		from, f.BeginsAfter = today, now
	case Expiring:
		from, before, f.BeginsUntil = today, soon, now
	case Valid:
		from, f.BeginsUntil = soon, now
	default:
		return
	}
	if from.After(f.ExpiresFrom) {
		f.ExpiresFrom = from
	}
	if !before.IsZero() && (f.ExpiresBefore.IsZero() || before.Before(f.ExpiresBefore)) {
		f.ExpiresBefore = before
	}
}

// The parts that a token takes in a replacement (section 3.1).
const (
	NoReplacement = "none"
	Original      = "original"    // another token takes over from it
	Replacement   = "replacement" // it takes over from another token
)

// Part is the part that the token takes in a replacement.
func (t *Token) Part() string {
	switch {
	case t.Replaces != "":
		return Replacement
	case t.ReplacedBy != "":
		return Original
	}
	return NoReplacement
}
