package authentication_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// A mailing is what spec/radius.md says of codes on demand: each of its methods does something to the engine and foretells the answer.
type mailing struct {
	*rapid.T
	d       *deployment
	post    *letters
	reached map[string]bool

	pin      string // "" while she gets no codes
	change   bool
	allowed  bool // by the policy
	code     string
	until    time.Time
	used     string // the code, once it was
	usedAt   time.Time
	sent     []time.Time
	failures int
	locked   bool

	open *dialogue
	over bool // what the open dialogue is about has ended
}

const mailedLife = 2 * time.Minute // less than an attempt waits

func (m *mailing) expect(got authentication.Decision, result authentication.Result, step authentication.Step, why string) {
	m.reached[why] = true
	if got.Result != result || got.Step != step {
		m.Fatalf("got %s, step %q; want %s, step %q (%s); machine %+v", got.Result, got.Step, result, step, why, *m)
	}
}

func (m *mailing) fail(got authentication.Decision, why string) {
	m.open = nil
	if m.failures++; m.failures >= 5 {
		m.locked = true
		why += ", and locked"
	}
	m.expect(got, authentication.Denied, "", why)
}

func (m *mailing) goesOn(got authentication.Decision, result authentication.Result, step authentication.Step, why string) {
	m.expect(got, result, step, why)
	if m.open == nil {
		m.open, m.over = &dialogue{}, false
	}
	m.open.decision, m.open.step, m.open.expires = got, step, m.d.now.Add(authentication.DefaultLife)
}

// asked foretells what the right PIN alone leads to.
func (m *mailing) asked(got authentication.Decision) {
	m.sent = slices.DeleteFunc(m.sent, func(at time.Time) bool { return m.d.now.Sub(at) >= 15*time.Minute })
	if len(m.sent) == 5 {
		m.open = nil
		m.expect(got, authentication.Denied, "", "too many codes")
		return
	}
	m.goesOn(got, authentication.NextTokencode, authentication.StepNextTokencode, "a code is sent")
	m.used, m.code, m.until, m.sent = "", m.post.last(), m.d.now.Add(mailedLife), append(m.sent, m.d.now)
}

// typed foretells what a code leads to.
func (m *mailing) typed(got authentication.Decision, code string) {
	switch {
	case m.used != "" && code == m.used && m.d.now.Sub(m.usedAt) < time.Minute:
		m.open = nil
		m.expect(got, authentication.Denied, "", "the code again")
	case m.code == "" || code != m.code:
		m.fail(got, "wrong or used code")
	case !m.d.now.Before(m.until):
		m.fail(got, "late code")
	case m.change:
		m.code, m.used, m.usedAt = "", code, m.d.now
		m.goesOn(got, authentication.NewPIN, authentication.StepNewPIN, "new PIN")
	default:
		m.code, m.used, m.usedAt, m.open, m.failures = "", code, m.d.now, nil, 0
		m.expect(got, authentication.Accepted, "", "accepted")
	}
}

// begun foretells the answer to a passcode.
func (m *mailing) begun(got authentication.Decision, pin, code string) {
	switch {
	case m.locked:
		m.expect(got, authentication.Denied, "", "locked")
	case !m.allowed || m.pin == "" || pin != m.pin:
		m.fail(got, "wrong PIN")
	case code == "":
		m.asked(got)
	default:
		m.typed(got, code)
	}
}

// Ask types a PIN alone, and Word a code behind it.
func (m *mailing) Ask(*rapid.T) {
	m.open = nil
	pin := rapid.SampledFrom([]string{m.pin, m.pin, m.pin, "9753"}).Filter(func(p string) bool { return p != "" }).Draw(m.T, "PIN")
	m.begun(m.d.begin(pin), pin, "")
}

func (m *mailing) Word(*rapid.T) {
	m.open = nil
	pin, code := m.pin, m.anyCode()
	m.begun(m.d.begin(pin+code), pin, code)
}

// anyCode is the last one, an older one, or none.
func (m *mailing) anyCode() string {
	all := []string{"00000000"}
	if n := len(m.post.codes); n > 0 {
		all = append(all, m.post.codes[n-1], m.post.codes[n-1], m.post.codes[n-1], m.post.codes[rapid.IntRange(0, n-1).Draw(m.T, "older")])
	}
	return rapid.SampledFrom(all).Draw(m.T, "code")
}

// Answer goes on with the open attempt.
func (m *mailing) Answer(*rapid.T)      { m.answer() }
func (m *mailing) AnswerAgain(*rapid.T) { m.answer() }

