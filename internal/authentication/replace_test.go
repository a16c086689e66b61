package authentication_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// A spare is a token that belongs to nobody yet.
type spare struct {
	*deployment
	serial string
	secret seed.Seed
}

func (d *deployment) spare(serial string, delivered bool, s token.Settings) spare {
	d.Helper()
	secret := seed.Generate()
	g, err := token.NewGeneration(d.engine.Keys.(token.Keyring), serial, 1, secret, s, d.now)
	d.must(err)
	g.Delivered = delivered
	r := token.Token{
		Serial: serial, Origin: token.Generated, Birth: d.now.Truncate(24 * time.Hour), Expiry: d.now.AddDate(1, 0, 0), EffectiveExpiry: d.now.AddDate(1, 0, 0),
		Current: g, LastNumber: 1, Distribution: token.NotDistributed, CreatedAt: d.now, Version: 1,
	}
	d.must(d.db.AddToken(d.Context(), r))
	return spare{d, serial, secret}
}

func (s spare) code(at time.Time) string {
	s.Helper()
	raw := s.secret.Reveal()
	code, err := securid.Code(raw, s.serial, s.token.Digits, s.token.Interval, at)
	s.must(err)
	return code
}

func (s spare) read() token.Token {
	s.Helper()
	r, err := s.db.Token(s.Context(), s.serial)
	s.must(err)
	return r
}

func (d *deployment) tokens() *token.Registry {
	return &token.Registry{Store: d.db, Now: func() time.Time { return d.now }}
}

// replaces makes a spare the replacement of alice's token.
func (s spare) replaces(keepPIN bool) {
	s.Helper()
	_, err := s.tokens().Replace(s.Context(), serial, 0, s.serial, keepPIN)
	s.must(err)
}

func TestTheFirstUseOfAReplacementEndsTheOriginal(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	next := d.spare("100000000002", true, plain)
	next.replaces(true)
	d.is(d.begin(d.later(1)), authentication.Accepted, "") // both work ...
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	d.later(1)
	d.is(d.begin(next.code(d.now)), authentication.Accepted, "") // ... until this
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	if old := d.read(); old.UserID != "" || old.Enabled || !old.Tainted || old.ReplacedBy != "" {
		t.Errorf("the original: %+v", old)
	}
	if r := next.read(); r.UserID != "alice" || r.Replaces != "" {
		t.Errorf("the replacement: %+v", r)
	}
	d.later(1)
	d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
	if got := strings.Join(d.actions("token:"+serial), " "); got != "replace.assign token.unassign" {
		t.Error(got)
	}
	if got := strings.Join(d.actions("token:100000000002"), " "); got != "token.assign replace.done" {
		t.Error(got)
	}
}

// An original whose new seed was to take over by then tells of that, whichever of its user's tokens is looked at first.
func TestAnOriginalCompletesItsRedistribution(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	next := d.spare("000000000009", true, plain)
	next.replaces(true)
	old := d.read()
	g, err := token.NewGeneration(d.engine.Keys.(token.Keyring), serial, 2, seed.Generate(), plain, d.now)
	d.must(err)
	g.Delivered = true
	old.Await(g, d.now)
	d.must(d.db.SaveToken(t.Context(), old))
	d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
	if old := d.read(); old.UserID != "" || old.Current.Number != 2 || !old.Tainted {
		t.Errorf("the original: %+v", old)
	}
	if got := strings.Join(d.actions("token:"+serial), " "); got != "replace.assign redist.complete token.unassign" {
		t.Error(got)
	}
}

