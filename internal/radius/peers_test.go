package radius_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/radius"
)

// file writes a file of a test, which only its owner may read.
func (d *deployment) file(name, text string) string {
	d.Helper()
	path := filepath.Join(d.TempDir(), name)
	d.must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// freePort is a UDP port of the loopback interface that was free a moment ago.
func (d *deployment) freePort() string {
	d.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	d.must(err)
	defer conn.Close()
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	d.must(err)
	return port
}

// A reply is what radclient received.
type reply struct {
	code  string // Access-Accept, ...
	text  string // Reply-Message, as radclient prints it
	state string // State, to be given back
	whole string
}

var received = regexp.MustCompile(`Received (\S+) Id [^\n]*\n((?:\t[^\n]*\n)*)`)

// radclient sends an Access-Request with attributes to an address and returns the answer.
func (d *deployment) radclient(to string, attributes ...string) reply {
	d.Helper()
	cmd := exec.CommandContext(d.Context(), "radclient", "-x", "-r", "20", "-t", "1", "-S", d.file("secret", secret), to, "auth")
	cmd.Stdin = strings.NewReader(strings.Join(append(attributes, "Message-Authenticator = 0x00"), "\n"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it exits with 1 unless it is accepted
		d.Fatal(err)
	}
	m := received.FindSubmatch(out)
	if m == nil {
		d.Fatalf("radclient got no answer: %s", out)
	}
	r := reply{code: string(m[1]), whole: string(m[2])}
	for line := range strings.Lines(r.whole) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch name {
		case "Reply-Message":
			r.text += strings.Trim(value, `"`)
		case "State":
			r.state = value
		}
	}
	return r
}

// login is what a user types.
func login(user, passcode string) []string {
	return []string{fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("User-Password = %q", passcode), `NAS-Identifier = "the tests"`}
}

// answers fails the test unless the answer is of a code with a text in it.
func (d *deployment) answers(r reply, code, text string) {
	d.Helper()
	if r.code != code || !strings.Contains(strings.ToLower(r.text), strings.ToLower(text)) {
		d.Errorf("got %s %q, want %s %q", r.code, r.text, code, text)
	}
}

// dialogues leads users through all dialogues with radclient, which checks that each answer is authentic.
func (d *deployment) dialogues(to string) {
	d.Helper()
	next := func(user, passcode, state string) reply {
		return d.radclient(to, append(login(user, passcode), "State = "+state)...)
	}
	// Accepted once.
	alice := d.holder("alice", plain)
	code := alice.code(0)
	r := d.radclient(to, login("alice", code)...)
	d.answers(r, "Access-Accept", "")
	for _, attribute := range []string{"Class = 0x4f553d7374616666", `Filter-Id = "vpn-users"`} {
		if !strings.Contains(r.whole, attribute) {
			d.Errorf("no %s in %s", attribute, r.whole)
		}
	}
	d.answers(d.radclient(to, login("alice", code)...), "Access-Reject", "Access denied.")
	d.answers(d.radclient(to, login("nobody", code)...), "Access-Reject", "Access denied.")

	// Next tokencode: the clock of the token is three minutes ahead.
	bob := d.holder("bob", plain)
	r = d.radclient(to, login("bob", bob.code(3))...)
	d.answers(r, "Access-Challenge", "next tokencode")
	if !strings.Contains(r.whole, "Prompt = No-Echo") || !strings.Contains(r.whole, "Session-Timeout = 180") {
		d.Errorf("the challenge is %s", r.whole)
	}
	d.answers(next("bob", bob.code(4), r.state), "Access-Accept", "")
	d.answers(next("bob", bob.code(5), r.state), "Access-Reject", "Access denied.") // the State is used

	// New PIN of the user's own.
	carol := d.holder("carol", fob)
	r = d.radclient(to, login("carol", carol.code(0))...)
	d.answers(r, "Access-Challenge", "Enter a new PIN having from 4 to 8")
	r = next("carol", "1234", r.state)
	d.answers(r, "Access-Challenge", "PIN Rejected.")
	r = next("carol", "2846", r.state)
	d.answers(r, "Access-Challenge", "Please re-enter new PIN")
	r = next("carol", "2847", r.state)
	d.answers(r, "Access-Challenge", "PINs do not match")
	r = next("carol", "2846", r.state)
	r = next("carol", "2846", r.state)
	d.answers(r, "Access-Challenge", "PIN Accepted")
	d.answers(next("carol", "2846"+carol.code(1), r.state), "Access-Accept", "")

	// A PIN that the system makes.
	d.mu.Lock()
	d.policy.Token.PINCreation = "either"
	d.mu.Unlock()
	dave := d.holder("dave", fob)
	r = d.radclient(to, login("dave", dave.code(0))...)
	d.answers(r, "Access-Challenge", "system to generate your new PIN")
	r = next("dave", "y", r.state)
	shown := regexp.MustCompile(`Your new PIN is: (\d+)`).FindStringSubmatch(r.text)
	if shown == nil || !strings.Contains(r.whole, "Prompt = Echo") {
		d.Fatalf("no PIN is shown: %s", r.whole)
	}
	r = next("dave", "ok", r.state)
	d.answers(r, "Access-Challenge", "PIN Accepted")
	d.answers(next("dave", shown[1]+dave.code(1), r.state), "Access-Accept", "")
	d.mu.Lock()
	d.policy.Token.PINCreation = "user"
	d.mu.Unlock()
}

func TestRadclient(t *testing.T) {
	peertest.Need(t, "radclient")
	d := newDeployment(t, sqlite(t)).start()
	d.add(client("gateway"))
	d.dialogues(d.at)

	// A dialogue that nobody can lead is denied, and the help desk can read why.
	_, err := d.clients.Edit(t.Context(), "gateway", 0, nil, func(c *access.RADIUSClient) { c.Challenges = false })
	d.must(err)
	erin := d.holder("erin", fob)
	for denied := false; !denied; { // the server reads the change in a moment; a challenge claims the code
		r := d.radclient(d.at, login("erin", erin.code(0))...)
		denied = r.code == "Access-Reject"
		d.Pass(time.Minute)
	}
	page, err := d.db.Events(t.Context(), audit.Filter{})
	d.must(err)
	if !slices.ContainsFunc(page.Entries, func(entry audit.Entry) bool {
		e, err := audit.ParseRecord(entry.Record)
		d.must(err)
		return e.Action == "authn.fail" && e.Object == "user:erin" && e.Reason == authentication.NewPINRequired && e.Actor.Name == "radius:gateway"
	}) {
		t.Error("the log does not tell why")
	}

	// CHAP cannot work.
	r := d.radclient(d.at, `User-Name = "alice"`, `CHAP-Password = "12345678"`)
	d.answers(r, "Access-Reject", "Access denied.")
}

func TestRadtest(t *testing.T) {
	peertest.Need(t, "radtest", "radclient")
	d := newDeployment(t, sqlite(t)).start()
	d.add(client("gateway"))
	alice := d.holder("alice", plain)
	code := alice.code(0)
	for _, want := range []string{"Access-Accept", "Access-Reject"} {
		out, _ := exec.CommandContext(t.Context(), "radtest", "-x", "alice", code, d.at, "0", secret).CombinedOutput() // it exits with 1 at a reject
		if !bytes.Contains(out, []byte("Received "+want)) {
			t.Errorf("not %s: %s", want, out)
		}
	}
}

// A daemon is a program of a test that runs in the foreground.
type daemon struct {
	d    *deployment
	name string
	cmd  *exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
	more *sync.Cond
	over bool
}

// Write takes what the daemon says.
func (p *daemon) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.more.Broadcast()
	return p.said.Write(b)
}

