package server_test

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

var servingRADIUS = regexp.MustCompile(`msg="serving RADIUS" port=authentication address=(\S+)`)

// radius asks the server over RADIUS, again as long as nothing comes back, and returns the answer.
func (p *process) radius(secret, user, passcode string, state []byte) *radius.Packet {
	p.t.Helper()
	q := radius.New(radius.CodeAccessRequest, []byte(secret))
	q.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, md5.Size))
	must(p.t, q, rfc2865.UserName_AddString(q, user))
	must(p.t, q, rfc2865.UserPassword_AddString(q, passcode))
	if state != nil {
		q.Add(rfc2865.State_Type, state)
	}
	b, err := q.Encode()
	h := hmac.New(md5.New, []byte(secret))
	h.Write(must(p.t, b, err))
	copy(q.Get(rfc2869.MessageAuthenticator_Type), h.Sum(nil))
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	answer, err := (&radius.Client{Retry: time.Second}).Exchange(ctx, q, servingRADIUS.FindStringSubmatch(p.said())[1])
	return must(p.t, answer, err)
}

// overRADIUS has carol set her PIN over RADIUS, and passcodes decided: right, wrong, used, and under another secret.
func (w *witness) overRADIUS() {
	first, second := "first shared secret", "second shared secret"
	w.does("tallystick", "radius", "add", "gateway", "--address", "127.0.0.0/8", "--secret-file", w.file(first, "a secret of the gateway"), "--attribute", "Class=staff")
	w.does("tallystick", "radius", "edit", "gateway", "--secret-file", w.file(second, "another secret of the gateway"))
	w.does("tallystick", "radius", "show", "gateway")
	w.does("tallystick", "radius", "list", "--json")
	conf := filepath.Join(w.work, "configuration.yaml")
	text := "radius_clients:\n  - {radius_client: applied, address: 192.0.2.1, secret_file: " + w.file("third shared secret", "a secret of a configuration") + "}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	w.does("tallystick", "apply", "-f", conf, "--yes")
	w.does("tallystick", "apply", "-f", conf, "--yes", "--json")
	w.does("tallystick", "apply", "--export")

	w.does("tallystick", "user", "add", "carol")
	serial := answer[struct{ Serial string }](w, w.does("tallystick", "token", "assign", "--user", "carol", "--json")).Serial
	r := w.shows("tallystick", "token", "distribute", serial, "--profile", "string", "--json")
	w.does("tally", "import", w.file("string of carol", handedOut(w, r).CTF))

	secret := string(w.secrets[second])
	asked := func(name, passcode string, state []byte, want radius.Code) *radius.Packet {
		w.Helper()
		got := w.server.radius(secret, "carol", w.secret(name, passcode), state)
		if got.Code != want {
			w.Errorf("%s: %v, not %v", name, got.Code, want)
		}
		return got
	}
	pin := anyPIN(w)
	asked("wrong passcode over RADIUS", digits(12), nil, radius.CodeAccessReject)
	code, next := w.codes(serial)
	got := asked("tokencode over RADIUS", code, nil, radius.CodeAccessChallenge)
	got = asked("new PIN over RADIUS", pin, got.Get(rfc2865.State_Type), radius.CodeAccessChallenge)
	got = asked("new PIN over RADIUS", pin, got.Get(rfc2865.State_Type), radius.CodeAccessChallenge)
	passcode := pin + next
	got = asked("passcode over RADIUS", passcode, got.Get(rfc2865.State_Type), radius.CodeAccessAccept)
	if class := string(got.Get(rfc2865.Class_Type)); class != "staff" {
		w.Errorf("the class is %q", class)
	}
	asked("passcode over RADIUS", passcode, nil, radius.CodeAccessReject)

	conn, err := net.Dial("udp", servingRADIUS.FindStringSubmatch(w.server.said())[1])
	defer must(w, conn, err).Close()
	for _, octets := range []string{"", "no packet", string(w.secrets[first]), "\x01\x01\x00\x14" + string(w.secrets[second])} {
		_, err := conn.Write([]byte(octets))
		must(w, 0, err)
	}
}

// A request that has arrived when SIGTERM comes is answered, and the server ends well.
func TestDrainOfRADIUS(t *testing.T) {
	p := start(t, folder(t), "--radius", "127.0.0.1:0", "--radius-accounting", "127.0.0.1:0")
	p.terminate()
	if status := p.exit(); status != 0 {
		t.Errorf("exit status %d: %s", status, p.said())
	}
	conn, err := net.ListenPacket("udp", servingRADIUS.FindStringSubmatch(p.said())[1])
	must(t, conn, err).Close() // the port is free again
}
