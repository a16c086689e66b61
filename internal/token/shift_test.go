package token

import (
	"testing"
	"time"
)

// A code that only begins the dialogue for the next one uses up an interval, too, and leaves no time at which the seed was used.
func TestCorrectionOfATimePassesSeedsOverThatWereNeverAccepted(t *testing.T) {
	until := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		correction Correction
		usedAt     time.Time
		want       int
	}{
		"used before":           {Correction{Seconds: 120, UsedUntil: until}, until.Add(-time.Hour), 1},
		"used after":            {Correction{Seconds: 120, UsedUntil: until}, until.Add(time.Hour), 0},
		"never accepted, until": {Correction{Seconds: 120, UsedUntil: until}, time.Time{}, 0},
		"never accepted, since": {Correction{Seconds: 120, UsedSince: until}, time.Time{}, 0},
		"never accepted":        {Correction{Seconds: 120}, time.Time{}, 1},
	} {
		var tok Token
		tok.Current.Settings.Interval = 60
		tok.Current.LastInterval, tok.Current.LastUsedAt = 1, c.usedAt
		if moved := c.correction.shift(&tok); len(moved) != c.want {
			t.Errorf("%s: %d seeds were shifted, not %d", name, len(moved), c.want)
		}
	}
}
