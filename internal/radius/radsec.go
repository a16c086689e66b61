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

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

// Limits of RadSec. Who is not known yet takes no place from clients, nor one client that of the others.
const (
	maxConnections   = 512  // of clients
	maxOfClient      = 64   // of them; proxies take 16 or so
	maxHandshakes    = 256  // at once, and as many from where clients are known to come from
	maxHandshakesOf  = 16   // of them, of one address, or /64 of IPv6
	maxKnown         = 4096 // addresses, or /64, that clients are known to come from; then that begins anew
	maxAtOnce        = 320  // requests of one connection that are decided at once: 256 have an identifier each, and some have just been answered
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
	d := &doors{
		s: s, clients: places[string]{most: maxConnections, mostOfOne: maxOfClient}, known: map[netip.Prefix]bool{},
		hall: places[netip.Prefix]{most: maxHandshakes, mostOfOne: maxHandshakesOf}, side: places[netip.Prefix]{most: maxHandshakes, mostOfOne: maxHandshakesOf},
	}
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
			pause(ctx)
			continue
		}
		from := source{address: throttle.Source(conn.RemoteAddr().String())}
		hall := d.hallOf(from)
		if !hall.take(throttle.Network(from.address)) {
			s.note(ctx, nil, from, "too many TLS connections are being made")
			conn.Close()
			continue
		}
		connections.Go(func() { d.enter(ctx, work, hall, conn.(*tls.Conn), from) })
	}
}

// doors lead connections in: through a hall, where they show who they are, to the places of clients.
type doors struct {
	s       *Server
	hall    places[netip.Prefix] // of handshakes, by where they come from
	side    places[netip.Prefix] // of those from where a client has come since the server began: strangers of many addresses do not shut it out
	clients places[string]       // of connections, by the names of clients

	mu    sync.Mutex
	known map[netip.Prefix]bool // from where clients have come
}

// hallOf is where a handshake takes a place.
func (d *doors) hallOf(from source) *places[netip.Prefix] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[throttle.Network(from.address)] {
		return &d.side
	}
	return &d.hall
}

// remember notes where a client comes from.
func (d *doors) remember(from source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) == maxKnown {
		clear(d.known)
	}
	d.known[throttle.Network(from.address)] = true
}

// enter has a connection that was let into a hall show its certificate, and serves it if it is a client's.
func (d *doors) enter(ctx, work context.Context, hall *places[netip.Prefix], conn *tls.Conn, from source) {
	defer conn.Close()
	shake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := conn.HandshakeContext(shake)
	cancel()
	hall.leave(throttle.Network(from.address))
	if err != nil {
		d.s.note(ctx, nil, from, "a TLS connection came to nothing", why(err))
		return
	}
	certificate := conn.ConnectionState().PeerCertificates[0]
	c, why := d.s.table.Load().holding(certificate)
	if c == nil {
		d.s.over(ctx, &request{port: RadSec, from: from, received: d.s.Now(), note: why, shown: shown(certificate)}, Stranger)
		return
	}
	d.remember(from)
	if !d.clients.take(c.Name) {
		d.s.note(ctx, c, from, "too many connections")
		return
	}
	defer d.clients.leave(c.Name)
	d.s.connection(ctx, work, conn, from, certificate)
}

// places are bounded, in all and of one who takes them.
type places[K comparable] struct {
	most, mostOfOne int

	mu    sync.Mutex
	all   int
	taken map[K]int
}

// take takes a place; false if there is none.
func (p *places[K]) take(of K) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == p.most || p.taken[of] == p.mostOfOne {
		return false
	}
	if p.taken == nil {
		p.taken = map[K]int{}
	}
	p.all++
	p.taken[of]++
	return true
}

func (p *places[K]) leave(of K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.taken[of]--; p.taken[of] == 0 {
		delete(p.taken, of)
	}
}

// connection takes the packets of one connection until it or ctx ends, and lets what it began finish.
func (s *Server) connection(ctx, work context.Context, conn *tls.Conn, from source, certificate *x509.Certificate) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // wakes the reader
	defer stop()
	answers := &stream{conn: conn}
	var requests sync.WaitGroup
	defer requests.Wait()
	room := make(chan struct{}, maxAtOnce)
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
		r.client, r.note = s.table.Load().holding(certificate)
		if r.client != nil && r.received.After(certificate.NotAfter) { // proxies keep their connections for as long as they run
			r.note = endedCertificate
		}
		if r.note != "" { // it is nobody's, or not any more
			r.shown = shown(certificate)
			s.over(ctx, r, Stranger)
			return
		}
		switch wrong := s.admit(ctx, r); wrong {
		case "":
			// Were it left unread until there is room, it would be decided long after its client gave it up, with a code that is over by then.
			select {
			case room <- struct{}{}:
				requests.Add(1)
				s.serve(work, r, func() { <-room; requests.Done() })
			default:
				s.over(ctx, r, Overload)
			}
		case BadAttributes, BadAuthenticator: // RFC 6613 section 2.6.4
			s.over(ctx, r, wrong)
			requests.Wait()
			linger(conn)
			return
		default:
			s.over(ctx, r, wrong)
		}
	}
}

// linger lets the answers that were written arrive: a connection that is closed with something unread loses them.
func linger(conn *tls.Conn) {
	const most, while = 1 << 20, time.Second
	if conn.CloseWrite() == nil && conn.SetReadDeadline(time.Now().Add(while)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, most))
	}
}

var errBadLength = errors.New("radius: a packet of an impossible length, or shorter than it says")

// nextPacket reads a packet from a connection: its length is in its header (RFC 6613 section 2.6.4).
func nextPacket(ctx context.Context, conn net.Conn) ([]byte, error) {
	var head [4]byte
	if err := waitFor(ctx, conn, idleTimeout); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, head[:1]); err != nil {
		return nil, err
	}
	if err := waitFor(ctx, conn, packetTimeout); err != nil {
		return nil, err
	}
	if err := rest(ctx, conn, head[1:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if n < headerSize || n > maxSize {
		return nil, errBadLength
	}
	data := make([]byte, n)
	copy(data, head[:])
	return data, rest(ctx, conn, data[len(head):])
}

// waitFor bounds the time of what is read next, unless ctx has ended: its own deadline, which wakes the reader, may have come before this one.
func waitFor(ctx context.Context, conn net.Conn, most time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(most)); err != nil {
		return err
	}
	return ctx.Err()
}

// rest reads what must follow once a packet has begun.
func rest(ctx context.Context, conn net.Conn, into []byte) error {
	_, err := io.ReadFull(conn, into)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // it is not the client who ends
		return ctx.Err()
	}
	return errBadLength
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
