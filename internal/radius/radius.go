// Package radius answers RADIUS requests: gateways, machines and proxies ask
// whether a passcode is right, and lead their users through the dialogues for
// next tokencodes and new PINs (spec/radius.md).
//
// A [Server] takes packets from UDP sockets and TLS connections (RadSec, RFC
// 6614). Where a packet comes from says which client it is, and with that the
// shared secret. What is malformed, or not from a client, is dropped without an
// answer. Of the rest, the reader checks the Message-Authenticator, looks whether
// the packet was here before (duplicate.go) and hands it to the authentication
// engine, which calls back to have it answered. Where too many are being decided,
// packets wait in a bounded queue; when it is full the oldest goes, as its client
// has sent it again or given up. Everything that is decided is decided by the
// engine; this package keeps nothing but copies of answers for half a minute.
//
//	s := radius.New(radius.Config{Engine: engine, Clients: registry, Hash: keyring, Prompts: radius.Default(), Now: time.Now, Log: log})
//	err := s.Run(ctx, radius.Listeners{Authentication: sockets})
//
// Only User-Password (PAP) can work: CHAP and its kin prove knowledge of a
// password that the server must have in clear, and there is none to have of a
// code that changes. They are rejected, and the log says so.
package radius

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
)

// An Authenticator decides passcodes: an authentication.Engine.
type Authenticator interface {
	// Submit has a passcode decided, or opens an attempt that asks for more, and calls then with the decision. What still waits to be
	// decided after the time within is not decided any more.
	Submit(ctx context.Context, within time.Duration, r authentication.Request, then func(authentication.Decision, error))
	// SubmitAnswer goes on with an attempt. An answer that fits none is refused with fault.AttemptNotFound,
	// fault.OutOfSequence or fault.StepNotRequested and changes nothing.
	SubmitAnswer(ctx context.Context, within time.Duration, a authentication.Answer, then func(authentication.Decision, error))
}

// Clients are the deployment's RADIUS clients: an access.RADIUSRegistry.
type Clients interface {
	List(ctx context.Context) ([]access.RADIUSClient, error)
	Secret(ctx context.Context, c access.RADIUSClient) ([]byte, error)
}

// A Config is what a server is made of. Engine, Clients, Hash, Prompts, Now and Log must be set; the zero value of the
// other fields stands for the default that is named there.
type Config struct {
	Engine  Authenticator
	Clients Clients
	Domains *domain.Registry // what clients may be limited to; nil if none is
	Hash    access.Hasher    // binds a State to its client
	Prompts Prompts
	Now     func() time.Time
	Log     *slog.Logger

	// Life is how long a challenge waits for its answer: [MinLife] to [MaxLife], 180 seconds.
	Life time.Duration
	// AtOnce is how many requests are decided at once: 512. Each waits for a commit that it shares with others.
	AtOnce int
	// Queue is how many packets wait until one of them is decided: 4096.
	Queue int
	// Copies is how many answers are kept for those who ask again: 131072, which is about 30 MB, and up to 50 more for those that are longer than 118 bytes.
	Copies int
	// Ping, if set, tells whether a decision could be committed now: a database that can only be read from decides nothing. It is asked
	// whenever the clients are read, every few seconds.
	Ping func(context.Context) error
	// Trust, if set, tells whether passcodes can be decided at a time of the server's clock, as the engine has it.
	Trust func(now time.Time) error
	// Count, if set, is told what became of each packet, and how long that took.
	Count func(port Port, o Outcome, took time.Duration)
}

// A Server answers requests.
type Server struct {
	Config
	table   atomic.Pointer[table]
	away    atomic.Bool // the database, when the clients were to be read last
	copies  *copies
	queue   chan *request
	room    chan struct{} // for requests that are being decided
	changed chan struct{}
	notices notices
}

