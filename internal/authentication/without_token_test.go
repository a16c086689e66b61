package authentication_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// letters are the codes that were sent to a user; internal/server tests the same with a mail server.
type letters struct {
	mu    sync.Mutex
	codes []string
	err   error // instead
}

func (l *letters) Reach(context.Context, string) error { return l.err }

func (l *letters) SendCode(_ context.Context, userID, code string, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && userID == "alice" {
		l.codes = append(l.codes, code)
	}
	return l.err
}

func (l *letters) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.codes[len(l.codes)-1]
}

// A mailing is a deployment whose users may have codes by mail, and whose alice asks for them with 4810.
func newMailing(t testing.TB, url string) (*deployment, *letters) {
	d, post := newDeployment(t, url, plain), &letters{}
	d.engine.Courier, d.policy.Token.OnDemand = post, true
	d.must(d.engine.SetOnDemand(t.Context(), "alice", "4810", false))
	return d, post
}

// What somebody else keeps, which sending a code takes, is no refusal of this user: nothing was decided.
func TestACodeThatCannotBeSentNow(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	post.err = fault.New(fault.ServiceBusy, "somebody else keeps what this needs")
	_, err := d.engine.Check(t.Context(), "alice", "4810")
	d.refused(err, fault.Unavailable)
	if got := d.reasons(); got != "" {
		t.Error(got)
	}
	post.err = nil
	d.is(d.begin("4810"), authentication.NextTokencode, authentication.StepNextTokencode)
}

func TestAFixedPasscode(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url, plain)
		d.refused(d.engine.SetFixedPasscode(t.Context(), "alice", "8093"), fault.PolicyForbids)
		d.policy.Token.FixedPasscode = policy.FixedLikePIN
		d.refused(d.engine.SetFixedPasscode(t.Context(), "nobody", "8093"), fault.UserNotFound)
		d.refused(d.engine.SetFixedPasscode(t.Context(), "alice", "1234"), fault.PINInvalid)
		d.refused(d.engine.ClearFixedPasscode(t.Context(), "alice"), fault.NotFound)
		d.must(d.engine.SetFixedPasscode(t.Context(), "alice", "8093"))
		for range 2 { // nothing of it is used up
			d.is(d.begin("8093"), authentication.Accepted, "")
		}
		d.is(d.begin(d.code(d.now)), authentication.Accepted, "") // beside her token
		d.is(d.begin("8094"), authentication.Denied, "")
		d.must(d.engine.SetFixedPasscode(t.Context(), "alice", "8094")) // in its place
		d.is(d.begin("8093"), authentication.Denied, "")
		d.is(d.begin("8094"), authentication.Accepted, "")

		d.policy.Token.FixedPasscode = policy.NoFixedPasscode
		d.is(d.begin("8094"), authentication.Denied, "")
		d.policy.Token.FixedPasscode = policy.FixedLikePIN
		d.must(d.engine.ClearFixedPasscode(t.Context(), "alice"))
		d.is(d.begin("8094"), authentication.Denied, "")
		if got := d.reasons(); got != "BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE BAD_PASSCODE" {
			t.Error(got)
		}
		if got := strings.Join(d.actions("user:alice"), " "); strings.Count(got, "fixed_passcode.set") != 2 || strings.Count(got, "fixed_passcode.clear") != 1 {
			t.Errorf("recorded %s", got)
		}
	})
}

// once asks as an agent that cannot ask the user again.
func (d *deployment) once(passcode string) authentication.Decision {
	d.Helper()
	got, err := d.engine.Begin(d.Context(), authentication.Request{UserID: "alice", Passcode: passcode, Source: vpn})
	d.must(err)
	return got
}

func (d *deployment) refused(err error, code fault.Code) {
	d.Helper()
	if fault.CodeOf(err) != code {
		d.Errorf("got %v, want %s", err, code)
	}
}

