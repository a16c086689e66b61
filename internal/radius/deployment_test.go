package radius_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/radius"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

// secret is that of every client.
const secret = "a secret of the tests"

// A deployment is a database with users and their tokens, an engine, and a RADIUS server before it, on the loopback
// interface.
type deployment struct {
	*testing.T
	*deploytest.Clock
	db      *store.DB
	keys    *seed.Keyring
	clients *access.RADIUSRegistry
	at      string // address of the RADIUS server
	tokens  int

	mu     sync.Mutex
	policy policy.Set
}

// Current are the policies.
func (d *deployment) Current(context.Context) (*policy.Tree, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return policy.Alone(d.policy), nil
}

func (d *deployment) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func newDeployment(t *testing.T, url string) *deployment {
	t.Helper()
	d := &deployment{T: t, Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC)), policy: policy.Default()}
	d.db, d.keys = deploytest.New(t, url, d.Now)
	d.clients = &access.RADIUSRegistry{Store: d.db, Keys: d.keys, Now: d.Now}
	return d
}

func sqlite(t *testing.T) string { return deploytest.SQLite(t) }

// client is one at the loopback interface that all tests may change.
func client(name string) access.RADIUSClient {
	return access.RADIUSClient{Name: name, Address: netip.MustParsePrefix("127.0.0.0/8"), Challenges: true,
		Attributes: []access.ReplyAttribute{{Name: "Class", Value: "OU=staff"}, {Name: "Filter-Id", Value: "vpn-users"}}}
}

// add adds a client.
func (d *deployment) add(c access.RADIUSClient) {
	d.Helper()
	shared := secret
	if !c.Address.IsValid() {
		shared = ""
	}
	_, err := d.clients.Add(d.Context(), c, shared)
	d.must(err)
}

// serve runs a RADIUS server on a database of the deployment, with a listener for TLS if it is not nil, and returns
// its address.
func (d *deployment) serve(db *store.DB, tls net.Listener) string {
	d.Helper()
	engine := &authentication.Engine{Store: db, Groups: db.Writers(), Keys: d.keys, Policies: d, Now: d.Now}
	s := radius.New(radius.Config{Engine: engine, Clients: d.clients, Domains: &domain.Registry{Store: d.db, Now: d.Now}, Hash: d.keys, Prompts: radius.Default(), Now: d.Now, Log: slog.New(slog.NewTextHandler(d.Output(), nil))})
	d.clients.Changed = s.Changed
	conn, err := radius.Listen("127.0.0.1:0")
	d.must(err)
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, radius.Listeners{Authentication: []*net.UDPConn{conn}, RadSec: tls}) }()
	d.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			d.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

// start runs the only RADIUS server.
func (d *deployment) start() *deployment {
	d.Helper()
	d.at = d.serve(d.db, nil)
	return d
}

// A holder is a user with a token.
type holder struct {
	d        *deployment
	id       string
	serial   string
	seed     seed.Seed
	settings token.Settings
}

// Settings of tokens: with a PIN in front of the code, and without any.
var (
	fob   = token.Settings{Digits: 6, Interval: 60, PINType: device.Fob}
	plain = token.Settings{Digits: 8, Interval: 60, PINType: device.NoPIN}
)

// holder adds a user with a token.
func (d *deployment) holder(id string, s token.Settings) *holder {
	d.Helper()
	d.tokens++
	h := &holder{d: d, id: id, serial: fmt.Sprintf("1000000000%02d", d.tokens), seed: seed.Generate(), settings: s}
	_, err := (&user.Registry{Store: d.db, Now: d.Now}).Add(d.Context(), user.User{ID: id})
	d.must(err)
	deploytest.Token(d, d.db, d.keys, h.serial, id, h.seed, s, d.Now())
	return h
}

// code is what the token shows so many intervals from now.
func (h *holder) code(intervals int) string {
	h.d.Helper()
	at := h.d.Now().Add(time.Duration(intervals*h.settings.Interval) * time.Second)
	code, err := securid.Code(h.seed.Reveal(), h.serial, h.settings.Digits, h.settings.Interval, at)
	h.d.must(err)
	return code
}
