package authentication_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

var vpn = authentication.Source{Agent: "radius:vpn", Station: "192.0.2.7"}

// begin asks as a RADIUS agent does.
func (d *deployment) begin(passcode string) authentication.Decision {
	d.Helper()
	got, err := d.engine.Begin(d.Context(), authentication.Request{UserID: "alice", Passcode: passcode, Source: vpn, Dialogue: true, Confirm: true})
	d.must(err)
	return got
}

// answer goes on with the attempt of a decision.
func (d *deployment) answer(to authentication.Decision, text string) authentication.Decision {
	d.Helper()
	got, err := d.engine.Continue(d.Context(), authentication.Answer{Attempt: to.Attempt, Turn: to.Turn, Text: text, Source: vpn})
	d.must(err)
	return got
}

// is tests what a decision says.
func (d *deployment) is(got authentication.Decision, result authentication.Result, step authentication.Step) authentication.Decision {
	d.Helper()
	if got.Result != result || got.Step != step {
		d.Errorf("got %s, step %q, want %s, step %q", got.Result, got.Step, result, step)
	}
	return got
}

// later moves the clock on by intervals and returns the code of then.
func (d *deployment) later(intervals int) string {
	d.Helper()
	d.now = d.now.Add(time.Duration(intervals*d.token.Interval) * time.Second)
	return d.code(d.now)
}

// reasons are those of the failures in the audit log, in order.
func (d *deployment) reasons() string {
	d.Helper()
	return d.failed(func(e audit.Event) string { return e.Reason })
}

// failed is a word of each of the failures in the audit log, in order.
func (d *deployment) failed(word func(audit.Event) string) string {
	d.Helper()
	page, err := d.db.Events(d.Context(), audit.Filter{Action: "authn.fail"})
	d.must(err)
	var all []string
	for _, e := range page.Entries {
		event, err := audit.ParseRecord(e.Record)
		d.must(err)
		all = append(all, word(event))
	}
	return strings.Join(all, " ")
}

func TestNextTokencodeAfterMistakes(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	for range 3 {
		d.is(d.begin("00000000"), authentication.Denied, "")
	}
	first := d.is(d.begin(d.code(d.now)), authentication.NextTokencode, authentication.StepNextTokencode)
	// The same code again is used up, whatever becomes of the dialogue.
	d.is(d.begin(d.code(d.now)), authentication.Denied, "")
	d.is(d.answer(first, d.later(1)), authentication.Accepted, "")
	// The mistakes are forgotten.
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
}

func TestOnlyTheVeryNextTokencodeWillDo(t *testing.T) {
	for name, c := range map[string]struct {
		code func(d *deployment) string
		want authentication.Result
	}{
		"the same again":   {func(d *deployment) string { return d.code(d.now) }, authentication.Denied},
		"the next":         {func(d *deployment) string { return d.code(d.now.Add(time.Minute)) }, authentication.Accepted},
		"the one after":    {func(d *deployment) string { return d.code(d.now.Add(2 * time.Minute)) }, authentication.Denied},
		"the one before":   {func(d *deployment) string { return d.code(d.now.Add(-time.Minute)) }, authentication.Denied},
		"nothing":          {func(*deployment) string { return "" }, authentication.Denied},
		"the next, spaced": {func(d *deployment) string { return " " + d.code(d.now.Add(time.Minute)) }, authentication.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), plain)
			for range 3 {
				d.begin("00000000")
			}
			got := d.answer(d.begin(d.code(d.now)), c.code(d))
			d.is(got, c.want, "")
			_, err := d.engine.Continue(t.Context(), authentication.Answer{Attempt: got.Attempt, Turn: 1, Text: d.later(1), Source: vpn})
			if !errors.Is(err, fault.AttemptNotFound) {
				t.Errorf("the attempt goes on: %v", err)
			}
		})
	}
}

