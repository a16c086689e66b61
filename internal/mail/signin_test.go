package mail_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/throttle"
	"github.com/tallystick/tallystick/internal/user"
)

// signIn accepts one password and one passcode of alice, and tells how often it was asked.
func (s *site) signIn(asked *int) *mail.SignIn {
	s.outbox.SignInURL = "https://tokens.example.com/second-mail"
	is := func(right string) func(context.Context, string, string) (bool, error) {
		return func(_ context.Context, userID, secret string) (bool, error) {
			*asked++
			switch secret {
			case "outage of the engine":
				return false, fault.New(fault.Unavailable, "the clock went back").With("because", "clock")
			case "outage":
				return false, fault.New(fault.DirectoryUnreachable, "it does not answer")
			}
			return userID == "alice" && secret == right, nil
		}
	}
	passcode := is("12345678")
	return &mail.SignIn{
		Outbox: s.outbox, Password: is("her password"),
		Passcode: func(ctx context.Context, userID, code, _ string) (bool, error) { return passcode(ctx, userID, code) },
	}
}

// signIns are the outcomes of sign-ins in the audit log.
func (s *site) signIns() (all []string) {
	s.Helper()
	page, err := s.db.Events(s.Context(), audit.Filter{Action: "mail.sign_in", Limit: 100})
	s.ok(err)
	for _, e := range page.Entries {
		if text := string(e.Record); strings.Contains(text, "her password") || strings.Contains(text, "12345678") || strings.Contains(text, "guess") {
			s.Errorf("the audit log tells %s", text)
		}
		event, err := audit.ParseRecord(e.Record)
		s.ok(err)
		all = append(all, strings.TrimSpace(event.Object+" "+event.Reason))
	}
	return all
}

// The second part is held until the user has signed in, and goes once, to her address.
func TestHeldUntilSignIn(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		asked := 0
		in := s.signIn(&asked)
		release := func(c mail.Claim) int {
			t.Helper()
			n, err := in.Release(t.Context(), c)
			s.ok(err)
			return n
		}
		s.knows("alice", "alice@example.com")
		if n := release(mail.Claim{UserID: "alice", Password: "guess"}); n != 0 || asked != 0 {
			t.Errorf("asked %d times of whom nothing is held for", asked)
		}
		ids := s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })
		s.sends("one")
		got := o.mails()
		if len(ids) != 2 || len(got) != 1 || !strings.Contains(got[0].text, "once you have signed in at https://tokens.example.com/second-mail") || strings.Contains(got[0].text+got[0].html, "file password") {
			t.Fatalf("%d messages, sent %+v", len(ids), got)
		}
		s.is(ids[1], mail.Held, "")
		for _, wrong := range []mail.Claim{
			{UserID: "alice", Password: "guess"}, {UserID: "alice", Passcode: "her password"}, {UserID: "bob", Password: "her password"}, {UserID: "her password", Password: "x"},
			{UserID: "alice", Password: "outage"},
		} {
			if n := release(wrong); n != 0 {
				t.Errorf("%+v releases %d", wrong, n)
			}
		}
		_, err := in.Release(t.Context(), mail.Claim{UserID: "alice"})
		refused(t, err, "INVALID")
		s.is(ids[1], mail.Held, "")
		s.Pass(time.Hour)
		s.ok(s.outbox.Forget(t.Context()))
		if n := release(mail.Claim{UserID: "alice", Password: "her password"}); n != 1 {
			t.Errorf("released %d", n)
		}
		if n := release(mail.Claim{UserID: "alice", Password: "her password"}); n != 0 {
			t.Errorf("released %d again", n)
		}
		s.sends("one")
		s.sends("two")
		got = o.mails()
		if len(got) != 2 || got[1].to != "alice@example.com" || !strings.Contains(got[1].text, "file password") || got[1].fileName != "" {
			t.Errorf("sent %+v", got)
		}
		s.is(ids[1], mail.Sent, "")
		want := "mail:sign_in NOTHING_HELD|user:alice NOT_ACCEPTED|user:alice NOT_ACCEPTED|mail:sign_in NOTHING_HELD|mail:sign_in NOTHING_HELD|user:alice DIRECTORY_UNREACHABLE|user:alice|mail:sign_in NOTHING_HELD"
		if all := strings.Join(s.signIns(), "|"); all != want {
			t.Errorf("the log tells %s", all)
		}
	})
}

