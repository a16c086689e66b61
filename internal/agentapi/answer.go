package agentapi

import (
	"net/http"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// The codes of attempts and methods (section 3.6).
const (
	codeSuccess   = "SUCCESS"
	codeFail      = "FAIL"
	codeError     = "ERROR"
	codeChallenge = "CHALLENGE"
	codeInProcess = "IN_PROCESS"
)

// An outcome is a code and its reason.
type outcome struct{ code, reason string }

// The outcomes (section 5).
var (
	verified        = outcome{codeSuccess, "CREDENTIAL_VERIFIED"}
	wrong           = outcome{codeFail, "VERIFY_ERROR"}
	wrongTryAgain   = outcome{codeChallenge, "VERIFY_ERROR"}
	goOn            = outcome{codeChallenge, "AUTHENTICATION_REQUIRED"}
	pinRejected     = outcome{codeChallenge, "PIN_REJECTED"}
	pinNotTaken     = outcome{codeFail, "PIN_REJECTED"}
	notSupported    = outcome{codeFail, "METHOD_NOT_SUPPORTED"}
	notRequested    = outcome{codeError, "METHOD_NOT_REQUESTED"}
	attemptNotFound = outcome{codeError, "ATTEMPT_NOT_FOUND"}
	outOfSequence   = outcome{codeError, "OUT_OF_SEQUENCE"}
	cancelled       = outcome{codeFail, "ATTEMPT_CANCELLED"}
	invalid         = outcome{codeError, "INVALID_REQUEST"}
	unknownAgent    = outcome{codeError, "AGENT_NOT_FOUND"}
	broken          = outcome{codeError, "SYSTEM_ERROR"}
	stranger        = outcome{codeError, "AGENT_NOT_AUTHENTICATED"}
)

// refused are the outcomes of what the engine refuses, beside an answer by a method that it has not asked for. None of them ends an attempt.
var refused = map[fault.Code]outcome{
	fault.AttemptNotFound: attemptNotFound,
	fault.OutOfSequence:   outOfSequence,
}

// failed is a response to what could not be read as a message.
func failed(why outcome) any {
	return authnResponse{Results: []validation{}, Code: why.code, Reason: why.reason, Challenges: challenges{[]methodSet{}}}
}

// An inquiry is a message with the credentials that it brings, on the way to its response.
type inquiry struct {
	exchange
	place    // of the message that it answers
	sent     []credential
	outcomes []outcome // of each credential sent
	chosen   int       // the credential that is decided, -1 if none
	asked    string    // the only method that the agent wants its user asked for a passcode by; "" for all that it has
}

// inquire looks at the credentials of an agent's message, of which one is to be decided: the first of a method that dialogues have, and
// that the agent may use.
func inquire(a access.Agent, x exchange, sent []credential) *inquiry {
	q := &inquiry{exchange: x, sent: sent, outcomes: make([]outcome, len(sent)), chosen: -1}
	for i, c := range sent {
		q.outcomes[i] = notRequested
		switch step, asked := steps[c.MethodID]; {
		case foreign[c.MethodID], step == authentication.StepPasscode && !slices.Contains(a.Methods, c.MethodID):
			q.outcomes[i] = notSupported
		case asked && q.chosen < 0:
			q.chosen = i
		}
	}
	return q
}

// respond is the response with an outcome, and the same for the credential that was decided.
func (s *Server) respond(q *inquiry, of outcome, credential outcome, attributes []access.NameValue, messageID string, sets []methodSet) reply {
	results := make([]validation, len(q.sent))
	for i, c := range q.sent {
		results[i] = validation{c.MethodID, q.outcomes[i].code, q.outcomes[i].reason, []access.NameValue{}}
		if i == q.chosen {
			results[i].Code, results[i].Reason = credential.code, credential.reason
			if attributes != nil {
				results[i].Attributes = attributes
			}
		}
	}
	return reply{http.StatusOK, authnResponse{
		Context: messageContext{q.attempt, messageID, q.exchange.messageID}, Results: results, Code: of.code, Reason: of.reason,
		Challenges: challenges{sets},
	}, of.code}
}

// refuse is the response to a message that decides nothing.
func (s *Server) refuse(q *inquiry, why outcome) reply {
	id := s.errorID(q.exchange)
	if (why == notRequested || why == notSupported) && q.turn > 0 {
		id = s.messageID(q.attempt, q.place) // what was asked for is still asked for: the next message may answer it
	}
	return s.respond(q, why, why, nil, id, []methodSet{})
}

// malformed is the response to a message that lacks what it must have.
func (s *Server) malformed(q *inquiry) reply {
	out := s.refuse(q, invalid)
	out.status, out.said = http.StatusBadRequest, "malformed"
	return out
}

// decided is the response to a decision of the engine.
func (s *Server) decided(c *call, q *inquiry, d authentication.Decision) reply {
	if d.Attempt != "" {
		q.attempt = publicID(d.Attempt)
	}
	id := s.messageID(q.attempt, place{d.Turn, d.Step, q.kept})
	switch {
	case d.Result == authentication.Accepted:
		serial := []access.NameValue{}
		if d.Serial != "" {
			serial = append(serial, access.NameValue{Name: "serial", Value: d.Serial, DataType: "STRING"})
		}
		return s.respond(q, verified, verified, serial, id, []methodSet{})
	case d.Step == authentication.StepNone:
		return s.respond(q, wrong, wrong, nil, id, []methodSet{})
	}
	whole, credential := goOn, verified
	switch {
	case d.Step == authentication.StepPasscode && q.chosen >= 0:
		whole, credential = wrongTryAgain, wrong
	case d.Rejected != "":
		whole, credential = pinRejected, pinNotTaken
	}
	return s.respond(q, whole, credential, nil, id, challenge(c.agent, d, q.asked))
}
