package tokenapp

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/fault"
)

// lose has the server lose so many of its last answers, that way.
func (s *provisioningServer) lose(answers int, way func(http.ResponseWriter, []byte) []byte) {
	s.finished = func(w http.ResponseWriter, body []byte) []byte {
		if answers--; answers >= 0 {
			return way(w, body)
		}
		return body
	}
}

// kept tells how many begun exchanges the database holds.
func kept(t *testing.T, a *App) int {
	t.Helper()
	db, err := a.read()
	if err != nil {
		t.Fatal(err)
	}
	return len(db.begun)
}

// The last answer that is lost on the way is asked for again, by the very same
// request over another connection, and the user is told.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answers int
		way     func(http.ResponseWriter, []byte) []byte
	}{
		"hung up":               {1, hangUp},
		"hung up, all but once": {len(pauses), hangUp},
		"cut":                   {2, cut},
		"by a proxy":            {2, status(http.StatusBadGateway)},
		"by a limiter":          {2, status(http.StatusTooManyRequests)},
		"by a firewall":         {1, status(http.StatusForbidden)},
		"by a broken proxy":     {1, status(http.StatusInternalServerError)},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t), testApp(t)
			s.repeats = true
			s.lose(c.answers, c.way)
			var paused time.Duration
			told := 0
			token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{
				Roots: s.roots(),
				Pause: func(_ context.Context, d time.Duration) {
					if d <= paused && paused > 0 {
						t.Errorf("a pause of %v after %v", d, paused)
					}
					paused = d
				},
				Progress: func(message string) {
					if strings.Contains(message, "again") {
						told++
					}
				},
			})
			if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
				t.Fatalf("the seed is not the server's: %v", err)
			}
			if told != c.answers || len(s.lastRequests) != c.answers+1 {
				t.Errorf("told %d times of %d requests", told, len(s.lastRequests))
			}
			for _, body := range s.lastRequests {
				if !bytes.Equal(body, s.lastRequests[0]) {
					t.Error("another request")
				}
			}
			if len(s.connections) != len(s.lastRequests) {
				t.Errorf("%d requests over %d connections", len(s.lastRequests), len(s.connections))
			}
			if kept(t, a) != 0 {
				t.Error("the nonce outlives the exchange")
			}
		})
	}
}

// Whoever gives up, whether the app, the user or the machine, gets the token by
// importing again while the server repeats its answer, and not a moment longer.
func TestLostAnswerOutlivesTheApp(t *testing.T) {
	for name, end := range map[string]func(cancel func()) Provisioner{
		"the app": func(func()) Provisioner { return Provisioner{Pause: noPause} },
		"the user": func(cancel func()) Provisioner {
			return Provisioner{Pause: func(context.Context, time.Duration) { cancel() }}
		},
		"at once": func(cancel func()) Provisioner { return Provisioner{Progress: func(string) { cancel() }} },
	} {
		for after, want := range map[time.Duration]fault.Code{time.Minute: "", repeatWithin: fault.ActivationRefused} {
			t.Run(name+" "+after.String(), func(t *testing.T) {
				s, a := newServer(t), testApp(t)
				s.repeats = true
				s.lose(100, hangUp)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p := end(cancel)
				p.Roots = s.roots()
				_, err := a.Provision(ctx, s.link(), ImportOptions{}, p)
				if fault.CodeOf(err) != fault.ServerUnreachable || !strings.Contains(err.Error(), "repeat this import") || strings.Contains(err.Error(), testCode) {
					t.Fatalf("got %v", err)
				}
				s.finished, s.repeats = nil, want == ""
				restarted := &App{Dir: a.Dir, Keys: a.Keys, Now: func() time.Time { return now2026.Add(after) }}
				token, err := restarted.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()})
				if fault.CodeOf(err) != want || want == "" && (err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed)) {
					t.Errorf("got %v", err)
				}
				if kept(t, a) != 0 {
					t.Error("the nonce outlives the exchange")
				}
			})
		}
	}
}

// Who sets the clock right after the app has warned of it loses no exchange by that. One that is over by the clock goes when anything else is changed.
func TestLostAnswerOutlivesTheClock(t *testing.T) {
	for _, set := range []func(*App) time.Time{
		func(*App) time.Time { return now2026.AddDate(2, 0, 0) },
		func(*App) time.Time { return now2026.AddDate(-20, 0, 0) },
		func(a *App) time.Time {
			imported(t, a, ImportOptions{}, newToken("000000000001", 1))
			return now2026.Add(repeatWithin - time.Second)
		},
	} {
		s, a, p := cutOff(t)
		now := set(a)
		a.Now = func() time.Time { return now }
		s.lose(1, hangUp)
		token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p)
		if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) || len(s.lastRequests) != len(pauses)+3 {
			t.Errorf("at %v: %v after %d requests", now, err, len(s.lastRequests))
		}
	}
	_, a, _ := cutOff(t)
	if n := kept(t, a); n != 1 {
		t.Fatalf("%d exchanges kept", n)
	}
	a.Now = func() time.Time { return now2026.Add(repeatWithin) }
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	if kept(t, a) != 0 {
		t.Error("the nonce outlives the exchange")
	}
}

