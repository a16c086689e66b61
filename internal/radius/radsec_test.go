package radius

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
)

// secure makes the house listen for RadSec.
func (h *house) secure(a *Authority) *house {
	h.t.Helper()
	config, err := TLSConfig(&tls.Config{Certificates: []tls.Certificate{a.Sign("server.example.com")}}, a.File())
	if err != nil {
		h.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.tls = tls.NewListener(l, config)
	return h
}

// connect connects with a certificate.
func (h *house) connect(a *Authority, certificates ...tls.Certificate) *tls.Conn {
	h.t.Helper()
	return h.connectFrom("127.0.0.1", a, certificates...)
}

// bare is a connection from an address that has not begun TLS.
func (h *house) bare(address string) net.Conn {
	h.t.Helper()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := from.Dial("tcp", h.tls.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	return conn
}

func (h *house) connectFrom(address string, a *Authority, certificates ...tls.Certificate) *tls.Conn {
	h.t.Helper()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := tls.DialWithDialer(from, "tcp", h.tls.Addr().String(), &tls.Config{RootCAs: a.pool(), ServerName: "server.example.com", Certificates: certificates})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	return conn
}

// over is a client over TLS.
func over(name, certificate string) access.RADIUSClient {
	return access.RADIUSClient{Name: name, Certificate: certificate, Prompts: access.PromptsSecurID, Challenges: true, MessageAuthenticator: access.Require, Version: 1}
}

// tlsLogin is an Access-Request under the secret of RadSec, with a Message-Authenticator if it is wanted.
func tlsLogin(t testing.TB, id byte, authenticated bool) *radius.Packet {
	p := &radius.Packet{Code: radius.CodeAccessRequest, Identifier: id, Authenticator: [16]byte(authenticatorOf(id)), Secret: []byte(radSecSecret)}
	if authenticated {
		p.Add(80, make([]byte, 16))
	}
	p.Add(1, radius.Attribute("alice"))
	hidden, err := radius.NewUserPassword([]byte("123456"), p.Secret, p.Authenticator[:])
	if err != nil {
		t.Fatal(err)
	}
	p.Add(2, hidden)
	if authenticated {
		b, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		h := hmac.New(md5.New, p.Secret)
		h.Write(b)
		copy(p.Get(80), h.Sum(nil))
	}
	return p
}

// talk sends a packet and returns its answer, once it is known to be one.
func talk(t testing.TB, conn net.Conn, p *radius.Packet) *radius.Packet {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	answer, err := nextPacket(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if !radius.IsAuthenticResponse(answer, b, p.Secret) {
		t.Errorf("the answer is not authentic: % x", answer)
	}
	parsed, err := radius.Parse(answer, p.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestRadSec(t *testing.T) {
	a := NewTestAuthority(t)
	named, printed, unknown := a.Sign("vpn1.example.com"), a.Sign("vpn2.example.com"), a.Sign("vpn3.example.com")
	sum := sha256.Sum256(printed.Leaf.Raw)
	engine := always(accept)
	h := build(t, engine, over("vpn1", "vpn1.example.com"), over("vpn2", "sha256:"+hex.EncodeToString(sum[:])), over("else", "vpn2.example.com"), vpn("udp", "127.0.0.1/32")).secure(a).run()

	for name, certificate := range map[string]tls.Certificate{"vpn1": named, "vpn2": printed} {
		conn := h.connect(a, certificate)
		for id := range byte(3) {
			// TLS vouches for what has no Message-Authenticator.
			if got := talk(t, conn, tlsLogin(t, id, id != 1)); got.Code != radius.CodeAccessAccept {
				t.Errorf("%s: %v", name, got.Code)
			}
			h.becomes(Accepted)
			if got := engine.lastBegun(); got.Source.Agent != "radius:"+name || got.Passcode != "123456" {
				t.Errorf("the engine was asked %+v", got)
			}
		}
		books := &radius.Packet{Code: radius.CodeAccountingRequest, Identifier: 9, Secret: []byte(radSecSecret)}
		if got := talk(t, conn, books); got.Code != radius.CodeAccountingResponse {
			t.Errorf("accounting: %v", got.Code)
		}
		h.becomes(Accounted)
	}

	// Whom nobody knows is not waited for.
	stranger := h.connect(a, unknown)
	h.becomes(Stranger)
	ends(t, stranger)
	said, want := h.said.String(), "certificate="+fingerprint(unknown.Leaf)+" names=[vpn3.example.com]"
	if !strings.Contains(said, "a certificate that no RADIUS client has") || !strings.Contains(said, want) || strings.Contains(said, "from an address") {
		t.Errorf("the log says %s", said)
	}
	ends(t, h.connect(a, a.Sign(""))) // which is not the name of a client without a certificate
	h.becomes(Stranger)
}

// Without authorities whose certificates are taken there is no configuration, and so no listener that takes any.
func TestRadSecWithoutAuthorities(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := TLSConfig(&tls.Config{}, file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := TLSConfig(&tls.Config{}, file); fault.CodeOf(err) != fault.Invalid || c != nil {
		t.Errorf("no certificate: %v, %v", c, err)
	}
}

// A listener that is gone ends the server, as a socket does.
func TestRadSecListenerIsGone(t *testing.T) {
	h := build(t, always(accept)).secure(NewTestAuthority(t)).run()
	h.tls.Close()
	if err := <-h.ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the server ends with %v", err)
	}
	h.ended <- nil
}

// What a client may send a second it may send over both transports together.
func TestALimitIsForBothTransports(t *testing.T) {
	a := NewTestAuthority(t)
	both := vpn("vpn1", "127.0.0.1/32")
	both.Certificate, both.MaxQPS = "vpn1.example.com", 2
	h := build(t, always(accept), both).secure(a).run()
	gw := h.gateway("127.0.0.1")
	conn := h.connect(a, a.Sign("vpn1.example.com"))
	gw.ask(login(1, "alice", "123456"))
	h.becomes(Accepted)
	talk(t, conn, tlsLogin(t, 2, true))
	h.becomes(Accepted)
	both.Version++ // that a client is changed gives it no other burst
	h.clients.set(both)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	gw.send(login(3, "alice", "123456"))
	h.becomes(Limited)
	b, _ := tlsLogin(t, 4, true).Encode()
	conn.Write(b)
	h.becomes(Limited)
}

// Connections that come to nothing take no place from clients, nor does one client from the others.
func TestRadSecHasPlacesForAll(t *testing.T) {
	a := NewTestAuthority(t)
	h := build(t, always(accept), over("vpn1", "vpn1.example.com"), over("vpn2", "vpn2.example.com")).secure(a).run()
	for range maxHandshakesOf {
		h.bare("127.0.0.2")
	}
	ends(t, h.bare("127.0.0.2"))

	certificate := a.Sign("vpn1.example.com")
	for range maxOfClient { // what is over takes no place any more
		conn := h.connect(a, certificate)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		ends(t, conn)
	}
	for range maxOfClient {
		if got := talk(t, h.connect(a, certificate), tlsLogin(t, 1, true)); got.Code != radius.CodeAccessAccept {
			t.Error(got.Code)
		}
		h.outcome()
	}
	ends(t, h.connect(a, certificate))
	if got := talk(t, h.connect(a, a.Sign("vpn2.example.com")), tlsLogin(t, 1, true)); got.Code != radius.CodeAccessAccept {
		t.Error(got.Code)
	}
	h.becomes(Accepted)
}

// Strangers who come from many addresses at once shut no client out that was here before.
func TestRadSecKnowsWhereClientsComeFrom(t *testing.T) {
	a := NewTestAuthority(t)
	h := build(t, always(accept), over("vpn1", "vpn1.example.com")).secure(a).run()
	certificate := a.Sign("vpn1.example.com")
	if got := talk(t, h.connect(a, certificate), tlsLogin(t, 1, true)); got.Code != radius.CodeAccessAccept {
		t.Error(got.Code)
	}
	h.becomes(Accepted)
	for n := range maxHandshakes {
		h.bare(fmt.Sprintf("127.0.1.%d", 1+n/maxHandshakesOf))
	}
	ends(t, h.bare("127.0.1.99"))
	if got := talk(t, h.connect(a, certificate), tlsLogin(t, 2, true)); got.Code != radius.CodeAccessAccept {
		t.Error(got.Code)
	}
	h.becomes(Accepted)
}

// Each network that a client has come from is known, up to a number.
func TestDoorsKnowClients(t *testing.T) {
	d := &doors{known: map[netip.Prefix]bool{}}
	from := func(i uint32) source {
		return source{address: netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, i)))}
	}
	d.remember(from(1))
	d.remember(from(2))
	if d.hallOf(from(1)) != &d.side || d.hallOf(from(2)) != &d.side || d.hallOf(from(3)) != &d.hall {
		t.Errorf("known are %v", d.known)
	}
	for i := range uint32(2 * maxKnown) {
		if d.remember(from(i)); len(d.known) > maxKnown || d.hallOf(from(i)) != &d.side {
			t.Fatalf("after %d, %d are known", i, len(d.known))
		}
	}
}

// A client that has nothing more to send still has what it sent answered.
func TestRadSecAnswersWhoHasEnded(t *testing.T) {
	a := NewTestAuthority(t)
	engine, deciding, release := gate()
	h := build(t, engine, over("vpn1", "vpn1.example.com")).secure(a).run()
	conn := h.connect(a, a.Sign("vpn1.example.com"))
	b, _ := tlsLogin(t, 1, true).Encode()
	conn.Write(b)
	<-deciding
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(release)
	if answer, err := nextPacket(t.Context(), conn); err != nil || answer[0] != 2 {
		t.Errorf("% x, %v", answer, err)
	}
	ends(t, conn)
}

func TestPlaces(t *testing.T) {
	p := places[string]{most: 5, mostOfOne: 3}
	take := func(of string, want bool) {
		t.Helper()
		if got := p.take(of); got != want {
			t.Errorf("a place for %s: %v", of, got)
		}
	}
	for range 2 { // what is left can be taken again
		for _, of := range []string{"a", "a", "a", "b"} {
			take(of, true)
		}
		take("a", false)
		p.leave("a")
		take("a", true)
		take("a", false)
		take("c", true)
		take("d", false)
		for _, of := range []string{"a", "a", "a", "b", "c"} {
			p.leave(of)
		}
	}
	if len(p.taken) > 0 || p.all > 0 {
		t.Errorf("%d places are taken by %v", p.all, p.taken)
	}
}

// After a packet that is not authentic, or whose attributes do not fit, nothing over the connection can be trusted (RFC 6613 section 2.6.4).
func TestRadSecEndsAfterWhatIsWrong(t *testing.T) {
	a := NewTestAuthority(t)
	h := build(t, always(accept), over("vpn1", "vpn1.example.com")).secure(a).run()
	good, _ := tlsLogin(t, 1, true).Encode()
	for name, test := range map[string]struct {
		octets []byte
		is     Outcome
	}{
		"a wrong Message-Authenticator":     {changed(good, 30, good[30]+1), BadAuthenticator},
		"accounting with a wrong one":       {packet(4, 1, authenticatorOf(1)), BadAuthenticator},
		"an attribute beyond the end":       {packet(1, 1, authenticatorOf(1), []byte{1, 9, 'a'}), BadAttributes},
		"an attribute of length 0":          {packet(1, 1, authenticatorOf(1), []byte{1, 0}), BadAttributes},
		"a packet that ends in its header":  {good[:1], BadLength},
		"a packet that ends after its head": {good[:4], BadLength},
		"half a packet":                     {good[:40], BadLength},
	} {
		t.Run(name, func(t *testing.T) {
			conn := h.connect(a, a.Sign("vpn1.example.com"))
			conn.Write(test.octets)
			if test.is == BadLength {
				conn.CloseWrite()
			}
			h.becomes(test.is)
			ends(t, conn)
		})
	}
}

// A listener that cannot take connections, for want of file descriptors for one, is not asked without a pause.
func TestRadSecPausesWhenItCannotAccept(t *testing.T) {
	h := build(t, always(accept))
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		l := &exhausted{}
		if err := h.acceptTLS(ctx, ctx, l); err != nil || l.asked < 2 || l.asked > 100 {
			t.Errorf("asked %d times in a second, %v", l.asked, err)
		}
	})
}

