package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
)

// changed is a packet with one octet set.
func changed(b []byte, at int, to byte) []byte {
	b = bytes.Clone(b)
	b[at] = to
	return b
}

// msCHAP is a Vendor-Specific of Microsoft.
func msCHAP(kind byte) []byte {
	return attr(26, "\x00\x00\x01\x37"+string(kind)+"\x04ab")
}

// malformed are requests that are not as they should be, with what must become of each: dropped, or rejected (RFC 2865
// sections 3 and 5, RFC 3579 section 3.2, RFC 5997 section 3).
func malformed() []struct {
	name   string
	octets []byte
	is     Outcome
	reject bool
} {
	good := login(1, "alice", "123456")
	password := attr(2, hidden(1, "123456"))
	name := attr(1, "alice")
	authenticator := authenticatorOf(1)
	second := packet(1, 1, authenticator, attr(80, "sixteen octets!!"), attr(80, strings.Repeat("\x00", 16)), name, password)
	h := hmac.New(md5.New, []byte(secret))
	h.Write(second)
	h.Sum(second[40:40])
	return []struct {
		name   string
		octets []byte
		is     Outcome
		reject bool
	}{
		{"nothing", []byte{}, TooShort, false},
		{"19 octets", good[:19], TooShort, false},
		{"length 0", changed(changed(good, 2, 0), 3, 0), BadLength, false},
		{"length 19", changed(changed(good, 2, 0), 3, 19), BadLength, false},
		{"length beyond the end", good[:len(good)-1], BadLength, false},
		{"length above 4096", packet(1, 1, authenticator, bytes.Repeat(attr(33, strings.Repeat("x", 253)), 15), attr(33, strings.Repeat("x", 250))), BadLength, false},
		{"code 0", changed(good, 0, 0), BadCode, false},
		{"code 255", changed(good, 0, 255), BadCode, false},
		{"an answer", changed(good, 0, 2), BadCode, false},
		{"accounting on the wrong port", changed(good, 0, 4), BadCode, false},
		{"an attribute of length 0", packet(1, 1, authenticator, []byte{1, 0}), BadAttributes, false},
		{"an attribute of length 1", packet(1, 1, authenticator, []byte{1, 1}), BadAttributes, false},
		{"an attribute beyond the end", packet(1, 1, authenticator, []byte{1, 9, 'a'}), BadAttributes, false},
		{"one octet too many", packet(1, 1, authenticator, name, []byte{2}), BadAttributes, false},
		{"no Message-Authenticator", packet(1, 1, authenticator, name, password), NoAuthenticator, false},
		{"a wrong Message-Authenticator", changed(good, 30, good[30]+1), BadAuthenticator, false},
		{"a short Message-Authenticator", packet(1, 1, authenticator, attr(80, "fifteen octets!"), name, password), BadAuthenticator, false},
		{"an empty Message-Authenticator", packet(1, 1, authenticator, attr(80, ""), name, password), BadAuthenticator, false},
		{"an empty Message-Authenticator at the end", packet(1, 1, authenticator, name, password, attr(80, "")), BadAuthenticator, false},
		{"two Message-Authenticators", request1(1, name, password, attr(80, strings.Repeat("\x00", 16))), BadAuthenticator, false},
		{"a wrong Message-Authenticator and a right one", second, BadAuthenticator, false},
		{"a name changed on the way", changed(good, 41, 'e'), BadAuthenticator, false},
		{"another authenticator", changed(good, 5, good[5]+1), BadAuthenticator, false},
		{"Status-Server without Message-Authenticator", packet(12, 1, authenticator), NoAuthenticator, false},
		{"no attributes", packet(1, 1, authenticator), NoAuthenticator, false},

		{"no User-Password", request1(1, name), NoCredentials, true},
		{"no User-Name", request1(1, password), BadUserName, true},
		{"an empty User-Name", request1(1, attr(1, ""), password), BadUserName, true},
		{"an empty User-Name beside a State", request1(1, attr(1, ""), password, attr(24, stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(0), "1"))), BadUserName, true},
		{"a zero in User-Name", request1(1, attr(1, "al\x00ice"), password), BadUserName, true},
		{"User-Name is no UTF-8", request1(1, attr(1, "\xff\xfe"), password), BadUserName, true},
		{"two User-Names", request1(1, name, name, password), TwiceTheSame, true},
		{"two User-Passwords", request1(1, name, password, password), TwiceTheSame, true},
		{"two States", request1(1, name, password, attr(24, "a"), attr(24, "b")), TwiceTheSame, true},
		{"an empty User-Password", request1(1, name, attr(2, "")), BadPassword, true},
		{"15 octets of User-Password", request1(1, name, attr(2, "fifteen octets!")), BadPassword, true},
		{"144 octets of User-Password", request1(1, name, attr(2, hidden(1, strings.Repeat("1", 144)))), BadPassword, true},
		{"a zero in User-Password", request1(1, name, attr(2, hidden(1, "12\x0034"))), BadPassword, true},
		{"a password in another character set", request1(1, name, attr(2, hidden(1, "gr\xf6\xdfe"))), BadPassword, true},
		{"a password under another secret", request1(1, name, attr(2, "noise under a secret of others..")), BadPassword, true},
		{"CHAP", request1(1, name, attr(3, "\x01sixteen octets!!")), BadMethod, true},
		{"CHAP beside PAP", request1(1, name, password, attr(3, "\x01sixteen octets!!")), BadMethod, true},
		{"MS-CHAP", request1(1, name, msCHAP(11), msCHAP(1)), BadMethod, true},
		{"MS-CHAP-V2", request1(1, name, msCHAP(11), msCHAP(25)), BadMethod, true},
		{"MS-CHAP beside PAP", request1(1, name, password, msCHAP(1)), BadMethod, true},
		{"a challenge of MS-CHAP beside PAP", request1(1, name, password, msCHAP(11)), BadMethod, true},
		{"MS-CHAP-V2 beside PAP", request1(1, name, password, msCHAP(25)), BadMethod, true},
		{"EAP", request1(1, name, attr(79, "\x02\x01\x00\x0a\x01alice")), BadMethod, true},
	}
}

