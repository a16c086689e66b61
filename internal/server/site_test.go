package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/server"
)

// A site is servers on one database that die and come back while clients work. A client keeps asking, each time
// whichever server is up, until it is answered.
type site struct {
	*testing.T
	phones string // folder of the token apps

	mu      sync.Mutex
	changed *sync.Cond
	up      []*seat
	answers int
	working int
	over    bool
	seeds   map[string]string // whose it is, by seed
}

// A seat is a server that is up.
type seat struct {
	*process
	socket *http.Client
}

func newSite(t *testing.T, servers ...*process) *site {
	s := &site{T: t, phones: folder(t), seeds: map[string]string{}}
	s.changed = sync.NewCond(&s.mu)
	for _, p := range servers {
		s.open(p)
	}
	return s
}

// open lets clients ask a server.
func (s *site) open(p *process) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", server.SocketPath(p.data))
	}
	socket := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial}}
	s.Cleanup(socket.CloseIdleConnections)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = append(s.up, &seat{p, socket})
	s.changed.Broadcast()
}

// shut takes a server, any one, from the clients, who may be asking it at the moment.
func (s *site) shut() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := mathrand.IntN(len(s.up))
	p := s.up[n].process
	s.up = slices.Delete(s.up, n, n+1)
	return p
}

// any waits until a server is up.
func (s *site) any() *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.up) == 0 {
		s.changed.Wait()
	}
	return s.up[mathrand.IntN(len(s.up))]
}

// work runs n clients, each of which lives one life after the other until [site.finish].
func (s *site) work(n int, live func(worker, life int)) {
	s.working = n
	for worker := range n {
		go func() {
			defer func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.working--
				s.changed.Broadcast()
			}()
			for life := 0; !s.closing(); life++ {
				live(worker, life)
			}
		}()
	}
}

func (s *site) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// wait returns after n more answers.
func (s *site) wait(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n += s.answers; s.answers < n && s.working > 0; {
		s.changed.Wait()
	}
}

// finish waits until every client has lived to the end.
func (s *site) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for s.working > 0 {
		s.changed.Wait()
	}
}

// abandon ends a client, or the test, that cannot go on.
func (s *site) abandon(format string, args ...any) {
	s.Helper()
	s.Errorf(format, args...)
	s.FailNow()
}

// ask sends a request, again and again with the same idempotency key, until a server answers, and returns the answer.
func ask[T any](s *site, path string, body any) T {
	s.Helper()
	var out T
	status, answer, _ := s.insist(path, rand.Text(), body)
	if status > 299 {
		s.abandon("POST %s: %d: %s", path, status, answer)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		s.abandon("POST %s: %v", path, err)
	}
	return out
}

// insist sends a request until a server answers it. lost tells that answers were lost before.
func (s *site) insist(path, key string, body any) (status int, answer []byte, lost bool) {
	s.Helper()
	poll(s, "an answer to POST "+path, func() bool {
		var err error
		status, answer, err = s.any().post(s.Context(), path, key, body)
		answered := err == nil && status != http.StatusServiceUnavailable
		lost = lost || !answered
		return answered
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	s.changed.Broadcast()
	return status, answer, lost
}

// post sends a request once; body may be nil.
func (p *seat) post(ctx context.Context, path, key string, body any) (status int, answer []byte, err error) {
	var sent []byte
	if body != nil {
		if sent, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tallystick"+path, bytes.NewReader(sent))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	response, err := p.socket.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// token is what the site says of a token.
func (s *site) token(serial string) (t client.Token) {
	s.Helper()
	poll(s, "token "+serial, func() bool {
		var err error
		t, err = s.any().admin().Token(s.Context(), serial)
		return err == nil
	})
	return t
}

// check has a code decided. sure is false if an earlier request, whose answer was lost, may have used it.
func (s *site) check(userID, code string) (result string, sure bool) {
	s.Helper()
	status, answer, lost := s.insist("/v1/authenticate", "", client.Check{UserID: userID, Passcode: client.Secret(code)})
	var d client.Decision
	if err := json.Unmarshal(answer, &d); err != nil || status != http.StatusOK {
		s.abandon("a check of %s: %d: %s", userID, status, answer)
	}
	return d.Result, !lost
}

// own notes whose seed one is that was delivered. No two generations of any tokens share one.
func (s *site) own(seed []byte, serial string, generation int) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	whose := fmt.Sprintf("generation %d of %s", generation, serial)
	if other, ok := s.seeds[string(seed)]; ok && other != whose {
		s.Errorf("%s has the seed of %s", whose, other)
	}
	s.seeds[string(seed)] = whose
}
