package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// statuses are those of the refusals (spec/software-token-lifecycle.md section 16). A refusal that
// is not here breaks a rule: 422.
var statuses = map[fault.Code]int{
	fault.Invalid: http.StatusBadRequest,

	fault.Unauthorized: http.StatusUnauthorized,
	fault.Forbidden:    http.StatusForbidden,
	fault.OutOfScope:   http.StatusForbidden,

	fault.ApproverIsStarter: http.StatusForbidden,

	fault.NotFound:        http.StatusNotFound,
	fault.UserNotFound:    http.StatusNotFound,
	fault.GroupNotFound:   http.StatusNotFound,
	fault.DomainNotFound:  http.StatusNotFound,
	fault.ProfileNotFound: http.StatusNotFound,
	fault.DeviceNotFound:  http.StatusNotFound,
	fault.DeviceDuplicate: http.StatusConflict,
	fault.DeviceInUse:     http.StatusConflict,
	fault.TokenNotFound:   http.StatusNotFound,
	fault.AttemptNotFound: http.StatusNotFound,

	fault.Conflict:            http.StatusConflict,
	fault.OutOfSequence:       http.StatusConflict,
	fault.UserExists:          http.StatusConflict,
	fault.UserInUse:           http.StatusConflict,
	fault.GroupExists:         http.StatusConflict,
	fault.GroupInUse:          http.StatusConflict,
	fault.DomainExists:        http.StatusConflict,
	fault.DirectorySuspicious: http.StatusConflict,
	fault.DomainInUse:         http.StatusConflict,
	fault.ProfileNameTaken:    http.StatusConflict,
	fault.ProfileInUse:        http.StatusConflict,
	fault.TokenAssigned:       http.StatusConflict,
	fault.TokenNotAssigned:    http.StatusConflict,
	fault.TokenExpired:        http.StatusConflict,
	fault.Expired:             http.StatusConflict,
	fault.NoToken:             http.StatusConflict,
	fault.SerialsExhausted:    http.StatusConflict,
	fault.ImportDuplicate:     http.StatusConflict,
	fault.SeedInUse:           http.StatusConflict,
	fault.NotDistributed:      http.StatusConflict,
	fault.IssueLimit:          http.StatusConflict,
	fault.PlaceUnknown:        http.StatusConflict,

	fault.EmergencyNotAllowed: http.StatusConflict,
	fault.PolicyForbids:       http.StatusConflict,
	fault.InReplacement:       http.StatusConflict,
	fault.NotExtendable:       http.StatusConflict,
	fault.NoDonor:             http.StatusConflict,
	fault.DonorEarlier:        http.StatusConflict,

	fault.JobNotFound:  http.StatusNotFound,
	fault.JobNameTaken: http.StatusConflict,
	fault.JobOver:      http.StatusConflict,
	fault.JobExpired:   http.StatusGone,
	fault.NotAwaiting:  http.StatusConflict,

	fault.NoSuchMethod: http.StatusMethodNotAllowed,

	fault.TooLarge: http.StatusRequestEntityTooLarge,
	fault.TooMany:  http.StatusTooManyRequests,

	fault.Unavailable: http.StatusServiceUnavailable,
	fault.ServiceBusy: http.StatusServiceUnavailable,

	// Nothing that the caller did: the server is not in order.
	fault.MasterKey:           http.StatusInternalServerError,
	fault.SchemaNewer:         http.StatusInternalServerError,
	fault.AuditTampered:       http.StatusInternalServerError,
	fault.DeliveryProofFailed: http.StatusInternalServerError,
}

// busySaid is how often it is said at most that requests are sent away.
const busySaid = time.Minute

// internal is the code of a defect or an outage, of which the caller is told nothing else.
const internal fault.Code = "INTERNAL"

// refuse writes the problem document (RFC 9457) of an error. Only the words of a [fault.Error] were written for
// callers; those of anything else go to the log.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problem(err)
	p.CorrelationID = audit.CorrelationFrom(r.Context())
	switch {
	case p.Code == string(fault.ServiceBusy): // whoever sends too much does so many times; the line of each request has its status
		a.busy.Do(func() {
			a.Logger.WarnContext(r.Context(), "requests are sent away (SERVICE_BUSY)", "route", r.Pattern, "because", p.Message, "correlation_id", p.CorrelationID)
		})
	case p.Status == http.StatusInternalServerError, p.Status == http.StatusServiceUnavailable:
		a.Logger.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "error", err, "correlation_id", p.CorrelationID)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="tallystick"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "3")
	}
	body, err := json.Marshal(p)
	if err != nil { // a fact that JSON cannot hold
		p.Details = nil
		body, _ = json.Marshal(p)
	}
	w.WriteHeader(p.Status)
	w.Write(body) // a caller who left is no concern of ours
}

// problem turns an error into its document.
func problem(err error) client.Problem {
	code := fault.CodeOf(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		code = fault.Unavailable
	}
	p := client.Problem{Type: "about:blank", Status: http.StatusUnprocessableEntity}
	if status, known := statuses[code]; known {
		p.Status = status
	}
	var told *fault.Error
	switch {
	case errors.As(err, &told):
		p.Message, p.Details = told.Message, told.Details
	case code == "":
		code, p.Status = internal, http.StatusInternalServerError
		p.Message = "something broke: the server's log has it under the correlation ID"
	case code == fault.Unavailable:
		p.Message = "whether it was done is not known: look, or ask again with the same Idempotency-Key"
	default:
		p.Message = http.StatusText(p.Status)
	}
	p.Code, p.Title, p.Detail = string(code), http.StatusText(p.Status), p.Message
	return p
}