// Wrong ones lock like any passcode, also a user who holds no token, and the right one does not count while she is locked or disabled.
func TestAFixedPasscodeIsLocked(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.FixedPasscode = policy.FixedByOwnRules
	d.addUser("robot")
	ask := func(passcode string, want authentication.Result) {
		t.Helper()
		got, err := d.engine.Check(t.Context(), "robot", passcode)
		if err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	for _, bad := range []string{"short1", "onlylettershere", "4810935748109357", strings.Repeat("x1", 33), "robot-number-11", "123412341234ab"[:11]} {
		d.refused(d.engine.SetFixedPasscode(t.Context(), "robot", bad), fault.PINInvalid)
	}
	const right = "Tk7wqZ31hNbv"
	d.must(d.engine.SetFixedPasscode(t.Context(), "robot", right))
	ask(right, authentication.Accepted)
	for range 5 {
		ask("tk7wqZ31hNbv", authentication.Denied)
	}
	ask(right, authentication.Denied)
	d.must(d.engine.Unlock(t.Context(), "robot"))
	ask(right, authentication.Accepted)
	if got := d.reasons(); got != strings.Repeat("BAD_PASSCODE ", 5)+"USER_LOCKED" {
		t.Error(got)
	}
}

func TestACodeOnDemand(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d, post := newMailing(t, url)
		asked := d.is(d.begin("4810"), authentication.NextTokencode, authentication.StepNextTokencode)
		done := d.is(d.answer(asked, post.last()), authentication.Accepted, "")
		if done.Serial != "" {
			t.Errorf("decision %+v", done)
		}
		// It works once, by itself in another dialogue and behind the PIN.
		d.is(d.begin("4810"+post.last()), authentication.Denied, "")
		asked = d.begin("4810")
		d.is(d.answer(asked, post.codes[0]), authentication.Denied, "")
		// An agent that cannot ask is denied, and the code is sent all the same.
		d.is(d.once("4810"), authentication.Denied, "")
		if len(post.codes) != 3 {
			t.Fatalf("%d codes were sent", len(post.codes))
		}
		d.check("4810"+post.codes[1], authentication.Denied) // not the last one
		d.check("4811"+post.last(), authentication.Denied)
		d.check("4810"+post.last(), authentication.Accepted)
		if got := d.reasons(); got != "RETRY_AFTER_ACCEPT ON_DEMAND_CODE_WRONG ON_DEMAND_CODE_SENT ON_DEMAND_CODE_WRONG BAD_PASSCODE" {
			t.Error(got)
		}
		d.is(d.begin(d.code(d.now)), authentication.Accepted, "") // her token works beside it
	})
}

// The agent that was just told that a code is accepted may ask again in other words, and locks nobody; whoever else comes with it does.
func TestACodeOnDemandAgain(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	d.is(d.answer(d.begin("4810"), post.last()), authentication.Accepted, "")
	for range 6 {
		d.is(d.begin("4810"+post.last()), authentication.Denied, "")
	}
	d.check("4810"+post.last(), authentication.Denied) // another agent
	d.now = d.now.Add(time.Minute)
	d.is(d.begin("4810"+post.last()), authentication.Denied, "")
	if got := d.reasons(); got != strings.Repeat("RETRY_AFTER_ACCEPT ", 6)+"ON_DEMAND_CODE_USED ON_DEMAND_CODE_USED" {
		t.Error(got)
	}
	tok, err := d.db.Token(t.Context(), serial)
	d.must(err)
	if tok.Current.BadPasscodes != 0 {
		t.Errorf("%d wrong passcodes are counted against her token", tok.Current.BadPasscodes)
	}
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
}

// What is known of a code by mail decides, whatever is known of her tokens: that her only one is lost, or that it has the same PIN.
func TestACodeOnDemandBesideATokenThatKnowsLess(t *testing.T) {
	for name, more := range map[string]func(*deployment){
		"a lost token": func(d *deployment) { d.lose("", 0) },
		"one of the PIN": func(d *deployment) {
			d.another("900000000002", token.Settings{Digits: 8, Interval: 60, PINType: device.Fob})
			d.must(d.engine.SetPIN(t.Context(), "900000000002", "4810", false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, post := newMailing(t, sqlite(t))
			more(d)
			d.is(d.answer(d.begin("4810"), post.last()), authentication.Accepted, "")
			d.is(d.begin("4810"+post.last()), authentication.Denied, "") // the same agent
			if n := d.failures(); n != 0 {
				t.Errorf("%d failures", n)
			}
			d.check("4810"+post.last(), authentication.Denied)
			d.begin("4810")
			d.now = d.now.Add(d.policy.Token.OnDemandLife)
			d.is(d.begin("4810"+post.last()), authentication.Denied, "")
			if got := d.reasons(); got != "RETRY_AFTER_ACCEPT ON_DEMAND_CODE_USED ON_DEMAND_CODE_EXPIRED" {
				t.Error(got)
			}
		})
	}
}

// What stands in for a token is told apart, and opens nothing that takes a token.
func TestWhatIsNoneOfAToken(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	d.policy.Token.FixedPasscode = policy.FixedLikePIN
	d.refused(d.engine.SetFixedPasscode(t.Context(), "alice", "4810"), fault.PINInvalid)
	d.must(d.engine.SetFixedPasscode(t.Context(), "alice", "8093"))
	d.refused(d.engine.SetOnDemand(t.Context(), "alice", "8093", false), fault.PINInvalid)
	d.must(d.engine.SetOnDemand(t.Context(), "alice", "60214", true))
	asked := d.answer(d.begin("60214"), post.last())
	d.is(d.answer(asked, "8093"), authentication.NewPIN, authentication.StepNewPIN)
	d.begin("60214")
	only := func(passcode string, want authentication.Result) {
		t.Helper()
		got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: passcode, TokenOnly: true, Source: vpn})
		d.must(err)
		d.is(got, want, "")
	}
	only(d.code(d.now), authentication.Accepted)
	only("8093", authentication.Denied)
	only("60214", authentication.Denied)
	only("60214"+post.last(), authentication.Denied)
}

