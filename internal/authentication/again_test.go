package authentication_test

import (
	"context"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store"
)

// asked begins with a key.
func (d *deployment) asked(key, passcode string) authentication.Decision {
	d.Helper()
	got, err := d.engine.Begin(d.Context(), authentication.Request{UserID: "alice", Passcode: passcode, Source: vpn, Dialogue: true, Key: []byte(key)})
	d.must(err)
	return got
}

// All codes that are right at one moment may be used one after the other; each request that comes again has its answer for ten minutes.
func TestAcceptedRequestsComeAgain(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	keys := []string{"the first request", "the second request", "the third request"}
	codes := []string{d.code(d.now.Add(-time.Minute)), d.code(d.now), d.code(d.now.Add(time.Minute))}
	want := authentication.Decision{Result: authentication.Accepted, Turn: 1, Serial: serial, UserID: "alice"}
	for i, key := range keys {
		if got := d.asked(key, codes[i]); got != want {
			t.Errorf("%d: %+v", i, got)
		}
	}
	d.now = d.now.Add(10*time.Minute - time.Second)
	for i, key := range keys {
		if got := d.asked(key, codes[i]); got != want {
			t.Errorf("%d again: %+v", i, got)
		}
	}
	d.is(d.asked("another request", codes[2]), authentication.Denied, "")
	d.now = d.now.Add(time.Second)
	for i, key := range keys {
		d.is(d.asked(key, codes[i]), authentication.Denied, "")
	}
	// Since then they are known as denied.
	d.is(d.asked(keys[0], d.code(d.now)), authentication.Denied, "")
}

// A denial that comes again counts once, and a refusal that has a decision to it is none.
func TestOtherRequestsComeAgain(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	for range 10 { // 5 would lock her
		d.is(d.asked("a wrong passcode", "00000000"), authentication.Denied, "")
	}
	first := d.asked("a first passcode", d.code(d.now))
	d.is(first, authentication.NewPIN, authentication.StepNewPIN)
	if again := d.asked("a first passcode", d.code(d.now)); again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
	answer := authentication.Answer{Attempt: first.Attempt, Turn: first.Turn, UserID: "alice", Text: "2846", Source: vpn, Key: []byte("an answer to it.")}
	second, err := d.engine.Continue(t.Context(), answer)
	d.must(err)
	again, err := d.engine.Continue(t.Context(), answer) // to a turn that is over
	d.must(err)
	if second != again || second.Step != authentication.StepReauthenticate {
		t.Errorf("%+v, then %+v", second, again)
	}
	answer.Key = []byte("another answer..")
	if _, err := d.engine.Continue(t.Context(), answer); fault.CodeOf(err) != fault.OutOfSequence {
		t.Error(err)
	}
}

// A meddler changes something once a group has looked at it.
type meddler struct {
	*store.DB
	meddle func()
}

func (m *meddler) Gather(ctx context.Context, w authentication.Wanted) (authentication.Gathered, error) {
	found, err := m.DB.Gather(ctx, w)
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}
	return found, err
}

// What somebody else changes between the look of a decision and its writing is not got around.
func TestChangesBehindTheLook(t *testing.T) {
	for name, c := range map[string]struct {
		passcode func(d *deployment) string
		meddle   func(d *deployment, other *authentication.Engine)
		want     authentication.Result
		reasons  string
	}{
		"the code is used": {
			func(d *deployment) string { return d.code(d.now) },
			func(d *deployment, other *authentication.Engine) {
				if got, err := other.Check(d.Context(), "alice", d.code(d.now)); err != nil || got != authentication.Accepted {
					d.Error(got, err)
				}
			}, authentication.Denied, "ALREADY_USED",
		},
		"the token is disabled": {
			func(d *deployment) string { return d.code(d.now) },
			func(d *deployment, _ *authentication.Engine) {
				r, err := d.db.Token(d.Context(), serial)
				d.must(err)
				r.Enabled = false
				d.must(d.db.SaveToken(d.Context(), r))
			}, authentication.Denied, "TOKEN_DISABLED",
		},
		"wrong passcodes ask for more": {
			func(d *deployment) string { return d.code(d.now) },
			func(d *deployment, other *authentication.Engine) {
				for range 3 {
					_, err := other.Check(d.Context(), "alice", "00000000")
					d.must(err)
				}
			}, authentication.NextTokencode, "BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE",
		},
		"she is locked": {
			func(*deployment) string { return "00000000" },
			func(d *deployment, other *authentication.Engine) {
				for range 5 {
					_, err := other.Check(d.Context(), "alice", "00000000")
					d.must(err)
				}
			}, authentication.Denied, "BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE USER_LOCKED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), plain)
			m := &meddler{DB: d.db}
			other := &authentication.Engine{Store: d.db, Groups: 4, Keys: d.engine.Keys, Policies: &d.policy, Now: d.engine.Now}
			d.engine.Store, m.meddle = m, func() { c.meddle(d, other) }
			got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: c.passcode(d), Source: vpn, Dialogue: true})
			if err != nil || got.Result != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
			if got := d.reasons(); got != c.reasons {
				t.Errorf("recorded %s", got)
			}
		})
	}
}