// What is held goes to the address that the user has when she signs in: it may be another one by then. While she has none, it is held on.
func TestHeldForAnotherAddress(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		asked := 0
		in := s.signIn(&asked)
		s.knows("alice", "")
		held := s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })[1]
		s.sends("one")
		domains := &domain.Registry{Store: s.db, Now: s.Now} // of a program that asks, and is limited to a domain which is not hers
		_, err := domains.Add(t.Context(), "north", "", "")
		s.ok(err)
		scope, err := domains.Scope(t.Context(), "north")
		s.ok(err)
		release := func(want int) {
			t.Helper()
			n, err := in.Release(domain.WithScope(t.Context(), scope), mail.Claim{UserID: "alice", Password: "her password"})
			if s.ok(err); n != want {
				t.Errorf("released %d, want %d", n, want)
			}
		}
		release(0)
		s.is(held, mail.Held, "")
		s.moves("alice", "alice@new.example.com")
		release(1)
		s.sends("one")
		if got := o.mails(); len(got) != 2 || got[0].to != "alice@example.com" || got[1].to != "alice@new.example.com" || !strings.Contains(got[1].text, "file password") {
			t.Errorf("sent %+v", got)
		}
		if all := strings.Join(s.signIns(), "|"); all != "user:alice MAIL_MISSING|user:alice" || s.addressed("mail.sign_in") != "alice@new.example.com" {
			t.Errorf("the log tells %s", all)
		}
	})
}

// What nobody asks for in time is given up: a password after two weeks, an activation code when it has expired. Another delivery takes its place.
func TestHeldTooLong(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.uses(open(t, true))
		asked := 0
		in := s.signIn(&asked)
		s.knows("alice", "")
		first := s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })[1]
		password := s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })[1]
		s.is(first, mail.Cancelled, mail.Superseded)
		code := s.delivers(func(p *parcel) {
			p.Secret, p.Serial, p.Method, p.File, p.FileName, p.Lock, p.ActivationCode = mail.BySignIn, "000123456780", device.CTKIP, nil, "", "", "453358987190"
			p.CTKIPURL, p.ActivationExpires = "https://tokens.example.com/ctkip", s.Now().Add(48*time.Hour)
		})[1]
		s.Pass(48 * time.Hour)
		s.ok(s.outbox.Forget(t.Context()))
		if m := s.is(code, mail.Failed, mail.TooLate); m.Sealed.KeyID != 0 {
			t.Error("the code is kept")
		}
		s.is(password, mail.Held, "")
		_, err := s.outbox.Resend(t.Context(), code)
		refused(t, err, "CONFLICT")
		s.Pass(mail.HeldFor)
		if n, err := in.Release(t.Context(), mail.Claim{UserID: "alice", Password: "her password"}); n != 0 || err != nil || asked != 0 {
			t.Errorf("released %d %v", n, err)
		}
		s.ok(s.outbox.Forget(t.Context()))
		s.is(password, mail.Failed, mail.TooLate)
		withdrawn := s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })[1]
		_, err = s.outbox.Cancel(t.Context(), withdrawn)
		s.ok(err)
		s.is(withdrawn, mail.Cancelled, mail.Withdrawn)
		in.Password = func(context.Context, string, string) (bool, error) { return false, errors.New("a defect") }
		s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })
		if _, err := in.Release(t.Context(), mail.Claim{UserID: "alice", Password: "x"}); err == nil {
			t.Error("a defect is not told")
		}
	})
}

