package storetest

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/clock"
)

func clocks(t *testing.T, s fixture) {
	ctx := t.Context()
	first, all, err := s.Readings(ctx)
	ok(t, err)
	if len(all) != 0 || time.Until(first).Abs() > time.Minute {
		t.Errorf("at first %v %v", first, all)
	}
	b := clock.Reading{Server: "b", Name: "host b", Latest: start, Ahead: -3 * time.Second, At: day(1)}
	a := clock.Reading{Server: "a", Name: "host a", Latest: day(3), Ahead: 2500 * time.Microsecond, At: day(2)}
	ok(t, s.KeepReading(ctx, b))
	ok(t, s.KeepReading(ctx, a))
	ok(t, s.ConfirmClocks(ctx))
	b.Latest, b.Ahead, b.At, b.Heard = day(4), time.Hour, day(5), 1
	ok(t, s.KeepReading(ctx, b))
	later, all, err := s.Readings(ctx)
	ok(t, err)
	a.Confirmed, b.Confirmed = 1, 1
	same(t, all, []clock.Reading{a, b})
	if later.Before(first) {
		t.Errorf("the database's clock went from %v to %v", first, later)
	}
}
