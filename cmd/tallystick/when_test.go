package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/tallystick/tallystick/client"
)

func TestLifeFlag(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "7d": 7 * 24 * time.Hour, "-5m": -5 * time.Minute, "0": 0} {
		var got time.Duration
		if err := (lifeValue{to: &got}).Set(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "3days", "10", "1.5s", "1w"} {
		if err := (lifeValue{to: new(time.Duration)}).Set(text); err == nil || err.Error() != "write a length of time as 90s, 15m, 24h or 7d" {
			t.Errorf("%q: %v", text, err)
		}
	}
	var fine time.Duration
	if err := (lifeValue{&fine, true}).Set("250ms"); err != nil || fine != 250*time.Millisecond {
		t.Errorf("250ms is %v, %v", fine, err)
	}
}

func TestDefaultsOfLifeFlagsAreShownAsTheyAreGiven(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	var life time.Duration
	lifeFlag(flags, &life, "life", 36*time.Hour, "")
	if got := flags.Lookup("life").DefValue; got != "36h" || life != 36*time.Hour {
		t.Errorf("default %s, %v", got, life)
	}
}

func TestDayFlag(t *testing.T) {
	var got string
	if err := (dayValue{&got}).Set("2028-02-29"); err != nil || got != "2028-02-29" {
		t.Errorf("%s, %v", got, err)
	}
	for _, text := range []string{"31.1.2031", "2031-1-31", "2031-02-29", "soon"} {
		if err := (dayValue{&got}).Set(text); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestMoment(t *testing.T) {
	want := time.Date(2026, 11, 24, 9, 14, 0, 0, time.UTC)
	for _, text := range []string{"2026-11-24T09:14:00Z", "2026-11-24 09:14:00Z", "2026-11-24T10:14:00+01:00", "2026-11-24 09:14"} {
		if got, err := moment("--since", text); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	if got, err := moment("--since", date(&want)); err != nil || !got.Equal(want) {
		t.Errorf("what tables show is %v, %v", got, err)
	}
	if _, err := moment("--since", "yesterday"); err == nil || !strings.HasPrefix(err.Error(), "--since takes a time such as 2026-11-24T09:14:00Z or ") {
		t.Errorf("yesterday: %v", err)
	}
}

func TestAgainNote(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	for want, until := range map[string]*time.Time{"'tallystick job offer-again j'": nil, "until 2026-11-24 10:00:00Z": &later, "'tallystick token redistribute --select not-moved:j ": &now} {
		if note := againNote(client.Job{Job: "j", ResultsUntil: until}, now); !strings.Contains(note, want) {
			t.Errorf("%q is not in %q", want, note)
		}
	}
}
