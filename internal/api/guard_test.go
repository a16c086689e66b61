package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
)

func TestRequestsThatBreakTheContract(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	const secret = "hunter2-hunter2"
	for _, c := range []struct{ name, method, path, body, says string }{
		{"no body", "POST", "/v1/users", "", "the body is missing"},
		{"no JSON", "POST", "/v1/authenticate", `{"passcode":` + secret, "no JSON"},
		{"two documents", "POST", "/v1/authenticate", `{"user_id":"a","passcode":"1"}{}`, "goes on after its JSON document"},
		{"something after it", "POST", "/v1/authenticate", `{"user_id":"a","passcode":"1"} x`, "goes on after its JSON document"},
		{"an array", "POST", "/v1/users", `["` + secret + `"]`, "not of type object"},
		{"unknown member", "POST", "/v1/authenticate", `{"user_id":"a","passcode":"1","pin":"` + secret + `"}`, `does not have: \"pin\"`},
		{"missing member", "POST", "/v1/authenticate", `{"passcode":"` + secret + `"}`, `the member \"user_id\" is missing`},
		{"wrong type", "POST", "/v1/authenticate", `{"user_id":["` + secret + `"],"passcode":"1"}`, `the member \"user_id\" is not of type string`},
		{"null", "POST", "/v1/authenticate", `{"user_id":null,"passcode":"1"}`, `the member \"user_id\" must not be null`},
		{"too long", "POST", "/v1/authenticate", `{"user_id":"a","passcode":"` + strings.Repeat(secret, 9) + `"}`, `the member \"passcode\" takes 1 to 64 characters`},
		{"out of range", "POST", "/v1/tokens", `{"count":10001}`, `the member \"count\" lies outside 1 to 10000`},
		{"a fraction", "POST", "/v1/tokens", `{"count":1.5}`, `the member \"count\" is not of type integer`},
		{"an exponent", "POST", "/v1/tokens", `{"count":1e1}`, "without fraction or exponent"},
		{"a whole fraction", "POST", "/v1/authenticate", `{"attempt":"ABCDEFGHIJKLMNOPQRSTUVWXYI","answer":"1","turn":1.0}`, "without fraction or exponent"},
		{"no day", "POST", "/v1/tokens", `{"count":1,"birth":"` + secret + `"}`, `the member \"birth\"`},
		{"none of the values", "POST", "/v1/api-keys", `{"name":"a","role":"` + secret + `"}`, `the member \"role\" is none of [super_admin`},
		{"no base64", "POST", "/v1/tokens/import", `{"file":"?` + secret + `"}`, `the member \"file\"`},
		{"other alphabet", "POST", "/v1/tokens/import", `{"file":"-_-_"}`, "standard base64"},
		{"nothing to change", "PATCH", "/v1/users/a", `{}`, "changes nothing"},
		{"unknown parameter", "GET", "/v1/tokens?state=" + secret, "", `the query parameter \"state\"`},
		{"bad parameter", "GET", "/v1/tokens?limit=" + secret, "", "the query parameter limit"},
		{"too large a page", "GET", "/v1/tokens?limit=1001", "", "the query parameter limit"},
		{"bad cursor", "GET", "/v1/tokens?after=" + secret, "", "the query parameter after"},
		{"bad day", "GET", "/v1/tokens?expires_before=2031-13-01", "", "the query parameter expires_before"},
		{"bad time", "GET", "/v1/audit/events?since=" + secret, "", "the query parameter since"},
		{"body of a GET", "GET", "/v1/users", `{"a":"` + secret + `"}`, "takes no body"},
		{"bad path", "GET", "/v1/tokens/" + secret, "", "the path parameter serial"},
		{"no character of a name", "DELETE", "/v1/users/%00", "", "U+0000"},
		{"nor of its end", "GET", "/v1/groups/a%00", "", "U+0000"},
	} {
		status, _, body := h.send(key, c.method, c.path, c.body)
		// What the document itself lets through is refused by the handler.
		if status != http.StatusBadRequest || !strings.Contains(body, `"code":"INVALID"`) || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
		if strings.Contains(body, secret) {
			t.Errorf("%s: the answer repeats the value: %s", c.name, body)
		}
	}
	if strings.Contains(h.logged.String(), secret) {
		t.Error("the log repeats a value")
	}
}

