// Package agentapi is the SecurID Authentication API: what existing agents,
// such as VPN gateways, ask over HTTPS (spec/rest-authn-api.md).
//
//	POST /mfa/v1_1/authn/initialize   begin an attempt, or decide one in a single call
//	POST /mfa/v1_1/authn/verify       answer what the last response asked for
//	POST /mfa/v1_1/authn/status       look at a finished attempt that was kept
//	POST /mfa/v1_1/authn/cancel       give an attempt up
//	GET  /mfa/v1_1/authn/resources    the texts of prompts
//
// The contract is foreign, so its exceptions stay here: every authentication
// result, good or bad, is HTTP 200, and every member is in every response, as
// null or [] if there is nothing to say.
//
// What an agent is told is a function of its request and of the engine's
// decision, which the engine keeps for a request that is sent again: any
// server gives the same bytes (answer.go). The message IDs of responses say
// which turn of which attempt they are (id.go), so that an answer is
// placed without looking anything up. Passcodes, PINs and bodies are never logged.
package agentapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

// An Engine decides: an authentication.Engine.
type Engine interface {
	Begin(ctx context.Context, q authentication.Request) (authentication.Decision, error)
	Continue(ctx context.Context, a authentication.Answer) (authentication.Decision, error)
	Cancel(ctx context.Context, attempt string, s authentication.Source, key []byte) error
}

// Store is what the API itself needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// KeepAttempt stores an attempt for /status; one that is there stays as it is.
	KeepAttempt(ctx context.Context, k access.KeptAttempt) error
	// KeptAttempt returns one; [fault.AttemptNotFound]. Within a transaction the row is locked for change.
	KeptAttempt(ctx context.Context, id string) (access.KeptAttempt, error)
	// SaveKeptAttempt stores what became of one; [fault.AttemptNotFound].
	SaveKeptAttempt(ctx context.Context, k access.KeptAttempt) error
	// DropKeptAttempt removes one; [fault.AttemptNotFound].
	DropKeptAttempt(ctx context.Context, id string) error
	// UseSignature notes that a signed request was seen; false if it was seen before.
	UseSignature(ctx context.Context, signature []byte, at time.Time) (bool, error)
}

// A Config is what the API is made of. Unless it says otherwise, every field must be set.
type Config struct {
	Engine Engine
	Agents *access.Agents
	// Domains are what agents may be limited to; nil if none is.
	Domains *domain.Registry
	Store   Store
	Now     func() time.Time
	Logger  *slog.Logger
	// RequireHMAC refuses requests that are not signed, whatever the agent's setting.
	RequireHMAC bool
	// Alias answers under /mfa/v1 as well.
	Alias bool
	// Counted, if set, is told of each response: its endpoint and what it said.
	Counted func(endpoint, said string)
}

// A Server answers agents. It is safe for concurrent use.
type Server struct {
	Config
	mux       *http.ServeMux
	keys      *credentialCache
	ids       *credentialCache
	agents    *throttle.Throttle
	subjects  *throttle.Throttle
	strangers *throttle.Throttle
	lines     *throttle.Throttle // of the log, about the same
	instances instances
}

// Base is the path that all endpoints are below, and alias the one that some agents use.
const (
	Base  = "/mfa/v1_1/authn/"
	alias = "/mfa/v1/authn/"
)

// Limits of one agent, of wrong keys from one source, and of lines of the log about the same, a second and at once. While the database is away, or an agent
// repeats itself, a line for each message would fill the disk; the metrics count them all.
const (
	agentRate, agentBurst       = 20_000, 40_000 // above what a small server can decide
	strangerRate, strangerBurst = 1, 20
	lineRate, lineBurst         = 1, 10
)

// New makes the API.
func New(c Config) *Server {
	s := &Server{
		Config: c, mux: http.NewServeMux(), keys: newCredentialCache(), ids: newCredentialCache(), agents: throttle.New(agentRate, agentBurst),
		subjects: throttle.New(throttle.SubjectRate, throttle.SubjectBurst), strangers: throttle.New(strangerRate, strangerBurst), lines: throttle.New(lineRate, lineBurst),
	}
	bases := []string{Base}
	if c.Alias {
		bases = append(bases, alias)
	}
	for _, base := range bases {
		s.mux.Handle("POST "+base+"initialize", s.handler(endpoint{"initialize", s.initialize, failed}))
		s.mux.Handle("POST "+base+"verify", s.handler(endpoint{"verify", s.verify, failed}))
		s.mux.Handle("POST "+base+"status", s.handler(endpoint{"status", s.status, untold}))
		s.mux.Handle("POST "+base+"cancel", s.handler(endpoint{"cancel", s.cancel, failed}))
		s.mux.Handle("GET "+base+"resources", s.handler(endpoint{"resources", s.resources, failed}))
	}
	return s
}