// Users type their PIN with the next tokencode too, as with any.
func TestTheNextTokencodeWithItsPIN(t *testing.T) {
	for _, settings := range []token.Settings{fob, {Digits: 8, Interval: 60, PINType: device.PINPad}} {
		for name, c := range map[string]struct {
			pin   string
			later int // intervals after the next
			want  authentication.Result
		}{"right": {"8093", 0, authentication.Accepted}, "another PIN": {"8094", 0, authentication.Denied}, "the one after": {"8093", 1, authentication.Denied}} {
			d := newDeployment(t, sqlite(t), settings)
			d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
			first := d.is(d.begin(d.typed("8093", d.code(d.now.Add(5*time.Minute)))), authentication.NextTokencode, authentication.StepNextTokencode)
			next := d.code(d.now.Add(5*time.Minute + time.Duration((1+c.later)*settings.Interval)*time.Second))
			if got := d.answer(first, d.typed(c.pin, next)); got.Result != c.want {
				t.Errorf("%s, %s: %s", settings.PINType, name, got.Result)
			}
		}
	}
}

// A code of the medium window needs its successor, and then the offset is known.
func TestTheMediumWindowTeachesTheOffset(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	const ahead = 7 * time.Minute
	first := d.is(d.begin(d.code(d.now.Add(ahead))), authentication.NextTokencode, authentication.StepNextTokencode)
	d.is(d.answer(first, d.code(d.now.Add(ahead+time.Minute))), authentication.Accepted, "")
	d.now = d.now.Add(5 * time.Minute)
	d.is(d.begin(d.code(d.now.Add(ahead))), authentication.Accepted, "")
	d.now = d.now.Add(5 * time.Minute)
	d.is(d.begin(d.code(d.now)), authentication.Denied, "") // behind the last one used
}

func TestAFailedNextTokencodeMayLock(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.NextCodeFailure = policy.NextCodeLocks
	first := d.begin(d.code(d.now.Add(5 * time.Minute)))
	d.is(d.answer(first, "00000000"), authentication.Denied, "")
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	if got := d.reasons(); got != "NEXT_TOKENCODE_WRONG USER_LOCKED" {
		t.Error(got)
	}
}

var fob = token.Settings{Digits: 6, Interval: 30, PINType: device.Fob}

func TestANewPINOfTheUser(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	asked := d.is(d.begin(d.code(d.now)), authentication.NewPIN, authentication.StepNewPIN)
	if asked.PIN != (authentication.PINRules{Min: 4, Max: 8, Creation: "user"}) {
		t.Errorf("rules %+v", asked.PIN)
	}
	asked = d.is(d.answer(asked, "1234"), authentication.NewPIN, authentication.StepNewPIN)
	if !strings.Contains(asked.Rejected, "too easy") {
		t.Errorf("rejected because %q", asked.Rejected)
	}
	again := d.is(d.answer(asked, "8093"), authentication.NewPIN, authentication.StepRepeatPIN)
	asked = d.is(d.answer(again, "8094"), authentication.NewPIN, authentication.StepNewPIN)
	if asked.Rejected != authentication.PINMismatch {
		t.Errorf("rejected because %q", asked.Rejected)
	}
	again = d.answer(asked, "8093")
	set := d.is(d.answer(again, "8093"), authentication.NewPIN, authentication.StepReauthenticate)
	d.is(d.answer(set, "8093"+d.later(1)), authentication.Accepted, "")
	d.is(d.begin("8093"+d.later(1)), authentication.Accepted, "")
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	d.is(d.begin("8094"+d.later(1)), authentication.Denied, "")
	d.is(d.begin("8093"+"000000"), authentication.Denied, "")
	if got := d.reasons(); got != "PIN_NOT_ENTERED BAD_PIN BAD_TOKENCODE" {
		t.Error(got)
	}
}

// A policy that became stricter between the two entries of a PIN holds for it.
func TestANewPINObeysTheRulesOfWhenItIsSet(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	asked := d.begin(d.code(d.now))
	again := d.is(d.answer(asked, "8093"), authentication.NewPIN, authentication.StepRepeatPIN)
	d.policy.Token.PINMin = 6
	asked = d.is(d.answer(again, "8093"), authentication.NewPIN, authentication.StepNewPIN)
	if asked.Rejected == "" || asked.PIN.Min != 6 || d.read().PIN.IsSet() {
		t.Errorf("%+v", asked)
	}
	again = d.is(d.answer(asked, "809361"), authentication.NewPIN, authentication.StepRepeatPIN)
	set := d.is(d.answer(again, "809361"), authentication.NewPIN, authentication.StepReauthenticate)
	d.is(d.answer(set, "809361"+d.later(1)), authentication.Accepted, "")
}

