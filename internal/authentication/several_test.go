package authentication_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// failures are those that count against alice where she signs in.
func (d *deployment) failures() int {
	d.Helper()
	all, err := d.db.Guards(d.Context(), []string{"alice"})
	d.must(err)
	return all["alice"].Own.Count + all["alice"].Strange.Count
}

// stranger is where alice never signed in from.
var stranger = authentication.Source{Agent: "radius:other", Station: "198.51.100.1"}

// another gives alice one more token.
func (d *deployment) another(serial string, s token.Settings) spare {
	d.Helper()
	t := d.spare(serial, true, s)
	_, err := d.tokens().Assign(d.Context(), serial, "alice")
	d.must(err)
	return t
}

// change changes the record of a token.
func (d *deployment) change(serial string, change func(*token.Token)) {
	d.Helper()
	r, err := d.db.Token(d.Context(), serial)
	d.must(err)
	change(&r)
	d.must(d.db.SaveToken(d.Context(), r))
}

// renewed gives alice's token a new seed, which waits for its first code or takes the place of the old one at once.
func (d *deployment) renewed(waits bool, s token.Settings) seed.Seed {
	d.Helper()
	fresh := seed.Generate()
	g, err := token.NewGeneration(d.engine.Keys.(token.Keyring), serial, 2, fresh, s, d.now)
	d.must(err)
	g.Delivered = true
	d.change(serial, func(r *token.Token) {
		if waits {
			r.Await(g, d.now.Add(24*time.Hour))
		} else {
			r.Replace(g)
		}
	})
	return fresh
}

// twins gives alice two tokens of short codes that last for years, and returns the other one with the chains of both.
func (d *deployment) twins() (other spare, mine, theirs *securid.Chain) {
	d.Helper()
	other = d.another("900000000002", d.token)
	chain := func(s spare) *securid.Chain {
		d.change(s.serial, func(r *token.Token) { r.EffectiveExpiry = d.now.AddDate(9, 0, 0) })
		c, err := securid.NewChain(s.secret.Reveal(), s.serial, d.token.Digits, d.token.Interval)
		d.must(err)
		return c
	}
	return other, chain(spare{d, serial, d.secret}), chain(other)
}

// beside gives alice another token with the same PIN.
func (d *deployment) beside(serial string) {
	d.Helper()
	d.another(serial, d.token)
	d.must(d.engine.SetPIN(d.Context(), serial, "8093", false))
}

// sharedPINs are ways in which alice's PIN is that of a second seed.
var sharedPINs = map[string]func(*deployment){
	"none":            func(*deployment) {},
	"a seed waits":    func(d *deployment) { d.renewed(true, d.token) },
	"a replacement":   func(d *deployment) { d.spare("100000000002", true, d.token).replaces(true) },
	"a token before":  func(d *deployment) { d.beside("000000000002") },
	"a token after":   func(d *deployment) { d.beside("900000000002") },
	"two and another": func(d *deployment) { d.beside("000000000002"); d.renewed(true, d.token); d.beside("900000000002") },
}

func withSharedPINs(t *testing.T, test func(t *testing.T, d *deployment)) {
	for name, more := range sharedPINs {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, sqlite(t), fob)
			d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
			more(d)
			test(t, d)
		})
	}
}

// A seed that has nothing to do with a passcode but the PIN must not hide that another one made it: a copy of what was accepted would count
// as a failure, and lock its user.
func TestTheSeedThatMadeTheCodeTellsWhy(t *testing.T) {
	withSharedPINs(t, func(t *testing.T, d *deployment) {
		passcode := "8093" + d.code(d.now)
		d.is(d.begin(passcode), authentication.Accepted, "")
		for range 6 {
			d.is(d.begin(passcode), authentication.Denied, "")
		}
		elsewhere, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: passcode, Source: stranger})
		d.must(err)
		d.is(elsewhere, authentication.Denied, "")
		d.is(d.begin("8094"+d.code(d.now.Add(time.Minute))), authentication.Denied, "")
		d.is(d.begin(d.code(d.now.Add(time.Minute))), authentication.Denied, "")
		d.is(d.begin("8093"+"000000"), authentication.Denied, "")
		if got := d.reasons(); got != strings.Repeat("RETRY_AFTER_ACCEPT ", 6)+"ALREADY_USED BAD_PIN PIN_NOT_ENTERED BAD_TOKENCODE" {
			t.Error(got)
		}
	})
}

