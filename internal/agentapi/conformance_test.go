package agentapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

// The tests of spec/rest-authn-api.md section 9, with the real engine. Test 9 is TestBadSignatures and
// TestSignedRequests, test 10 TestDeprecatedCredentialsWork.

const serial = "100000000001"

// A deployment is two servers on one database, with a user alice who holds a token, and a gateway.
type deployment struct {
	*gateway
	*deploytest.Clock
	servers [2]*Server
	db      *store.DB
	agents  *access.Agents
	secret  seed.Seed
	token   token.Settings

	mu  sync.Mutex
	set policy.Set
}

// later moves the clock on by intervals and returns the code of then.
func (d *deployment) later(intervals int) string {
	d.t.Helper()
	d.Pass(time.Duration(intervals*d.token.Interval) * time.Second)
	return d.code(0)
}

// code is what the token shows so many intervals from now.
func (d *deployment) code(intervals int) string {
	d.t.Helper()
	at := d.Now().Add(time.Duration(intervals*d.token.Interval) * time.Second)
	return try(securid.Code(d.secret.Reveal(), serial, d.token.Digits, d.token.Interval, at))(d.t)
}

// policies are those of the test.
func (d *deployment) policies() policiesFunc {
	return func() policy.Set {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.set
	}
}

// policiesFunc are policies that a test may change.
type policiesFunc func() policy.Set

func (f policiesFunc) Current(context.Context) (*policy.Tree, error) { return policy.Alone(f()), nil }

var plain = token.Settings{Digits: 8, Interval: 60, PINType: device.NoPIN}
var fob = token.Settings{Digits: 6, Interval: 60, PINType: device.Fob}

func deploy(t testing.TB, url string, s token.Settings) *deployment {
	t.Helper()
	d := &deployment{secret: seed.Generate(), token: s, Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC)), set: policy.Default()}
	d.gateway = &gateway{t: t, name: "VPN1"}
	master := deploytest.Master(t)
	for i := range d.servers {
		db := deploytest.Open(t, url)
		keys := deploytest.Keyring(t, db, master, d.Now)
		agents := &access.Agents{Store: db, Keys: keys, Now: d.Now}
		if i == 0 {
			d.db, d.agents = db, agents
			try((&user.Registry{Store: db, Now: d.Now}).Add(t.Context(), user.User{ID: "alice"}))(t)
			deploytest.Token(t, db, keys, serial, "alice", d.secret, s, d.Now())
			try(agents.Add(t.Context(), access.Agent{Name: "vpn1"}))(t)
			_, key, err := agents.AddCredential(t.Context(), "vpn1", "", 0)
			must(t, err)
			d.key = key
		}
		d.servers[i] = New(Config{
			Engine: &authentication.Engine{Store: db, Keys: keys, Policies: d.policies(), Now: d.Now},
			Agents: agents, Domains: &domain.Registry{Store: db, Now: d.Now}, Store: db, Now: d.Now, Logger: slog.New(slog.DiscardHandler),
		})
		web := httptest.NewServer(d.servers[i])
		t.Cleanup(web.Close)
		d.urls = append(d.urls, web.URL)
	}
	return d
}

func sqlite(t testing.TB) string { return deploytest.SQLite(t) }

