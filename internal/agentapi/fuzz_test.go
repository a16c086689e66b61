package agentapi

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// FuzzBody holds every response to whatever an agent may send against the schema.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		first("m-1"), keep, `{"subjectName":"ada","context":{"messageId":"m-1"}}`, `{"subjectCredentials":[` + typed("SECURID_NEWPIN", "1") + `],"context":{"authnAttemptId":"00010203-0405-0607-0809-0a0b0c0d0e0f","messageId":"m","inResponseTo":"1-new_pin-x"}}`,
		`{"authnAttemptId":"00010203-0405-0607-0809-0a0b0c0d0e0f","removeAttemptId":"false","reason":"TIME_OUT"}`, `{"context":{"authnAttemptId":null}}`,
		`{"subjectName":"\u0000\ud800","authnAttemptTimeout":"1e2","context":{},"clientDetails":{"hostname":"\u0000"}}`, `null`, `[]`, ``,
	} {
		for endpoint := range uint8(4) {
			f.Add(endpoint, []byte(body))
		}
	}
	h := newHouse(f, waiting, accepted, newPINs, never, nextCode)
	f.Fuzz(func(t *testing.T, endpoint uint8, body []byte) {
		h.t = t
		h.Pass(time.Second) // or the throttle answers
		name := []string{"initialize", "verify", "status", "cancel"}[endpoint%4]
		status, text := h.send(h.request("POST", Base+name, string(body)))
		if status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge {
			parse(t, text).conforms(name)
			return
		}
		if status != http.StatusOK || !json.Valid(body) {
			t.Fatalf("status %d for %q", status, body)
		}
		d := parse(t, text)
		d.conforms(name)
		if d.text("attemptReasonCode") == broken.reason {
			t.Fatalf("%s for %q", text, body)
		}
	})
}
