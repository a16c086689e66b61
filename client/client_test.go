package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/client"
)

// serve is a client of a server that answers like that.
func serve(t *testing.T, answer http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	c, err := client.New(s.URL+"/", "tsk_key", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"https://tokens.example.com:8443": true, "https://tokens.example.com/": true, "http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:1": true,
		"http://tokens.example.com": false, "tokens.example.com": false, "https://": false, "ftp://x": false, "https://user@x": false, "https://x?y": false, "": false, "http://localhost.example.com": false,
	} {
		if _, err := client.New(address, "key", nil); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestRequests(t *testing.T) {
	var got *http.Request
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		io.WriteString(w, `{"version":8}`)
	})
	name := "New"
	u, err := c.EditUser(t.Context(), "a/b c", 7, client.UserEdit{Name: &name})
	if err != nil || u.Version != 8 {
		t.Fatalf("%+v, %v", u, err)
	}
	if got.Method != http.MethodPatch || got.URL.EscapedPath() != "/v1/users/a%2Fb%20c" || body != `{"name":"New"}` {
		t.Errorf("%s %s %s", got.Method, got.URL.EscapedPath(), body)
	}
	for header, want := range map[string]string{"Authorization": "Bearer tsk_key", "If-Match": `"7"`, "Content-Type": "application/json", "Idempotency-Key": ""} {
		if got.Header.Get(header) != want {
			t.Errorf("%s: %q, want %q", header, got.Header.Get(header), want)
		}
	}
	yes := true
	if _, err := c.Tokens(t.Context(), client.TokenFilter{Assigned: &yes, Query: "a&b", Limit: 5}); err != nil {
		t.Fatal(err)
	}
	if got.URL.RawQuery != "assigned=true&limit=5&query=a%26b" || body != "" || got.Header.Get("If-Match") != "" {
		t.Errorf("%s %s", got.URL.RawQuery, body)
	}
}

func TestRefusals(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"code":"TOKEN_LIMIT_REACHED","message":"3 tokens","details":{"limit":3},"correlation_id":"c-1"}`)
	})
	_, err := c.AssignNext(t.Context(), "alice")
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != 422 || refused.Code != "TOKEN_LIMIT_REACHED" || refused.Details["limit"] != 3.0 || refused.CorrelationID != "c-1" || err.Error() != "3 tokens" {
		t.Errorf("%+v", err)
	}
	// What something in between answers is no refusal of the server's.
	c = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) })
	if err := c.DeleteToken(t.Context(), "000000000001"); !errors.As(err, &refused) || refused.Status != 502 || refused.Code != "INTERNAL" {
		t.Errorf("%+v", err)
	}
	c = serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	if _, err := c.WhoAmI(t.Context()); err == nil || errors.As(err, &refused) {
		t.Errorf("%+v", err)
	}
}

// A redirect is not followed: it would take the key and the body elsewhere.
func TestRedirects(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/whoami" {
			t.Errorf("followed to %s", r.URL)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	var refused *client.Error
	if _, err := c.WhoAmI(t.Context()); !errors.As(err, &refused) || refused.Status != http.StatusTemporaryRedirect {
		t.Errorf("%+v", err)
	}
}

// A tally notes the idempotency keys of requests as they come in.
type tally struct {
	mu   sync.Mutex
	keys []string
}

// note adds a request and returns how many there were.
func (n *tally) note(r *http.Request) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.keys = append(n.keys, r.Header.Get("Idempotency-Key"))
	return len(n.keys)
}

// take returns the keys and forgets them.
func (n *tally) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys := n.keys
	n.keys = nil
	return keys
}

// What creates is sent again under the same key when the connection breaks; what would do its work twice is not.
func TestLostConnections(t *testing.T) {
	var came tally
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if came.note(r) < 3 {
			panic(http.ErrAbortHandler) // hangs up
		}
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(client.CreatedTokens{Serials: []string{"000000000001"}})
	})
	serials, err := c.CreateTokens(t.Context(), client.NewTokens{Count: 1})
	if err != nil || len(serials) != 1 {
		t.Fatalf("%v, %v", serials, err)
	}
	if keys := came.take(); len(keys) != 3 || len(keys[0]) < 16 || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("keys %q", keys)
	}
	_, err = c.Authenticate(t.Context(), "alice", "12345678")
	if keys := came.take(); err == nil || len(keys) != 1 || keys[0] != "" {
		t.Errorf("a check was sent with %q: %v", keys, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.CreateTokens(ctx, client.NewTokens{Count: 1})
	if keys := came.take(); !errors.Is(err, context.Canceled) || len(keys) != 0 {
		t.Errorf("sent with %q: %v", keys, err)
	}
}

// The server does not know either: asked again with the same key, it does.
func TestUnavailable(t *testing.T) {
	var came tally
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		came.note(r)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"code":"UNAVAILABLE","message":"later"}`)
	})
	var refused *client.Error
	_, err := c.AddUser(t.Context(), client.NewUser{UserID: "alice"})
	if keys := came.take(); !errors.As(err, &refused) || refused.Code != "UNAVAILABLE" || len(keys) != 3 || keys[0] != keys[2] {
		t.Errorf("%v after %d tries", err, len(keys))
	}
}

func TestPagesEndWithAnError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "" {
			http.Error(w, "", http.StatusTeapot)
			return
		}
		json.NewEncoder(w).Encode(client.UserPage{Users: []client.User{{UserID: "a"}, {UserID: "b"}}, Next: "b"})
	})
	var ids []string
	var last error
	for u, err := range c.AllUsers(t.Context(), client.UserFilter{}) {
		ids, last = append(ids, u.UserID), err
	}
	if len(ids) != 3 || ids[1] != "b" || last == nil {
		t.Errorf("%q, %v", ids, last)
	}
	for range c.AllUsers(t.Context(), client.UserFilter{}) {
		break
	}
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a key is sent to the socket")
		}
		json.NewEncoder(w).Encode(client.Identity{Actor: "socket"})
	})}
	go s.Serve(l)
	defer s.Close()
	if me, err := client.Unix(path).WhoAmI(t.Context()); err != nil || me.Actor != "socket" {
		t.Errorf("%+v, %v", me, err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	const secret = "82740915"
	c, err := client.New("https://tokens.example.com", secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, nil))
	for _, v := range []any{
		client.Secret(secret), client.PIN{PIN: secret}, client.Check{Passcode: secret}, client.Distribution{Password: secret}, &client.TokenFile{Password: secret},
		client.CreatedAPIKey{Key: secret}, c, client.Issue{Delivery: client.Delivery{CTF: secret, CTFURL: secret, ActivationCode: secret, QR: secret, CTKIPURL: secret}},
		client.Delivery{Method: "ctf", CTF: secret},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%T with %s: %s", v, verb, text)
			}
		}
		log.Info("value", "v", v)
	}
	if strings.Contains(logged.String(), secret) {
		t.Errorf("logged: %s", logged.String())
	}
	if sent, err := json.Marshal(client.PIN{PIN: secret}); err != nil || string(sent) != `{"pin":"82740915"}` {
		t.Errorf("%s, %v", sent, err)
	}
}
