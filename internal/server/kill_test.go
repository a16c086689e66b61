package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

const deliveryPassword = "correct horse 42"

// Servers and databases that are killed at any moment, while clients make, import, assign, deliver and redistribute tokens,
// use their codes and make new data keys, leave nothing half done: what was answered holds, what was not answered can be asked again and is
// done once, no seed serves twice, no token is without, and the audit log is whole.
func TestKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 1
	}
	t.Run("SQLite", func(t *testing.T) {
		s := newSite(t, start(t, folder(t)))
		s.prepare()
		s.work(4, s.live)
		for range rounds {
			s.suffer()
		}
		s.finish()
		s.settle()
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		database := storetest.Postgres(t)
		first, second := pair(t, database)
		s := newSite(t, first, second)
		s.prepare()
		s.work(4, s.live)
		for n := range rounds {
			if n%4 == 0 {
				s.moment()
				storetest.Crash(t, database)
				s.verify()
			}
			s.suffer()
		}
		s.finish()
		s.settle()
	})
}

// A server that is killed in its very first start, again and again, starts all the same in the end.
func TestKillAtTheFirstStart(t *testing.T) {
	if testing.Short() {
		t.Skip("TestKill kills a server that starts as well")
	}
	for range 10 {
		data := folder(t)
		for range 3 {
			p := launch(t, data)
			<-time.After(time.Duration(mathrand.IntN(200_000)) * time.Microsecond)
			p.kill()
		}
		p := start(t, data)
		serials, err := p.admin().CreateTokens(t.Context(), client.NewTokens{Count: 1})
		must(t, serials, err)
		p.kill()
	}
}

// prepare makes a profile for each way of delivery.
func (s *site) prepare() {
	for _, p := range []client.NewProfile{
		{Profile: "file", DeviceType: "generic", DeliveryMethod: "file", PINType: "none"},
		{Profile: "ctf", DeviceType: "generic", DeliveryMethod: "ctf", PINType: "none", IntervalSeconds: 30},
		{Profile: "ctkip", DeviceType: "generic", DeliveryMethod: "ctkip", PINType: "none", Digits: 6},
	} {
		ask[client.Profile](s, "/v1/profiles", p)
	}
}

// moment waits for any moment. After an answer to one client the others are anywhere in what they do.
func (s *site) moment() {
	s.wait(1 + mathrand.IntN(30))
	<-time.After(time.Duration(mathrand.IntN(20_000)) * time.Microsecond)
}

// suffer kills one server at any moment, sometimes again while it starts, and lets it come back.
func (s *site) suffer() {
	s.Helper()
	s.moment()
	p := s.shut()
	p.kill()
	if mathrand.IntN(3) == 0 {
		half := launch(s.T, p.data, p.args...)
		<-time.After(time.Duration(mathrand.IntN(100_000)) * time.Microsecond)
		half.kill()
	}
	s.open(start(s.T, p.data, p.args...))
	s.verify()
}

// verify proves that the audit log is whole, while the clients work.
func (s *site) verify() {
	s.Helper()
	poll(s, "the database", func() bool {
		r := run(s.Context(), s.T, nil, "", "tallystick", "audit", "verify", "--data", s.any().data)
		if r.status == 3 {
			s.Errorf("the audit log: %s", r.both())
		}
		return r.status != 1 // the database may be away
	})
}

// live is one life of a client: a user gets a token, which is delivered and redistributed, and its codes are used.
func (s *site) live(worker, life int) {
	userID := fmt.Sprintf("user-%d-%d", worker, life)
	ask[client.User](s, "/v1/users", client.NewUser{UserID: userID})
	var serials []string
	if mathrand.IntN(3) == 0 {
		serials = s.imported(worker, life)
	} else {
		serials = ask[client.CreatedTokens](s, "/v1/tokens", client.NewTokens{Count: 2}).Serials
	}
	if mathrand.IntN(4) == 0 {
		status, answer, _ := s.insist("/v1/data-keys/rotate", "", nil)
		if status != http.StatusOK && status != http.StatusConflict { // somebody else made one
			s.abandon("a new data key: %d: %s", status, answer)
		}
	}
	h := &holder{site: s, userID: userID, serial: serials[0]}
	ask[client.Token](s, "/v1/tokens/"+h.serial+"/assign", client.Assignment{UserID: userID})
	h.deliver("distribute", client.Distribution{Profile: anyProfile()})
	for range 2 {
		h.deliver("redistribute", client.Redistribution{
			Distribution: client.Distribution{Profile: anyProfile(), SwitchOver: []string{"", "immediate", "on_activation"}[mathrand.IntN(3)]},
			Reason:       []string{"COMPROMISED", "NEW_DEVICE"}[mathrand.IntN(2)],
		})
	}
}

