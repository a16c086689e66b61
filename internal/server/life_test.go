package server_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

// digits draws a secret of digits.
func digits(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = '0' + b[i]%10
	}
	return string(b)
}

// anyPIN draws a PIN of eight digits that is not too easy to guess.
func anyPIN(t testing.TB) string {
	t.Helper()
	p := policy.Default().Token
	p.PINMin = 8
	made, err := pin.Rules{Token: pin.Token{Serial: byFile, Type: device.Fob}, Policy: p, Now: time.Now()}.Generate()
	return must(t, made, err)
}

// What the tokens of alice are: the serial numbers are those of an import, so that the test can name them.
const (
	byFile    = "900000000001"
	byString  = "900000000002"
	byPhone   = "900000000003"
	forgotten = "900000000004" // belongs to nobody
)

// people makes users, profiles and token records.
func (w *witness) people() {
	w.does("tallystick", "user", "add", "alice", "--name", "Alice Example")
	w.does("tallystick", "user", "add", "bob")
	w.does("tallystick", "profile", "add", "file", "--device-type", "generic", "--delivery", "file", "--pin-type", "pinpad")
	w.does("tallystick", "profile", "add", "string", "--device-type", "generic", "--delivery", "ctf", "--pin-type", "fob")
	w.does("tallystick", "profile", "add", "phone", "--device-type", "generic", "--delivery", "ctkip", "--pin-type", "none")
	w.does("tallystick", "token", "create", "--count", "2")
	w.hooked()
	// Nobody answers there; what is said of that, and kept, shows no password.
	w.does("tallystick", "directory", "add", "hq", "--url", "ldaps://127.0.0.1:1", "--bind-dn", "cn=reader", "--base-dn", "dc=example", "--password-file", w.file("LDAP password", rand.Text()))
	w.refused("tallystick", "directory", "sync", "hq")
	w.does("tallystick", "directory", "show", "hq", "--json")
	w.does("tallystick", "directory", "edit", "hq", "--password-file", w.file("next LDAP password", rand.Text()))

	b := sdtid.Batch{Password: w.secret("import password", rand.Text())}
	for _, serial := range []string{byFile, byString, byPhone, forgotten} {
		s := anySeed()
		w.secret("imported seed of "+serial, string(s))
		b.Tokens = append(b.Tokens, sdtid.Token{Serial: serial, Seed: s, Digits: 8, Interval: 60, Expiry: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
	data, err := sdtid.Encode(b)
	path := filepath.Join(w.work, "import.sdtid")
	must(w, 0, os.WriteFile(path, must(w, data, err), 0o600))
	w.refused("tallystick", "token", "import", path)
	w.refused("tallystick", "token", "import", path, "--password-file", w.file("wrong import password", rand.Text()))
	w.does("tallystick", "token", "import", path, "--password-file", w.file("import password", b.Password))
	for _, serial := range []string{byFile, byString, byPhone} {
		w.does("tallystick", "token", "assign", "--user", "alice", "--serial", serial)
	}
}

// delivered has two tokens delivered under passwords, and imported.
func (w *witness) delivered() {
	file, text := filepath.Join(w.work, "alice.sdtid"), filepath.Join(w.work, "alice.txt")
	password := w.file("file password", rand.Text()[:20])
	w.does("tallystick", "token", "distribute", byFile, "--profile", "file", "--password-file", password, "--nickname", "laptop", "--out", file)
	w.does("tally", "import", file, "--password-file", password)
	w.refused("tally", "import", file, "--password-file", password)

	password = w.file("string password", rand.Text()[:20])
	r := w.shows("tallystick", "token", "distribute", byString, "--profile", "string", "--password-file", password, "--out", text, "--qr", filepath.Join(w.work, "alice.png"), "--json")
	w.secret("string", handedOut(w, r).CTF)
	w.does("tally", "inspect", text, "--password-file", password)
	w.does("tally", "import", filepath.Join(w.work, "alice.png"), "--password-file", password)
	w.refused("tally", "import", text, "--password-file", w.file("wrong string password", rand.Text()))
}

// dynamic has one token provisioned; before, it has a code refused.
func (w *witness) dynamic(database string) {
	r := w.shows("tallystick", "token", "distribute", byPhone, "--profile", "phone", "--json")
	d := handedOut(w, r)
	code := w.file("activation code", d.ActivationCode)
	w.seeds(database)
	ca := filepath.Join(w.server.data, "ca.pem")
	w.refused("tally", "import", d.CTKIPURL, "--ca", ca, "--activation-code-file", w.file("wrong activation code", digits(12)))
	w.does("tally", "import", d.CTKIPURL, "--ca", ca, "--activation-code-file", code, "--nickname", "phone")
	w.refused("tally", "import", d.CTKIPURL, "--ca", ca, "--activation-code-file", code)
	w.seeds(database)
}

// code is what the app shows of a token.
func (w *witness) code(serial string, args ...string) string {
	w.Helper()
	code, _ := w.codes(serial, args...)
	return code
}

// codes are what the app shows of a token and what it shows next: of two that are asked for in turn, the second may be the next but one.
func (w *witness) codes(serial string, args ...string) (code, next string) {
	w.Helper()
	shown := answer[struct{ Code, Next string }](w, w.shows("tally", append([]string{"code", serial, "--next", "--json"}, args...)...))
	return shown.Code, shown.Next
}

// check has a passcode decided.
func (w *witness) check(name, passcode, want string) {
	w.Helper()
	r := w.run("tallystick", "check", "alice", "--passcode-file", w.file(name, passcode))
	if got := strings.TrimSpace(r.stdout); got != want {
		w.Errorf("%s is %s, not %s: %s", name, got, want, r.stderr)
	}
}

// checked has passcodes decided, with and without PIN.
func (w *witness) checked() {
	w.check("tokencode", w.code(byPhone), "accepted")
	w.check("tokencode", string(w.secrets["tokencode"]), "denied")
	w.check("wrong passcode", digits(16), "denied")

	pinpad, fob := w.file("PINPad PIN", anyPIN(w)), w.file("fob PIN", anyPIN(w))
	w.does("tallystick", "token", "set-pin", byFile, "--pin-file", pinpad)
	w.does("tallystick", "token", "set-pin", byString, "--pin-file", fob)
	w.check("PINPad passcode", w.code(byFile, "--pin-file", pinpad), "accepted")
	code, next := w.codes(byString)
	w.check("fob passcode", string(w.secrets["fob PIN"])+code, "accepted")
	w.check("fob passcode without PIN", next, "denied")
	w.check("fob passcode with wrong PIN", digits(8)+next, "denied")
}

// lost signs in with emergency codes.
func (w *witness) lost() {
	issued := func(args ...string) (codes []string) {
		r := w.shows("tallystick", append(append([]string{"token", "lost", byString}, args...), "--json")...)
		return answer[struct{ Codes []string }](w, r).Codes
	}
	pin := string(w.secrets["fob PIN"])
	set := issued("--emergency", "set", "--count", "2")
	w.check("one-time emergency passcode", pin+w.secret("one-time emergency code", set[0]), "accepted")
	w.check("one-time emergency passcode", pin+set[0], "denied")
	w.secret("unused emergency code", set[1])
	fixed := issued("--emergency", "fixed")
	w.check("fixed emergency passcode", pin+w.secret("fixed emergency code", fixed[0]), "accepted")
	w.does("tallystick", "token", "show", byString, "--json")
	w.does("tallystick", "token", "found", byString)
}

// mistaken gives secrets where they do not belong.
func (w *witness) mistaken() {
	in := func(name string) string { return filepath.Join(w.work, strings.ReplaceAll(name, " ", "-")) }
	for _, other := range []string{"activation code", "file password", "fob passcode", "import password"} {
		w.refused("tallystick", "token", "set-pin", byString, "--pin-file", in(other))
		w.refused("tallystick", "check", "bob", "--passcode-file", in(other)) // not alice, whom so many mistakes could lock
		w.refused("tallystick", "token", "import", filepath.Join(w.work, "alice.sdtid"), "--password-file", in(other)[:len(in(other))-1])
		w.refused("tallystick", "token", "import", in(other))
		w.refused("tally", "import", in(other))
		w.refused("tally", "code", byFile, "--pin-file", in(other))
		w.refused("tallystick", "whoami", "--server", w.server.url, "--ca", filepath.Join(w.server.data, "ca.pem"), "--api-key-file", in(other))
	}
	w.refused("tallystick", "token", "distribute", byPhone, "--profile", "phone", "--password-file", in("file password"))
	w.refused("tallystick", "token", "distribute", byFile, "--profile", "file", "--password-file", w.file("short password", digits(8)[:7]+"x"), "--protection", "none")
	w.refused("tallystick", "token", "distribute", byFile, "--profile", "file", "--password-file", w.file("long password", rand.Text()+rand.Text()))
	w.refused("tallystick", "token", "distribute", forgotten, "--profile", "file", "--password-file", in("file password"))

	key := w.secret("API key", answer[struct{ Key string }](w, w.shows("tallystick", "api-key", "add", "help", "--role", "help_desk", "--json")).Key)
	w.does("tallystick", "whoami", "--server", w.server.url, "--ca", filepath.Join(w.server.data, "ca.pem"), "--api-key-file", w.file("API key", key))
	w.refused("tallystick", "whoami", "--server", w.server.url, "--ca", filepath.Join(w.server.data, "ca.pem"), "--api-key-file", w.file("cut API key", key[:len(key)-1]))
	w.refused("tallystick", "token", "create", "--server", w.server.url, "--ca", filepath.Join(w.server.data, "ca.pem"), "--api-key-file", in("API key"))
	w.refused("tallystick", "whoami", "--server", w.server.url, "--api-key-file", in("API key"))
	w.does("tallystick", "api-key", "delete", "help")
	w.refused("tallystick", "whoami", "--server", w.server.url, "--ca", filepath.Join(w.server.data, "ca.pem"), "--api-key-file", in("API key"))
}

// overHTTP sends requests that no program of ours makes, with secrets in the places of names and in broken bodies. What they are
// answered is for the one who sent them, and so is not searched where it repeats a name.
func (w *witness) overHTTP() {
	s := newSite(w.T, w.server)
	passcode, pin, password := string(w.secrets["fob passcode"]), string(w.secrets["fob PIN"]), string(w.secrets["file password"])
	send := func(method, path, body string, header ...string) string {
		w.Helper()
		r, err := http.NewRequestWithContext(w.Context(), method, "http://tallystick"+path, strings.NewReader(body))
		must(w, r, err)
		r.Header.Set("Content-Type", "application/json")
		for pair := range slices.Chunk(header, 2) {
			r.Header.Set(pair[0], pair[1])
		}
		answer, err := s.any().socket.Do(r)
		must(w, answer, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return string(must(w, text, err))
	}
	for _, path := range []string{"/v1/users/" + passcode, "/v1/tokens/" + passcode, "/v1/tokens?query=" + passcode, "/v1/nothing/" + passcode, "/v1/users?" + passcode + "=1"} {
		send(http.MethodGet, path, "")
	}
	send(http.MethodPost, "/v1/authenticate", `{"user_id":"`+passcode+`","passcode":"`+passcode+`"}`)
	send(http.MethodPost, "/v1/authenticate", `{"user_id":"alice","`+passcode+`":1}`)
	send(http.MethodPut, "/v1/tokens/"+pin+"/pin", `{"pin":"`+pin+`"}`)
	for path, bodies := range map[string][]string{
		"/v1/authenticate":                           {`{"user_id":"alice","passcode":` + passcode + `}`, `{"user_id":"alice","passcode":"` + passcode, `{"user_id":"alice","passcode":["` + passcode + `"]}`, passcode},
		"/v1/tokens/" + byFile + "/distribute":       {`{"profile":"file","password":{"x":"` + password + `"}}`, `{"profile":"file","password":"` + password + `","grace_seconds":-1}`},
		"/v1/tokens/import":                          {`{"file":"AAAA","password":"` + password + `"}`, `{"file":"` + password + `"}`},
		"/v1/tokens/" + byFile + "/redistribute?x=1": {`{"profile":"file","password":"` + password + `","reason":"COMPROMISED"}`},
	} {
		for _, body := range bodies {
			w.hear("answer to POST "+path, send(http.MethodPost, path, body))
		}
	}
	w.hear("answer to a wrong PIN", send(http.MethodPut, "/v1/tokens/"+byFile+"/pin", `{"pin":"`+password+`"}`))
	w.hear("answer to a reused key", send(http.MethodPost, "/v1/users", `{"user_id":"`+digits(5)+`"}`, "Idempotency-Key", "0123456789")+
		send(http.MethodPost, "/v1/users", `{"user_id":"`+digits(6)+`"}`, "Idempotency-Key", "0123456789"))

	// The provisioning service is on the public side.
	public := w.server.public(w)
	code := string(w.secrets["wrong activation code"])
	for _, body := range []string{"", code, "<AuthData>" + code + "</AuthData>", strings.Repeat(code, 20_000)} {
		r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.server.url+provision.Path, strings.NewReader(body))
		must(w, r, err)
		r.SetBasicAuth(code, code)
		answer, err := public.Do(r)
		must(w, answer, err)
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		w.hear("answer of the provisioning service", string(must(w, text, err)))
	}
	answer, err := public.Get(w.server.url + provision.Path + "?authCode=" + code)
	must(w, answer, err)
	answer.Body.Close()
}

// redistributed gives new seeds, under new data keys.
func (w *witness) redistributed(database string) {
	file := filepath.Join(w.work, "new.sdtid")
	password := w.file("new file password", rand.Text()[:20])
	w.does("tallystick", "key", "rotate")
	w.does("tallystick", "token", "redistribute", byFile, "--profile", "file", "--reason", "COMPROMISED", "--password-file", password, "--out", file)
	w.seeds(database)
	w.refused("tally", "import", file, "--password-file", password)
	w.does("tally", "import", file, "--password-file", password, "--replace")
	w.check("PINPad passcode of the new seed", w.code(byFile, "--pin-file", filepath.Join(w.work, "PINPad-PIN")), "accepted")

	r := w.shows("tallystick", "token", "redistribute", byString, "--profile", "string", "--reason", "OTHER", "--note", "asked for", "--switch-over", "on_activation", "--json")
	parsed, err := ctf.Parse(w.secret("new string", handedOut(w, r).CTF))
	held, err := must(w, parsed, err).Open("", "")
	must(w, held, err)
	w.secret("new seed of "+byString, string(held.Seed))
	code, err := securid.Code(held.Seed, byString, held.Digits, held.Interval, time.Now())
	w.check("fob passcode of the new seed", string(w.secrets["fob PIN"])+must(w, code, err), "accepted")

	r = w.shows("tallystick", "token", "redistribute", byPhone, "--profile", "phone", "--reason", "LOST_DEVICE", "--json")
	w.secret("revoked activation code", handedOut(w, r).ActivationCode)
	w.seeds(database)
	w.does("tallystick", "token", "revoke", byPhone)
	w.does("tallystick", "token", "disable", byPhone)
	w.does("tallystick", "token", "clear-pin", byFile)
	w.does("tallystick", "token", "unassign", byPhone)
	w.does("tallystick", "token", "delete", forgotten, "--yes")
}

// shown asks for all that may be seen.
func (w *witness) shown() {
	for _, args := range [][]string{
		{"user", "list"}, {"user", "show", "alice"}, {"token", "list"}, {"token", "show", byFile}, {"token", "show", byString}, {"profile", "list"},
		{"api-key", "list"}, {"audit", "list"}, {"audit", "verify"}, {"device", "list"}, {"user", "edit", "alice", "--name", "Alice"}, {"whoami"},
	} {
		w.does("tallystick", args...)
		w.does("tallystick", append(args, "--json")...)
	}
	w.does("tally", "list", "--json")
	w.does("tally", "device-id")
	w.does("tally", "delete", byPhone, "--yes")
	response, err := (newSite(w.T, w.server)).any().socket.Get("http://tallystick/metrics")
	must(w, response, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	w.hear("metrics", string(must(w, text, err)))
	if !bytes.Contains(text, []byte("tallystick_authentications_total")) {
		w.Errorf("the metrics are: %s", text)
	}
}