// run starts a daemon that ends with the test.
func (d *deployment) run(name string, args ...string) *daemon {
	d.Helper()
	p := &daemon{d: d, name: name}
	p.more = sync.NewCond(&p.mu)
	ctx, end := context.WithCancel(context.Background())
	p.cmd = exec.CommandContext(ctx, peertest.Path(name), args...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	d.must(p.cmd.Start())
	ended := make(chan bool)
	go func() {
		p.cmd.Wait() // it is killed at the end
		p.mu.Lock()
		p.over = true
		p.more.Broadcast()
		p.mu.Unlock()
		close(ended)
	}()
	d.Cleanup(func() {
		end()
		<-ended
		if d.Failed() {
			d.Logf("%s said:\n%s", name, p.said.String())
		}
	})
	return p
}

// says waits until the daemon has said something.
func (p *daemon) says(words string) {
	p.d.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !bytes.Contains(p.said.Bytes(), []byte(words)) {
		if p.over {
			p.d.Fatalf("%s has ended and did not say %q", p.name, words)
		}
		p.more.Wait()
	}
}

const freeRADIUS = `
prefix = /usr
name = freeradius
raddbdir = %[1]s
logdir = %[1]s
run_dir = %[1]s
libdir = /usr/lib/freeradius
max_requests = 1024
proxy_requests = yes
log {
	destination = stderr
}
security {
	reject_delay = 0
	status_server = yes
}
thread pool {
	start_servers = 1
	max_servers = 4
}
client tests {
	ipaddr = 127.0.0.1
	secret = "%[2]s"
}
home_server tallystick {
	type = auth
	ipaddr = 127.0.0.1
	port = %[3]s
	%[5]s
	response_window = 20
	status_check = status-server
}
home_server_pool tallystick {
	type = fail-over
	home_server = tallystick
}
realm tokens {
	auth_pool = tallystick
	nostrip
}
modules {
}
server tests {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[4]s
	}
	authorize {
		update control {
			&Proxy-To-Realm := tokens
		}
	}
	authenticate {
	}
}
`

// freeRADIUS runs FreeRADIUS in front of the server at an address, with the rest of what it is told about that one, and leads dialogues through it.
func (d *deployment) freeRADIUS(at, rest string) {
	d.Helper()
	dir := d.TempDir()
	_, ours, err := net.SplitHostPort(at)
	d.must(err)
	port := d.freePort()
	d.must(os.WriteFile(filepath.Join(dir, "radiusd.conf"), fmt.Appendf(nil, freeRADIUS, dir, secret, ours, port, rest), 0o600))
	d.must(os.WriteFile(filepath.Join(dir, "dictionary"), []byte("$INCLUDE /usr/share/freeradius/dictionary\n"), 0o600))
	d.run("freeradius", "-f", "-l", "stdout", "-xx", "-d", dir, "-n", "radiusd").says("Ready to process requests")
	d.dialogues("127.0.0.1:" + port)
}

// FreeRADIUS stands in front: it checks our answers, adds a Proxy-State and takes it off again.
func TestFreeRADIUSAsProxy(t *testing.T) {
	peertest.Need(t, "freeradius", "radclient")
	d := newDeployment(t, sqlite(t)).start()
	d.add(client("proxy"))
	d.freeRADIUS(d.at, fmt.Sprintf("secret = %q", secret))
}

// A radSec is a server over TLS, and the files by which a proxy is let in.
type radSec struct{ at, authority, certificate, key string }

// radSec runs the server for a proxy that comes over TLS.
func (d *deployment) radSec() radSec {
	d.Helper()
	d.add(access.RADIUSClient{Name: "proxy", Certificate: "proxy.example.com", Challenges: true,
		Attributes: []access.ReplyAttribute{{Name: "Class", Value: "OU=staff"}, {Name: "Filter-Id", Value: "vpn-users"}}})
	a := radius.NewTestAuthority(d)
	config, err := radius.TLSConfig(&tls.Config{Certificates: []tls.Certificate{a.Sign("server.example.com")}}, a.File())
	d.must(err)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	d.must(err)
	d.serve(d.db, tls.NewListener(tcp, config))
	cert := a.Sign("proxy.example.com")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	d.must(err)
	return radSec{tcp.Addr().String(), a.File(), d.file("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))),
		d.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))}
}

