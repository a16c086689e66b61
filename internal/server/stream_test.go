package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// listening gives a listener by TLS, with HTTP/2 or without, and the peer whose certificate it takes and whose clients trust it.
func listening(t *testing.T, newer bool) (*httptest.Server, net.Listener) {
	t.Helper()
	peer := httptest.NewUnstartedServer(http.NotFoundHandler())
	peer.EnableHTTP2 = newer
	peer.StartTLS()
	t.Cleanup(peer.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return peer, tls.NewListener(l, peer.TLS)
}

// A long body that is not read yet keeps no other request of its HTTP/2 connection waiting.
func TestBodiesOfOneConnection(t *testing.T) {
	peer, l := listening(t, true)
	begun, goOn := make(chan struct{}), make(chan struct{})
	routes := http.NewServeMux()
	routes.HandleFunc("/long", func(http.ResponseWriter, *http.Request) { close(begun); <-goOn })
	routes.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	ctx, end := context.WithCancel(t.Context())
	var g errgroup.Group
	c := &Config{Log: slog.New(slog.DiscardHandler)}
	c.run(ctx, &g, l, routes, 0)
	url, client := "https://"+l.Addr().String(), peer.Client()
	send := func(ctx context.Context, path, body string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		return client.Do(r)
	}

	g.Go(func() error {
		if answer, err := send(t.Context(), "/long", strings.Repeat("x", 8<<20)); err == nil { // what the server leaves unread may break it
			return answer.Body.Close()
		}
		return nil
	})
	<-begun
	patience, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 100 { // while as much of the long one comes as may
		answer, err := send(patience, "/short", "a passcode")
		if err != nil {
			t.Fatalf("a short one waits: %v", err)
		}
		text, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil || string(text) != "a passcode" || answer.ProtoMajor != 2 {
			t.Fatalf("%s: %q, %v", answer.Proto, text, err)
		}
	}
	close(goOn)
	client.CloseIdleConnections()
	end()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