// What cannot be read of a query string is not passed over: a dry run would be none, and a filter would let all pass.
func TestQueryStringsAreReadWhole(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	try(h.admin.AddUser(t.Context(), client.NewUser{UserID: "ua"}))(t)
	for _, c := range []struct{ method, path, says string }{
		{"DELETE", "/v1/users/ua?dry_run=true;", "write ; and % in a value as %3B and %25"},
		{"DELETE", "/v1/users/ua?dry_run=%zz", "cannot be read"},
		{"DELETE", "/v1/users/ua?dry_run=true&%zz", "cannot be read"},
		{"DELETE", "/v1/users/ua?dry_run=&dry_run=true", "dry_run is there 2 times: give it once"},
		{"DELETE", "/v1/users/ua?dry_run=false&dry_run=true", "dry_run is there 2 times"},
		{"DELETE", "/v1/users/ua?dry_run=", "dry_run is not of type boolean"},
		{"DELETE", "/v1/users/ua?dry_run", "dry_run is not of type boolean"},
		{"GET", "/v1/users?limit=", "limit is not of type integer"},
		{"GET", "/v1/audit/events?since=2030-01-01T23:59:60Z", "since is not a time such as"},
		{"GET", "/v1/audit/events?until=2030-01-01T23:59:60Z", "until is not a time such as"},
		{"GET", "/v1/audit/events?since=", "since"},
		{"GET", "/v1/audit/events?since=2030-01-01T00:00:00Z&since=2020-01-01T00:00:00Z", "since is there 2 times"},
		{"GET", "/v1/changes?action=token.*&action=user.*&after=0&after=1", "after is there 2 times"},
	} {
		status, _, body := h.send(key, c.method, c.path, "")
		var said client.Problem
		must(t, json.Unmarshal([]byte(body), &said))
		if status != http.StatusBadRequest || said.Code != "INVALID" || !strings.Contains(said.Message, c.says) {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
	try(h.admin.User(t.Context(), "ua"))(t)
	if status, _, body := h.send(key, "GET", "/v1/changes?action=token.*&action=user.*", ""); status != http.StatusOK {
		t.Errorf("a list that is given item by item: %d %s", status, body)
	}
	if status, _, body := h.send(key, "DELETE", "/v1/users/ua?dry_run=true", ""); status != http.StatusNoContent {
		t.Errorf("a dry run: %d %s", status, body)
	}
	try(h.admin.User(t.Context(), "ua"))(t)
}

func TestHeadersThatPromiseAreTakenOrRefused(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	for _, c := range []struct{ method, path, header, value string }{
		{"GET", "/v1/users", "If-Match", `"1"`}, {"GET", "/v1/users", "If-None-Match", `"1"`}, {"GET", "/v1/users", "Idempotency-Key", "12345678"},
		{"DELETE", "/v1/tokens/000000000001", "If-Match", `W/"1"`}, {"DELETE", "/v1/tokens/000000000001", "If-Match", `1`},
		{"DELETE", "/v1/tokens/000000000001", "If-Match", `"1","2"`}, {"POST", "/v1/tokens", "Idempotency-Key", "short"},
		{"DELETE", "/v1/tokens/000000000001", "If-Unmodified-Since", "Mon, 30 Nov 2026 09:00:00 GMT"},
	} {
		body := ""
		if c.method == "POST" {
			body = `{"count":1}`
		}
		if status, _, body := h.send(key, c.method, c.path, body, c.header, c.value); status != http.StatusBadRequest {
			t.Errorf("%s %s with %s: %d %s", c.method, c.path, c.header, status, body)
		}
	}
	r := try(http.NewRequest(http.MethodDelete, h.public.URL+"/v1/tokens/000000000001", nil))(t)
	r.Header = http.Header{"Authorization": {"Bearer " + key}, "If-Match": {"*", `"99"`}}
	res := try(h.RoundTrip(r))(t)
	defer res.Body.Close()
	if body := string(try(io.ReadAll(res.Body))(t)); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "the header If-Match is there 2 times: give it once") {
		t.Errorf("two conditions: %d %s", res.StatusCode, body)
	}
}

// What was made is found where its answer says that it is, whatever its name.
func TestLocationsLeadThere(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	for _, name := range []string{"staff", "..", ".", "/", "a/b", "50%", "ä?#"} {
		_, made, body := h.send(key, "POST", "/v1/groups", `{"group":"`+name+`"}`)
		base := try(url.Parse(h.public.URL))(t)
		there := base.ResolveReference(try(url.Parse(made.Get("Location")))(t))
		if status, _, shown := h.send(key, "GET", there.RequestURI(), ""); status != http.StatusOK || shown != body {
			t.Errorf("%s at %s: %d %s", body, there, status, shown)
		}
	}
	if status, _, body := h.send(key, "POST", "/v1/groups/%2f/members", `{"add":[]}`); status != http.StatusOK {
		t.Errorf("within a path: %d %s", status, body)
	}
	// What cannot be found cannot be taken away either.
	try(h.admin.AddAPIKey(t.Context(), client.NewAPIKey{Name: "/", Role: string(access.Auditor)}))(t)
	if err := h.admin.DeleteAPIKey(t.Context(), "/"); err != nil {
		t.Errorf("an API key: %v", err)
	}
}

// Who sends a body for minutes does nothing with it once the key is deleted.
func TestLongBodiesOfADeletedKey(t *testing.T) {
	h := newHouse(t)
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	csv, err := json.Marshal(client.UserFile{File: []byte("user_id,name\nlate,Late\n")})
	must(t, err)
	disable, err := json.Marshal(client.CareOrder{Selection: client.Selection{All: true}})
	must(t, err)
	form := "--b\r\nContent-Disposition: form-data; name=\"order\"\r\n\r\n{\"from\":\"x\"}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"
	for path, c := range map[string]struct {
		kind, body string
		length     int
	}{
		"/v1/users/import":    {"application/json", string(csv), -1},
		"/v1/tokens/disable":  {"application/json", string(disable), len(disable)},
		"/v1/transfer/import": {"multipart/form-data; boundary=b", form, -1},
	} {
		made := try(h.admin.AddAPIKey(t.Context(), client.NewAPIKey{Name: "late", Role: "token_admin"}))(t)
		asked := readFunc(func([]byte) (int, error) { // the server asks for the body: it has let the key in
			if err := h.admin.DeleteAPIKey(context.Background(), "late"); err != nil {
				return 0, err
			}
			return 0, io.EOF
		})
		r := try(http.NewRequest(http.MethodPost, h.public.URL+path, io.MultiReader(asked, strings.NewReader(c.body))))(t)
		r.Header = http.Header{"Authorization": {"Bearer " + string(made.Key)}, "Content-Type": {c.kind}, "Expect": {"100-continue"}}
		r.ContentLength = int64(c.length)
		res := try(transport.RoundTrip(r))(t)
		if got := string(try(io.ReadAll(res.Body))(t)); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
		res.Body.Close()
	}
	_, err = h.admin.User(t.Context(), "late")
	refused(t, err, 404, "USER_NOT_FOUND")
}

// A readFunc reads what a function gives.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A body is refused of which a part would be passed over, put together with another or changed: what is done would not be what was sent.
func TestBodiesAreReadOneWay(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	try(h.admin.AddUser(t.Context(), client.NewUser{UserID: "alice"}))(t)
	for _, c := range []struct{ method, path, body, says string }{
		{"PATCH", "/v1/users/alice", `{"name":"A","name":"B"}`, `the member \"name\" is there twice: give it once`},
		{"PATCH", "/v1/users/alice", `{"name":"A","n\u0061me":"B"}`, `the member \"name\" is there twice`},
		{"PATCH", "/v1/users/alice", "{\"name\":\"M\xfcller\"}", "the body is not in UTF-8"},
		{"PATCH", "/v1/users/alice", `{"name":"M\udcfcller"}`, "half of a character"},
		{"PATCH", "/v1/users/alice", `{"name":"\ud83d"}`, "half of a character"},
		{"PATCH", "/v1/users/alice", `{"name":"\ud83d\ud83d\ude00"}`, "half of a character"},
		{"POST", "/v1/configuration", `{"settings":{"result_life_seconds":1},"settings":{"warn_days":30}}`, `\"settings\" is there twice`},
		{"PUT", "/v1/users/alice/reply-attributes", `{"reply_attributes":[{"name":"Class","value":"a"},{"name":"Class","value":"b","value":"c"}]}`, `\"value\" is there twice`},
	} {
		if status, _, body := h.send(key, c.method, c.path, c.body); status != http.StatusBadRequest || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.body, status, body)
		}
	}
	if status, _, body := h.send(key, "PUT", "/v1/users/alice/reply-attributes", `{"reply_attributes":[{"name":"Class","value":"name"},{"name":"Class","value":"value"}]}`); status != http.StatusOK {
		t.Errorf("names in objects of their own: %d %s", status, body)
	}
	if status, _, body := h.send(key, "PATCH", "/v1/users/alice", `{"name":"\\udcfc \ud83d\ude00 \u00fc"}`); status != http.StatusOK || !strings.Contains(body, `"name":"\\udcfc 😀 ü"`) {
		t.Errorf("whole characters: %d %s", status, body)
	}
	order := "--b\r\nContent-Disposition: form-data; name=\"order\"\r\n\r\n{\"name\":\"x\",\"name\":\"y\"}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"
	if status, _, body := h.send(key, "POST", "/v1/imports", order, "Content-Type", "multipart/form-data; boundary=b"); status != http.StatusBadRequest || !strings.Contains(body, "is there twice") {
		t.Errorf("an order: %d %s", status, body)
	}
}

