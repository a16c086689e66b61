package authentication_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
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
	d.policy.Token.IncorrectBeforeNTC = 0 // else a denial would do for the last line
	keys := []string{"the first request", "the second request", "the third request"}
	codes := []string{d.code(d.now.Add(-time.Minute)), d.code(d.now), d.code(d.now.Add(time.Minute))}
	want := authentication.Decision{Result: authentication.Accepted, Turn: 1, Serial: serial}
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

// A token that is used all the time forgets none of its last requests.
func TestManyAcceptedRequestsComeAgain(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	key := func(i int) string { return fmt.Sprintf("%02d of the requests", i) }
	for i := range 9 {
		d.is(d.asked(key(i), d.later(1)), authentication.Accepted, "")
	}
	for i := 1; i < 9; i++ {
		d.is(d.asked(key(i), "00000000"), authentication.Accepted, "")
	}
	if got := d.reasons(); got != "" {
		t.Errorf("recorded %s", got)
	}
}

// What an earlier release marked is no mark: it had more bytes of the key.
func TestMarksOfAnEarlierRelease(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	r := d.read()
	old := string(binary.BigEndian.AppendUint32(nil, uint32(d.now.Unix()))) + "one more request"
	after := r.Current.Clock
	after.Accepted = strings.Repeat(old, 4)
	d.must(d.db.Settle(t.Context(), authentication.Settlement{Uses: []authentication.Use{{Serial: serial, Version: r.Version, Number: 1, Before: r.Current.Clock, After: after}}}))
	d.is(d.asked("another request.", d.code(d.now)), authentication.Accepted, "")
	d.is(d.asked("another request.", d.code(d.now)), authentication.Accepted, "")
	if kept := len(d.read().Current.Accepted); kept > 3*12 {
		t.Errorf("%d bytes are kept", kept) // at two places of them stands a time
	}
}

// What was accepted stays so when its seed has ended, however that came, and counts against nobody.
func TestAcceptedRequestsComeAgainAfterTheirSeed(t *testing.T) {
	for name, end := range map[string]func(d *deployment){
		"replaced at once": func(d *deployment) { d.renewed(false, plain) },
		"by the good code": func(d *deployment) {
			fresh := d.renewed(true, plain)
			d.is(d.begin((spare{d, serial, fresh}).code(d.now)), authentication.Accepted, "")
		},
		"by housekeeping":   func(d *deployment) { d.endGrace(); _, err := d.tokens().SwitchOverDue(d.Context()); d.must(err) },
		"by the next look":  func(d *deployment) { d.endGrace(); d.is(d.begin("00000000"), authentication.Denied, "") },
		"by a replacement":  func(d *deployment) { d.takenOver() },
		"and was deleted":   func(d *deployment) { d.policy.Token.DeleteReplaced = true; d.takenOver() },
		"twice by new ones": func(d *deployment) { d.renewed(false, plain); d.takenOver() },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), plain)
			d.policy.Token.IncorrectBeforeNTC = 0
			codes := []string{d.code(d.now.Add(-time.Minute)), d.code(d.now)}
			for i, key := range []string{"one more request", "and another one.."} {
				d.is(d.asked(key, codes[i]), authentication.Accepted, "")
			}
			end(d)
			failures := d.failures()
			for i, key := range []string{"one more request", "and another one.."} {
				d.is(d.asked(key, codes[i]), authentication.Accepted, "")
			}
			d.is(d.asked("a third request.", codes[1]), authentication.Denied, "")
			if more := d.failures() - failures; more != 1 {
				t.Errorf("%d failures", more)
			}
			d.now = d.now.Add(10 * time.Minute)
			d.is(d.asked("one more request", codes[0]), authentication.Denied, "")
		})
	}
}

// What another server accepts of a seed while this one ends it is not forgotten.
func TestASeedEndsWhileItsCodeIsAccepted(t *testing.T) {
	for name, successor := range map[string]func(d *deployment) spare{
		"a new seed":    func(d *deployment) spare { return spare{d, serial, d.renewed(true, plain)} },
		"a replacement": func(d *deployment) spare { s := d.spare("100000000002", true, plain); s.replaces(true); return s },
	} {
		t.Run(name, func(t *testing.T) {
			url := deploytest.Postgres(t)
			d := newDeployment(t, url, plain)
			d.policy.Token.IncorrectBeforeNTC = 0
			d.is(d.asked("a request before", d.code(d.now)), authentication.Accepted, "") // the source is known
			old, next := d.later(1), successor(d)
			here, there := d.engine, &authentication.Engine{Store: deploytest.Open(t, url), Groups: 4, Keys: d.engine.Keys, Policies: &d.policy, Now: d.engine.Now}
			m := &meddler{DB: d.db}
			here.Store = m
			accept := func() {
				d.engine = there
				d.is(d.asked("one more request", old), authentication.Accepted, "")
				d.engine = here
			}
			m.meddle = accept
			d.is(d.asked("of the next one..", next.code(d.now)), authentication.Accepted, "")
			d.is(d.asked("one more request", old), authentication.Accepted, "")
			if d.read().UserID == "alice" && d.read().Current.Number != 2 || d.failures() != 0 || m.meddle != nil {
				t.Errorf("%+v, %d failures", d.read(), d.failures())
			}
		})
	}
}

