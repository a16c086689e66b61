package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest sends anything to the socket: nothing may panic or be a defect, and every answer keeps to the document.
func FuzzRequest(f *testing.F) {
	for _, route := range table() {
		method, path, _ := strings.Cut(route.pattern, " ")
		f.Add(method, path, "", "", `{}`)
	}
	f.Add("POST", "/v1/users", "", "12345678", `{"user_id":"alice","name":"A","mail":"a@b"}`)
	f.Add("PATCH", "/v1/users/alice", `"1"`, "", `{"enabled":false}`)
	f.Add("GET", "/v1/tokens?limit=3&after=000000000001&assigned=true", "", "", ``)
	f.Add("POST", "/v1/tokens", "", "", `{"count":1,"expiry":"2031-01-01"}`)
	f.Add("POST", "/v1/authenticate", "", "", `{"user_id":"alice","passcode":"12345678"}`)
	f.Add("POST", "/v1/tokens/import", "", "", `{"file":"PFRLTkJhdGNoPg==","password":"x"}`)
	f.Add("GET", "/v1/audit/events?since=2026-01-01T00:00:00Z&order=newest&after=00000000000000000000000000000000-1", "", "", ``)
	h := newHouse(f)
	local := h.Local()
	f.Fuzz(func(t *testing.T, method, target, match, once, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.Contains(body, `"count"`) && len(body) > 40 {
			return // not what net/http hands on; or thousands of tokens
		}
		r := (&http.Request{Method: method, URL: u, RequestURI: target, Header: http.Header{}, Body: http.NoBody}).WithContext(t.Context())
		if body != "" {
			r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).WithContext(t.Context())
			r.Method, r.URL, r.RequestURI = method, u, target
		}
		for name, value := range map[string]string{"If-Match": match, "Idempotency-Key": once, "Content-Type": "application/json"} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		local.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %s\n%s", method, target, w.Code, w.Body, h.logged)
		}
		if _, pattern := h.mux.Handler(r); pattern != "/" && pattern != "" && w.Code != http.StatusMovedPermanently && w.Code != http.StatusTemporaryRedirect {
			res := w.Result()
			h.t = t
			h.conforms(r, pattern, res, w.Body.Bytes())
		}
	})
}