// What comes along is of the seed that counts, also where housekeeping has not come to it yet: a PIN with letters would have come to a PINPad.
func TestAnOriginalIsReplacedAfterItsGrace(t *testing.T) {
	pad := token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad}
	for name, replace := range map[string]func(d *deployment) error{
		"one": func(d *deployment) error {
			_, err := d.tokens().Replace(d.Context(), serial, 0, "", true)
			return err
		},
		"many": func(d *deployment) error {
			done, err := d.tokens().ReplaceAll(d.Context(), []string{serial}, true, nil)
			return cmp.Or(err, done[0].Err)
		},
	} {
		d := newDeployment(t, sqlite(t), fob)
		d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
		next := d.spare("000000000009", false, token.Factory)
		d.renewed(true, pad)
		d.now = d.now.Add(24 * time.Hour)
		d.must(replace(d))
		if old, r := d.read(), next.read(); old.Current.Number != 2 || old.PIN.IsSet() || r.PIN.IsSet() || r.Current.Settings != pad {
			t.Errorf("%s: the original: %+v, the replacement: %+v", name, old, r)
		}
		if got := strings.Join(d.actions("token:"+serial), " "); got != "pin.set redist.complete replace.assign" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAReplacedTokenMayBeDeleted(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.DeleteReplaced = true
	next := d.spare("100000000002", true, plain)
	next.replaces(true)
	d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
	if _, err := d.db.Token(t.Context(), serial); !errors.Is(err, fault.TokenNotFound) {
		t.Errorf("the original: %v", err)
	}
}

// The PIN comes along without anybody knowing it, with its history, and stays when the original is gone.
func TestThePINComesAlong(t *testing.T) {
	for name, s := range map[string]token.Settings{"PINPad": {Digits: 8, Interval: 60, PINType: device.PINPad}, "fob": {Digits: 8, Interval: 60, PINType: device.Fob}} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), s)
			d.must(d.engine.SetPIN(t.Context(), serial, "809357", false))
			next := d.spare("100000000002", false, token.Factory)
			next.replaces(true)
			if got := next.read().Current.Settings; got != s { // it was never delivered, and will be like the original
				t.Errorf("settings %+v", got)
			}
			passcode := func(pin string) string {
				d.later(1)
				if s.PINType == device.Fob {
					return pin + next.code(d.now)
				}
				code, err := securid.AddPIN(next.code(d.now), pin)
				d.must(err)
				return code
			}
			d.is(d.begin(passcode("809358")), authentication.Denied, "")
			d.is(d.begin(passcode("809357")), authentication.Accepted, "")
			d.is(d.begin(passcode("809357")), authentication.Accepted, "") // the original is gone now
			if err := d.engine.SetPIN(t.Context(), "100000000002", "809357", false); !errors.Is(err, fault.PINInvalid) {
				t.Errorf("the history did not come along: %v", err)
			}
			// A new PIN of the user, its repetition and the history after it rest on the same hash.
			d.must(d.engine.ForceNewPIN(t.Context(), "100000000002"))
			asked := d.is(d.begin(passcode("809357")), authentication.NewPIN, authentication.StepNewPIN)
			asked = d.is(d.answer(asked, "592048"), authentication.NewPIN, authentication.StepRepeatPIN)
			asked = d.is(d.answer(asked, "592048"), authentication.NewPIN, authentication.StepReauthenticate)
			d.is(d.answer(asked, passcode("592048")), authentication.Accepted, "")
			d.is(d.begin(passcode("592048")), authentication.Accepted, "")
			for _, used := range []string{"809357", "592048"} {
				if err := d.engine.SetPIN(t.Context(), "100000000002", used, false); !errors.Is(err, fault.PINInvalid) {
					t.Errorf("PIN %s again: %v", used, err)
				}
			}
			// And it can be replaced in its turn.
			last := d.spare("100000000003", false, token.Factory)
			_, err := d.tokens().Replace(t.Context(), "100000000002", 0, last.serial, true)
			d.must(err)
			next = last
			d.is(d.begin(passcode("592048")), authentication.Accepted, "")
		})
	}
}

// The PIN stays behind if that is said, or if the new token cannot have it.
func TestThePINStaysBehind(t *testing.T) {
	for name, c := range map[string]struct {
		from, to token.Settings
		keep     bool
		kept     bool
	}{
		"said":             {fob, fob, false, false},
		"the same":         {fob, fob, true, true},
		"letters":          {fob, token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad}, true, false},
		"digits":           {token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad}, fob, true, true},
		"no PIN":           {fob, plain, true, false},
		"too long a digit": {token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad}, token.Settings{Digits: 6, Interval: 30, PINType: device.PINPad}, true, false},
	} {
		d := newDeployment(t, sqlite(t), c.from)
		d.must(d.engine.SetPIN(t.Context(), serial, "80935746", false))
		next := d.spare("100000000002", true, c.to)
		next.replaces(c.keep)
		if r := next.read(); r.PIN.IsSet() != c.kept || r.Current.Settings != c.to {
			t.Errorf("%s: PIN kept %t, settings %+v", name, r.PIN.IsSet(), r.Current.Settings)
		}
	}
}

