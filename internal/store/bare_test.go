package store

import (
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

func TestBare(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			at := url(t)
			b, err := OpenBare(ctx, Options{URL: at}, 3, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			for _, step := range []struct {
				id, counter int64
				want        fault.Code
			}{{2, 7, ""}, {2, 7, fault.Conflict}, {2, 6, fault.Conflict}, {2, 8, ""}, {0, 0, ""}, {3, 1, fault.Conflict}} {
				if err := b.Use(ctx, step.id, step.counter); fault.CodeOf(err) != step.want || err != nil && step.want == "" {
					t.Errorf("row %d to %d: %v, want %q", step.id, step.counter, err, step.want)
				}
			}
			setting, want := "synchronous", "2" // FULL
			if name == "PostgreSQL" {
				setting, want = "synchronous_commit", "on"
			}
			if got, err := b.Setting(ctx, setting); got != want || err != nil {
				t.Errorf("%s is %q, %v", setting, got, err)
			}
		})
	}
}
