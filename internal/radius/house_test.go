package radius

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// secret is that of every client of the tests, unless it is said otherwise.
const secret = "a secret of the tests"

// patienceOfTests is how long a test waits for what must happen.
const patienceOfTests = 20 * time.Second

// A script is an engine that answers as the test says.
type script struct {
	mu     sync.Mutex
	begun  []authentication.Request
	gone   []authentication.Answer
	begin  func(authentication.Request) (authentication.Decision, error)
	answer func(authentication.Answer) (authentication.Decision, error)
	atOnce bool // in the goroutine of who asks
}

func (e *script) Submit(_ context.Context, _ time.Duration, r authentication.Request, then func(authentication.Decision, error)) {
	e.mu.Lock()
	e.begun = append(e.begun, r)
	do := e.begin
	e.mu.Unlock()
	e.call(func() { then(do(r)) })
}

func (e *script) SubmitAnswer(_ context.Context, _ time.Duration, a authentication.Answer, then func(authentication.Decision, error)) {
	e.mu.Lock()
	e.gone = append(e.gone, a)
	do := e.answer
	e.mu.Unlock()
	e.call(func() { then(do(a)) })
}

func (e *script) call(f func()) {
	if e.atOnce {
		f()
	} else {
		go f()
	}
}

// asked is how often the engine was asked.
func (e *script) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.begun) + len(e.gone)
}

// first are all the first requests that the engine was asked.
func (e *script) first() []authentication.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.begun)
}

// lastBegun is what the engine was asked last, and lastGone what it was answered last.
func (e *script) lastBegun() authentication.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begun[len(e.begun)-1]
}

func (e *script) lastGone() authentication.Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gone[len(e.gone)-1]
}

// decides makes it decide otherwise from now on.
func (e *script) decides(d authentication.Decision) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begin, e.answer = always(d).begin, always(d).answer
}

// always is an engine that decides the same whatever it is asked.
func always(d authentication.Decision) *script {
	return &script{
		begin:  func(authentication.Request) (authentication.Decision, error) { return d, nil },
		answer: func(authentication.Answer) (authentication.Decision, error) { return d, nil },
	}
}

var (
	accept = authentication.Decision{Result: authentication.Accepted}
	deny   = authentication.Decision{Result: authentication.Denied}
)

// registry are clients whose secrets are all the same.
type registry struct {
	mu     sync.Mutex
	all    []access.RADIUSClient
	broken func(context.Context) error // what comes of reading them; nil if it goes well. Not to be set while a server runs
}

func (r *registry) List(ctx context.Context) ([]access.RADIUSClient, error) {
	if r.broken != nil {
		return nil, r.broken(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]access.RADIUSClient(nil), r.all...), nil
}

func (r *registry) Secret(context.Context, access.RADIUSClient) ([]byte, error) {
	return []byte(secret), nil
}

func (r *registry) set(all ...access.RADIUSClient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = all
}

// hasher stands for the keyring.
type hasher struct{}

func (hasher) MAC(purpose string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte("the key of the tests"))
	for _, p := range append([][]byte{[]byte(purpose)}, parts...) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write(p)
	}
	return h.Sum(nil)
}

// vpn is a client at a prefix.
func vpn(name, prefix string) access.RADIUSClient {
	return access.RADIUSClient{
		Name: name, Address: netip.MustParsePrefix(prefix), Secret: seed.Sealed{KeyID: 1}, Prompts: access.PromptsSecurID, Challenges: true,
		MessageAuthenticator: access.Require, StripRealm: access.RealmNone, Version: 1,
	}
}

// A house is a server that runs, with a log and a list of what became of each packet.
type house struct {
	*Server
	*deploytest.Clock
	t        testing.TB
	clients  *registry
	outcomes chan Outcome
	said     *deploytest.Log
	at       *net.UDPConn // authentication
	books    *net.UDPConn // accounting
	tls      net.Listener
	end      context.CancelFunc
	ended    chan error
}

// An estate is the domains that clients of these tests lie in.
type estate struct{ domain.Store }

func (estate) Domains(context.Context) ([]domain.Domain, error) {
	return []domain.Domain{{Name: "berlin"}, {Name: "rome"}}, nil
}

// build makes a server that does not run yet.
func build(t testing.TB, e Authenticator, clients ...access.RADIUSClient) *house {
	h := &house{
		t: t, clients: &registry{all: clients}, outcomes: make(chan Outcome, 100_000), said: &deploytest.Log{},
		Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)), ended: make(chan error, 1),
	}
	h.Server = New(Config{
		Engine: e, Clients: h.clients, Domains: &domain.Registry{Store: estate{}}, Hash: hasher{}, Prompts: Default(), Now: h.Now, Log: slog.New(slog.NewTextHandler(h.said, nil)),
		Count: func(_ Port, o Outcome, _ time.Duration) { h.outcomes <- o },
	})
	return h
}

// with makes it anew, with a change of its configuration.
func (h *house) with(change func(*Config)) *house {
	c := h.Config
	change(&c)
	h.Server = New(c)
	return h
}

