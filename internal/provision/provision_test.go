package provision_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

// A service is the endpoint over a real store, with a clock that the test turns.
type service struct {
	*testing.T
	*deploytest.Clock
	ctx    context.Context
	db     *store.DB
	keys   *seed.Keyring
	tokens *token.Registry
	dist   *distribution.Distributor
	auth   *authentication.Engine
	url    string
	log    bytes.Buffer
	serial string
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{T: t, ctx: t.Context(), Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC))}
	db, keys := deploytest.New(t, deploytest.SQLite(t), s.Now)
	s.db, s.keys = db, keys
	s.tokens = &token.Registry{Store: db, Now: s.Now}
	devices := &device.Registry{Store: db, Now: s.Now}
	s.dist = &distribution.Distributor{Store: db, Devices: devices, Keys: deploytest.Secrets(keys), Now: s.Now, Endpoint: "https://tokens.test" + provision.Path, Service: "Test"}
	s.auth = &authentication.Engine{Store: db, Keys: keys, Now: s.Now}
	rec := &records.Registry{Store: db, Keys: keys, Now: s.Now}
	s.must(rec.BeginSerials(s.ctx))
	serials, err := rec.Create(s.ctx, 1, time.Time{}, time.Time{})
	s.must(err)
	s.serial = serials[0]
	_, err = (&user.Registry{Store: db, Now: s.Now}).Add(s.ctx, user.User{ID: "alice"})
	s.must(err)
	_, err = s.tokens.Assign(s.ctx, s.serial, "alice")
	s.must(err)
	_, err = (&profile.Registry{Store: db, Devices: devices, Now: s.Now}).Add(s.ctx, profile.Profile{Name: "app", DeviceType: "generic", Method: device.CTKIP, PINType: device.NoPIN, Grace: -1})
	s.must(err)
	h := provision.New(s.dist, slog.New(slog.NewTextHandler(&s.log, nil)), s.Now)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *service) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// offer makes an activation code.
func (s *service) offer() string {
	s.Helper()
	out, err := s.dist.Distribute(s.ctx, distribution.Request{Serial: s.serial, Profile: "app", Grace: -1})
	s.must(err)
	return out.ActivationCode
}

// post sends a request and returns the body of the answer, which must be 200.
func (s *service) post(r ctkip.Request) []byte {
	s.Helper()
	status, body := s.send(r)
	if status != http.StatusOK {
		s.Fatalf("status %d: %s", status, body)
	}
	return body
}

func (s *service) send(r ctkip.Request) (int, []byte) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.url, bytes.NewReader(r.Body))
	s.must(err)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	if resp.StatusCode == http.StatusOK && (resp.Header.Get("Content-Type") != "text/xml; charset=utf-8" || resp.ContentLength != int64(len(body))) {
		s.Errorf("answer of type %s and length %d for %d bytes", resp.Header.Get("Content-Type"), resp.ContentLength, len(body))
	}
	return resp.StatusCode, body
}

// provision runs a whole exchange with our client.
func (s *service) provision(code string) (ctkip.Token, error) {
	c := &ctkip.Client{Code: ctkip.Code(code)}
	start, err := c.Start()
	s.must(err)
	answer, err := c.Answer(s.post(start))
	if err != nil {
		return ctkip.Token{}, err
	}
	return c.Finish(s.post(answer))
}

func (s *service) refused(code string) {
	s.Helper()
	var f *ctkip.Fault
	if _, err := s.provision(code); !errors.As(err, &f) || f.Message != ctkip.InvalidCode.Message {
		s.Errorf("not refused: %v", err)
	}
}

func (s *service) check(passcode string, want authentication.Result) {
	s.Helper()
	if got, err := s.auth.Check(s.ctx, "alice", passcode); err != nil || got != want {
		s.Errorf("checked: %s, %v, want %s", got, err, want)
	}
}

func (s *service) code(t ctkip.Token) string {
	s.Helper()
	code, err := securid.Code(t.Seed, t.Serial, t.Digits, t.Interval, s.Now())
	s.must(err)
	return code
}

