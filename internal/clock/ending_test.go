package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/clock"
)

// What is to be kept waits for a database that hangs as long as the server runs, and ten seconds more once it ends.
func TestEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		last, cancel := clock.Ending(ctx)
		defer cancel()
		passes := func(d time.Duration, want bool) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if (last.Err() == nil) != want {
				t.Errorf("%v", last.Err())
			}
		}
		passes(time.Hour, true)
		end()
		passes(9*time.Second, true)
		passes(time.Second, false)
	})
}
