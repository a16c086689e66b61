package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"golang.org/x/mod/sumdb/note"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/care"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/transfer"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/internal/webhook"
)

// A house is an API on a real database, and what it said.
type house struct {
	*API
	*deploytest.Clock
	t      testing.TB
	db     *store.DB
	public *httptest.Server
	admin  *client.Client // a super administrator
	logged *deploytest.Log

	mu    sync.Mutex
	seen  map[string]map[int]bool // statuses by route
	texts []string                // bodies of refusals
	spool string                  // folder of uploads
}

func newHouse(t testing.TB) *house {
	t.Helper()
	return furnish(t, deploytest.SQLite(t))
}

// furnish builds the API on a database.
func furnish(t testing.TB, url string) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{t: t, logged: &deploytest.Log{}, seen: map[string]map[int]bool{}, Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)), spool: t.TempDir()}
	db, keys := deploytest.New(t, url, h.Now)
	h.db = db
	logger := slog.New(slog.NewTextHandler(h.logged, nil))
	skey, vkey, err := audit.GenerateKey("tallystick.example")
	must(t, err)
	log := &audit.Log{
		Store: db, Signer: try(note.NewSigner(skey))(t), Verifier: try(note.NewVerifier(vkey))(t), Now: h.Now, Logger: logger,
	}
	made := &records.Registry{Store: db, Keys: keys, Now: h.Now}
	must(t, made.BeginSerials(ctx))
	devices := &device.Registry{Store: db, Now: h.Now}
	policies := &policy.Registry{Store: db, Now: h.Now}
	tokens := &token.Registry{Store: db, Now: h.Now}
	jobs := &job.Registry{Store: db, Keys: keys, Domains: &domain.Registry{Store: db, Now: h.Now}, Now: h.Now, Logger: logger}
	cared := &care.Jobs{Store: db, Tokens: tokens, Jobs: jobs}
	cared.Register()
	outbox := &mail.Outbox{Store: db, Keys: keys, Policies: policies, Now: h.Now, Service: "Tallystick"}
	h.API = try(New(Config{
		Users: &user.Registry{Store: db, Now: h.Now}, Groups: &user.Groups{Store: db, Now: h.Now}, Domains: &domain.Registry{Store: db, Now: h.Now, Changed: policies.Forget},
		Directories: &directory.Registry{Store: db, Users: &user.Registry{Store: db, Now: h.Now}, Keys: keys, Now: h.Now}, Profiles: &profile.Registry{Store: db, Devices: devices, Now: h.Now}, Policies: policies,
		Tokens: tokens, Care: cared, Keys: &access.Registry{Store: db, Hash: keys, Now: h.Now}, Records: made,
		Agents: &access.Agents{Store: db, Keys: keys, Now: h.Now},
		RADIUS: &access.RADIUSRegistry{Store: db, Keys: keys, Now: h.Now}, UserReplies: &access.UserReplies{Store: db, Now: h.Now},
		Distributor:   &distribution.Distributor{Store: db, Devices: devices, Keys: deploytest.Secrets(keys), Now: h.Now, Endpoint: "https://tokens.example.com:8443/ctkip", Service: "Tallystick"},
		Authenticator: &authentication.Engine{Store: db, Keys: keys, Policies: policies, Courier: outbox, Now: h.Now},
		Reports:       &report.Registry{Store: db, Runs: db, Policies: policies, Domains: &domain.Registry{Store: db, Now: h.Now}, Now: h.Now, Posts: h.posts},
		Mail:          outbox,
		Mailer:        &mail.Sender{Outbox: outbox, Server: "test", Logger: logger},
		SignIn:        &mail.SignIn{Outbox: outbox, Passcode: func(_ context.Context, _, code, _ string) (bool, error) { return code == "12345678", nil }},
		Webhooks:      &webhook.Registry{Store: db, Keys: keys, Now: h.Now, Sender: &webhook.Sender{Store: db, Feed: log, Keys: keys, Server: "test", Now: h.Now, Logger: logger}},
		Jobs:          jobs,
		Clock:         &clock.Guard{Store: db, Server: "test", Name: "test", Now: h.Now, Logger: logger},
		Backup:        &backup.Taker{Source: db, Store: db, Keys: keys, Master: keys.MasterID(), Now: h.Now, Files: func() (map[string][]byte, error) { return map[string][]byte{"ca.pem": []byte("pem")}, nil }},
		Keyring:       keys, Log: log, VerifierKey: vkey, Store: db, Now: h.Now, Logger: logger, Spool: h.spool, UploadLimit: 1 << 20,
	}))(t)
	h.Distributor.Post, h.Jobs.Ended, h.Jobs.Asked = outbox, outbox.JobFinished, outbox.JobAsked
	h.Jobs.Register(outbox.Reminders(string(access.Distribute)))
	h.Records.Jobs = h.Jobs
	h.Transfer = &transfer.Deployment{Store: db, Keys: keys, Users: h.Users, Jobs: h.Jobs, Now: h.Now}
	for _, w := range append(h.Distributor.Workers(), h.Records.ImportWorker(), h.Records.CreateWorker(), h.Transfer.Worker()) {
		h.Jobs.Register(w)
	}
	h.public = httptest.NewServer(h.Public())
	t.Cleanup(h.public.Close)
	h.admin = h.as(access.SuperAdmin)
	return h
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
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// key makes an API key of a role.
func (h *house) key(role access.Role) string {
	h.t.Helper()
	_, text, err := h.Keys.Add(context.Background(), string(role)+"-"+strings.ToLower(time.Now().Format("150405.000000000")), role, 0)
	must(h.t, err)
	return text
}