// Codes that the policy has switched off are not sent to a user who has a fixed passcode either, nor do they count.
func TestCodesOnDemandThatAreOff(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	d.policy.Token.FixedPasscode = policy.FixedLikePIN
	d.must(d.engine.SetFixedPasscode(t.Context(), "alice", "8093"))
	d.begin("4810")
	d.policy.Token.OnDemand = false
	d.is(d.begin("4810"), authentication.Denied, "")
	d.is(d.begin("4810"+post.last()), authentication.Denied, "")
	if len(post.codes) != 1 {
		t.Errorf("%d codes were sent", len(post.codes))
	}
	d.is(d.begin("8093"), authentication.Accepted, "")
}

// A fixed passcode that the policy has switched off locks nobody.
func TestAFixedPasscodeThatIsOff(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.addUser("robot")
	d.policy.Token.FixedPasscode = policy.FixedLikePIN
	d.must(d.engine.SetFixedPasscode(t.Context(), "robot", "8093"))
	ask := func(want authentication.Result) {
		t.Helper()
		if got, err := d.engine.Check(t.Context(), "robot", "8093"); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	d.policy.Token.FixedPasscode = policy.NoFixedPasscode
	for range 6 {
		ask(authentication.Denied)
	}
	d.policy.Token.FixedPasscode = policy.FixedLikePIN
	ask(authentication.Accepted)
	if got := d.reasons(); got != strings.TrimSpace(strings.Repeat("NO_TOKEN ", 6)) {
		t.Error(got)
	}
}

// A code that was sent to an address is not taken once the user has another one.
func TestACodeOnDemandAndAnotherAddress(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d, post := newMailing(t, url)
		users := &user.Registry{Store: d.db, Now: d.engine.Now}
		asked := d.begin("4810")
		_, err := users.Edit(t.Context(), "alice", 0, user.Entry{Mail: new("new@example.com")})
		d.must(err)
		d.is(d.answer(asked, post.last()), authentication.Denied, "")
		d.is(d.begin("4810"+post.last()), authentication.Denied, "")
		d.is(d.answer(d.begin("4810"), post.last()), authentication.Accepted, "")
	})
}

func TestACodeOnDemandEnds(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	d.begin("4810")
	d.now = d.now.Add(15*time.Minute - time.Second)
	d.check("4810"+post.last(), authentication.Accepted)
	asked := d.begin("4810")
	d.now = d.now.Add(15 * time.Minute)
	d.check("4810"+post.last(), authentication.Denied)
	_, err := d.engine.Continue(t.Context(), authentication.Answer{Attempt: asked.Attempt, Turn: asked.Turn, Text: post.last(), Source: vpn})
	d.refused(err, fault.AttemptNotFound) // it waits for three minutes
	if got := d.reasons(); got != "ON_DEMAND_CODE_EXPIRED DIALOGUE_OVER" {
		t.Error(got)
	}
}