func TestReplacementsThatAreRefused(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	one, two, three := d.spare("100000000002", true, plain), d.spare("100000000003", true, plain), d.spare("100000000004", true, plain)
	replace := func(of string, version int, with string, want error) {
		t.Helper()
		if _, err := d.tokens().Replace(t.Context(), of, version, with, true); !errors.Is(err, want) {
			t.Errorf("%s with %q: %v", of, with, err)
		}
	}
	replace(one.serial, 0, two.serial, fault.TokenNotAssigned)
	replace(serial, 99, one.serial, fault.Conflict)
	replace(serial, 0, serial, fault.TokenAssigned)
	replace(serial, 0, "999999999999", fault.TokenNotFound)
	one.replaces(true)
	replace(serial, 0, two.serial, fault.InReplacement)
	replace(one.serial, 0, two.serial, fault.InReplacement)

	// Original and replacement count as one of three.
	for _, s := range []string{two.serial, three.serial} {
		if _, err := d.tokens().Assign(t.Context(), s, "alice"); err != nil {
			t.Error(err)
		}
	}
	more := d.spare("100000000005", true, plain)
	if _, err := d.tokens().Assign(t.Context(), more.serial, "alice"); !errors.Is(err, fault.TokenLimit) {
		t.Error(err)
	}
	replace(two.serial, 0, more.serial, nil)
	replace(three.serial, 0, "", fault.NoToken)
}

// Whichever of the two is taken away, the other stays what it was.
func TestAReplacementIsCalledOff(t *testing.T) {
	for name, c := range map[string]struct {
		gone func(d *deployment, serial string) error
		of   string
		left string
	}{
		"the original is unassigned":    {unassigned, serial, "100000000002"},
		"the replacement is unassigned": {unassigned, "100000000002", serial},
		"the original is deleted":       {deleted, serial, "100000000002"},
		"the replacement is deleted":    {deleted, "100000000002", serial},
	} {
		d := newDeployment(t, sqlite(t), plain)
		next := d.spare("100000000002", true, plain)
		next.replaces(true)
		d.must(c.gone(d, c.of))
		left, err := d.db.Token(t.Context(), c.left)
		d.must(err)
		if left.UserID != "alice" || left.InReplacement() {
			t.Errorf("%s: %+v", name, left)
		}
		code := d.code(d.now)
		if c.left != serial {
			code = next.code(d.now)
		}
		d.is(d.begin(code), authentication.Accepted, "")
	}
}

func unassigned(d *deployment, serial string) error {
	_, err := d.tokens().Unassign(d.Context(), serial, 0)
	return err
}

func deleted(d *deployment, serial string) error { return d.tokens().Delete(d.Context(), serial) }

// A dialogue with the original does not outlive it, and half a sign-in with the replacement does not end it.
func TestDialoguesAroundAReplacement(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	next := d.spare("100000000002", true, plain)
	next.replaces(true)
	old := d.is(d.begin(d.code(d.now.Add(5*time.Minute))), authentication.NextTokencode, authentication.StepNextTokencode)
	half := d.is(d.begin(next.code(d.now.Add(5*time.Minute))), authentication.NextTokencode, authentication.StepNextTokencode)
	if d.read().UserID != "alice" {
		t.Error("half a sign-in ended the original")
	}
	d.is(d.answer(half, next.code(d.now.Add(6*time.Minute))), authentication.Accepted, "")
	d.is(d.answer(old, d.code(d.now.Add(6*time.Minute))), authentication.Denied, "")
}

// redeem takes the mark of a former user off a token, as a delivery does, and leaves it its seed.
func (d *deployment) redeem(serial string) {
	d.Helper()
	r, err := d.db.Token(d.Context(), serial)
	d.must(err)
	r.Tainted = false
	d.must(d.db.SaveToken(d.Context(), r))
}

// When codes of both come at once to two servers, the replacement is accepted once, and the original not after it.
func TestReplacementAndOriginalAtOnce(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url, plain)
		d.policy.Lockout.Failures, d.policy.Token.IncorrectBeforeNTC = 0, 0
		engines := []*authentication.Engine{d.engine, d.elsewhere(url)}
		next := d.spare("100000000002", true, plain)
		for range 6 {
			d.now = d.now.Add(5 * time.Minute)
			next.replaces(true)
			codes := []string{d.code(d.now), next.code(d.now)}
			var mu sync.Mutex
			accepted := map[string]int{}
			var all sync.WaitGroup
			for i := range 32 {
				all.Go(func() {
					code := codes[i/2%2]
					got, err := engines[i%2].Check(context.Background(), "alice", code)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if got == authentication.Accepted {
						accepted[code]++
					}
				})
			}
			all.Wait()
			if accepted[codes[0]] > 1 || accepted[codes[1]] != 1 {
				t.Errorf("the original was accepted %d times and the replacement %d", accepted[codes[0]], accepted[codes[1]])
			}
			if d.read().UserID != "" || next.read().Replaces != "" {
				t.Error("the replacement did not end")
			}
			// The original comes back to her, and what was accepted of it is still used.
			_, err := d.tokens().Unassign(t.Context(), next.serial, 0)
			d.must(err)
			_, err = d.tokens().Assign(t.Context(), serial, "alice")
			d.must(err)
			d.redeem(serial)
			d.redeem(next.serial)
			got, err := d.engine.Check(t.Context(), "alice", codes[0])
			d.must(err)
			if again := got == authentication.Accepted; again && accepted[codes[0]] > 0 {
				t.Error("a code of the original was accepted again after it came back")
			}
		}
	})
}

