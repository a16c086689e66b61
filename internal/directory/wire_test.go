package directory_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// A wire passes bytes on to a server, and calls cut once when it has passed so many of the server's.
type wire struct {
	address string
	passed  atomic.Int64
}

func newWire(t *testing.T, to string, after int64, cut func()) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	w := &wire{address: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go w.pass(in, out, after, cut)
		}
	}()
	return w
}

func (w *wire) pass(to, from net.Conn, after int64, cut func()) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if w.passed.Add(int64(n)) > after && after > 0 {
			cut()
			from.Close()
			return
		}
		if _, e := to.Write(b[:n]); errors.Join(err, e) != nil {
			return
		}
	}
}
