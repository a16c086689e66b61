package agentapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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
	"sessionAttributes":[{"name":"Resource","value":"vpn"},{"name":"ClientIP","value":"198.51.100.9","dataType":"STRING"}]}`

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
	then, last := nextCode, accepted
	then.Turn, last.Turn = 2, 3
	h := newHouse(t, waiting, then, last, then)
	begun := h.post("initialize", keep)
	d := h.post("status", look(begun))
	if d.text("attemptResponseCode") != "IN_PROCESS" || d.text("attemptReasonCode") != "AUTHENTICATION_REQUIRED" || d.text("subjectName") != "ada" ||
		d.text("attemptExpires") != "2026-11-24T09:01:00Z" || d.at("authnPolicyId") != nil || len(d.at("successfulMethods").([]any)) != 0 {
		t.Errorf("%v", d.v)
	}
	if d.text("sessionAttributes.0.value") != "vpn" || d.text("sessionAttributes.0.dataType") != "STRING" || d.text("sessionAttributes.1.name") != "ClientIP" {
		t.Errorf("%v", d.v)
	}
	h.Pass(30 * time.Second)
	first := next(begun, "SECURID", "12345678")
	step := h.post("verify", first)
	h.post("verify", next(step, "SECURID_NEXT_TOKENCODE", "87654321")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID_NEXT_TOKENCODE", "SUCCESS", "CREDENTIAL_VERIFIED")
	h.post("verify", first) // a late copy, to which the engine repeats what it decided then
	d = h.post("status", look(begun))
	if d.text("attemptResponseCode") != "SUCCESS" || !slices.Equal(d.at("successfulMethods").([]any), []any{"SECURID", "SECURID_NEXT_TOKENCODE"}) ||
		d.text("attemptExpires") != "2026-11-24T09:01:30Z" {
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
	if d := h.post("status", ask(wrong)); d.text("attemptResponseCode") != "FAIL" || d.text("attemptReasonCode") != "VERIFY_ERROR" {
		t.Errorf("%v", d.v)
	}
	right := h.post("initialize", fmt.Sprintf(one, "m-2"))
	h.Pass(authentication.DefaultLife - time.Second)
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
	h.Store = unkept{real}
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
	h.post("cancel", `{"authnAttemptId":"nonsense"}`).says("FAIL", "ATTEMPT_NOT_FOUND")
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

// unkept is a store that cannot keep attempts now.
type unkept struct{ Store }

func (unkept) KeepAttempt(context.Context, access.KeptAttempt) error {
	return fault.New(fault.Unavailable, "away")
}