// An exhausted listener has no connections to give.
type exhausted struct{ asked int }

func (l *exhausted) Accept() (net.Conn, error) { l.asked++; return nil, syscall.EMFILE }
func (*exhausted) Close() error                { return nil }
func (*exhausted) Addr() net.Addr              { return nil }

// Who administers a security domain does not take the place of another's client by the fingerprint of its certificate.
func TestRadSecCertificateOfTwoDomains(t *testing.T) {
	a := NewTestAuthority(t)
	theirs := a.Sign("vpn1.example.com")
	sum := sha256.Sum256(theirs.Leaf.Raw)
	rome, berlin := over("vpn1", "vpn1.example.com"), over("vpn2", "sha256:"+hex.EncodeToString(sum[:]))
	rome.Domain, berlin.Domain = "rome", "berlin"
	engine := always(accept)
	h := build(t, engine, rome, berlin).secure(a).run()
	conn := h.connect(a, theirs)
	h.becomes(Stranger)
	ends(t, conn)
	if said := h.said.String(); !strings.Contains(said, "clients of several security domains") || !strings.Contains(said, "vpn2, vpn1") {
		t.Errorf("the log says %s", said)
	}
	engine.mu.Lock()
	defer engine.mu.Unlock()
	if len(engine.begun) > 0 {
		t.Errorf("the engine was asked %+v", engine.begun)
	}
}