func TestMalformedPackets(t *testing.T) {
	engine := always(accept)
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	tests := malformed()
	if len(tests) < 24 {
		t.Errorf("only %d kinds", len(tests))
	}
	for _, test := range tests {
		gw := h.gateway("127.0.0.1")
		gw.send(test.octets)
		if got := h.outcome(); got != test.is {
			t.Errorf("%s: the outcome is %s, not %s", test.name, got, test.is)
		}
		if test.reject {
			if got := gw.receive(); !bytes.Equal(got, answerTo(3, 1, attr(18, "Access denied."))) {
				t.Errorf("%s: answered %q", test.name, got)
			}
			if words := notes[test.is]; words == "" || !strings.Contains(h.said.String(), words) {
				t.Errorf("%s: the log does not say why it is rejected", test.name)
			}
		}
		h.silent(gw)
	}
	if n := engine.asked(); n != 0 {
		t.Errorf("the engine was asked %d times", n)
	}
	said := h.said.String()
	for _, words := range []string{"by CHAP, MS-CHAP or EAP", "without Message-Authenticator", "wrong Message-Authenticator", "is the shared secret the same"} {
		if !strings.Contains(said, words) {
			t.Errorf("the log does not say %q: %s", words, said)
		}
	}
	for _, hide := range []string{"123456", "alice", secret} {
		if strings.Contains(said, hide) {
			t.Errorf("the log says %q", hide)
		}
	}
	if n := strings.Count(said, "by CHAP"); n != 1 {
		t.Errorf("the same was said %d times within a minute", n)
	}
}

// What is forged is not taken apart: who can send from a client's address would keep the server busy with few packets of many attributes.
func TestForgedPacketsAreNotTakenApart(t *testing.T) {
	h := build(t, always(accept), vpn("vpn1", "127.0.0.1/32"))
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	const many = 2000
	forged := packet(1, 1, authenticatorOf(1), attr(80, "sixteen octets!!"), bytes.Repeat(attr(33, ""), many))
	made := testing.AllocsPerRun(10, func() {
		from := source{netip.MustParseAddr("127.0.0.1"), 1}
		h.take(t.Context(), t.Context(), &request{data: forged, port: Authentication, from: from, received: h.Now(), respond: &mailbox{}})
		h.becomes(BadAuthenticator)
	})
	if made > many/10 {
		t.Errorf("of a forged packet of %d attributes, %v things were made", many, made)
	}
}

// What looks odd and is allowed.
func TestOddPacketsAreTaken(t *testing.T) {
	engine := always(accept)
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	for name, octets := range map[string][]byte{
		"padding behind the end":   append(login(1, "alice", "123456"), "padding"...),
		"unknown attributes":       login(2, "alice", "123456", attr(250, "x"), attr(0, ""), attr(241, "\x01\x02")),
		"a Vendor-Specific of one": login(3, "alice", "123456", attr(26, "\x00")),
		"one of Cisco":             login(9, "alice", "123456", attr(26, "\x00\x00\x00\x09\x01\x04ab")),
		"a State of another":       login(4, "alice", "123456", attr(24, "SBR-CH 3|1")),
		"an empty State":           login(5, "alice", "123456", attr(24, "")),
		"128 octets":               login(6, "alice", strings.Repeat("1", 128)),
		"an empty password":        login(7, "alice", ""),
		"a long name":              login(8, strings.Repeat("n", 253), "123456"),
	} {
		gw := h.gateway("127.0.0.1")
		if got := gw.ask(octets); got[0] != 2 {
			t.Errorf("%s: % x", name, got)
		}
		h.becomes(Accepted)
	}
	for _, r := range engine.first() {
		if len(r.Passcode) != 6 && len(r.Passcode) != 128 && r.Passcode != "" {
			t.Errorf("the passcode was %q", r.Passcode)
		}
	}
}

