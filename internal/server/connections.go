package server

import (
	"container/list"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

const (
	mostConnections = 10_000 // of a TLS listener: some 70 KB of memory each
	listenersShare  = 3      // a listener takes this part of the file descriptors at most
	saidEvery       = time.Minute
)

// connections are those of a TLS listener, which anybody may make: at most so many. Where there is one more, the one goes that has been without a request
// for the longest. So whoever asks is answered although strangers hold connections without asking for anything, and they leave file
// descriptors to the database, the admin socket and RADIUS.
type connections struct {
	most int
	log  *slog.Logger
	full rate.Sometimes

	mu   sync.Mutex
	all  map[net.Conn]*list.Element // in idle; nil of those with a request
	idle list.List                  // of net.Conn, the one that has been so for the longest first
}

func newConnections(most int, log *slog.Logger) *connections {
	return &connections{most: most, log: log, full: rate.Sometimes{Interval: saidEvery}, all: map[net.Conn]*list.Element{}}
}

// bearable is how many connections a TLS listener of this process may have.
func bearable() int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return mostConnections
	}
	return int(min(mostConnections, files.Cur/listenersShare))
}

// moved is told what becomes of each connection (see [http.Server]).
func (c *connections) moved(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.all[conn]; at != nil {
		c.idle.Remove(at)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.all[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.all[conn] = nil
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
	}
	if state == http.StateNew && len(c.all) > c.most {
		c.makeRoom()
	}
}

// makeRoom closes the connection that has been without a request for the longest: the new one, where all others have one.
func (c *connections) makeRoom() {
	conn := c.idle.Remove(c.idle.Front()).(net.Conn)
	delete(c.all, conn)
	c.full.Do(func() {
		c.log.Warn("there are too many connections: those without a request are closed to make room", "most", c.most, "client", conn.RemoteAddr().String())
	})
	if t, is := conn.(*tls.Conn); is {
		conn = t.NetConn() // which waits for nobody
	}
	_ = conn.Close()
}

// A taking listener says when connections cannot be taken, such as for want of file descriptors. [http.Server] tries again.
type taking struct {
	net.Listener
	log  *slog.Logger
	fail rate.Sometimes
}

// Accept takes a connection.
func (t *taking) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t.fail.Do(func() { t.log.Warn("connections cannot be taken", "address", t.Addr().String(), "error", err) })
	}
	return conn, err
}
