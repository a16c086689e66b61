package agentapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

func ask(d document) string {
	return fmt.Sprintf(`{"authnAttemptId":%q}`, d.text("context.authnAttemptId"))
}

func look(d document) string {
	return fmt.Sprintf(`{"authnAttemptId":%q,"removeAttemptId":false}`, d.text("context.authnAttemptId"))
}

const keep = `{"subjectName":"ada","keepAttempt":true,"authnAttemptTimeout":60,"context":{"messageId":"m-1"},
	"sessionAttributes":[{"name":"Resource","value":"vpn"},{"name":"ClientIP","value":"198.51.100.9","dataType":"BINARY"}]}`

// What was decided before an attempt was cancelled, and is told after that, does not open it again.
func TestStatusAfterACancel(t *testing.T) {
	then := waiting
	then.Turn = 2
	h := newHouse(t, waiting, waiting, then)
	begun := h.post("initialize", keep)
	h.post("cancel", look(begun)).says("FAIL", "ATTEMPT_CANCELLED")
	h.post("verify", next(begun, "SECURID", "12345678"))
	if d := h.post("status", look(begun)); d.text("attemptReasonCode") != "ATTEMPT_CANCELLED" {
		t.Errorf("%v", d.v)
	}
}

// An agent that gives an attempt up with another of its credentials, say since its key was replaced meanwhile, has given it up.
func TestStatusAfterACancelWithAnotherCredential(t *testing.T) {
	h := newHouse(t, waiting)
	begun, own := h.post("initialize", keep), h.key
	_, h.key = h.credential("vpn1")
	h.post("cancel", look(begun)).says("FAIL", "ATTEMPT_CANCELLED")
	h.key = own
	if d := h.post("status", look(begun)); d.text("attemptReasonCode") != "ATTEMPT_CANCELLED" {
		t.Errorf("%v", d.v)
	}
}

