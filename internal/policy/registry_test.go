package policy_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// counted is a database that counts how often it is asked for the policies, and keeps the events.
type counted struct {
	*store.DB
	mu     sync.Mutex
	asked  int
	events []audit.Event
	broken error
}

func (c *counted) Policies(ctx context.Context) (*policy.Tree, error) {
	c.mu.Lock()
	c.asked++
	err := c.broken
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c.DB.Policies(ctx)
}

func (c *counted) Record(ctx context.Context, e audit.Event) error {
	c.events = append(c.events, e)
	return c.DB.Record(ctx, e)
}

// registry is one on an empty database, with its clock.
func registry(t *testing.T) (*policy.Registry, *counted, *time.Time) {
	t.Helper()
	c, now := &counted{DB: deploytest.Open(t, deploytest.SQLite(t))}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &policy.Registry{Store: c, Now: func() time.Time { return now }}, c, &now
}

func TestEdit(t *testing.T) {
	r, db, _ := registry(t)
	ctx := t.Context()
	after, err := r.EditToken(ctx, 1, func(p *policy.Token) {
		p.PINMin, p.PINMaxLife, p.ExcludedWords, p.Version = 6, 90*day, []string{"acme"}, 99
	})
	if err != nil || after.PINMin != 6 || after.Version != 2 {
		t.Fatalf("%+v, %v", after, err)
	}
	set, err := r.Get(ctx)
	if err != nil || !reflect.DeepEqual(set.Token(domain.Root), after) || set.Lockout(domain.Root).Version != 1 {
		t.Errorf("kept %+v, %v", set, err)
	}
	if len(db.events) != 1 {
		t.Fatalf("events %+v", db.events)
	}
	e := db.events[0]
	want := audit.Details{
		"before": audit.Details{"pin_min": 4, "pin_max_life": "0s", "excluded_words": []string(nil)},
		"after":  audit.Details{"pin_min": 6, "pin_max_life": "2160h0m0s", "excluded_words": []string{"acme"}},
	}
	if e.Action != "policy.edit" || e.Object != "policy:token" || !reflect.DeepEqual(e.Details, want) {
		t.Errorf("event %+v", e)
	}

	if _, err := r.EditToken(ctx, 1, func(p *policy.Token) { p.PINMin = 7 }); !errors.Is(err, fault.Conflict) {
		t.Errorf("an old version: %v", err)
	}
	if _, err := r.EditToken(ctx, 0, func(p *policy.Token) { p.PINMin = 17 }); !errors.Is(err, fault.PolicyInvalid) {
		t.Errorf("over the limit: %v", err)
	}
	if same, err := r.EditToken(ctx, 2, func(p *policy.Token) { p.PINMin = 6 }); err != nil || same.Version != 2 {
		t.Errorf("no change: %+v, %v", same, err)
	}
	lockout, err := r.EditLockout(ctx, 0, func(p *policy.Lockout) { p.Failures = 0 })
	if err != nil || lockout.Failures != 0 || lockout.Version != 2 {
		t.Errorf("%+v, %v", lockout, err)
	}
	if len(db.events) != 2 || db.events[1].Object != "policy:lockout" {
		t.Errorf("events %+v", db.events)
	}
	settings, err := r.EditSettings(ctx, 1, func(s *policy.Settings) { s.NoPINs, s.SplitDelivery = true, false })
	if err != nil || !settings.NoPINs || settings.SplitDelivery || settings.MaxTokensPerUser != 3 || settings.Version != 2 {
		t.Errorf("%+v, %v", settings, err)
	}
	if kept, err := db.Settings(ctx); err != nil || kept != settings {
		t.Errorf("kept %+v, %v", kept, err)
	}
	if len(db.events) != 3 || db.events[2].Object != "policy:settings" ||
		!reflect.DeepEqual(db.events[2].Details["after"], audit.Details{"no_pins": true, "split_delivery": false}) {
		t.Errorf("events %+v", db.events)
	}
}

// The hot path asks the database once a second, whoever asks; an edit on this server holds at once.
func TestCurrent(t *testing.T) {
	r, db, now := registry(t)
	current := func(failures, asked int) {
		t.Helper()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if s, err := r.Current(t.Context()); err != nil {
					t.Error(err)
				} else if got := s.Lockout(domain.Root).Failures; got != failures {
					t.Errorf("%d failures, want %d", got, failures)
				}
			})
		}
		all.Wait()
		if db.asked != asked {
			t.Errorf("asked the database %d times, want %d", db.asked, asked)
		}
	}
	current(5, 1)
	*now = now.Add(time.Second - 1)
	current(5, 1)
	*now = now.Add(1)
	current(5, 2)
	if _, err := r.EditLockout(t.Context(), 0, func(p *policy.Lockout) { p.Failures = 9 }); err != nil { // asks too
		t.Fatal(err)
	}
	current(9, 4)

	other := &policy.Registry{Store: db.DB, Now: r.Now} // on another server
	if _, err := other.EditLockout(t.Context(), 0, func(p *policy.Lockout) { p.Failures = 8 }); err != nil {
		t.Fatal(err)
	}
	current(9, 4)
	*now = now.Add(time.Second)
	current(8, 5)
	*now = now.Add(-time.Hour) // a clock that went back does not keep a policy for an hour
	current(8, 6)

	*now = now.Add(time.Second)
	db.broken = errors.New("disk")
	if _, err := r.Current(t.Context()); !errors.Is(err, db.broken) {
		t.Errorf("an old policy in place of none: %v", err)
	}
	db.broken = nil
	current(8, 8)
}

// What a transaction has changed and takes back holds for nobody else.
func TestCurrentWithinATransaction(t *testing.T) {
	r, db, _ := registry(t)
	back := errors.New("taken back")
	err := db.Transact(t.Context(), func(ctx context.Context) error {
		changed := policy.Default().Lockout
		changed.Failures, changed.Version = 9, 1
		if err := db.SaveLockoutPolicy(ctx, changed); err != nil {
			return err
		}
		if within, err := r.Current(ctx); err != nil || within.Lockout(domain.Root).Failures != 9 {
			t.Errorf("within it: %v", err)
		}
		return back
	})
	if !errors.Is(err, back) {
		t.Fatal(err)
	}
	if s, err := r.Current(t.Context()); err != nil || s.Lockout(domain.Root).Failures != 5 {
		t.Errorf("after it: %+v, %v", s.Lockout(domain.Root), err)
	}
}
