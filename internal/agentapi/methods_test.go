package agentapi

import (
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/token"
)

// methods are what the agent may send passcodes by, once each server knows.
func (d *deployment) methods(all ...string) {
	d.t.Helper()
	try(d.agents.Edit(d.t.Context(), "vpn1", 0, func(a *access.Agent) { a.Methods = all }))(d.t)
	d.Pass(remembered)
}

// one sends a passcode by a method in a single call.
func (d *deployment) one(method, passcode string, more map[string]any) answer {
	d.t.Helper()
	body := map[string]any{
		"clientId": d.name, "subjectName": "alice", "context": map[string]string{"messageId": message()},
		"subjectCredentials": []any{map[string]any{"methodId": method, "collectedInputs": []any{map[string]string{"name": method, "value": passcode}}}},
	}
	for name, value := range more {
		body[name] = value
	}
	a := d.send("initialize", encode(d.t, body))
	d.attempt, d.last = *a.Context.AuthnAttemptId, *a.Context.MessageId
	return a
}

// offered are the methods that a challenge lets the user choose from.
func (a answer) offered() (all []string) {
	for _, set := range *a.ChallengeMethods.Challenges {
		all = append(all, *(*set.RequiredMethods)[0].MethodId)
	}
	return all
}

func TestPasscodesByOtherMethods(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	for _, method := range []string{"TOKEN", "EMERGENCY_TOKENCODE"} {
		a := d.expect(d.one(method, d.later(1), nil), "FAIL/METHOD_NOT_SUPPORTED", "")
		if a.result() != method+" FAIL/METHOD_NOT_SUPPORTED" {
			t.Error(a.result())
		}
	}
	d.methods("SECURID", "TOKEN", "EMERGENCY_TOKENCODE")
	for _, method := range []string{"SECURID", "TOKEN", "EMERGENCY_TOKENCODE"} {
		a := d.expect(d.one(method, d.later(1), nil), "SUCCESS/CREDENTIAL_VERIFIED", "")
		if a.result() != method+" SUCCESS/CREDENTIAL_VERIFIED" {
			t.Error(a.result())
		}
		if a := d.one(method, d.code(0), nil); a.code() != "FAIL/VERIFY_ERROR" || a.result() != method+" FAIL/VERIFY_ERROR" {
			t.Errorf("%s takes a code twice: %s", method, a.raw)
		}
	}
	// A code set in place of the tokencode.
	_, codes, err := d.servers[0].Engine.(*authentication.Engine).ReportLost(t.Context(), serial, 0, authentication.EmergencyWish{Kind: token.CodeSet, Count: 2})
	must(t, err)
	d.expect(d.one("EMERGENCY_TOKENCODE", codes[0], nil), "SUCCESS/CREDENTIAL_VERIFIED", "")
	d.expect(d.one("EMERGENCY_TOKENCODE", codes[0], nil), "FAIL/VERIFY_ERROR", "")

	d.methods("TOKEN")
	d.expect(d.one("SECURID", codes[1], nil), "FAIL/METHOD_NOT_SUPPORTED", "")
	d.expect(d.one("TOKEN", codes[1], nil), "SUCCESS/CREDENTIAL_VERIFIED", "")
}

