package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/webhook"
)

// A receiver is a company's own program behind HTTPS.
type receiver struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	key    []byte
	answer func(n int, w http.ResponseWriter, r *http.Request) // nil takes everything
	calls  int
	taken  []message
}

type message struct {
	ID        string
	Type      string      `json:"type"`
	Timestamp time.Time   `json:"timestamp"`
	Data      audit.Event `json:"data"`
	Seq       int64
	Report    json.RawMessage `json:"report"`
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) authority() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
}

// ServeHTTP checks the signature as the documentation says and not as the package does.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	id, stamp := req.Header.Get("Webhook-Id"), req.Header.Get("Webhook-Timestamp")
	mac := hmac.New(sha256.New, r.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); err != nil || req.Header.Get("Webhook-Signature") != want {
		r.t.Errorf("signature of %s is not right (%v)", id, err)
	}
	if _, err := strconv.ParseInt(stamp, 10, 64); err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("%s %v", req.Method, req.Header)
	}
	if r.answer != nil {
		kept := &httptest.ResponseRecorder{Code: http.StatusOK}
		if r.answer(r.calls, kept, req); kept.Code != http.StatusOK {
			for name := range kept.Header() {
				w.Header().Set(name, kept.Header().Get(name))
			}
			w.WriteHeader(kept.Code)
			return
		}
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil || m.Type != m.Data.Action || id != m.Data.ID || !m.Timestamp.Equal(m.Data.At) {
		r.t.Errorf("message %s (%v)", body, err)
	}
	m.ID = id
	r.taken = append(r.taken, m)
	if r.calls%10 == 1 {
		fmt.Fprint(w, strings.Repeat("x", 1<<20)) // more than anybody reads, which ends the connection
	}
}

func (r *receiver) objects() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, m := range r.taken {
		all = append(all, m.Data.Object)
	}
	return all
}

// A site is a database with an audit log, and servers' senders on it.
type site struct {
	*testing.T
	db    *store.DB
	log   *audit.Log
	hooks *webhook.Registry
	keys  *seed.Keyring
	clock *deploytest.Clock
}

func newSite(t *testing.T, url string) *site {
	s := &site{T: t, clock: deploytest.NewClock(time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC))}
	s.db, s.keys = deploytest.New(t, url, s.clock.Now)
	s.log = storetest.NewLog(t, s.db, "")
	s.hooks = &webhook.Registry{Store: s.db, Keys: s.keys, Now: s.clock.Now, Sender: s.sender("test")}
	return s
}

func (s *site) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) sender(name string) *webhook.Sender {
	return &webhook.Sender{Store: s.db, Feed: s.log, Keys: s.keys, Server: name, Now: s.clock.Now, Logger: slog.New(slog.DiscardHandler)}
}

// add subscribes a receiver.
func (s *site) add(name string, r *receiver, choice audit.Choice) {
	s.Helper()
	_, secret, err := s.hooks.Add(s.Context(), webhook.Webhook{Name: name, URL: r.URL + "/in", CA: r.authority(), Choice: choice}, "", nil)
	s.ok(err)
	encoded, is := strings.CutPrefix(secret, "whsec_")
	if !is {
		s.Errorf("secret %q", secret)
	}
	r.key, err = base64.StdEncoding.DecodeString(encoded)
	s.ok(err)
}

// happens records events and places them.
func (s *site) happens(action string, objects ...string) {
	s.Helper()
	var events []audit.Event
	for _, o := range objects {
		events = append(events, audit.New(s.Context(), s.clock.Now(), action, o, nil))
	}
	s.ok(s.db.RecordAll(s.Context(), events))
	s.place()
}

func (s *site) place() {
	s.Helper()
	for n, err := s.log.Sequence(s.Context()); n > 0 || err != nil; n, err = s.log.Sequence(s.Context()) {
		s.ok(err)
	}
}

// look lets a server look for webhooks once and do what there is to do.
func (s *site) look(server string) { s.sender(server).Once(s.Context()) }

func (s *site) hook(name string) webhook.Webhook {
	s.Helper()
	w, err := s.hooks.Get(s.Context(), name)
	s.ok(err)
	return w
}

func (s *site) actions() map[string]int {
	s.Helper()
	page, err := s.log.Events(s.Context(), audit.Filter{Action: "webhook.*"})
	s.ok(err)
	count := map[string]int{}
	for _, e := range page.Entries {
		event, err := audit.ParseRecord(e.Record)
		s.ok(err)
		count[strings.TrimRight(event.Action+" "+event.Reason, " ")]++
	}
	return count
}

func each(t *testing.T, test func(*testing.T, *site)) {
	deploytest.Each(t, func(t *testing.T, url string) { test(t, newSite(t, url)) })
}

