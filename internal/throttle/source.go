package throttle

import "net/netip"

// Source is the address that a request came from, by its RemoteAddr; the zero address if there is none.
func Source(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// Network is what one source is known by: an IPv4 address, or the /64 that a host can choose its IPv6 address from.
func Network(source netip.Addr) netip.Prefix {
	bits := 64
	if source.Is4() {
		bits = 32
	}
	p, _ := source.Prefix(bits) // the zero prefix for an unknown source
	return p
}