func TestWhoFoundATokenLocksNobodyOut(t *testing.T) {
	withSharedPINs(t, func(t *testing.T, d *deployment) {
		d.policy.Token.EmergencyIfFound = policy.Deny
		codes := d.lose(token.CodeSet, 1)
		for range 6 {
			d.is(d.begin("8093"+d.later(1)), authentication.Denied, "")
		}
		if got := d.reasons(); got != strings.TrimSpace(strings.Repeat("TOKEN_LOST ", 6)) {
			t.Error(got)
		}
		d.is(d.begin("8093"+codes[0]), authentication.Accepted, "")
	})
}

func TestAnEmergencyCodeThatIsOverIsToldFromAWrongOne(t *testing.T) {
	withSharedPINs(t, func(t *testing.T, d *deployment) {
		code := d.lose(token.CodeSet, 1)[0]
		d.is(d.begin("8093"+code), authentication.Accepted, "")
		d.now = d.now.Add(time.Minute)
		d.is(d.begin("8093"+code), authentication.Denied, "")
		fixed := d.lose(token.FixedCode, 0)[0]
		d.now = d.now.Add(7 * 24 * time.Hour)
		d.is(d.begin("8093"+fixed), authentication.Denied, "")
		if got := d.reasons(); got != "EMERGENCY_USED EMERGENCY_EXPIRED" {
			t.Error(got)
		}
	})
}

// The PIN of a PINPad is in its codes, of which some in a wide window differ from any passcode by what may be a PIN: a copy of an accepted
// passcode is one all the same.
func TestCopiesOfPINPadPasscodes(t *testing.T) {
	for _, c := range []struct {
		digits, interval int
		pin              string
	}{{8, 60, "809357"}, {8, 60, "8093574"}, {6, 30, "8093"}} {
		d := newDeployment(t, sqlite(t), token.Settings{Digits: c.digits, Interval: c.interval, PINType: device.PINPad})
		d.must(d.engine.SetPIN(t.Context(), serial, c.pin, false))
		for range 20 {
			passcode, err := securid.AddPIN(d.later(1), c.pin)
			d.must(err)
			d.is(d.begin(passcode), authentication.Accepted, "")
			d.is(d.begin(passcode), authentication.Denied, "")
		}
		if got := d.reasons(); got != strings.TrimSpace(strings.Repeat("RETRY_AFTER_ACCEPT ", 20)) || d.failures() != 0 {
			t.Errorf("%d digits, PIN of %d: %s", c.digits, len(c.pin), got)
		}
	}
}

// Codes of a token that does not count are known as such beside one that does: who found a token does not lock its owner out.
func TestTokensThatDoNotCountBesideOneThatDoes(t *testing.T) {
	for reason, stop := range map[string]func(d *deployment){
		"TOKEN_LOST":     func(d *deployment) { d.lose("", 0) },
		"TOKEN_DISABLED": func(d *deployment) { d.change(serial, func(r *token.Token) { r.Enabled = false }) },
		"TOKEN_EXPIRED": func(d *deployment) {
			d.change(serial, func(r *token.Token) { r.EffectiveExpiry = d.now.AddDate(0, 0, -1) })
		},
	} {
		for name, other := range map[string]string{"a token before": "000000000002", "a token after": "900000000002"} {
			d := newDeployment(t, sqlite(t), plain)
			next := d.another(other, plain)
			stop(d)
			for range 6 {
				d.is(d.begin(d.later(1)), authentication.Denied, "")
			}
			if got := d.reasons(); got != strings.TrimSpace(strings.Repeat(reason+" ", 6)) || d.failures() != 0 {
				t.Errorf("%s beside %s: %s, %d failures", reason, name, got, d.failures())
			}
			// They may have been meant as guesses at the other one, which is not to be had by chance.
			if here, there := d.read().Current.BadPasscodes, next.read().Current.BadPasscodes; here != 0 || there != 6 {
				t.Errorf("%s beside %s: they count %d and %d", reason, name, here, there)
			}
			d.is(d.begin("00000000"), authentication.Denied, "")
			if !strings.HasSuffix(d.reasons(), " BAD_PASSCODE") || d.failures() != 1 {
				t.Errorf("%s beside %s: a wrong passcode is %s", reason, name, d.reasons())
			}
			asked := d.is(d.begin(next.code(d.now)), authentication.NextTokencode, authentication.StepNextTokencode)
			d.is(d.answer(asked, next.code(d.now.Add(time.Minute))), authentication.Accepted, "")
		}
	}
}

