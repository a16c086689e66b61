package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/directory/directorytest"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

// synced takes people from a real directory over TLS.
func synced(t *testing.T, p *process, people string) *directorytest.Server {
	t.Helper()
	s, err := directorytest.Start(t.TempDir(), people)
	if errors.Is(err, directorytest.ErrNotInstalled) {
		peertest.Missing(t, err)
	}
	must(t, s, err)
	t.Cleanup(s.Kill)
	address, base, reader, password := "ldaps://"+s.TLS, "ou=people,"+directorytest.Base, directorytest.Reader, client.Secret(directorytest.Password)
	groups, page := "none", 100
	d, err := p.admin().AddDirectory(t.Context(), client.NewDirectory{Directory: "hq", Kind: "openldap", DirectoryEdit: client.DirectoryEdit{
		URL: &address, CA: &s.CA, BaseDN: &base, BindDN: &reader, Password: &password, Groups: &groups, PageSize: &page,
	}})
	must(t, d, err)
	r, err := p.admin().SyncDirectory(t.Context(), "hq", client.SyncWish{})
	must(t, r, err)
	return s
}

// held distributes a token to a user so that its password is held, and returns the two messages.
func held(t *testing.T, p *process, serial string, again bool) []string {
	t.Helper()
	d := client.Distribution{Profile: "by mail", Password: deliveryPassword, Mail: true, SecretBy: "sign_in", SwitchOver: "on_activation"}
	var issue client.Issue
	var err error
	if again {
		issue, err = p.admin().Redistribute(t.Context(), serial, client.Redistribution{Distribution: d, Reason: "NEW_DEVICE"})
	} else {
		issue, err = p.admin().Distribute(t.Context(), serial, d)
	}
	return must(t, issue, err).Mails
}

func (o *postOffice) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got[id] == 1
}

// A user signs in with the password of her directory, and when she gets another seed, with a passcode of her old one. Each time the password
// of the file is mailed then, and not before.
func TestSecondMail(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits for its mails, 10 s")
	}
	p, o := start(t, folder(t)), openPostOffice(t)
	mails(t, p, o.port)
	synced(t, p, directorytest.Person("alice", "userPassword: the password of alice\n"))
	c := p.admin()
	serials, err := c.CreateTokens(t.Context(), client.NewTokens{Count: 1})
	serial := must(t, serials, err)[0]
	assigned, err := c.Assign(t.Context(), serial, "alice")
	must(t, assigned, err)
	state := func(id string) string {
		m, err := c.MailMessage(t.Context(), id)
		return must(t, m, err).State
	}
	web := p.public(t)
	signs := func(user, by, secret, want string) {
		t.Helper()
		answer, err := web.PostForm(p.url+"/second-mail", url.Values{"user": {user}, "by": {by}, "secret": {secret}})
		must(t, answer, err)
		defer answer.Body.Close()
		page, err := io.ReadAll(answer.Body)
		if text := string(must(t, page, err)); !strings.Contains(text, want) || strings.Contains(text, deliveryPassword) {
			t.Errorf("%s by %s: %d %s", user, by, answer.StatusCode, text)
		}
	}

	first := held(t, p, serial, false)
	poll(t, "the file", func() bool { return o.has(first[0]) })
	signs("alice", "password", "a guess", "Nothing was sent")
	signs("bob", "password", "the password of alice", "Nothing was sent")
	if s := state(first[1]); s != "held" || o.has(first[1]) {
		t.Errorf("the password is %s", s)
	}
	signs("alice", "password", "the password of alice", "on its way")
	poll(t, "the password", func() bool { return o.has(first[1]) })
	signs("alice", "password", "the password of alice", "Nothing was sent") // for nothing is held

	// Her app has it now.
	f, err := sdtid.Parse(attached(t, o.text[first[0]]))
	must(t, f, err)
	tokens, err := f.Open(deliveryPassword)
	mine := must(t, tokens, err)[0]
	now := time.Now()
	code := func(at time.Time) string {
		text, err := securid.Code(mine.Seed, serial, mine.Digits, mine.Interval, at)
		return must(t, text, err)
	}
	d, err := c.Check(t.Context(), client.Check{UserID: "alice", Passcode: client.Secret(code(now))})
	if must(t, d, err).Result != "accepted" {
		t.Fatalf("%+v", d)
	}
	second := held(t, p, serial, true)
	signs("alice", "passcode", code(now), "Nothing was sent") // it was used
	later := code(now.Add(time.Duration(mine.Interval) * time.Second))
	signs("alice", "passcode", later, "on its way")
	poll(t, "both messages", func() bool { return o.has(second[0]) && o.has(second[1]) })
	page, err := c.AuditEvents(t.Context(), client.EventFilter{Action: "mail.sign_in"})
	if n := len(must(t, page, err).Events); n != 6 {
		t.Errorf("%d sign-ins in the log", n)
	}
	if said := p.said(); strings.Contains(said, "the password of alice") || strings.Contains(said, later) {
		t.Error("the log tells what was typed")
	}
}