// A holder does something once a round has taken a token from its user.
type holder struct {
	*store.DB
	after func()
}

func (h *holder) RevokeOffers(ctx context.Context, serial string) (int, error) {
	n, err := h.DB.RevokeOffers(ctx, serial)
	once(&h.after)
	return n, err
}

// Whoever changes a replacement and its original while one takes over from the other waits for that, and not in a ring.
func TestChangesDuringATakeOver(t *testing.T) {
	const low, high = "000000000902", "900000000002"
	for name, c := range map[string]struct {
		with   string
		change func(ctx context.Context, r *token.Registry) error
	}{
		"both": {low, func(ctx context.Context, r *token.Registry) error {
			_, err := r.EnableAll(ctx, []string{low, serial})
			return err
		}},
		"the replacement": {high, func(ctx context.Context, r *token.Registry) error {
			_, err := r.EnableAll(ctx, []string{high})
			return err
		}},
		"it is taken away": {high, func(ctx context.Context, r *token.Registry) error { _, err := r.Unassign(ctx, high, 0); return err }},
		"it is deleted":    {high, func(ctx context.Context, r *token.Registry) error { return r.Delete(ctx, high) }},
		"the original first": {low, func(ctx context.Context, r *token.Registry) error {
			_, err := r.EnableAll(ctx, []string{serial})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			url := deploytest.Postgres(t)
			d := newDeployment(t, url, plain)
			next := d.spare(c.with, true, plain)
			next.replaces(true)
			elsewhere := &token.Registry{Store: deploytest.Open(t, url), Now: func() time.Time { return d.now }}
			done := make(chan error, 1)
			d.engine.Store = &holder{d.db, func() {
				go func() { done <- c.change(context.WithoutCancel(t.Context()), elsewhere) }()
				d.untilSomeoneWaits(url)
			}}
			d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
			d.must(<-done)
			d.noDeadlocks(url)
		})
		t.Run(name+", begun before it", func(t *testing.T) {
			url := deploytest.Postgres(t)
			d := newDeployment(t, url, plain)
			next := d.spare(c.with, true, plain)
			next.replaces(true)
			var signIn sync.WaitGroup
			elsewhere := &token.Registry{Now: func() time.Time { return d.now }, Store: &locker{deploytest.Open(t, url), func() {
				signIn.Go(func() {
					if _, err := d.engine.Check(context.WithoutCancel(t.Context()), "alice", next.code(d.now)); err != nil {
						t.Error(err)
					}
				})
				d.untilSomeoneWaits(url)
			}}}
			d.must(c.change(t.Context(), elsewhere))
			signIn.Wait()
			d.noDeadlocks(url)
		})
	}
}

// An administrator of a security domain ends a replacement whose other token is elsewhere, whole.
func TestAReplacementFromAnotherDomainIsCalledOff(t *testing.T) {
	const elsewhere = "900000000002"
	for name, end := range map[string]func(ctx context.Context, r *token.Registry) error{
		"unassigned": func(ctx context.Context, r *token.Registry) error { _, err := r.Unassign(ctx, serial, 0); return err },
		"deleted":    func(ctx context.Context, r *token.Registry) error { return r.Delete(ctx, serial) },
		"unassigned with others": func(ctx context.Context, r *token.Registry) error {
			all, err := r.UnassignAll(ctx, []string{serial, elsewhere})
			return errors.Join(err, all[0].Err, outside(all[1].Err))
		},
		"deleted with others": func(ctx context.Context, r *token.Registry) error {
			all, err := r.DeleteAll(ctx, []string{elsewhere, serial})
			return errors.Join(err, all[1].Err, outside(all[0].Err))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), plain)
			domains := &domain.Registry{Store: d.db, Now: func() time.Time { return d.now }}
			_, err := domains.Add(t.Context(), "north", "", "")
			d.must(err)
			_, err = domains.Put(t.Context(), "north", map[domain.Kind][]string{domain.Users: {"alice"}})
			d.must(err)
			next := d.spare(elsewhere, true, plain)
			next.replaces(true)
			north, err := domains.Scope(t.Context(), "north")
			d.must(err)
			d.must(end(domain.WithScope(t.Context(), north), d.tokens()))
			if r := next.read(); r.UserID != "alice" || r.InReplacement() {
				t.Errorf("%+v", r)
			}
			if got := strings.Join(d.actions("token:"+elsewhere), " "); got != "token.assign replace.end" {
				t.Error(got)
			}
		})
	}
}