// Nobody of one security domain shuts out a client of the whole deployment by what its certificate has, in whatever order it is looked at.
func TestRadSecCertificateOfTheRoot(t *testing.T) {
	a := NewTestAuthority(t)
	shown := a.Sign("vpn1.example.com")
	sum := sha256.Sum256(shown.Leaf.Raw)
	named, printed := over("named", "vpn1.example.com"), over("printed", "sha256:"+hex.EncodeToString(sum[:]))
	for at, want := range map[[2]string]string{{"", "berlin"}: "named", {"berlin", ""}: "printed", {"", ""}: "printed", {"berlin", "berlin"}: "printed"} {
		named.Domain, printed.Domain = at[0], at[1]
		engine := always(accept)
		h := build(t, engine, named, printed).secure(a).run()
		conn := h.connect(a, shown)
		b, _ := tlsLogin(t, 1, true).Encode()
		conn.Write(b)
		h.becomes(Accepted)
		engine.mu.Lock()
		if len(engine.begun) != 1 || engine.begun[0].Source.Agent != "radius:"+want {
			t.Errorf("%q: the engine was asked %+v, want %s", at, engine.begun, want)
		}
		engine.mu.Unlock()
	}
}

// ends fails the test unless the server ends the connection without a word.
func ends(t testing.TB, conn net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || os.IsTimeout(err) {
		t.Errorf("got % x, %v", rest, err)
	}
}