// ServeHTTP answers a request. TLS is the caller's part.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// maxBody is the largest request that is read.
const maxBody = 64 << 10

// A call is one request of an agent that is known.
type call struct {
	*http.Request
	body       []byte
	agent      access.Agent
	credential access.Credential
	source     authentication.Source
	throttled  bool // the agent sends too much: nothing is to be decided or written
}

// A reply is what an endpoint has to say.
type reply struct {
	status   int
	document any
	said     string // in a word, for counting
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// An endpoint is one of the five.
type endpoint struct {
	name string
	do   func(*call) (reply, error)
	// failed is the document of a response that tells of no attempt.
	failed func(outcome) any
}

// handler is what stands before all of them: the size of the body, and who asks.
func (s *Server) handler(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buffer := buffers.Get().(*bytes.Buffer)
		defer func() {
			clear(buffer.Bytes()[:buffer.Len()]) // it may hold a passcode
			buffer.Reset()
			buffers.Put(buffer)
		}()
		out := s.answered(r, buffer, e)
		if s.Counted != nil {
			s.Counted(e.name, out.said)
		}
		s.write(w, r, out)
	})
}

// answered is the reply to a request, whatever happens. A panic is a defect of the one request.
func (s *Server) answered(r *http.Request, buffer *bytes.Buffer, e endpoint) (out reply) {
	defer func() {
		if p := recover(); p != nil {
			// What a panic says may quote data. Its stack shows addresses and no contents.
			err := fmt.Errorf("panic of type %T at:\n%s", p, debug.Stack())
			out = reply{s.broken(r.Context(), err), e.failed(broken), "error"}
		}
	}()
	if _, err := buffer.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil {
		return reply{http.StatusBadRequest, e.failed(invalid), "malformed"}
	}
	if buffer.Len() > maxBody {
		return reply{http.StatusRequestEntityTooLarge, e.failed(invalid), "malformed"}
	}
	c, err := s.caller(r, buffer.Bytes())
	if err == nil {
		out, err = e.do(c)
	}
	if err == nil {
		return out
	}
	switch fault.CodeOf(err) {
	case fault.Unauthorized:
		return reply{http.StatusUnauthorized, e.failed(stranger), "unauthorized"}
	case fault.Invalid:
		return reply{http.StatusBadRequest, e.failed(invalid), "malformed"}
	}
	return reply{s.broken(r.Context(), err), e.failed(broken), "error"}
}

// broken is the status when nothing can be decided, and logs why. Without the database the whole node is of no use, and the status
// tells agents to ask another one.
func (s *Server) broken(ctx context.Context, err error) int {
	if s.lines.Allows(sameFor(err), s.Now()) {
		s.Logger.ErrorContext(ctx, "authentication request failed", "error", err, "correlation_id", audit.CorrelationFrom(ctx))
	}
	if fault.CodeOf(err) == fault.Unavailable || ctx.Err() != nil {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// sameFor is the text of an error without numbers, such as the port of a connection that broke, or for how long a clock that went back has to catch up.
func sameFor(err error) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
}

// leastCompressed is the smallest body that compressing makes smaller on the wire.
const leastCompressed = 1400

func (s *Server) write(w http.ResponseWriter, r *http.Request, out reply) {
	body, err := json.Marshal(out.document)
	if err != nil { // strings and numbers only: a defect
		s.Logger.ErrorContext(r.Context(), "authentication response", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if len(body) >= leastCompressed && asksForGzip(r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(out.status)
		zip := gzip.NewWriter(w)
		_, _ = zip.Write(body) // an agent that left is no concern of ours
		_ = zip.Close()
		return
	}
	w.WriteHeader(out.status)
	w.Write(body)
}

// asksForGzip tells whether an agent names gzip among what it takes, and not as what it does not (RFC 9110 section 12.5.3).
func asksForGzip(accepted []string) bool {
	for coding := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, weighed := strings.Cut(weight, "=")
		value, _ := strconv.ParseFloat(strings.TrimSpace(q), 64) // 0 for what is no number
		return !weighed || value > 0
	}
	return false
}
