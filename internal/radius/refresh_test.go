package radius

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
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
	newer := over("newer", "newer.example.com")
	newer.Attributes = later.Attributes
	h := build(t, always(accept), later, locked, newer, over("tls", "tls.example.com"), vpn("vpn1", "192.0.2.3/32"))
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
	if said("later") != 1 || said("locked") != 1 || said("newer") != 1 || said("vpn1")+said("tls") != 0 {
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

// A lockedSecret is a registry in which the secret of one client does not open, and those who come over TLS alone have none.
type lockedSecret struct{ *registry }

func (r lockedSecret) Secret(ctx context.Context, c access.RADIUSClient) ([]byte, error) {
	if c.Name == "locked" || !c.Address.IsValid() {
		return nil, errors.New("it does not open")
	}
	return r.registry.Secret(ctx, c)
}

// A secretive registry does something before it gives a secret out.
type secretive struct {
	*registry
	first func(context.Context) error
}

func (r secretive) Secret(ctx context.Context, c access.RADIUSClient) ([]byte, error) {
	if err := r.first(ctx); err != nil {
		return nil, err
	}
	return r.registry.Secret(ctx, c)
}

// When the database goes away while the clients are read, none of them is dropped, nor is it served without the domain that it is limited to.
func TestTheDatabaseGoesAwayWhileClientsAreRead(t *testing.T) {
	limited := vpn("vpn1", "192.0.2.1/32")
	limited.Domain = "berlin"
	gone := fault.New(fault.Unavailable, "the database is away")
	for name, change := range map[string]func(*house){
		"secrets": func(h *house) {
			h.Clients = secretive{h.clients, func(context.Context) error { return gone }}
		},
		"secrets, silent": func(h *house) {
			h.Clients = secretive{h.clients, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		},
		"domains": func(h *house) { h.Domains = &domain.Registry{Store: ruin{err: gone}} },
	} {
		h := build(t, always(accept), limited)
		if err := h.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := h.table.Load()
		change(h)
		synctest.Test(t, func(t *testing.T) {
			if err := h.Refresh(t.Context()); fault.CodeOf(err) != fault.Unavailable || h.table.Load() != before {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A ruin is an estate that cannot be read.
type ruin struct {
	estate
	err error
}

func (r ruin) Domains(context.Context) ([]domain.Domain, error) { return nil, r.err }

// Many clients are not taken for a database that says nothing: it answers for each. And where none is limited to a domain, there need be none.
func TestASlowDatabaseIsNotAway(t *testing.T) {
	h := build(t, always(accept), vpn("vpn1", "192.0.2.1/32"), vpn("vpn2", "192.0.2.2/32"), vpn("vpn3", "192.0.2.3/32"))
	h.Domains = nil
	h.Clients = secretive{h.clients, func(ctx context.Context) error {
		select {
		case <-time.After(patience - time.Second):
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
	synctest.Test(t, func(t *testing.T) {
		if err := h.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A client of which anything has changed is another one: it does not go on with what it was. One that has not is not made anew.
func TestAClientIsKeptAsItWas(t *testing.T) {
	h := build(t, always(accept))
	c, only := vpn("vpn1", "192.0.2.1/32"), &authentication.Restriction{}
	made := func(before *client, c access.RADIUSClient, secret string, only *authentication.Restriction) *client {
		n, err := h.kept(before, c, []byte(secret), only, nil)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := made(nil, c, secret, only)
	if made(before, c, secret, &authentication.Restriction{}) != before {
		t.Error("it is made anew")
	}
	for name, change := range map[string]func(*access.RADIUSClient){
		"name": func(c *access.RADIUSClient) { c.Name = "vpn2" }, "version": func(c *access.RADIUSClient) { c.Version++ },
		"domain": func(c *access.RADIUSClient) { c.Domain = "rome" }, "deleted and added again": func(c *access.RADIUSClient) { c.CreatedAt = time.Now() },
	} {
		after := c
		if change(&after); made(before, after, secret, only) == before {
			t.Errorf("%s: it is as it was", name)
		}
	}
	if made(before, c, "another secret", only) == before || made(before, c, secret, nil) == before {
		t.Error("another secret or restriction: it is as it was")
	}
}
