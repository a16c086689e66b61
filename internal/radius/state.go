package radius

import (
	"crypto/hmac"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/authentication"
)

// The tags that a State begins with. Some clients tell by them what is asked for (spec/radius.md section 2).
const (
	tagNext = "SECURID_NEXT"
	tagPIN  = "SECURID_NPIN"
	tagWait = "SECURID_WAIT"
)

// tagOf is the tag for what is asked for.
func tagOf(s authentication.Step) string {
	switch s {
	case authentication.StepNextTokencode:
		return tagNext
	case authentication.StepReauthenticate:
		return tagWait
	}
	return tagPIN
}

const (
	attemptSize = 26 // characters
	bindSize    = 12 // characters, 60 bits
	maxTurn     = 999
)

// A state is what a State attribute says: which turn of which attempt is answered.
type state struct {
	attempt string
	turn    int
	choice  string // a mark if it answers who makes the PIN
	bind    string
}

// What stands behind the turn that asks who makes the PIN: whether "y" is for the system or for the user's own. The client's texts may be
// others by the time of the answer.
const (
	systemMark = "c"
	ownMark    = "o"
)

// stateOf writes the State of a challenge: TAG|attempt|turn-binding. The binding ties it to the client and the
// address that it is sent to; the engine ties the attempt to the user. It is printable, at most 57 bytes.
func (s *Server) stateOf(c *client, from source, d authentication.Decision) string {
	turn := strconv.Itoa(d.Turn)
	if d.Step == authentication.StepChoose {
		if s.Prompts[c.Prompts].ChooseOwn {
			turn += ownMark
		} else {
			turn += systemMark
		}
	}
	return tagOf(d.Step) + "|" + d.Attempt + "|" + turn + "-" + s.binding(c, from, d.Attempt, turn)
}

// binding is what only the deployment's servers can compute for a turn.
func (s *Server) binding(c *client, from source, attempt, turn string) string {
	// Over TLS the certificate says who it is, and the address may change with the connection.
	var address []byte
	if from.port != 0 {
		address = from.address.AsSlice()
	}
	sum := s.Hash.MAC("radius-state", []byte(c.Name), address, []byte(attempt), []byte(turn))
	return base32.StdEncoding.EncodeToString(sum)[:bindSize]
}

// parseState reads a State; false if it does not have our form. Some clients send one that nobody gave them.
func parseState(text string) (state, bool) {
	tag, rest, _ := strings.Cut(text, "|")
	attempt, rest, _ := strings.Cut(rest, "|")
	digits, bind, _ := strings.Cut(rest, "-")
	marked := digits
	digits = strings.TrimRight(marked, systemMark+ownMark)
	choice := marked[len(digits):]
	turn, _ := strconv.Atoi(digits) // what is no number is out of bounds
	if tag != tagNext && tag != tagPIN && tag != tagWait || len(attempt) != attemptSize || len(bind) != bindSize ||
		len(choice) > 1 || turn < 1 || turn > maxTurn || strconv.Itoa(turn) != digits || !isBase32(attempt) || !isBase32(bind) {
		return state{}, false
	}
	return state{attempt, turn, choice, bind}, true
}

func isBase32(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '2' || c > '7') })
}

// ours tells whether we gave the State to this client at this address.
func (s *Server) ours(st state, c *client, from source) bool {
	want := s.binding(c, from, st.attempt, strconv.Itoa(st.turn)+st.choice)
	return hmac.Equal([]byte(want), []byte(st.bind))
}
