package bench

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A restLine is a connection that an agent keeps open. It is written by hand, since a server that is measured on its own machine
// pays for its client.
type restLine struct {
	address, key string
	config       *tls.Config
	conn         *tls.Conn // nil while there is none
	answers      *bufio.Reader
	last         restAnswer
}

// restWait is how long an agent waits for an answer.
const restWait = 10 * time.Second

func newRESTLine(address, key string, config *tls.Config) *restLine {
	return &restLine{address: address, key: key, config: config}
}

func (l *restLine) close() error {
	if l.conn == nil {
		return nil
	}
	err := l.conn.Close()
	l.conn = nil
	return err
}

// restAnswer is what matters of an AuthNResponse.
type restAnswer struct {
	Context struct {
		AttemptID string `json:"authnAttemptId"`
		MessageID string `json:"messageId"`
	} `json:"context"`
	Code       string `json:"attemptResponseCode"`
	Reason     string `json:"attemptReasonCode"`
	Challenges struct {
		Challenges []struct {
			Methods []struct {
				MethodID string `json:"methodId"`
			} `json:"requiredMethods"`
		} `json:"challenges"`
	} `json:"challengeMethods"`
}

const (
	passcodeMethod = "SECURID"
	nextMethod     = "SECURID_NEXT_TOKENCODE"
)

func (l *restLine) ask(user, passcode string) outcome {
	return l.send("initialize", fmt.Sprintf(`{"clientId":%q,"subjectName":%q,%s,"context":{"authnAttemptId":"","messageId":%q,"inResponseTo":""}}`,
		name, user, credential(passcodeMethod, passcode), requestID()))
}

func (l *restLine) answer(_, code string) outcome {
	return l.send("verify", fmt.Sprintf(`{%s,"context":{"authnAttemptId":%q,"messageId":%q,"inResponseTo":%q}}`,
		credential(nextMethod, code), l.last.Context.AttemptID, requestID(), l.last.Context.MessageID))
}

func credential(method, value string) string {
	return fmt.Sprintf(`"subjectCredentials":[{"methodId":%q,"collectedInputs":[{"name":%q,"value":%q}]}]`, method, method, value)
}

// send posts a message and reads the answer. A connection that broke is opened again for the next message: this one may have
// been decided.
func (l *restLine) send(endpoint, body string) outcome {
	got, err := l.exchange(endpoint, body)
	if err != nil {
		_ = l.close() // it is broken
		return lost
	}
	return got
}

func (l *restLine) exchange(endpoint, body string) (outcome, error) {
	if l.conn == nil {
		conn, err := tls.Dial("tcp", l.address, l.config)
		if err != nil {
			return lost, err
		}
		l.conn, l.answers = conn, bufio.NewReader(conn)
	}
	if err := l.conn.SetDeadline(time.Now().Add(restWait)); err != nil {
		return lost, err
	}
	_, err := fmt.Fprintf(l.conn, "POST /mfa/v1_1/authn/%s HTTP/1.1\r\nHost: %s\r\nclient-key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		endpoint, l.address, l.key, len(body), body)
	if err != nil {
		return lost, err
	}
	answer, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		return lost, err
	}
	defer answer.Body.Close()
	l.last = restAnswer{}
	if err := json.NewDecoder(answer.Body).Decode(&l.last); err != nil {
		return lost, err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil { // up to the next answer
		return lost, err
	}
	if answer.Close {
		return l.outcome(answer.StatusCode), l.close()
	}
	return l.outcome(answer.StatusCode), nil
}

// outcome is what the last answer says.
func (l *restLine) outcome(status int) outcome {
	switch c := l.last.Challenges.Challenges; {
	case status != http.StatusOK:
	case l.last.Code == "SUCCESS":
		return accepted
	case l.last.Code == "FAIL" && l.last.Reason == "VERIFY_ERROR":
		return denied
	case l.last.Code == "CHALLENGE" && len(c) == 1 && len(c[0].Methods) == 1 && c[0].Methods[0].MethodID == nextMethod:
		return challenged
	}
	return lost
}