func TestStatus(t *testing.T) {
	then, again, last := nextCode, newPINs, accepted
	then.Turn, again.Turn, last.Turn = 2, 3, 4
	again.Step = authentication.StepReauthenticate
	h := newHouse(t, waiting, then, again, again, last, then)
	begun := h.post("initialize", keep)
	d := h.post("status", look(begun))
	if d.text("attemptResponseCode") != "IN_PROCESS" || d.text("attemptReasonCode") != "AUTHENTICATION_REQUIRED" || d.text("subjectName") != "ada" ||
		d.text("attemptExpires") != "2026-11-24T09:01:00Z" || d.at("authnPolicyId") != nil || len(d.at("successfulMethods").([]any)) != 0 {
		t.Errorf("%v", d.v)
	}
	if d.text("sessionAttributes.0.value") != "vpn" || d.text("sessionAttributes.0.dataType") != "STRING" || d.text("sessionAttributes.1.name") != "ClientIP" || d.text("sessionAttributes.1.dataType") != "BINARY" {
		t.Errorf("%v", d.v)
	}
	h.Pass(30 * time.Second)
	first := next(begun, "SECURID", "12345678")
	second := next(h.post("verify", first), "SECURID_NEXT_TOKENCODE", "87654321")
	step := h.post("verify", second)
	h.Pass(time.Second)
	h.post("verify", second) // a copy, which moves nothing on
	if d = h.post("status", look(begun)); d.text("attemptResponseCode") != "IN_PROCESS" || d.text("attemptExpires") != "2026-11-24T09:01:30Z" {
		t.Errorf("%v", d.v)
	}
	h.post("verify", next(step, "SECURID", "827487654321")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	h.post("verify", first) // a late copy, to which the engine repeats what it decided then
	d = h.post("status", look(begun))
	if d.text("attemptResponseCode") != "SUCCESS" || !slices.Equal(d.at("successfulMethods").([]any), []any{"SECURID", "SECURID_NEXT_TOKENCODE"}) ||
		d.text("attemptExpires") != "2026-11-24T09:01:31Z" {
		t.Errorf("%v", d.v)
	}

	_, other := h.credential("vpn1")
	own := h.key
	h.key = other
	if d := h.post("status", ask(begun)); d.text("attemptResponseCode") != "ERROR" || d.text("attemptReasonCode") != "ATTEMPT_NOT_FOUND" || d.at("subjectName") != nil {
		t.Errorf("to another credential: %v", d.v)
	}
	h.key = own
	if d := h.post("status", ask(begun)); d.text("attemptResponseCode") != "SUCCESS" {
		t.Errorf("%v", d.v)
	}
	if d := h.post("status", ask(begun)); d.text("attemptResponseCode") != "ERROR" {
		t.Errorf("a second look: %v", d.v)
	}
}

// What is not said is not said in three ways: the attempt is looked at once.
func TestOneLook(t *testing.T) {
	h := newHouse(t, waiting)
	for _, unsaid := range []string{"", `,"removeAttemptId":""`, `,"removeAttemptId":null`, `,"removeAttemptId":"true"`} {
		d := h.post("initialize", keep)
		body := fmt.Sprintf(`{"authnAttemptId":%q%s}`, d.text("context.authnAttemptId"), unsaid)
		h.post("status", body)
		if d := h.post("status", body); d.text("attemptReasonCode") != "ATTEMPT_NOT_FOUND" {
			t.Errorf("%s: %v", unsaid, d.v)
		}
	}
}

func TestStatusOfOneCall(t *testing.T) {
	h := newHouse(t, never, atOnce)
	one := `{"subjectName":"ada","keepAttempt":"true","context":{"messageId":%q},"subjectCredentials":[` + typed("SECURID", "1") + `]}`
	wrong := h.post("initialize", fmt.Sprintf(one, "m-1"))
	if d := h.post("status", ask(wrong)); d.text("attemptResponseCode") != "FAIL" || d.text("attemptReasonCode") != "VERIFY_ERROR" || len(d.at("successfulMethods").([]any)) != 0 {
		t.Errorf("%v", d.v)
	}
	right := h.post("initialize", fmt.Sprintf(one, "m-2"))
	h.Pass(authentication.DefaultLife - time.Second)
	h.engine.says = []any{fault.New(fault.AttemptNotFound, "over")}
	h.post("cancel", ask(right)).says("FAIL", "ATTEMPT_NOT_FOUND")
	if d := h.post("status", look(right)); d.text("attemptResponseCode") != "SUCCESS" || d.text("successfulMethods.0") != "SECURID" {
		t.Errorf("%v", d.v)
	}
	h.Pass(time.Second)
	if d := h.post("status", ask(right)); d.text("attemptResponseCode") != "ERROR" {
		t.Errorf("after its time: %v", d.v)
	}
}

func TestOnlyWhatIsKeptIsStored(t *testing.T) {
	h := newHouse(t, atOnce)
	d := h.post("initialize", first("m-1"))
	if _, err := h.db.KeptAttempt(t.Context(), d.text("context.authnAttemptId")); fault.CodeOf(err) != fault.AttemptNotFound {
		t.Errorf("kept without being asked: %v", err)
	}
	if d := h.post("status", ask(d)); d.text("attemptResponseCode") != "ERROR" {
		t.Errorf("%v", d.v)
	}
}

// A response that was kept and then could not be is no response: the agent asks again, and the row is written then.
func TestKeepingFails(t *testing.T) {
	h := newHouse(t, atOnce)
	real := h.Store
	h.Store = unkept{Store: real}
	body := `{"subjectName":"ada","keepAttempt":true,"context":{"messageId":"m"},"subjectCredentials":[` + typed("SECURID", "1") + `]}`
	if status, text := h.send(h.request("POST", Base+"initialize", body)); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, text)
	}
	h.Store = real
	d := h.post("initialize", body)
	d.says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	if d := h.post("status", ask(d)); d.text("attemptResponseCode") != "SUCCESS" {
		t.Errorf("%v", d.v)
	}

	// Nor is one to what comes after that, nor a look.
	h.engine.says = []any{waiting}
	begun := h.post("initialize", keep)
	other := h.post("initialize", first("m-2"))
	for _, h.Store = range []Store{unkept{Store: real}, unkept{real, true}} {
		remove := strings.Replace(look(begun), "false", "true", 1)
		for body, endpoint := range map[string]string{next(begun, "SECURID", "1"): "verify", look(begun): "cancel", remove: "cancel", ask(begun): "status"} {
			h.engine.says = []any{authentication.Decision{Attempt: attempt, Turn: 2}}
			if status, text := h.send(h.request("POST", Base+endpoint, body)); status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d %s", endpoint, status, text)
			}
		}
		h.post("verify", next(other, "SECURID", "1")).says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR") // it is not kept
	}
	h.Store = real
	h.engine.says = []any{fault.New(fault.Unavailable, "away")}
	for endpoint, body := range map[string]string{"initialize": keep, "verify": next(begun, "SECURID", "1"), "cancel": ask(begun)} {
		if status, text := h.send(h.request("POST", Base+endpoint, body)); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", endpoint, status, text)
		}
	}
	if d := h.post("status", ask(begun)); d.text("attemptResponseCode") != "IN_PROCESS" {
		t.Errorf("%v", d.v)
	}
	h.engine.says = []any{accepted} // which nobody asks for any more
	h.post("verify", next(begun, "SECURID", "1")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
}