// Of several tokens that do not count, the one that made the code tells why it is refused.
func TestTheTokenThatWasMeantTellsWhy(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	other := d.another("900000000002", plain)
	d.change(serial, func(r *token.Token) { r.EffectiveExpiry = d.now.AddDate(0, 0, -1) })
	d.change(other.serial, func(r *token.Token) { r.Enabled = false })
	for _, passcode := range []string{other.code(d.now), d.code(d.now), "00000000"} {
		d.is(d.begin(passcode), authentication.Denied, "")
	}
	if got := d.reasons(); got != "TOKEN_DISABLED TOKEN_EXPIRED TOKEN_EXPIRED" || d.failures() != 0 {
		t.Errorf("%s, %d failures", got, d.failures())
	}
}

// A code that was used before its token came to be disabled, say by a copy of the request, is still known as one of it.
func TestAUsedCodeOfATokenThatIsDisabled(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.another("000000000002", plain)
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
	d.change(serial, func(r *token.Token) { r.Enabled = false })
	d.is(d.begin(d.code(d.now)), authentication.Denied, "")
	if got := d.reasons(); got != "TOKEN_DISABLED" || d.failures() != 0 {
		t.Errorf("%s, %d failures", got, d.failures())
	}
}

// Mistakes with one token do not put the others into next-tokencode mode, and a success with any takes all out of it.
func TestMistakesCountAgainstTheTokenThatWasMeant(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	other := d.another("900000000002", token.Settings{Digits: fob.Digits, Interval: fob.Interval, PINType: device.NoPIN})
	for range 2 {
		d.is(d.begin("8094"+d.later(1)), authentication.Denied, "")
	}
	if here, there := d.read().Current.BadPasscodes, other.read().Current.BadPasscodes; here != 2 || there != 0 {
		t.Errorf("wrong PINs count %d and %d", here, there)
	}
	d.is(d.begin("00000000"), authentication.Denied, "") // of whichever
	if here, there := d.read().Current.BadPasscodes, other.read().Current.BadPasscodes; here != 3 || there != 1 {
		t.Errorf("a wrong passcode counts %d and %d", here, there)
	}
	d.is(d.begin(other.code(d.now)), authentication.Accepted, "")
	d.is(d.begin("8093"+d.later(1)), authentication.Accepted, "")
}

// A code that one token shows now is its own, and not one of another whose clock might be off.
func TestACodeOfNowGoesBeforeOneOfAnotherTime(t *testing.T) {
	d := newDeployment(t, sqlite(t), token.Settings{Digits: 6, Interval: 30, PINType: device.NoPIN})
	other, mine, theirs := d.twins()
	for i := d.now.Unix() / 30; ; i++ {
		if at, ok := mine.Find(theirs.At(i), i-20, i+20, i); ok && (at > i+1 || at < i-1) {
			d.now = time.Unix(30*i+7, 0).UTC()
			break
		}
	}
	d.is(d.begin(other.code(d.now)), authentication.Accepted, "")
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "") // and nothing of this one is used up
}