// The PIN is set once it was repeated, even if the agent drops the dialogue there.
func TestADroppedDialogueKeepsTheNewPIN(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.answer(d.answer(d.begin(d.code(d.now)), "8093"), "8093")
	d.is(d.begin("8093"+d.later(1)), authentication.Accepted, "")
}

func TestThreeBadPINsEndTheDialogue(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	asked := d.begin(d.code(d.now))
	for range 2 {
		asked = d.is(d.answer(asked, "1111"), authentication.NewPIN, authentication.StepNewPIN)
	}
	d.is(d.answer(asked, "1111"), authentication.Denied, "")
	d.is(d.begin(d.later(1)), authentication.NewPIN, authentication.StepNewPIN) // still without PIN
	if got := d.reasons(); got != "NEW_PIN_REFUSED" {
		t.Error(got)
	}
}

func TestAPINOfTheSystem(t *testing.T) {
	for _, settings := range []token.Settings{fob, {Digits: 8, Interval: 60, PINType: device.PINPad}} {
		systemPIN(t, newDeployment(t, sqlite(t), settings))
	}
}

func systemPIN(t *testing.T, d *deployment) {
	d.policy.Token.PINCreation = policy.BySystem
	d.is(d.answer(d.is(d.begin(d.code(d.now)), authentication.NewPIN, authentication.StepSystemAsk), "n"), authentication.Denied, "")
	asked := d.begin(d.later(1))
	shown := d.is(d.answer(asked, "Y"), authentication.NewPIN, authentication.StepSystemPIN)
	if len(shown.SystemPIN) != 6 {
		t.Fatal("no PIN is shown")
	}
	set := d.is(d.answer(shown, "n"), authentication.NewPIN, authentication.StepReauthenticate) // whatever is answered
	d.is(d.answer(set, d.typed(shown.SystemPIN, d.later(1))), authentication.Accepted, "")

	d.must(d.engine.ClearPIN(t.Context(), serial))
	d.policy.Token.PINCreation = policy.ByEither
	chosen := d.is(d.begin(d.later(1)), authentication.NewPIN, authentication.StepChoose)
	d.is(d.answer(chosen, ""), authentication.NewPIN, authentication.StepNewPIN)
	chosen = d.begin(d.later(1))
	d.is(d.answer(chosen, "y"), authentication.NewPIN, authentication.StepSystemPIN)
}

func TestATemporaryPINIsChangedAtItsFirstUse(t *testing.T) {
	d := newDeployment(t, sqlite(t), token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad})
	d.must(d.engine.SetPIN(t.Context(), serial, "809357", true))
	merged := func(pin string) string {
		code, err := securid.AddPIN(d.later(1), pin)
		d.must(err)
		return code
	}
	d.is(d.begin(d.later(1)), authentication.Denied, "") // without it
	asked := d.is(d.begin(merged("809357")), authentication.NewPIN, authentication.StepNewPIN)
	asked = d.answer(asked, "809357")
	if !strings.Contains(asked.Rejected, "one of the last") {
		t.Errorf("the temporary PIN may stay: %q", asked.Rejected)
	}
	set := d.answer(d.answer(asked, "592048"), "592048")
	d.is(d.answer(set, merged("592048")), authentication.Accepted, "")
	d.is(d.begin(merged("809357")), authentication.Denied, "")
	d.is(d.begin(merged("592048")), authentication.Accepted, "")
}

// A PIN is the last one also where the policy kept none when it was set; and one that must be changed may not stay though the policy keeps none.
func TestTheLastPINThatNoHistoryHas(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.policy.Token.PINHistory = 0
	again := func(want bool) {
		t.Helper()
		asked := d.is(d.begin("8093"+d.later(1)), authentication.NewPIN, authentication.StepNewPIN)
		if got := d.answer(asked, "8093"); (got.Step == authentication.StepRepeatPIN) != want {
			t.Errorf("the PIN that is there may be taken again: %t, %q", !want, got.Rejected)
		}
	}
	for range 2 {
		d.must(d.engine.SetPIN(t.Context(), serial, "8093", true))
		again(false)
	}
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	d.policy.Token.PINMaxLife = 24 * time.Hour
	d.now = d.now.Add(24 * time.Hour)
	again(true)
	d.policy.Token.PINHistory = 5
	again(false)
	d.must(d.engine.ClearPIN(t.Context(), serial))
	if err := d.engine.SetPIN(t.Context(), serial, "8093", false); !errors.Is(err, fault.PINInvalid) {
		t.Errorf("a PIN that was cleared may be set again: %v", err)
	}
}