// outside is an error unless err says that there is no such token in the security domain.
func outside(err error) error {
	if errors.Is(err, fault.OutOfScope) {
		return nil
	}
	return fmt.Errorf("got %v", err)
}

// A token that somebody else has got since is not deleted as the original of a replacement.
func TestTheOriginalHasAnotherUser(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url, plain)
		d.policy.Token.DeleteReplaced = true
		d.addUser("bob")
		next := d.spare("900000000002", true, plain)
		next.replaces(true)
		d.change(serial, func(r *token.Token) { r.ReplacedBy = "" }) // so that the replacement does not change with it
		d.engine.Store = &meddler{d.db, func() {
			d.must(unassigned(d, serial))
			_, err := d.tokens().Assign(t.Context(), serial, "bob")
			d.must(err)
		}}
		d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
		if r := d.read(); r.UserID != "bob" {
			t.Errorf("%+v", r)
		}
	})
}

// A saver does something once a round has saved a token.
type saver struct {
	*store.DB
	after func()
}

func (s *saver) SaveToken(ctx context.Context, t token.Token) error {
	err := s.DB.SaveToken(ctx, t)
	once(&s.after)
	return err
}

// Of two servers, one changes a token's record, and the other only what both did to her tokens: neither waits for the other in a ring.
func TestARecordChangesBesideOthersUse(t *testing.T) {
	const low, disabled, high = "000000000902", "500000000002", "900000000002"
	for name, replaced := range map[string]bool{"a delivery is confirmed": false, "a replacement takes over": true} {
		t.Run(name, func(t *testing.T) {
			url := deploytest.Postgres(t)
			d := newDeployment(t, url, plain)
			d.policy.Lockout.Failures = 0
			d.another(low, plain)
			stopped := d.another(disabled, plain)
			d.is(d.begin(d.later(1)), authentication.Accepted, "") // the source is known
			next := d.spare(high, true, plain)
			if replaced {
				next.replaces(true)
			} else {
				d.must(unassigned(d, serial))
				_, err := d.tokens().Assign(t.Context(), high, "alice")
				d.must(err)
				d.change(high, func(r *token.Token) { r.Distribution = token.Issued })
			}
			d.change(disabled, func(r *token.Token) { r.Enabled = false })
			d.now = d.now.Add(2 * time.Minute)
			d.is(d.begin("00000000"), authentication.Denied, "") // the low one has it to be forgotten
			beside := &authentication.Engine{Store: deploytest.Open(t, url), Groups: 4, Keys: d.engine.Keys, Policies: &d.policy, Now: d.engine.Now}
			var other sync.WaitGroup
			d.engine.Store = &saver{d.db, func() {
				other.Go(func() { // a wrong one for her other tokens, that does not count against her
					got, err := beside.Check(context.WithoutCancel(t.Context()), "alice", stopped.code(d.now))
					if err != nil || got != authentication.Denied {
						t.Error(got, err)
					}
				})
				d.untilSomeoneWaits(url)
			}}
			d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
			other.Wait()
			d.noDeadlocks(url)
		})
	}
}

// untilSomeoneWaits returns when a transaction on a PostgreSQL database waits for a lock.
func (d *deployment) untilSomeoneWaits(url string) {
	d.Helper()
	for d.number(url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 0 {
	}
}

// A locker does something once tokens are locked.
type locker struct {
	*store.DB
	after func()
}

func (l *locker) LockTokens(ctx context.Context, serials []string) ([]token.Token, error) {
	found, err := l.DB.LockTokens(ctx, serials)
	once(&l.after)
	return found, err
}

// A hardware token signs in like another one, takes over like another one, and goes on to its next user with the seed that it has.
func TestHardwareTokens(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	fob := d.spare("100000000002", true, plain)
	r := fob.read()
	r.Hardware = true
	d.must(d.db.SaveToken(d.Context(), r))
	fob.replaces(true)
	d.later(1)
	d.is(d.begin(fob.code(d.now)), authentication.Accepted, "")
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	_, err := d.tokens().Unassign(d.Context(), fob.serial, 0)
	d.must(err)
	_, err = d.tokens().Assign(d.Context(), fob.serial, "alice")
	d.must(err)
	d.later(1)
	if r := fob.read(); r.Tainted {
		t.Errorf("after it was unassigned: %+v", r)
	}
	d.is(d.begin(fob.code(d.now)), authentication.Accepted, "")
}