func tokens(from, to int) (all []string) {
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprintf("token:%d", n))
	}
	return all
}

// What is chosen arrives, in order, each once, under its own ID; what happened before and the webhook itself do not.
func TestDelivery(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.happens("token.create", "token:early")
		r := newReceiver(t)
		s.add("crm", r, audit.Choice{Actions: []string{"*"}, Kinds: []string{"token", "webhook"}})
		s.happens("token.create", tokens(0, 450)...)
		s.happens("user.add", "user:alice")
		s.happens("authn.fail", "token:450")
		s.add("other", newReceiver(t), audit.Choice{})
		s.place()
		s.look("one")
		s.look("one")
		if got, want := r.objects(), append(tokens(0, 451), "webhook:other"); !slices.Equal(got, want) {
			t.Errorf("heard of %d: %v", len(got), got)
		}
		ids := map[string]bool{}
		for _, m := range r.taken {
			ids[m.ID] = true
		}
		w := s.hook("crm")
		size, err := s.db.Size(t.Context())
		if len(ids) != 452 || err != nil || w.Place != size-1 || w.Status != 200 || w.Trouble != "" || w.DeliveredAt.IsZero() || w.LeaseOwner != "one" || !w.LeaseUntil.IsZero() {
			t.Errorf("%d IDs, %+v", len(ids), w)
		}
	})
}

// A receiver that fails gets the same event again, after pauses that grow, and misses none; another webhook does not wait for it.
func TestRetries(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		bad, good := newReceiver(t), newReceiver(t)
		s.add("bad", bad, audit.Choice{})
		s.add("good", good, audit.Choice{Kinds: []string{"token"}})
		s.place()
		s.look("one") // the good one's subscription is news to the bad one
		bad.taken = nil
		for n, status := range []int{500, 302, 404, 200} {
			bad.answer = func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", good.URL)
				w.WriteHeader(status)
			}
			if n == 0 {
				s.happens("token.create", tokens(0, 3)...)
			}
			calls := bad.calls
			s.look("one")
			s.look("one") // too early for another try
			w := s.hook("bad")
			if status == 200 {
				break
			}
			want := map[int]webhook.Trouble{500: webhook.Refused, 302: webhook.Redirected, 404: webhook.Refused}[status]
			pause := w.NextAt.Sub(s.clock.Now())
			longest := 5 * time.Second << n
			if bad.calls != calls+1 || w.Trouble != want || w.Status != status || w.Tries != n+1 || pause < longest/2 || pause > longest || w.FailingFrom.IsZero() {
				t.Errorf("after %d: %d calls, %+v", status, bad.calls-calls, w)
			}
			s.clock.Pass(pause)
		}
		if got := bad.objects(); !slices.Equal(got, tokens(0, 3)) {
			t.Errorf("heard of %v", got)
		}
		if got := good.objects(); !slices.Equal(got, tokens(0, 3)) {
			t.Errorf("the other one heard of %v", got)
		}
		if w := s.hook("bad"); w.Tries != 0 || !w.FailingFrom.IsZero() || w.Trouble != "" {
			t.Errorf("in the end: %+v", w)
		}
	})
}

// setBack sets the clock to what it is. A server whose own may be behind leaves alone then what the one that was ahead has begun.
func (s *site) setBack(right time.Time, r *receiver) {
	s.Helper()
	s.clock.Pass(right.Sub(s.clock.Now()))
	behind, calls := s.sender("two"), r.calls
	behind.Reliable = func() bool { return false }
	behind.Once(s.Context())
	if calls != 1 || r.calls != calls {
		s.Errorf("%d calls, and %d by a clock that may be behind", calls, r.calls-calls)
	}
}

// One that failed by a clock that was ahead is tried again once the clock is right, and given up as soon as another one.
func TestAfterTheClockWasSetBack(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		r := newReceiver(t)
		s.add("crm", r, audit.Choice{Kinds: []string{"token"}})
		r.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		right := s.clock.Now()
		s.clock.Pass(365 * 24 * time.Hour)
		s.happens("token.create", "token:1")
		s.look("one")
		s.setBack(right, r)
		s.look("one")
		if w := s.hook("crm"); r.calls != 2 || !w.FailingFrom.Equal(right) || w.NextAt.After(right.Add(time.Hour)) {
			t.Errorf("%d calls, %+v", r.calls, w)
		}
		r.answer = nil
		s.clock.Pass(time.Hour)
		s.look("one")
		if got := r.objects(); !slices.Equal(got, tokens(1, 2)) {
			t.Errorf("heard of %v", got)
		}
	})
}