func TestAPINExpires(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.policy.Token.PINMaxLife = 3 * 24 * time.Hour
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	d.is(d.begin("8093"+d.later(1)), authentication.Accepted, "")
	d.now = d.now.Add(3 * 24 * time.Hour)
	d.is(d.begin("8093"+d.later(1)), authentication.NewPIN, authentication.StepNewPIN)
	d.must(d.engine.SetPIN(t.Context(), serial, "592048", false))
	d.must(d.engine.ForceNewPIN(t.Context(), serial))
	d.is(d.begin("592048"+d.later(1)), authentication.NewPIN, authentication.StepNewPIN)
}

// An agent that cannot ask is denied, and the code is not used up.
func TestWithoutDialogue(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: d.code(d.now), Source: vpn})
	d.must(err)
	d.is(got, authentication.Denied, "")
	d.is(d.begin(d.code(d.now)), authentication.NewPIN, authentication.StepNewPIN)
	if got := d.reasons(); got != "NEW_PIN_REQUIRED" {
		t.Error(got)
	}
}

func TestFiveFailuresLock(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 0
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
	for range 4 {
		d.begin("00000000")
	}
	d.is(d.begin(d.later(1)), authentication.Accepted, "") // a success begins anew
	for range 5 {
		d.begin("00000000")
	}
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	d.policy.Lockout.UnlockAfter = time.Hour
	d.is(d.begin(d.later(58)), authentication.Denied, "")
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	if got := d.reasons(); !strings.HasSuffix(got, "USER_LOCKED USER_LOCKED") {
		t.Error(got)
	}
	if got := strings.Join(d.actions("user:alice"), " "); strings.Count(got, "lockout.lock") != 1 {
		t.Errorf("recorded %s", got)
	}
}

// Failures that are a day apart do not add up.
func TestOldFailuresDoNotCount(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 0
	for range 4 {
		d.begin("00000000")
	}
	d.now = d.now.Add(24 * time.Hour)
	d.begin("00000000")
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
}

// A stranger locks out strangers, and not the user where she signs in.
func TestStrangersHaveABudgetOfTheirOwn(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 0
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
	ask := func(from authentication.Source, code string) authentication.Result {
		got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: code, Source: from})
		d.must(err)
		return got.Result
	}
	stranger := authentication.Source{Agent: "radius:vpn", Station: "203.0.113.9"}
	for range 7 {
		ask(stranger, "00000000")
	}
	if got := ask(stranger, d.later(1)); got != authentication.Denied {
		t.Error("the stranger is not locked out")
	}
	if got := ask(vpn, d.later(1)); got != authentication.Accepted {
		t.Error("the user is locked out by a stranger")
	}
	// A dialogue that began there before ends too.
	d.must(d.engine.Unlock(t.Context(), "alice"))
	begun, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: d.code(d.now.Add(5 * time.Minute)), Source: stranger, Dialogue: true})
	d.must(err)
	for range 5 {
		ask(stranger, "00000000")
	}
	got, err := d.engine.Continue(t.Context(), authentication.Answer{Attempt: begun.Attempt, Turn: begun.Turn, Text: d.code(d.now.Add(6 * time.Minute)), Source: stranger})
	d.must(err)
	d.is(got, authentication.Denied, "")
	d.now = d.now.Add(7 * time.Minute)
	// Her success gives strangers no other budget, wherever they say that they are.
	other := authentication.Source{Agent: "radius:vpn", Station: "203.0.113.10"}
	if got := ask(other, d.later(1)); got != authentication.Denied {
		t.Error("another stranger is not locked out")
	}
	if got := d.reasons(); !strings.HasSuffix(got, "BAD_PASSCODE SOURCE_LOCKED SOURCE_LOCKED") {
		t.Error(got)
	}
	// A success at a new place does clear what was typed wrong there.
	d.must(d.engine.Unlock(t.Context(), "alice"))
	for range 4 {
		ask(other, "00000000")
	}
	if got := ask(other, d.later(1)); got != authentication.Accepted {
		t.Error("four failures lock a new place")
	}
	for range 4 {
		ask(stranger, "00000000")
	}
	if got := ask(stranger, d.later(1)); got != authentication.Accepted {
		t.Error("failures before the success count")
	}
	// An address of IPv6 that the host has taken since is no new place, and one of another network is.
	at := func(address string) authentication.Source {
		return authentication.Source{Agent: "radius:vpn", Station: address}
	}
	d.must(d.engine.Unlock(t.Context(), "alice"))
	if got := ask(at("2001:db8:0:1::1"), d.later(1)); got != authentication.Accepted {
		t.Error("a new place is refused")
	}
	if got := ask(at("a phone"), d.later(1)); got != authentication.Accepted {
		t.Error("a place of another kind is refused")
	}
	for range 5 {
		ask(at("2001:db8:0:2::1"), "00000000")
	}
	for address, want := range map[string]authentication.Result{"2001:DB8:0:1:a:b:c:d": authentication.Accepted, "2001:db8:0:3::1": authentication.Denied, "a phone": authentication.Accepted, "another phone": authentication.Denied} {
		if got := ask(at(address), d.later(1)); got != want {
			t.Errorf("from %s: %s", address, got)
		}
	}
	// With the separation off, all failures count together.
	d.policy.Lockout.SeparateUnknownSources = false
	d.must(d.engine.Unlock(t.Context(), "alice"))
	for range 5 {
		ask(at("198.51.100.1"), "00000000")
	}
	if got := ask(vpn, d.later(1)); got != authentication.Denied {
		t.Error("failures are not counted together")
	}
}