func TestANewPhoneIsLostToo(t *testing.T) {
	for name, waits := range map[string]bool{"at once": false, "waits": true} {
		d := newDeployment(t, sqlite(t), plain)
		d.policy.Token.EmergencyIfFound = policy.Deny
		d.lose("", 0)
		d.now = d.now.Add(time.Hour)
		d.secret = d.renewed(waits, plain)
		d.now = d.now.Add(time.Hour)
		d.lose(token.CodeSet, 1) // for her who waits for the new seed
		if r := d.read(); r.LostWith(&r.Current) && !waits || waits && r.LostWith(r.Pending) {
			t.Errorf("%s: new codes refuse the new seed", name)
		}
		d.lose("", 0)
		d.is(d.begin(d.later(1)), authentication.Denied, "")
		d.lose("", 0) // nothing more to do
		if got := strings.Join(d.actions("token:"+serial), " "); got != "token.lost emergency.issue token.lost emergency.end" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Whoever knows the old PIN does not get past an administrator's new one by having begun before.
func TestAPINThatIsSetDuringTheNextTokencode(t *testing.T) {
	for _, c := range []struct{ waits, temporary bool }{{false, false}, {true, false}, {false, true}} {
		waits := c.waits
		d := newDeployment(t, sqlite(t), fob)
		d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
		if waits {
			d.secret = d.renewed(true, fob)
		}
		begun := d.is(d.begin("8093"+d.code(d.now.Add(5*time.Minute))), authentication.NextTokencode, authentication.StepNextTokencode)
		d.must(d.engine.SetPIN(t.Context(), serial, "592048", c.temporary))
		d.is(d.answer(begun, d.code(d.now.Add(5*time.Minute+30*time.Second))), authentication.Denied, "")
		if got := d.reasons(); got != "PIN_CHANGED_MEANWHILE" {
			t.Error(got)
		}
		if c.temporary { // it leads to another one
			d.is(d.begin("592048"+d.code(d.now)), authentication.Denied, "") // of an earlier time than the code that is used up
			continue
		}
		begun = d.is(d.begin("592048"+d.code(d.now.Add(7*time.Minute))), authentication.NextTokencode, authentication.StepNextTokencode)
		d.is(d.answer(begun, d.code(d.now.Add(7*time.Minute+30*time.Second))), authentication.Accepted, "")
	}
}

// Far from now some code differs from any passcode by what may be a PIN: that tells nothing.
func TestWrongPINsFarFromNow(t *testing.T) {
	d := newDeployment(t, sqlite(t), token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad})
	d.policy.Lockout.Failures = 0
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	for _, c := range []struct {
		off         time.Duration
		least, most int // of 20; one in 3,000 is taken for another code by chance
	}{{0, 20, 20}, {5 * time.Minute, 0, 2}} {
		before := strings.Count(d.reasons(), "BAD_PIN")
		for range 20 {
			d.later(1)
			passcode, err := securid.AddPIN(d.code(d.now.Add(c.off)), "8094")
			d.must(err)
			d.is(d.begin(passcode), authentication.Denied, "")
		}
		if n := strings.Count(d.reasons(), "BAD_PIN") - before; n < c.least || n > c.most {
			t.Errorf("%s from now: %d of 20 are wrong PINs", c.off, n)
		}
	}
}

// A code of a PINPad may differ from a right one by a PIN by chance, so a wrong one counts against all tokens that it may be of.
func TestWrongPINsOfPINPads(t *testing.T) {
	pad := token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad}
	d := newDeployment(t, sqlite(t), pad)
	d.policy.Lockout.Failures = 0
	d.must(d.engine.SetPIN(t.Context(), serial, "8093574", false))
	other := d.another("900000000002", pad)
	d.must(d.engine.SetPIN(t.Context(), other.serial, "5920", false))
	for range 40 {
		d.later(1)
		passcode, err := securid.AddPIN(other.code(d.now), "5921")
		d.must(err)
		d.is(d.begin(passcode), authentication.Denied, "")
	}
	if n := other.read().Current.BadPasscodes; n != 40 {
		t.Errorf("%d of 40 count", n)
	}
}

// A record that is damaged and not needed does not keep wrong passcodes from being counted.
func TestADamagedTokenThatDoesNotCount(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	broken := d.another("900000000002", plain)
	_, err := d.tokens().Disable(t.Context(), broken.serial, 0)
	d.must(err)
	d.engine.Keys = breakingKeys{d.engine.Keys, broken.serial, func() error { return errors.New("the seed cannot be opened") }}
	for range 5 {
		d.is(d.begin("00000000"), authentication.Denied, "")
	}
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	if got := d.reasons(); !strings.HasSuffix(got, "BAD_PASSCODE USER_LOCKED") && !strings.HasSuffix(got, "BAD_PASSCODE SOURCE_LOCKED") {
		t.Error(got)
	}
}