// An answer that tells nothing of the code, since the server has no database or something else has answered, ends nothing: the server may
// have done its part before.
func TestTroubleInTheLastStepEndsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		way  func(http.ResponseWriter, []byte) []byte
		code fault.Code
	}{
		"the server could not finish": {inner(func(string) string {
			return strings.Replace(emptyFailure("ServerFinished"), "Abort", "InitializationFailed", 1)
		}), fault.ServerUnreachable},
		"a fault of a busy server, with status 500": {failed(ctkip.Unavailable.Body()), fault.ServerUnreachable},
		"a page of a gateway":                       {instead([]byte("<html>try again later</html>")), fault.BadFormat},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t), testApp(t)
			s.repeats = true
			s.lose(1, c.way)
			if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Pause: noPause}); fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), "repeat this import at once") {
				t.Fatalf("got %v", err)
			}
			if kept(t, a) != 1 {
				t.Fatal("the exchange was given up")
			}
			token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()})
			if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
				t.Errorf("got %v", err)
			}
			if kept(t, a) != 0 {
				t.Error("the nonce outlives the exchange")
			}
		})
	}
}

// What cannot be stored is fetched again by the same import.
func TestUnwrittenTokenIsAskedForAgain(t *testing.T) {
	s, a := newServer(t), testApp(t)
	s.repeats = true
	repair := breakDisk(t, s, a)
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Pause: noPause}); err == nil || !strings.Contains(err.Error(), "repeat this import") {
		t.Fatalf("got %v", err)
	}
	repair()
	s.finished = nil
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()})
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Error(err)
	}
}

// A server that undid what it did when the connection broke aborts the repeated
// request: the code is good still, and another exchange brings the token.
func TestUndoneExchangeIsRunAnew(t *testing.T) {
	s, a := newServer(t), testApp(t)
	s.finished = func(http.ResponseWriter, []byte) []byte {
		s.committed, s.finished = nil, nil
		s.session = "undone"
		panic(http.ErrAbortHandler)
	}
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Pause: noPause})
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Fatalf("the seed is not the server's: %v", err)
	}
	if len(s.lastRequests) != 3 || !bytes.Equal(s.lastRequests[0], s.lastRequests[1]) {
		t.Errorf("%d last requests", len(s.lastRequests))
	}
}

// A wrong proof is no answer to ask for again: nothing of the exchange stays.
func TestWrongProofEndsTheExchange(t *testing.T) {
	s, a := newServer(t), testApp(t)
	s.repeats = true
	s.finished = swap(`(<Mac [^>]*>)[^<]*`, `${1}AAAAAAAAAAAAAAAAAAAAAA==`)
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Pause: noPause}); fault.CodeOf(err) != fault.Modified {
		t.Error(err)
	}
	if len(s.lastRequests) != 1 || kept(t, a) != 0 {
		t.Errorf("%d requests, %d exchanges kept", len(s.lastRequests), kept(t, a))
	}
}

// cutOff is an exchange that the app has begun with a server which repeats its answers, and which lost them all so far.
func cutOff(t *testing.T) (*provisioningServer, *App, Provisioner) {
	t.Helper()
	s, a := newServer(t), testApp(t)
	s.repeats = true
	s.lose(100, hangUp)
	p := Provisioner{Roots: s.roots(), Pause: noPause}
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p); fault.CodeOf(err) != fault.ServerUnreachable {
		t.Fatal(err)
	}
	return s, a, p
}

// Another code is another exchange, whatever was begun with this one.
func TestBegunExchangeIsOfOneCode(t *testing.T) {
	s, a, p := cutOff(t)
	s.finished = nil
	other := ctkip.Link{URL: s.link().URL, Code: "271828182845"}
	if _, err := a.Provision(t.Context(), other, ImportOptions{}, p); fault.CodeOf(err) != fault.ActivationRefused {
		t.Error(err)
	}
	if kept(t, a) != 1 {
		t.Error("the begun exchange is gone")
	}
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	a.Limit = 1 // too late to refuse for want of room
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p); fault.CodeOf(err) != fault.StoreFull || !strings.Contains(err.Error(), "kept aside") {
		t.Error(err)
	}
}
