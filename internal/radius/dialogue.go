package radius

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// serve handles one request that was admitted, answers unless it is to be dropped, and then calls finished: at once, or when the engine has decided.
func (s *Server) serve(ctx context.Context, r *request, finished func()) {
	end := func(answer []byte, o Outcome) {
		defer finished()
		s.shielded(ctx, func() ([]byte, Outcome) {
			if answer != nil {
				r.respond.respond(r, answer)
			}
			s.over(ctx, r, o)
			return nil, ""
		})
	}
	var p *radius.Packet
	var key copyKey
	answer, outcome := s.shielded(ctx, func() (answer []byte, o Outcome) {
		if p, answer, o = s.look(ctx, r); o == "" {
			key = r.key()
			answer, o = s.copies.begin(key, s.Now())
		}
		return answer, o
	})
	if outcome != "" {
		end(answer, outcome)
		return
	}
	known := func(answer []byte, o Outcome) {
		s.copies.end(key, answer)
		end(answer, o)
	}
	answer, outcome = s.shielded(ctx, func() ([]byte, Outcome) {
		q, wrong := s.question(r, p, key)
		if wrong != "" {
			return s.reject(r, p, wrong)
		}
		ctx := audit.WithActor(ctx, r.client.actor(r.from))
		s.decide(ctx, r, q, func(d authentication.Decision, err error) {
			told := func() { known(s.shielded(ctx, func() ([]byte, Outcome) { return s.decided(ctx, r, p, d, err) })) }
			if r.port == RadSec { // whose client may not take its answers: others are not to wait for that
				go told()
			} else {
				told()
			}
		})
		return nil, ""
	})
	if outcome != "" {
		known(answer, outcome)
	}
}

// shielded does a part of what is done for a request. A panic is a defect of this request, and must not end the server.
func (s *Server) shielded(ctx context.Context, part func() ([]byte, Outcome)) (answer []byte, o Outcome) {
	defer func() {
		if defect := recover(); defect != nil {
			// What a panic says may quote data. Its stack shows addresses and no contents.
			s.Log.ErrorContext(ctx, "radius: a request broke something", "panic", fmt.Sprintf("%T", defect), "stack", string(debug.Stack()))
			answer, o = nil, Broken
		}
	}()
	return part()
}

// admit finds out whether a packet of a client is to be served; "" if it is. A packet that is not authentic may be from anybody who can send from the
// client's address: it does not count against the client's limit, takes no place in the queue, and is not parsed, since thousands of attributes fit into one.
func (s *Server) admit(ctx context.Context, r *request) Outcome {
	_, wrong := s.shielded(ctx, func() ([]byte, Outcome) {
		switch {
		case !r.port.takes(radius.Code(r.data[0])):
			return nil, BadCode
		case !fits(r.data):
			return nil, BadAttributes
		}
		return nil, s.authentic(ctx, r)
	})
	if wrong == "" && r.client.limit != nil && !r.client.limit.AllowN(r.received, 1) {
		return Limited
	}
	return wrong
}

// look decides what becomes of a packet that asks nothing of the engine; no outcome for one that does. No answer means that it is dropped.
func (s *Server) look(ctx context.Context, r *request) (p *radius.Packet, answer []byte, o Outcome) {
	if s.Now().Sub(r.received) >= patience {
		return nil, nil, Overload
	}
	p, err := radius.Parse(r.data, r.client.secret)
	if err != nil {
		return nil, nil, BadAttributes
	}
	switch p.Code {
	case radius.CodeAccountingRequest:
		s.book(ctx, r, p)
		return p, r.client.answer(radius.CodeAccountingResponse, p, nil), Accounted
	case radius.CodeStatusServer:
		if s.away.Load() || s.Trust != nil && s.Trust(s.Now()) != nil { // who asks is to take another server
			return p, nil, Unavailable
		}
		code := radius.CodeAccessAccept
		if r.port == Accounting {
			code = radius.CodeAccountingResponse
		}
		return p, r.client.answer(code, p, nil), Status
	}
	return p, nil, ""
}