// Marks that come from the token that was replaced may be later than those of the one that takes over: none is forgotten for it.
func TestMarksOutOfOrder(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 0
	d.addUser("bob")
	next := d.spare("100000000002", false, plain)
	_, err := d.tokens().Assign(t.Context(), next.serial, "bob")
	d.must(err)
	_, err = d.engine.Begin(t.Context(), authentication.Request{UserID: "bob", Passcode: next.code(d.now), Source: vpn, Key: []byte("a request of bob")})
	d.must(err)
	d.must(unassigned(d, next.serial))
	d.now = d.now.Add(9*time.Minute + 30*time.Second)
	old := d.code(d.now)
	d.is(d.asked("one more request", old), authentication.Accepted, "")
	next.replaces(true)
	for i := range 3 { // at the second of these that of bob is too old
		d.is(d.asked(fmt.Sprintf("%02d of the requests", i), next.code(d.now)), authentication.Accepted, "")
		d.is(d.asked("one more request", old), authentication.Accepted, "")
		d.now = d.now.Add(time.Minute)
	}
}

// Requests about somebody who is disabled are denied without a change of anything that servers have in common, but for once a minute.
func TestDenialsThatChangeNothing(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	disable := func(disabled bool) { d.change(serial, func(r *token.Token) { r.Enabled = !disabled }) }
	version := func() int {
		all, err := d.db.Guards(t.Context(), []string{"alice"})
		d.must(err)
		return all["alice"].Version
	}
	disable(true)
	ask := func(i int) {
		d.is(d.asked(fmt.Sprintf("%02d of the requests", i), d.code(d.now)), authentication.Denied, "")
	}
	before := version()
	for i := range 20 {
		ask(i)
		d.now = d.now.Add(3 * time.Second)
	}
	if got := version() - before; got != 1 {
		t.Errorf("%d changes in a minute", got)
	}
	d.now = d.now.Add(8*time.Minute + 59*time.Second)
	disable(false)
	for i := range 20 { // the last one of them for its whole ten minutes
		ask(i)
	}
	d.is(d.asked("another request.", d.code(d.now)), authentication.Accepted, "")
}

// Wrong passcodes do not make the server forget what was denied for another reason, however many they are.
func TestDenialsAmongWrongPasscodes(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC, d.policy.Lockout.Failures = 0, 0
	disable := func(disabled bool) { d.change(serial, func(r *token.Token) { r.Enabled = !disabled }) }
	for i, code := range []string{d.code(d.now.Add(-time.Minute)), d.code(d.now), d.code(d.now.Add(time.Minute))} {
		disable(true)
		key := fmt.Sprintf("%02d of the requests", i)
		d.is(d.asked(key, code), authentication.Denied, "")
		disable(false)
		for i := range 9 {
			d.now = d.now.Add(time.Second)
			d.is(d.asked(fmt.Sprintf("%s of %02d", code, i), "00000000"), authentication.Denied, "")
		}
		d.now = d.now.Add(52 * time.Second)
		d.is(d.asked(key, d.code(d.now)), authentication.Denied, "")
	}
	if n := len(d.read().Current.Accepted); n != 0 {
		t.Errorf("%d bytes of accepted requests", n)
	}
}

// endGrace ends the time in which alice's old seed works beside a new one.
func (d *deployment) endGrace() {
	d.Helper()
	d.renewed(true, plain)
	d.change(serial, func(r *token.Token) { r.PendingUntil = d.now })
}

// takenOver has another token take over from alice's.
func (d *deployment) takenOver() {
	d.Helper()
	next := d.spare("100000000002", true, plain)
	next.replaces(true)
	d.is(d.begin(next.code(d.now)), authentication.Accepted, "")
}

