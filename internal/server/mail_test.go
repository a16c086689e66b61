package server_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/directory/directorytest"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// A postOffice is a mail server on this machine that counts what arrives.
type postOffice struct {
	port int

	mu   sync.Mutex
	got  map[string]int // by Message-ID
	text map[string]string
	held chan struct{} // closed to let messages through; nil for no wait
	here chan struct{} // told of each message that waits
}

func openPostOffice(t *testing.T) *postOffice {
	o := &postOffice{got: map[string]int{}, text: map[string]string{}, here: make(chan struct{}, 100)}
	s := smtp.NewServer(o)
	s.Domain, s.ErrorLog = "localhost", slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, l, err)
	o.port = l.Addr().(*net.TCPAddr).Port
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return o
}

func (o *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return o, nil }
func (*postOffice) Mail(string, *smtp.MailOptions) error          { return nil }
func (*postOffice) Rcpt(string, *smtp.RcptOptions) error          { return nil }
func (*postOffice) Reset()                                        {}
func (*postOffice) Logout() error                                 { return nil }

var messageID = regexp.MustCompile(`(?im)^Message-ID: <(.*)@tallystick>\r?$`)

func (o *postOffice) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	id := messageID.FindSubmatch(text)
	if id == nil {
		return fmt.Errorf("a message without ID")
	}
	o.mu.Lock()
	o.got[string(id[1])]++
	o.text[string(id[1])] = string(text)
	held := o.held
	o.mu.Unlock()
	if held != nil {
		o.here <- struct{}{}
		<-held
	}
	return nil
}

// hold has messages wait for their answer, until free.
func (o *postOffice) hold() chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = make(chan struct{})
	return o.held
}

func (o *postOffice) free(held chan struct{}) {
	o.mu.Lock()
	o.held = nil
	o.mu.Unlock()
	close(held)
}

func (o *postOffice) arrived() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got)
}

// mails sets a server up to send mail to a mail server on this machine.
func mails(t *testing.T, p *process, port int) {
	t.Helper()
	on, host, from, none := true, "127.0.0.1", "tokens@example.com", "none"
	s, err := p.admin().EditMailSettings(t.Context(), 0, client.MailSettingsEdit{Enabled: &on, Host: &host, Port: &port, From: &from, Security: &none})
	must(t, s, err)
	profile, err := p.admin().AddProfile(t.Context(), client.NewProfile{Profile: "by mail", DeviceType: "generic", DeliveryMethod: "file", PINType: "none"})
	must(t, profile, err)
}

// mailed distributes a new token to a new user by mail, and returns the messages.
func mailed(t *testing.T, p *process, userID string) []string {
	t.Helper()
	c := p.admin()
	u, err := c.AddUser(t.Context(), client.NewUser{UserID: userID, Mail: userID + "@example.com"})
	must(t, u, err)
	serials, err := c.CreateTokens(t.Context(), client.NewTokens{Count: 1})
	held, err := c.Assign(t.Context(), must(t, serials, err)[0], userID)
	must(t, held, err)
	issue, err := c.Distribute(t.Context(), serials[0], client.Distribution{Profile: "by mail", Password: deliveryPassword, Mail: true, SecretBy: "mail"})
	return must(t, issue, err).Mails
}

// Servers that are killed while they send: no message is sent twice, none is lost, and those of which nobody knows are told.
func TestMailOfKilledServers(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	o := openPostOffice(t)
	first, second := pair(t, storetest.Postgres(t))
	mails(t, first, o.port)
	var ids []string
	for n := range 12 {
		ids = append(ids, mailed(t, first, fmt.Sprintf("user%d", n))...)
		if n%4 != 1 {
			continue
		}
		// Both are in the middle of a message, or one is; what it was is known to nobody then.
		held := o.hold()
		ids = append(ids, mailed(t, second, fmt.Sprintf("held%d", n))...)
		<-o.here
		first.kill()
		second.kill()
		o.free(held)
		first, second = start(t, first.data, first.args...), start(t, second.data, second.args...)
	}
	states := map[string]int{}
	poll(t, "the end of all messages", func() bool {
		clear(states)
		for _, id := range ids {
			m, err := second.admin().MailMessage(t.Context(), id)
			states[must(t, m, err).State]++
		}
		return states["sent"]+states["unknown"] == len(ids)
	})
	if states["unknown"] == 0 || states["sent"] == 0 {
		t.Errorf("states %v", states)
	}
	for id, n := range o.got {
		if n != 1 || !slices.Contains(ids, id) {
			t.Errorf("message %s arrived %d times", id, n)
		}
	}
	// An administrator looks at each, and decides.
	page, err := first.admin().MailMessages(t.Context(), client.MailFilter{State: "unknown"})
	for _, m := range must(t, page, err).Messages {
		again, err := first.admin().ResendMail(t.Context(), m.Message)
		must(t, again, err)
	}
	poll(t, "all messages", func() bool { return o.arrived() == len(ids) })
	t.Logf("%d messages, %d unknown after 3 kills", len(ids), states["unknown"])
}

