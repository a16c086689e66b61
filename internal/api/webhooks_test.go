package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
)

func webhookRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	try(h.Log.Sequence(ctx))(t)
	made := try(c.AddWebhook(ctx, client.NewWebhook{Webhook: "crm", URL: receiver.URL, Actions: []string{"token.*"}}))(t)
	if made.Webhook != "crm" || !strings.HasPrefix(string(made.Secret), "whsec_") {
		t.Errorf("made %+v", made)
	}
	w := try(c.Webhook(ctx, "crm"))(t)
	if w.Behind != 0 || !w.Enabled || w.GiveUpHours != 120 || w.Place != made.Place || w.Version != 1 {
		t.Errorf("shown %+v", w)
	}
	if out := try(c.TestWebhook(ctx, "crm"))(t); !out.Taken || out.Status != 200 {
		t.Errorf("test %+v", out)
	}
	try(h.Log.Sequence(ctx))(t)
	off, kinds, begin := false, []string{"token"}, int64(-1)
	w = try(c.EditWebhook(ctx, "crm", 1, client.WebhookEdit{Enabled: &off, Kinds: &kinds, After: &begin}))(t)
	if w.Enabled || !slices.Equal(w.Kinds, kinds) || w.Place != -1 || w.Behind < 2 || w.Version != 2 {
		t.Errorf("edited %+v", w)
	}
	_, err := c.EditWebhook(ctx, "crm", 1, client.WebhookEdit{Enabled: &off})
	refused(t, err, 409, "CONFLICT")
	_, err = c.AddWebhook(ctx, client.NewWebhook{Webhook: "crm", URL: receiver.URL})
	refused(t, err, 409, "CONFLICT")
	if all := try(c.Webhooks(ctx))(t); len(all) != 1 || all[0].Webhook != "crm" {
		t.Errorf("all %+v", all)
	}
	must(t, c.DeleteWebhook(ctx, "crm"))
	_, err = c.TestWebhook(ctx, "crm")
	refused(t, err, 404, "NOT_FOUND")
	if strings.Contains(h.logged.String(), string(made.Secret)[6:]) {
		t.Error("the secret is in the log")
	}
}