// New makes a server; [Server.Run] runs it.
func New(c Config) *Server {
	orElse := func(v *int, other int) {
		if *v == 0 {
			*v = other
		}
	}
	orElse(&c.AtOnce, 512)
	orElse(&c.Queue, 4096)
	orElse(&c.Copies, 131072)
	if c.Count == nil {
		c.Count = func(Port, Outcome, time.Duration) {}
	}
	return &Server{Config: c, copies: newCopies(c.Copies, copyLife), queue: make(chan *request, c.Queue), room: make(chan struct{}, c.AtOnce), changed: make(chan struct{}, 1), notices: newNotices()}
}

// A Port is what a packet came in by.
type Port string

// The ports.
const (
	Authentication Port = "authentication" // UDP 1812
	Accounting     Port = "accounting"     // UDP 1813
	RadSec         Port = "radsec"         // TLS 2083, for both
)

// Listeners are what a server takes packets from; those for UDP are made by [Listen].
type Listeners struct {
	Authentication []*net.UDPConn
	Accounting     []*net.UDPConn
	RadSec         net.Listener // with TLS configured by [TLSConfig]; nil for none
}

// How long a challenge may wait for its answer (spec/radius.md section 2).
const (
	MinLife = 30 * time.Second
	MaxLife = authentication.MaxLife
)

// Close closes all listeners. A server that runs does so at its end.
func (l Listeners) Close() {
	for _, conn := range append(l.Authentication, l.Accounting...) {
		conn.Close()
	}
	if l.RadSec != nil {
		l.RadSec.Close()
	}
}

// Times of the server.
const (
	patience      = 5 * time.Second  // after which nobody waits for an answer any more
	drainPatience = 10 * time.Second // for what is under way when the server ends
	refreshEvery  = 3 * time.Second  // other servers' changes to the clients
	copyLife      = 30 * time.Second // of an answer kept for those who ask again (RFC 5080 section 2.2.2)
)

// A request is a packet and where its answer goes.
type request struct {
	data     []byte
	port     Port
	client   *client
	from     source
	received time.Time
	respond  responder
	note     string         // for the log, in place of what its outcome says
	shown    []slog.Attr    // for the log, with that: the certificate of a stranger
	local    []byte         // over UDP, the control message that names the address it was sent to
	back     netip.AddrPort // over UDP, where it came from as the system says it: with the zone of a link-local address
}

// A responder takes the answer to a request.
type responder interface {
	respond(r *request, answer []byte)
}

// Run answers until ctx ends; then it takes no more, finishes what it has and closes the listeners. It runs once.
func (s *Server) Run(ctx context.Context, l Listeners) error {
	defer l.Close()
	if err := s.Refresh(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	return s.work(ctx, l)
}

// Changed tells a server that clients were changed, so that it reads them at once. What others change it learns within
// seconds. It may be called at any time.
func (s *Server) Changed() {
	select {
	case s.changed <- struct{}{}:
	default: // it is going to
	}
}

// work runs the server with the clients that it knows.
func (s *Server) work(ctx context.Context, l Listeners) error {
	// Requests go on while the server drains.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(drainPatience, stop) })

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			s.room <- struct{}{} // first: what is taken out of the queue is not dropped any more
			r, more := <-s.queue
			if !more {
				s.finished()
				return
			}
			s.serve(lasting, r, s.finished)
		}
	}()
	readers, reading := errgroup.WithContext(ctx)
	for _, conn := range l.Authentication {
		readers.Go(func() error { return s.read(reading, lasting, conn, Authentication) })
	}
	for _, conn := range l.Accounting {
		readers.Go(func() error { return s.read(reading, lasting, conn, Accounting) })
	}
	if l.RadSec != nil {
		readers.Go(func() error { return s.acceptTLS(reading, lasting, l.RadSec) })
	}
	readers.Go(func() error { s.refreshing(reading); return nil })
	err := readers.Wait()
	close(s.queue)
	<-drained
	for range cap(s.room) {
		s.room <- struct{}{}
	}
	return err
}

// finished makes room for another request.
func (s *Server) finished() { <-s.room }

// refreshing learns of changes to the clients until ctx ends.
func (s *Server) refreshing(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.changed:
		}
		if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "looking after RADIUS", "error", err)
		}
	}
}