// The same request again is the same decision; a retransmission under a new name fails and does not count.
func TestRetries(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 1
	code := d.code(d.now)
	ask := func(key string) authentication.Decision {
		q := authentication.Request{UserID: "alice", Passcode: code, Source: vpn, Dialogue: true}
		if key != "" {
			q.Key = []byte(key)
		}
		got, err := d.engine.Begin(t.Context(), q)
		d.must(err)
		return got
	}
	first := ask("0123456789abcdef")
	d.is(first, authentication.Accepted, "")
	for range 3 {
		if again := ask("0123456789abcdef"); again != first {
			t.Errorf("again: %+v, first %+v", again, first)
		}
	}
	d.is(ask("another 89abcdef"), authentication.Denied, "")
	d.is(ask(""), authentication.Denied, "")
	if got := d.reasons(); got != "RETRY_AFTER_ACCEPT RETRY_AFTER_ACCEPT" {
		t.Error(got)
	}
	d.is(d.begin(d.later(1)), authentication.Accepted, "") // had they counted, it would be a next tokencode
	old := code
	code = d.code(d.now)
	d.later(1)
	d.is(ask(""), authentication.Denied, "") // an interval later it counts
	code = old
	d.is(ask(""), authentication.Denied, "")
	if got := d.reasons(); !strings.HasSuffix(got, "ALREADY_USED ALREADY_USED") {
		t.Error(got)
	}
}

// What goes on with an attempt is its own agent, in turn, once.
func TestWhoMayAnswer(t *testing.T) {
	for name, from := range map[string]authentication.Source{"an agent": vpn, "an API key": {Agent: "key:portal", Caller: "key_id:0011"}} {
		t.Run(name, func(t *testing.T) { whoMayAnswer(t, from) })
	}
}