// FreeRADIUS stands in front over TLS, as docs/radius.md has it.
func TestFreeRADIUSOverTLS(t *testing.T) {
	peertest.Need(t, "freeradius", "radclient")
	d := newDeployment(t, sqlite(t))
	s := d.radSec()
	d.freeRADIUS(s.at, fmt.Sprintf(`
	proto = tcp
	secret = radsec
	tls {
		ca_file = %s
		certificate_file = %s
		private_key_file = %s
	}`, s.authority, s.certificate, s.key))
}

// radsecproxy speaks RADIUS over TLS to us, and over UDP to radclient.
func TestRadsecproxy(t *testing.T) {
	peertest.Need(t, "radsecproxy", "radclient")
	d := newDeployment(t, sqlite(t))
	s := d.radSec()
	_, ours, err := net.SplitHostPort(s.at)
	d.must(err)
	port := d.freePort()
	conf := d.file("radsecproxy.conf", fmt.Sprintf(`
ListenUDP 127.0.0.1:%s
LogLevel 2
LogDestination file:///dev/stderr
tls default {
	CACertificateFile %s
	CertificateFile %s
	CertificateKeyFile %s
}
client 127.0.0.1 {
	type udp
	secret "%s"
}
server tallystick {
	host 127.0.0.1
	port %s
	type tls
	tls default
	secret radsec
	statusServer on
	certificateNameCheck off
}
realm * {
	server tallystick
}
`, port, s.authority, s.certificate, s.key, secret, ours))
	d.run("radsecproxy", "-f", "-i", filepath.Join(t.TempDir(), "pid"), "-c", conf)
	d.dialogues("127.0.0.1:" + port)
}