func TestWhoMayHaveCodesOnDemand(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	waiting := d.begin("4810")
	d.policy.Token.OnDemand = false
	d.is(d.answer(waiting, post.last()), authentication.Denied, "")
	d.check("4810", authentication.Denied)
	d.check("4810"+post.last(), authentication.Denied)
	d.refused(d.engine.SetOnDemand(t.Context(), "alice", "8093", false), fault.PolicyForbids)
	d.policy.Token.OnDemand = true
	// Another PIN ends what was sent, and every dialogue that it is about.
	waiting = d.begin("4810")
	d.must(d.engine.SetOnDemand(t.Context(), "alice", "8093", false))
	d.is(d.answer(waiting, post.last()), authentication.Denied, "")
	d.check("8093"+post.last(), authentication.Denied)
	d.refused(d.engine.SetOnDemand(t.Context(), "alice", "4810", false), fault.PINInvalid) // one of the last
	post.err = fault.MailMissing
	d.check("8093", authentication.Denied)
	d.refused(d.engine.SetOnDemand(t.Context(), "alice", "5937", false), fault.MailMissing)
	post.err = nil
	d.must(d.engine.ClearOnDemand(t.Context(), "alice"))
	d.refused(d.engine.ClearOnDemand(t.Context(), "alice"), fault.NotFound)
	d.check("8093", authentication.Denied)
	if got := d.reasons(); got != "ON_DEMAND_OFF BAD_PASSCODE BAD_PASSCODE PIN_CHANGED_MEANWHILE ON_DEMAND_CODE_WRONG ON_DEMAND_CODE_NOT_SENT BAD_PASSCODE" {
		t.Error(got)
	}
}

// Who knows the PIN and not the mailbox cannot fill it.
func TestCodesOnDemandAreLimited(t *testing.T) {
	d, post := newMailing(t, sqlite(t))
	for range 5 {
		d.is(d.begin("4810"), authentication.NextTokencode, authentication.StepNextTokencode)
		d.now = d.now.Add(time.Minute)
	}
	d.is(d.begin("4810"), authentication.Denied, "")
	d.is(d.begin("4810"+post.last()), authentication.Accepted, "") // the last one still works
	d.now = d.now.Add(10 * time.Minute)                            // the first was a quarter of an hour ago
	d.is(d.begin("4810"), authentication.NextTokencode, authentication.StepNextTokencode)
	d.is(d.begin("4810"), authentication.Denied, "")
	if got := d.reasons(); got != "ON_DEMAND_LIMIT ON_DEMAND_LIMIT" || len(post.codes) != 6 {
		t.Error(got, len(post.codes))
	}
}

// A temporary PIN, like one that is too old, leads to a new one once the code has shown who is there.
func TestANewPINForCodesOnDemand(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d, post := newMailing(t, url)
		d.must(d.engine.SetOnDemand(t.Context(), "alice", "8093", true))
		asked := d.is(d.answer(d.begin("8093"), post.last()), authentication.NewPIN, authentication.StepNewPIN)
		if asked.PIN != (authentication.PINRules{Min: 4, Max: 8, Creation: "user"}) {
			t.Errorf("rules %+v", asked.PIN)
		}
		asked = d.is(d.answer(asked, "4810"), authentication.NewPIN, authentication.StepNewPIN) // one of the last
		asked = d.is(d.answer(asked, "5937"), authentication.NewPIN, authentication.StepRepeatPIN)
		asked = d.is(d.answer(asked, "5937"), authentication.NewPIN, authentication.StepReauthenticate)
		asked = d.is(d.answer(asked, "5937"), authentication.NextTokencode, authentication.StepNextTokencode)
		d.is(d.answer(asked, post.last()), authentication.Accepted, "")
		d.check("8093", authentication.Denied)
		// One that the system makes.
		d.policy.Token.PINCreation = policy.BySystem
		d.must(d.engine.SetOnDemand(t.Context(), "alice", "70921", true))
		d.now = d.now.Add(time.Hour)
		asked = d.is(d.answer(d.begin("70921"), post.last()), authentication.NewPIN, authentication.StepSystemAsk)
		shown := d.is(d.answer(asked, "y"), authentication.NewPIN, authentication.StepSystemPIN)
		d.answer(shown, "y")
		d.is(d.answer(d.begin(shown.SystemPIN), post.last()), authentication.Accepted, "")
		// One that an administrator sets for a while does not end an older dialogue.
		d.policy.Token.PINCreation = policy.ByUser
		d.must(d.engine.SetOnDemand(t.Context(), "alice", "35927", true))
		asked = d.answer(d.answer(d.answer(d.begin("35927"), post.last()), "61948"), "61948")
		d.is(asked, authentication.NewPIN, authentication.StepReauthenticate)
		if !asked.Mailed {
			t.Error("it does not say what the PIN is for")
		}
		d.must(d.engine.SetOnDemand(t.Context(), "alice", "93571", true))
		d.begin("93571")
		d.is(d.answer(asked, "93571"+post.last()), authentication.Denied, "")
		// And one that is refused: the old one stays.
		d.policy.Token.PINCreation = policy.ByUser
		d.must(d.engine.SetOnDemand(t.Context(), "alice", "28451", true))
		asked = d.answer(d.begin("28451"), post.last())
		for range 3 {
			asked = d.answer(asked, "1234")
		}
		d.is(asked, authentication.Denied, "")
		d.is(d.begin("28451"), authentication.NextTokencode, authentication.StepNextTokencode)
		// An agent that cannot ask for a PIN does not use the code up.
		d.is(d.once("28451"+post.last()), authentication.Denied, "")
		asked = d.is(d.begin("28451"+post.last()), authentication.NewPIN, authentication.StepNewPIN)
		// What follows the new PIN may be a code that was sent meanwhile, behind it.
		asked = d.is(d.answer(d.answer(asked, "71935"), "71935"), authentication.NewPIN, authentication.StepReauthenticate)
		d.is(d.begin("71935"), authentication.NextTokencode, authentication.StepNextTokencode)
		d.is(d.answer(asked, "71935"+post.last()), authentication.Accepted, "")
		if got := d.reasons(); got != "BAD_PASSCODE PIN_CHANGED_MEANWHILE NEW_PIN_REFUSED NEW_PIN_REQUIRED" {
			t.Error(got)
		}
	})
}

