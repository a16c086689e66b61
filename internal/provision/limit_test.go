package provision_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/provision"
)

// A book looks codes up, of which it knows one. Each lookup waits for open, if there is one.
type book struct {
	distribution.Distributor
	looked atomic.Int32
	open   chan struct{}
}

const (
	known   = "123456789012"
	expired = "123456789013"
)

func (b *book) Begin(_ context.Context, m *ctkip.Message) ([]byte, error) {
	b.looked.Add(1)
	if b.open != nil {
		<-b.open
	}
	why := fault.ActivationUnknown
	switch m.Code {
	case known:
		return []byte("welcome"), nil
	case expired:
		why = fault.ActivationExpired
	}
	return nil, &fault.Error{Code: fault.ActivationRefused, Details: map[string]any{"why": why}}
}

// A gate is the endpoint before a book, in a bubble with a clock of its own.
type gate struct {
	*testing.T
	book
	http.Handler
	log    bytes.Buffer
	header string // with the code, "" for none
}

func newGate(t *testing.T) *gate {
	g := &gate{T: t}
	g.Handler = provision.New(&g.book, slog.New(slog.NewTextHandler(&g.log, nil)), time.Now)
	return g
}

// say sends a hello from an address and returns what came: welcome, wrong or later.
func (g *gate) say(source int, code ctkip.Code) string {
	start, err := (&ctkip.Client{Code: code}).Start()
	if err != nil {
		g.Error(err)
		return ""
	}
	r := httptest.NewRequestWithContext(g.Context(), http.MethodPost, provision.Path, bytes.NewReader(start.Body))
	r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:4711", source/250, source%250)
	if g.header != "" {
		r.Header.Set("Authorization", g.header)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		g.Error(err)
	}
	switch {
	case bytes.Equal(body, ctkip.InvalidCode.Body()):
		return "wrong"
	case bytes.Equal(body, ctkip.Unavailable.Body()):
		return "later"
	}
	return string(body)
}

// expect sends as many hellos, one after the other, and counts the lookups.
func (g *gate) expect(looked int, answers map[string]int, n int, source func(i int) int) {
	g.Helper()
	before, got := g.looked.Load(), map[string]int{}
	for i := range n {
		got[g.say(source(i), "000000000000")]++
	}
	if now := g.looked.Load() - before; int(now) != looked || fmt.Sprint(got) != fmt.Sprint(answers) {
		g.Errorf("%d lookups, answers %v; want %d, %v", now, got, looked, answers)
	}
}

func TestASourceHasTenGuessesHoweverManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.open = make(chan struct{})
		for range 500 {
			go g.say(1, "000000000000")
		}
		synctest.Wait()
		if n := g.looked.Load(); n != 10 {
			t.Errorf("%d codes are looked up at once, want 10", n)
		}
		close(g.open)
		synctest.Wait()
		if n := g.looked.Load(); n != 10 {
			t.Errorf("%d codes were looked up, want 10", n)
		}
	})
}

// Users behind one address, one of whom mistypes, do not shut each other out by coming at once.
func TestRightCodesOfOneSourceWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.expect(9, map[string]int{"wrong": 9}, 9, func(int) int { return 1 })
		g.open = make(chan struct{})
		var welcome atomic.Int32
		for range 50 {
			go func() {
				if g.say(1, known) == "welcome" {
					welcome.Add(1)
				}
			}()
		}
		synctest.Wait()
		close(g.open)
		synctest.Wait()
		if n := welcome.Load(); n != 50 {
			t.Errorf("%d of 50 got through", n)
		}
	})
}

// Wrong codes count for a window, and the tenth for one of its own; one that is given in two ways counts as well, and a right one forgives none.
func TestWrongCodesOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		at := func(int) int { return 1 }
		says := func(code ctkip.Code, want string) {
			t.Helper()
			if got := g.say(1, code); got != want {
				t.Errorf("%s got %s, want %s", code, got, want)
			}
		}
		g.header = expired
		says(known, "wrong")
		g.header = ""
		time.Sleep(9 * time.Minute) // of the bubble
		g.expect(8, map[string]int{"wrong": 8}, 8, at)
		says(known, "welcome")
		g.expect(1, map[string]int{"wrong": 1}, 1, at)
		time.Sleep(10*time.Minute - time.Second)
		says(known, "wrong")
		time.Sleep(time.Second)
		says(known, "welcome")
	})
}

func TestGuessingFromEverywhereIsSlowedAndUsersGetThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.expect(1000, map[string]int{"wrong": 1000}, 1000, func(i int) int { return i / 5 }) // five of each
		guessers := func(i int) int { return i % 200 }
		g.expect(2, map[string]int{"wrong": 2, "later": 598}, 600, guessers)
		for range 20 {
			if got := g.say(201, known); got != "welcome" {
				t.Errorf("a user with the right code got %q", got)
			}
		}
		g.open = make(chan struct{})
		for i := range 100 {
			go g.say(300+i, "000000000000")
		}
		synctest.Wait()
		if n := g.looked.Load(); n != 1000+2+20+8 {
			t.Errorf("%d codes are looked up at once", n-1000-2-20)
		}
		close(g.open)
		synctest.Wait()
		if n := strings.Count(g.log.String(), "somebody may be guessing"); n != 1 {
			t.Errorf("%d alarms", n)
		}
		g.expect(0, map[string]int{"later": 100}, 100, func(i int) int { return 300 + i })
		time.Sleep(2 * time.Second) // of the bubble: no time passes
		g.expect(2, map[string]int{"wrong": 2, "later": 598}, 600, guessers)
		time.Sleep(time.Hour) // likewise
		g.expect(100, map[string]int{"wrong": 100}, 100, func(i int) int { return 300 + i })
	})
}

// What was begun is finished, whoever guesses from the same address meanwhile; and it is no way to guess.
func TestABegunExchangeIsFinishedFromARefusedSource(t *testing.T) {
	s := newService(t)
	c := &ctkip.Client{Code: ctkip.Code(s.offer())}
	start, err := c.Start()
	s.must(err)
	nonce, err := c.Answer(s.post(start))
	s.must(err)
	for range 10 {
		s.refused("000000000000")
	}
	for name, body := range map[string][]byte{
		"code":    bytes.Replace(nonce.Body, []byte(c.Code), []byte("000000000000"), 1),
		"session": withInner(t, nonce.Body, func(inner string) string { return strings.Replace(inner, `SessionID="`, `SessionID="x`, 1) }),
	} {
		if got := s.post(ctkip.Request{Body: body}); !bytes.Equal(got, ctkip.InvalidCode.Body()) {
			t.Errorf("another %s got %s", name, got)
		}
	}
	tok, err := c.Finish(s.post(nonce))
	s.must(err)
	if tok.Serial != s.serial {
		t.Errorf("token %s", tok.Serial)
	}
}

// Whoever has a code that is refused does not write to the database as often as he can send it, and takes nothing from others behind his address.
func TestRefusalsOfOneCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		const at = 7
		for range 100 {
			if got := g.say(at, expired); got != "wrong" {
				t.Fatal(got)
			}
		}
		if n := g.looked.Load(); n != 20 {
			t.Errorf("looked up %d times", n)
		}
		if got := g.say(at, known); got != "welcome" {
			t.Errorf("a neighbour is told %s", got)
		}
		time.Sleep(3 * time.Second) // of the bubble
		for range 100 {
			g.say(at, expired)
		}
		if n := g.looked.Load(); n != 20+1+3 {
			t.Errorf("looked up %d times", n)
		}
	})
}