// Conformance 1 and 2: the gateway reads each member of every response that there is, and conforms holds it against the schema.
func TestConformanceEveryOutcome(t *testing.T) {
	d := deploy(t, sqlite(t), fob)
	d.set.Token.PINCreation = policy.ByUser
	d.expect(d.begin("alice"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	a := d.expect(d.verify("SECURID", d.code(0)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEWPIN")
	if a.result() != "SECURID SUCCESS/CREDENTIAL_VERIFIED" {
		t.Error(a.result())
	}
	d.expect(d.verify("SECURID_NEWPIN", "8274"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	d.expect(d.verify("SECURID", "8274"+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	d.expect(d.check("alice", "8274"+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	d.expect(d.check("alice", "8274"+d.code(7)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEXT_TOKENCODE")
	d.expect(d.verify("SECURID_NEXT_TOKENCODE", d.code(8)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	d.expect(d.check("alice", "00000000"), "FAIL/VERIFY_ERROR", "")
	d.expect(d.verify("SECURID", "1"), "ERROR/ATTEMPT_NOT_FOUND", "")
	d.expect(d.begin("alice"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	d.expect(d.verify("SECURID_NEWPIN", "8274"), "ERROR/METHOD_NOT_REQUESTED", "")
	d.last = "another"
	d.expect(d.verify("SECURID", "1"), "ERROR/OUT_OF_SEQUENCE", "")
	attempt := d.attempt
	giveUp := encode(t, map[string]any{"authnAttemptId": attempt, "reason": "USER_ACTION", "context": map[string]string{"messageId": "once"}})
	given := d.expect(d.send("cancel", giveUp), "FAIL/ATTEMPT_CANCELLED", "")
	if again := d.send("cancel", giveUp); again.raw != given.raw {
		t.Errorf("the same message again: %s, first %s", again.raw, given.raw)
	}
	d.expect(d.send("cancel", encode(t, map[string]string{"authnAttemptId": attempt})), "FAIL/ATTEMPT_NOT_FOUND", "")
}

// Invariant 10 and conformance 3: a wrong code is HTTP 200 and FAIL, and all that is denied looks alike but for the IDs.
func TestInvariant10DenialsAreIdentical(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	used := d.code(0)
	d.expect(d.check("alice", used), "SUCCESS/CREDENTIAL_VERIFIED", "")
	d.later(2)
	want := d.expect(d.check("alice", "00000000"), "FAIL/VERIFY_ERROR", "").anonymous()
	for name, a := range map[string]answer{
		"used": d.check("alice", used), "unknown user": d.check("nobody", "00000000"), "unknown, with a right code": d.check("nobody", d.code(0)),
		"empty": d.check("alice", ""), "letters": d.check("alice", "correct horse"), "long": d.check("alice", strings.Repeat("1", 4000)),
	} {
		if a.anonymous() != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, a.anonymous(), want)
		}
	}
	for range 5 {
		d.check("alice", "00000000")
	}
	if a := d.check("alice", d.code(0)); a.anonymous() != want {
		t.Errorf("locked: %s", a.raw)
	}
	if a, b := d.begin("nobody").anonymous(), d.begin("alice").anonymous(); a != b {
		t.Errorf("without a passcode, an unknown user gets\n%s\nand a locked one\n%s", a, b)
	}
}

// Conformance 4: the identical request gets the identical response, from either server, and burns nothing.
func TestConformanceRetries(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		body := d.beginning("alice", "SECURID", d.code(0))
		first := d.expect(d.send("initialize", body), "SUCCESS/CREDENTIAL_VERIFIED", "")
		for d.at = range d.urls {
			if again := d.send("initialize", body); again.raw != first.raw {
				t.Errorf("server %d answers the same message with\n%s\nand not\n%s", d.at, again.raw, first.raw)
			}
		}
		d.expect(d.check("alice", d.code(0)), "FAIL/VERIFY_ERROR", "")

		// In the middle of a dialogue, and at its end.
		d.later(1)
		d.at = 0
		d.begin("alice")
		right := d.following("SECURID", d.code(7))
		asked := d.expect(d.send("verify", right), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEXT_TOKENCODE")
		d.at = 1
		if again := d.send("verify", right); again.raw != asked.raw {
			t.Errorf("%s\nand not\n%s", again.raw, asked.raw)
		}
		last := d.following("SECURID_NEXT_TOKENCODE", d.code(8))
		done := d.expect(d.send("verify", last), "SUCCESS/CREDENTIAL_VERIFIED", "")
		d.at = 0
		if again := d.send("verify", last); again.raw != done.raw {
			t.Errorf("%s\nand not\n%s", again.raw, done.raw)
		}

		// A wrong passcode that is repeated counts once: the third mistake would call for the next tokencode.
		d.later(10)
		wrong := d.beginning("alice", "SECURID", "00000000")
		for range 6 {
			d.expect(d.send("initialize", wrong), "FAIL/VERIFY_ERROR", "")
		}
		d.expect(d.check("alice", d.code(8)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	})
}

// Conformance 5: of 100 parallel requests with one code at two servers, one is accepted.
func TestConformanceOneCodeOneSuccess(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		for round := range 3 {
			code := d.later(1)
			var accepted atomic.Int32
			var all sync.WaitGroup
			for i := range 100 {
				g := &gateway{t: t, urls: d.urls, at: i % 2, key: d.key, name: d.name}
				all.Go(func() {
					if g.check("alice", code).code() == "SUCCESS/CREDENTIAL_VERIFIED" {
						accepted.Add(1)
					}
				})
			}
			all.Wait()
			if n := accepted.Load(); n != 1 {
				t.Errorf("round %d: accepted %d times", round, n)
			}
			d.later(1)
		}
	})
}

// Conformance 6.
func TestConformanceNextTokencode(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		want string
	}{
		"the first again": {5, "FAIL/VERIFY_ERROR"}, "the next": {6, "SUCCESS/CREDENTIAL_VERIFIED"}, "two later": {7, "FAIL/VERIFY_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, sqlite(t), plain)
			a := d.expect(d.check("alice", d.code(5)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEXT_TOKENCODE")
			if text, _ := a.text(); !strings.Contains(text, "next tokencode") || a.result() != "SECURID SUCCESS/CREDENTIAL_VERIFIED" {
				t.Error(text, a.result())
			}
			d.expect(d.verify("SECURID_NEXT_TOKENCODE", d.code(c.code)), c.want, "")
			d.expect(d.verify("SECURID_NEXT_TOKENCODE", d.code(6)), "ERROR/ATTEMPT_NOT_FOUND", "")
		})
	}
}

// Conformance 7.
func TestConformanceNewPIN(t *testing.T) {
	d := deploy(t, sqlite(t), fob)
	d.set.Token.ExcludedWords = []string{"rumpel"}
	rejected := func(pins ...string) {
		t.Helper()
		d.expect(d.check("alice", d.later(1)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEWPIN")
		for _, pin := range pins {
			a := d.expect(d.verify("SECURID_NEWPIN", pin), "CHALLENGE/PIN_REJECTED", "SECURID_NEWPIN")
			if text, attributes := a.text(); a.result() != "SECURID_NEWPIN FAIL/PIN_REJECTED" || len(attributes) != 4 || !strings.HasPrefix(text, "This PIN is not taken: ") {
				t.Error(a.result(), text)
			}
		}
	}
	rejected("827", "827482748")
	d.expect(d.verify("SECURID_NEWPIN", "82a4"), "FAIL/VERIFY_ERROR", "") // the third round
	rejected("1234", "82a4")
	d.expect(d.verify("SECURID_NEWPIN", "8274"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	a := d.expect(d.verify("SECURID", "8274"+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	if a.result() != "SECURID SUCCESS/CREDENTIAL_VERIFIED" {
		t.Error(a.result())
	}
	d.expect(d.check("alice", "8274"+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")

	// Used before; a word of the list.
	d.set.Token.PINCharacters = policy.Alphanumeric
	tok := try(d.db.Token(t.Context(), serial))(t)
	tok.PIN.MustChange = true
	must(t, d.db.SaveToken(t.Context(), tok))
	a = d.expect(d.check("alice", "8274"+d.later(1)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEWPIN")
	if text, _ := a.text(); !strings.Contains(text, "letters") {
		t.Error(text)
	}
	d.expect(d.verify("SECURID_NEWPIN", "8274"), "CHALLENGE/PIN_REJECTED", "SECURID_NEWPIN")
	d.expect(d.verify("SECURID_NEWPIN", "rumpel"), "CHALLENGE/PIN_REJECTED", "SECURID_NEWPIN")
	d.expect(d.verify("SECURID_NEWPIN", "k7mq4x"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	d.expect(d.verify("SECURID", "8274"+d.later(1)), "FAIL/VERIFY_ERROR", "") // the old PIN
	d.expect(d.check("alice", "k7mq4x"+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
}

// A PIN that the system makes is in the prompt; an answer takes it, unless it says no.
func TestConformanceSystemPIN(t *testing.T) {
	d := deploy(t, sqlite(t), fob)
	d.set.Token.PINCreation = policy.BySystem
	shown := func() string {
		t.Helper()
		a := d.expect(d.check("alice", d.later(1)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_SYSTEM_GENERATED_PIN")
		text, _ := a.text()
		return strings.TrimPrefix(text[:strings.Index(text, ". ")], "Your new PIN is ")
	}
	for _, no := range []string{"n", "N", " no", "Cancel"} {
		shown()
		d.expect(d.verify("SECURID_SYSTEM_GENERATED_PIN", no), "FAIL/VERIFY_ERROR", "")
	}
	pin := shown()
	d.expect(d.verify("SECURID_SYSTEM_GENERATED_PIN", ""), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	d.expect(d.verify("SECURID", pin+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
}

// Conformance 8: an attempt that one server begins, the other goes on with; the old one then knows of it.
func TestConformanceTakeOver(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, fob)
		d.expect(d.begin("alice"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
		d.at = 1
		d.expect(d.verify("SECURID", d.code(0)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEWPIN")
		d.at = 0
		d.expect(d.verify("SECURID_NEWPIN", "8274"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
		d.at = 1
		body := d.following("SECURID", "8274"+d.later(1))
		d.expect(d.send("verify", body), "SUCCESS/CREDENTIAL_VERIFIED", "")
		d.at = 0
		d.expect(d.verify("SECURID", "8274"+d.later(1)), "ERROR/ATTEMPT_NOT_FOUND", "")
	})
}

func TestAttemptsEnd(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.send("initialize", encode(t, map[string]any{"subjectName": "alice", "authnAttemptTimeout": "60", "context": map[string]string{"messageId": "m"}}))
	d.later(1)
	d.expect(d.verify("SECURID", d.code(0)), "ERROR/ATTEMPT_NOT_FOUND", "")
	try(d.agents.Add(t.Context(), access.Agent{Name: "other"}))(t)
	_, other, err := d.agents.AddCredential(t.Context(), "other", "", 0)
	must(t, err)
	d.begin("alice")
	own := d.key
	d.key = other
	attempt, last := d.attempt, d.last
	d.expect(d.verify("SECURID", d.code(0)), "ERROR/ATTEMPT_NOT_FOUND", "")
	d.key, d.attempt, d.last = own, attempt, last
	d.expect(d.verify("SECURID", d.code(0)), "SUCCESS/CREDENTIAL_VERIFIED", "")
}

func TestRetryLeavesTheAttemptOpen(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	try(d.agents.Edit(t.Context(), "vpn1", 0, func(a *access.Agent) { a.Retry = true }))(t)
	d.expect(d.check("alice", "00000000"), "CHALLENGE/VERIFY_ERROR", "SECURID")
	d.expect(d.verify("SECURID", "11111111"), "CHALLENGE/VERIFY_ERROR", "SECURID")
	d.expect(d.verify("SECURID", d.code(0)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	a, b := d.check("nobody", "00000000"), d.check("alice", "00000000")
	if a.anonymous() != b.anonymous() {
		t.Errorf("%s\n%s", a.raw, b.raw)
	}
}

// What the agent tells of the session is in the events of the decision.
func TestSessionsAreAudited(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.send("initialize", encode(t, map[string]any{
		"subjectName": "alice", "subjectCredentials": credentials("SECURID", d.code(0)), "context": map[string]string{"messageId": "m"},
		"sessionAttributes": []map[string]string{{"name": "Resource", "value": "vpn"}, {"name": "sourceIP", "value": "198.51.100.9"}},
	}))
	log := events(t, d.db)
	for _, want := range []string{`"session":{"Resource":"vpn","sourceIP":"198.51.100.9"}`, `"station":"198.51.100.9"`, `"actor":"agent:vpn1","role":"agent","client":"127.0.0.1"`, `"action":"authn.success"`} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in %s", want, log)
		}
	}
}

func TestUnreadableRequestsAreNoDefects(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	for _, subject := range []string{"\x00", "\xff\xfe", strings.Repeat("x", 60_000), " ", "'; DROP TABLE agent"} {
		d.expect(d.check(subject, "00000000"), "FAIL/VERIFY_ERROR", "")
		d.expect(d.begin(subject), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	}
	if status, _ := d.raw("verify", []byte(`{"context":`)); status != http.StatusBadRequest {
		t.Errorf("status %d", status)
	}
}
