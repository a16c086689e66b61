package webhook

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// Store is what webhooks need of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Webhook returns a webhook; [fault.NotFound]. Within a transaction the row is locked for change.
	Webhook(ctx context.Context, name string) (Webhook, error)
	// Webhooks lists the webhooks by name.
	Webhooks(ctx context.Context) ([]Webhook, error)
	// AddWebhook stores a new webhook; [fault.Conflict] if its name is taken.
	AddWebhook(ctx context.Context, w Webhook) error
	// SaveWebhook stores a changed webhook whose Version is still w.Version, with its progress, and counts it up; else [fault.Conflict].
	SaveWebhook(ctx context.Context, w Webhook) error
	// DeleteWebhook removes a webhook; [fault.NotFound].
	DeleteWebhook(ctx context.Context, name string) error
	// LeaseWebhook makes owner the one who delivers, until a time, unless another has a lease that is not over now, and ends by late.
	LeaseWebhook(ctx context.Context, name, owner string, now, late, until time.Time) (bool, error)
	// SaveProgress stores how far a webhook has come, if its lease is still that of p.LeaseOwner.
	SaveProgress(ctx context.Context, name string, p Progress) (bool, error)
	// Size is the number of events that have a place in the audit log.
	Size(ctx context.Context) (int64, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Keyring seals and opens secrets: a seed.Keyring.
type Keyring interface {
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
}

// A Registry keeps the deployment's webhooks.
type Registry struct {
	Store  Store
	Keys   Keyring
	Now    func() time.Time
	Sender *Sender // for tests of a webhook
	// Schedules names those whose reports are posted to a webhook; nil for none.
	Schedules func(ctx context.Context, webhook string) ([]string, error)
}

// Add stores a new webhook. With secret "" one is made; the secret is returned and cannot be read back. It hears of what follows the
// place after in the log, or of what happens from now on if after is nil.
func (r *Registry) Add(ctx context.Context, w Webhook, secret string, after *int64) (Webhook, string, error) {
	if secret == "" {
		secret = newSecret()
	}
	w.CreatedAt, w.Version, w.Enabled, w.Progress = r.Now().UTC(), 1, true, Progress{}
	if err := w.complete(); err != nil {
		return Webhook{}, "", err
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) (err error) {
		if w.Secret, err = r.seal(w.Name, secret); err != nil {
			return err
		}
		all, err := r.Store.Webhooks(ctx)
		if err != nil {
			return err
		}
		if len(all) >= MaxWebhooks {
			return fault.New(fault.Conflict, "there are %d webhooks, which is the limit: delete one that nobody needs", MaxWebhooks)
		}
		if w.Place, err = r.begin(ctx, after); err != nil {
			return err
		}
		if err := r.Store.AddWebhook(ctx, w); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "webhook.add", "webhook:"+w.Name, w.details()))
	})
	return w, secret, err
}

// begin is the place of the last event that a webhook is not to hear of.
func (r *Registry) begin(ctx context.Context, after *int64) (int64, error) {
	size, err := r.Store.Size(ctx)
	if err != nil || after == nil {
		return size - 1, err
	}
	if *after < -1 || *after >= size {
		return 0, fault.New(fault.PlaceUnknown, "the audit log ends at %d: name a place up to there, or -1 for the beginning", size-1)
	}
	return *after, nil
}

func (r *Registry) seal(name, secret string) (seed.Sealed, error) {
	k, err := key(secret)
	if err != nil {
		return seed.Sealed{}, err
	}
	defer clear(k)
	return r.Keys.Seal(k, seed.OfWebhook(name))
}

// HasSecret tells whether a secret, as [Registry.Add] takes it, is the one that a webhook's calls are signed with.
func (r *Registry) HasSecret(ctx context.Context, w Webhook, secret string) (bool, error) {
	given, err := key(secret)
	if err != nil {
		return false, err
	}
	defer clear(given)
	has, err := r.Keys.Open(ctx, w.Secret, seed.OfWebhook(w.Name))
	if err != nil {
		return false, err
	}
	defer clear(has)
	return subtle.ConstantTimeCompare(has, given) == 1, nil
}

// Get returns a webhook; [fault.NotFound].
func (r *Registry) Get(ctx context.Context, name string) (Webhook, error) {
	return r.Store.Webhook(ctx, name)
}

// List returns the webhooks by name.
func (r *Registry) List(ctx context.Context) ([]Webhook, error) { return r.Store.Webhooks(ctx) }

// PostsReports is that of the webhook of a name; [fault.NotFound] if it is not there.
func (r *Registry) PostsReports(ctx context.Context, name string) error {
	w, err := r.Store.Webhook(ctx, name)
	if err != nil {
		return err
	}
	return w.PostsReports()
}