func whoMayAnswer(t *testing.T, from authentication.Source) {
	d := newDeployment(t, sqlite(t), fob)
	asked, err := d.engine.Begin(d.Context(), authentication.Request{UserID: "alice", Passcode: d.code(d.now), Source: from, Dialogue: true, Confirm: true})
	d.must(err)
	right := authentication.Answer{Attempt: asked.Attempt, Turn: 1, Step: authentication.StepNewPIN, UserID: "alice", Text: "8093", Source: from}
	for name, c := range map[string]struct {
		wrong func(*authentication.Answer)
		want  fault.Code
	}{
		"another agent": {func(a *authentication.Answer) { a.Source = authentication.Source{Agent: "radius:other"} }, fault.AttemptNotFound},
		"another user":  {func(a *authentication.Answer) { a.UserID = "bob" }, fault.AttemptNotFound},
		"another name":  {func(a *authentication.Answer) { a.Attempt = strings.Repeat("A", 26) }, fault.AttemptNotFound},
		"no text":       {func(a *authentication.Answer) { a.Attempt = "\x00\xff" }, fault.AttemptNotFound},
		"another turn":  {func(a *authentication.Answer) { a.Turn = 2 }, fault.OutOfSequence},
		"another step":  {func(a *authentication.Answer) { a.Step = authentication.StepNextTokencode }, fault.StepNotRequested},
	} {
		in := right
		c.wrong(&in)
		if _, err := d.engine.Continue(t.Context(), in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := d.engine.Continue(t.Context(), right)
	d.must(err)
	d.is(got, authentication.NewPIN, authentication.StepRepeatPIN)
	if _, err := d.engine.Continue(t.Context(), right); !errors.Is(err, fault.OutOfSequence) {
		t.Errorf("the same turn twice: %v", err)
	}
	d.now = d.now.Add(authentication.DefaultLife)
	right.Turn, right.Step = 2, authentication.StepRepeatPIN
	before, unnamed := strings.Count(d.reasons(), authentication.DialogueOver), right
	unnamed.UserID = "" // as REST agents answer: the attempt, which is still there, tells whose it was
	_, err = d.engine.Continue(t.Context(), unnamed)
	if got := strings.Count(d.reasons(), authentication.DialogueOver) - before; !errors.Is(err, fault.AttemptNotFound) || got != 1 {
		t.Errorf("%v, %d records of a late answer", err, got)
	}
	if _, err := d.engine.Continue(t.Context(), right); !errors.Is(err, fault.AttemptNotFound) {
		t.Errorf("an expired attempt goes on: %v", err)
	}
	d.must(d.engine.DropExpired(t.Context()))
	if got := strings.ReplaceAll(d.reasons(), authentication.DialogueOver, ""); strings.TrimSpace(got) != "" || d.failures() != 0 {
		t.Errorf("something counted: %s, %d failures", got, d.failures())
	}
}

// Nobody gets past a lock or a disabled token by having begun before.
func TestAnAttemptEndsWithWhatItIsAbout(t *testing.T) {
	for name, change := range map[string]func(*deployment){
		"disabled": func(d *deployment) {
			_, err := (&token.Registry{Store: d.db, Now: func() time.Time { return d.now }}).Disable(d.Context(), serial, 0)
			d.must(err)
		},
		"unassigned": func(d *deployment) {
			_, err := (&token.Registry{Store: d.db, Now: func() time.Time { return d.now }}).Unassign(d.Context(), serial, 0)
			d.must(err)
		},
		"another seed": func(d *deployment) {
			r, err := d.db.Token(d.Context(), serial)
			d.must(err)
			g, err := token.NewGeneration(d.engine.Keys.(token.Keyring), serial, 2, seed.Generate(), d.token, d.now)
			d.must(err)
			r.Await(g, d.now.Add(time.Minute))
			d.must(d.db.SaveToken(d.Context(), r))
			d.later(2) // the old one's grace is over
		},
		"locked": func(d *deployment) {
			for range 5 {
				d.begin("000000")
			}
		},
		"PIN set by an administrator": func(d *deployment) { d.must(d.engine.SetPIN(d.Context(), serial, "592048", false)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), fob)
			again := d.answer(d.begin(d.code(d.now)), "8093")
			change(d)
			d.is(d.answer(again, "8093"), authentication.Denied, "")
		})
	}
}

// What an administrator does to a PIN that was just made holds, also against the dialogue that made it.
func TestAPINIsClearedBeforeItIsUsed(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*deployment) error
		passcode string
	}{
		"cleared":   {func(d *deployment) error { return d.engine.ClearPIN(d.Context(), serial) }, ""},
		"temporary": {func(d *deployment) error { return d.engine.SetPIN(d.Context(), serial, "592048", true) }, "592048"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), fob)
			again := d.answer(d.begin(d.code(d.now)), "8093")
			made := d.is(d.answer(again, "8093"), authentication.NewPIN, authentication.StepReauthenticate)
			d.must(c.change(d))
			code := d.later(1)
			d.is(d.answer(made, c.passcode+code), authentication.Denied, "")
			d.is(d.begin(c.passcode+code), authentication.NewPIN, authentication.StepNewPIN)
		})
	}
}

