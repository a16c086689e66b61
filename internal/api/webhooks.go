package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/webhook"
)

func webhookOf(w webhook.Webhook, size int64) client.Webhook {
	return client.Webhook{
		Webhook: w.Name, URL: w.URL, AllowHTTP: w.AllowHTTP, CA: w.CA, Actions: texts(w.Choice.Actions), Kinds: texts(w.Choice.Kinds),
		GiveUpHours: int(w.GiveUp / time.Hour), Enabled: w.Enabled, Place: w.Place, Behind: max(0, size-1-w.Place),
		DeliveredAt: moment(w.DeliveredAt), TriedAt: moment(w.TriedAt), Status: w.Status, Trouble: string(w.Trouble), Tries: w.Tries,
		FailingSince: moment(w.FailingFrom), NextTryAt: moment(w.NextAt), CreatedAt: w.CreatedAt, Version: w.Version,
	}
}

// texts is a list that is never nil.
func texts(all []string) []string { return append([]string{}, all...) }

func (a *API) addWebhook(ctx context.Context, _ *request, in client.NewWebhook) (answer, error) {
	w, secret, err := a.Webhooks.Add(ctx, webhook.Webhook{
		Name: in.Webhook, URL: in.URL, AllowHTTP: in.AllowHTTP, CA: in.CA, Choice: audit.Choice{Actions: in.Actions, Kinds: in.Kinds},
		GiveUp: time.Duration(in.GiveUpHours) * time.Hour,
	}, string(in.Secret), in.After)
	if err != nil {
		return answer{}, err
	}
	return created(at("webhooks", w.Name), w.Version, client.CreatedWebhook{Webhook: w.Name, Place: w.Place, Secret: client.Secret(secret)})
}

func (a *API) listWebhooks(ctx context.Context, _ *request) (answer, error) {
	all, err := a.Webhooks.List(ctx)
	if err != nil {
		return answer{}, err
	}
	size, err := a.Webhooks.Size(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.WebhookList{Webhooks: mapped(all, func(w webhook.Webhook) client.Webhook { return webhookOf(w, size) })})
}

func (a *API) showWebhook(ctx context.Context, r *request) (answer, error) {
	w, err := a.Webhooks.Get(ctx, r.PathValue("name"))
	if err != nil {
		return answer{}, err
	}
	return a.showsWebhook(ctx, w)
}

func (a *API) showsWebhook(ctx context.Context, w webhook.Webhook) (answer, error) {
	size, err := a.Webhooks.Size(ctx)
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, w.Version, webhookOf(w, size))
}

// webhookEdit is an edit in the words of the domain, but for the secret and the place.
func webhookEdit(in client.WebhookEdit) func(*webhook.Webhook) {
	return func(w *webhook.Webhook) {
		set(&w.URL, in.URL)
		set(&w.AllowHTTP, in.AllowHTTP)
		set(&w.CA, in.CA)
		set(&w.Enabled, in.Enabled)
		set(&w.Choice.Actions, in.Actions)
		set(&w.Choice.Kinds, in.Kinds)
		if in.GiveUpHours != nil {
			w.GiveUp = time.Duration(*in.GiveUpHours) * time.Hour
		}
	}
}

func (a *API) editWebhook(ctx context.Context, r *request, in client.WebhookEdit) (answer, error) {
	w, err := a.Webhooks.Edit(ctx, r.PathValue("name"), r.version, webhook.Edit{Secret: (*string)(in.Secret), After: in.After, Skip: in.Skip}, webhookEdit(in))
	if err != nil {
		return answer{}, err
	}
	return a.showsWebhook(ctx, w)
}

func (a *API) deleteWebhook(ctx context.Context, r *request) (answer, error) {
	return done(a.Webhooks.Delete(ctx, r.PathValue("name")))
}

func (a *API) testWebhook(ctx context.Context, r *request) (answer, error) {
	out, err := a.Webhooks.Test(ctx, r.PathValue("name"))
	if err != nil {
		return answer{}, err
	}
	return ok(client.WebhookTest{Taken: out.Trouble == "", Status: out.Status, Trouble: string(out.Trouble)})
}