// Each change of a token is refused for a version that is gone, and done for the one that is.
func TestIfMatch(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	h.profile("string", "ctf")
	tok := h.assigned("alice")
	for _, c := range []struct{ method, verb, body string }{
		{"PUT", "/pin", `{"pin":"8274"}`}, {"DELETE", "/pin", ""}, {"POST", "/disable", ""}, {"POST", "/enable", ""},
		{"POST", "/distribute", `{"profile":"string"}`}, {"POST", "/redistribute", `{"profile":"string","reason":"NEW_DEVICE"}`},
		{"POST", "/revoke", ""}, {"POST", "/unassign", ""}, {"POST", "/assign", `{"user_id":"alice"}`}, {"DELETE", "", ""},
	} {
		path := "/v1/tokens/" + tok.Serial
		_, now, _ := h.send(key, "GET", path, "")
		status, _, body := h.send(key, c.method, path+c.verb, c.body, "If-Match", `"99"`)
		if status != http.StatusConflict || !strings.Contains(body, `"CONFLICT"`) {
			t.Errorf("%s %s at a version that is gone: %d %s", c.method, c.verb, status, body)
		}
		if status, _, body = h.send(key, c.method, path+c.verb, c.body, "If-Match", now.Get("ETag")); status >= 300 {
			t.Errorf("%s %s at %s: %d %s", c.method, c.verb, now.Get("ETag"), status, body)
		}
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	status, _, body := h.send(key, "POST", "/v1/users", `{"user_id":"`+strings.Repeat("a", bodyLimit)+`"}`)
	if status != http.StatusRequestEntityTooLarge || !strings.Contains(body, `"TOO_LARGE"`) {
		t.Errorf("%d %s", status, body)
	}
	// A token file may be longer.
	status, _, body = h.send(key, "POST", "/v1/tokens/import", `{"file":"`+strings.Repeat("AAAA", bodyLimit)+`"}`)
	if status != http.StatusUnprocessableEntity || !strings.Contains(body, `"IMPORT_BAD_FORMAT"`) {
		t.Errorf("%d %s", status, body)
	}
}

// A body of few bytes that would fill the memory is refused unread, and long ones are read one at a time.
func TestBodiesOfManyValues(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.HelpDesk)
	begin, most, end := `{"selection":{"serials":[`, strings.Repeat("0,", mostValues), `0]}}`
	if status, _, body := h.send(key, "POST", "/v1/tokens/enable", begin+most+end); status != http.StatusRequestEntityTooLarge || !strings.Contains(body, "takes up to 3000000 values") {
		t.Errorf("too many: %d %.200s", status, body)
	}
	if status, _, body := h.send(key, "POST", "/v1/tokens/enable", begin+most[:len(most)/2]+end); status != http.StatusBadRequest {
		t.Errorf("half of them: %d %.200s", status, body)
	}
	if n := values([]byte(`{"a,[{":["\",","\\",{}]}`)); n != 6 {
		t.Errorf("%d values: what is in strings counts for none", n)
	}

	c := newContract(try(loadContract())(t).document)
	c.turn <- struct{}{}
	op := try(c.operation("POST /v1/tokens/enable"))(t)
	left, leave := context.WithCancel(t.Context())
	leave()
	send := func(ctx context.Context, body string) error {
		r := httptest.NewRequestWithContext(ctx, "POST", "/v1/tokens/enable", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		_, err := op.accept(httptest.NewRecorder(), r)
		return err
	}
	long := `{"selection":{"serials":["000000000001"` + strings.Repeat(`,"000000000001"`, bodyLimit) + `]}}`
	if err := send(left, long); !errors.Is(err, context.Canceled) {
		t.Errorf("a long one while another is read: %v", err)
	}
	if err := send(left, `{"selection":{"all":true}}`); err != nil {
		t.Errorf("a short one meanwhile: %v", err)
	}
	<-c.turn
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what is not cleared away is left
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 2 {
		if err := send(t.Context(), long); err != nil {
			t.Errorf("a long one afterwards: %v", err)
		}
	}
	if err := send(t.Context(), begin+most[:len(most)/2]+end); err == nil {
		t.Error("numbers are taken for serials")
	}
	runtime.ReadMemStats(&after)
	if left := int64(after.HeapAlloc) - int64(before.HeapAlloc); left > int64(len(most)) {
		t.Errorf("%d MB are left of bodies that were read", left>>20)
	}
}

// hasAllRoom fails unless those that were answered have given back their room for long bodies.
func (h *house) hasAllRoom() {
	h.t.Helper()
	if !h.contract.room.TryAcquire(roomForBodies) {
		h.t.Fatal("of those that were answered, one has room still")
	}
	h.contract.room.Release(roomForBodies)
}

// Long bodies that would fill the memory together are not read at once: whoever finds no room is told to come again.
func TestRoomForLongBodies(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.HelpDesk)
	h.contract.patience = 0
	defer func() { h.contract.patience = roomWithin }()
	long := `{"selection":{"serials":["000000000001"` + strings.Repeat(`,"000000000001"`, bodyLimit/14) + `]}}`
	ofLength := func(n int64, body string) int {
		r := httptest.NewRequest(http.MethodPost, "/v1/tokens/enable", io.MultiReader(strings.NewReader(body)))
		r.ContentLength = n
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.Public().ServeHTTP(w, r)
		return w.Code
	}
	withoutLength := func(body string) int { return ofLength(-1, body) }
	if !h.contract.room.TryAcquire(roomForBodies - bodyLimit) {
		t.Fatal("there is no room at the beginning")
	}
	status, headers, body := h.send(key, "POST", "/v1/tokens/enable", long)
	if status != http.StatusServiceUnavailable || headers.Get("Retry-After") == "" || !strings.Contains(body, `"SERVICE_BUSY"`) {
		t.Errorf("without room: %d %s", status, body)
	}
	if status := withoutLength(long); status != http.StatusServiceUnavailable {
		t.Errorf("without room and length: %d", status)
	}
	if said := strings.Count(h.logged.String(), "SERVICE_BUSY"); said != 1 || strings.Contains(h.logged.String(), "level=ERROR") {
		t.Errorf("it is said %d times in a minute, or as an error:\n%s", said, h.logged.String())
	}
	const short = `{"selection":{"serials":["000000000001"]}}`
	if status, _, body := h.send(key, "POST", "/v1/tokens/enable", short); status == http.StatusServiceUnavailable {
		t.Errorf("a short one meanwhile: %d %s", status, body)
	}
	if status := withoutLength(short); status == http.StatusServiceUnavailable {
		t.Errorf("a short one without length meanwhile: %d", status)
	}
	if status := withoutLength(short + strings.Repeat(" ", bodyLimit-len(short))); status == http.StatusServiceUnavailable {
		t.Errorf("the longest of the short ones without length meanwhile: %d", status)
	}
	if status := ofLength(roomForBodies, "{"); status != http.StatusRequestEntityTooLarge {
		t.Errorf("one that is too large, by its length, meanwhile: %d", status)
	}
	h.contract.room.Release(roomForBodies - bodyLimit)
	h.contract.patience = time.Second // nobody has to wait any more
	for range 3 {                     // together they are longer than the room
		if status := withoutLength(long); status == http.StatusServiceUnavailable {
			t.Errorf("with room: %d", status)
		}
	}
	if status, _, body := h.send(key, "POST", "/v1/tokens/enable", long); status == http.StatusServiceUnavailable {
		t.Errorf("with room: %d %s", status, body)
	}
	h.hasAllRoom()
}