// attached is the file in a message.
func attached(t *testing.T, message string) []byte {
	t.Helper()
	part := regexp.MustCompile(`(?s)filename="[^"]*sdtid".*?\r\n\r\n(.*?)\r\n--`).FindStringSubmatch(message)
	if part == nil {
		t.Fatalf("no file in\n%s", message)
	}
	var file []byte
	must(t, 0, json.Unmarshal([]byte(`"`+regexp.MustCompile(`\s`).ReplaceAllString(part[1], "")+`"`), &file))
	return file
}

// A browser is a real one, without a window, that a program drives (W3C WebDriver).
type browser struct {
	t       *testing.T
	session string // URL
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	peertest.Need(t, "chromedriver")
	at, err := directorytest.Free()
	_, port, err := net.SplitHostPort(must(t, at, err))
	cmd := exec.Command(peertest.Path("chromedriver"), "--port="+must(t, port, err))
	must(t, 0, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	b := &browser{t, "http://" + at}
	poll(t, "chromedriver to answer", func() bool {
		r, err := http.Get(b.session + "/status")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
	options := map[string]any{"args": []string{"--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=900,800", "--user-data-dir=" + t.TempDir()}}
	made := b.does(http.MethodPost, "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true, "goog:chromeOptions": options}}})
	b.session += "/session/" + made.(map[string]any)["sessionId"].(string)
	t.Cleanup(func() { b.does(http.MethodDelete, "", nil) })
	b.does(http.MethodPost, "/timeouts", map[string]int64{"implicit": patience.Milliseconds()}) // that an element may take to come
	return b
}

// does sends a command and returns its value.
func (b *browser) does(method, path string, body any) any {
	b.t.Helper()
	var sent io.Reader
	if method == http.MethodPost {
		text, err := json.Marshal(body)
		sent = bytes.NewReader(must(b.t, text, err))
	}
	r, err := http.NewRequest(method, b.session+path, sent)
	must(b.t, r, err)
	answer, err := http.DefaultClient.Do(r)
	must(b.t, answer, err)
	defer answer.Body.Close()
	var out struct{ Value any }
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil || answer.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %s: %d %v %v", method, path, answer.StatusCode, out.Value, err)
	}
	return out.Value
}

// element finds one by a CSS selector.
func (b *browser) element(selector string) string {
	b.t.Helper()
	found := b.does(http.MethodPost, "/element", map[string]string{"using": "css selector", "value": selector}).(map[string]any)
	for _, id := range found {
		return "/element/" + id.(string)
	}
	b.t.Fatalf("no %s", selector)
	return ""
}

func (b *browser) types(selector, text string) {
	b.does(http.MethodPost, b.element(selector)+"/value", map[string]string{"text": text})
}

func (b *browser) clicks(selector string) {
	b.does(http.MethodPost, b.element(selector)+"/click", map[string]any{})
}

func (b *browser) reads(selector string) string {
	text, _ := b.does(http.MethodGet, b.element(selector)+"/text", nil).(string)
	return text
}

// A real browser shows the page with its style, sends the form, and keeps what was typed out of its address.
func TestSecondMailInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: drives a browser")
	}
	b := openBrowser(t)
	p, o := start(t, folder(t)), openPostOffice(t)
	mails(t, p, o.port)
	synced(t, p, directorytest.Person("alice", "userPassword: the password of alice\n"))
	serials, err := p.admin().CreateTokens(t.Context(), client.NewTokens{Count: 1})
	serial := must(t, serials, err)[0]
	assigned, err := p.admin().Assign(t.Context(), serial, "alice")
	must(t, assigned, err)
	ids := held(t, p, serial, false)
	b.does(http.MethodPost, "/url", map[string]string{"url": p.url + "/second-mail"})
	if shown := b.reads("h1"); shown != "Your second message" {
		t.Errorf("it shows %q", shown)
	}
	if color := b.does(http.MethodGet, b.element("button")+"/css/background-color", nil); !strings.Contains(fmt.Sprint(color), "31, 90, 166") {
		t.Errorf("the style is not taken: %v", color)
	}
	b.picture("form")
	b.types("#user", "alice")
	b.types("#secret", "a guess")
	b.clicks("button")
	if shown := b.reads("[role=alert]"); !strings.Contains(shown, "Nothing was sent") {
		t.Errorf("a guess: %q", shown)
	}
	b.picture("refused")
	b.types("#user", "alice")
	b.types("#secret", "the password of alice")
	b.clicks("button")
	if shown := b.reads("[role=status]"); !strings.Contains(shown, "on its way") {
		t.Errorf("her password: %q", shown)
	}
	b.picture("sent")
	if at := b.does(http.MethodGet, "/url", nil); at != p.url+"/second-mail" {
		t.Errorf("the address is %v", at)
	}
	poll(t, "the password", func() bool { return o.has(ids[1]) })
}

// picture keeps what the browser shows where TALLYSTICK_PICTURES says, to be looked at.
func (b *browser) picture(name string) {
	b.t.Helper()
	folder := os.Getenv("TALLYSTICK_PICTURES")
	if folder == "" {
		return
	}
	shot, _ := b.does(http.MethodGet, "/screenshot", nil).(string)
	var png []byte
	must(b.t, 0, json.Unmarshal([]byte(`"`+shot+`"`), &png))
	must(b.t, 0, os.WriteFile(folder+"/second-mail-"+name+".png", png, 0o600))
}
