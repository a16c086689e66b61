package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/webhook"
)

const (
	webhookColumns  columns = "name, url, allow_http, ca, key_id, sealed, actions, kinds, give_up, enabled, created_at, version, " + progressColumns
	progressColumns columns = "place, delivered_at, tried_at, status, trouble, tries, failing_from, next_at, lease_owner, lease_until"
)

func webhookValues(w webhook.Webhook) ([]any, error) {
	actions, err := json.Marshal(w.Choice.Actions)
	kinds, wrong := json.Marshal(w.Choice.Kinds)
	return append([]any{w.Name, w.URL, w.AllowHTTP, w.CA, w.Secret.KeyID, w.Secret.Blob, string(actions), string(kinds), w.GiveUp.Microseconds(), w.Enabled,
		micros(w.CreatedAt), w.Version}, progressValues(w.Progress)...), errors.Join(err, wrong)
}

func progressValues(p webhook.Progress) []any {
	return []any{p.Place, micros(p.DeliveredAt), micros(p.TriedAt), p.Status, p.Trouble, p.Tries, micros(p.FailingFrom), micros(p.NextAt), p.LeaseOwner, micros(p.LeaseUntil)}
}

func scanWebhook(r row) (w webhook.Webhook, err error) {
	var actions, kinds string
	err = r.Scan(&w.Name, &w.URL, &w.AllowHTTP, &w.CA, &w.Secret.KeyID, &w.Secret.Blob, &actions, &kinds, span(&w.GiveUp), &w.Enabled,
		moment(&w.CreatedAt), &w.Version, &w.Place, moment(&w.DeliveredAt), moment(&w.TriedAt), &w.Status, &w.Trouble, &w.Tries, moment(&w.FailingFrom),
		moment(&w.NextAt), &w.LeaseOwner, moment(&w.LeaseUntil))
	if err != nil {
		return w, err
	}
	err = errors.Join(json.Unmarshal([]byte(actions), &w.Choice.Actions), json.Unmarshal([]byte(kinds), &w.Choice.Kinds))
	return w, err
}

// Webhook returns a webhook; [fault.NotFound]. Within a transaction the row is locked for change.
func (db *DB) Webhook(ctx context.Context, name string) (webhook.Webhook, error) {
	missing := fault.New(fault.NotFound, "there is no webhook %q", name)
	return one(ctx, db, missing, scanWebhook, "SELECT "+string(webhookColumns)+" FROM webhook WHERE name = $1"+db.locked(ctx), name)
}

// Webhooks lists the webhooks by name.
func (db *DB) Webhooks(ctx context.Context) ([]webhook.Webhook, error) {
	return list(ctx, db, scanWebhook, "SELECT "+string(webhookColumns)+" FROM webhook ORDER BY name")
}

// AddWebhook stores a new webhook; [fault.Conflict] if its name is taken.
func (db *DB) AddWebhook(ctx context.Context, w webhook.Webhook) error {
	values, err := webhookValues(w)
	if err != nil {
		return err
	}
	return db.change(ctx, fault.New(fault.Conflict, "there is a webhook %s already", w.Name), webhookColumns.insert("webhook"), values...)
}

// SaveWebhook stores a changed webhook whose Version is still w.Version, with its progress, and counts it up; else [fault.Conflict].
func (db *DB) SaveWebhook(ctx context.Context, w webhook.Webhook) error {
	stale := fault.New(fault.Conflict, "webhook %s was changed meanwhile: read it again", w.Name)
	read := w.Version
	w.Version++
	values, err := webhookValues(w)
	if err != nil {
		return err
	}
	return db.change(ctx, stale, webhookColumns.update("webhook", "name = $23 AND version = $24"), append(values, w.Name, read)...)
}

// DeleteWebhook removes a webhook; [fault.NotFound].
func (db *DB) DeleteWebhook(ctx context.Context, name string) error {
	return db.change(ctx, fault.New(fault.NotFound, "there is no webhook %q", name), "DELETE FROM webhook WHERE name = $1", name)
}

// LeaseWebhook makes owner the one who delivers, until a time, unless another has a lease that is not over now, and ends by late.
func (db *DB) LeaseWebhook(ctx context.Context, name, owner string, now, late, until time.Time) (bool, error) {
	n, err := db.exec(ctx, "UPDATE webhook SET lease_owner = $1, lease_until = $2 WHERE name = $3 AND enabled AND"+
		" (lease_owner = $1 OR lease_owner = '' OR lease_until IS NULL OR lease_until <= $4 OR lease_until > $5)", owner, micros(until), name, micros(now), micros(late))
	return n == 1, err
}

// SaveProgress stores how far a webhook has come, if its lease is still that of p.LeaseOwner.
func (db *DB) SaveProgress(ctx context.Context, name string, p webhook.Progress) (bool, error) {
	n, err := db.exec(ctx, progressColumns.update("webhook", "name = $11 AND lease_owner = $12"), append(progressValues(p), name, p.LeaseOwner)...)
	return n == 1, err
}
