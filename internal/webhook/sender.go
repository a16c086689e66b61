package webhook

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

const (
	// period is how often a server looks for webhooks with something to deliver.
	period = time.Second
	// lease is how long a server may deliver without a word. It is renewed with every progress, and a request takes less. After a
	// crash, another server waits so long; the same one, come back, does not.
	lease = time.Minute
	// saveEvery is how much is delivered again after a crash, at most: a second's worth. Each save is a commit.
	saveEvery = time.Second
	pageSize  = 200
	// After the first failure, and at most; it doubles in between.
	firstPause, longestPause = 5 * time.Second, 6 * time.Hour
)

// A Feed is the audit log by place: an audit.Log.
type Feed interface {
	Changes(ctx context.Context, after int64, c audit.Choice, limit int) (audit.Changes, error)
}

// A Sender delivers events to webhooks, beside other servers' senders: each webhook is served by one at a time.
type Sender struct {
	Store  Store
	Feed   Feed
	Keys   Keyring
	Server string // names this server; the same after a restart
	Now    func() time.Time
	Logger *slog.Logger
	// Enclosed is a JSON object that a webhook is sent beside an event, as the member "report"; nil for none.
	Enclosed func(ctx context.Context, webhook string, e audit.Event) ([]byte, error)
	// Reliable tells whether this server's clock can be relied on now; nil for always.
	Reliable func() bool
	// Tried is told what became of each event that a receiver was sent; "" for taken. Nil for nobody.
	Tried func(Trouble)
	// Timeout is how long one request may take; 0 for 15 seconds.
	Timeout time.Duration
}

// Run delivers until ctx ends. A request that is on its way then is given up, and sent again by whoever comes next.
func (s *Sender) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	var busy sync.Map // the webhooks that are being served: a slow one holds up no other
	tick := time.NewTicker(period)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.look(ctx, &work, &busy)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look has every webhook served that could be and is not.
func (s *Sender) look(ctx context.Context, work *sync.WaitGroup, busy *sync.Map) {
	names, err := s.due(ctx)
	s.note(ctx, "looking for webhooks", "", err)
	for _, name := range names {
		if _, served := busy.LoadOrStore(name, true); served {
			continue
		}
		work.Go(func() {
			defer busy.Delete(name)
			s.note(ctx, "delivering to a webhook", name, s.deliver(ctx, name))
		})
	}
}

func (s *Sender) note(ctx context.Context, doing, name string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.ErrorContext(ctx, doing, "webhook", name, "error", err)
	}
}

