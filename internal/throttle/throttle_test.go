package throttle_test

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/throttle"
)

func TestARateAndABurst(t *testing.T) {
	limit, now := throttle.New(10, 20), time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	allowed := func(name string) (n int) {
		for !limit.Exhausted(name, now) {
			if !limit.Allows(name, now) {
				t.Fatalf("%s is kept out after %d, and may come", name, n)
			}
			n++
		}
		if limit.Allows(name, now) {
			t.Fatalf("%s is let in after %d, and may not come", name, n)
		}
		return n
	}
	if n := allowed("alice"); n != 20 {
		t.Errorf("%d at once", n)
	}
	if limit.Exhausted("bob", now) {
		t.Error("one name limits another")
	}
	now = now.Add(500 * time.Millisecond)
	if n := allowed("alice"); n != 5 {
		t.Errorf("%d after half a second", n)
	}
}

// A clock that goes back, say since it was wrong, keeps nobody out until it has caught up.
func TestAClockThatGoesBack(t *testing.T) {
	limit, now := throttle.New(10, 20), time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	for limit.Allows("alice", now) {
	}
	limit.Allows("bob", now)
	now = now.Add(-time.Hour)
	for _, name := range []string{"alice", "bob"} {
		if limit.Exhausted(name, now) || !limit.Allows(name, now) {
			t.Errorf("%s is kept out", name)
		}
	}
	n := 0
	for limit.Allows("alice", now) {
		n++
	}
	if n != 19 {
		t.Errorf("%d more at once", n)
	}
}
