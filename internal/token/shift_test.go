package token

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/securid"
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

// By intervals of another length a seed shows some of its codes again: none of what was used counts anew.
func TestRecount(t *testing.T) {
	const serial = "000123456789"
	codes := map[int]*securid.Chain{}
	for _, interval := range []int{30, 60} {
		c, err := securid.NewChain(make([]byte, 16), serial, 8, interval)
		if err != nil {
			t.Fatal(err)
		}
		codes[interval] = c
	}
	start := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for at := start; at.Before(start.Add(20 * time.Minute)); at = at.Add(30 * time.Second) {
		for _, c := range []struct{ was, is int }{{30, 60}, {60, 30}} {
			used := securid.Interval(at, c.was)
			clock := Clock{LastInterval: used, Offset: 4}
			clock.recount(c.was, c.is)
			if wait := (clock.LastInterval+1)*int64(c.is) - at.Unix(); wait <= 0 || wait > 240 || clock.Offset != int64(4*c.was/c.is) {
				t.Fatalf("%d s after %d s at %s: %d s, offset %d", c.is, c.was, at, wait, clock.Offset)
			}
			for old := used - 20; old <= used; old++ {
				for fresh := clock.LastInterval + 1; fresh < clock.LastInterval+40; fresh++ {
					if codes[c.was].At(old) == codes[c.is].At(fresh) {
						t.Fatalf("%d s after %d s: a code used at %s counts again", c.is, c.was, at)
					}
				}
			}
		}
	}
	unused := Clock{LastInterval: Unused}
	if unused.recount(30, 60); unused.LastInterval != Unused {
		t.Error("a seed of which no code was used has used ones")
	}
}
