package report

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	at := func(text string) time.Time {
		moment, err := time.Parse("2006-01-02 15:04:05.999999", text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	daily := Schedule{Every: Daily, Minute: 6*60 + 30}
	midnight := Schedule{Every: Daily}
	monday := Schedule{Every: Weekly, Weekday: time.Monday, Minute: 23*60 + 59}
	sunday := Schedule{Every: Weekly, Weekday: time.Sunday}
	first := Schedule{Every: Monthly, Day: 1}
	last := Schedule{Every: Monthly, Day: 31, Minute: 12 * 60}
	thirtieth := Schedule{Every: Monthly, Day: 30}
	for _, c := range []struct {
		s           Schedule
		after, want string
	}{
		{daily, "2026-11-24 06:29:59.999999", "2026-11-24 06:30:00"},
		{daily, "2026-11-24 06:30:00", "2026-11-25 06:30:00"}, // after it, not at it
		{daily, "2026-11-24 23:00:00", "2026-11-25 06:30:00"},
		{daily, "2026-12-31 06:30:00", "2027-01-01 06:30:00"},
		{midnight, "2026-11-24 00:00:00", "2026-11-25 00:00:00"},
		{midnight, "2026-11-24 23:59:59.999999", "2026-11-25 00:00:00"},
		{midnight, "2028-02-28 12:00:00", "2028-02-29 00:00:00"},
		{monday, "2026-11-24 12:00:00", "2026-11-30 23:59:00"}, // a Tuesday
		{monday, "2026-11-30 23:58:59", "2026-11-30 23:59:00"},
		{monday, "2026-11-30 23:59:00", "2026-12-07 23:59:00"},
		{sunday, "2026-11-28 23:59:59", "2026-11-29 00:00:00"}, // a Saturday
		{sunday, "2026-11-29 00:00:00", "2026-12-06 00:00:00"},
		{sunday, "2026-12-31 00:00:00", "2027-01-03 00:00:00"},
		{first, "2026-11-24 12:00:00", "2026-12-01 00:00:00"},
		{first, "2026-12-01 00:00:00", "2027-01-01 00:00:00"},
		{last, "2026-01-31 11:59:59", "2026-01-31 12:00:00"},
		{last, "2026-01-31 12:00:00", "2026-02-28 12:00:00"},
		{last, "2028-01-31 12:00:00", "2028-02-29 12:00:00"}, // of a leap year
		{last, "2028-02-29 12:00:00", "2028-03-31 12:00:00"},
		{last, "2026-04-30 12:00:00", "2026-05-31 12:00:00"},
		{last, "2026-12-31 12:00:00", "2027-01-31 12:00:00"},
		{thirtieth, "2027-01-30 00:00:00", "2027-02-28 00:00:00"},
		{thirtieth, "2027-02-28 00:00:00", "2027-03-30 00:00:00"},
	} {
		if got := c.s.Next(at(c.after)); !got.Equal(at(c.want)) {
			t.Errorf("every %s at %d (%s, %d) after %s: %s, want %s", c.s.Every, c.s.Minute, c.s.Weekday, c.s.Day, c.after, got, c.want)
		}
		// Wherever one stands, the next time lies ahead, and no time is skipped.
		next := c.s.Next(at(c.after))
		if again := c.s.Next(next.Add(-time.Microsecond)); !again.Equal(next) {
			t.Errorf("just before %s the next is %s", next, again)
		}
	}
	east := time.FixedZone("", 5*3600)
	if got := midnight.Next(at("2026-11-24 20:00:00").In(east)); !got.Equal(at("2026-11-25 00:00:00")) {
		t.Errorf("times of the day are in UTC: %s", got)
	}
}