// An agent may write the ID of an attempt in capitals, as UUIDs may be, and name what it gives up in its context alone.
func TestAttemptsInCapitals(t *testing.T) {
	h := newHouse(t, waiting, nextCode)
	begun := h.post("initialize", keep)
	id := begun.text("context.authnAttemptId")
	capitals := func(body string) string { return strings.Replace(body, id, strings.ToUpper(id), 1) }
	h.post("verify", capitals(next(begun, "SECURID", "12345678"))).asks("SECURID_NEXT_TOKENCODE")
	if a := h.engine.answered[0]; a.Attempt != attempt || a.Turn != 1 {
		t.Errorf("%+v", a)
	}
	if d := h.post("status", capitals(look(begun))); d.text("attemptResponseCode") != "IN_PROCESS" {
		t.Errorf("%v", d.v)
	}
	d := h.post("cancel", `{"context":`+capitals(ask(begun))+`}`)
	if d.says("FAIL", "ATTEMPT_CANCELLED"); d.text("context.authnAttemptId") != id || !slices.Equal(h.engine.givenUp, []string{attempt}) {
		t.Errorf("%v, given up: %v", d.v, h.engine.givenUp)
	}
	if d := h.post("status", ask(begun)); d.text("attemptReasonCode") != "ATTEMPT_CANCELLED" {
		t.Errorf("%v", d.v)
	}
}

func TestCancel(t *testing.T) {
	h := newHouse(t, waiting, authentication.Decision{}, waiting, fault.New(fault.AttemptNotFound, "over"))
	begun := h.post("initialize", keep)
	h.post("cancel", ask(begun)).says("FAIL", "ATTEMPT_CANCELLED")
	if !slices.Equal(h.engine.givenUp, []string{attempt}) {
		t.Errorf("%v", h.engine.givenUp)
	}
	if d := h.post("status", ask(begun)); d.text("attemptResponseCode") != "FAIL" || d.text("attemptReasonCode") != "ATTEMPT_CANCELLED" {
		t.Errorf("%v", d.v)
	}
	begun = h.post("initialize", keep)
	h.post("cancel", fmt.Sprintf(`{"authnAttemptId":%q,"reason":"TIME_OUT","removeAttemptId":true}`, begun.text("context.authnAttemptId"))).says("FAIL", "ATTEMPT_NOT_FOUND")
	if d := h.post("status", ask(begun)); d.text("attemptResponseCode") != "ERROR" {
		t.Errorf("removed: %v", d.v)
	}
	asked := len(h.engine.givenUp)
	for _, nonsense := range []string{"nonsense", strings.Repeat("g", 36), "urn:uuid:" + begun.text("context.authnAttemptId")} {
		h.post("cancel", fmt.Sprintf(`{"authnAttemptId":%q}`, nonsense)).says("FAIL", "ATTEMPT_NOT_FOUND")
	}
	if len(h.engine.givenUp) != asked {
		t.Error("the engine was asked for what can be no attempt")
	}
}

// What is kept of an attempt that is over stays another credential's to ask for, whoever gives it up meanwhile.
func TestCancelOfWhatAnotherCredentialKeeps(t *testing.T) {
	h := newHouse(t, waiting, fault.New(fault.AttemptNotFound, "over"))
	begun, own := h.post("initialize", keep), h.key
	_, h.key = h.credential("vpn1")
	h.post("cancel", fmt.Sprintf(`{"authnAttemptId":%q,"removeAttemptId":true}`, begun.text("context.authnAttemptId"))).says("FAIL", "ATTEMPT_NOT_FOUND")
	h.key = own
	if d := h.post("status", look(begun)); d.text("attemptResponseCode") != "IN_PROCESS" {
		t.Errorf("%v", d.v)
	}
}

// unkept is a store that cannot keep attempts now, nor change them, nor read them where it says so.
type unkept struct {
	Store
	unread bool
}

func (unkept) KeepAttempt(context.Context, access.KeptAttempt) error {
	return fault.New(fault.Unavailable, "away")
}
func (unkept) SaveKeptAttempt(context.Context, access.KeptAttempt) error {
	return fault.New(fault.Unavailable, "away")
}
func (unkept) DropKeptAttempt(context.Context, string) error {
	return fault.New(fault.Unavailable, "away")
}
func (u unkept) KeptAttempt(ctx context.Context, id string) (access.KeptAttempt, error) {
	if u.unread {
		return access.KeptAttempt{}, fault.New(fault.Unavailable, "away")
	}
	return u.Store.KeptAttempt(ctx, id)
}
