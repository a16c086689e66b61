package radius

import (
	"bytes"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tellLocal makes the system say, with each packet, which of the machine's addresses it was sent to. A socket that
// listens on all of them would else answer from another one than the client asked, which the client then ignores.
func tellLocal(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		// A socket for both families says it in the form of IPv6, one for IPv4 knows only its own.
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1) != nil {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	return errors.Join(err, set)
}

// Where the number of the network interface stands in a control message with one struct in_pktinfo or in6_pktinfo
// behind its header.
const (
	in4Interface = unix.SizeofCmsghdr
	in6Interface = unix.SizeofCmsghdr + 16
)

// backTo turns the control message of a packet into that of its answer. It has the same form, and names the address to
// answer from; the way out is the system's choice, not the interface that the packet came in by, unless the address means
// nothing without that: a link-local one.
func backTo(received []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(received)
	if err != nil || len(messages) != 1 {
		return nil
	}
	back := bytes.Clone(received)
	switch h := messages[0].Header; {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(messages[0].Data) == unix.SizeofInet4Pktinfo:
		clear(back[in4Interface : in4Interface+4])
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(messages[0].Data) == unix.SizeofInet6Pktinfo:
		if at, _ := netip.AddrFromSlice(messages[0].Data[:16]); !at.IsLinkLocalUnicast() {
			clear(back[in6Interface : in6Interface+4])
		}
	default:
		return nil
	}
	return back
}