func anyProfile() string { return []string{"file", "ctf", "ctkip"}[mathrand.IntN(3)] }

// imported imports the tokens of a token file, of which all or none are there afterwards.
func (s *site) imported(worker, life int) []string {
	b := sdtid.Batch{Password: deliveryPassword}
	for n := range 3 {
		serial := fmt.Sprintf("%06d%04d%02d", 900_000+worker, life, n)
		b.Tokens = append(b.Tokens, sdtid.Token{Serial: serial, Seed: anySeed(), Digits: 8, Interval: 60, Expiry: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
	file, err := sdtid.Encode(b)
	if err != nil {
		s.abandon("%v", err)
	}
	done := ask[client.ImportedTokens](s, "/v1/tokens/import", client.TokenFile{File: file, Password: deliveryPassword})
	if len(done.Imported) != len(b.Tokens) {
		s.abandon("of %d tokens of a file %d were imported", len(b.Tokens), len(done.Imported))
	}
	for _, t := range b.Tokens {
		s.own(t.Seed, t.Serial, 1)
	}
	return done.Imported
}

func anySeed() []byte {
	seed := make([]byte, 16)
	for i := range seed {
		seed[i] = byte(mathrand.Uint32())
	}
	return seed
}

// A holder is the client of a user with a token.
type holder struct {
	*site
	userID, serial string
	deliveries     int
	generation     int // of the last
}

// deliver has the token delivered once, by whichever way the profile says, and compares what came with what the server has.
func (h *holder) deliver(verb string, body any) {
	issue := ask[client.Issue](h.site, "/v1/tokens/"+h.serial+"/"+verb, body)
	if issue.Generation <= h.generation {
		h.Errorf("%s: generation %d comes after %d", h.serial, issue.Generation, h.generation)
	}
	h.deliveries, h.generation = h.deliveries+1, issue.Generation
	var code string
	switch issue.Delivery.Method {
	case "file":
		code = h.fromFile(issue)
	case "ctf":
		code = h.fromString(issue)
	default:
		code = h.fromPhones(issue)
	}
	t := h.token(h.serial)
	if t.IssueCount != h.deliveries {
		h.Errorf("%s was delivered %d times, and asked for %d times", h.serial, t.IssueCount, h.deliveries)
	}
	if code == "" { // the exchange was done and its answer lost: the seed is nobody's
		if t.Distribution != "confirmed" || t.Generation != issue.Generation {
			h.Errorf("%s: nobody has generation %d, and the server has %d, %s", h.serial, issue.Generation, t.Generation, t.Distribution)
		}
		return
	}
	if valid := t.Generation; t.Pending == nil && valid != issue.Generation || t.Pending != nil && t.Pending.Generation != issue.Generation {
		h.Errorf("%s: generation %d was delivered, and the server has %d, %+v", h.serial, issue.Generation, valid, t.Pending)
	}
	h.use(code, issue.Generation)
}

// use has a code accepted, once.
func (h *holder) use(code string, generation int) {
	if result, sure := h.check(h.userID, code); result != client.Accepted && sure {
		h.Errorf("%s: the server does not accept a code of generation %d: %s", h.serial, generation, result)
	}
	if result, _ := h.check(h.userID, code); result != "denied" {
		h.Errorf("%s: a used code is %s", h.serial, result)
	}
	if t := h.token(h.serial); t.Generation != generation || t.Pending != nil || t.Distribution != "confirmed" {
		h.Errorf("%s: after a code of generation %d the server has %d, %+v, %s", h.serial, generation, t.Generation, t.Pending, t.Distribution)
	}
}

// fromFile is a code of the token in a token file.
func (h *holder) fromFile(issue client.Issue) string {
	f, err := sdtid.Parse(issue.Delivery.File)
	if err != nil {
		h.abandon("%s: %v", h.serial, err)
	}
	tokens, err := f.Open("")
	if err != nil || len(tokens) != 1 {
		h.abandon("%s: %v", h.serial, err)
	}
	return h.code(issue, tokens[0].Seed, tokens[0].Digits, tokens[0].Interval)
}

// fromString is a code of the token in a compressed string.
func (h *holder) fromString(issue client.Issue) string {
	text, err := ctf.Parse(issue.Delivery.CTFURL)
	if err != nil {
		h.abandon("%s: %v", h.serial, err)
	}
	t, err := text.Open("", "")
	if err != nil {
		h.abandon("%s: %v", h.serial, err)
	}
	return h.code(issue, t.Seed, t.Digits, t.Interval)
}

func (h *holder) code(issue client.Issue, seed []byte, digits, interval int) string {
	h.own(seed, h.serial, issue.Generation)
	code, err := securid.Code(seed, h.serial, digits, interval, time.Now())
	if err != nil {
		h.abandon("%s: %v", h.serial, err)
	}
	return code
}

// fromPhones lets two token apps use one activation code, and gives a code of the one that gets the token; "" if the answer
// to that one was lost.
func (h *holder) fromPhones(issue client.Issue) string {
	var fetched [2]*phone
	done := make(chan struct{})
	for n := range fetched {
		dir := filepath.Join(h.phones, fmt.Sprintf("%s-%d-%d", h.serial, issue.Generation, n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			h.abandon("%v", err)
		}
		app := newPhone(h, dir)
		go func() {
			defer func() { done <- struct{}{} }()
			if h.fetch(app, issue.Delivery.ActivationCode) {
				fetched[n] = app
			}
		}()
	}
	<-done
	<-done
	switch {
	case fetched[0] != nil && fetched[1] != nil:
		h.Errorf("%s: two apps got a token with one activation code", h.serial)
		return ""
	case fetched[0] != nil:
		return fetched[0].code(h.serial, time.Now())
	case fetched[1] != nil:
		return fetched[1].code(h.serial, time.Now())
	}
	return ""
}

// fetch tries an activation code until the app has the token or the code is refused.
func (h *holder) fetch(app *phone, code string) bool {
	file := filepath.Join(app.dir, "code")
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		h.abandon("%v", err)
	}
	fetched := false
	poll(h, "token "+h.serial+" to be provisioned", func() bool {
		p := h.any()
		// The app asks a server again that comes back, but at another address here: the user ends that.
		ctx, cancel := context.WithCancel(h.Context())
		defer cancel()
		go func() {
			select {
			case <-p.done:
				cancel()
			case <-ctx.Done():
			}
		}()
		r := app.run(ctx, "import", p.url+provision.Path, "--activation-code-file", file, "--ca", filepath.Join(p.data, "ca.pem"), "--json")
		var answer struct {
			Error struct{ Code, Message string }
		}
		if r.stdout == "" && ctx.Err() != nil {
			return false // interrupted before it came to anything
		}
		if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil {
			h.abandon("tally import: %s", r.both())
		}
		switch answer.Error.Code {
		case "":
			fetched = true
			return true
		case "ACTIVATION_REFUSED":
			return true
		case "SERVER_UNREACHABLE":
			return false
		}
		h.abandon("tally import: %s", r.both())
		return false
	})
	return fetched
}

// settle has every token that is left delivered to a user, so that each proves its seed.
func (s *site) settle() {
	s.Helper()
	p := s.any()
	n := 0
	for t, err := range p.admin().AllTokens(s.Context(), client.TokenFilter{}) {
		if err != nil {
			s.Fatal(err)
		}
		n++
		verb, body := "redistribute", any(client.Redistribution{Distribution: client.Distribution{Profile: "ctf"}, Reason: "COMPROMISED"})
		userID := t.UserID
		if userID == "" {
			verb, body, userID = "distribute", client.Distribution{Profile: "ctf"}, "settler-"+t.Serial
			ask[client.User](s, "/v1/users", client.NewUser{UserID: userID})
			ask[client.Token](s, "/v1/tokens/"+t.Serial+"/assign", client.Assignment{UserID: userID})
		}
		h := &holder{site: s, userID: userID, serial: t.Serial, deliveries: t.IssueCount}
		h.deliver(verb, body)
	}
	s.verify()
	if n == 0 {
		s.Error("the clients made no token")
	}
	s.Logf("%d tokens, %d seeds, %d answers", n, len(s.seeds), s.answers)
	for _, path := range []string{"/healthz", "/readyz"} {
		r, err := p.socket.Get("http://tallystick" + path)
		if err != nil || r.StatusCode != http.StatusOK {
			s.Errorf("%s: %v, %v", path, r, err)
		}
	}
}