// A request that comes again has the answer of the first time, and no other code is sent; a code is accepted once by two servers.
func TestCodesOnDemandOnTwoServers(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d, post := newMailing(t, url)
		engines := []*authentication.Engine{d.engine, d.engine}
		if strings.HasPrefix(url, "postgres") {
			engines[1] = &authentication.Engine{Store: deploytest.Open(t, url), Groups: 4, Keys: d.engine.Keys, Policies: d.engine.Policies, Now: d.engine.Now, Courier: post}
		}
		at := func(i int, q authentication.Request) authentication.Decision {
			got, err := engines[i%2].Begin(t.Context(), q)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		asks := authentication.Request{UserID: "alice", Passcode: "4810", Source: vpn, Dialogue: true, Key: []byte("0123456789abcdef")}
		var all sync.WaitGroup
		var attempts sync.Map
		for i := range 16 {
			all.Go(func() { attempts.Store(at(i, asks).Attempt, true) })
		}
		all.Wait()
		n := 0
		attempts.Range(func(any, any) bool { n++; return true })
		state, err := d.db.Guards(t.Context(), []string{"alice"})
		d.must(err)
		guard := state["alice"]
		c := guard.OnDemandCode
		if n != 1 || len(c.Sent) != 1 {
			t.Errorf("%d attempts, %d codes", n, len(c.Sent))
		}
		// What a transaction that was undone gave the courier, the outbox has undone too: the codes that were given to it are tried one by one.
		code := ""
		for _, one := range post.codes {
			probe := at(0, authentication.Request{UserID: "alice", Passcode: "4810" + one, Source: vpn, Dialogue: true, Key: []byte("fedcba9876543210" + one)})
			if probe.Result == authentication.Accepted {
				code = one
			}
		}
		if code == "" {
			t.Fatal("none of the codes is accepted")
		}
		again := at(1, authentication.Request{UserID: "alice", Passcode: "4810" + code, Source: vpn, Dialogue: true, Key: []byte("fedcba9876543210" + code)})
		if again.Result != authentication.Accepted {
			t.Errorf("the same request again: %s", again.Result)
		}
		d.must(d.engine.Unlock(t.Context(), "alice"))
		d.is(d.begin("4810"), authentication.NextTokencode, authentication.StepNextTokencode)
		code = post.last()
		var accepted atomic.Int32
		for i := range 4 {
			all.Go(func() {
				if at(i, authentication.Request{UserID: "alice", Passcode: "4810" + code, Source: vpn, Dialogue: true}).Result == authentication.Accepted {
					accepted.Add(1)
				}
			})
		}
		all.Wait()
		if n := accepted.Load(); n != 1 {
			t.Errorf("accepted %d times", n)
		}
	})
}
