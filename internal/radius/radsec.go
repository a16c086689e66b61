package radius

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"layeh.com/radius"

	"github.com/tallystick/tallystick/internal/fault"
)

// Limits of RadSec.
const (
	maxConnections   = 512
	maxAtOnce        = 64 // requests of one connection that are decided at once
	handshakeTimeout = 10 * time.Second
	packetTimeout    = 10 * time.Second // from the first byte of a packet to its last, and for an answer
	idleTimeout      = 10 * time.Minute
)

// TLSConfig is that of a RadSec listener (RFC 6614): the server's own side as base gives it, and clients with a
// certificate that one of the authorities in the file signed.
func TLSConfig(base *tls.Config, authorities string) (*tls.Config, error) {
	pem, err := os.ReadFile(authorities)
	if err != nil {
		return nil, err
	}
	c := base.Clone()
	c.MinVersion, c.NextProtos = tls.VersionTLS12, nil
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Invalid, "%s holds no certificate of an authority", authorities)
	}
	return c, nil
}

// acceptTLS takes connections until ctx ends, and packets from them. Requests are decided under work.
func (s *Server) acceptTLS(ctx, work context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var connections sync.WaitGroup
	defer connections.Wait()
	room := make(chan struct{}, maxConnections)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			s.note(ctx, nil, source{}, "connections cannot be taken", why(err))
			continue
		}
		select {
		case room <- struct{}{}:
		default:
			s.note(ctx, nil, sourceOf(conn), "too many connections")
			conn.Close()
			continue
		}
		connections.Go(func() {
			defer func() { <-room }()
			s.connection(ctx, work, conn.(*tls.Conn))
		})
	}
}

// sourceOf is where a connection comes from.
func sourceOf(conn net.Conn) source {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return source{}
	}
	return source{address: at.Addr().Unmap().WithZone("")}
}

// connection takes the packets of one connection until it or ctx ends, and lets what it began finish.
func (s *Server) connection(ctx, work context.Context, conn *tls.Conn) {
	defer conn.Close()
	from := sourceOf(conn)
	shake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := conn.HandshakeContext(shake)
	cancel()
	if err != nil {
		s.note(ctx, nil, from, "a TLS connection came to nothing", why(err))
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // wakes the reader
	defer stop()
	answers := &stream{conn: conn}
	var requests sync.WaitGroup
	defer requests.Wait()
	room := make(chan struct{}, maxAtOnce)
	certificate := conn.ConnectionState().PeerCertificates[0]
	for {
		data, err := nextPacket(ctx, conn)
		r := &request{data: data, port: RadSec, from: from, received: s.Now(), respond: answers}
		switch {
		case errors.Is(err, errBadLength):
			s.over(ctx, r, BadLength) // and where the next packet begins is not known
			return
		case err != nil:
			return
		}
		// The client may have gone since the last packet.
		if r.client = s.table.Load().holding(certificate); r.client == nil {
			s.over(ctx, r, Stranger)
			return
		}
		if !RadSec.takes(radius.Code(data[0])) {
			s.over(ctx, r, BadCode)
			continue
		}
		if r.client.limit != nil && !r.client.limit.AllowN(r.received, 1) {
			s.over(ctx, r, Limited)
			continue
		}
		room <- struct{}{}
		requests.Add(1)
		s.serve(work, r, func() { <-room; requests.Done() })
	}
}

var errBadLength = errors.New("radius: a packet of an impossible length")

// nextPacket reads a packet from a connection: its length is in its header (RFC 6613 section 2.6.4).
func nextPacket(ctx context.Context, conn net.Conn) ([]byte, error) {
	var head [4]byte
	if err := conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // whose end may have come before that deadline
		return nil, ctx.Err()
	}
	if _, err := io.ReadFull(conn, head[:1]); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(packetTimeout)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, head[1:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if n < headerSize || n > maxSize {
		return nil, errBadLength
	}
	data := make([]byte, n)
	copy(data, head[:])
	_, err := io.ReadFull(conn, data[len(head):])
	return data, err
}

// A stream answers over TLS, one answer after the other.
type stream struct {
	mu   sync.Mutex
	conn *tls.Conn
}

func (c *stream) respond(_ *request, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A client that does not take its answers loses the connection, and asks again over another.
	if c.conn.SetWriteDeadline(time.Now().Add(packetTimeout)) != nil {
		return
	}
	if _, err := c.conn.Write(answer); err != nil {
		c.conn.Close()
	}
}
