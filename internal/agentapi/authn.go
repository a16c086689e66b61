package agentapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
	"github.com/tallystick/tallystick/internal/user"
)

// initialize begins an attempt, and decides it if the passcode came along (section 3.2).
func (s *Server) initialize(c *call) (reply, error) {
	m, err := read[initializeMessage](c)
	if err != nil {
		return reply{}, err
	}
	in := messageContext{}
	if m.Context != nil {
		in = *m.Context
	}
	q := inquire(c.agent, s.begin(c, "initialize", in), m.Credentials)
	q.attempt = s.newAttempt(q.exchange)
	if m.Context == nil || m.SubjectName == "" || len(m.Credentials) > maxCredentials {
		return s.malformed(q), nil
	}
	q.kept, q.asked = m.KeepAttempt.or(false), m.AuthMethodID
	life := time.Duration(m.Timeout) * time.Second
	switch {
	case m.ClientID != "" && !strings.EqualFold(m.ClientID, c.agent.Name):
		s.Logger.WarnContext(c.Context(), "agent calls itself by another name", "agent", c.agent.Name, "client_id", cut(m.ClientID, 64), "client", c.RemoteAddr)
		return s.refuse(q, unknownAgent), nil
	case in.AttemptID != "":
		return s.refuse(q, outOfSequence), nil
	case life < 0 || life > authentication.MaxLife:
		return s.refuse(q, invalid), nil
	case m.AuthMethodID != "" && !slices.Contains(c.agent.Methods, m.AuthMethodID):
		return s.refuse(q, notSupported), nil
	}
	r := authentication.Request{
		UserID: subject(m.SubjectName), Ask: len(m.Credentials) == 0, Source: stationOf(c.source, m.SessionAttributes), Dialogue: true,
		Retry: c.agent.Retry, Life: life, Key: q.key,
		ByMail: slices.Contains(c.agent.AlsoNamedBy, "mail"),
	}
	if !r.Ask {
		if q.chosen < 0 {
			return s.refuse(q, q.outcomes[0]), nil
		}
		sent := m.Credentials[q.chosen]
		if steps[sent.MethodID] != authentication.StepPasscode {
			return s.refuse(q, notRequested), nil
		}
		var ok bool
		if r.Passcode, ok = sent.value(); !ok {
			return s.malformed(q), nil
		}
	}
	ctx := withSession(audit.WithCorrelation(c.Context(), q.attempt), m.SessionAttributes)
	d := authentication.Decision{Result: authentication.Denied, Turn: 1}
	admitted := s.admits(c, r.UserID)
	r.Admits = func(userID string) bool {
		admitted = s.unthrottled(c, s.subjects.Allows(throttle.Subject(c.agent.Domain, userID), s.Now()))
		return admitted
	}
	if admitted {
		if d, err = s.Engine.Begin(ctx, r); err != nil {
			return s.undecided(c, q, err), nil
		}
	}
	out := s.decided(c, q, d)
	if !admitted { // what is throttled writes nothing
		return out, nil
	}
	s.inventory(c, m.ClientDetails)
	if q.kept {
		err = s.Store.KeepAttempt(ctx, s.keeping(c, q, m, d.Turn, out.document.(authnResponse), life))
	}
	if err != nil {
		return s.undecided(c, q, err), nil
	}
	return out, nil
}

// nobody is a name that no user has: neither IDs nor mail addresses have control characters.
const nobody = "\x01"

// subject is a name as the engine looks for it. One that is longer than any ID or mail address is nobody's: cut, it could be
// that of another user.
func subject(name string) string {
	if len(name) > user.MaxMail {
		return nobody
	}
	return keepable(name)
}

// keepable is a name as the database can keep it: with a control character in place of one that it cannot.
func keepable(name string) string { return strings.ReplaceAll(name, "\x00", nobody) }

