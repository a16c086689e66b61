package agentapi

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/authentication"
)

var attemptName = base32.StdEncoding.WithPadding(base32.NoPadding)

// publicID is the ID of an attempt as agents read it: its 128 bits as a UUID.
func publicID(attempt string) string {
	var id uuid.UUID
	if n, err := attemptName.Decode(id[:], []byte(attempt)); err != nil || n != len(id) {
		return attempt
	}
	return id.String()
}

// attemptID is the engine's name of an attempt that an agent names, "" if it can be none.
func attemptID(public string) string {
	id, err := uuid.Parse(public)
	if err != nil || len(public) != 36 {
		return ""
	}
	return attemptName.EncodeToString(id[:])
}

// An exchange is a message of an agent and the response to it.
type exchange struct {
	attempt   string // as agents read it; of the request, or a new one
	messageID string // of the request
	// key names the message, so that the engine decides it once; nil if the agent gave it no ID and so repeats nothing.
	// It is a keyed hash, since the body holds the passcode.
	key []byte
}

// begin gives a message its names. All of them follow from the message, so that any server gives the same ones again.
func (s *Server) begin(c *call, endpoint string, m messageContext) exchange {
	x := exchange{attempt: m.AttemptID, messageID: m.MessageID}
	if m.MessageID == "" {
		x.messageID = uuid.NewString()
	} else {
		x.key = s.Agents.Keys.MAC("agent-request", []byte(c.source.Agent), []byte(endpoint), []byte(m.MessageID), c.body)
	}
	return x
}

// newAttempt is the ID of the attempt that a message begins.
func (s *Server) newAttempt(x exchange) string {
	id := uuid.New()
	if x.key != nil {
		copy(id[:], s.Agents.Keys.MAC("agent-attempt", x.key))
	}
	return id.String()
}

// A place is where a message of ours stands in its attempt.
type place struct {
	turn int
	step authentication.Step
	kept bool // the attempt is kept for /status
}

// messageID names a message of ours: "2k-new_pin-" and a keyed hash of that and the attempt.
func (s *Server) messageID(attempt string, p place) string {
	text := strconv.Itoa(p.turn)
	if p.kept {
		text += "k"
	}
	step := string(p.step)
	if p.step == authentication.StepNone {
		step = "done"
	}
	text += "-" + step
	hash := s.Agents.Keys.MAC("agent-message", []byte(attempt), []byte(text))
	return text + "-" + base64.RawURLEncoding.EncodeToString(hash[:15])
}

// placeOf reads a message ID that we gave to an attempt. Any other is at turn -1, which no attempt is at.
func (s *Server) placeOf(attempt, messageID string) place {
	number, rest, _ := strings.Cut(messageID, "-")
	step, _, _ := strings.Cut(rest, "-")
	number, kept := strings.CutSuffix(number, "k")
	turn, err := strconv.Atoi(number)
	p := place{turn, authentication.Step(step), kept}
	if err != nil || s.messageID(attempt, p) != messageID {
		return place{turn: -1}
	}
	return p
}

// errorID names a message of ours that stands nowhere in an attempt.
func (s *Server) errorID(x exchange) string {
	hash := s.Agents.Keys.MAC("agent-message", []byte(x.attempt), []byte(x.messageID))
	return fmt.Sprintf("error-%s", base64.RawURLEncoding.EncodeToString(hash[:15]))
}
