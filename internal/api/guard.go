package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

// Local answers requests that come over the admin socket: whoever may open it is a super administrator.
func (a *API) Local() http.Handler {
	return a.serve(func(*http.Request) (audit.Actor, domain.Scope, error) {
		return audit.Actor{Name: "socket", Role: string(access.SuperAdmin)}, domain.Scope{}, nil
	})
}

// Public answers requests that carry an API key: "Authorization: Bearer tsk_...". TLS is the caller's part.
func (a *API) Public() http.Handler { return a.serve(a.holder) }

var errNoKey = fault.New(fault.Unauthorized, "the request carries no API key: send one as 'Authorization: Bearer tsk_...'")

// holder finds out whose API key a request carries. Refusals of wrong keys all look alike. A source that sends
// wrong keys is refused before its key is looked at, right or wrong, or the limit would limit nothing.
func (a *API) holder(r *http.Request) (audit.Actor, domain.Scope, error) {
	source := throttle.Source(r.RemoteAddr)
	if !a.guesses.allows(source) {
		return audit.Actor{}, domain.Scope{}, fault.New(fault.TooMany, "too many wrong API keys came from this address: wait a minute")
	}
	// The scheme is compared without regard to case (RFC 9110 section 11.1).
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		text = ""
	}
	k, err := a.Keys.Check(r.Context(), text)
	if fault.CodeOf(err) == fault.Unauthorized {
		a.guesses.count(source)
		if text == "" {
			err = errNoKey
		}
	}
	if err != nil {
		return audit.Actor{}, domain.Scope{}, err
	}
	scope, err := a.Domains.Scope(r.Context(), k.Domain)
	return audit.Actor{Name: "key:" + k.Name, Role: string(k.Role), Client: source.String(), Origin: k.Origin, KeyID: k.ID}, scope, err
}

// correlationID is what a caller may name a request.
var correlationID = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

// serve gives a request its correlation ID and its actor, hands it to its route and logs that it was there:
// the route and not the address, which holds names.
func (a *API) serve(who func(*http.Request) (audit.Actor, domain.Scope, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Correlation-ID")
		if !correlationID.MatchString(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		w.Header().Set("X-Correlation-ID", id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		given := r
		r = r.WithContext(audit.WithCorrelation(r.Context(), id))
		seen := &status{ResponseWriter: w}
		begun := a.Now()
		defer func() {
			given.Pattern = r.Pattern // the route, for whoever counts requests around the API
			a.Logger.InfoContext(r.Context(), "request", "route", r.Pattern, "status", seen.code, "actor", audit.ActorFrom(r.Context()).Name,
				"client", r.RemoteAddr, "duration", a.Now().Sub(begun), "correlation_id", id)
		}()
		actor, scope, err := who(r)
		if err != nil {
			r = r.WithContext(audit.WithActor(r.Context(), audit.Actor{Name: "unknown"}))
			a.refuse(seen, r, err)
			return
		}
		r = r.WithContext(domain.WithScope(audit.WithActor(r.Context(), actor), scope))
		path := r.URL.EscapedPath()
		if strings.Contains(path, "%00") {
			a.refuse(seen, r, errNUL)
			return
		}
		if slashAlone.MatchString(path) {
			u := *r.URL
			u.RawPath = slashAlone.ReplaceAllString(path, "/%00$1")
			u.Path, _ = url.PathUnescape(u.RawPath) // it could be read before
			r.URL = &u
		}
		a.mux.ServeHTTP(seen, r)
	})
}

// slashAlone is a name in a path that is / and nothing else, which [http.ServeMux] takes for the end of the path: the routes find noName there, and
// guard puts the name back.
var slashAlone = regexp.MustCompile(`(?i)/%2F(/|$)`)

// noName is what no name holds, and no path that is taken.
const noName = "\x00"

var errNUL = fault.New(fault.Invalid, "the path holds the character U+0000, which is in no name: send the name as it was given")

// A status remembers which status was written.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the writer below.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// guard is what stands before every handler: the right, the document, and the answer that was given before.
func (a *API) guard(t route, op *operation) http.Handler {
	return a.show(func(w http.ResponseWriter, r *http.Request) (answer, error) {
		actor := audit.ActorFrom(r.Context())
		if t.need != "" && !access.Role(actor.Role).May(t.need) {
			return answer{}, access.Role(actor.Role).Refuse(t.need)
		}
		for name, value := range op.pathValues(r) {
			if value == noName {
				r.SetPathValue(name, "/")
			}
		}
		if err := a.reach(r.Context(), t.pattern, r.PathValue); err != nil {
			return answer{}, err
		}
		long := op.allowTime(w, r)
		done, err := op.makeRoom(r)
		if err != nil {
			return answer{}, err
		}
		defer done()
		in, err := op.accept(w, r)
		if err == nil && long { // the key may be deleted since
			err = a.Keys.Still(r.Context())
		}
		if err != nil {
			return answer{}, err
		}
		if t.before != nil {
			if err := t.before(r.Context()); err != nil {
				return answer{}, err
			}
		}
		if dry := in.flag("dry_run"); dry != nil && *dry {
			return a.undone(r.Context(), in, t.do)
		}
		key := r.Header.Get("Idempotency-Key")
		switch {
		case key != "" && op.job:
			return a.jobOnce(r.Context(), in, key, t.do)
		case key != "":
			return a.once(r.Context(), in, key, t.do)
		}
		return t.do(r.Context(), in)
	})
}

// errUndo ends the transaction of a dry run.
var errUndo = errors.New("a dry run is undone")

// undone does a dry run: the handler does all of its work, in a transaction that is then undone.
func (a *API) undone(ctx context.Context, r *request, do handler) (answer, error) {
	var out answer
	err := a.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		if out, err = do(ctx, r); err != nil {
			return err
		}
		return errUndo
	})
	if errors.Is(err, errUndo) {
		return out, nil
	}
	return answer{}, err
}

// show writes what do answers. A panic is a defect of the one request.
func (a *API) show(do func(http.ResponseWriter, *http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it in the same way
				panic(p) // an answer that is on its way cannot be refused any more
			} else if p != nil {
				// What a panic says may quote data. Its stack shows addresses and no contents.
				a.refuse(w, r, fmt.Errorf("panic of type %T at:\n%s", p, debug.Stack()))
			}
		}()
		out, err := do(w, r)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		out.write(w)
	})
}

// unknown is the answer to what no route fits: 405 where other methods are there, since who deletes takes 404 for done already (RFC 9110 section 15.5.6).
func (a *API) unknown(w http.ResponseWriter, r *http.Request) (answer, error) {
	var others []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut} {
		other := *r
		other.Method = method
		if _, pattern := a.mux.Handler(&other); pattern != noRoute {
			others = append(others, method)
		}
	}
	if len(others) > 0 {
		allow := strings.Join(others, ", ")
		w.Header().Set("Allow", allow)
		return answer{}, fault.New(fault.NoSuchMethod, "this path takes no %.20s: it takes %s", strconv.QuoteToASCII(r.Method), allow)
	}
	return answer{}, fault.New(fault.NotFound, "the API has no such path: GET /v1/openapi.yaml shows what it has")
}

// whoAmI tells the caller who it is taken for.
func (a *API) whoAmI(ctx context.Context, _ *request) (answer, error) {
	actor := audit.ActorFrom(ctx)
	return ok(identity(actor, domain.ScopeFrom(ctx)))
}

// document returns openapi.yaml.
func (a *API) document(context.Context, *request) (answer, error) {
	return answer{Status: http.StatusOK, Type: "application/yaml", Body: openAPI}, nil
}
