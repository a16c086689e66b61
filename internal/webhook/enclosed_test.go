package webhook_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/webhook"
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

// Reports are posted to a webhook that wants to hear of them.
func TestPostsReports(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	r := newReceiver(t)
	s.add("crm", r, audit.Choice{Actions: []string{"token.*"}})
	s.add("kind", r, audit.Choice{Kinds: []string{"token"}})
	s.add("all", r, audit.Choice{})
	for name, want := range map[string]error{"crm": fault.Invalid, "kind": fault.Invalid, "none": fault.NotFound, "all": nil} {
		if err := s.hooks.PostsReports(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A webhook that schedules post to stays and goes on to hear of reports, or they would go on unheard.
func TestAWebhookOfSchedulesStays(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	r := newReceiver(t)
	s.add("crm", r, audit.Choice{Actions: []string{"token.*", "report.done"}})
	s.add("deaf", r, audit.Choice{Actions: []string{"token.*"}})
	ctx, posting := t.Context(), []string{"figures", "mondays"}
	s.hooks.Schedules = func(context.Context, string) ([]string, error) { return posting, nil }
	edit := func(name string, change func(*webhook.Webhook)) error {
		_, err := s.hooks.Edit(ctx, name, 0, webhook.Edit{}, change)
		return err
	}
	deaf := func(w *webhook.Webhook) { w.Choice.Actions = []string{"token.*"} }
	blind := func(w *webhook.Webhook) { w.Choice.Kinds = []string{"token"} }
	for name, err := range map[string]error{"deleted": s.hooks.Delete(ctx, "crm"), "without the event": edit("crm", deaf), "without its kind": edit("crm", blind)} {
		if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "figures, mondays") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.ok(s.hooks.PostsReports(ctx, "crm"))
	s.ok(edit("crm", func(w *webhook.Webhook) { w.Choice.Actions = []string{"report.*"} }))
	s.ok(edit("deaf", func(w *webhook.Webhook) { w.GiveUp *= 2 })) // it posts none now
	posting = nil
	s.ok(edit("crm", deaf))
	s.ok(s.hooks.Delete(ctx, "crm"))
	if err := s.hooks.Delete(ctx, "crm"); !errors.Is(err, fault.NotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}