func TestRadSecTakesNoOtherCertificates(t *testing.T) {
	a, other := NewTestAuthority(t), NewTestAuthority(t)
	h := build(t, always(accept), over("vpn1", "vpn1.example.com")).secure(a).run()
	for name, certificates := range map[string][]tls.Certificate{"none": nil, "another authority's": {other.Sign("vpn1.example.com")}} {
		conn := h.connect(a, certificates...) // with TLS 1.3 the client learns of it when it reads
		b, _ := tlsLogin(t, 1, true).Encode()
		conn.Write(b)
		if rest, err := io.ReadAll(conn); err == nil || len(rest) > 0 {
			t.Errorf("%s: got % x, %v", name, rest, err)
		}
	}
	old := &tls.Config{RootCAs: a.pool(), ServerName: "server.example.com", MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", h.tls.Addr().String(), old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was taken")
	}
	plainText, err := net.Dial("tcp", h.tls.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plainText.Close()
	plainText.Write(login(1, "alice", "123456"))
	plainText.SetDeadline(time.Now().Add(patienceOfTests))
	if rest, err := io.ReadAll(plainText); os.IsTimeout(err) || len(rest) > 0 && rest[0] != 21 { // an alert
		t.Errorf("without TLS: % x, %v", rest, err)
	}
	if n := len(h.outcomes); n > 0 {
		t.Errorf("%d packets were taken", n)
	}
	if _, err := TLSConfig(&tls.Config{}, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("authorities from a file that is not there")
	}
}