func (m *mailing) answer() {
	if m.open == nil {
		m.Skip("nothing is open")
	}
	o := m.open
	var text string
	switch o.step {
	case authentication.StepNextTokencode:
		text = m.anyCode()
	case authentication.StepNewPIN:
		text = rapid.SampledFrom([]string{"8093", "592048", "7160", "3948512", "1111"}).Filter(func(p string) bool { return p != m.pin }).Draw(m.T, "new PIN")
	case authentication.StepRepeatPIN:
		text = rapid.SampledFrom([]string{o.proposed, o.proposed, "0000"}).Draw(m.T, "again")
	default:
		text = rapid.SampledFrom([]string{m.pin, m.pin, "9753"}).Filter(func(p string) bool { return p != "" }).Draw(m.T, "new PIN at work")
	}
	got, err := m.d.engine.Continue(m.d.Context(), authentication.Answer{Attempt: o.decision.Attempt, Turn: o.decision.Turn, Text: text, Source: vpn})
	if !m.d.now.Before(o.expires) {
		if !errors.Is(err, fault.AttemptNotFound) {
			m.Fatalf("an attempt goes on after its time: %v", err)
		}
		m.open, m.reached["expired"] = nil, true
		return
	}
	m.d.must(err)
	switch {
	case m.locked || !m.allowed || m.pin == "" || m.over && o.step != authentication.StepReauthenticate:
		m.open = nil
		m.expect(got, authentication.Denied, "", "an attempt that may not go on")
	case o.step == authentication.StepNextTokencode:
		m.typed(got, text)
	case o.step == authentication.StepReauthenticate && text != m.pin:
		m.fail(got, "reauthentication failed")
	case o.step == authentication.StepReauthenticate && m.change: // an administrator has set a temporary one since
		m.open = nil
		m.expect(got, authentication.Denied, "", "an attempt that may not go on")
	case o.step == authentication.StepReauthenticate:
		m.over = false
		m.asked(got)
	case text == "1111" || text == "0000":
		if o.refused++; o.refused == 3 {
			m.open = nil
			m.expect(got, authentication.Denied, "", "three bad PINs")
			return
		}
		m.goesOn(got, authentication.NewPIN, authentication.StepNewPIN, "a bad PIN")
	case o.step == authentication.StepNewPIN:
		o.proposed = text
		m.goesOn(got, authentication.NewPIN, authentication.StepRepeatPIN, "the PIN again")
	default:
		m.pin, m.change = text, false
		m.goesOn(got, authentication.NewPIN, authentication.StepReauthenticate, "PIN set")
	}
}

// Wait lets time pass.
func (m *mailing) Wait(*rapid.T) {
	m.d.now = m.d.now.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 20, 119, 180}).Draw(m.T, "seconds")) * time.Second)
}

// Set, Clear, Toggle and Unlock are what administrators do.
func (m *mailing) Set(*rapid.T) {
	if !m.allowed {
		m.Skip("the policy has none")
	}
	pin := rapid.SampledFrom([]string{"4810", "60214"}).Filter(func(p string) bool { return p != m.pin }).Draw(m.T, "PIN")
	change := rapid.Bool().Draw(m.T, "temporary")
	m.d.must(m.d.engine.SetOnDemand(m.d.Context(), "alice", pin, change))
	m.pin, m.change, m.code, m.used, m.sent, m.over = pin, change, "", "", nil, true
}

func (m *mailing) Clear(*rapid.T) {
	if err := m.d.engine.ClearOnDemand(m.d.Context(), "alice"); m.pin == "" {
		m.d.refused(err, fault.NotFound)
	} else {
		m.d.must(err)
	}
	m.pin, m.change, m.code, m.used, m.sent, m.over = "", false, "", "", nil, true
}

func (m *mailing) Toggle(*rapid.T) {
	m.allowed = !m.allowed
	m.d.policy.Token.OnDemand = m.allowed
}

func (m *mailing) Unlock(*rapid.T) {
	m.d.must(m.d.engine.Unlock(m.d.Context(), "alice"))
	m.failures, m.locked = 0, false
}

// Check has nothing to add: each step is compared.
func (m *mailing) Check(*rapid.T) {}

// TestTheMailing has the engine send codes and take them as the specification says, over random histories.
func TestTheMailing(t *testing.T) {
	reached := map[string]bool{}
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.PINHistory, d.policy.Token.OnDemandLife, d.policy.Lockout.SeparateUnknownSources = 1, mailedLife, false
	missing := func() []string {
		return slices.DeleteFunc([]string{
			"a code is sent", "accepted", "wrong or used code", "late code", "wrong PIN", "new PIN", "a bad PIN", "PIN set", "an attempt that may not go on",
		}, func(state string) bool { return reached[state] })
	}
	for range 10 {
		rapid.Check(t, func(rt *rapid.T) {
			d.now = d.now.AddDate(0, 0, 1).Truncate(24 * time.Hour)
			d.renew()
			m := &mailing{T: rt, d: d, post: &letters{}, reached: reached, allowed: true}
			d.engine.Courier, d.policy.Token.OnDemand = m.post, true
			m.Set(rt)
			rt.Repeat(rapid.StateMachineActions(m))
		})
		if len(missing()) == 0 || testing.Short() { // rapid tries a fifth of the histories then: too few to reach every state
			return
		}
	}
	t.Errorf("no history reached: %v", missing())
}