func TestACodeProvisionsOnce(t *testing.T) {
	s := newService(t)
	code := s.offer()
	tok, err := s.provision(code)
	s.must(err)
	if tok.Serial != s.serial || tok.Digits != 8 || tok.Interval != 60 || tok.AddPIN || tok.UserID != "alice" || tok.ServiceID != "Test" || len(tok.Assumed) != 0 {
		t.Errorf("token %v digits %d interval %d PIN %t user %q service %q", tok, tok.Digits, tok.Interval, tok.AddPIN, tok.UserID, tok.ServiceID)
	}
	page, err := s.db.Events(s.ctx, audit.Filter{Action: "dist.activate", Object: "token:" + s.serial})
	s.must(err)
	if len(page.Entries) != 1 {
		t.Fatalf("%d events", len(page.Entries))
	}
	if record := string(page.Entries[0].Record); !strings.Contains(record, `"form_factor":"","generation":1,"manufacturer":"Tallystick"`) || !strings.Contains(record, `"version":"1.0"`) {
		t.Errorf("recorded: %s", record)
	}
	s.check(s.code(tok), authentication.Accepted)
	s.refused(code)
	got, err := s.tokens.Get(s.ctx, s.serial)
	s.must(err)
	if got.Current.Number != 1 || got.Distribution != token.Confirmed {
		t.Errorf("generation %d, %s", got.Current.Number, got.Distribution)
	}
	if strings.Contains(s.log.String(), code) {
		t.Error("the code is in the log")
	}
}

func TestRefusedCodesLookAlike(t *testing.T) {
	s := newService(t)
	first := s.offer()
	expired := s.offer() // revokes the first
	s.refused(first)
	s.refused("999999999999")
	s.Pass(25 * time.Hour)
	s.refused(expired)
	revoked := s.offer()
	if n, err := s.dist.Revoke(s.ctx, s.serial); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	s.refused(revoked)
	taken := s.offer()
	_, err := s.tokens.Unassign(s.ctx, s.serial, 0)
	s.must(err)
	s.refused(taken)
	bodies := map[[32]byte]bool{}
	for _, code := range []string{first, expired, revoked, taken, "999999999999"} {
		start, err := (&ctkip.Client{Code: ctkip.Code(code)}).Start()
		s.must(err)
		bodies[sha256.Sum256(s.post(start))] = true
	}
	if len(bodies) != 1 {
		t.Errorf("%d different refusals", len(bodies))
	}
}

// The app's own repetition of the last request gets the same answer for two minutes; anything else does not.
func TestALostAnswerIsRepeated(t *testing.T) {
	s := newService(t)
	c := &ctkip.Client{Code: ctkip.Code(s.offer())}
	start, err := c.Start()
	s.must(err)
	nonce, err := c.Answer(s.post(start))
	s.must(err)
	first := s.post(nonce)
	s.Pass(time.Minute)
	if !bytes.Equal(s.post(nonce), first) {
		t.Error("another answer to the same request")
	}
	changed := nonce
	changed.Body = bytes.Replace(bytes.Clone(nonce.Body), []byte("</soapenv:Envelope>"), []byte(" </soapenv:Envelope>"), 1)
	if bytes.Equal(s.post(changed), first) {
		t.Error("the answer was repeated to another request")
	}
	s.Pass(2 * time.Minute)
	if bytes.Equal(s.post(nonce), first) {
		t.Error("the answer was repeated too late")
	}
	tok, err := c.Finish(first)
	s.must(err)
	s.check(s.code(tok), authentication.Accepted)
}

// Of any number of requests for one code at once, one wins.
func TestOneOfManyWins(t *testing.T) {
	s := newService(t)
	code := s.offer()
	const many = 5 // open exchanges that one code may have
	clients, requests := make([]*ctkip.Client, many), make([]ctkip.Request, many)
	for i := range many {
		clients[i] = &ctkip.Client{Code: ctkip.Code(code)}
		start, err := clients[i].Start()
		s.must(err)
		requests[i], err = clients[i].Answer(s.post(start))
		s.must(err)
	}
	var all sync.WaitGroup
	won := make(chan ctkip.Token, many)
	for i := range many {
		all.Go(func() {
			if tok, err := clients[i].Finish(s.post(requests[i])); err == nil {
				won <- tok
			}
		})
	}
	all.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d exchanges succeeded", len(won))
	}
	s.check(s.code(<-won), authentication.Accepted)
}

// Invariant 4 of spec/software-token-lifecycle.md: an activation code works at most once and never after expiry, revocation
// or lock, nor does an exchange that had begun before. That many requests at once have one winner is TestOneOfManyWins, that
// all refusals look alike TestRefusedCodesLookAlike.
func TestInvariant04AnActivationCodeWorksOnce(t *testing.T) {
	for name, end := range map[string]func(s *service, code string){
		"used":       func(s *service, code string) { _, err := s.provision(code); s.must(err) },
		"expired":    func(s *service, _ string) { s.Pass(24 * time.Hour) },
		"revoked":    func(s *service, _ string) { _, err := s.dist.Revoke(s.ctx, s.serial); s.must(err) },
		"offered":    func(s *service, _ string) { s.offer() },
		"unassigned": func(s *service, _ string) { _, err := s.tokens.Unassign(s.ctx, s.serial, 0); s.must(err) },
		"locked":     func(s *service, code string) { s.lock(code) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			code := s.offer()
			c := &ctkip.Client{Code: ctkip.Code(code)}
			start, err := c.Start()
			s.must(err)
			begun, err := c.Answer(s.post(start))
			s.must(err)
			end(s, code)
			before, err := s.tokens.Get(s.ctx, s.serial)
			s.must(err)
			if _, err := c.Finish(s.post(begun)); err == nil {
				t.Error("an exchange that had begun succeeded")
			}
			s.refused(code)
			after, err := s.tokens.Get(s.ctx, s.serial)
			s.must(err)
			if after.Version != before.Version || after.Distribution != before.Distribution {
				t.Errorf("the token was %s and is %s", before.Distribution, after.Distribution)
			}
		})
	}
}

