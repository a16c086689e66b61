package main

import (
	"errors"
	"regexp"
	"time"

	"github.com/spf13/pflag"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/configuration"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/report"
)

// Flags that take a day, a time or a length of time. Each refuses another form with an example of the one that is wanted, before anything
// is asked of a server.

// life is a length of time as flags and configurations take it.
func life(seconds int64) string { return configuration.Life(seconds) }

// A lifeValue is that of a flag for a length of time, as [configuration.ParseLife] reads it.
type lifeValue struct {
	to        *time.Duration
	fractions bool // of seconds are taken, too
}

// lifeFlag gives a command such a flag.
func lifeFlag(f *pflag.FlagSet, to *time.Duration, name string, otherwise time.Duration, usage string) {
	*to = otherwise
	f.Var(lifeValue{to: to}, name, usage)
}

// fineLifeFlag gives a command a flag that takes fractions of seconds, too.
func fineLifeFlag(f *pflag.FlagSet, to *time.Duration, name string, otherwise time.Duration, usage string) {
	*to = otherwise
	f.Var(lifeValue{to, true}, name, usage)
}

// A secondsValue is a length of time that an edit may set, in seconds.
type secondsValue struct {
	lifeValue
	of **int64
}

// Set reads a length of time.
func (v secondsValue) Set(text string) error {
	err := v.lifeValue.Set(text)
	n := seconds(*v.to)
	*v.of = &n
	return err
}

// optionalLife adds a flag of a length of time that an edit may set.
func optionalLife(f *pflag.FlagSet, of **int64, name, usage string) {
	f.Var(secondsValue{lifeValue{to: new(time.Duration)}, of}, name, usage)
}

// Set reads a length of time.
func (l lifeValue) Set(text string) error {
	d, err := configuration.ParseLife(text)
	if err != nil && l.fractions {
		d, err = time.ParseDuration(text)
	}
	if err != nil {
		return errors.New("write a length of time as 90s, 15m, 24h or 7d")
	}
	*l.to = d
	return nil
}

// String is the value as it may be set; "0" tells pflag that there is no default worth showing.
func (l lifeValue) String() string {
	if l.to == nil || *l.to == 0 {
		return "0"
	}
	return life(int64(*l.to / time.Second))
}

// Type is what the help calls the value.
func (lifeValue) Type() string { return "duration" }

// A dayValue is that of a flag for a day of the calendar.
type dayValue struct{ to *string }

// dayFlag gives a command such a flag.
func dayFlag(f *pflag.FlagSet, to *string, name, usage string) { f.Var(dayValue{to}, name, usage) }

// Set takes a day.
func (d dayValue) Set(text string) error {
	if _, err := time.Parse(time.DateOnly, text); err != nil && text != "" {
		return fault.New(fault.Invalid, "write a day of the calendar as 2031-01-31: year, month, day")
	}
	*d.to = text
	return nil
}

// String is the day as it was given.
func (d dayValue) String() string {
	if d.to == nil {
		return ""
	}
	return *d.to
}

// Type is what the help calls the value.
func (dayValue) Type() string { return "day" }

// A lastDayValue is that of a flag for a day that there may be none of.
type lastDayValue struct{ dayValue }

// Set takes a day, or none.
func (d lastDayValue) Set(text string) error {
	if text == "none" {
		*d.to = ""
		return nil
	}
	if err := d.dayValue.Set(text); err != nil || text == "" {
		return fault.New(fault.Invalid, "write a day of the calendar as 2031-01-31, or none")
	}
	return nil
}

var unsigned = regexp.MustCompile(`^[0-9]+[dh]$`)

// moment reads a time for a flag as reports do, but a length of time with its sign only; "" is none.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := report.ParseMoment(text, time.Now())
	if err == nil && unsigned.MatchString(text) { // an hour ago, or in an hour?
		err = errors.New("no sign")
	}
	if err != nil {
		return t, cli.Usagef("%s takes a time such as 2026-11-24T09:14:00Z or '2026-11-24 09:14', a day such as 2026-11-24, or one from now such as -1h or -30d", flag)
	}
	return t, nil
}