// run starts it, on free ports of the loopback interface.
func (h *house) run() *house {
	h.t.Helper()
	if h.at == nil {
		h.at = listen(h.t, "127.0.0.1:0")
	}
	h.books = listen(h.t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	h.end = cancel
	if err := h.Refresh(ctx); err != nil {
		h.t.Fatal(err)
	}
	server := h.Server
	go func() {
		h.ended <- server.work(ctx, Listeners{Authentication: []*net.UDPConn{h.at}, Accounting: []*net.UDPConn{h.books}, RadSec: h.tls})
	}()
	h.t.Cleanup(func() { h.stop() })
	return h
}

// stop ends the server and waits until it has finished.
func (h *house) stop() {
	h.t.Helper()
	h.end()
	select {
	case err := <-h.ended:
		if err != nil {
			h.t.Error(err)
		}
		h.ended <- nil
	case <-time.After(patienceOfTests):
		h.t.Fatal("the server does not end")
	}
}

func listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	conn, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// outcome waits for what became of the next packet.
func (h *house) outcome() Outcome {
	h.t.Helper()
	select {
	case o := <-h.outcomes:
		return o
	case <-time.After(patienceOfTests):
		h.t.Fatal("nothing became of the packet")
		return ""
	}
}

// becomes fails the test if the next packet has another outcome.
func (h *house) becomes(want Outcome) {
	h.t.Helper()
	if got := h.outcome(); got != want {
		h.t.Errorf("the outcome is %s, not %s", got, want)
	}
}

// A gateway is a client of the house that sends octets.
type gateway struct {
	t    testing.TB
	conn *net.UDPConn
}

// gateway opens a socket at a local address that sends to the house.
func (h *house) gateway(from string) *gateway {
	h.t.Helper()
	return h.gatewayTo(from, h.at)
}

func (h *house) gatewayTo(from string, to *net.UDPConn) *gateway {
	h.t.Helper()
	return h.gatewayAt(from, to.LocalAddr().(*net.UDPAddr))
}

func (h *house) gatewayAt(from string, to *net.UDPAddr) *gateway {
	h.t.Helper()
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	conn, err := net.DialUDP("udp", local, to)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return &gateway{h.t, conn}
}

func (g *gateway) send(packet []byte) {
	g.t.Helper()
	if _, err := g.conn.Write(packet); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) receive() []byte {
	g.t.Helper()
	buffer := make([]byte, 5000)
	g.conn.SetReadDeadline(time.Now().Add(patienceOfTests))
	n, err := g.conn.Read(buffer)
	if err != nil {
		g.t.Fatal(err)
	}
	return buffer[:n]
}

// ask sends a packet and returns its answer.
func (g *gateway) ask(packet []byte) []byte {
	g.t.Helper()
	g.send(packet)
	return g.receive()
}

// silent fails the test if an answer came to anything sent so far whose outcome is known: the answer to a
// Status-Server must be the next.
func (h *house) silent(g *gateway) {
	h.t.Helper()
	probe := request12(250)
	if answer := g.ask(probe); answer[1] != 250 || answer[0] != 2 {
		h.t.Errorf("an answer came to what was to be dropped: % x", answer)
	}
	h.becomes(Status)
}

// What follows writes packets octet by octet, with nothing of what is tested.

// attr is an attribute.
func attr(number byte, value string) []byte {
	return append([]byte{number, byte(2 + len(value))}, value...)
}

func number(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// authenticatorOf is that of the request with an identifier.
func authenticatorOf(id byte) []byte { return bytes.Repeat([]byte{id, 0x5a}, 8) }

// packet is a packet of attributes without authentication.
func packet(code, id byte, authenticator []byte, attributes ...[]byte) []byte {
	body := bytes.Join(attributes, nil)
	b := binary.BigEndian.AppendUint16([]byte{code, id}, uint16(20+len(body)))
	return append(append(b, authenticator...), body...)
}

// sealed puts a right Message-Authenticator in front of the attributes.
func sealed(code, id byte, authenticator []byte, attributes ...[]byte) []byte {
	b := packet(code, id, authenticator, append([][]byte{attr(80, string(make([]byte, 16)))}, attributes...)...)
	h := hmac.New(md5.New, []byte(secret))
	h.Write(b)
	h.Sum(b[22:22])
	return b
}

// request1 is an Access-Request.
func request1(id byte, attributes ...[]byte) []byte {
	return sealed(1, id, authenticatorOf(id), attributes...)
}

// request12 is a Status-Server.
func request12(id byte) []byte { return sealed(12, id, authenticatorOf(id)) }

// answerTo is an answer as it must be.
func answerTo(code, id byte, attributes ...[]byte) []byte {
	b := sealed(code, id, authenticatorOf(id), attributes...)
	h := md5.New()
	h.Write(b)
	h.Write([]byte(secret))
	return append(b[:4:4], append(h.Sum(nil), b[20:]...)...)
}

// hidden is the User-Password of the request with an identifier (RFC 2865 section 5.2).
func hidden(id byte, clearText string) string {
	padded := append([]byte(clearText), make([]byte, (16-len(clearText)%16)%16)...)
	if len(padded) == 0 {
		padded = make([]byte, 16)
	}
	before := authenticatorOf(id)
	for i := 0; i < len(padded); i += 16 {
		sum := md5.Sum(append([]byte(secret), before...))
		for j := range 16 {
			padded[i+j] ^= sum[j]
		}
		before = padded[i : i+16]
	}
	return string(padded)
}

// login is an Access-Request of a user with a password.
func login(id byte, user, passcode string, more ...[]byte) []byte {
	return request1(id, append([][]byte{attr(1, user), attr(2, hidden(id, passcode))}, more...)...)
}

// stateFor is the State that client at an address gets for a turn of an attempt.
func stateFor(tag, client, address, attempt, turn string) string {
	sum := hasher{}.MAC("radius-state", []byte(client), netip.MustParseAddr(address).AsSlice(), []byte(attempt), []byte(turn))
	return tag + "|" + attempt + "|" + turn + "-" + base32.StdEncoding.EncodeToString(sum)[:12]
}

// attempt is the name of an attempt.
func attempt(n int) string {
	return "ABCDEFGHIJKLMNOPQRSTUVWX" + "2" + string(rune('A'+n))
}

func decimal(n int) string { return strconv.Itoa(n) }
