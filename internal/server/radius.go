package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/radius"
)

// A RADIUS is what a server is told about RADIUS (spec/radius.md). Addresses without a port get the usual one. Its
// zero value listens to nobody.
type RADIUS struct {
	// Listen and Accounting are UDP addresses; the usual ports are 1812 and 1813. Accounting is answered and ignored.
	Listen, Accounting []string
	// RadSec is a TCP address for RADIUS over TLS with the certificate of [Config.Listen]; the usual port is 2083.
	// RadSecCA is the PEM file of the authorities that sign clients' certificates.
	RadSec, RadSecCA string
	// Prompts is a file with texts in place of the default ones; "" for none.
	Prompts string
	// Life is how long a challenge waits for its answer, 30 to 600 seconds; 0 is 180.
	Life time.Duration

	texts radius.Prompts
}

// Ports of RADIUS (RFC 2865, 2866, 6614).
const (
	radiusPort     = "1812"
	accountingPort = "1813"
	radSecPort     = "2083"
)

// withPort gives an address the port if it has none: the system would take any.
func withPort(address, port string) string {
	switch host, said, err := net.SplitHostPort(address); {
	case address == "":
	case err != nil:
		return net.JoinHostPort(strings.Trim(address, "[]"), port)
	case said == "":
		return net.JoinHostPort(host, port)
	}
	return address
}

// complete fills in ports and checks the rest.
func (r *RADIUS) complete() error {
	if slices.Contains(slices.Concat(r.Listen, r.Accounting), "") {
		return fault.New(fault.Invalid, "--radius and --radius-accounting take an address: 0.0.0.0 is all of IPv4, [::] all of IPv6")
	}
	for i := range r.Listen {
		r.Listen[i] = withPort(r.Listen[i], radiusPort)
	}
	for i := range r.Accounting {
		r.Accounting[i] = withPort(r.Accounting[i], accountingPort)
	}
	r.RadSec = withPort(r.RadSec, radSecPort)
	if (r.RadSec == "") != (r.RadSecCA == "") {
		return fault.New(fault.Invalid, "--radsec and --radsec-ca go together: clients over TLS are known by their certificates")
	}
	if r.Life != 0 && (r.Life < radius.MinLife || r.Life > radius.MaxLife) {
		return fault.New(fault.Invalid, "a challenge waits from %s to %s for its answer", radius.MinLife, radius.MaxLife)
	}
	if r.texts = radius.Default(); r.Prompts == "" {
		return nil
	}
	var err error
	r.texts, err = radius.Load(r.Prompts)
	return err
}

// wanted tells whether there is anything to listen to.
func (r *RADIUS) wanted() bool { return len(r.Listen) > 0 || len(r.Accounting) > 0 || r.RadSec != "" }

// listen opens what the server is to listen to. On an error everything is closed again.
func (r *RADIUS) listen(base *tls.Config) (l radius.Listeners, err error) {
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	for _, address := range r.Listen {
		conn, err := radius.Listen(address)
		if err != nil {
			return l, err
		}
		l.Authentication = append(l.Authentication, conn)
	}
	for _, address := range r.Accounting {
		conn, err := radius.Listen(address)
		if err != nil {
			return l, err
		}
		l.Accounting = append(l.Accounting, conn)
	}
	if r.RadSec == "" {
		return l, nil
	}
	secure, err := radius.TLSConfig(base, r.RadSecCA)
	if err != nil {
		return l, fault.New(fault.Invalid, "--radsec-ca: %v", err)
	}
	tcp, err := net.Listen("tcp", r.RadSec)
	if err != nil {
		return l, fmt.Errorf("listening for RadSec: %w", err)
	}
	l.RadSec = tls.NewListener(tcp, secure)
	return l, nil
}

// radiusServer makes the server that answers RADIUS clients.
func (c *Config) radiusServer(h *house, clients radius.Clients, domains *domain.Registry, m *meters) *radius.Server {
	return radius.New(radius.Config{
		Engine: h.engine, Clients: clients, Domains: domains, Hash: h.keys, Prompts: c.RADIUS.texts, Now: c.Now, Log: c.Log,
		Life: c.RADIUS.Life, Ping: h.db.Ping, Trust: h.clock.Trust, Count: m.packet,
	})
}

// runRADIUS answers RADIUS clients until ctx ends.
func (c *Config) runRADIUS(ctx context.Context, g *errgroup.Group, s *radius.Server, base *tls.Config) error {
	l, err := c.RADIUS.listen(base)
	if err != nil {
		return err
	}
	tell := func(port radius.Port, at net.Addr) {
		c.Log.Info("serving RADIUS", "port", port, "address", at.String())
	}
	for _, conn := range l.Authentication {
		tell(radius.Authentication, conn.LocalAddr())
	}
	for _, conn := range l.Accounting {
		tell(radius.Accounting, conn.LocalAddr())
	}
	if l.RadSec != nil {
		tell(radius.RadSec, l.RadSec.Addr())
	}
	g.Go(func() error { return s.Run(ctx, l) })
	return nil
}