// verify answers what the last response asked for (section 3.5).
func (s *Server) verify(c *call) (reply, error) {
	m, err := read[verifyMessage](c)
	if err != nil {
		return reply{}, err
	}
	in := messageContext{}
	if m.Context != nil {
		in = *m.Context
	}
	in.AttemptID = strings.ToLower(in.AttemptID)
	q := inquire(c.agent, s.begin(c, "verify", in), m.Credentials)
	if in.AttemptID == "" || len(m.Credentials) == 0 || len(m.Credentials) > maxCredentials {
		return s.malformed(q), nil
	}
	q.place = s.placeOf(q.attempt, in.InResponseTo)
	answer := authentication.Answer{
		Attempt: attemptID(q.attempt), Turn: q.turn, Step: stepOther, Key: q.key,
		Source: authentication.Source{Agent: c.source.Agent, Only: c.source.Only}, // where the user is, the attempt knows
	}
	unasked := notRequested // what the agent reads of a method that the attempt has not asked for
	if q.chosen < 0 {
		q.chosen, unasked = 0, q.outcomes[0]
	} else {
		sent := m.Credentials[q.chosen]
		if answer.Step = steps[sent.MethodID]; answer.Step == authentication.StepPasscode && q.step == authentication.StepReauthenticate {
			answer.Step = authentication.StepReauthenticate
		}
		var ok bool
		if answer.Text, ok = sent.value(); !ok && sent.MethodID != methodSystemPIN {
			return s.malformed(q), nil
		}
	}
	if answer.Attempt == "" {
		return s.refuse(q, attemptNotFound), nil
	}
	ctx := audit.WithCorrelation(c.Context(), q.attempt)
	if !s.admits(c, q.attempt) {
		return s.decided(c, q, authentication.Decision{Result: authentication.Denied, Turn: q.turn + 1}), nil
	}
	d, err := s.Engine.Continue(ctx, answer)
	if fault.CodeOf(err) == fault.StepNotRequested {
		return s.refuse(q, unasked), nil
	}
	if err != nil {
		return s.undecided(c, q, err), nil
	}
	out := s.decided(c, q, d)
	if q.kept {
		err = s.follow(ctx, q, m.Credentials[q.chosen].MethodID, d.Turn, out.document.(authnResponse))
	}
	if err != nil {
		return s.undecided(c, q, err), nil
	}
	return out, nil
}

// admits tells whether the message of an agent about a user or an attempt may be decided now.
func (s *Server) admits(c *call, about string) bool {
	return s.unthrottled(c, !c.throttled && s.subjects.Allows(throttle.Subject(c.agent.Domain, about), s.Now()))
}

// unthrottled notes a message that comes too fast.
func (s *Server) unthrottled(c *call, yes bool) bool {
	if yes {
		return true
	}
	if s.lines.Allows("throttled "+c.agent.Name, s.Now()) {
		s.Logger.WarnContext(c.Context(), "authentication request throttled", "agent", c.agent.Name, "client", c.RemoteAddr)
	}
	if s.Counted != nil {
		s.Counted("throttle", "throttled")
	}
	return false
}

// undecided is the response to a message that the engine has not decided.
func (s *Server) undecided(c *call, q *inquiry, err error) reply {
	if why, known := refused[fault.CodeOf(err)]; known {
		return s.refuse(q, why)
	}
	out := s.refuse(q, broken)
	out.status = s.broken(audit.WithCorrelation(c.Context(), q.attempt), err)
	return out
}

// stations are the session attributes that name the user's machine; which ones agents send is not written anywhere, so
// these are the likely ones, without underscores. Without any it is the agent itself.
var stations = map[string]bool{"sourceip": true, "clientip": true, "ipaddress": true, "callingstationid": true}

// Bounds of what audit events tell of a session.
const (
	mostAttributes   = 16
	longestAttribute = 256 // bytes
)

// withSession has the events of a request tell what its agent told of the session.
func withSession(ctx context.Context, attributes []access.NameValue) context.Context {
	if len(attributes) == 0 {
		return ctx
	}
	session := map[string]string{}
	for _, a := range attributes[:min(len(attributes), mostAttributes)] {
		session[cut(a.Name, longestAttribute)] = cut(a.Value, longestAttribute)
	}
	return audit.WithSession(ctx, session)
}

// cut is as much of a text as so many bytes hold.
func cut(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

func stationOf(from authentication.Source, attributes []access.NameValue) authentication.Source {
	for _, a := range attributes {
		if a.Value != "" && len(a.Value) <= 64 && stations[strings.ToLower(strings.ReplaceAll(a.Name, "_", ""))] {
			from.Station = a.Value
		}
	}
	return from
}
