package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// A script is an engine that says what a test wants, and notes what it was asked.
type script struct {
	mu       sync.Mutex
	says     []any // decisions and errors, in turn; the last one for ever
	begun    []authentication.Request
	answered []authentication.Answer
	givenUp  []string
}

func (s *script) next() (authentication.Decision, error) {
	says := s.says[0]
	if len(s.says) > 1 {
		s.says = s.says[1:]
	}
	if err, failed := says.(error); failed {
		return authentication.Decision{}, err
	}
	return says.(authentication.Decision), nil
}

func (s *script) Begin(_ context.Context, q authentication.Request) (authentication.Decision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = append(s.begun, q)
	return s.next()
}

func (s *script) Continue(_ context.Context, a authentication.Answer) (authentication.Decision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = append(s.answered, a)
	return s.next()
}

func (s *script) Cancel(_ context.Context, attempt string, _ authentication.Source, _ []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.givenUp = append(s.givenUp, attempt)
	_, err := s.next()
	return err
}

// A house is the API on a real database, with an engine that follows a script.
type house struct {
	*Server
	*deploytest.Clock
	t      testing.TB
	db     *store.DB
	engine *script
	logged *bytes.Buffer
	id     string // of the credential
	key    string // of agent VPN1
	from   string // address of the caller

	mu   sync.Mutex
	said map[string]int
}

// events are the records of the audit log, a line each.
func events(t *testing.T, db *store.DB) (lines string) {
	t.Helper()
	for _, e := range try(db.Events(t.Context(), audit.Filter{Limit: audit.MaxPage}))(t).Entries {
		lines += string(e.Record) + "\n"
	}
	return lines
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// try fails the test if a call gave an error.
func try[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// newHouse is an API whose engine says these decisions and errors in turn, the last one for ever.
func newHouse(t testing.TB, says ...any) *house {
	t.Helper()
	h := &house{
		t: t, engine: &script{says: says}, logged: &bytes.Buffer{}, from: "192.0.2.7:4000", said: map[string]int{},
		Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)),
	}
	db, keys := deploytest.New(t, deploytest.SQLite(t), h.Now)
	h.db = db
	h.Server = New(Config{
		Engine: h.engine, Agents: &access.Agents{Store: h.db, Keys: keys, Now: h.Now}, Store: h.db, Now: h.Now,
		Logger: slog.New(slog.NewTextHandler(h.logged, nil)),
		Counted: func(endpoint, said string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.said[endpoint+" "+said]++
		},
	})
	try(h.Agents.Add(t.Context(), access.Agent{Name: "VPN1"}))(t)
	h.id, h.key = h.credential("vpn1")
	return h
}

// credential makes another credential of an agent.
func (h *house) credential(agent string) (id, key string) {
	h.t.Helper()
	c, key, err := h.Agents.AddCredential(context.Background(), agent, "", 0)
	must(h.t, err)
	return c.ID, key
}

// edit changes the agent VPN1, and lets the time pass until every server knows.
func (h *house) edit(change func(*access.Agent)) {
	h.t.Helper()
	try(h.Agents.Edit(h.t.Context(), "VPN1", 0, change))(h.t)
	h.Pass(remembered)
}

// request is a request with the agent's key.
func (h *house) request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = h.from
	r.Header.Set("Client-Key", h.key)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// send is the status and the body of an answer.
func (h *house) send(r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// post sends a message to an endpoint and reads the response as any JSON document.
func (h *house) post(endpoint, body string) document {
	h.t.Helper()
	status, text := h.send(h.request("POST", Base+endpoint, body))
	if status != http.StatusOK {
		h.t.Errorf("%s: status %d: %s", endpoint, status, text)
	}
	d := parse(h.t, text)
	d.conforms(endpoint)
	return d
}

// A document is a JSON document as another program reads it.
type document struct {
	t testing.TB
	v any
}

func parse(t testing.TB, text string) document {
	t.Helper()
	var v any
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return document{t, v}
}

// at is the member under a path such as "challengeMethods.challenges.0"; a missing one fails the test.
func (d document) at(path string) any {
	d.t.Helper()
	v := d.v
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			member, there := in[name]
			if !there {
				d.t.Fatalf("there is no %s in %v", path, d.v)
			}
			v = member
		case []any:
			i := int(name[0] - '0')
			if len(name) != 1 || i >= len(in) {
				d.t.Fatalf("there is no %s in %v", path, d.v)
			}
			v = in[i]
		default:
			d.t.Fatalf("there is no %s in %v", path, d.v)
		}
	}
	return v
}

func (d document) text(path string) string {
	d.t.Helper()
	s, ok := d.at(path).(string)
	if !ok {
		d.t.Fatalf("%s is no text: %v", path, d.at(path))
	}
	return s
}

// says fails the test unless the attempt and, if there is one, the first credential have these codes.
func (d document) says(code, reason string, method ...string) {
	d.t.Helper()
	if d.text("attemptResponseCode") != code || d.text("attemptReasonCode") != reason {
		d.t.Errorf("%s/%s, want %s/%s", d.text("attemptResponseCode"), d.text("attemptReasonCode"), code, reason)
	}
	if results := d.at("credentialValidationResults").([]any); len(method) == 0 && len(results) > 0 {
		d.t.Errorf("a result for a credential that was not sent: %v", results)
	}
	if len(method) == 3 {
		got := [3]string{d.text("credentialValidationResults.0.methodId"), d.text("credentialValidationResults.0.methodResponseCode"), d.text("credentialValidationResults.0.methodReasonCode")}
		if got != [3]string(method) {
			d.t.Errorf("the credential: %v, want %v", got, method)
		}
	}
}

// asks fails the test unless one method is asked for, and returns its version.
func (d document) asks(method string) document {
	d.t.Helper()
	if sets := d.at("challengeMethods.challenges").([]any); len(sets) != 1 {
		d.t.Fatalf("%d challenges", len(sets))
	}
	if got := d.text("challengeMethods.challenges.0.requiredMethods.0.methodId"); got != method {
		d.t.Errorf("asked for %s, want %s", got, method)
	}
	return document{d.t, d.at("challengeMethods.challenges.0.requiredMethods.0.versions.0")}
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	return string(try(io.ReadAll(r))(t))
}