// What was denied stays so when its reason has ended, and its code, which still counts, is left to another request.
func TestDeniedRequestsComeAgainAfterTheirReason(t *testing.T) {
	disable := func(disabled bool) func(*deployment) {
		return func(d *deployment) { d.change(serial, func(r *token.Token) { r.Enabled = !disabled }) }
	}
	user := func(enabled bool) func(*deployment) {
		return func(d *deployment) {
			u, err := d.db.User(d.Context(), "alice")
			d.must(err)
			u.Enabled = enabled
			d.must(d.db.SaveUser(d.Context(), u))
		}
	}
	lastDay := func(days int) func(*deployment) {
		return func(d *deployment) {
			u, err := d.db.User(d.Context(), "alice")
			d.must(err)
			u.Expiry = d.now.Truncate(24*time.Hour).AddDate(0, 0, days)
			d.must(d.db.SaveUser(d.Context(), u))
		}
	}
	pin := func(pin string) func(*deployment) {
		return func(d *deployment) { d.must(d.engine.SetPIN(d.Context(), serial, pin, false)) }
	}
	for name, c := range map[string]struct {
		settings     token.Settings
		reason       string
		begin, ended func(d *deployment)
	}{
		"the token is disabled": {plain, authentication.TokenDisabled, disable(true), disable(false)},
		"she is disabled":       {plain, authentication.UserDisabled, user(false), user(true)},
		"her last day is over":  {plain, authentication.UserExpired, lastDay(-1), lastDay(0)},
		"she is locked": {plain, authentication.UserLocked, func(d *deployment) {
			for range 5 {
				d.is(d.begin("00000000"), authentication.Denied, "")
			}
		}, func(d *deployment) { d.must(d.engine.Unlock(d.Context(), "alice")) }},
		"her token is lost": {plain, authentication.TokenLost, func(d *deployment) { d.lose("", 0) }, (*deployment).find},
		"a wrong PIN":       {fob, authentication.BadPIN, pin("809357"), pin("592048")},
		"a new PIN is due":  {fob, authentication.NewPINRequired, func(*deployment) {}, pin("592048")},
		"it is not valid yet": {plain, authentication.TokenNotYet, func(d *deployment) {
			d.now = d.read().Birth.Add(-time.Second)
		}, func(d *deployment) { d.now = d.now.Add(time.Second) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), c.settings)
			d.policy.Token.IncorrectBeforeNTC = 0
			c.begin(d)
			passcode := d.code(d.now)
			if c.settings == fob {
				passcode = "592048" + passcode
			}
			if c.reason == authentication.NewPINRequired {
				passcode = d.code(d.now)
			}
			ask := func(key string) authentication.Decision {
				got, err := d.engine.Begin(d.Context(), authentication.Request{UserID: "alice", Passcode: passcode, Source: vpn, Key: []byte(key)})
				d.must(err)
				return got
			}
			first := d.is(ask("one more request"), authentication.Denied, "")
			if all := strings.Fields(d.reasons()); all[len(all)-1] != c.reason {
				t.Errorf("denied because of %s", all)
			}
			c.ended(d)
			before, failures := d.reasons(), d.failures()
			if again := ask("one more request"); again != first {
				t.Errorf("%+v, then %+v", first, again)
			}
			if d.reasons() != before || d.failures() != failures {
				t.Error("it was denied anew")
			}
			want := authentication.Accepted
			if c.reason == authentication.NewPINRequired {
				want = authentication.Denied // the PIN is missing now
			}
			d.is(ask("another request."), want, "")
			d.is(ask("another request."), want, "")
		})
	}
}

// A code that only began a dialogue was not accepted.
func TestACopyOfACodeThatBeganADialogue(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.is(d.begin(d.code(d.now.Add(-time.Minute))), authentication.Accepted, "")
	d.is(d.begin(d.code(d.now.Add(-time.Minute))), authentication.Denied, "")
	code := d.code(d.now.Add(3 * time.Minute))
	d.is(d.begin(code), authentication.NextTokencode, authentication.StepNextTokencode)
	d.is(d.begin(code), authentication.Denied, "")
	if got := d.reasons(); got != "RETRY_AFTER_ACCEPT ALREADY_USED" {
		t.Error(got)
	}
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
	once(&m.meddle)
	return found, err
}

// once does what is to be done, if anything is, and not again. It may set what is to be done next.
func once(do *func()) {
	if now := *do; now != nil {
		*do = nil
		now()
	}
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

// A request that names its user by her address has the answer of the first time also where somebody else got that address, or lost it, in between.
func TestRequestsByMailComeAgain(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	users := &user.Registry{Store: d.db, Now: func() time.Time { return d.now }}
	mail := func(id, address string) {
		_, err := users.Edit(t.Context(), id, 0, user.Entry{Mail: &address})
		d.must(err)
	}
	asked := func(key, passcode string) authentication.Decision {
		got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice@example.com", ByMail: true, Passcode: passcode, Source: vpn, Dialogue: true, Key: []byte(key)})
		d.must(err)
		return got
	}
	mail("alice", "alice@example.com")
	first, second := d.code(d.now), d.code(d.now.Add(time.Minute))
	d.is(asked("the first request", first), authentication.Accepted, "")
	d.addUser("alice@example.com")
	d.is(asked("the first request", first), authentication.Accepted, "")
	d.is(asked("the second request", second), authentication.Denied, "")
	d.must(users.Delete(t.Context(), "alice@example.com"))
	d.is(asked("the second request", second), authentication.Denied, "")
	d.is(asked("the third request", second), authentication.Accepted, "")
}