// A caller who was cut off in a long body leaves its room to others.
func TestStalledBodies(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.HelpDesk)
	h.contract.stall = 10 * time.Millisecond
	defer func() { h.contract.stall = stallWithin }()
	for _, c := range []struct {
		newer  bool
		length int64
	}{{false, roomForBodies / 2}, {false, 100 << 10}, {false, -1}, {true, roomForBodies / 2}} { // of a short rest, or one of unknown length, the server reads on
		s := httptest.NewUnstartedServer(h.Public())
		s.EnableHTTP2 = c.newer
		s.StartTLS()
		defer s.Close()
		body, begun := io.Pipe()
		defer begun.Close()
		go func() { _, _ = io.WriteString(begun, `{"selection":`) }()
		ctx, cancel := context.WithTimeout(t.Context(), longWithin/20) // the answer does not wait for the end of that time
		defer cancel()
		r := try(http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/tokens/enable", body))(t)
		r.ContentLength = c.length
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		answer := try(s.Client().Do(r))(t)
		answer.Body.Close()
		if major := answer.ProtoMajor; answer.StatusCode != http.StatusBadRequest || (major == 2) != c.newer {
			t.Errorf("HTTP/%d: %s", major, answer.Status)
		}
		h.hasAllRoom()
	}
}

// A body that waits for room does not stall, however long it waits.
func TestWaitingForRoomIsNoStall(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.HelpDesk)
	long := `{"selection":{"serials":["000000000001"` + strings.Repeat(`,"000000000001"`, bodyLimit/14) + `]}}`
	h.send(key, "POST", "/v1/tokens/enable", long)
	want, _, again := h.send(key, "POST", "/v1/tokens/enable", long) // there is one of that name
	if want != http.StatusConflict {
		t.Fatalf("the same job again: %d %s", want, again)
	}
	h.contract.stall = time.Second
	defer func() { h.contract.stall = stallWithin }()
	for _, newer := range []bool{false, true} {
		s := httptest.NewUnstartedServer(h.Public())
		s.EnableHTTP2 = newer
		s.StartTLS()
		defer s.Close()
		status := func(body io.Reader, length int64) int {
			r := try(http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/tokens/enable", body))(t)
			r.ContentLength = length
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+key)
			answer := try(s.Client().Do(r))(t)
			answer.Body.Close()
			return answer.StatusCode
		}
		if !h.contract.room.TryAcquire(roomForBodies) {
			t.Fatal("there is no room at the beginning")
		}
		waited := make(chan int)
		end, last := io.Pipe()
		go func() { waited <- status(io.MultiReader(strings.NewReader(long[:len(long)-1]), end), -1) }()
		for range 2 { // short ones, which take no room, stall meanwhile as long as it waits
			silent, open := io.Pipe()
			defer open.Close()
			if got := status(silent, 100); got != http.StatusBadRequest {
				t.Errorf("a short one that stalls: %d", got)
			}
		}
		h.contract.room.Release(roomForBodies)
		go func() { _, _ = io.WriteString(last, long[len(long)-1:]); last.Close() }()
		if got := <-waited; got != want {
			t.Errorf("HTTP/2 %v: the one that waited is answered %d, and at once %d", newer, got, want)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.AgentRole)
	for _, c := range [][2]string{{"GET", "/"}, {"GET", "/v1/nothing"}, {"POST", "/v1/tokens/000000000001/seed"}, {"GET", "/v2/users"}} {
		if status, headers, body := h.send(key, c[0], c[1], ""); status != http.StatusNotFound || headers.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, body)
		}
		if status, _, _ := h.send("", c[0], c[1], ""); status != http.StatusUnauthorized {
			t.Errorf("%s %s without a key: %d", c[0], c[1], status)
		}
	}
	// Who deletes takes what is not found for done.
	for _, c := range [][3]string{{"PUT", "/v1/users", "GET, HEAD, POST"}, {"DELETE", "/v1/whoami", "GET, HEAD"}, {"OPTIONS", "/v1/users/%2F", "DELETE, GET, HEAD, PATCH"}} {
		status, headers, body := h.send(key, c[0], c[1], "")
		if status != http.StatusMethodNotAllowed || headers.Get("Allow") != c[2] || !strings.Contains(body, `"code":"METHOD_NOT_ALLOWED"`) {
			t.Errorf("%s %s: %d, %s, %s", c[0], c[1], status, headers.Get("Allow"), body)
		}
		if status, headers, _ := h.send("", c[0], c[1], ""); status != http.StatusUnauthorized || headers.Get("Allow") != "" {
			t.Errorf("%s %s without a key: %d", c[0], c[1], status)
		}
	}
}

