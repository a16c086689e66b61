package server_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/store/storetest"
)

// Text that a database cannot hold, or that is no text, is refused or not found, and never breaks the server.
func TestStrangeText(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { strangeText(t, start(t, folder(t))) })
	t.Run("PostgreSQL", func(t *testing.T) { strangeText(t, start(t, folder(t), "--database", storetest.Postgres(t))) })
}

// A stranger sends what nobody should, over the socket.
type stranger struct {
	*testing.T
	seat *seat
}

// send sends a request, which never breaks the server.
func (s stranger) send(method, path, body string, header ...string) (status int, answer string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, "http://tallystick"+path, strings.NewReader(body))
	must(s, r, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	response, err := s.seat.socket.Do(r)
	must(s, response, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	answer = string(must(s, text, err))
	if response.StatusCode > 499 {
		s.Errorf("%s %.80s %v %.100s: %d %s", method, path, header, body, response.StatusCode, answer)
	}
	return response.StatusCode, answer
}

// ok sends a request that works.
func (s stranger) ok(method, path, body string) string {
	s.Helper()
	status, answer := s.send(method, path, body)
	if status > 299 {
		s.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

func strangeText(t *testing.T, p *process) {
	s := stranger{t, newSite(t, p).any()}
	serial := s.prepare()
	s.reads()
	s.writes(serial)
	s.numbers(serial)
	s.days()
	for _, tag := range []string{`"1"`, `1`, `W/"1"`, `"1", "2"`, `*`, `"99999999999999999999"`, `"-1"`, `"x"`} {
		s.send("POST", "/v1/tokens/"+serial+"/disable", "", "If-Match", tag)
	}
}

// prepare makes what the requests are about, and returns the serial number of a token of alice.
func (s stranger) prepare() string {
	s.ok("POST", "/v1/users", `{"user_id":"alice"}`)
	s.ok("POST", "/v1/profiles", `{"profile":"file","device_type":"generic","delivery_method":"file","pin_type":"none"}`)
	s.ok("POST", "/v1/profiles", `{"profile":"ctf","device_type":"generic","delivery_method":"ctf"}`)
	s.ok("POST", "/v1/profiles", `{"profile":"ctf3","device_type":"android","delivery_method":"ctf"}`)
	s.ok("POST", "/v1/profiles", `{"profile":"ctf4","device_type":"ios","delivery_method":"ctf"}`)
	s.ok("POST", "/v1/profiles", `{"profile":"ctkip","device_type":"generic","delivery_method":"ctkip"}`)
	s.ok("POST", "/v1/tokens", `{"count":1}`)
	s.ok("POST", "/v1/tokens/assign-next", `{"user_id":"alice"}`)
	list := s.ok("GET", "/v1/tokens", "")
	_, serial, _ := strings.Cut(list, `"serial":"`)
	return serial[:12]
}

// reads looks for strange things.
func (s stranger) reads() {
	for _, path := range []string{
		"/v1/users/X", "/v1/tokens/X", "/v1/profiles/X", "/v1/devices/X", "/v1/users?query=X", "/v1/users?after=X", "/v1/tokens?query=X", "/v1/tokens?after=X",
		"/v1/tokens?user_id=X", "/v1/tokens?profile=X", "/v1/tokens?distribution=X", "/v1/tokens?expires_before=X", "/v1/audit/events?object=X", "/v1/audit/events?actor=X",
		"/v1/audit/events?action=X", "/v1/audit/events?action=X*", "/v1/audit/events?outcome=X", "/v1/audit/events?since=X", "/v1/audit/events?after=X", "/v1/audit/entries?first=X",
		"/v1/tokens?limit=X", "/v1/audit/entries?first=0&limit=X",
	} {
		for _, x := range []string{"%00", "a%00b", "%ff", "%ed%a0%80", "%F4%8F%BF%BF", "%EF%BF%BF", "%25", "%5c", "_", "%27%3b--", strings.Repeat("a", 5000),
			"9223372036854775807", "9223372036854775808", "-1", "9999-12-31", "0000-01-01", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"} {
			s.send("GET", strings.Replace(path, "X", x, 1), "")
		}
	}
}

// writes stores strange things.
func (s stranger) writes(serial string) {
	strange := []string{`\u0000`, `a\u0000b`, `\ud800`, "\xff", `\uffff`, `\u202e`, "\u00e9e\u0301", strings.Repeat("ä", 5000), ``, ` `, `\n`}
	bodies := map[string][]string{
		"POST /v1/users":        {`{"user_id":"X"}`, `{"user_id":"bN","name":"X"}`, `{"user_id":"cN","mail":"X"}`},
		"PATCH /v1/users/alice": {`{"name":"X"}`, `{"mail":"X"}`},
		"POST /v1/profiles": {`{"profile":"X","device_type":"generic"}`, `{"profile":"pN","device_type":"X"}`,
			`{"profile":"qN","device_type":"generic","notes":"X"}`, `{"profile":"rN","device_type":"generic","binding":"X"}`},
		"PATCH /v1/profiles/file":               {`{"notes":"X"}`, `{"display_name":"X"}`, `{"description":"X"}`, `{"help_url":"https://X"}`},
		"POST /v1/devices/import":               {`{"file":"X"}`},
		"POST /v1/tokens":                       {`{"count":1,"birth":"X"}`, `{"count":1,"expiry":"X"}`},
		"POST /v1/tokens/import":                {`{"file":"X"}`, `{"file":"AAAA","password":"X"}`},
		"POST /v1/tokens/assign-next":           {`{"user_id":"X"}`},
		"POST /v1/tokens/" + serial + "/assign": {`{"user_id":"X"}`},
		"POST /v1/tokens/" + serial + "/distribute": {`{"profile":"X"}`, `{"profile":"file","nickname":"X"}`,
			`{"profile":"file","password":"X"}`, `{"profile":"file","device_id":"X"}`},
		"POST /v1/tokens/" + serial + "/redistribute": {`{"profile":"file","reason":"OTHER","note":"X"}`, `{"profile":"file","reason":"X"}`},
		"PUT /v1/tokens/" + serial + "/pin":           {`{"pin":"X"}`},
		"POST /v1/authenticate":                       {`{"user_id":"X","passcode":"12345678"}`, `{"user_id":"alice","passcode":"X"}`},
		"POST /v1/api-keys":                           {`{"name":"X","role":"auditor"}`, `{"name":"kN","role":"X"}`},
	}
	for route, forms := range bodies {
		method, path, _ := strings.Cut(route, " ")
		for _, form := range forms {
			for n, x := range strange {
				s.send(method, path, strings.NewReplacer("X", x, "N", string(rune('a'+n))).Replace(form))
			}
		}
	}
}

// numbers stores strange numbers.
func (s stranger) numbers(serial string) {
	for _, x := range []string{"-9223372036854775808", "9223372036854775807", "9223372036854775808", "1e3", "1.0", "-1", "0", "31536000000", "9223372036"} {
		for path, form := range map[string]string{
			"/v1/tokens":                             `{"count":X}`,
			"/v1/tokens/" + serial + "/distribute":   `{"profile":"file","grace_seconds":X}`,
			"/v1/tokens/" + serial + "/redistribute": `{"profile":"file","reason":"NEW_DEVICE","grace_seconds":X}`,
			"/v1/profiles":                           `{"profile":"n` + x + `","device_type":"generic","grace_seconds":X}`,
			"/v1/api-keys":                           `{"name":"n` + x + `","role":"auditor","life_seconds":X}`,
		} {
			body := strings.ReplaceAll(form, "X", x)
			s.send("POST", path, body)
			body = strings.Replace(body, "grace_seconds", "activation_life_seconds", 1)
			s.send("POST", path, body)
		}
	}
}

// days makes tokens for strange days, and has those that there are delivered.
func (s stranger) days() {
	for _, day := range []string{"0001-01-01", "9999-12-31", "2026-02-30", "2044-11-09", "2179-06-07", "2500-01-01"} {
		for _, form := range []string{`{"count":1,"birth":"X"}`, `{"count":1,"expiry":"X"}`} {
			s.send("POST", "/v1/tokens", strings.Replace(form, "X", day, 1))
		}
	}
	for n, expiry := range []string{"2044-11-08", "2044-11-09", "2099-12-31", "2179-06-06", "2179-06-07", "2500-01-01", "9999-12-31"} {
		s.ok("POST", "/v1/users", fmt.Sprintf(`{"user_id":"expiry%d"}`, n))
		status, made := s.send("POST", "/v1/tokens", `{"count":1,"expiry":"`+expiry+`"}`)
		if status == http.StatusBadRequest { // later than a token file can carry
			continue
		}
		s.ok("POST", "/v1/tokens/"+made[13:25]+"/assign", fmt.Sprintf(`{"user_id":"expiry%d"}`, n))
		for _, body := range []string{`{"profile":"file"}`, `{"profile":"file","password":"Tallystick"}`, `{"profile":"ctf"}`, `{"profile":"ctf3"}`, `{"profile":"ctf4"}`, `{"profile":"ctkip"}`} {
			s.send("POST", "/v1/tokens/"+made[13:25]+"/distribute", body)
		}
	}
}
