package agentapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
)

// What agents send. null, "" and an absent member read alike; unknown members are ignored (section 3).

// A messageContext places a message in its attempt. Responses carry one too.
type messageContext struct {
	AttemptID    string `json:"authnAttemptId"`
	MessageID    string `json:"messageId"`
	InResponseTo string `json:"inResponseTo"`
}

type initializeMessage struct {
	ClientID          string             `json:"clientId"`
	SubjectName       string             `json:"subjectName"`
	Context           *messageContext    `json:"context"`
	Timeout           number             `json:"authnAttemptTimeout"`
	Credentials       []credential       `json:"subjectCredentials"`
	KeepAttempt       flag               `json:"keepAttempt"`
	SessionAttributes []access.NameValue `json:"sessionAttributes"`
	ClientDetails     clientDetails      `json:"clientDetails"`
	AuthMethodID      string             `json:"authMethodId"`
}

// clientDetails are what an instance of an agent tells of itself.
type clientDetails struct {
	Hostname   string `json:"hostname"`
	SoftwareID string `json:"softwareId"`
	Version    string `json:"version"`
	Component  string `json:"component"`
	Platform   string `json:"platform"`
}

type verifyMessage struct {
	Context     *messageContext `json:"context"`
	Credentials []credential    `json:"subjectCredentials"`
}

// An attemptMessage is that of /status and /cancel.
type attemptMessage struct {
	AttemptID string `json:"authnAttemptId"`
	Remove    flag   `json:"removeAttemptId"`
	Context   hint   `json:"context"`
}

// A hint is a context in a message that need not have one: what cannot be read is ignored, as an unknown member is.
type hint messageContext

func (h *hint) UnmarshalJSON(b []byte) error {
	var c messageContext
	if json.Unmarshal(b, &c) == nil {
		*h = hint(c)
	}
	return nil
}

// A credential is what the user typed for one method.
type credential struct {
	MethodID string             `json:"methodId"`
	Inputs   []access.NameValue `json:"collectedInputs"`
}

// value is what the user typed: in the pair that is named as the method, or in the only one (section 3.3).
func (c credential) value() (string, bool) {
	for _, pair := range c.Inputs {
		if pair.Name != c.MethodID && len(c.Inputs) > 1 {
			continue
		}
		if pair.DataType != "BINARY" {
			return pair.Value, true
		}
		raw, err := base64.StdEncoding.DecodeString(pair.Value)
		return string(raw), err == nil
	}
	return "", false
}

// maxCredentials is how many credentials one message may carry; one is what any response asks for.
const maxCredentials = 16

// A number may come as a JSON string.
type number int

func (n *number) UnmarshalJSON(b []byte) error {
	text := loose(b)
	if text == "" {
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return fault.New(fault.Invalid, "a member is no whole number")
	}
	*n = number(f)
	return nil
}

// A flag may come as a JSON string, and may be left open.
type flag struct{ said, yes bool }

func (f *flag) UnmarshalJSON(b []byte) error {
	switch strings.ToLower(loose(b)) {
	case "true":
		*f = flag{true, true}
	case "false":
		*f = flag{true, false}
	case "":
	default:
		return fault.New(fault.Invalid, "a member is no truth value")
	}
	return nil
}

// or is what a flag says, or what holds if it says nothing.
func (f flag) or(unsaid bool) bool {
	if f.said {
		return f.yes
	}
	return unsaid
}

// loose is the text of a JSON value, whether or not it is written as a string; "" for null.
func loose(b []byte) string {
	text := strings.TrimSpace(strings.Trim(string(b), `"`))
	if text == "null" {
		return ""
	}
	return text
}

// read takes a body apart, and leaves it as it came: it is what makes a message the same one again.
func read[T any](c *call) (*T, error) {
	m := new(T)
	if err := json.Unmarshal(exact(bytes.Clone(c.body)), m); err != nil {
		return nil, fault.New(fault.Invalid, "the body is no such JSON message")
	}
	return m, nil
}

// members are the names of all that is read.
var members = []string{
	"clientId", "subjectName", "context", "authnAttemptTimeout", "subjectCredentials", "keepAttempt", "sessionAttributes", "clientDetails", "authMethodId",
	"authnAttemptId", "messageId", "inResponseTo", "removeAttemptId", "methodId", "collectedInputs", "name", "value", "dataType",
	"hostname", "softwareId", "version", "component", "platform",
}

// exact strikes out, in place, the names that are none of a member. encoding/json takes those in any case of letters, and with letters
// that look alike: another program would read another user from the same message.
func exact(body []byte) []byte {
	for i := 0; i < len(body); i++ {
		if body[i] != '"' {
			continue
		}
		start := i + 1
		for i = start; i < len(body) && body[i] != '"'; i++ {
			if body[i] == '\\' {
				i++
			}
		}
		if i >= len(body) {
			break // no JSON
		}
		if after := bytes.TrimLeft(body[i+1:], " \t\r\n"); len(after) > 0 && after[0] == ':' && !isMember(body[start-1:i+1]) {
			copy(body[start:i], bytes.Repeat([]byte("-"), i-start))
		}
	}
	return body
}

// isMember tells whether a name, as it stands in JSON, is that of a member. What is no JSON is to stay so.
func isMember(name []byte) bool {
	if slices.Contains(members, string(name[1:len(name)-1])) { // as nearly all are
		return true
	}
	var text string
	return json.Unmarshal(name, &text) != nil || slices.Contains(members, text)
}

// What we send. Every member is there, as null or [] if there is nothing to say.

type authnResponse struct {
	Context    messageContext `json:"context"`
	Results    []validation   `json:"credentialValidationResults"`
	Code       string         `json:"attemptResponseCode"`
	Reason     string         `json:"attemptReasonCode"`
	Challenges challenges     `json:"challengeMethods"`
}

// A validation says what became of one credential.
type validation struct {
	MethodID   string             `json:"methodId"`
	Code       string             `json:"methodResponseCode"`
	Reason     string             `json:"methodReasonCode"`
	Attributes []access.NameValue `json:"authnAttributes"`
}

type challenges struct {
	Sets []methodSet `json:"challenges"`
}

type methodSet struct {
	ID      string   `json:"methodSetId"`
	Methods []method `json:"requiredMethods"`
}

type method struct {
	ID          string    `json:"methodId"`
	DisplayName *string   `json:"displayName"`
	Priority    *int      `json:"priority"`
	Versions    []version `json:"versions"`
}

type version struct {
	ID            string             `json:"versionId"`
	Attributes    []access.NameValue `json:"methodAttributes"`
	ValueRequired bool               `json:"valueRequired"`
	ReferenceID   *string            `json:"referenceId"`
	Prompt        prompt             `json:"prompt"`
}

type prompt struct {
	ResourceID   string   `json:"promptResourceId"`
	Text         string   `json:"defaultText"`
	Format       *string  `json:"formatRegex"`
	Default      *string  `json:"defaultValue"`
	BeingDefined bool     `json:"valueBeingDefined"`
	Sensitive    bool     `json:"sensitive"`
	MinLength    *int     `json:"minLength"`
	MaxLength    *int     `json:"maxLength"`
	Args         []string `json:"promptArgs"`
}

type statusResponse struct {
	Code       string             `json:"attemptResponseCode"`
	Reason     string             `json:"attemptReasonCode"`
	Subject    *string            `json:"subjectName"`
	PolicyID   *string            `json:"authnPolicyId"`
	Attributes []access.NameValue `json:"sessionAttributes"`
	Methods    []string           `json:"successfulMethods"`
	Expires    *string            `json:"attemptExpires"`
}