// Forged requests (CVE-2024-3596): under warn what has none is taken and noted, what is wrong is dropped everywhere.
func TestStrictness(t *testing.T) {
	warn, off := vpn("warn", "127.0.0.2/32"), vpn("off", "127.0.0.3/32")
	warn.MessageAuthenticator, off.MessageAuthenticator = access.Warn, access.Off
	h := build(t, always(accept), vpn("require", "127.0.0.1/32"), warn, off).run()
	naked := packet(1, 1, authenticatorOf(1), attr(1, "alice"), attr(2, hidden(1, "123456")))
	good := login(2, "alice", "123456")
	forged := changed(good, 41, 'm')
	eap := packet(1, 3, authenticatorOf(3), attr(1, "alice"), attr(79, "\x02\x01\x00\x0a\x01alice"))
	for address, naked1 := range map[string]Outcome{"127.0.0.1": NoAuthenticator, "127.0.0.2": Accepted, "127.0.0.3": Accepted} {
		gw := h.gateway(address)
		gw.send(naked)
		h.becomes(naked1)
		if naked1 == Accepted {
			// The answer has one all the same, first of all.
			if got := gw.receive(); !bytes.Equal(got, answerTo(2, 1)) {
				t.Errorf("%s: % x", address, got)
			}
		}
		gw.send(forged)
		h.becomes(BadAuthenticator)
		for _, always := range [][]byte{eap, packet(12, 4, authenticatorOf(4))} {
			gw.send(always)
			h.becomes(NoAuthenticator)
		}
		h.silent(gw)
	}
	said := h.said.String()
	if !strings.Contains(said, "client=warn") || strings.Count(said, "came without") != 1 {
		t.Errorf("the log says %s", said)
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "set it to warn") && !strings.Contains(line, "client=require") {
			t.Errorf("what does not help is said: %s", line)
		}
	}
}

// A request that leaves no room for any answer gets none, and is counted as such.
func TestARequestThatLeavesNoRoom(t *testing.T) {
	off := vpn("off", "127.0.0.1/32")
	off.MessageAuthenticator = access.Off
	h := build(t, always(accept), off).run()
	gw := h.gateway("127.0.0.1")
	full := packet(1, 1, authenticatorOf(1), bytes.Repeat(attr(33, strings.Repeat("p", 253)), 15), attr(33, strings.Repeat("p", 249)))
	gw.send(full)
	h.becomes(NoWayToAnswer)
	h.silent(gw)
}

func TestStrangersGetNoAnswer(t *testing.T) {
	h := build(t, always(accept), vpn("vpn1", "127.0.0.1/32")).run()
	stranger := h.gateway("127.0.0.9")
	stranger.send(login(1, "alice", "123456"))
	h.becomes(Stranger)
	h.clients.set(vpn("vpn1", "127.0.0.1/32"), vpn("vpn9", "127.0.0.9/32"))
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.silent(stranger)
	if got := stranger.ask(login(2, "alice", "123456")); got[0] != 2 {
		t.Errorf("after it was added: % x", got)
	}
	h.becomes(Accepted)
	h.clients.set()
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	stranger.send(login(3, "alice", "123456"))
	h.becomes(Stranger)
}

// The log names each stranger, however many packets others send; strangers beyond a number share their line.
func TestStrangersAreNoted(t *testing.T) {
	h := build(t, always(accept)).run()
	lines := func(address string) int { return strings.Count(h.said.String(), "address="+address+"\n") }
	come := func(from, to int) {
		for i := from; i < to; i++ {
			stranger := h.gateway("127.0.1." + decimal(i))
			for id := range byte(3) {
				stranger.send(login(id, "alice", "123456"))
				h.becomes(Stranger)
			}
		}
	}
	come(0, maxStrangers+3)
	for i := range maxStrangers + 1 { // the first of the others has their line
		if n := lines("127.0.1." + decimal(i)); n != 1 {
			t.Errorf("stranger %d has %d lines", i, n)
		}
	}
	if n := strings.Count(h.said.String(), "\n"); n != maxStrangers+1 {
		t.Errorf("%d lines", n)
	}
	// Places are for those who come now.
	h.Pass(noteEvery)
	come(maxStrangers+1, maxStrangers+3)
	for i := maxStrangers + 1; i < maxStrangers+3; i++ {
		if n := lines("127.0.1." + decimal(i)); n != 1 {
			t.Errorf("stranger %d has %d lines after a while", i, n)
		}
	}
}