// Anybody may type passcodes on the page. The engine is asked so seldom that those alone never lock her.
func TestWrongPasscodesDoNotLock(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.uses(open(t, true))
		asked := 0
		in := s.signIn(&asked)
		s.ok(s.db.AddUser(t.Context(), user.User{ID: "alice", Mail: "alice@example.com", Enabled: true, CreatedAt: s.Now(), Version: 1}))
		s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })
		tries := func(want int) {
			t.Helper()
			asked = 0
			for range 6 {
				n, err := in.Release(t.Context(), mail.Claim{UserID: "alice", Passcode: "guess"})
				if s.ok(err); n != 0 {
					t.Error("a guess releases")
				}
			}
			if asked != want {
				t.Errorf("the engine is asked %d times, want %d", asked, want)
			}
		}
		tries(mail.MaxPasscodes)
		s.Pass(23 * time.Hour)
		tries(0)
		s.Pass(time.Hour)
		_, err := s.policy.EditLockout(t.Context(), 0, func(l *policy.Lockout) { l.Failures = 3 })
		s.ok(err)
		tries(2)
		if n, err := in.Release(t.Context(), mail.Claim{UserID: "alice", Passcode: "12345678"}); n != 0 || err != nil || asked != 2 {
			t.Errorf("released %d %v", n, err)
		}
		s.Pass(24 * time.Hour)
		asked = 0
		for range 2 * mail.MaxPasscodes { // an outage counts for nobody, and tells nobody that something is held
			for _, id := range []string{"alice", "bob"} {
				if n, err := in.Release(t.Context(), mail.Claim{UserID: id, Passcode: "outage of the engine"}); n != 0 || err != nil {
					t.Errorf("%s: released %d %v", id, n, err)
				}
			}
		}
		passcode := in.Passcode
		for range 2 * mail.MaxPasscodes { // who goes away meanwhile
			ctx, leave := context.WithCancel(t.Context())
			in.Passcode = func(context.Context, string, string, string) (bool, error) {
				asked++
				leave()
				return false, ctx.Err()
			}
			_, _ = in.Release(ctx, mail.Claim{UserID: "alice", Passcode: "guess"})
		}
		in.Passcode = passcode
		if asked != 2*mail.MaxPasscodes+2 { // of the outage, and as many as would not lock her
			t.Errorf("asked %d times", asked)
		}
		s.Pass(24 * time.Hour)
		if all := s.signIns(); !slices.Contains(all, "user:alice UNAVAILABLE") {
			t.Errorf("the log tells %v", all)
		}
		if n, err := in.Release(t.Context(), mail.Claim{UserID: "alice", Passcode: "12345678"}); n != 1 || err != nil {
			t.Errorf("a day later, released %d %v", n, err)
		}
		s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })
		tries(2) // who was right begins anew
		s.Pass(24 * time.Hour)
		_, err = s.policy.EditLockout(t.Context(), 0, func(l *policy.Lockout) { l.Failures = 1 })
		s.ok(err)
		tries(0)
	})
}

// A desk is a store of which a sign-in asks nothing but what is held, and what became of it.
type desk struct {
	mail.Store
	held   []mail.Message
	events []audit.Event
}

func (d *desk) HeldMessages(context.Context, string, time.Time) ([]mail.Message, error) {
	return d.held, nil
}

func (d *desk) Transact(ctx context.Context, do func(context.Context) error) error { return do(ctx) }

func (d *desk) Addressee(context.Context, string) (user.User, error) {
	return user.User{ID: "alice", Mail: "alice@example.com"}, nil
}

func (d *desk) SaveMessage(context.Context, mail.Message, mail.State) error {
	d.held = nil
	return nil
}

func (d *desk) Record(_ context.Context, e audit.Event) error {
	d.events = append(d.events, e)
	return nil
}

