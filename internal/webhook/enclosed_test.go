package webhook_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// What is enclosed goes with the event that it belongs to, under the same signature; what cannot be read now is sent the next time.
func TestEnclosed(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		r := newReceiver(t)
		s.add("crm", r, audit.Choice{Actions: []string{"report.*"}})
		away := errors.New("the database is away")
		sender := s.sender("one")
		sender.Enclosed = func(_ context.Context, name string, e audit.Event) ([]byte, error) {
			if name != "crm" || e.Object != "report_run:2" {
				return nil, nil
			}
			return []byte(`{"content":"a,b\n"}`), away
		}
		s.happens("report.done", "report_run:1", "report_run:2", "report_run:3")
		sender.Once(t.Context())
		if got := r.objects(); len(got) != 1 || s.hook("crm").Trouble != "" {
			t.Errorf("heard %v", got)
		}
		away = nil
		sender.Once(t.Context())
		if len(r.taken) != 3 || r.taken[0].Report != nil || string(r.taken[1].Report) != `{"content":"a,b\n"}` || r.taken[2].Report != nil {
			t.Errorf("heard %+v", r.taken)
		}
	})
}

// A webhook is told apart by what it hears.
func TestHears(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	r := newReceiver(t)
	s.add("crm", r, audit.Choice{Actions: []string{"token.*"}})
	s.add("all", r, audit.Choice{})
	done := audit.New(t.Context(), s.clock.Now(), "report.done", "report_run:", nil)
	for name, want := range map[string]error{"crm": fault.Invalid, "none": fault.NotFound, "all": nil} {
		if err := s.hooks.Hears(t.Context(), name, done); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