// reportDone is the action of the event that reports are posted beside.
const reportDone = "report.done"

// PostsReports refuses a webhook that no report can be posted to: [fault.Invalid] if the event that reports are posted beside is not among those that it wants.
func (w *Webhook) PostsReports() error {
	record, err := audit.Event{Action: reportDone, Object: "report_run:", Outcome: audit.Success}.Record()
	if err == nil && !w.Choice.Has(record) {
		err = fault.New(fault.Invalid, "webhook %s does not want the event %s: 'tallystick webhook edit %s --actions ...,%s' adds it", w.Name, reportDone, w.Name, reportDone)
	}
	return err
}

// keepPosting refuses to take a webhook away from schedules that have their reports posted to it: they would go on and nobody would get them.
func (r *Registry) keepPosting(ctx context.Context, name, change string) error {
	if r.Schedules == nil {
		return nil
	}
	schedules, err := r.Schedules(ctx, name)
	if err == nil && len(schedules) > 0 {
		err = fault.New(fault.Conflict, "webhook %s %s: the reports of schedules are posted to it (%s); delete these first, or add them again with another webhook", name, change, strings.Join(schedules, ", "))
	}
	return err
}

// Size is the number of events in the log.
func (r *Registry) Size(ctx context.Context) (int64, error) { return r.Store.Size(ctx) }

// An Edit is what becomes of a webhook besides its settings.
type Edit struct {
	Secret *string // replaces the secret
	After  *int64  // goes on after this place
	Skip   bool    // leaves out what is waiting
}

// Edit runs change on the webhook and saves it, in one transaction; the name stays. What failed before is tried again at once. [fault.Conflict] if
// reports of schedules could be posted to it no more. If version is not 0, the webhook must still be at it: else [fault.Conflict].
func (r *Registry) Edit(ctx context.Context, name string, version int, e Edit, change func(*Webhook)) (after Webhook, err error) {
	err = r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.Webhook(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "webhook %s was changed meanwhile: read it again", name)
		}
		after = before
		change(&after)
		after.Name, after.Version, after.CreatedAt, after.Secret, after.Progress = before.Name, before.Version, before.CreatedAt, before.Secret, before.Progress
		// Whoever delivers just now delivers what is no longer asked for.
		after.LeaseOwner, after.LeaseUntil, after.NextAt, after.FailingFrom, after.Tries = "", time.Time{}, time.Time{}, time.Time{}, 0
		if e.Secret != nil {
			if after.Secret, err = r.seal(name, *e.Secret); err != nil {
				return err
			}
		}
		if e.Skip || e.After != nil {
			if after.Place, err = r.begin(ctx, e.After); err != nil {
				return err
			}
		}
		if err := after.complete(); err != nil {
			return err
		}
		if before.PostsReports() == nil && after.PostsReports() != nil {
			if err := r.keepPosting(ctx, name, "has to want the event "+reportDone); err != nil {
				return err
			}
		}
		if err := r.Store.SaveWebhook(ctx, after); err != nil {
			return err
		}
		after.Version++
		details := audit.Details{"before": before.details(), "after": after.details(), "secret_changed": e.Secret != nil}
		if after.Place != before.Place {
			details["place"], details["was_at"] = after.Place, before.Place
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "webhook.edit", "webhook:"+name, details))
	})
	return after, err
}

// Delete removes a webhook: it hears of nothing any more. [fault.Conflict] if reports of schedules are posted to it.
func (r *Registry) Delete(ctx context.Context, name string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		if _, err := r.Store.Webhook(ctx, name); err != nil { // locked: no schedule comes to it meanwhile
			return err
		}
		if err := r.keepPosting(ctx, name, "cannot be deleted"); err != nil {
			return err
		}
		if err := r.Store.DeleteWebhook(ctx, name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "webhook.delete", "webhook:"+name, nil))
	})
}

// Test sends the event webhook.test, out of turn and once, and tells what came of it.
func (r *Registry) Test(ctx context.Context, name string) (Outcome, error) {
	w, err := r.Store.Webhook(ctx, name)
	if err != nil {
		return Outcome{}, err
	}
	e := audit.New(ctx, r.Now(), "webhook.test", "webhook:"+name, nil)
	record, err := e.Record()
	if err != nil {
		return Outcome{}, err
	}
	out, err := r.Sender.once(ctx, w, audit.Entry{Seq: -1, Record: record})
	if err != nil {
		return Outcome{}, err
	}
	if out.Trouble != "" {
		e = e.Failed(string(out.Trouble))
	}
	return out, r.Store.Record(ctx, e)
}
