package agentapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// Attempts that were begun with keepAttempt have a row of their own, which follows what the engine decides. All others
// leave nothing.

// keeping is the row of a new attempt.
func (s *Server) keeping(c *call, q *inquiry, m *initializeMessage, turn int, out authnResponse, life time.Duration) access.KeptAttempt {
	if life == 0 {
		life = authentication.DefaultLife
	}
	k := access.KeptAttempt{ID: q.attempt, Credential: c.credential.ID, UserID: keepable(m.SubjectName), Attributes: m.SessionAttributes, Life: life}
	for i := range k.Attributes {
		if k.Attributes[i].DataType == "" {
			k.Attributes[i].DataType = "STRING"
		}
	}
	method := ""
	if q.chosen >= 0 {
		method = q.sent[q.chosen].MethodID
	}
	s.note(&k, method, turn, out)
	return k
}

// note writes down what a response said, that of a decision.
func (s *Server) note(k *access.KeptAttempt, method string, turn int, out authnResponse) {
	k.Code, k.Reason, k.Turn = out.Code, out.Reason, turn
	if out.Code == codeChallenge {
		k.Code = codeInProcess
	}
	right := slices.ContainsFunc(out.Results, func(v validation) bool { return v.Code == codeSuccess })
	if right && !slices.Contains(k.Methods, method) {
		k.Methods = append(k.Methods, method)
	}
	k.ExpiresAt = s.Now().UTC().Add(k.Life)
}

// follow brings the row of an attempt up to date, unless that is over or the message is one that came before. A row that has expired meanwhile is gone, and nobody asks for it.
func (s *Server) follow(ctx context.Context, q *inquiry, method string, turn int, out authnResponse) error {
	err := s.Store.Transact(ctx, func(ctx context.Context) error {
		k, err := s.Store.KeptAttempt(ctx, q.attempt)
		if err != nil || k.Code != codeInProcess || turn <= k.Turn {
			return err
		}
		s.note(&k, method, turn, out)
		return s.Store.SaveKeptAttempt(ctx, k)
	})
	if fault.CodeOf(err) == fault.AttemptNotFound {
		return nil
	}
	return err
}

// own is the row of an attempt that the credential of a call has begun and that has not expired.
func (s *Server) own(ctx context.Context, c *call, id string) (access.KeptAttempt, error) {
	k, err := s.Store.KeptAttempt(ctx, id)
	if err == nil && (k.Credential != c.credential.ID || !s.Now().Before(k.ExpiresAt)) {
		err = fault.New(fault.AttemptNotFound, "there is no such attempt")
	}
	return k, err
}

// status tells of an attempt that was kept, by default once (section 3.8).
func (s *Server) status(c *call) (reply, error) {
	m, err := read[attemptMessage](c)
	if err != nil {
		return reply{}, err
	}
	if m.AttemptID == "" {
		return reply{http.StatusBadRequest, untold(invalid), "malformed"}, nil
	}
	id := strings.ToLower(m.AttemptID)
	if !s.admits(c, id) {
		return reply{http.StatusOK, untold(wrong), wrong.code}, nil
	}
	var k access.KeptAttempt
	err = s.Store.Transact(c.Context(), func(ctx context.Context) (err error) {
		if k, err = s.own(ctx, c, id); err != nil {
			return err
		}
		if m.Remove.or(true) {
			return s.Store.DropKeptAttempt(ctx, k.ID)
		}
		return nil
	})
	if err != nil {
		return s.unseen(c, err), nil
	}
	expires := k.ExpiresAt.UTC().Format(time.RFC3339)
	return reply{http.StatusOK, statusResponse{
		Code: k.Code, Reason: k.Reason, Subject: &k.UserID, Attributes: append([]access.NameValue{}, k.Attributes...),
		Methods: append([]string{}, k.Methods...), Expires: &expires,
	}, k.Code}, nil
}

// unseen is the response of /status where there is nothing to tell.
func (s *Server) unseen(c *call, err error) reply {
	if fault.CodeOf(err) == fault.AttemptNotFound {
		return reply{http.StatusOK, untold(attemptNotFound), codeError}
	}
	return reply{s.broken(c.Context(), err), untold(broken), "error"}
}

// untold is a response of /status that tells of no attempt.
func untold(why outcome) any {
	return statusResponse{Code: why.code, Reason: why.reason, Attributes: []access.NameValue{}, Methods: []string{}}
}

// cancel gives an attempt up. One that is over, or never was, is no error to the user (section 3.8).
func (s *Server) cancel(c *call) (reply, error) {
	m, err := read[attemptMessage](c)
	if err != nil {
		return reply{}, err
	}
	id := m.AttemptID
	if id == "" {
		id = m.Context.AttemptID
	}
	id = strings.ToLower(id)
	q := inquire(c.agent, s.begin(c, "cancel", messageContext{AttemptID: id, MessageID: m.Context.MessageID}), nil)
	if id == "" {
		return s.malformed(q), nil
	}
	if !s.admits(c, q.attempt) {
		return s.refuse(q, wrong), nil
	}
	ctx := audit.WithCorrelation(c.Context(), q.attempt)
	err = fault.New(fault.AttemptNotFound, "there is no such attempt")
	if attempt := attemptID(id); attempt != "" {
		err = s.Engine.Cancel(ctx, attempt, c.source, q.key)
	}
	said := cancelled
	switch {
	case fault.CodeOf(err) == fault.AttemptNotFound:
		said = outcome{codeFail, attemptNotFound.reason}
	case err != nil:
		return s.undecided(c, q, err), nil
	}
	if err := s.over(ctx, c, id, said == cancelled, m.Remove.or(false)); err != nil {
		return s.undecided(c, q, err), nil
	}
	return s.respond(q, said, said, nil, s.errorID(q.exchange), []methodSet{}), nil
}

// over notes in the row of a cancelled attempt, if it has one, that it is over, or removes the row.
func (s *Server) over(ctx context.Context, c *call, id string, ended, remove bool) error {
	err := s.Store.Transact(ctx, func(ctx context.Context) error {
		find := s.Store.KeptAttempt // of an agent that cancelled it with any of its credentials
		if !ended {
			find = func(ctx context.Context, id string) (access.KeptAttempt, error) { return s.own(ctx, c, id) }
		}
		k, err := find(ctx, id)
		switch {
		case err != nil:
			return err
		case remove:
			return s.Store.DropKeptAttempt(ctx, id)
		case !ended:
			return nil
		}
		k.Code, k.Reason = cancelled.code, cancelled.reason
		return s.Store.SaveKeptAttempt(ctx, k)
	})
	if fault.CodeOf(err) == fault.AttemptNotFound {
		return nil
	}
	return err
}
