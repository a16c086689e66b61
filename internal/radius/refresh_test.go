package radius

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
)

// However many clients are limited to domains, these are read once, and each client has its own.
func TestDomainsAreReadOnceForAllClients(t *testing.T) {
	var clients []access.RADIUSClient
	for i, place := range []string{"berlin", "rome", "berlin", ""} {
		c := vpn("vpn"+decimal(i), "192.0.2."+decimal(i)+"/32")
		c.Domain = place
		clients = append(clients, c)
	}
	e := &census{}
	h := build(t, always(accept), clients...).with(func(c *Config) { c.Domains = &domain.Registry{Store: e} })
	if err := h.Refresh(t.Context()); err != nil || e.taken != 1 {
		t.Errorf("the domains were read %d times, %v", e.taken, err)
	}
	for _, c := range clients {
		only := h.table.Load().byName[c.Name].only
		if c.Domain == "" && only != nil || c.Domain != "" && (only == nil || len(only.Scope.Names()) != 1 || !only.Scope.Covers(c.Domain)) {
			t.Errorf("%s in %q may ask about %+v", c.Name, c.Domain, only)
		}
	}
}

// A census counts how often the domains are read.
type census struct {
	estate
	taken int
}

func (c *census) Domains(ctx context.Context) ([]domain.Domain, error) {
	c.taken++
	return c.estate.Domains(ctx)
}

// A client that cannot be served, since its secret does not open or a newer release gave it attributes, keeps no other from being served, and what it
// has without a secret goes on.
func TestAClientThatCannotBeServed(t *testing.T) {
	later, locked := vpn("later", "192.0.2.1/32"), vpn("locked", "192.0.2.2/32")
	later.Attributes = []access.ReplyAttribute{{Name: "Attribute-Of-A-Later-Release", Value: "x"}}
	locked.Certificate = "locked.example.com"
	h := build(t, always(accept), later, locked, vpn("vpn1", "192.0.2.3/32"))
	h.with(func(c *Config) { c.Clients = lockedSecret{h.clients} })
	for range 3 {
		if err := h.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	at := func(last byte) bool { return h.table.Load().at(netip.AddrFrom4([4]byte{192, 0, 2, last})) != nil }
	if at(1) || at(2) || !at(3) || h.table.Load().byCertificate["locked.example.com"] == nil {
		t.Errorf("served: %v, %v, %v, over TLS %v", at(1), at(2), at(3), h.table.Load().byCertificate)
	}
	// The clients are read every few seconds: why one is not served is said once, and again when that changes.
	said := func(client string) int { return strings.Count(h.said.String(), "client="+client) }
	if said("later") != 1 || said("locked") != 1 || said("vpn1") != 0 {
		t.Errorf("the log says %s", h.said)
	}
	for _, h.Clients = range []Clients{h.clients, lockedSecret{h.clients}} { // put right, and wrong again
		if err := h.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if said("later") != 1 || said("locked") != 2 {
		t.Errorf("then the log says %s", h.said)
	}
}

// A lockedSecret is a registry in which the secret of one client does not open.
type lockedSecret struct{ *registry }

func (r lockedSecret) Secret(ctx context.Context, c access.RADIUSClient) ([]byte, error) {
	if c.Name == "locked" {
		return nil, errors.New("it does not open")
	}
	return r.registry.Secret(ctx, c)
}
