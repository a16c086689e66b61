package radius

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tellLocal makes the system say, with each packet, which of the machine's addresses it was sent to. A socket that
// listens on all of them would else answer from another one than the client asked, which the client then ignores. And it makes it say how many
// packets it had no room for.
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
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) // where it cannot, none are counted
	})
	return errors.Join(err, set)
}

// Where the number of the network interface stands in a control message with one struct in_pktinfo or in6_pktinfo
// behind its header.
const (
	in4Interface = unix.SizeofCmsghdr
	in6Interface = unix.SizeofCmsghdr + 16
)

// backTo turns the control message of a packet that names the address it was sent to into that of its answer. It has the same form, and names the address to
// answer from; the way out is the system's choice, not the interface that the packet came in by, unless the address means
// nothing without that: a link-local one.
func backTo(received []byte) []byte {
	for h, message := range controlMessages(received) {
		switch data := message[unix.SizeofCmsghdr:]; {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			back := bytes.Clone(message)
			clear(back[in4Interface : in4Interface+4])
			return back
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			back := bytes.Clone(message)
			if at, _ := netip.AddrFromSlice(data[:16]); !at.IsLinkLocalUnicast() {
				clear(back[in6Interface : in6Interface+4])
			}
			return back
		}
	}
	return nil
}

// lostBefore is how many packets the system had no room for at a socket, from its beginning to the packet with these control messages.
func lostBefore(received []byte) uint32 {
	for h, message := range controlMessages(received) {
		if data := message[unix.SizeofCmsghdr:]; h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			return binary.NativeEndian.Uint32(data)
		}
	}
	return 0
}

// controlMessages are the headers of control messages, with the octets of each.
func controlMessages(received []byte) iter.Seq2[unix.Cmsghdr, []byte] {
	return func(yield func(unix.Cmsghdr, []byte) bool) {
		for len(received) > 0 {
			h, _, rest, err := unix.ParseOneSocketControlMessage(received)
			if err != nil || !yield(h, received[:len(received)-len(rest)]) {
				return
			}
			received = rest
		}
	}
}
