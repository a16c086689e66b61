package agentapi

import (
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

const attempt = "ABCDEFGHIJKLMNOPQRSTUVWXYI" // 128 bits, as the engine writes them

var (
	waiting  = authentication.Decision{Result: authentication.Waiting, Step: authentication.StepPasscode, Attempt: attempt, Turn: 1}
	accepted = authentication.Decision{Result: authentication.Accepted, Attempt: attempt, Turn: 2, Serial: "000123456789"}
	denied   = authentication.Decision{Result: authentication.Denied, Attempt: attempt, Turn: 2}
	atOnce   = authentication.Decision{Result: authentication.Accepted, Turn: 1, Serial: "000123456789"}
	never    = authentication.Decision{Result: authentication.Denied, Turn: 1}
	nextCode = authentication.Decision{Result: authentication.NextTokencode, Step: authentication.StepNextTokencode, Attempt: attempt, Turn: 1}
	newPINs  = authentication.Decision{Result: authentication.NewPIN, Step: authentication.StepNewPIN, Attempt: attempt, Turn: 2,
		PIN: authentication.PINRules{Min: 4, Max: 8, Creation: "user"}}
)

// typed is a credential of a method.
func typed(method, value string) string {
	return fmt.Sprintf(`{"methodId":%q,"collectedInputs":[{"name":%[1]q,"value":%q}]}`, method, value)
}

// first is an Initialize with one passcode.
func first(messageID string) string {
	return `{"clientId":"vpn1","subjectName":"ada","subjectCredentials":[` + typed("SECURID", "12345678") + `],"context":{"authnAttemptId":"","messageId":"` + messageID + `","inResponseTo":""}}`
}

// next is a Verify that answers a response.
func next(d document, method, value string) string {
	d.t.Helper()
	return fmt.Sprintf(`{"subjectCredentials":[%s],"context":{"authnAttemptId":%q,"messageId":"m-next","inResponseTo":%q}}`,
		typed(method, value), d.text("context.authnAttemptId"), d.text("context.messageId"))
}

func TestOneCall(t *testing.T) {
	h := newHouse(t, atOnce)
	d := h.post("initialize", first("m-1"))
	d.says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	if serial := "credentialValidationResults.0.authnAttributes.0."; d.text(serial+"name") != "serial" || d.text(serial+"value") != "000123456789" {
		t.Error("the serial is not told")
	}
	if d.text("context.inResponseTo") != "m-1" || !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(d.text("context.authnAttemptId")) {
		t.Errorf("context %v", d.at("context"))
	}
	q := h.engine.begun[0]
	if q.UserID != "ada" || q.Passcode != "12345678" || q.Ask || !q.Dialogue || q.Confirm || q.Retry || q.Life != 0 || len(q.Key) != 32 ||
		q.Source != (authentication.Source{Agent: "agent:vpn1", Station: "192.0.2.7"}) {
		t.Errorf("the engine was asked %+v", q)
	}
}

func TestWalkThroughAllSteps(t *testing.T) {
	rejected := newPINs
	rejected.Turn, rejected.Rejected = 3, "the PIN is a sequence"
	again := authentication.Decision{Result: authentication.NewPIN, Step: authentication.StepReauthenticate, Attempt: attempt, Turn: 4}
	last := accepted
	last.Turn = 5
	h := newHouse(t, waiting, nextCode, newPINs, rejected, again, fault.New(fault.StepNotRequested, "no"), last)

	d := h.post("initialize", `{"subjectName":"ada","context":{"messageId":"m-1"}}`)
	d.says("CHALLENGE", "AUTHENTICATION_REQUIRED")
	v := d.asks("SECURID")
	if v.at("prompt.formatRegex") != nil || v.at("prompt.sensitive") != true || v.at("valueRequired") != true || d.at("challengeMethods.challenges.0.requiredMethods.0.displayName") != nil {
		t.Errorf("%v", v.v)
	}
	if !h.engine.begun[0].Ask {
		t.Error("the engine was not told that no passcode came along")
	}

	d = h.post("verify", next(d, "SECURID", "11112345678"))
	d.says("CHALLENGE", "AUTHENTICATION_REQUIRED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	v = d.asks("SECURID_NEXT_TOKENCODE")
	if !strings.Contains(v.text("prompt.defaultText"), "next tokencode") || v.text("prompt.formatRegex") != "[0-9]{6,8}" || v.text("prompt.promptResourceId") != "PROMPT.SID.NEXT_TOKENCODE" {
		t.Errorf("%v", v.v)
	}

	d = h.post("verify", next(d, "SECURID_NEXT_TOKENCODE", "87654321"))
	d.says("CHALLENGE", "AUTHENTICATION_REQUIRED", "SECURID_NEXT_TOKENCODE", "SUCCESS", "CREDENTIAL_VERIFIED")
	v = d.asks("SECURID_NEWPIN")
	if v.text("prompt.formatRegex") != "[0-9]{4,8}" || v.at("prompt.valueBeingDefined") != true || v.at("prompt.minLength") != 4.0 ||
		v.text("prompt.defaultText") != "Choose a new PIN of 4 to 8 digits" || v.text("prompt.promptArgs.1") != "8" {
		t.Errorf("%v", v.v)
	}
	for i, want := range []string{"PIN_MIN_LENGTH 4 INT32", "PIN_MAX_LENGTH 8 INT32", "PIN_ALPHANUMERIC false BOOLEAN", "PIN_USER_SELECTABLE USER STRING"} {
		at := fmt.Sprintf("methodAttributes.%d.", i)
		if got := v.text(at+"name") + " " + v.text(at+"value") + " " + v.text(at+"dataType"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}

	d = h.post("verify", next(d, "SECURID_NEWPIN", "1234"))
	d.says("CHALLENGE", "PIN_REJECTED", "SECURID_NEWPIN", "FAIL", "PIN_REJECTED")
	if v = d.asks("SECURID_NEWPIN"); !strings.Contains(v.text("prompt.defaultText"), "the PIN is a sequence") || v.text("prompt.promptResourceId") != "PROMPT.SID.NEWPIN_REJECTED" {
		t.Errorf("%v", v.v)
	}

	d = h.post("verify", next(d, "SECURID_NEWPIN", "8274"))
	d.says("CHALLENGE", "AUTHENTICATION_REQUIRED", "SECURID_NEWPIN", "SUCCESS", "CREDENTIAL_VERIFIED")
	if v = d.asks("SECURID"); !strings.Contains(v.text("prompt.defaultText"), "wait for the tokencode to change") {
		t.Errorf("%v", v.v)
	}

	d = h.post("verify", next(d, "SECURID_NEWPIN", "8274"))
	d.says("ERROR", "METHOD_NOT_REQUESTED", "SECURID_NEWPIN", "ERROR", "METHOD_NOT_REQUESTED")
	d = h.post("verify", next(d, "SECURID", "827487654321"))
	d.says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")

	for i, want := range []authentication.Answer{
		{Turn: 1, Step: authentication.StepPasscode, Text: "11112345678"}, {Turn: 1, Step: authentication.StepNextTokencode, Text: "87654321"},
		{Turn: 2, Step: authentication.StepNewPIN, Text: "1234"}, {Turn: 3, Step: authentication.StepNewPIN, Text: "8274"},
		{Turn: 4, Step: authentication.StepNewPIN, Text: "8274"}, {Turn: 4, Step: authentication.StepReauthenticate, Text: "827487654321"},
	} {
		got := h.engine.answered[i]
		if got.Turn != want.Turn || got.Step != want.Step || got.Text != want.Text || got.Attempt != attempt || got.Source.Agent != "agent:vpn1" || got.Source.Station != "" {
			t.Errorf("answer %d: %+v", i, got)
		}
	}
}

// The PIN for codes on demand, and then the code that was mailed.
func TestAMailedCode(t *testing.T) {
	mailed, again := nextCode, newPINs
	mailed.Mailed, again.Mailed, again.Step = true, true, authentication.StepReauthenticate
	h := newHouse(t, again, mailed, authentication.Decision{Result: authentication.Accepted, Turn: 1}) // of no token
	if id := h.post("initialize", first("m-0")).asks("SECURID").text("prompt.promptResourceId"); id != "PROMPT.SID.MAILED_REAUTH" {
		t.Error(id)
	}
	d := h.post("initialize", first("m-1"))
	d.says("CHALLENGE", "AUTHENTICATION_REQUIRED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	v := d.asks("SECURID_NEXT_TOKENCODE")
	if words := v.text("prompt.defaultText"); !strings.Contains(words, "sent to you by mail") || !strings.Contains(words, "next tokencode") || v.text("prompt.promptResourceId") != "PROMPT.SID.MAILED_CODE" {
		t.Errorf("%v", v.v)
	}
	d = h.post("verify", next(d, "SECURID_NEXT_TOKENCODE", "87654321"))
	d.says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID_NEXT_TOKENCODE", "SUCCESS", "CREDENTIAL_VERIFIED")
	if told := d.at("credentialValidationResults.0.authnAttributes").([]any); len(told) != 0 {
		t.Errorf("%v", told)
	}
}

func TestSystemPIN(t *testing.T) {
	shown := authentication.Decision{Result: authentication.NewPIN, Step: authentication.StepSystemPIN, Attempt: attempt, Turn: 1, SystemPIN: "904817"}
	h := newHouse(t, shown)
	d := h.post("initialize", first("m-1"))
	d.says("CHALLENGE", "AUTHENTICATION_REQUIRED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	v := d.asks("SECURID_SYSTEM_GENERATED_PIN")
	if !strings.Contains(v.text("prompt.defaultText"), "904817") || v.text("prompt.promptArgs.0") != "904817" || v.at("valueRequired") != false || v.at("prompt.sensitive") != false {
		t.Errorf("%v", v.v)
	}
	h.post("verify", fmt.Sprintf(`{"subjectCredentials":[{"methodId":"SECURID_SYSTEM_GENERATED_PIN"}],"context":{"authnAttemptId":%q,"inResponseTo":%q}}`,
		d.text("context.authnAttemptId"), d.text("context.messageId")))
	if a := h.engine.answered[0]; a.Step != authentication.StepSystemPIN || a.Text != "" || a.Key != nil {
		t.Errorf("%+v", a)
	}
	if strings.Contains(h.logged.String(), "904817") {
		t.Error("the PIN is in the log")
	}
}

func TestAlphanumericPIN(t *testing.T) {
	d := newPINs
	d.PIN = authentication.PINRules{Min: 6, Max: 16, Alphanumeric: true, Creation: "either"}
	v := newHouse(t, d).post("initialize", first("m-1")).asks("SECURID_NEWPIN")
	if v.text("prompt.formatRegex") != "[0-9A-Za-z]{6,16}" || v.text("prompt.promptResourceId") != "PROMPT.SID.NEWPIN_ALNUM" || v.text("methodAttributes.2.value") != "true" || v.text("methodAttributes.3.value") != "EITHER" {
		t.Errorf("%v", v.v)
	}
}

func TestWrong(t *testing.T) {
	h := newHouse(t, never, denied, waiting)
	h.post("initialize", first("m-1")).says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
	h.post("initialize", first("m-2")).says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
	h.edit(func(a *access.Agent) { a.Retry, a.DisplayName = true, "SecurID" })
	d := h.post("initialize", first("m-3"))
	d.says("CHALLENGE", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
	if v := d.asks("SECURID"); v.text("prompt.promptResourceId") != "PROMPT.SID.PASSCODE" || d.text("challengeMethods.challenges.0.requiredMethods.0.displayName") != "SecurID" {
		t.Errorf("%v", d.v)
	}
	h.edit(func(a *access.Agent) { a.Methods = []string{"EMERGENCY_TOKENCODE"} })
	d = h.post("initialize", `{"subjectName":"ada","context":{}}`)
	if v := d.asks("EMERGENCY_TOKENCODE"); v.text("prompt.promptResourceId") != "PROMPT.SID.EMERGENCY_TOKENCODE" || d.at("challengeMethods.challenges.0.requiredMethods.0.displayName") != nil {
		t.Errorf("%v", d.v)
	}
	if !h.engine.begun[2].Retry || h.engine.begun[0].Retry {
		t.Error("the engine was not told of the agent's setting")
	}
}

// What the engine refuses ends nothing: the agent may go on.
func TestRefusals(t *testing.T) {
	no := func(code fault.Code) error { return fault.New(code, "no") }
	h := newHouse(t, waiting, no(fault.StepNotRequested), accepted, no(fault.OutOfSequence), no(fault.AttemptNotFound))
	begun := h.post("initialize", `{"subjectName":"ada","context":{"messageId":"m-1"}}`)
	d := h.post("verify", next(begun, "SECURID_NEWPIN", "8274"))
	d.says("ERROR", "METHOD_NOT_REQUESTED", "SECURID_NEWPIN", "ERROR", "METHOD_NOT_REQUESTED")
	h.post("verify", next(d, "SECURID", "12345678")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	if a := h.engine.answered[1]; a.Turn != 1 || a.Step != authentication.StepPasscode {
		t.Errorf("after METHOD_NOT_REQUESTED: %+v", a)
	}
	h.post("verify", next(begun, "SECURID", "1")).says("ERROR", "OUT_OF_SEQUENCE", "SECURID", "ERROR", "OUT_OF_SEQUENCE")
	h.post("verify", next(begun, "SECURID", "1")).says("ERROR", "ATTEMPT_NOT_FOUND", "SECURID", "ERROR", "ATTEMPT_NOT_FOUND")
	asked := len(h.engine.answered)
	h.post("verify", `{"subjectCredentials":[`+typed("SECURID", "1")+`],"context":{"authnAttemptId":"no uuid","messageId":"m"}}`).
		says("ERROR", "ATTEMPT_NOT_FOUND", "SECURID", "ERROR", "ATTEMPT_NOT_FOUND")
	if len(h.engine.answered) != asked {
		t.Error("the engine was asked for what can be no attempt")
	}
	// A message ID that we did not give, or gave to another attempt, is at no turn.
	another := h.messageID("another", place{turn: 1, step: authentication.StepPasscode})
	for _, id := range []string{"", "s-1", "1-passcode-AAAAAAAAAAAAAAAAAAAA", another, strings.Replace(begun.text("context.messageId"), "1-", "2-", 1)} {
		h.post("verify", fmt.Sprintf(`{"subjectCredentials":[%s],"context":{"authnAttemptId":%q,"messageId":"m","inResponseTo":%q}}`,
			typed("SECURID", "1"), begun.text("context.authnAttemptId"), id))
		if a := h.engine.answered[len(h.engine.answered)-1]; a.Turn != -1 {
			t.Errorf("inResponseTo %q is taken for turn %d", id, a.Turn)
		}
	}
}

func TestInitializeRefusals(t *testing.T) {
	h := newHouse(t, atOnce)
	for name, c := range map[string]struct{ body, code, reason string }{
		"another agent":      {`{"clientId":"vpn2","subjectName":"ada","context":{"messageId":"m"}}`, "ERROR", "AGENT_NOT_FOUND"},
		"an attempt":         {`{"subjectName":"ada","context":{"authnAttemptId":"x","messageId":"m"}}`, "ERROR", "OUT_OF_SEQUENCE"},
		"too long a life":    {`{"subjectName":"ada","authnAttemptTimeout":601,"context":{"messageId":"m"}}`, "ERROR", "INVALID_REQUEST"},
		"a negative life":    {`{"subjectName":"ada","authnAttemptTimeout":"-1","context":{"messageId":"m"}}`, "ERROR", "INVALID_REQUEST"},
		"an unknown method":  {`{"subjectName":"ada","authMethodId":"APPROVE","context":{"messageId":"m"}}`, "FAIL", "METHOD_NOT_SUPPORTED"},
		"a cloud method":     {`{"subjectName":"ada","subjectCredentials":[` + typed("FIDO", "1") + `],"context":{"messageId":"m"}}`, "FAIL", "METHOD_NOT_SUPPORTED"},
		"a method too early": {`{"subjectName":"ada","subjectCredentials":[` + typed("SECURID_NEWPIN", "1") + `],"context":{"messageId":"m"}}`, "ERROR", "METHOD_NOT_REQUESTED"},
		"no method":          {`{"subjectName":"ada","subjectCredentials":[` + typed("NONSENSE", "1") + `],"context":{"messageId":"m"}}`, "ERROR", "METHOD_NOT_REQUESTED"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := h.send(h.request("POST", Base+"initialize", c.body))
			d := parse(t, text)
			d.conforms("initialize")
			if status != http.StatusOK || d.text("attemptResponseCode") != c.code || d.text("attemptReasonCode") != c.reason {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	if len(h.engine.begun) > 0 {
		t.Errorf("the engine was asked: %+v", h.engine.begun)
	}
	if !strings.Contains(h.logged.String(), "client_id=vpn2") {
		t.Error("that an agent has another name is not logged")
	}
}

func TestMalformed(t *testing.T) {
	h := newHouse(t, atOnce)
	many := strings.TrimSuffix(strings.Repeat(typed("SECURID", "1")+",", maxCredentials+1), ",")
	for endpoint, bodies := range map[string][]string{
		"initialize": {
			``, `{`, `[]`, `"x"`, `{} {}`, `{}`, `null`, `{"context":{"messageId":"m"}}`, `{"subjectName":"ada"}`, `{"subjectName":"ada","context":null}`, `{"subjectName":"","context":{}}`,
			`{"subjectName":5,"context":{}}`, `{"subjectName":"ada","context":{},"authnAttemptTimeout":"soon"}`, `{"subjectName":"ada","context":{},"authnAttemptTimeout":1.5}`,
			`{"subjectName":"ada","context":{},"authnAttemptTimeout":18446744074}`, `{"subjectName":"ada","context":{},"\x":1}`, "{\"subjectName\":\"ada\",\"context\":{},\"\x01\":1}", `{"subjectName`, `{"subjectName\`,
			`{"subjectName":"ada","context":{},"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[{"name":"SECURID","value":"%","dataType":"BINARY"}]}]}`,
			`{"subjectName":"ada","context":{},"keepAttempt":"maybe"}`, `{"subjectName":"ada","context":{},"subjectCredentials":[{"methodId":"SECURID"}]}`,
			`{"subjectName":"ada","context":{},"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[{"name":"a","value":"1"},{"name":"b","value":"2"}]}]}`,
			`{"subjectName":"ada","context":{},"subjectCredentials":[` + many + `]}`,
		},
		"verify": {`{`, `{"context":{"authnAttemptId":"x"}}`, `{"subjectCredentials":[` + typed("SECURID", "1") + `]}`, `{"context":{},"subjectCredentials":[` + typed("SECURID", "1") + `]}`,
			`{"context":{"authnAttemptId":"x"},"subjectCredentials":[` + many + `]}`},
		"status": {`{`, `{}`, `{"authnAttemptId":null}`},
		"cancel": {`{`, `{}`, `{"authnAttemptId":""}`},
	} {
		for _, body := range bodies {
			status, text := h.send(h.request("POST", Base+endpoint, body))
			d := parse(t, text)
			d.conforms(endpoint)
			if status != http.StatusBadRequest || d.text("attemptResponseCode") != "ERROR" || d.text("attemptReasonCode") != "INVALID_REQUEST" {
				t.Errorf("%s %s: %d %s", endpoint, body, status, text)
			}
		}
	}
	status, text := h.send(h.request("POST", Base+"initialize", strings.Repeat(" ", maxBody)+first("m")))
	if status != http.StatusRequestEntityTooLarge || parse(t, text).text("attemptResponseCode") != "ERROR" {
		t.Errorf("too large: %d %s", status, text)
	}
	r := h.request("POST", Base+"initialize", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(first("m")), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if status, text := h.send(r); status != http.StatusBadRequest {
		t.Errorf("cut off: %d %s", status, text)
	}
	if len(h.engine.begun)+len(h.engine.answered) > 0 {
		t.Error("the engine was asked")
	}
	h.post("initialize", strings.Repeat(" ", maxBody-len(first("m")))+first("m")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	if h.said["initialize malformed"] == 0 {
		t.Errorf("not counted: %v", h.said)
	}
}

// A message that lacks something is answered as the message that it is, as far as it can be read (section 3.1).
func TestMalformedMessagesAreAnswered(t *testing.T) {
	h := newHouse(t, atOnce)
	const attempt = "00010203-0405-0607-0809-0a0b0c0d0e0f"
	empty := `"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[]}]`
	for name, c := range map[string]struct {
		endpoint, body string
		results        int
	}{
		"no subject":              {"initialize", `{"context":{"messageId":"m-7"}}`, 0},
		"a credential, no value":  {"initialize", `{"subjectName":"ada",` + empty + `,"context":{"messageId":"m-7"}}`, 1},
		"no credentials":          {"verify", `{"context":{"authnAttemptId":"` + strings.ToUpper(attempt) + `","messageId":"m-7"}}`, 0},
		"an answer without value": {"verify", `{` + empty + `,"context":{"authnAttemptId":"` + attempt + `","messageId":"m-7"}}`, 1},
		"no attempt":              {"verify", `{` + empty + `,"context":{"messageId":"m-7"}}`, 1},
		"nothing to cancel":       {"cancel", `{"context":{"messageId":"m-7"}}`, 0},
	} {
		status, text := h.send(h.request("POST", Base+c.endpoint, c.body))
		d := parse(t, text)
		d.conforms(c.endpoint)
		if status != http.StatusBadRequest || d.text("attemptReasonCode") != "INVALID_REQUEST" || d.text("context.inResponseTo") != "m-7" || d.text("context.messageId") == "" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if of := d.text("context.authnAttemptId"); c.endpoint != "initialize" && of != "" && of != attempt || strings.Contains(strings.ToLower(c.body), attempt) != (of == attempt) {
			t.Errorf("%s: the answer is of the attempt %q", name, of)
		}
		if results := d.at("credentialValidationResults").([]any); len(results) != c.results || c.results == 1 && name != "no attempt" && d.text("credentialValidationResults.0.methodReasonCode") != "INVALID_REQUEST" {
			t.Errorf("%s: %s", name, text)
		}
		if _, again := h.send(h.request("POST", Base+c.endpoint, c.body)); again != text {
			t.Errorf("%s, again: %s", name, again)
		}
	}
}

// Whatever goes wrong with a look at an attempt, the answer has the members of such a look.
func TestStatusErrorsAreOfStatus(t *testing.T) {
	h := newHouse(t, atOnce)
	refused := func(want int, reason string, r *http.Request) {
		t.Helper()
		status, text := h.send(r)
		d := parse(t, text)
		d.conforms("status")
		if status != want || d.text("attemptReasonCode") != reason {
			t.Errorf("%d %s", status, text)
		}
	}
	refused(400, "INVALID_REQUEST", h.request("POST", Base+"status", `{`))
	refused(400, "INVALID_REQUEST", h.request("POST", Base+"status", `{}`))
	refused(401, "AGENT_NOT_AUTHENTICATED", h.request("POST", Base+"status", `{}`, "Client-Key", ""))
	refused(413, "INVALID_REQUEST", h.request("POST", Base+"status", strings.Repeat(" ", maxBody+1)))
	h.Agents = &access.Agents{Store: away{}, Keys: h.Agents.Keys, Now: h.Now}
	h.Pass(remembered)
	refused(503, "SYSTEM_ERROR", h.request("POST", Base+"status", `{"authnAttemptId":"x"}`))
}

// Conformance 2: null, "" and an absent member are alike, and unknown ones are ignored.
func TestLeniency(t *testing.T) {
	h := newHouse(t, atOnce)
	for _, body := range []string{
		`{"subjectName":"ada","lang":"us_EN","assurancePolicyId":null,"context":{"authnAttemptId":"","messageId":"m","inResponseTo":""},
			"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[{"name":"SECURID","value":"12345678"}],"versionId":"1.0.0","referenceId":null}]}`,
		`{"subjectName":"ada","clientId":null,"authMethodId":"","tenantId":"","display":null,"unknown":{"a":[1]},"context":{"authnAttemptId":null,"messageId":"m","inResponseTo":null,"x":1},
			"authnAttemptTimeout":"","keepAttempt":null,"sessionAttributes":null,"clientDetails":null,
			"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[{"name":"passcode","value":"12345678","dataType":null}]}]}`,
		`{"subjectName":"ada","authnAttemptTimeout":null,"assuranceLevel":"HIGH","authMethodId":"SECURID","context":{},"keepAttempt":"false",
			"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[{"name":"other","value":"x"},{"name":"SECURID","value":"MTIzNDU2Nzg=","dataType":"BINARY"}]}]}`,
	} {
		d := h.post("initialize", body)
		d.says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
		if d.text("context.inResponseTo") == "" {
			t.Error("no message ID was invented")
		}
		if q := h.engine.begun[len(h.engine.begun)-1]; q.Passcode != "12345678" || q.Life != 0 {
			t.Errorf("%+v", q)
		}
	}
	h.post("initialize", `{"subjectName":"ada","authnAttemptTimeout":"600","context":{"messageId":"m"},"subjectCredentials":[]}`)
	if q := h.engine.begun[len(h.engine.begun)-1]; !q.Ask || q.Life != authentication.MaxLife {
		t.Errorf("%+v", q)
	}
	for header, value := range map[string]string{"Accept": "application/json", "Content-Type": "application/json; charset=utf-8"} {
		if status, text := h.send(h.request("POST", Base+"initialize", first("m"), header, value)); status != http.StatusOK {
			t.Errorf("%s: %d %s", header, status, text)
		}
	}
}

// A name is a member's if it is just that: what is only like it is unknown, and ignored as such, whatever its value.
func TestNamesAreExact(t *testing.T) {
	h := newHouse(t, atOnce)
	body := `{"subjectName":"ada","context":{"messageId":"m-1"},"subjectCredentials":[{"methodId":"SECURID","collectedInputs":[{"name":"SECURID","value":"12345678"}]}],
		"keepAttempt":false,"authnAttemptTimeout":60`
	for _, more := range []string{
		`,"\u017fubjectName":"eve"}`, `,"ſubjectName":"eve"}`, `,"SUBJECTNAME":"eve"}`, `,"SubjectName" : 7}`, `,"CONTEXT":"x"}`, `,"Context":{"messageId":"m-2"}}`, `,"clientID":"vpn2"}`,
		`,"KEEPATTEMPT":true,"\u212aeepAttempt":"maybe"}`, `,"AuthnAttemptTimeout":601}`, `,"subjectcredentials":[]}`, `,"context":{"MessageID":"m-2"}}`, `,"context":{"AuthnAttemptId":"x"}}`,
		`,"subjectCredentials":[{"methodId":"SECURID","MethodId":"FIDO","collectedInputs":[{"name":"SECURID","value":"12345678","Value":"1","DATATYPE":"BINARY"}]}]}`,
		`,"unknown":[{"SubjectName":"eve"}],"\\":"subjectname\":"}`, `,"subject\u004eame":"ada"}`,
		`,"note":"\"","SUBJECTNAME":"eve"}`,
	} {
		h.post("initialize", body+more).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
		if q := h.engine.begun[len(h.engine.begun)-1]; q.UserID != "ada" || q.Passcode != "12345678" || q.Life != time.Minute {
			t.Errorf("%s: %+v", more, q)
		}
	}
	// The name may be written with escapes; of several the last one counts.
	h.post("initialize", body+`,"subject\u004eame":"bob"}`)
	if q := h.engine.begun[len(h.engine.begun)-1]; q.UserID != "bob" {
		t.Errorf("%+v", q)
	}
	// A value may be like a name.
	h.post("initialize", strings.Replace(body, "ada", "Platform", 1)+`}`)
	if q := h.engine.begun[len(h.engine.begun)-1]; q.UserID != "Platform" {
		t.Errorf("%+v", q)
	}
	if a, b := h.engine.begun[0].Key, h.engine.begun[1].Key; string(a) == string(b) {
		t.Error("two messages are taken for one")
	}
	for _, context := range []string{`"x"`, `7`, `[]`, `{"messageId":[]}`} {
		h.post("cancel", `{"authnAttemptId":"x","reason":1,"context":`+context+`}`).says("FAIL", "ATTEMPT_NOT_FOUND")
		h.post("status", `{"authnAttemptId":"x","context":`+context+`}`)
	}
}

// What is read is what exact knows of, and no two members are like each other.
func TestMembersAreKnown(t *testing.T) {
	var names []string
	var walk func(reflect.Type)
	walk = func(in reflect.Type) {
		for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
			in = in.Elem()
		}
		if in.Kind() != reflect.Struct {
			return
		}
		for i := range in.NumField() {
			if name := in.Field(i).Tag.Get("json"); name != "" {
				names = append(names, name)
				walk(in.Field(i).Type)
			}
		}
	}
	for _, message := range []any{initializeMessage{}, verifyMessage{}, attemptMessage{}, messageContext{}} {
		walk(reflect.TypeOf(message))
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(members)); !slices.Equal(slices.Compact(names), want) {
		t.Errorf("%v are read, %v are known", names, want)
	}
	for i, a := range members {
		if slices.ContainsFunc(members[:i], func(b string) bool { return strings.EqualFold(a, b) }) {
			t.Errorf("%s is like another one", a)
		}
	}
}

// One of several credentials is decided; each has its result, in the order they came.
func TestSeveralCredentials(t *testing.T) {
	h := newHouse(t, atOnce)
	const push, right, left = "APPROVE FAIL METHOD_NOT_SUPPORTED", "SECURID SUCCESS CREDENTIAL_VERIFIED", "SECURID ERROR METHOD_NOT_REQUESTED"
	approve, one, two := typed("APPROVE", ""), typed("SECURID", "1"), typed("SECURID", "2")
	for _, c := range []struct{ sent, want []string }{{[]string{approve, one, two}, []string{push, right, left}}, {[]string{one, two, approve}, []string{right, left, push}}} {
		d := h.post("initialize", `{"subjectName":"ada","context":{"messageId":"m"},"subjectCredentials":[`+strings.Join(c.sent, ",")+`]}`)
		for i, want := range c.want {
			at := fmt.Sprintf("credentialValidationResults.%d.", i)
			if got := d.text(at+"methodId") + " " + d.text(at+"methodResponseCode") + " " + d.text(at+"methodReasonCode"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if q := h.engine.begun[len(h.engine.begun)-1]; q.Passcode != "1" {
			t.Errorf("%+v", q)
		}
	}
	if len(h.engine.begun) != 2 {
		t.Errorf("%+v", h.engine.begun)
	}
}

// The response is a function of the request and the decision: another server gives the same bytes.
func TestResponsesRepeat(t *testing.T) {
	h := newHouse(t, nextCode, nextCode, atOnce, atOnce, atOnce, atOnce, never)
	other := New(h.Config)
	attempts := map[string]bool{}
	for _, message := range []string{"m-1", "m-2", "m-3"} {
		_, one := h.send(h.request("POST", Base+"initialize", first(message)))
		attempts[parse(t, one).text("context.authnAttemptId")] = true
		w := httptest.NewRecorder()
		other.ServeHTTP(w, h.request("POST", Base+"initialize", first(message)))
		if one != w.Body.String() {
			t.Errorf("two servers answer\n%s\n%s", one, w.Body)
		}
	}
	for range 2 { // of those without an ID, no two are the same
		attempts[h.post("initialize", first("")).text("context.authnAttemptId")] = true
	}
	if len(attempts) != 5 {
		t.Errorf("five messages begin the attempts %v", attempts)
	}
	if string(h.engine.begun[0].Key) != string(h.engine.begun[1].Key) || string(h.engine.begun[0].Key) == string(h.engine.begun[2].Key) {
		t.Error("a message that is sent again has another key, or another one the same")
	}
	h.post("initialize", strings.Replace(first("m-1"), "12345678", "87654321", 1))
	if string(h.engine.begun[0].Key) == string(h.engine.begun[8].Key) {
		t.Error("another body with the same message ID is taken for the same message")
	}
}

func TestStoreIsAway(t *testing.T) {
	h := newHouse(t, fault.New(fault.Unavailable, "away"), errors.New("a defect that quotes 12345678"), fault.New(fault.Unavailable, "away"))
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		status, text := h.send(h.request("POST", Base+"initialize", first("m-1")))
		d := parse(t, text)
		d.conforms("initialize")
		d.says("ERROR", "SYSTEM_ERROR", "SECURID", "ERROR", "SYSTEM_ERROR")
		if status != want || d.text("context.inResponseTo") != "m-1" {
			t.Errorf("%d, want %d: %s", status, want, text)
		}
	}
	h.Agents, h.Store = &access.Agents{Store: away{}, Keys: h.Agents.Keys, Now: h.Now}, away{}
	for range 2 { // with the credential in memory, and without
		status, text := h.send(h.request("POST", Base+"status", `{"authnAttemptId":"x"}`))
		if status != http.StatusServiceUnavailable || parse(t, text).text("attemptReasonCode") != "SYSTEM_ERROR" {
			t.Errorf("status: %d %s", status, text)
		}
		h.Pass(remembered)
	}
	for _, endpoint := range []string{"initialize", "status"} {
		status, text := h.send(h.request("POST", Base+endpoint, first("m-1")))
		if status == http.StatusServiceUnavailable { // nor is one that signs a stranger
			status, text = h.send(h.request("POST", Base+endpoint, first("m-1"), "Client-Key", "x", "X-Access-ID", "x"))
		}
		if status != http.StatusServiceUnavailable || parse(t, text).text("attemptReasonCode") != "SYSTEM_ERROR" {
			t.Errorf("without a database, %s answers %d %s", endpoint, status, text)
		}
	}
}

// away is a database that cannot be reached.
type away struct {
	access.AgentStore
	Store
}

func (away) Transact(context.Context, func(context.Context) error) error {
	return fault.New(fault.Unavailable, "away")
}
func (away) Record(context.Context, audit.Event) error { return fault.New(fault.Unavailable, "away") }
func (away) Credential(context.Context, string) (access.Credential, error) {
	return access.Credential{}, fault.New(fault.Unavailable, "away")
}
func (away) UseSignature(context.Context, []byte, time.Time) (bool, error) {
	return false, fault.New(fault.Unavailable, "away")
}
func (away) CredentialByHash(context.Context, []byte) (access.Credential, error) {
	return access.Credential{}, fault.New(fault.Unavailable, "away")
}

func TestPanicsAreDefectsOfOneRequest(t *testing.T) {
	h := newHouse(t, "no decision") // the script's engine panics
	status, text := h.send(h.request("POST", Base+"initialize", first("m-1")))
	if status != http.StatusOK || parse(t, text).text("attemptReasonCode") != "SYSTEM_ERROR" || strings.Contains(h.logged.String(), "12345678") {
		t.Errorf("%d %s", status, text)
	}
}

// Agents that ask on while the database is away, thousands a second, do not fill the disk with what the log says of it.
func TestAnOutageIsNotLoggedForEachMessage(t *testing.T) {
	h := newHouse(t, fault.New(fault.Unavailable, "away"))
	lines := func() int { return strings.Count(h.logged.String(), "away") }
	ask := func() {
		if status, _ := h.send(h.request("POST", Base+"initialize", first("m-1"))); status != http.StatusServiceUnavailable {
			t.Errorf("status %d", status)
		}
	}
	for range 3 * lineBurst {
		ask()
	}
	if n := lines(); n != lineBurst {
		t.Errorf("%d lines", n)
	}
	if n := h.said["initialize ERROR"]; n != 3*lineBurst {
		t.Errorf("%d were counted: %v", n, h.said)
	}
	h.Pass(time.Second)
	ask()
	if n := lines(); n != lineBurst+1 {
		t.Errorf("%d lines after a second", n)
	}
}

// Nor while a clock went back, which is told of to the millisecond.
func TestAClockThatWentBackIsNotLoggedForEachMessage(t *testing.T) {
	var says []any
	for n := range 3 * lineBurst {
		says = append(says, fault.New(fault.Unavailable, "went back by 59m58.%ds", 900-n))
	}
	h := newHouse(t, says...)
	for range says {
		h.send(h.request("POST", Base+"initialize", first("m-1")))
	}
	if n := strings.Count(h.logged.String(), "went back"); n != lineBurst {
		t.Errorf("%d lines", n)
	}
}

func TestThrottle(t *testing.T) {
	h := newHouse(t, atOnce)
	ok := 0
	for range throttle.SubjectBurst + 30 {
		d := h.post("initialize", first("m-1"))
		if d.text("attemptResponseCode") == "SUCCESS" {
			ok++
			continue
		}
		d.says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
	}
	if ok != throttle.SubjectBurst || len(h.engine.begun) != throttle.SubjectBurst || h.said["throttle throttled"] != 30 {
		t.Errorf("%d of one user were decided, %v", ok, h.said)
	}
	if n := strings.Count(h.logged.String(), "throttled"); n != lineBurst {
		t.Errorf("%d lines", n)
	}
	h.post("initialize", strings.Replace(first("m-2"), "ada", "bob", 1)).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	h.Pass(time.Second)
	for range throttle.SubjectRate {
		h.post("initialize", first("m-3")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
	}
	h.post("initialize", first("m-3")).says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
}

// Whoever administers the agents of one security domain keeps those of another from asking about nobody.
func TestDomainsAreThrottledApart(t *testing.T) {
	h := newHouse(t, atOnce)
	h.Domains = &domain.Registry{Store: h.db, Now: h.Now}
	try(h.Domains.Add(t.Context(), "theirs", domain.Root, ""))(t)
	try(h.Agents.Add(domain.At(t.Context(), "theirs"), access.Agent{Name: "vpn2"}))(t)
	ours, body := h.key, strings.Replace(first("m-1"), "vpn1", "vpn2", 1)
	_, h.key = h.credential("vpn2")
	for range throttle.SubjectBurst {
		h.send(h.request("POST", Base+"initialize", body))
	}
	h.post("initialize", body).says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
	h.key = ours
	h.post("initialize", first("m-1")).says("SUCCESS", "CREDENTIAL_VERIFIED", "SECURID", "SUCCESS", "CREDENTIAL_VERIFIED")
}

// What is throttled writes nothing, and no endpoint is without a limit.
func TestThrottledMessagesWriteNothing(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.mail("alice", "alice@example.com")
	d.byMail()
	s := d.servers[0]
	kept := func(subject string) []byte {
		return encode(t, map[string]any{
			"subjectName": subject, "keepAttempt": true, "context": map[string]string{"messageId": message()}, "clientDetails": map[string]string{"hostname": message()},
		})
	}
	attempts := func() int { return try(d.db.DropKeptAttempts(t.Context(), d.Now().Add(time.Hour)))(t) }
	looks := func() string { return fmt.Sprintf(`{"authnAttemptId":%q}`, d.attempt) }
	d.expect(d.send("initialize", kept("alice")), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	instances := func() int { return strings.Count(events(t, d.db), "agent.instance") }
	if instances() != 1 || attempts() != 1 {
		t.Fatal("nothing is kept")
	}
	d.send("initialize", kept("alice"))
	for _, about := range []string{"alice", "nobody", d.attempt} {
		for s.subjects.Allows("/"+about, d.Now()) {
		}
	}
	d.expect(d.send("cancel", []byte(looks())), "FAIL/VERIFY_ERROR", "")
	if _, text := d.raw("status", []byte(looks())); !strings.Contains(text, "VERIFY_ERROR") {
		t.Errorf("status: %s", text)
	}
	for _, subject := range []string{"alice", "nobody"} {
		d.expect(d.send("initialize", kept(subject)), "FAIL/VERIFY_ERROR", "")
	}
	d.expect(d.send("initialize", kept("alice@example.com")), "FAIL/VERIFY_ERROR", "") // which the engine finds out
	if instances() != 2 {
		t.Error("an instance was recorded")
	}
	if n := attempts(); n != 1 {
		t.Errorf("%d attempts are kept, want that of before", n)
	}

	// Nor is an answer in a dialogue decided: its code is not used up.
	d.expect(d.begin("carol"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	denied := d.verify("SECURID", "1").anonymous()
	d.Pass(time.Minute)
	d.expect(d.begin("alice"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
	for s.subjects.Allows("/"+d.attempt, d.Now()) {
	}
	right := d.following("SECURID", d.code(0))
	if a := d.send("verify", right); a.anonymous() != denied || !strings.HasPrefix(d.last, "2-done-") {
		t.Errorf("an answer that is throttled: %s, and one that is wrong: %s", a.raw, denied)
	}
	d.Pass(time.Second)
	d.expect(d.send("verify", right), "SUCCESS/CREDENTIAL_VERIFIED", "")

	for s.agents.Allows("agent:vpn1", d.Now()) {
	}
	d.expect(d.check("bob", "1"), "FAIL/VERIFY_ERROR", "")
	d.attempt = "00010203-0405-0607-0809-0a0b0c0d0e0f"
	d.expect(d.send("cancel", []byte(looks())), "FAIL/VERIFY_ERROR", "")
	if _, text := d.raw("status", []byte(looks())); !strings.Contains(text, "VERIFY_ERROR") {
		t.Errorf("status: %s", text)
	}
}

// The signature of a request that is throttled is not kept: it decides nothing, and may come again.
func TestThrottledSignaturesAreNotKept(t *testing.T) {
	h := newHouse(t, atOnce)
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACRequired })
	id, key := h.credential("vpn1")
	sum := sha512.Sum512([]byte(first("m-1")))
	now := h.Now().Format(http.TimeFormat)
	signature := sign(h.initialize(), key, id, now, hex.EncodeToString(sum[:]), "")
	for h.agents.Allows("agent:vpn1", h.Now()) {
	}
	_, text := h.send(h.initialize("X-Access-ID", id, "Date", now, "Client-Key", signature))
	parse(t, text).says("FAIL", "VERIFY_ERROR", "SECURID", "FAIL", "VERIFY_ERROR")
	if n := try(h.db.DropSignatures(t.Context(), h.Now().Add(time.Hour)))(t); n != 0 {
		t.Errorf("%d signatures were kept", n)
	}
	if len(h.engine.begun) > 0 {
		t.Error("it was decided")
	}
}

func TestStationAndInventory(t *testing.T) {
	h := newHouse(t, atOnce)
	body := `{"subjectName":"ada","context":{"messageId":"m"},"sessionAttributes":[{"name":"Resource","value":"vpn"},{"name":"sourceIP","value":"198.51.100.9"}],
		"clientDetails":{"hostname":"gate-1","softwareId":"vpn","version":"7","component":"","platform":"Linux"}}`
	h.post("initialize", body)
	if q := h.engine.begun[0]; q.Source.Station != "198.51.100.9" {
		t.Errorf("%+v", q.Source)
	}
	h.post("initialize", first("m-1")) // which tells nothing of itself
	long := strings.Replace(body, "gate-1", strings.Repeat("g", 129), 1)
	try(h.Agents.Add(t.Context(), access.Agent{Name: "vpn2"}))(t)
	_, other := h.credential("vpn2")
	for _, h.key = range []string{h.key, other} {
		for range 2 {
			h.post("initialize", body)
			h.post("initialize", long)
		}
	}
	log := events(t, h.db)
	if strings.Count(log, "agent.instance") != 4 || strings.Count(log, `"hostname":"gate-1"`) != 2 || strings.Count(log, `"hostname":"`+strings.Repeat("g", 128)+`"`) != 2 {
		t.Errorf("%s", log)
	}
	said := h.logged.String()
	h.Store = unrecorded{h.Store}
	h.post("initialize", strings.Replace(body, "gate-1", "gate-2", 1)) // is decided all the same
	const told = "recording an instance of an agent"
	if strings.Contains(said, told) || !strings.Contains(h.logged.String(), told) {
		t.Errorf("%s", h.logged)
	}
}

// An unrecorded store takes no events.
type unrecorded struct{ Store }

func (unrecorded) Record(context.Context, audit.Event) error { return errors.New("no room") }

// The attributes that name the user's machine, as docs/rest-agents.md has them.
func TestStationByAnyName(t *testing.T) {
	h := newHouse(t, atOnce)
	for i, name := range []string{"sourceIP", "clientIP", "ipAddress", "callingStationId", "source_ip", "client_ip", "ip_address", "calling_station_id"} {
		h.post("initialize", `{"subjectName":"ada","context":{},"sessionAttributes":[{"name":"`+name+`","value":"198.51.100.9"},{"name":"station","value":"x"},
			{"name":"`+name+`","value":""},{"name":"`+name+`","value":"`+strings.Repeat("9", 65)+`"}]}`)
		if q := h.engine.begun[i]; q.Source.Station != "198.51.100.9" {
			t.Errorf("by %s: %+v", name, q.Source)
		}
	}
}

func TestResources(t *testing.T) {
	h := newHouse(t, atOnce)
	_, text := h.send(h.request("GET", Base+"resources?lang=en_US", ""))
	all := parse(t, text)
	all.conforms("resources")
	for _, id := range []string{"PASSCODE", "NEXT_TOKENCODE", "MAILED_CODE", "NEWPIN", "NEWPIN_ALNUM", "NEWPIN_REJECTED", "SYSTEM_PIN", "REAUTH", "MAILED_REAUTH"} {
		_, one := h.send(h.request("GET", Base+"resources?lang=xx&resourceId=PROMPT.SID."+id, ""))
		if list := parse(t, one).v.([]any); len(list) != 1 || !strings.Contains(text, "PROMPT.SID."+id) {
			t.Errorf("%s: %s", id, one)
		}
	}
	if _, none := h.send(h.request("GET", Base+"resources?resourceId=PROMPT.SID.NONE", "")); none != "[]" {
		t.Errorf("%s", none)
	}
	if !strings.Contains(text, "next tokencode") || !strings.Contains(text, "wait for the tokencode to change") {
		t.Error("words that programs look for are missing")
	}
}

func TestTransport(t *testing.T) {
	h := newHouse(t, atOnce)
	server := httptest.NewServer(h)
	defer server.Close()
	ask := func(body, compressed string) (http.Header, string) {
		t.Helper()
		r := try(http.NewRequest(http.MethodPost, server.URL+Base+"initialize", strings.NewReader(body)))(t)
		r.Header.Set("client-key", h.key)
		if compressed != "" {
			r.Header.Set("Accept-Encoding", compressed)
		}
		res := try((&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(r))(t)
		defer res.Body.Close()
		return res.Header, readAll(t, res.Body)
	}
	header, _ := ask(first("m-1"), "gzip")
	if header.Get("Content-Type") != "application/json;charset=UTF-8" || header.Get("Content-Encoding") != "" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", header)
	}
	// A response that is worth it is compressed where the agent asks for that, and nowhere else.
	long := `{"subjectName":"ada","context":{"messageId":"m"},"subjectCredentials":[` + strings.Repeat(typed("APPROVE", "")+",", maxCredentials-1) + typed("SECURID", "1") + `]}`
	header, text := ask(long, "")
	if header.Get("Content-Encoding") != "" || len(text) < leastCompressed {
		t.Errorf("%v, %d bytes", header, len(text))
	}
	header, zipped := ask(long, "br, gzip")
	if header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v", header)
	}
	if got := readAll(t, try(gzip.NewReader(strings.NewReader(zipped)))(t)); got != text {
		t.Errorf("compressed: %s", got)
	}
	if d := parse(t, text); d.text("attemptResponseCode") != "SUCCESS" {
		t.Errorf("with as many credentials as may be: %s", text)
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, h.request("POST", Base+"initialize", strings.Replace(long, typed("APPROVE", ""), typed("APPROVE", "")+","+typed("APPROVE", ""), 1), "Accept-Encoding", "gzip")); w.Code != http.StatusBadRequest {
		t.Errorf("malformed, and compressed: %d", w.Code)
	}
	for accepted, zipped := range map[string]bool{
		"gzip": true, "GZIP;q=0.5": true, "br;q=1, gzip; q=1.0": true, "gzip;q=0": false, "gzip; q=0.000, br": false, "gzip;q=x": false, "x-gzipped": false, "*": false,
	} {
		header, _ := ask(long, accepted)
		if got := header.Get("Content-Encoding") == "gzip"; got != zipped || header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", accepted, header)
		}
	}
	for path, want := range map[string]int{
		"/": 404, Base: 404, Base + "nonsense": 404, "/mfa/v1/authn/initialize": 404, "/mfa/v1_1/authn": 404,
	} {
		if status, _ := h.send(h.request("POST", path, first("m"))); status != want {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if status, _ := h.send(h.request("GET", Base+"initialize", "")); status != http.StatusMethodNotAllowed {
		t.Errorf("GET initialize: status %d", status)
	}
	h.Alias = true
	h.Server = New(h.Config)
	if status, text := h.send(h.request("POST", "/mfa/v1/authn/initialize", first("m"))); status != http.StatusOK {
		t.Errorf("alias: %d %s", status, text)
	}
}
