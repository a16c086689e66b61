package release

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/mail"
)

// A desk is a page whose answers are given.
type desk struct {
	*Page
	asked  []mail.Claim
	answer func(mail.Claim) (int, error)
	now    time.Time
	log    strings.Builder
}

func (d *desk) Release(_ context.Context, c mail.Claim) (int, error) {
	d.asked = append(d.asked, c)
	return d.answer(c)
}

func newDesk() *desk {
	d := &desk{now: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
	d.answer = func(c mail.Claim) (int, error) {
		switch {
		case c.Password == "broken":
			return 0, errors.New("the database is away")
		case c.Password == "right":
			return 1, nil
		}
		return 0, nil
	}
	d.Page = New(d, "Example <GmbH>", func() time.Time { return d.now }, slog.New(slog.NewTextHandler(&d.log, nil)))
	return d
}

func (d *desk) does(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func form(user, by, secret string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://tokens.example.com"+Path, strings.NewReader(url.Values{"user": {user}, "by": {by}, "secret": {secret}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// The page runs no script, is in no frame and in no cache, and shows nothing that was typed.
func TestPage(t *testing.T) {
	d := newDesk()
	get := httptest.NewRequest(http.MethodGet, Path, nil)
	for name, r := range map[string]*http.Request{"shown": get, "sent": form("alice", "password", "right"), "refused": form("alice", "password", "wrong"), "broken": form("alice", "password", "broken")} {
		w := d.does(r)
		body, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "script") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", name, w.Header())
		}
		if !strings.Contains(body, "Example &lt;GmbH&gt;") || strings.Contains(body, "<script") || strings.Contains(body, "alice") || strings.Contains(body, `value="right"`) {
			t.Errorf("%s: %s", name, body)
		}
		if (name == "sent") != strings.Contains(body, "is on its way") || (name == "refused") != strings.Contains(body, "Nothing was sent") || (name == "broken") != (w.Code == http.StatusServiceUnavailable) {
			t.Errorf("%s: %d %s", name, w.Code, body)
		}
	}
	if log := d.log.String(); strings.Contains(log, "right") || strings.Contains(log, "alice") || !strings.Contains(log, "the database is away") {
		t.Errorf("the log tells %s", log)
	}
}

// Whatever is wrong has the same answer.
func TestSameAnswer(t *testing.T) {
	d := newDesk()
	want := d.does(form("alice", "password", "wrong"))
	for _, r := range []*http.Request{form("nobody", "password", "wrong"), form("alice", "passcode", "12345678"), form("", "password", "wrong"), form("alice", "password", ""), form("alice", "else", "wrong")} {
		if got := d.does(r); got.Code != want.Code || got.Body.String() != want.Body.String() {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	}
	if len(d.asked) != 3 || d.asked[2].Passcode != "12345678" || d.asked[2].Password != "" || d.asked[0].Station != "192.0.2.1" {
		t.Errorf("asked %+v", d.asked)
	}
}

// Other sites cannot have a browser send the form, and one address does not try for long.
func TestOthers(t *testing.T) {
	d := newDesk()
	for name, change := range map[string]func(*http.Request){
		"cross-site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"origin": func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://evil.example")
		},
	} {
		r := form("alice", "password", "right")
		change(r)
		if w := d.does(r); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := d.does(httptest.NewRequest(http.MethodGet, Path+"?user=alice&by=password&secret=right", nil)); w.Code != http.StatusOK || len(d.asked) != 0 {
		t.Errorf("the URL signs in: %d", w.Code)
	}
	r := form("alice", "password", "right")
	r.URL.RawQuery = "user=bob&secret=wrong"
	if d.does(r); len(d.asked) != 1 || d.asked[0].UserID != "alice" {
		t.Errorf("asked %+v", d.asked)
	}
	if w := d.does(form("alice", "password", strings.Repeat("x", maxForm))); w.Code != http.StatusBadRequest {
		t.Errorf("a large form: %d", w.Code)
	}
	for range sourceBurst {
		d.does(form("alice", "password", "wrong"))
	}
	n := len(d.asked)
	if w := d.does(form("alice", "password", "right")); w.Code != http.StatusTooManyRequests || len(d.asked) != n {
		t.Errorf("no end: %d", w.Code)
	}
	other := form("alice", "password", "right")
	other.RemoteAddr = "192.0.2.7:4711"
	if w := d.does(other); w.Code != http.StatusOK {
		t.Errorf("another address waits too: %d", w.Code)
	}
	d.now = d.now.Add(time.Second)
	if w := d.does(form("alice", "password", "right")); w.Code != http.StatusOK {
		t.Errorf("a second later: %d", w.Code)
	}
	if w := d.does(httptest.NewRequest(http.MethodDelete, Path, nil)); w.Code == http.StatusOK {
		t.Errorf("deleted: %d", w.Code)
	}
}

// The page works where a public URL has a path: its proxy takes that away.
func TestUnderAPath(t *testing.T) {
	d := newDesk()
	mux := http.NewServeMux()
	mux.Handle(Path, d)
	mux.Handle("GET "+StylePath, Style())
	proxy := http.StripPrefix("/tokens", mux)
	at, err := url.Parse("https://portal.example.com/tokens" + Path)
	if err != nil {
		t.Fatal(err)
	}
	get := func(u *url.URL) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, u.String(), nil))
		return w
	}
	body := get(at).Body.String()
	links := regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(body, -1)
	if len(links) != 1 || !strings.Contains(body, `<form method="post" autocomplete`) { // a form without action is sent to its page
		t.Errorf("links %q in %s", links, body)
	}
	for _, link := range links {
		to, err := at.Parse(link[1])
		if err != nil {
			t.Fatal(err)
		}
		if w := get(to); w.Code != http.StatusOK {
			t.Errorf("%s: %d", to, w.Code)
		}
	}
}

// Keyboards of telephones put a blank behind a word.
func TestBlanksAroundAUserID(t *testing.T) {
	d := newDesk()
	d.does(form(" alice ", "password", " right "))
	d.does(form(" ", "password", "right"))
	if len(d.asked) != 1 || d.asked[0].UserID != "alice" || d.asked[0].Password != " right " {
		t.Errorf("asked %+v", d.asked)
	}
}