// A lock that is over does not keep a failed next tokencode from locking.
func TestAFailedNextTokencodeLocksAgain(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.NextCodeFailure, d.policy.Lockout.UnlockAfter = policy.NextCodeLocks, 30*time.Minute
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	for range 5 {
		d.is(d.begin("00000000"), authentication.Denied, "")
	}
	d.now = d.now.Add(time.Hour)
	begun, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: d.code(d.now.Add(5 * time.Minute)), Source: stranger, Dialogue: true})
	d.must(err)
	d.is(begun, authentication.NextTokencode, authentication.StepNextTokencode)
	_, err = d.engine.Continue(t.Context(), authentication.Answer{Attempt: begun.Attempt, Turn: begun.Turn, Text: "00000000", Source: stranger})
	d.must(err)
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	if got := d.reasons(); !strings.HasSuffix(got, " NEXT_TOKENCODE_WRONG USER_LOCKED") {
		t.Error(got)
	}
}

// Of two seeds whose codes are of different lengths, the one that knows the codes tells what is wrong with them.
func TestResyncWithSeedsOfDifferentLengths(t *testing.T) {
	short := token.Settings{Digits: 6, Interval: 60, PINType: device.NoPIN}
	for _, c := range []struct{ now, next token.Settings }{{short, plain}, {plain, short}} {
		d := newDeployment(t, sqlite(t), c.now)
		d.secret, d.token = d.renewed(true, c.next), c.next
		refuses := func(first, second string, want fault.Code) {
			t.Helper()
			if err := d.engine.Resync(t.Context(), serial, first, second); !errors.Is(err, want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
		later := d.code(d.now.Add(time.Minute))
		refuses(later, d.code(d.now), fault.ResyncNotSuccessive)
		refuses(d.code(d.now.AddDate(0, 0, 1)), d.code(d.now.AddDate(0, 0, 1).Add(time.Minute)), fault.ResyncOutOfRange)
		refuses(strings.Repeat("7", len(later)), strings.Repeat("8", len(later)), fault.ResyncNoMatch)
		refuses("123456789", "987654321", fault.ResyncPasscode)
		refuses("1", "2", fault.Invalid)
		d.must(d.resync(0))
	}
}

// A pair of codes is the first good code of a seed that waits: it ends loss and emergency access; the old seed has none once its grace is over.
func TestResyncWithTheSeedThatComesAfterALoss(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	code := d.lose(token.FixedCode, 0)[0]
	d.now = d.now.Add(time.Hour)
	d.secret = d.renewed(true, plain)
	d.must(d.resync(0))
	if d.isLost() || d.read().Emergency != nil {
		t.Error("still lost")
	}
	d.is(d.begin(code), authentication.Denied, "")

	d = newDeployment(t, sqlite(t), plain)
	d.lose("", 0)
	d.must(d.resync(0)) // which does not find it
	if !d.isLost() {
		t.Error("found by the seed that was lost")
	}
	d.renewed(true, plain)
	d.now = d.now.Add(25 * time.Hour)
	if err := d.resync(0); !errors.Is(err, fault.ResyncNoMatch) {
		t.Errorf("by a seed that is over: %v", err)
	}
}

// Codes of a lost token are no free guesses at another one: what hits it by chance leads to the next tokencode.
func TestCodesOfALostTokenAreNoFreeGuesses(t *testing.T) {
	d := newDeployment(t, sqlite(t), token.Settings{Digits: 6, Interval: 30, PINType: device.NoPIN})
	_, lost, good := d.twins()
	d.lose("", 0)
	hit := d.now.Unix()/30 + 10
	for ; ; hit++ {
		if _, ok := good.Find(lost.At(hit), hit-1, hit+1, hit); ok {
			break
		}
	}
	d.now = time.Unix((hit-4)*30+5, 0).UTC()
	for range 4 {
		d.is(d.begin(d.code(d.now)), authentication.Denied, "")
		d.now = d.now.Add(30 * time.Second)
	}
	d.is(d.begin(d.code(d.now)), authentication.NextTokencode, authentication.StepNextTokencode)
	if d.failures() != 0 {
		t.Errorf("%d failures", d.failures())
	}
}

// An attempt that an older release began, which did not note the PIN of then, goes on.
func TestANextTokencodeOfAnOlderRelease(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	begun := d.is(d.begin("8093"+d.code(d.now.Add(5*time.Minute))), authentication.NextTokencode, authentication.StepNextTokencode)
	found, err := d.db.Gather(t.Context(), authentication.Wanted{Attempts: []string{begun.Attempt}})
	d.must(err)
	a := found.Attempts[0]
	raw, err := d.engine.Keys.Open(t.Context(), a.Sealed, seed.OfAttempt(a.ID, a.Turn))
	d.must(err)
	var state map[string]any
	d.must(json.Unmarshal(raw, &state))
	if state["has_former"] != true || state["former"] == nil {
		t.Fatalf("the attempt does not note the PIN: %v", state)
	}
	delete(state, "has_former")
	delete(state, "former")
	raw, err = json.Marshal(state)
	d.must(err)
	a.Sealed, err = d.engine.Keys.Seal(raw, seed.OfAttempt(a.ID, a.Turn))
	d.must(err)
	d.must(d.db.Settle(t.Context(), authentication.Settlement{Attempts: []authentication.Attempt{a}}))
	d.is(d.answer(begun, d.code(d.now.Add(5*time.Minute+30*time.Second))), authentication.Accepted, "")
}

// Two servers that accept codes of two tokens of one user do not wait for each other in a ring, which PostgreSQL breaks after a second.
func TestTwoTokensAtTwoServers(t *testing.T) {
	url := deploytest.Postgres(t)
	d := newDeployment(t, url, plain)
	other := d.another("900000000002", plain)
	beside := &authentication.Engine{Store: deploytest.Open(t, url), Groups: 4, Keys: d.engine.Keys, Policies: &d.policy, Now: d.engine.Now}
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
	d.policy.Lockout.Failures = 0
	for range 40 {
		d.now = d.now.Add(2 * time.Minute)
		_, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: "00000000", Source: stranger})
		d.must(err)
		for _, s := range []string{serial, other.serial} {
			d.change(s, func(r *token.Token) { r.Distribution = token.Issued }) // so that its record changes
		}
		codes := []string{d.code(d.now), other.code(d.now)}
		var all sync.WaitGroup
		for i, e := range []*authentication.Engine{d.engine, beside} {
			all.Go(func() {
				got, err := e.Begin(context.WithoutCancel(t.Context()), authentication.Request{UserID: "alice", Passcode: codes[i], Source: vpn, Dialogue: true})
				if err != nil || got.Result != authentication.Accepted {
					t.Error(got.Result, err)
				}
			})
		}
		all.Wait()
	}
	d.noDeadlocks(url)
}

