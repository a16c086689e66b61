package server

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// A long body that is not read yet keeps no other request of its HTTP/2 connection waiting.
func TestBodiesOfOneConnection(t *testing.T) {
	peer := httptest.NewUnstartedServer(http.NotFoundHandler()) // whose certificate the server takes
	peer.EnableHTTP2 = true
	peer.StartTLS()
	defer peer.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	routes := http.NewServeMux()
	routes.HandleFunc("/long", func(http.ResponseWriter, *http.Request) { <-goOn })
	routes.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	ctx, end := context.WithCancel(t.Context())
	var g errgroup.Group
	c := &Config{Log: slog.New(slog.DiscardHandler)}
	c.run(ctx, &g, tls.NewListener(l, peer.TLS), routes)
	url, client := "https://"+l.Addr().String(), peer.Client()

	body := &counted{Reader: io.LimitReader(zeros{}, 8<<20)}
	g.Go(func() error {
		answer, err := client.Post(url+"/long", "", body)
		if err == nil {
			answer.Body.Close()
		}
		return nil // that the server leaves most of it unread may break it
	})
	for n := int64(-1); n < perStream || n != body.sent.Load(); { // until no more of it is taken
		n = body.sent.Load()
		time.Sleep(50 * time.Millisecond)
	}
	patience, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	short, err := http.NewRequestWithContext(patience, http.MethodPost, url+"/short", strings.NewReader("a passcode"))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := client.Do(short); err != nil {
		t.Errorf("a short one waits: %v", err)
	} else if text, _ := io.ReadAll(answer.Body); string(text) != "a passcode" || answer.ProtoMajor != 2 {
		t.Errorf("%s: %q", answer.Proto, text)
	}
	close(goOn)
	client.CloseIdleConnections()
	end()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// counted counts what was read.
type counted struct {
	io.Reader
	sent atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.sent.Add(int64(n))
	return n, err
}