// book logs an accounting request for who looks for one: what it says of the session, and nothing of the user.
func (s *Server) book(ctx context.Context, r *request, p *radius.Packet) {
	s.Log.DebugContext(ctx, "radius: accounting", "client", r.client.Name, "address", r.from.address, "status", rfc2866.AcctStatusType_Get(p))
}

// authentic checks the Message-Authenticator, or the authenticator of accounting; "" if the request may be looked into. Over TLS none is needed: nobody
// in between can change a packet.
func (s *Server) authentic(ctx context.Context, r *request) Outcome {
	code := radius.Code(r.data[0])
	if code == radius.CodeAccountingRequest {
		if !r.client.accountable(r.data) {
			return BadAuthenticator
		}
		return ""
	}
	there, right := r.client.authenticity(r.data)
	if there {
		if !right {
			return BadAuthenticator
		}
		return ""
	}
	// Status-Server and EAP take one from everybody (RFC 5997 section 3, RFC 3579 section 3.2).
	if code == radius.CodeStatusServer || holds(r.data, rfc2869.EAPMessage_Type) {
		r.note = alwaysNeeded
		return NoAuthenticator
	}
	if r.port == RadSec {
		return ""
	}
	switch r.client.MessageAuthenticator {
	case "off":
	case "warn":
		s.note(ctx, r.client, r.from, missed)
	default:
		return NoAuthenticator
	}
	return ""
}

// A question is what an Access-Request asks.
type question struct {
	key     []byte // of the request, as copies of it have it
	user    string
	text    string // the password: a passcode, or the answer to a challenge
	station string
	state   *state // nil for a first request
}

// decided makes the answer of what the engine says.
func (s *Server) decided(ctx context.Context, r *request, p *radius.Packet, d authentication.Decision, err error) ([]byte, Outcome) {
	switch fault.CodeOf(err) {
	case fault.AttemptNotFound, fault.OutOfSequence, fault.StepNotRequested:
		return s.reject(r, p, UnknownState)
	}
	if err != nil {
		if fault.CodeOf(err) != fault.Unavailable && !errors.Is(err, context.DeadlineExceeded) {
			s.note(ctx, r.client, r.from, "a request could not be decided", why(err))
		}
		return nil, Unavailable
	}
	return s.tell(ctx, r, p, d)
}

// decide asks the engine.
func (s *Server) decide(ctx context.Context, r *request, q question, then func(authentication.Decision, error)) {
	c, within := r.client, patience-s.Now().Sub(r.received)
	source := authentication.Source{Agent: c.agent, Station: q.station, Only: c.only}
	if q.state == nil {
		s.Engine.Submit(ctx, within, authentication.Request{
			UserID: q.user, Passcode: q.text, Source: source, Dialogue: c.Challenges, Confirm: true, Life: s.Life, Key: q.key,
		}, then)
		return
	}
	text, step := q.text, authentication.Step("")
	if q.state.choice != "" {
		step = authentication.StepChoose
	}
	if q.state.choice == ownMark {
		text = inverted(text)
	}
	s.Engine.SubmitAnswer(ctx, within, authentication.Answer{
		Attempt: q.state.attempt, Turn: q.state.turn, Step: step, UserID: q.user, Text: text, Source: source, Key: q.key,
	}, then)
}

// inverted turns the answer to "do you want to enter your own pin" into that to "shall the system make it".
func inverted(answer string) string {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y") {
		return "n"
	}
	return "y"
}

// once are the attributes of an Access-Request that may be there once (RFC 2865 section 5.44).
var once = []radius.Type{rfc2865.UserName_Type, rfc2865.UserPassword_Type, rfc2865.CHAPPassword_Type, rfc2865.State_Type, rfc2865.CallingStationID_Type}

