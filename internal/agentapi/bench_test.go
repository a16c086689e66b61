package agentapi

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
)

// BenchmarkOneCall is what the API adds to a decision: reading, key, JSON and response, without network and database.
func BenchmarkOneCall(b *testing.B) {
	h := newHouse(b, atOnce)
	h.Engine = instant{}
	b.ReportAllocs()
	for b.Loop() {
		if status, text := h.send(h.request("POST", Base+"initialize", h.another())); status != http.StatusOK {
			b.Fatal(text)
		}
	}
}

// another is an Initialize of another user than the last ones, a tenth of a millisecond later, so that nothing is throttled.
func (h *house) another() string {
	h.Pass(100 * time.Microsecond)
	user := h.Now().UnixMicro() / 100 % 2000
	return strings.Replace(first("m-1"), "ada", "user-"+strconv.FormatInt(user, 10), 1)
}

// BenchmarkKeepAlive is the same over TLS, with connections that stay, and the client in the same process.
func BenchmarkKeepAlive(b *testing.B) {
	h := newHouse(b, atOnce)
	h.Engine = instant{}
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that the end cuts off
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	server.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			r, err := http.NewRequest(http.MethodPost, server.URL+Base+"initialize", strings.NewReader(h.another()))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("client-key", h.key)
			res, err := server.Client().Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Errorf("status %d", res.StatusCode)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// instant is an engine that accepts at once.
type instant struct{ Engine }

func (instant) Begin(_ context.Context, _ authentication.Request) (authentication.Decision, error) {
	return atOnce, nil
}