// Text that no database keeps is nobody's name, and hurts nobody who asks at the same time.
func TestStrangeTexts(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	var all sync.WaitGroup
	for _, text := range []string{"a\x00b", "\xff\xfe", strings.Repeat("x", 100_000), ""} {
		for _, ask := range []bool{true, false} {
			all.Go(func() {
				got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: text, Passcode: text, Ask: ask, Retry: true,
					Source: authentication.Source{Agent: "radius:" + text, Station: text}})
				if err != nil || got.Result != authentication.Waiting {
					t.Errorf("%.10q: %s, %v", text, got.Result, err)
				}
			})
		}
	}
	all.Go(func() { d.is(d.begin(d.code(d.now)), authentication.Accepted, "") })
	all.Wait()
	// An attempt of such a name does not hide those that are looked up together with it.
	asked, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Ask: true, Source: vpn})
	d.must(err)
	found, err := d.db.Gather(t.Context(), authentication.Wanted{Attempts: []string{"\x00", asked.Attempt, "\xff"}})
	if err != nil || len(found.Attempts) != 1 {
		t.Errorf("found %d, %v", len(found.Attempts), err)
	}
	if err := d.engine.Cancel(t.Context(), "\x00", vpn, nil); !errors.Is(err, fault.AttemptNotFound) {
		t.Error(err)
	}
}

// A token that goes from one user to another keeps the first one's seed until it is delivered: no code of that counts, nor of one that was delivered to
// her and that she has not come to use.
func TestTheSeedOfAFormerUser(t *testing.T) {
	for name, waits := range map[string]bool{"in use": false, "that waits for its first code": true} {
		d := newDeployment(t, sqlite(t), plain)
		if waits {
			d.secret = d.renewed(true, plain)
		}
		tokens := &token.Registry{Store: d.db, Now: func() time.Time { return d.now }}
		_, err := tokens.Unassign(t.Context(), serial, 0)
		d.must(err)
		_, err = tokens.Assign(t.Context(), serial, "alice")
		d.must(err)
		d.is(d.begin(d.code(d.now)), authentication.Denied, "")
		if got := d.reasons(); got != "TOKEN_TAINTED" {
			t.Errorf("the seed %s: %s", name, got)
		}
	}
}

func TestCancel(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	asked := d.begin(d.code(d.now))
	if err := d.engine.Cancel(t.Context(), asked.Attempt, authentication.Source{Agent: "radius:other"}, nil); !errors.Is(err, fault.AttemptNotFound) {
		t.Error(err)
	}
	key := bytes.Repeat([]byte("k"), 32)
	d.must(d.engine.Cancel(t.Context(), asked.Attempt, vpn, key))
	d.must(d.engine.Cancel(t.Context(), asked.Attempt, vpn, key)) // whose reply was lost
	if err := d.engine.Cancel(t.Context(), asked.Attempt, vpn, bytes.Repeat([]byte("l"), 32)); !errors.Is(err, fault.AttemptNotFound) {
		t.Error(err)
	}
	if got := d.reasons(); got != "CANCELLED" {
		t.Error(got)
	}
	d.recorded(authentication.Cancelled, "tokens")
}

// An attempt may be opened before the passcode is known, and a wrong one may leave it open.
func TestAskingFirst(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	for _, id := range []string{"alice", "nobody"} {
		asked, err := d.engine.Begin(t.Context(), authentication.Request{UserID: id, Ask: true, Retry: true, Source: vpn})
		d.must(err)
		d.is(asked, authentication.Waiting, authentication.StepPasscode)
		asked = d.is(d.answer(asked, "00000000"), authentication.Waiting, authentication.StepPasscode)
		want := authentication.Denied
		if id == "alice" {
			want = authentication.Accepted
		}
		if got := d.answer(asked, d.code(d.now)); id == "alice" {
			d.is(got, want, "")
		} else {
			d.is(got, authentication.Waiting, authentication.StepPasscode)
		}
	}
	asked, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "nobody", Ask: true, Source: vpn})
	d.must(err)
	d.is(d.answer(asked, "00000000"), authentication.Denied, "")
}

// A clock that cannot be trusted decides nothing.
func TestAnUntrustedClock(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.engine.Trust = func(time.Time) error { return fault.New(fault.Unavailable, "the clock ran backwards") }
	if _, err := d.engine.Check(t.Context(), "alice", d.code(d.now)); !errors.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	d.engine.Trust = nil
	d.check(d.code(d.now), authentication.Accepted)
}

