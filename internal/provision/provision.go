// Package provision is where token apps fetch their token: dynamic seed
// provisioning (CT-KIP) over HTTPS at the path that RSA's apps expect. It
// turns HTTP into calls of package distribution and its outcomes into the
// octets of package ctkip (spec/ct-kip.md sections 2 to 4).
//
// All refusals of a code look alike. Guessing codes is slowed by source
// address and altogether; what happens to a known code is counted with it, in
// the database, and one that is refused again and again is not looked up each time.
package provision

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

// Path is where apps post their requests.
const Path = "/ctkip/services/CtkipService"

// A Distributor runs exchanges: a distribution.Distributor.
type Distributor interface {
	Begin(ctx context.Context, m *ctkip.Message) ([]byte, error)
	Finish(ctx context.Context, m *ctkip.Message, body []byte) ([]byte, error)
	Discard(ctx context.Context, m *ctkip.Message, body []byte) error
	Begun(ctx context.Context, m *ctkip.Message) (bool, error)
}

// A Handler answers provisioning requests.
type Handler struct {
	distributor Distributor
	log         *slog.Logger
	now         func() time.Time
	guesses     *limiter
	refused     *throttle.Throttle // known codes that cannot be used, each by itself
}

// How often a known code may be refused, in a second and at once: each time is a commit, with an event in the audit log, and whoever has an old code
// may send it for ever.
const refusedRate, refusedBurst = 1, 20

// New makes a handler; now is the clock.
func New(d Distributor, log *slog.Logger, now func() time.Time) *Handler {
	return &Handler{distributor: d, log: log, now: now, guesses: newLimiter(now), refused: throttle.New(refusedRate, refusedBurst)}
}

// ServeHTTP answers one request of either step. Failures of the protocol are HTTP 200, because
// apps do not read the body of anything else; only what is no request at all gets 400.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "token apps POST here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ctkip.MaxBody))
	if err != nil || !readable(r.Header.Get("Content-Type")) {
		http.Error(w, "not a provisioning request", http.StatusBadRequest)
		return
	}
	source := throttle.Source(r.RemoteAddr)
	ctx := audit.WithActor(r.Context(), audit.Actor{Name: "app", Client: source.String()})
	answer, ok := h.answer(ctx, source, body, r.Header.Get("Authorization"))
	if !ok {
		http.Error(w, "not a provisioning request", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.Header().Set("Cache-Control", "no-store")
	w.Write(answer) //nolint:gosec // XML for apps, built from fixed text and escaped values
}

// readable tells whether a body of this type may be a SOAP envelope. The types of other bindings may not.
func readable(contentType string) bool {
	switch t, _, _ := mime.ParseMediaType(contentType); t {
	case "", ctkip.RequestType, "text/xml", "application/xml", "application/soap+xml":
		return true
	}
	return false
}

// answer gives the body for a request; false if it is none.
func (h *Handler) answer(ctx context.Context, source netip.Addr, body []byte, authorization string) ([]byte, bool) {
	m, err := ctkip.ParseRequest(body, authorization)
	switch {
	case errors.Is(err, ctkip.ErrCode):
		if g, err := h.guesses.begin(ctx, source); err == nil {
			h.settle(ctx, g, true)
		}
		return ctkip.InvalidCode.Body(), true
	case err != nil:
		return nil, false
	case m.Step == ctkip.StepHello && m.Refusal != "":
		return m.Failure(m.Refusal), true
	}
	reply, err := h.limited(ctx, source, m, body)
	switch {
	case err == nil:
		return reply, true
	case errors.Is(err, fault.ActivationRefused), errors.Is(err, errBlocked):
		return ctkip.InvalidCode.Body(), true
	case errors.Is(err, errBusy):
		return ctkip.Unavailable.Body(), true
	case errors.Is(err, distribution.ErrAborted):
		return m.Failure(ctkip.Abort), true
	}
	h.log.ErrorContext(ctx, "provisioning failed", "error", err, "correlation_id", audit.CorrelationFrom(ctx))
	if m.Step == ctkip.StepNonce {
		return m.Failure(ctkip.InitializationFailed), true
	}
	return ctkip.Unavailable.Body(), true
}

// limited runs a step unless there were too many wrong codes, or too many refusals of this one.
func (h *Handler) limited(ctx context.Context, source netip.Addr, m *ctkip.Message, body []byte) (reply []byte, err error) {
	if h.refused.Exhausted(string(m.Code), h.now()) {
		return nil, errBlocked
	}
	g, refused := h.guesses.begin(ctx, source)
	if refused == nil {
		defer func() { h.settle(ctx, g, unknownCode(err)) }()
	}
	defer func() { // before that: who waits for it looks again
		if errors.Is(err, fault.ActivationRefused) && !unknownCode(err) {
			h.refused.Allows(string(m.Code), h.now())
		}
	}()
	if refused == nil {
		if h.refused.Exhausted(string(m.Code), h.now()) { // while it waited
			return nil, errBlocked
		}
		return h.step(ctx, m, body)
	}
	if m.Step == ctkip.StepHello {
		return nil, refused
	}
	// Who goes on with what she began with this code guesses nothing, whatever came from her address meanwhile.
	begun, err := h.distributor.Begun(ctx, m)
	if err != nil {
		return nil, err
	}
	if !begun {
		return nil, refused
	}
	return h.step(ctx, m, body)
}

// step runs one step of the exchange.
func (h *Handler) step(ctx context.Context, m *ctkip.Message, body []byte) ([]byte, error) {
	switch {
	case m.Step == ctkip.StepHello:
		return h.distributor.Begin(ctx, m)
	case m.Refusal == "":
		return h.distributor.Finish(ctx, m, body)
	}
	if err := h.distributor.Discard(ctx, m, body); err != nil {
		return nil, err
	}
	return m.Failure(m.Refusal), nil
}

func unknownCode(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Details["why"] == fault.ActivationUnknown
}

// settle counts a code that was looked up, if it was wrong.
func (h *Handler) settle(ctx context.Context, g guess, wrong bool) {
	if alarm := h.guesses.settle(g, wrong); alarm {
		h.log.WarnContext(ctx, "many wrong activation codes: somebody may be guessing", "failures_per_hour", maxGuesses)
	}
}