// pamLine is the line that docs/radius.md has for a PAM service.
const pamLine = "auth required pam_radius_auth.so prompt_attribute force_prompt"

// pam is a PAM stack with pam_radius_auth in it, behind a module that asks for a password of its own, which pamtester asks at a terminal.
type pam struct {
	d       *deployment
	service string
}

func (d *deployment) pam() pam {
	d.Helper()
	peertest.Need(d, "pamtester")
	if modules, err := filepath.Glob("/lib/*/security/pam_radius_auth.so"); err != nil || len(modules) == 0 {
		peertest.Missing(d, errors.New("pam_radius_auth is not installed: apt-get install libpam-radius-auth"))
	}
	if os.Getuid() != 0 {
		d.Skip("only root can make a PAM service")
	}
	p := pam{d, fmt.Sprintf("tallystick-test-%d", os.Getpid())}
	conf := d.file("pam_radius.conf", d.at+" "+strings.ReplaceAll(secret, " ", "-")+" 20\n")
	service := filepath.Join("/etc/pam.d", p.service)
	d.must(os.WriteFile(service, fmt.Appendf(nil, "auth optional pam_unix.so nodelay\n%s conf=%s retry=0\n", pamLine, conf), 0o600))
	d.Cleanup(func() { os.Remove(service) })
	return p
}

// authenticate asks for a user, gives each answer once its prompt is there, and tells whether PAM let the user in. No answer may be shown.
func (p pam) authenticate(user string, dialogue ...string) bool {
	p.d.Helper()
	dialogue = append([]string{"Password: ", "that of pam_unix"}, dialogue...)
	cmd := exec.CommandContext(p.d.Context(), "script", "-qec", "pamtester "+p.service+" "+user+" authenticate", "/dev/null")
	in, err := cmd.StdinPipe()
	p.d.must(err)
	prompts, out := io.Pipe()
	cmd.Stdout, cmd.Stderr = out, out
	p.d.must(cmd.Start())
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		out.Close()
		done <- err
	}()
	said := []byte{}
	buffer := make([]byte, 512)
	for i := 0; ; {
		n, err := prompts.Read(buffer)
		said = append(said, buffer[:n]...)
		if i > 0 && bytes.Contains(said, []byte(dialogue[i-1])) {
			p.d.Errorf("the terminal shows the answer %q", dialogue[i-1])
		}
		if i < len(dialogue) && bytes.Contains(said, []byte(dialogue[i])) {
			_, err := io.WriteString(in, dialogue[i+1]+"\n")
			p.d.must(err)
			i += 2
			said = said[:0]
		}
		if err != nil {
			if i < len(dialogue) {
				p.d.Errorf("PAM did not ask %q: %s", dialogue[i], said)
			}
			break
		}
	}
	return <-done == nil
}

func TestPAM(t *testing.T) {
	page, err := os.ReadFile("../../docs/radius.md")
	if err != nil || !bytes.Contains(page, []byte("`"+pamLine+"`")) {
		t.Errorf("docs/radius.md does not have the line that is tested here: %s (%v)", pamLine, err)
	}
	d := newDeployment(t, sqlite(t)).start()
	c := client("host")
	_, err = d.clients.Add(t.Context(), c, strings.ReplaceAll(secret, " ", "-"))
	d.must(err)
	p := d.pam()
	// Version 2.0 of the module, as Debian has it, sends no Message-Authenticator.
	_, err = d.clients.Edit(t.Context(), "host", 0, nil, func(c *access.RADIUSClient) { c.MessageAuthenticator = access.Warn })
	d.must(err)

	alice := d.holder("alice", plain)
	code := alice.code(0)
	if !p.authenticate("alice", "Password: ", code) {
		t.Error("a right code was refused")
	}
	if p.authenticate("alice", "Password: ", code) {
		t.Error("a used code was accepted")
	}
	bob := d.holder("bob", plain)
	if !p.authenticate("bob", "Password: ", bob.code(3), "next tokencode: ", bob.code(4)) {
		t.Error("the next tokencode was refused")
	}
	carol := d.holder("carol", fob)
	if !p.authenticate("carol", "Password: ", carol.code(0), "Enter a new PIN", "2846", "re-enter new PIN", "2846", "PIN Accepted", "2846"+carol.code(1)) {
		t.Error("a new PIN was refused")
	}
	d.Pass(2 * time.Minute)
	if p.authenticate("carol", "Password: ", "2847"+carol.code(0)) {
		t.Error("a wrong PIN was accepted")
	}
	if !p.authenticate("carol", "Password: ", "2846"+carol.code(0)) {
		t.Error("the new PIN does not work")
	}
}