// number asks a PostgreSQL database.
func (d *deployment) number(url, query string) (n int) {
	d.Helper()
	db, err := sql.Open("pgx", url)
	d.must(err)
	defer db.Close()
	d.must(db.QueryRowContext(d.Context(), query).Scan(&n))
	return n
}

func (d *deployment) noDeadlocks(url string) {
	d.Helper()
	if n := d.number(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n != 0 {
		d.Errorf("%d deadlocks", n)
	}
}

// A right tokencode behind a PIN that the token does not take there is told from a wrong one: the record says what to do. So is one that was used, behind a wrong PIN.
func TestATokencodeBehindAPIN(t *testing.T) {
	pinpad := token.Settings{Digits: 8, Interval: 60, PINType: device.PINPad}
	for _, c := range []struct {
		name, pin, typed, want string
		settings               token.Settings
		clear                  bool
	}{
		{"its PIN was cleared", "8093", "8093", authentication.PINUnexpected, fob, true},
		{"it takes none", "", "8093", authentication.PINUnexpected, plain, false},
		{"it is typed in the app", "8093", "8093", authentication.PINUnexpected, pinpad, false},
		{"a wrong one", "8093", "8094", authentication.BadPIN, fob, false},
	} {
		d := newDeployment(t, sqlite(t), c.settings)
		if c.pin != "" {
			d.must(d.engine.SetPIN(t.Context(), serial, c.pin, false))
		}
		if c.clear {
			d.must(d.engine.ClearPIN(t.Context(), serial))
		}
		d.is(d.begin(c.typed+d.code(d.now)), authentication.Denied, "")
		if got := d.reasons(); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		d.is(d.begin(c.typed+d.code(d.now.Add(5*time.Hour))), authentication.Denied, "")
		if got := d.reasons(); !strings.HasSuffix(got, " "+authentication.BadPasscode) {
			t.Errorf("%s, with a code of another time: %s", c.name, got)
		}
	}
	d := newDeployment(t, sqlite(t), fob)
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	code := d.code(d.now)
	d.is(d.begin("8093"+code), authentication.Accepted, "")
	d.is(d.begin("8094"+code), authentication.Denied, "")
	d.is(d.begin(code), authentication.Denied, "")
	if got := d.reasons(); got != "BAD_PIN PIN_NOT_ENTERED" {
		t.Error(got)
	}
}

// A new seed begins anew: what was guessed at the old one takes no next tokencode of it.
func TestWrongPasscodesEndWithTheirSeed(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	for range 3 {
		d.begin("00000000")
	}
	next := d.renewed(true, plain)
	raw := next.Reveal()
	code, err := securid.Code(raw, serial, plain.Digits, plain.Interval, d.now)
	d.must(err)
	d.is(d.begin(code), authentication.Accepted, "")
}

// A new PIN is confirmed with the token that it is for.
func TestANewPINIsConfirmedWithItsToken(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	other := d.another("900000000002", plain)
	set := d.answer(d.answer(d.begin(d.code(d.now)), "8093"), "8093")
	d.is(set, authentication.NewPIN, authentication.StepReauthenticate)
	code, err := securid.Code(other.secret.Reveal(), other.serial, plain.Digits, plain.Interval, d.now)
	d.must(err)
	d.is(d.answer(set, code), authentication.Denied, "")
	d.is(d.begin(code), authentication.Accepted, "")
	if got := strings.Join(d.actions("token:"+serial), " "); strings.Count(got, "pin.set") != 1 {
		t.Errorf("recorded %s", got)
	}
}

// While a new seed waits, the old one goes on as it was: with its own PIN type, and without saying that the new one has come.
func TestTheOldSeedWhileANewOneWaits(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	raw := d.renewed(true, plain).Reveal()
	d.change(serial, func(r *token.Token) { r.Distribution = token.Issued })
	d.is(d.begin("8093"+d.code(d.now)), authentication.Accepted, "")
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	if got := d.read(); got.Distribution != token.Issued || got.Pending == nil {
		t.Errorf("a code of the old seed confirms the new one: %s", got.Distribution)
	}
	code, err := securid.Code(raw, serial, plain.Digits, plain.Interval, d.now)
	d.must(err)
	d.is(d.begin(code), authentication.Accepted, "")
	if got := d.read(); got.Distribution != token.Confirmed || got.Current.Number != 2 {
		t.Errorf("a code of the new seed does not confirm it: %s", got.Distribution)
	}
}

// Nobody forces a PIN upon a token that takes none, or clears one.
func TestNoPINOfATokenWithout(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	for _, err := range []error{d.engine.ClearPIN(t.Context(), serial), d.engine.ForceNewPIN(t.Context(), serial)} {
		if !errors.Is(err, fault.PINInvalid) || !strings.Contains(err.Error(), "takes no PIN") {
			t.Error(err)
		}
	}
}

// Guesses are made at the seed that waits for its first code as well: after as many as at any other, it takes the next tokencode.
func TestWrongPasscodesCountAgainstAPendingSeed(t *testing.T) {
	d := newDeployment(t, sqlite(t), fob)
	d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
	raw := d.renewed(true, fob).Reveal()
	code := func() string {
		code, err := securid.Code(raw, serial, fob.Digits, fob.Interval, d.now)
		d.must(err)
		return code
	}
	for range 3 {
		d.is(d.begin("8094"+code()), authentication.Denied, "")
	}
	first := d.is(d.begin("8093"+code()), authentication.NextTokencode, authentication.StepNextTokencode)
	d.now = d.now.Add(time.Duration(fob.Interval) * time.Second)
	d.is(d.answer(first, code()), authentication.Accepted, "")
	if got := d.read(); got.Current.Number != 2 || got.Current.BadPasscodes != 0 {
		t.Errorf("generation %d with %d wrong passcodes", got.Current.Number, got.Current.BadPasscodes)
	}
}
