package agentapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// A gateway is an agent as somebody else would write it, from the specification alone: it shares no type with the server,
// looks at the codes first and at the first credential's result after each verify, picks methods by their IDs where
// they have no display name, and reads each member that public clients read.
type gateway struct {
	t    testing.TB
	urls []string // of the servers that it may ask
	at   int      // the one that it asks
	key  string
	name string

	attempt, last string // of the dialogue
}

// A pair, an answer and what is in it are what the gateway reads. Pointers are members that have to be there.
type pair struct{ Name, Value, DataType *string }

type answer struct {
	Context *struct{ AuthnAttemptId, MessageId, InResponseTo *string }
	Results *[]struct {
		MethodId, MethodResponseCode, MethodReasonCode *string
		AuthnAttributes                                *[]pair
	} `json:"credentialValidationResults"`
	AttemptResponseCode, AttemptReasonCode *string
	ChallengeMethods                       *struct {
		Challenges *[]struct {
			MethodSetId     *string
			RequiredMethods *[]struct {
				MethodId    *string
				DisplayName *string
				Versions    *[]struct {
					VersionId        *string
					MethodAttributes *[]pair
					Prompt           *struct {
						DefaultText          *string
						MinLength, MaxLength *int
					}
				}
			}
		}
	}

	raw string
}

// code is the outcome in a word.
func (a answer) code() string { return *a.AttemptResponseCode + "/" + *a.AttemptReasonCode }

// result is that of the first credential.
func (a answer) result() string {
	r := (*a.Results)[0]
	return *r.MethodId + " " + *r.MethodResponseCode + "/" + *r.MethodReasonCode
}

// asked is the one method that satisfies the challenge, "" if nothing is asked for.
func (a answer) asked() string {
	for _, set := range *a.ChallengeMethods.Challenges {
		return *(*set.RequiredMethods)[0].MethodId
	}
	return ""
}

// text is the prompt of what is asked for, and its attributes.
func (a answer) text() (string, []pair) {
	v := (*(*(*a.ChallengeMethods.Challenges)[0].RequiredMethods)[0].Versions)[0]
	return *v.Prompt.DefaultText, *v.MethodAttributes
}

// message makes a message ID, as each sender makes its own.
func message() string { return rand.Text() }

// raw sends a body to an endpoint of the server that the gateway asks, and returns what came.
func (g *gateway) raw(endpoint string, body []byte) (int, string) {
	g.t.Helper()
	r, err := http.NewRequest(http.MethodPost, g.urls[g.at]+"/mfa/v1_1/authn/"+endpoint, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("client-key", g.key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// send sends a message and takes the response apart.
func (g *gateway) send(endpoint string, body []byte) answer {
	g.t.Helper()
	status, text := g.raw(endpoint, body)
	var a answer
	if err := json.Unmarshal([]byte(text), &a); status != http.StatusOK || err != nil {
		g.t.Fatalf("%s: status %d, %v: %s", endpoint, status, err, text)
	}
	parse(g.t, text).conforms(endpoint)
	a.raw = text
	g.attempt, g.last = *a.Context.AuthnAttemptId, *a.Context.MessageId
	return a
}

// credentials are those of a message, [] for none.
func credentials(method, value string) []any {
	if method == "" {
		return []any{}
	}
	return []any{map[string]any{"methodId": method, "collectedInputs": []any{map[string]string{"name": method, "value": value}}}}
}

// beginning is the body of an Initialize.
func (g *gateway) beginning(subject, method, value string) []byte {
	return encode(g.t, map[string]any{
		"clientId": g.name, "subjectName": subject, "subjectCredentials": credentials(method, value), "lang": "us_EN",
		"context": map[string]string{"authnAttemptId": "", "messageId": message(), "inResponseTo": ""},
	})
}

// following is the body of a Verify that answers the last response.
func (g *gateway) following(method, value string) []byte {
	return encode(g.t, map[string]any{
		"subjectCredentials": credentials(method, value),
		"context":            map[string]string{"authnAttemptId": g.attempt, "messageId": message(), "inResponseTo": g.last},
	})
}

// begin opens an attempt without a passcode.
func (g *gateway) begin(subject string) answer {
	g.t.Helper()
	return g.send("initialize", g.beginning(subject, "", ""))
}

// check decides a passcode in one call.
func (g *gateway) check(subject, passcode string) answer {
	g.t.Helper()
	return g.send("initialize", g.beginning(subject, "SECURID", passcode))
}

// verify answers the last response.
func (g *gateway) verify(method, value string) answer {
	g.t.Helper()
	return g.send("verify", g.following(method, value))
}

// expect fails the test unless an answer says this, and asks for that.
func (g *gateway) expect(a answer, code, asked string) answer {
	g.t.Helper()
	if a.code() != code || a.asked() != asked {
		g.t.Errorf("%s, asked for %q, want %s, asked for %q\n%s", a.code(), a.asked(), code, asked, a.raw)
	}
	return a
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// anonymous is a response without its IDs.
func (a answer) anonymous() string {
	text := a.raw
	for _, id := range []*string{a.Context.AuthnAttemptId, a.Context.MessageId, a.Context.InResponseTo} {
		text = string(bytes.ReplaceAll([]byte(text), fmt.Appendf(nil, "%q", *id), []byte(`"ID"`)))
	}
	return text
}
