package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/internal/recent"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// A server whose clock went ahead while none ran would prune what is not old, also once something is signed by that clock.
func TestNothingIsPrunedByAClockThatHasJustGoneAhead(t *testing.T) {
	ctx, db := t.Context(), deploytest.Open(t, deploytest.SQLite(t))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	when := func() time.Time { return now }
	h := &house{db: db, policies: &policy.Registry{Store: db, Now: when}, clock: &clock.Guard{Store: db, Server: "a", Alone: true, Now: when, Logger: slog.New(slog.DiscardHandler)}}
	if err := h.clock.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	const year = 365 * 24
	for i, step := range []struct {
		hour   int
		signed bool
		prunes bool
	}{
		{0, true, false},
		{11, false, false},
		{12, true, true},
		{30, false, true},
		{37, false, true},
		{49, false, false}, // nothing for more than a day
		{50, true, false},
		{63, true, true},
		{year, false, false}, // ahead
		{year + 1, true, false},
		{year + 2, true, false},
		{year + 13, false, true}, // and nobody has set it right
	} {
		now = start.Add(time.Duration(step.hour) * time.Hour)
		if step.signed {
			if err := db.AddCheckpoint(ctx, audit.Checkpoint{Size: int64(10 * (i + 1)), At: now, Signed: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if keep, err := h.retention(ctx, now); err != nil || (keep != nil) != step.prunes {
			t.Errorf("hour %d: prunes %v, %v", step.hour, keep != nil, err)
		}
	}
}

// Of servers whose clocks are far apart none prunes: nobody knows whose is right.
func TestNothingIsPrunedWhileClocksAreApart(t *testing.T) {
	ctx, db := t.Context(), deploytest.Open(t, deploytest.SQLite(t))
	now, apart := time.Now(), time.Duration(0)
	guard := func(id string, ahead *time.Duration) *clock.Guard {
		return &clock.Guard{Store: db, Server: id, Name: id, Now: func() time.Time { return time.Now().Add(*ahead) }, Logger: slog.New(slog.DiscardHandler)}
	}
	other := guard("b", &apart)
	h := &house{db: db, policies: &policy.Registry{Store: db, Now: time.Now}, clock: guard("a", new(time.Duration))}
	if err := db.AddCheckpoint(ctx, audit.Checkpoint{Size: 10, At: now.Add(-13 * time.Hour), Signed: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	for _, apart = range []time.Duration{0, time.Minute, 0} {
		if err := errors.Join(other.Beat(ctx), h.clock.Beat(ctx)); err != nil {
			t.Fatal(err)
		}
		if keep, err := h.retention(ctx, now); err != nil || (keep != nil) != (apart == 0) {
			t.Errorf("%v apart: prunes %v, %v", apart, keep != nil, err)
		}
	}
}

// A server whose clock is far ahead forgets no signature that another one would take again.
func TestSignaturesOutlastClocksThatAreApart(t *testing.T) {
	ctx, db := t.Context(), deploytest.Open(t, deploytest.SQLite(t))
	now, apart := time.Now(), time.Hour
	guard := func(id string, ahead time.Duration) *clock.Guard {
		return &clock.Guard{Store: db, Server: id, Name: id, Now: func() time.Time { return time.Now().Add(ahead) }, Logger: slog.New(slog.DiscardHandler)}
	}
	h := &house{db: db, clock: guard("a", apart)}
	if err := errors.Join(guard("b", 0).Beat(ctx), h.clock.Beat(ctx)); err != nil {
		t.Fatal(err)
	}
	used := func() bool {
		fresh, err := db.UseSignature(ctx, []byte("x"), now)
		if err != nil {
			t.Fatal(err)
		}
		return !fresh
	}
	used()
	for _, passed := range []time.Duration{0, time.Hour} {
		err := h.forgetSignatures(ctx, now.Add(apart+passed))
		if known := used(); err != nil || known != (passed == 0) {
			t.Errorf("after %v: known %v, %v", passed, known, err)
		}
	}
}

// A server that stood still while the master key was changed ends when it goes on.
func TestAServerEndsUnderAMasterKeyFromBefore(t *testing.T) {
	ctx, db := t.Context(), deploytest.Open(t, deploytest.SQLite(t))
	before, after := deploytest.Master(t), deploytest.Master(t)
	h := &house{db: db, keys: deploytest.Keyring(t, db, before, time.Now), log: slog.New(slog.DiscardHandler)}
	if err := seed.ChangeMaster(ctx, before, after, db, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := h.refresh(ctx); !errors.Is(err, fault.MasterKey) {
		t.Errorf("under the key from before: %v", err)
	}
}

func TestNothingIsRedirected(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc(provision.Path, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/" { // of which the API says that it has no such path
			w.WriteHeader(http.StatusTeapot)
		}
	})
	h := direct(mux)
	for path, want := range map[string]int{
		provision.Path:                          http.StatusOK,
		provision.Path + "?wsdl":                http.StatusOK,
		"/v1/":                                  http.StatusTeapot,
		"/v1/jobs/phones%20%2F%2F%20june":       http.StatusOK,
		"/v1/groups/%2E%2E":                     http.StatusOK,
		"/v1/groups/%2E/members":                http.StatusOK,
		"/v1/jobs/phones%20//%20june":           http.StatusTeapot,
		"/v1/users//activity":                   http.StatusTeapot,
		"/x/../v1/users":                        http.StatusTeapot,
		"/v1":                                   http.StatusTeapot,
		"/v1/users/..":                          http.StatusTeapot,
		"/v1x/.":                                http.StatusNotFound,
		"/v1/../metrics":                        http.StatusNotFound,
		provision.Path + "/":                    http.StatusNotFound,
		"/" + provision.Path:                    http.StatusNotFound,
		"/ctkip//services/CtkipService":         http.StatusNotFound,
		"/ctkip/./services/CtkipService":        http.StatusNotFound,
		"/x/../ctkip/services/CtkipService":     http.StatusNotFound,
		"/x/%2e%2e/ctkip/services/CtkipService": http.StatusNotFound,
		"/":                                     http.StatusNotFound,
		"//":                                    http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

// However many ask whether the server is ready, the database is asked once at a time, also while it does not answer.
func TestOnePingForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h house
		var pings atomic.Int32
		answer := make(chan error)
		ping := func(ctx context.Context) error {
			pings.Add(1)
			select {
			case err := <-answer:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		const probes = 50
		var ready, late atomic.Int32
		ask := func() {
			for range probes {
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					switch err := h.writable(ctx, ping); {
					case err == nil:
						ready.Add(1)
					case errors.Is(err, context.DeadlineExceeded):
						late.Add(1)
					}
				}()
			}
			synctest.Wait()
		}
		ask()
		if n := pings.Load(); n != 1 {
			t.Errorf("%d pings at a time for %d who ask", n, probes)
		}
		answer <- nil
		synctest.Wait()
		if n := ready.Load(); n != probes {
			t.Errorf("one ping was answered, and %d of %d are told that the server is ready", n, probes)
		}
		time.Sleep(recent.For) // of the bubble's clock
		ask()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := late.Load(); n != probes {
			t.Errorf("the database does not answer, and %d of %d are told so in time", n, probes)
		}
	})
}

// What does not finish in time is cut off, and the server that stops ends as well as any other.
func TestDrainHasAnEnd(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(begun); <-end }))
	asked := make(chan error, 1)
	go func() {
		answer, err := http.Get(srv.URL)
		if err == nil {
			answer.Body.Close()
		}
		asked <- err
	}()
	<-begun
	var log bytes.Buffer
	c := Config{Log: slog.New(slog.NewTextHandler(&log, nil))}
	c.drain(srv.Config, 0)
	if err := <-asked; err == nil || !strings.Contains(log.String(), "cut off") {
		t.Errorf("the request ended with %v, and the log says %q", err, &log)
	}
}

// docs/reports.md tells of each metric.
func TestTheManualKnowsEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan *prometheus.Desc)
	go func() {
		newMeters(nil, &shownCert{}, time.Now).registry.Describe(all)
		close(all)
	}()
	n := 0
	for d := range all {
		if name := regexp.MustCompile("tallystick_[a-z_]+").FindString(d.String()); name != "" {
			if n++; !bytes.Contains(text, []byte("`"+name)) {
				t.Errorf("it does not tell of %s", name)
			}
		}
	}
	if n == 0 {
		t.Error("there are none")
	}
}