// One that fails for too long is disabled, with an event that it does not hear of, and goes on where it stopped.
func TestDisabling(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		r, watcher := newReceiver(t), newReceiver(t)
		s.add("crm", r, audit.Choice{Actions: []string{"token.*", "webhook.*"}})
		s.add("watcher", watcher, audit.Choice{Actions: []string{"webhook.disable"}})
		s.place()
		s.look("one")
		r.taken = nil
		r.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		s.happens("token.create", tokens(0, 2)...)
		tries := 0
		for ; s.hook("crm").Enabled && tries < 100; tries++ {
			s.look("one")
			s.clock.Pass(max(0, s.hook("crm").NextAt.Sub(s.clock.Now())))
		}
		s.place()
		for range 3 {
			s.look("one")
		}
		w := s.hook("crm")
		if w.Enabled || w.Trouble != webhook.Refused || tries < 10 || r.calls-1 != tries || s.actions()["webhook.disable REFUSED"] != 1 {
			t.Errorf("%d tries, %d calls, %+v, %v", tries, r.calls, w, s.actions())
		}
		if failing := s.clock.Now().Sub(w.FailingFrom); failing < webhook.DefaultGiveUp-12*time.Hour || failing > webhook.DefaultGiveUp {
			t.Errorf("disabled after %s", failing)
		}
		if got := watcher.objects(); !slices.Equal(got, []string{"webhook:crm"}) {
			t.Errorf("the other one heard of %v", got)
		}
		r.answer = nil
		_, err := s.hooks.Edit(t.Context(), "crm", w.Version, webhook.Edit{}, func(w *webhook.Webhook) { w.Enabled = true })
		s.ok(err)
		s.place()
		s.look("one")
		if got := r.objects(); !slices.Equal(got, tokens(0, 2)) {
			t.Errorf("enabled again it heard of %v", got)
		}
		r.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }
		s.happens("token.create", "token:2", "token:3")
		s.look("one")
		if w = s.hook("crm"); w.Enabled || w.Trouble != webhook.Gone {
			t.Errorf("who says that it is gone is not: %+v", w)
		}
		r.answer = nil
		_, err = s.hooks.Edit(t.Context(), "crm", 0, webhook.Edit{Skip: true}, func(w *webhook.Webhook) { w.Enabled = true })
		s.ok(err)
		s.happens("token.create", "token:4")
		s.look("one")
		if got := r.objects(); !slices.Equal(got, append(tokens(0, 2), "token:4")) {
			t.Errorf("without what was waiting it heard of %v", got)
		}
	})
}

// Two servers at once: each event arrives once. One that dies in the middle is followed by the other after its lease; nothing is lost,
// and what comes twice has the same ID.
func TestTwoServers(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		r := newReceiver(t)
		s.add("crm", r, audit.Choice{Kinds: []string{"token"}})
		s.happens("token.create", tokens(0, 300)...)
		var both sync.WaitGroup
		for _, server := range []string{"one", "two"} {
			both.Go(func() { s.look(server) })
		}
		both.Wait()
		if got := r.objects(); !slices.Equal(got, tokens(0, 300)) {
			t.Errorf("heard of %d: %v", len(got), got)
		}

		s.happens("token.create", tokens(300, 310)...)
		dying, die := context.WithCancel(t.Context())
		r.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 305 {
				die() // in the middle of a request
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		crashed := s.sender("one")
		crashed.Store = mute{s.db} // who was killed says nothing any more
		crashed.Once(dying)
		if got := len(r.objects()); got != 304 {
			t.Errorf("%d before the crash", got)
		}
		s.look("two")
		if got := len(r.objects()); got != 304 {
			t.Errorf("the lease of the dead was not waited for: %d", got)
		}
		s.clock.Pass(time.Minute)
		s.look("two")
		seen := map[string]string{}
		var order []string
		for _, m := range r.taken {
			if seen[m.Data.Object] == "" {
				order = append(order, m.Data.Object)
			} else if seen[m.Data.Object] != m.ID {
				t.Errorf("%s came under two IDs", m.Data.Object)
			}
			seen[m.Data.Object] = m.ID
		}
		if !slices.Equal(order, tokens(0, 310)) {
			t.Errorf("heard of %d: %v", len(order), order)
		}
	})
}

// The lease of a server that was killed by a clock that was ahead ends once the clock is right, too.
func TestTheLeaseOfOneWhoseClockWasAhead(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		r := newReceiver(t)
		s.add("crm", r, audit.Choice{Kinds: []string{"token"}})
		right := s.clock.Now()
		s.clock.Pass(365 * 24 * time.Hour)
		s.happens("token.create", "token:1")
		crashed := s.sender("one")
		crashed.Store = mute{s.db}
		crashed.Once(t.Context())
		s.setBack(right, r)
		s.look("two")
		if r.calls != 2 || !s.hook("crm").DeliveredAt.Equal(right) {
			t.Errorf("%d calls", r.calls)
		}
	})
}