// due names the webhooks that this server could serve now.
func (s *Sender) due(ctx context.Context) ([]string, error) {
	all, err := s.Store.Webhooks(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	size, err := s.Store.Size(ctx)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	late, lateLease := clock.Late(now, longestPause, s.Reliable), clock.Late(now, lease, s.Reliable)
	var names []string
	for _, w := range all {
		free := w.LeaseOwner == "" || w.LeaseOwner == s.Server || !now.Before(w.LeaseUntil) || w.LeaseUntil.After(lateLease)
		if w.Enabled && free && (!now.Before(w.NextAt) || w.NextAt.After(late)) && w.Place < size-1 {
			names = append(names, w.Name)
		}
	}
	return names, nil
}

// deliver serves one webhook until it has heard of everything, an event is not taken, or another server has taken over.
func (s *Sender) deliver(ctx context.Context, name string) error {
	now := s.Now()
	if ours, err := s.Store.LeaseWebhook(ctx, name, s.Server, now, clock.Late(now, lease, s.Reliable), now.Add(lease)); err != nil || !ours {
		return err
	}
	var c *caller
	defer func() { c.close() }()
	for {
		w, err := s.Store.Webhook(ctx, name)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !w.Enabled || w.LeaseOwner != s.Server {
			return nil
		}
		if c == nil || c.webhook.Version != w.Version {
			c.close()
			if c, err = s.call(ctx, w); err != nil {
				return err
			}
		}
		more, err := s.page(ctx, w, c)
		if err != nil || !more {
			return err
		}
	}
}

// call makes ready to call a webhook.
func (s *Sender) call(ctx context.Context, w Webhook) (*caller, error) {
	secret, err := s.Keys.Open(ctx, w.Secret, seed.OfWebhook(w.Name))
	if err != nil {
		return nil, err
	}
	c := newCaller(w, secret, s.Now, cmp.Or(s.Timeout, answerTimeout))
	if s.Enclosed != nil {
		c.enclosed = s.Enclosed
	}
	return c, nil
}

// page delivers the next events.
func (s *Sender) page(ctx context.Context, w Webhook, c *caller) (more bool, err error) {
	changes, err := s.Feed.Changes(ctx, w.Place, w.Choice, pageSize)
	if err != nil {
		return false, errors.Join(err, s.stop(ctx, &w))
	}
	saved := s.Now()
	for _, entry := range changes.Entries {
		if !w.self(entry) {
			out, err := c.post(ctx, entry)
			if err != nil {
				return false, errors.Join(err, s.stop(ctx, &w))
			}
			if s.Tried != nil {
				s.Tried(out.Trouble)
			}
			w.TriedAt, w.Status, w.Trouble = s.Now().UTC(), out.Status, out.Trouble
			if out.Trouble != "" {
				return false, s.failed(ctx, &w)
			}
			w.DeliveredAt, w.Tries, w.FailingFrom, w.NextAt = w.TriedAt, 0, time.Time{}, time.Time{}
		}
		w.Place = entry.Seq
		if s.Now().Sub(saved) >= saveEvery {
			if ours, err := s.save(ctx, &w); err != nil || !ours {
				return false, err
			}
			saved = s.Now()
		}
	}
	w.Place = changes.Next
	if w.Place >= changes.Size-1 {
		return false, s.stop(ctx, &w)
	}
	return s.save(ctx, &w)
}

// self tells whether an event is about the webhook itself.
func (w *Webhook) self(e audit.Entry) bool {
	return string(audit.ObjectOf(e.Record)) == "webhook:"+w.Name
}

// save keeps the progress and renews the lease; false if another server has it.
func (s *Sender) save(ctx context.Context, w *Webhook) (ours bool, err error) {
	w.LeaseOwner, w.LeaseUntil = s.Server, s.Now().Add(lease).UTC()
	return s.Store.SaveProgress(ctx, w.Name, w.Progress)
}

// stop keeps the progress and ends the lease, also when the server ends. What a database that hangs does not keep then ends with the lease.
func (s *Sender) stop(ctx context.Context, w *Webhook) error {
	w.LeaseOwner, w.LeaseUntil = s.Server, time.Time{}
	last, cancel := clock.Ending(ctx)
	defer cancel()
	_, err := s.Store.SaveProgress(last, w.Name, w.Progress)
	return err
}

// failed puts the event off, or disables the webhook.
func (s *Sender) failed(ctx context.Context, w *Webhook) error {
	if w.FailingFrom.IsZero() || w.FailingFrom.After(w.TriedAt) { // by a clock that was ahead it would not be given up for as long
		w.FailingFrom = w.TriedAt
	}
	w.Tries++
	pause := min(firstPause<<min(w.Tries-1, 20), longestPause)
	w.NextAt = w.TriedAt.Add(pause/2 + rand.N(pause/2)) // #nosec G404 -- so that those who failed together do not come back together
	if w.Trouble == Gone || w.NextAt.Sub(w.FailingFrom) > w.GiveUp {
		return s.disable(ctx, *w)
	}
	s.Logger.WarnContext(ctx, "a webhook did not take an event", "webhook", w.Name, "trouble", w.Trouble, "status", w.Status, "tries", w.Tries, "next", w.NextAt)
	return s.stop(ctx, w)
}

// disable ends the deliveries until an administrator enables the webhook again. It goes on where it stopped then.
func (s *Sender) disable(ctx context.Context, failed Webhook) error {
	s.Logger.ErrorContext(ctx, "a webhook is disabled", "webhook", failed.Name, "trouble", failed.Trouble, "failing_since", failed.FailingFrom)
	return s.Store.Transact(ctx, func(ctx context.Context) error {
		w, err := s.Store.Webhook(ctx, failed.Name)
		if err != nil {
			return err
		}
		if w.LeaseOwner != s.Server || w.Version != failed.Version {
			return nil // an administrator has been here
		}
		w.Progress, w.Enabled, w.LeaseOwner, w.LeaseUntil, w.NextAt = failed.Progress, false, "", time.Time{}, time.Time{}
		if err := s.Store.SaveWebhook(ctx, w); err != nil {
			return err
		}
		return s.Store.Record(ctx, audit.New(ctx, s.Now(), "webhook.disable", "webhook:"+w.Name, audit.Details{
			"status": w.Status, "tries": w.Tries, "failing_since": w.FailingFrom.Format(time.RFC3339), "place": w.Place,
		}).Failed(string(w.Trouble)))
	})
}

// once sends one event out of turn.
func (s *Sender) once(ctx context.Context, w Webhook, e audit.Entry) (Outcome, error) {
	c, err := s.call(ctx, w)
	if err != nil {
		return Outcome{}, err
	}
	defer c.close()
	return c.post(ctx, e)
}
