package storetest

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/webhook"
)

func subscription(name string, key int64) webhook.Webhook {
	return webhook.Webhook{
		Name: name, URL: "https://hooks.example.com/" + name, CA: "pem", Secret: seed.Sealed{KeyID: key, Blob: []byte("secret of " + name)},
		Choice: audit.Choice{Actions: []string{"token.*", "dist.issue"}, Kinds: []string{"token"}}, GiveUp: time.Hour, Enabled: true, CreatedAt: start, Version: 1,
		Progress: webhook.Progress{Place: -1},
	}
}

func webhooks(t *testing.T, s fixture) {
	ctx := t.Context()
	b, a := subscription("b", 2), subscription("a", 1)
	a.Choice, a.AllowHTTP, a.Enabled = audit.Choice{}, true, false
	ok(t, s.AddWebhook(ctx, b))
	ok(t, s.AddWebhook(ctx, a))
	refused(t, s.AddWebhook(ctx, a), fault.Conflict)
	got, err := s.Webhook(ctx, "b")
	same(t, must(t, got, err), b)
	_, err = s.Webhook(ctx, "B")
	refused(t, err, fault.NotFound)
	refused(t, s.DropDataKey(ctx, 2), fault.Conflict)

	b.Progress = webhook.Progress{
		Place: 7, DeliveredAt: start, TriedAt: start.Add(time.Second), Status: 503, Trouble: webhook.Refused, Tries: 3, FailingFrom: start,
		NextAt: start.Add(time.Hour), LeaseOwner: "one", LeaseUntil: start.Add(time.Minute),
	}
	b.URL, b.Enabled = "http://127.0.0.1", false
	ok(t, s.SaveWebhook(ctx, b))
	refused(t, s.SaveWebhook(ctx, b), fault.Conflict)
	b.Version++
	all, err := s.Webhooks(ctx)
	same(t, must(t, all, err), []webhook.Webhook{a, b})
	ok(t, s.DeleteWebhook(ctx, "b"))
	refused(t, s.DeleteWebhook(ctx, "b"), fault.NotFound)
	ok(t, s.DropDataKey(ctx, 2))
}

func webhookLeases(t *testing.T, s fixture) {
	ctx := t.Context()
	w := subscription("a", 1)
	ok(t, s.AddWebhook(ctx, w))
	lease := func(owner string, at, until time.Duration, want bool) {
		t.Helper()
		if got, err := s.LeaseWebhook(ctx, "a", owner, start.Add(at), day(1), start.Add(until)); got != want || err != nil {
			t.Errorf("%s at %s: %v %v, want %v", owner, at, got, err, want)
		}
	}
	save := func(owner string, place int64, until time.Time, want bool) {
		t.Helper()
		p := webhook.Progress{Place: place, LeaseOwner: owner, LeaseUntil: until}
		if got, err := s.SaveProgress(ctx, "a", p); got != want || err != nil {
			t.Errorf("%s saves %d: %v %v, want %v", owner, place, got, err, want)
		}
	}
	save("one", 1, start, false)
	lease("one", 0, time.Minute, true)
	lease("two", time.Second, time.Hour, false)
	lease("one", time.Second, time.Minute, true) // come back after a crash
	save("one", 2, start.Add(time.Minute), true)
	save("two", 3, start.Add(time.Minute), false)
	lease("two", time.Minute, time.Hour, true) // the lease is over
	save("one", 4, start.Add(time.Hour), false)
	save("two", 5, time.Time{}, true) // ends it
	lease("one", 48*time.Hour, 49*time.Hour, true)
	lease("two", time.Minute, time.Hour, true) // the clock of the one before was ahead
	save("two", 5, time.Time{}, true)
	lease("one", time.Minute, time.Hour, true)
	got, err := s.Webhook(ctx, "a")
	if must(t, got, err); got.Place != 5 || got.LeaseOwner != "one" || got.Version != 1 {
		t.Errorf("after all this: %+v", got)
	}
	got.Enabled = false
	ok(t, s.SaveWebhook(ctx, got))
	lease("one", time.Second, time.Minute, false)
}