func TestTheLongestPrefixWins(t *testing.T) {
	engine := always(accept)
	h := build(t, engine, vpn("all", "0.0.0.0/0"), vpn("net", "127.0.0.0/24"), vpn("host", "127.0.0.7/32"), vpn("six", "::/0")).run()
	for address, want := range map[string]string{"127.0.0.7": "host", "127.0.0.8": "net", "127.0.1.7": "all"} {
		h.gateway(address).ask(login(1, "alice", "123456"))
		if got := engine.lastBegun().Source.Agent; got != "radius:"+want {
			t.Errorf("%s is %s", address, got)
		}
	}
}

// A socket for all addresses answers from the one that was asked. One for those of IPv4 leaves room for one for those of IPv6.
func TestTheAnswerComesFromWhereTheRequestWent(t *testing.T) {
	four, six := []string{"127.0.0.5", "127.0.0.1"}, ownIPv6(t)
	room := 0
	for _, test := range []struct {
		listen string
		asked  []string
	}{{":0", append(four, six...)}, {"0.0.0.0:0", four}, {"[::]:", six}} {
		h := build(t, always(accept), vpn("four", "127.0.0.0/8"), vpn("six", "::1/128"))
		if test.listen == "[::]:" {
			test.listen += decimal(room)
		}
		h.at = listen(t, test.listen)
		h.run()
		room = h.at.LocalAddr().(*net.UDPAddr).Port
		for i, address := range test.asked {
			from := "127.0.0.1"
			if strings.Contains(address, ":") {
				from = "::1"
			}
			to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), uint16(room)))
			gw := h.gatewayAt(from, to)
			if got := gw.ask(login(byte(i), "alice", "123456")); got[0] != 2 { // a connected socket takes answers from there only
				t.Errorf("%s, %s: % x", test.listen, address, got)
			}
		}
	}
}

// ownIPv6 are the machine's own addresses, without those that need a zone.
func ownIPv6(t testing.TB) (all []string) {
	t.Helper()
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p.Addr().String())
		}
	}
	return all
}

// A client at a link-local address is answered, and is known by its address without the zone.
func TestALinkLocalClient(t *testing.T) {
	at := linkLocal(t)
	engine := always(accept)
	h := build(t, engine, vpn("six", "fe80::/10"))
	h.at = listen(t, "[::]:0")
	h.run()
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, uint16(h.at.LocalAddr().(*net.UDPAddr).Port)))
	gw := h.gatewayAt(at.String(), to)
	if got := gw.ask(login(1, "alice", "123456")); got[0] != 2 {
		t.Errorf("% x", got)
	}
	if got, want := engine.lastBegun().Source.Station, at.WithZone("").String(); got != want {
		t.Errorf("the station is %s, not %s", got, want)
	}
}

// linkLocal is a link-local address of the machine. Without one the test is skipped, where CI is strict too: unlike a program that is missing, none can be
// installed, and a container without IPv6 has none.
func linkLocal(t testing.TB) netip.Addr {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return p.Addr().WithZone(i.Name)
			}
		}
	}
	t.Skip("this machine has no link-local address")
	return netip.Addr{}
}

func TestAccounting(t *testing.T) {
	h := build(t, always(accept), vpn("vpn1", "127.0.0.1/32"))
	h.with(func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(h.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	h.run()
	books := h.gatewayTo("127.0.0.1", h.books)
	start := packet(4, 7, make([]byte, 16), attr(40, number(1)), attr(1, "alice"), attr(44, "session"), attr(33, "proxy"))
	sum := md5.Sum(append(bytes.Clone(start), secret...))
	copy(start[4:], sum[:])
	got := books.ask(start)
	want := packet(5, 7, sum[:], attr(33, "proxy"))
	sum = md5.Sum(append(bytes.Clone(want), secret...))
	copy(want[4:], sum[:])
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	h.becomes(Accounted)
	if said := h.said.String(); !strings.Contains(said, "level=DEBUG") || !strings.Contains(said, "client=vpn1 address=127.0.0.1 status=Start") || strings.Contains(said, "alice") {
		t.Errorf("the log says %s", said)
	}
	books.send(changed(start, 5, start[5]+1))
	h.becomes(BadAuthenticator)
	books.send(login(1, "alice", "123456"))
	h.becomes(BadCode)
	if status := books.ask(request12(9)); status[0] != 5 || status[1] != 9 {
		t.Errorf("Status-Server: % x", status)
	}
	h.becomes(Status)
}