// as is a client with a key of a role.
func (h *house) as(role access.Role) *client.Client {
	h.t.Helper()
	return try(client.New(h.public.URL, h.key(role), &http.Client{Transport: h}))(h.t)
}

// RoundTrip does a request and holds the answer against openapi.yaml.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	_, pattern := h.mux.Handler(r)
	h.mu.Lock()
	if h.seen[pattern] == nil {
		h.seen[pattern] = map[int]bool{}
	}
	h.seen[pattern][res.StatusCode] = true
	if res.StatusCode >= 400 {
		h.texts = append(h.texts, string(body))
	}
	h.mu.Unlock()
	if pattern != "/" {
		h.conforms(r, pattern, res, body)
	}
	return res, nil
}

// conforms fails the test if an answer is not what the document says of its route.
func (h *house) conforms(r *http.Request, pattern string, res *http.Response, body []byte) {
	op, err := h.contract.operation(pattern)
	if err != nil {
		h.t.Error(err)
		return
	}
	unread := []string{"application/yaml", "text/event-stream", "application/zip", "text/csv", "application/pdf"}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: &op.Route},
		Status:                 res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: slices.Contains(unread, res.Header.Get("Content-Type"))},
	})
	if err != nil {
		h.t.Errorf("%s answered %d with what openapi.yaml does not say: %v", pattern, res.StatusCode, err)
	}
	if res.StatusCode >= 400 {
		h.promised(op.Operation, res.StatusCode, body)
	}
}

// promised fails the test if a refusal of 404, 409 or 422 has a code that its operation does not list.
func (h *house) promised(op *openapi3.Operation, status int, body []byte) {
	if status != http.StatusNotFound && status != http.StatusConflict && status != http.StatusUnprocessableEntity {
		return
	}
	listed, _ := op.Extensions["x-codes"].([]any)
	for _, code := range append(listed, "KEY_REUSED") {
		if bytes.Contains(body, []byte(`"code":"`+code.(string)+`"`)) {
			return
		}
	}
	h.t.Errorf("%s refuses with a code that openapi.yaml does not list for it: %s", op.OperationID, body)
}

// send does a request as it is, and returns its status, headers and body.
func (h *house) send(key, method, path, body string, headers ...string) (int, http.Header, string) {
	h.t.Helper()
	r := try(http.NewRequest(method, h.public.URL+path, strings.NewReader(body)))(h.t)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res := try(h.RoundTrip(r))(h.t)
	defer res.Body.Close()
	return res.StatusCode, res.Header, string(try(io.ReadAll(res.Body))(h.t))
}

// assigned is a new token of a new user.
func (h *house) assigned(userID string) client.Token {
	h.t.Helper()
	ctx := h.t.Context()
	try(h.admin.AddUser(ctx, client.NewUser{UserID: userID}))(h.t)
	serials := try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 1}))(h.t)
	return try(h.admin.Assign(ctx, serials[0], userID))(h.t)
}

// profile is a new profile with a delivery method.
func (h *house) profile(name, method string) {
	h.t.Helper()
	try(h.admin.AddProfile(h.t.Context(), client.NewProfile{Profile: name, DeviceType: "generic", DeliveryMethod: method, PINType: "none"}))(h.t)
}

// refused fails the test unless err is a refusal with that status and code.
func refused(t testing.TB, err error, status int, code string) {
	t.Helper()
	e, ok := err.(*client.Error)
	if !ok || e.Status != status || e.Code != code || e.Message == "" || e.CorrelationID == "" {
		t.Errorf("got %+v, want %d %s", err, status, code)
	}
}
