package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
)

// Each role meets each route: without the right it is told so, whatever else is
// wrong with the request; with it, it never is.
func TestRightsMatrix(t *testing.T) {
	h := newHouse(t)
	path := strings.NewReplacer("{user_id}", "nobody", "{profile}", "none", "{serial}", "999999999999", "{device_type}", "none", "{name}", "none", "{group}", "none", "{domain}", "none")
	for _, role := range access.Roles() {
		key := h.key(role)
		for _, route := range table() {
			method, pattern, _ := strings.Cut(route.pattern, " ")
			status, _, body := h.send(key, method, path.Replace(pattern), "")
			may := route.need == "" || role.May(route.need)
			if forbidden := status == http.StatusForbidden; forbidden == may {
				t.Errorf("%s at %s: %d %s", role, route.pattern, status, body)
			}
		}
	}
}

func TestTheSocketMayDoEverything(t *testing.T) {
	h := newHouse(t)
	local := h.public.Config.Handler
	h.public.Config.Handler = h.Local()
	defer func() { h.public.Config.Handler = local }()
	status, _, body := h.send("", "GET", "/v1/whoami", "")
	if status != http.StatusOK || !strings.Contains(body, `"actor":"socket","role":"super_admin"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body = h.send("", "POST", "/v1/users", `{"user_id":"alice"}`); status != http.StatusCreated {
		t.Errorf("%d %s", status, body)
	}
}

func TestWrongKeysLookAlike(t *testing.T) {
	h := newHouse(t)
	right := h.key(access.Auditor)
	flipped := right[:len(right)-2] + "AA"
	old, expired, err := h.Keys.Add(t.Context(), "old", access.Auditor, 1)
	must(t, err)
	h.Pass(1)
	var told string
	for name, header := range map[string]string{
		"garbage": "Bearer tsk_zz", "unknown": "Bearer tsk_0000000000000000_" + strings.Repeat("A", 43),
		"wrong secret": "Bearer " + flipped, "expired": "Bearer " + expired, "long": "Bearer " + strings.Repeat("x", 4096),
	} {
		status, headers, body := h.send("", "GET", "/v1/whoami", "", "Authorization", header, "X-Correlation-ID", "same")
		if told == "" {
			told = body
		}
		if status != http.StatusUnauthorized || body != told || headers.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, header := range []string{"", "Basic " + right, "Bearer"} {
		status, headers, body := h.send("", "GET", "/v1/whoami", "", "Authorization", header)
		if status != http.StatusUnauthorized || !strings.Contains(body, "carries no API key") || headers.Get("WWW-Authenticate") == "" {
			t.Errorf("%.5s: %d %s", header, status, body)
		}
	}
	if old.ID == "" || strings.Contains(h.logged.String(), right[20:]) {
		t.Error("a key is in the log")
	}
	if status, _, _ := h.send(right, "GET", "/v1/whoami", ""); status != http.StatusOK {
		t.Errorf("the right key gets %d", status)
	}
	// The scheme is not case sensitive.
	if status, _, _ := h.send("", "GET", "/v1/whoami", "", "Authorization", "bearer "+right); status != http.StatusOK {
		t.Errorf("the right key gets %d", status)
	}
}

func TestASourceOfWrongKeysHasToWait(t *testing.T) {
	h := newHouse(t)
	right := h.key(access.Auditor)
	for range wrongKeys {
		if status, _, _ := h.send("wrong", "GET", "/v1/whoami", ""); status != http.StatusUnauthorized {
			t.Fatalf("status %d", status)
		}
	}
	for _, key := range []string{"wrong", right} { // right or wrong is not told any more
		status, headers, body := h.send(key, "GET", "/v1/whoami", "")
		if status != http.StatusTooManyRequests || headers.Get("Retry-After") == "" {
			t.Errorf("status %d: %s", status, body)
		}
	}
	h.Pass(wrongEvery)
	if status, _, _ := h.send(right, "GET", "/v1/whoami", ""); status != http.StatusOK {
		t.Errorf("after the wait: %d", status)
	}
}