// question reads an Access-Request, or says why it is rejected.
func (s *Server) question(r *request, p *radius.Packet, key copyKey) (question, Outcome) {
	for _, t := range once {
		n := 0
		for _, a := range p.Attributes {
			if a.Type == t {
				n++
			}
		}
		if n > 1 {
			return question{}, TwiceTheSame
		}
	}
	if otherMethod(p) {
		return question{}, BadMethod
	}
	hidden, there := p.Lookup(rfc2865.UserPassword_Type)
	if !there {
		return question{}, NoCredentials
	}
	q := question{key: key[:], station: r.from.address.String()}
	var readable bool
	if q.text, readable = password(hidden, r.client.secret, p.Authenticator[:]); !readable {
		return question{}, BadPassword
	}
	if st, ours := parseState(string(p.Get(rfc2865.State_Type))); ours {
		if !s.ours(st, r.client, r.from) {
			r.note = elsewhere
			return question{}, UnknownState
		}
		q.state = &st
	}
	name, named := p.Lookup(rfc2865.UserName_Type)
	q.user = r.client.StripRealm.Strip(string(name))
	if !isText(q.user) || q.user == "" && (named || q.state == nil) {
		return question{}, BadUserName
	}
	if station := string(p.Get(rfc2865.CallingStationID_Type)); station != "" && isText(station) {
		q.station = station
	}
	return q, ""
}

// Vendor-Specific of Microsoft, whose MS-CHAP is another method (RFC 2548 section 2).
const (
	vendorMicrosoft = 311
	msCHAPResponse  = 1
	msCHAPChallenge = 11
	msCHAP2Response = 25
)

// otherMethod tells whether a request wants its user to be checked other than by PAP.
func otherMethod(p *radius.Packet) bool {
	for _, a := range p.Attributes {
		switch a.Type {
		case rfc2865.CHAPPassword_Type, rfc2869.EAPMessage_Type:
			return true
		case rfc2865.VendorSpecific_Type:
			const head = 5 // vendor and type
			if len(a.Attribute) >= head && binary.BigEndian.Uint32(a.Attribute) == vendorMicrosoft {
				switch a.Attribute[4] {
				case msCHAPResponse, msCHAPChallenge, msCHAP2Response:
					return true
				}
			}
		}
	}
	return false
}

// tell puts a decision into an answer.
func (s *Server) tell(ctx context.Context, r *request, p *radius.Packet, d authentication.Decision) ([]byte, Outcome) {
	switch {
	case d.Result == authentication.Accepted:
		replies, err := r.client.repliesTo(d)
		if err != nil {
			s.Log.ErrorContext(ctx, "radius: the attributes of a user", "error", err)
			return s.reject(r, p, Broken)
		}
		if answer := r.client.answer(radius.CodeAccessAccept, p, replies); answer != nil {
			return answer, Accepted
		}
		return s.reject(r, p, NoWayToAnswer)
	case d.Step == authentication.StepNone:
		return s.reject(r, p, Rejected)
	}
	texts := s.Prompts[r.client.Prompts]
	text, echo, err := texts.prompt(d)
	if err != nil {
		s.Log.ErrorContext(ctx, err.Error(), "client", r.client.Name)
		return s.reject(r, p, Broken)
	}
	challenge := split(nil, rfc2865.ReplyMessage_Type, text)
	challenge.Add(rfc2865.State_Type, radius.Attribute(s.stateOf(r.client, r.from, d)))
	challenge.Add(rfc2869.Prompt_Type, radius.NewInteger(promptOf(echo)))
	if left := d.Expires.Sub(s.Now()); left >= time.Second {
		challenge.Add(rfc2865.SessionTimeout_Type, radius.NewInteger(uint32(left/time.Second)))
	}
	if answer := r.client.answer(radius.CodeAccessChallenge, p, challenge); answer != nil {
		return answer, Challenged
	}
	return s.reject(r, p, NoWayToAnswer)
}

func promptOf(echo bool) uint32 {
	if echo {
		return uint32(rfc2869.Prompt_Value_Echo)
	}
	return uint32(rfc2869.Prompt_Value_NoEcho)
}

// reject answers every rejected request alike; why it is rejected is only counted.
func (s *Server) reject(r *request, p *radius.Packet, why Outcome) ([]byte, Outcome) {
	text := split(nil, rfc2865.ReplyMessage_Type, s.Prompts[r.client.Prompts].Reject)
	answer := r.client.answer(radius.CodeAccessReject, p, text)
	if answer == nil {
		answer = r.client.answer(radius.CodeAccessReject, p, nil)
	}
	if answer == nil { // a request of Proxy-States alone, whose Message-Authenticator makes its answer longer
		why = NoWayToAnswer
	}
	return answer, why
}