// Anybody may sign in as often as he likes, and does not fill the audit log: beyond a thousand an hour, sign-ins of whom nothing was asked are summed up.
// What was compared with a password of somebody has its event all the same.
func TestManySignInsAreSummedUp(t *testing.T) {
	d, now := &desk{}, time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	answer := error(nil)
	in := &mail.SignIn{Outbox: &mail.Outbox{Store: d, Now: func() time.Time { return now }}, Password: func(context.Context, string, string) (bool, error) { return false, answer }}
	signs := func(times int) {
		t.Helper()
		for range times {
			if n, err := in.Release(t.Context(), mail.Claim{UserID: "alice", Password: "a guess"}); n != 0 || err != nil {
				t.Fatalf("released %d %v", n, err)
			}
		}
	}
	signs(throttle.SampleSize + 1)
	d.held = []mail.Message{{}}
	for _, answer = range []error{fault.New(fault.TooMany, ""), fault.New(fault.NotFound, ""), fault.New(fault.DirectoryUnreachable, ""), nil} {
		signs(1)
	}
	for range 2 {
		if err := in.CleanUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(throttle.SampleWindow)
	answer = fault.New(fault.TooMany, "")
	signs(1)
	if n := len(d.events); n != throttle.SampleSize+3 {
		t.Fatalf("%d events", n)
	}
	for i, want := range []string{"user:alice NOT_ACCEPTED", "mail:sign_in TOO_MANY", "user:alice TOO_MANY"} {
		if e := d.events[throttle.SampleSize+i]; e.Object+" "+e.Reason != want || i == 1 && e.Details["sign_ins"] != 4 {
			t.Errorf("%s %s %v, want %s", e.Object, e.Reason, e.Details, want)
		}
	}
}

// Who clicks twice is answered by both clicks what the first one did, and asked about once.
func TestSecondClick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pace = 250 * time.Millisecond
		d, asked, answer := &desk{held: []mail.Message{{}}}, 0, make(chan bool)
		in := &mail.SignIn{
			Outbox: &mail.Outbox{Store: d, Now: time.Now}, Pace: pace,
			Password: func(ctx context.Context, _, _ string) (bool, error) {
				asked++
				return <-answer, ctx.Err()
			},
		}
		click := func(ctx context.Context, password string) (said chan int) {
			said = make(chan int, 1)
			go func() {
				n, err := in.Release(ctx, mail.Claim{UserID: "alice", Password: password})
				if err != nil {
					t.Error(err)
				}
				said <- n
			}()
			synctest.Wait()
			return said
		}
		ctx, leave := context.WithCancel(t.Context())
		first := click(ctx, "her password")
		leave() // as browsers do for the second click
		second := click(t.Context(), "her password")
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		answer <- true
		synctest.Wait()
		third := click(t.Context(), "her password") // it was sent, and nobody was answered yet
		if one, two, three := <-first, <-second, <-third; one != 1 || two != 1 || three != 1 || asked != 1 {
			t.Errorf("the first click sent %d, the second %d, the third %d; asked %d times", one, two, three, asked)
		}
		if n := <-click(t.Context(), "her password"); n != 0 || asked != 1 {
			t.Errorf("later on, sent %d; asked %d times", n, asked)
		}
		d.held = []mail.Message{{}}
		guess := click(t.Context(), "a guess")
		answer <- false
		synctest.Wait()
		another := click(t.Context(), "another guess") // which is none of the same click
		answer <- false
		if one, two := <-guess, <-another; one != 0 || two != 0 || asked != 3 {
			t.Errorf("two guesses sent %d and %d, and %d were asked about", one, two, asked)
		}
	})
}

// What a user was asked goes on when she leaves: her passcode is used up, and a guess is to be in the log.
func TestSignInOfWhoLeaves(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.uses(open(t, true))
		s.knows("alice", "alice@example.com")
		held := s.delivers(func(p *parcel) { p.Secret = mail.BySignIn })[1]
		for want, typed := range []string{"a guess", "her password"} {
			ctx, leave := context.WithCancel(t.Context())
			in := &mail.SignIn{Outbox: s.outbox, Password: func(ctx context.Context, _, typed string) (bool, error) {
				leave()
				return typed == "her password", ctx.Err()
			}}
			if n, err := in.Release(ctx, mail.Claim{UserID: "alice", Password: typed}); n != want || err != nil {
				t.Errorf("%s releases %d %v", typed, n, err)
			}
		}
		s.is(held, mail.Waiting, "")
		if all := strings.Join(s.signIns(), "|"); all != "user:alice NOT_ACCEPTED|user:alice" {
			t.Errorf("the log tells %s", all)
		}
	})
}