// mute is a store that keeps no progress.
type mute struct{ *store.DB }

func (mute) SaveProgress(context.Context, string, webhook.Progress) (bool, error) {
	return false, errors.New("killed")
}

// Each way to fail has its word, and no word shows the URL.
func TestTroubles(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "tallystick.db"))
	r := newReceiver(t)
	s.add("crm", r, audit.Choice{})
	test := func(want webhook.Trouble) {
		t.Helper()
		if out, err := s.hooks.Test(t.Context(), "crm"); out.Trouble != want || err != nil {
			t.Errorf("%+v %v, want %s", out, err, want)
		}
	}
	edit := func(change func(*webhook.Webhook)) {
		t.Helper()
		_, err := s.hooks.Edit(t.Context(), "crm", 0, webhook.Edit{}, change)
		s.ok(err)
	}
	test("")
	if got := r.taken[0]; got.Type != "webhook.test" || got.Data.Object != "webhook:crm" {
		t.Errorf("test %+v", got)
	}
	edit(func(w *webhook.Webhook) { w.CA = "" })
	test(webhook.Untrusted)
	edit(func(w *webhook.Webhook) { w.CA = r.authority() })
	r.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	test(webhook.Refused)
	r.answer = func(_ int, _ http.ResponseWriter, req *http.Request) { <-req.Context().Done() } // slower than anybody waits
	s.hooks.Sender.Timeout = 50 * time.Millisecond
	test(webhook.TimedOut)
	s.hooks.Sender.Timeout = 0
	r.Close()
	test(webhook.Unreachable)
	if s.place(); s.actions()["webhook.test"] != 1 || s.actions()["webhook.test UNREACHABLE"] != 1 {
		t.Errorf("%v", s.actions())
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "tallystick.db"))
	good := webhook.Webhook{Name: "a", URL: "https://hooks.example.com/in?x=y"}
	far := int64(1000)
	for name, add := range map[string]func(w *webhook.Webhook) (secret string, after *int64){
		"name":       func(w *webhook.Webhook) (string, *int64) { w.Name = "a/b"; return "", nil },
		"http":       func(w *webhook.Webhook) (string, *int64) { w.URL = "http://hooks.example.com/"; return "", nil },
		"file":       func(w *webhook.Webhook) (string, *int64) { w.URL = "file:///etc/passwd"; return "", nil },
		"no host":    func(w *webhook.Webhook) (string, *int64) { w.URL = "https:///x"; return "", nil },
		"password":   func(w *webhook.Webhook) (string, *int64) { w.URL = "https://a:b@hooks.example.com/"; return "", nil },
		"CA":         func(w *webhook.Webhook) (string, *int64) { w.CA = "x"; return "", nil },
		"action":     func(w *webhook.Webhook) (string, *int64) { w.Choice.Actions = []string{"Token"}; return "", nil },
		"too long":   func(w *webhook.Webhook) (string, *int64) { w.GiveUp = webhook.MaxGiveUp + 1; return "", nil },
		"too short":  func(w *webhook.Webhook) (string, *int64) { w.GiveUp = time.Minute; return "", nil },
		"secret":     func(*webhook.Webhook) (string, *int64) { return "short", nil },
		"whsec":      func(*webhook.Webhook) (string, *int64) { return "whsec_!" + strings.Repeat("A", 32), nil },
		"weak whsec": func(*webhook.Webhook) (string, *int64) { return "whsec_AAAA", nil },
		"place":      func(*webhook.Webhook) (string, *int64) { return "", &far },
	} {
		w := good
		secret, after := add(&w)
		_, _, err := s.hooks.Add(t.Context(), w, secret, after)
		if code := fault.CodeOf(err); code != fault.Invalid && !(name == "place" && code == fault.PlaceUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8080/x", "http://localhost/", "http://[::1]/", good.URL} {
		w := good
		w.Name, w.URL = fmt.Sprintf("n%d", len(url)), url
		if _, secret, err := s.hooks.Add(t.Context(), w, strings.Repeat("s", 24), nil); err != nil || secret != strings.Repeat("s", 24) {
			t.Errorf("%s: %v", url, err)
		}
	}
	good.Name, good.URL, good.AllowHTTP = "b", "http://hooks.example.com/", true
	if _, _, err := s.hooks.Add(t.Context(), good, "", nil); err != nil {
		t.Error(err)
	}
}