func TestRadSecBetweenPackets(t *testing.T) {
	a := NewTestAuthority(t)
	engine, deciding, release := gate()
	h := build(t, engine, over("vpn1", "vpn1.example.com")).secure(a).run()
	certificate := a.Sign("vpn1.example.com")

	// Several at once, and one in pieces.
	conn := h.connect(a, certificate)
	var all []byte
	for id := range byte(5) {
		b, _ := tlsLogin(t, id, true).Encode()
		all = append(all, b...)
	}
	conn.Write(all[:3])
	conn.Write(all[3 : len(all)-1])
	conn.Write(all[len(all)-1:])
	for range 5 {
		<-deciding
	}
	close(release)
	ids := map[byte]bool{}
	for range 5 {
		answer, err := nextPacket(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		ids[answer[1]] = true
		h.becomes(Accepted)
	}
	if len(ids) != 5 {
		t.Errorf("answered %v", ids)
	}

	// The same packet over another connection, from another address: its answer was lost with the first.
	again := h.connectFrom("127.0.0.2", a, certificate)
	if got := talk(t, again, tlsLogin(t, 0, true)); got.Code != radius.CodeAccessAccept {
		t.Error(got.Code)
	}
	h.becomes(Repeated)

	// A response is no request; the connection goes on. A wrong length ends it.
	wrong, _ := tlsLogin(t, 7, true).Encode()
	again.Write(changed(wrong, 0, 2))
	h.becomes(BadCode)
	if got := talk(t, again, tlsLogin(t, 8, true)); got.Code != radius.CodeAccessAccept {
		t.Error(got.Code)
	}
	h.becomes(Accepted)
	again.Write([]byte{1, 1, 0, 19})
	h.becomes(BadLength)
	ends(t, again)

	// A client that is deleted gets no further answer over the connection that it has.
	h.clients.set()
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, _ := tlsLogin(t, 9, true).Encode()
	conn.Write(b)
	h.becomes(Stranger)
	ends(t, conn)
}

// A connection does not outlast the certificate that it was made with.
func TestRadSecEndsWithTheCertificate(t *testing.T) {
	a := NewTestAuthority(t)
	h := build(t, always(accept), over("vpn1", "vpn1.example.com")).secure(a).run()
	certificate := a.Sign("vpn1.example.com")
	conn := h.connect(a, certificate)
	talk(t, conn, tlsLogin(t, 1, true))
	h.becomes(Accepted)
	h.Pass(certificate.Leaf.NotAfter.Sub(h.Now()))
	talk(t, conn, tlsLogin(t, 2, true))
	h.becomes(Accepted)
	h.Pass(time.Second)
	b, _ := tlsLogin(t, 3, true).Encode()
	conn.Write(b)
	h.becomes(Stranger)
	ends(t, conn)
	if said := h.said.String(); !strings.Contains(said, "renew the certificate") || !strings.Contains(said, "client=vpn1") {
		t.Errorf("the log says %s", said)
	}
}

// While nothing is decided, requests do not wait unread in their connection: they would be decided when nobody waits for them any more.
func TestRadSecOverload(t *testing.T) {
	a := NewTestAuthority(t)
	engine, deciding, release := gate()
	h := build(t, engine, over("vpn1", "vpn1.example.com")).secure(a).run()
	conn := h.connect(a, a.Sign("vpn1.example.com"))
	ask := func(n int) {
		p := tlsLogin(t, byte(n), false)
		p.Add(31, radius.Attribute(decimal(n)))
		b, _ := p.Encode()
		conn.Write(b)
	}
	for n := range maxAtOnce {
		ask(n)
		<-deciding
	}
	ask(maxAtOnce)
	h.becomes(Overload)
	close(release)
	for range maxAtOnce {
		h.becomes(Accepted)
	}
}

// The end of the server may come with the first octet of a packet: its rest is not waited for.
func TestRadSecEndsWithinAPacket(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	conn := &ending{end: end}
	if _, err := nextPacket(ctx, conn); !errors.Is(err, context.Canceled) || conn.read != 1 {
		t.Errorf("%d octets were read, %v", conn.read, err)
	}
}

// An ending connection ends a server with each octet that it gives.
type ending struct {
	net.Conn
	end  func()
	read int
}

func (c *ending) SetReadDeadline(time.Time) error { return nil }

func (c *ending) Read(b []byte) (int, error) {
	c.end()
	c.read++
	b[0] = 1
	return 1, nil
}

func TestRadSecEndsWithTheServer(t *testing.T) {
	a := NewTestAuthority(t)
	engine, deciding, release := gate()
	h := build(t, engine, over("vpn1", "vpn1.example.com")).secure(a).run()
	conn, idle := h.connect(a, a.Sign("vpn1.example.com")), h.connect(a, a.Sign("vpn1.example.com"))
	b, _ := tlsLogin(t, 1, true).Encode()
	conn.Write(b)
	<-deciding
	h.end()
	close(release)
	h.stop()
	rest, err := io.ReadAll(conn)
	if err != nil || len(rest) < 20 || !bytes.Equal(rest[:2], []byte{2, 1}) {
		t.Errorf("got % x, %v", rest, err)
	}
	ends(t, idle)
}
