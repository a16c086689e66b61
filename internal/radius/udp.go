package radius

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// receiveBuffer is what the system keeps for a socket: a fifth of a second at 20,000 packets a second, where it grants that.
const receiveBuffer = 4 << 20

// Listen opens a UDP socket for a [Server]: "127.0.0.1:1812", "[::1]:1812", or ":1812" for IPv4 and IPv6.
func Listen(address string) (*net.UDPConn, error) {
	network := networkOf(address)
	at, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, fmt.Errorf("listening for RADIUS: %w", err)
	}
	conn, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, fmt.Errorf("listening for RADIUS: %w", err)
	}
	// A smaller buffer loses packets sooner, and nothing else.
	_ = conn.SetReadBuffer(receiveBuffer)
	if err := tellLocal(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for RADIUS: %w", err), conn.Close())
	}
	return conn, nil
}

// networkOf is the family of the address. Go would have a socket at 0.0.0.0 take IPv6 as well, and leave no room for one at [::].
func networkOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "udp"
	}
	at, err := netip.ParseAddr(host)
	switch {
	case err != nil: // a name, or no address at all
		return "udp"
	case at.Unmap().Is4():
		return "udp4"
	}
	return "udp6"
}

// A socket answers by UDP, from the address that the request was sent to.
type socket struct {
	*net.UDPConn
	s *Server
}

func (c socket) respond(r *request, answer []byte) {
	if _, _, err := c.WriteMsgUDPAddrPort(answer, r.local, r.back); err != nil {
		c.s.note(context.Background(), r.client, r.from, "an answer could not be sent", why(err))
	}
}

// pause waits a little after a failure that may come again at once, such as a lack of file descriptors.
func pause(ctx context.Context) {
	const little = 50 * time.Millisecond
	timer := time.NewTimer(little)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// why is an error as a note tells it.
func why(err error) slog.Attr { return slog.String("error", err.Error()) }

// read takes packets from a socket until ctx ends.
func (s *Server) read(ctx, lasting context.Context, conn *net.UDPConn, port Port) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // wakes the reader
	defer stop()
	to := socket{conn, s}
	var lost uint32
	buffer, control := make([]byte, maxSize+1), make([]byte, 128)
	for {
		n, controls, _, from, err := conn.ReadMsgUDPAddrPort(buffer, control)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			s.note(ctx, nil, source{}, "packets cannot be read", why(err))
			pause(ctx)
			continue
		}
		for all := lostBefore(control[:controls]); int32(all-lost) > 0; lost++ { // it begins anew after 2^32
			s.over(ctx, &request{port: port, received: s.Now()}, Lost)
		}
		s.take(ctx, lasting, &request{
			data: buffer[:n], port: port, received: s.Now(), respond: to, local: control[:controls], back: from,
			from: source{from.Addr().Unmap().WithZone(""), from.Port()},
		})
	}
}

// take looks at a packet that has just arrived, and serves it, or lets it wait where too many are being decided. It keeps nothing of the
// buffers. What is begun goes on for as long as lasting.
func (s *Server) take(ctx, lasting context.Context, r *request) {
	var wrong Outcome
	r.data, wrong = sized(r.data)
	if r.client = s.table.Load().at(r.from.address); r.client == nil {
		wrong = Stranger
	}
	if wrong == "" {
		wrong = s.admit(ctx, r)
	}
	if wrong != "" {
		s.over(ctx, r, wrong)
		return
	}
	r.data, r.local = bytes.Clone(r.data), backTo(r.local)
	if len(s.queue) == 0 {
		select {
		case s.room <- struct{}{}:
			s.serve(lasting, r, s.finished)
			return
		default:
		}
	}
	for {
		select {
		case s.queue <- r:
			return
		default:
		}
		select {
		case oldest := <-s.queue:
			s.over(ctx, oldest, Overload)
		default:
		}
	}
}
