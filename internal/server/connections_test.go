package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Strangers who hold connections without a request make room for whoever has one, and cut nobody off who is being answered.
func TestMostConnections(t *testing.T) {
	for _, newer := range []bool{false, true} {
		peer, l := listening(t, newer)
		begun, goOn := make(chan struct{}), make(chan struct{})
		routes := http.NewServeMux()
		routes.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { close(begun); <-goOn; _, _ = io.WriteString(w, "done") })
		routes.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
		ctx, end := context.WithCancel(t.Context())
		var g errgroup.Group
		var said bytes.Buffer // read once the server has ended
		c := &Config{Log: slog.New(slog.NewTextHandler(&said, nil))}
		c.run(ctx, &g, l, routes, 2)
		ask := func(path string) error {
			transport := peer.Client().Transport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			answer, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String() + path)
			if err != nil {
				return err
			}
			text, err := io.ReadAll(answer.Body)
			if string(text) != "done" || (answer.ProtoMajor == 2) != newer {
				t.Errorf("%s is answered %q over %s", path, text, answer.Proto)
			}
			return errors.Join(err, answer.Body.Close())
		}
		var asked errgroup.Group
		asked.Go(func() error { return ask("/long") })
		<-begun
		trusting := peer.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		trusting.NextProtos = peer.TLS.NextProtos
		for range 3 {
			stranger, err := tls.Dial("tcp", l.Addr().String(), trusting)
			if err != nil {
				t.Fatalf("a stranger who came before is not closed: %v", err)
			}
			defer stranger.Close()
		}
		if err := ask("/short"); err != nil {
			t.Errorf("who asks is kept out by those who do not: %v", err)
		}
		close(goOn)
		if err := asked.Wait(); err != nil {
			t.Errorf("who was being answered is cut off: %v", err)
		}
		end()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(said.String(), "too many connections"); n != 1 {
			t.Errorf("it is said %d times in a minute:\n%s", n, said.String())
		}
	}
}

// Where all connections have a request, a new one finds no room, and there is room again once one has ended.
func TestConnectionsWithRequestsStay(t *testing.T) {
	c := newConnections(1, slog.New(slog.DiscardHandler))
	first, _ := net.Pipe()
	second, peer := net.Pipe()
	c.moved(first, http.StateNew)
	c.moved(first, http.StateActive)
	c.moved(second, http.StateNew)
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the second one: %v", err)
	}
	c.moved(second, http.StateClosed)
	c.moved(first, http.StateIdle)
	c.moved(first, http.StateClosed)
	if len(c.all) != 0 || c.idle.Len() != 0 {
		t.Errorf("%d are there, %d of them idle", len(c.all), c.idle.Len())
	}
}

// failing is a listener that has no file descriptor left, three times.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left--; f.left < 0 {
		return nil, net.ErrClosed
	}
	return nil, syscall.EMFILE
}

func (*failing) Addr() net.Addr { return &net.TCPAddr{Port: 8443} }

// That connections cannot be taken is said once in a while, and that a server ends is not.
func TestConnectionsThatCannotBeTaken(t *testing.T) {
	var said bytes.Buffer
	l := &taking{Listener: &failing{left: 3}, log: slog.New(slog.NewTextHandler(&said, nil)), fail: rate.Sometimes{Interval: saidEvery}}
	for {
		if _, err := l.Accept(); errors.Is(err, net.ErrClosed) {
			break
		}
	}
	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "too many open files") {
		t.Errorf("it is said:\n%s", text)
	}
}