func TestCorrelationID(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	_, headers, _ := h.send(key, "POST", "/v1/users", `{"user_id":"alice"}`, "X-Correlation-ID", "ticket-42")
	if headers.Get("X-Correlation-ID") != "ticket-42" || !strings.Contains(h.logged.String(), "correlation_id=ticket-42") {
		t.Errorf("answered under %q", headers.Get("X-Correlation-ID"))
	}
	try(h.Log.Sequence(t.Context()))(t)
	events := try(h.admin.AuditEvents(t.Context(), client.EventFilter{Object: "user:alice"}))(t)
	if len(events.Events) != 1 || events.Events[0].CorrelationID != "ticket-42" {
		t.Errorf("events %+v", events.Events)
	}
	for _, bad := range []string{"", "a b", "x\"y", strings.Repeat("x", 65)} {
		if _, headers, _ := h.send(key, "GET", "/v1/whoami", "", "X-Correlation-ID", bad); len(headers.Get("X-Correlation-ID")) != 36 {
			t.Errorf("%q is taken over: %q", bad, headers.Get("X-Correlation-ID"))
		}
	}
}

// Defects and outages are told apart from refusals, and only the log has their text.
func TestProblem(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
		says   string
	}{
		{errors.New("disk of db-7 is full"), 500, "INTERNAL", "correlation ID"},
		{fmt.Errorf("%w: whether it was done is not known: %w", fault.Unavailable, errors.New("db-7")), 503, "UNAVAILABLE", "not known"},
		{context.DeadlineExceeded, 503, "UNAVAILABLE", "not known"},
		{fault.Wrap(fault.New(fault.TokenLimit, "3 tokens").With("limit", 3), "assigning"), 422, "TOKEN_LIMIT_REACHED", "assigning: 3 tokens"},
		{fault.Conflict, 409, "CONFLICT", "Conflict"},
	} {
		p := problem(c.err)
		if p.Status != c.status || p.Code != c.code || !strings.Contains(p.Message, c.says) || p.Detail != p.Message || strings.Contains(p.Message, "db-7") {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
}

func TestAPanicIsOneDefect(t *testing.T) {
	h := newHouse(t)
	w := httptest.NewRecorder()
	h.show(func(http.ResponseWriter, *http.Request) (answer, error) { panic("seed 0123") }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var p client.Problem
	must(t, json.Unmarshal(w.Body.Bytes(), &p))
	if w.Code != 500 || p.Code != "INTERNAL" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if logged := h.logged.String(); strings.Contains(logged, "seed 0123") || !strings.Contains(logged, "guard_test.go") {
		t.Errorf("logged %s", logged)
	}
}

// No secret that passes through the API stays in its log, in a refusal or in the audit log.
func TestNoSecretsAreLeftBehind(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.profile("file", "file")
	h.profile("dynamic", "ctkip")
	tok := h.assigned("alice")
	key := h.key(access.SuperAdmin)
	secrets := []string{key, "delivery password", "82740915", "918273"}
	out := try(h.admin.Distribute(ctx, tok.Serial, client.Distribution{Profile: "file", Password: "delivery password"}))(t)
	dynamic := try(h.admin.Redistribute(ctx, tok.Serial, client.Redistribution{Distribution: client.Distribution{Profile: "dynamic"}, Reason: "NEW_DEVICE"}))(t)
	secrets = append(secrets, dynamic.Delivery.ActivationCode)
	_, err := h.admin.Distribute(ctx, tok.Serial, client.Distribution{Profile: "file", Password: "delivery password", Nickname: strings.Repeat("n", 99)})
	refused(t, err, 422, "NICKNAME_INVALID")
	_, err = h.admin.ImportTokens(ctx, client.TokenFile{File: out.Delivery.File, Password: "82740915"})
	refused(t, err, 422, "IMPORT_BAD_PASSWORD")
	must(t, h.admin.SetPIN(ctx, h.assigned("bob").Serial, client.PIN{PIN: "918273"}))
	try(h.admin.Authenticate(ctx, "alice", "82740915"))(t)
	h.send(key, "POST", "/v1/authenticate", `{"user_id":"alice","passcode":82740915}`)
	h.send(key, "PUT", "/v1/tokens/"+tok.Serial+"/pin", `{"pin":918273}`)
	try(h.Log.Sequence(ctx))(t)
	said := h.logged.String() + strings.Join(h.texts, "\n")
	for _, e := range try(h.db.Entries(ctx, 0, 1000))(t) {
		said += string(e.Record)
	}
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("%q is left behind", secret)
		}
	}
	if printed := fmt.Sprintf("%v %+v %#v %s", out, dynamic, client.PIN{PIN: "918273"}, client.Secret("82740915")); strings.Contains(printed, "918273") ||
		strings.Contains(printed, "82740915") || strings.Contains(printed, dynamic.Delivery.ActivationCode) {
		t.Errorf("printed: %s", printed)
	}
}