// How long a user takes to type the next tokencode says nothing of her clock: the first one has told that.
func TestANextTokencodeThatComesLate(t *testing.T) {
	short := token.Settings{Digits: 6, Interval: 30, PINType: device.Fob}
	d := newDeployment(t, sqlite(t), short)
	ahead := 4 * time.Minute // beyond the small window, so that the next tokencode is asked for
	first := d.is(d.begin(d.code(d.now.Add(ahead))), authentication.NextTokencode, authentication.StepNextTokencode)
	next := d.code(d.now.Add(ahead + 30*time.Second))
	d.now = d.now.Add(179 * time.Second)
	ask := d.is(d.answer(first, next), authentication.NewPIN, authentication.StepNewPIN)
	ask = d.is(d.answer(ask, "8093"), authentication.NewPIN, authentication.StepRepeatPIN)
	ask = d.is(d.answer(ask, "8093"), authentication.NewPIN, authentication.StepReauthenticate)
	d.is(d.answer(ask, "8093"+d.code(d.now.Add(ahead))), authentication.Accepted, "")
	if got := d.read(); got.Current.Offset != 8 {
		t.Errorf("the token is %d intervals ahead", got.Current.Offset)
	}

	d = newDeployment(t, sqlite(t), plain)
	for range 3 {
		d.begin("00000000")
	}
	first = d.is(d.begin(d.code(d.now)), authentication.NextTokencode, authentication.StepNextTokencode)
	next = d.code(d.now.Add(time.Minute))
	d.now = d.now.Add(2 * time.Minute)
	d.is(d.answer(first, next), authentication.Accepted, "")
	d.is(d.begin(next), authentication.Denied, "") // a gateway that lost the answer asks again
	if got := d.reasons(); !strings.HasSuffix(got, " "+authentication.Retransmitted) || d.failures() != 0 {
		t.Errorf("%s; %d failures", got, d.failures())
	}
	if got := strings.Join(d.actions("user:alice"), " "); !strings.HasSuffix(got, "ntc.enter authn.challenge ntc.leave authn.success authn.fail") {
		t.Error(got)
	}
}

// What came as next tokencode was right, and used meanwhile: the log does not say that it was another.
func TestANextTokencodeThatWasUsed(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.NextCodeFailure = policy.NextCodeLocks
	for range 3 {
		d.begin("00000000")
	}
	first := d.begin(d.code(d.now))
	next := d.later(1)
	d.is(d.begin(next), authentication.NextTokencode, authentication.StepNextTokencode)
	d.is(d.answer(first, next), authentication.Denied, "")
	if got := d.reasons(); !strings.HasSuffix(got, " "+authentication.AlreadyUsed) {
		t.Error(got)
	}
	d.is(d.begin(d.later(1)), authentication.NextTokencode, authentication.StepNextTokencode) // and it locks nobody
}

// Who answers a question too late finds in her history why she was refused; it counts as no failure.
func TestALateAnswerIsRecorded(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	ask := d.is(d.begin(d.code(d.now)), authentication.NewPIN, authentication.StepNewPIN)
	d.now = d.now.Add(authentication.DefaultLife)
	late := authentication.Answer{Attempt: ask.Attempt, Turn: ask.Turn, UserID: "alice", Text: "8093", Source: vpn, Key: []byte("the key of the late answer")}
	for n := range 2 {
		if _, err := d.engine.Continue(t.Context(), late); !errors.Is(err, fault.AttemptNotFound) {
			t.Fatal(err)
		}
		if n == 0 { // it is gone with that
			d.recorded(authentication.DialogueOver, "tokens")
		}
	}
	late.UserID = "nobody"
	if _, err := d.engine.Continue(t.Context(), late); !errors.Is(err, fault.AttemptNotFound) {
		t.Fatal(err)
	}
	if got := d.reasons(); got != "DIALOGUE_OVER DIALOGUE_OVER" || d.failures() != 0 {
		t.Errorf("%s, %d failures", got, d.failures())
	}
}

// Some gateways send an empty passcode before they ask for one: nobody is locked by that.
func TestAnEmptyPasscodeIsNoGuess(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Lockout.Failures = 2
	for range 4 {
		d.is(d.begin(""), authentication.Denied, "")
	}
	if got := d.reasons(); got != strings.TrimSpace(strings.Repeat("PASSCODE_NOT_ENTERED ", 4)) || d.read().Current.BadPasscodes != 0 {
		t.Errorf("%s, %d wrong ones", got, d.read().Current.BadPasscodes)
	}
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
}