// The agent is offered each of its methods, in a set of its own, wherever a passcode is asked for; or the one that it names.
func TestMethodsAreOffered(t *testing.T) {
	d := deploy(t, sqlite(t), fob)
	d.methods("SECURID", "TOKEN", "EMERGENCY_TOKENCODE")
	is := func(a answer, want ...string) {
		t.Helper()
		if got := a.offered(); len(got) != len(want) || a.code() != "CHALLENGE/AUTHENTICATION_REQUIRED" {
			t.Fatalf("%s", a.raw)
		}
		for i, m := range a.offered() {
			if set := *(*a.ChallengeMethods.Challenges)[i].MethodSetId; m != want[i] || set != []string{"set1", "set2", "set3"}[i] {
				t.Errorf("%s of %s, want %s", m, set, want[i])
			}
		}
	}
	is(d.begin("alice"), "SECURID", "TOKEN", "EMERGENCY_TOKENCODE")
	is(d.verify("TOKEN", d.code(0)), "SECURID_NEWPIN")
	is(d.verify("SECURID_NEWPIN", "8274"), "SECURID", "TOKEN", "EMERGENCY_TOKENCODE")
	a := d.verify("TOKEN", "8274"+d.later(1))
	if a.code() != "SUCCESS/CREDENTIAL_VERIFIED" || a.result() != "TOKEN SUCCESS/CREDENTIAL_VERIFIED" {
		t.Error(a.raw)
	}
	ask := func(method string) answer {
		a := d.send("initialize", encode(t, map[string]any{"subjectName": "alice", "authMethodId": method, "context": map[string]string{"messageId": message()}}))
		d.attempt, d.last = *a.Context.AuthnAttemptId, *a.Context.MessageId
		return a
	}
	is(ask("EMERGENCY_TOKENCODE"), "EMERGENCY_TOKENCODE")
	is(ask("TOKEN"), "TOKEN")
	d.expect(d.verify("TOKEN", "8274"+d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
	if a := ask("SMS"); a.code() != "FAIL/METHOD_NOT_SUPPORTED" {
		t.Error(a.raw)
	}
}

// The method that was used is the one that /status tells of.
func TestStatusNamesTheMethodThatWasUsed(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.methods("SECURID", "TOKEN")
	d.expect(d.one("TOKEN", d.later(1), map[string]any{"keepAttempt": true}), "SUCCESS/CREDENTIAL_VERIFIED", "")
	status, text := d.raw("status", encode(t, map[string]string{"authnAttemptId": d.attempt}))
	if got := parse(t, text); status != 200 || got.text("successfulMethods.0") != "TOKEN" {
		t.Errorf("%d %s", status, text)
	}
}

// Whether there is such an attempt, and whether its last message is answered, goes before what the method is (section 5).
func TestMethodsOfNoAttempt(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	try(d.agents.Add(t.Context(), access.Agent{Name: "other"}))(t)
	_, other, err := d.agents.AddCredential(t.Context(), "other", "", 0)
	must(t, err)
	own, methods := d.key, map[string]string{"XYZ": "ERROR/METHOD_NOT_REQUESTED", "PASSWORD": "FAIL/METHOD_NOT_SUPPORTED", "TOKEN": "FAIL/METHOD_NOT_SUPPORTED", "SECURID_NEWPIN": "ERROR/METHOD_NOT_REQUESTED"}
	for method, unasked := range methods {
		d.key, d.attempt, d.last = own, "00010203-0405-0607-0809-0a0b0c0d0e0f", "error-x"
		a := d.expect(d.verify(method, "1"), "ERROR/ATTEMPT_NOT_FOUND", "")
		if want := method + " ERROR/ATTEMPT_NOT_FOUND"; a.result() != want {
			t.Errorf("%s, want %s", a.result(), want)
		}
		d.attempt = "no attempt"
		d.expect(d.verify(method, "1"), "ERROR/ATTEMPT_NOT_FOUND", "")

		d.expect(d.check("alice", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
		d.expect(d.verify(method, "1"), "ERROR/ATTEMPT_NOT_FOUND", "") // it is over

		d.begin("alice")
		attempt, last := d.attempt, d.last
		d.key = other
		d.expect(d.verify(method, "1"), "ERROR/ATTEMPT_NOT_FOUND", "")
		d.key, d.attempt, d.last = own, attempt, "stale"
		d.expect(d.verify(method, "1"), "ERROR/OUT_OF_SEQUENCE", "")
		d.last = last
		if a = d.expect(d.verify(method, "1"), unasked, ""); a.result() != method+" "+unasked {
			t.Errorf("%s, want %s", a.result(), unasked)
		}
		d.expect(d.verify("SECURID", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "") // the attempt is as it was, and the response is the last one
	}
	if why := d.reasons(); len(why) > 0 {
		t.Errorf("something was counted: %v", why)
	}
}