// lock fails as many exchanges of a code as end it.
func (s *service) lock(code string) {
	s.Helper()
	for range 5 {
		c := &ctkip.Client{Code: ctkip.Code(code)}
		start, err := c.Start()
		s.must(err)
		nonce, err := c.Answer(s.post(start))
		s.must(err)
		// The server's own nonce comes back altered: the echo is the last base64 of the inner message.
		nonce.Body = withInner(s.T, nonce.Body, func(inner string) string {
			i := strings.LastIndex(inner, "<Data>") + len("<Data>")
			return inner[:i] + flip(inner[i:i+1]) + inner[i+1:]
		})
		var status *ctkip.StatusError
		if _, err := c.Finish(s.post(nonce)); !errors.As(err, &status) || status.Status != ctkip.Abort {
			s.Fatalf("got %v", err)
		}
	}
}

func TestFailedExchangesLockTheCode(t *testing.T) {
	s := newService(t)
	code := s.offer()
	s.lock(code)
	s.refused(code)
	tok, err := s.provision(s.offer())
	s.must(err)
	s.check(s.code(tok), authentication.Accepted)
}

func TestGuessingIsSlowedBySource(t *testing.T) {
	s := newService(t)
	good := s.offer()
	for range 10 {
		s.refused("000000000000")
	}
	s.refused(good)
	s.Pass(10 * time.Minute)
	_, err := s.provision(good)
	s.must(err)
}

func TestARedistributedTokenMovesWithTheExchange(t *testing.T) {
	s := newService(t)
	old, err := s.provision(s.offer())
	s.must(err)
	out, err := s.dist.Redistribute(s.ctx, distribution.Request{Serial: s.serial, Profile: "app", Grace: -1}, distribution.NewDevice, "")
	s.must(err)
	if out.Generation != 2 {
		t.Errorf("generation %d", out.Generation)
	}
	s.check(s.code(old), authentication.Accepted) // until the exchange
	fresh, err := s.provision(out.ActivationCode)
	s.must(err)
	s.Pass(time.Minute)
	s.check(s.code(old), authentication.Denied)
	s.check(s.code(fresh), authentication.Accepted)

	out, err = s.dist.Redistribute(s.ctx, distribution.Request{Serial: s.serial, Profile: "app", Grace: -1}, distribution.Compromised, "")
	s.must(err)
	s.Pass(time.Minute)
	s.check(s.code(fresh), authentication.Denied) // at once
	last, err := s.provision(out.ActivationCode)
	s.must(err)
	s.check(s.code(last), authentication.Accepted)
}

func TestWhatIsNoRequest(t *testing.T) {
	s := newService(t)
	for name, r := range map[string]ctkip.Request{
		"nothing":   {},
		"text":      {Body: []byte("hello")},
		"too large": {Body: bytes.Repeat([]byte(" "), ctkip.MaxBody+1)},
		"DTD":       {Body: []byte(`<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>`)},
		"other type": {Header: map[string]string{"Content-Type": "application/vnd.otps.ct-kip+xml"},
			Body: []byte(`<a/>`)},
	} {
		if status, _ := s.send(r); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
	resp, err := http.Get(s.url)
	s.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d", resp.StatusCode)
	}
}

// withInner changes the message inside the envelope of a request.
func withInner(t *testing.T, body []byte, change func(string) string) []byte {
	t.Helper()
	before, rest, ok := strings.Cut(string(body), "<Request>")
	encoded, after, ok2 := strings.Cut(rest, "</Request>")
	if !ok || !ok2 {
		t.Fatal("no request in the envelope")
	}
	inner, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(before + "<Request>" + base64.StdEncoding.EncodeToString([]byte(change(string(inner)))) + "</Request>" + after)
}

// flip gives another base64 character.
func flip(c string) string {
	if c == "A" {
		return "B"
	}
	return "A"
}