// A mail server that nobody here wrote takes what is sent, and reads it as it was meant.
func TestMailToAnotherProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("package mail sends to a mail server of its tests")
	}
	peertest.Need(t, "aiosmtpd")
	at, err := directorytest.Free()
	port := int(netip.MustParseAddrPort(must(t, at, err)).Port())
	var said deploytest.Log
	cmd := exec.Command(peertest.Path("aiosmtpd"), "-n", "-l", at, "-c", "aiosmtpd.handlers.Debugging", "stdout")
	cmd.Env = environment("PYTHONUNBUFFERED=1")
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, 0, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	poll(t, "aiosmtpd to listen", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	p := start(t, folder(t))
	mails(t, p, port)
	ids := mailed(t, p, "alice")
	poll(t, "the messages to be sent", func() bool {
		for _, id := range ids {
			m, err := p.admin().MailMessage(t.Context(), id)
			if must(t, m, err).State != "sent" {
				return false
			}
		}
		return true
	})
	poll(t, "aiosmtpd to show them", func() bool { return strings.Count(said.String(), "END MESSAGE") == 2 })
	text := said.String()
	for _, id := range ids {
		if strings.Count(text, "<"+id+"@tallystick>") != 1 {
			t.Errorf("message %s is not there once:\n%s", id, text)
		}
	}
	if !strings.Contains(text, "alice@example.com") || !strings.Contains(text, `filename="alice_`) || strings.Count(text, deliveryPassword) != 2 { // as text and as HTML
		t.Errorf("it shows\n%s", text)
	}
}

// mailed has tokens of a user go by mail: to a mail server that is not there, so that bodies lie in the outbox.
func (w *witness) mailed(database string) {
	w.does("tallystick", "mail", "settings", "edit", "--host", "127.0.0.1", "--port", "1", "--security", "none", "--from", "tokens@example.com",
		"--user-name", "tokens", "--password-file", w.file("mail password", rand.Text()), "--enable")
	w.refused("tallystick", "mail", "settings", "test", "admin@example.com")
	w.does("tallystick", "user", "add", "peggy", "--mail", "peggy@example.com")
	password := w.file("password of a mailed string", "mail-"+rand.Text()[:12])
	for _, profile := range []string{"string", "file", "phone"} {
		made := answer[struct{ Serials []string }](w, w.does("tallystick", "token", "create", "--json"))
		w.does("tallystick", "token", "assign", "--user", "peggy", "--serial", made.Serials[0])
		args := []string{"token", "distribute", made.Serials[0], "--profile", profile, "--mail", "--secret-by", "mail", "--json"}
		if profile != "phone" {
			w.refused("tallystick", args...)
			args = append(args, "--password-file", password)
		}
		w.does("tallystick", args...)
	}
	page := answer[client.MailPage](w, w.does("tallystick", "mail", "list", "--user", "peggy", "--json"))
	if len(page.Messages) != 6 {
		w.Errorf("%d messages wait", len(page.Messages))
	}
	w.does("tallystick", "mail", "show", page.Messages[0].Message)
	w.does("tallystick", "mail", "settings", "show", "--json")
	w.withoutToken()
	w.bodies(database)
}

// withoutToken has peggy sign in with what is none of a token, and fail to.
func (w *witness) withoutToken() {
	w.does("tallystick", "policy", "edit", "token", "--fixed-passcode", "own", "--on-demand")
	w.refused("tallystick", "user", "set-fixed-passcode", "peggy", "--passcode-file", w.file("fixed passcode that is too easy", "horsestaple"))
	fixed := w.file("fixed passcode", "Horse7"+rand.Text()[:12])
	w.does("tallystick", "user", "set-fixed-passcode", "peggy", "--passcode-file", fixed)
	w.does("tallystick", "check", "peggy", "--passcode-file", fixed)
	pin := w.file("PIN for codes by mail", anyPIN(w))
	w.does("tallystick", "user", "set-on-demand", "peggy", "--pin-file", pin, "--temporary")
	w.refused("tallystick", "check", "peggy", "--passcode-file", pin) // a code is sent, and asked for
	w.refused("tallystick", "check", "peggy", "--passcode-file", w.file("PIN and wrong code", string(w.secrets["PIN for codes by mail"])+digits(8)))
	w.does("tallystick", "user", "show", "peggy")
	w.does("tallystick", "user", "show", "peggy", "--json")
	w.does("tallystick", "user", "clear-fixed-passcode", "peggy")
	w.does("tallystick", "policy", "edit", "token", "--fixed-passcode", "off")
}

// parts are what of the text of a message is secret.
var parts = regexp.MustCompile(`ctfData=(\S+)|activation code of your token [0-9]+ is ([0-9A-Za-z]+)\.|code for signing in is ([0-9]+)\.`)

// bodies notes what the messages in the outbox hold that is secret. Nobody else was shown it.
func (w *witness) bodies(database string) {
	w.Helper()
	db, err := store.Open(w.Context(), store.Options{URL: database})
	must(w, db, err)
	defer db.Close()
	master, err := seed.MasterFromFile(filepath.Join(w.server.data, "master.key"))
	keys, err := seed.OpenKeyring(w.Context(), must(w, master, err), db, time.Now)
	must(w, keys, err)
	messages, err := db.Messages(w.Context(), mail.Filter{})
	found := 0
	for _, m := range must(w, messages, err) {
		if m.Sealed.KeyID == 0 {
			continue
		}
		plain, err := keys.Open(w.Context(), m.Sealed, seed.OfMail(m.ID))
		var b struct {
			Text string
			File []byte
		}
		must(w, 0, json.Unmarshal(must(w, plain, err), &b))
		if len(b.File) > 0 {
			w.secret("file of message "+m.ID, string(b.File))
			found++
		}
		for _, part := range parts.FindAllStringSubmatch(b.Text, -1) {
			w.secret("secret of message "+m.ID, part[1]+part[2]+part[3])
			found++
		}
	}
	if found < 3 {
		w.Errorf("only %d secrets wait in the outbox", found)
	}
}
