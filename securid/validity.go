package securid

import "time"

// End is the first instant at which a token is no longer valid: 00:00 UTC of
// the day after its expiry date, which is its last valid day (section 9). A
// zero expiry date, of a token without one, has a zero end.
func End(expiry time.Time) time.Time {
	if expiry.IsZero() {
		return time.Time{}
	}
	return day(expiry).AddDate(0, 0, 1)
}

// Valid says whether t lies in the days from birth to expiry, both included.
// A zero date does not limit. There is no grace for late clocks: a server that
// wants some adds it to t.
func Valid(birth, expiry, t time.Time) bool {
	if !birth.IsZero() && t.Before(day(birth)) {
		return false
	}
	return expiry.IsZero() || t.Before(End(expiry))
}

// day is 00:00 UTC of the UTC day that t lies in.
func day(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
