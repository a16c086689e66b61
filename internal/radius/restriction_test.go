package radius_test

import (
	"slices"
	"testing"
	"time"

	codec "layeh.com/radius"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/user"
)

// limit changes whom the client "gateway" may ask about. The server learns of it in a moment.
func (d *deployment) limit(r access.Restriction) {
	d.Helper()
	_, err := d.clients.Edit(d.Context(), "gateway", 0, nil, func(c *access.RADIUSClient) { c.Restriction = r })
	d.must(err)
}

// A client that may not ask for a user gets the reject of a wrong passcode, octet by octet but for what signs it.
func TestClientsAskOnlyForTheirUsers(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url).start()
		d.add(client("gateway"))
		alice, bob := d.holder("alice", plain), d.holder("bob", plain)
		_, err := (&user.Groups{Store: d.db, Now: d.Now}).Add(t.Context(), "staff", "")
		d.must(err)
		_, _, err = (&user.Groups{Store: d.db, Now: d.Now}).Change(t.Context(), "staff", []string{"alice"}, nil)
		d.must(err)
		w := d.wire(d.at)
		wrong := w.ask(request(d, "alice", "00000000", nil))
		d.limit(access.Restriction{Groups: []string{"staff"}})
		for denied := false; !denied; { // until the server has read it
			d.Pass(time.Minute)
			answer := w.ask(request(d, "bob", bob.code(0), nil))
			denied = answer.Code == codec.CodeAccessReject
			if denied && !slices.EqualFunc(answer.Attributes[1:], wrong.Attributes[1:], func(a, b *codec.AVP) bool {
				return a.Type == b.Type && string(a.Attribute) == string(b.Attribute)
			}) {
				t.Errorf("got %v, a wrong passcode gets %v", answer.Attributes, wrong.Attributes)
			}
		}
		page, err := d.db.Events(t.Context(), audit.Filter{Object: "user:bob"})
		d.must(err)
		e, err := audit.ParseRecord(page.Entries[len(page.Entries)-1].Record)
		d.must(err)
		if e.Action != "authn.fail" || e.Reason != authentication.AgentRestricted || e.Details["agent"] != "radius:gateway" {
			t.Errorf("the log says %+v", e)
		}
		if answer := w.ask(request(d, "alice", alice.code(0), nil)); answer.Code != codec.CodeAccessAccept {
			t.Errorf("alice: %v", answer.Code)
		}

		// A client that is in a domain asks for users there.
		domains := &domain.Registry{Store: d.db, Now: d.Now}
		_, err = domains.Add(t.Context(), "north", domain.Root, "")
		d.must(err)
		_, err = domains.Put(t.Context(), "north", map[domain.Kind][]string{domain.RADIUSClients: {"gateway"}})
		d.must(err)
		for denied := false; !denied; {
			d.Pass(time.Minute)
			denied = w.ask(request(d, "alice", alice.code(0), nil)).Code == codec.CodeAccessReject
		}
		page, err = d.db.Events(t.Context(), audit.Filter{Object: "user:alice"})
		d.must(err)
		if e, err = audit.ParseRecord(page.Entries[len(page.Entries)-1].Record); err != nil || e.Reason != authentication.AgentRestricted {
			t.Errorf("the log says %+v, %v", e, err)
		}
	})
}

// What becomes of the domains a server reads with its clients, although these stay as they are.
func TestClientsFollowTheDomains(t *testing.T) {
	peertest.Need(t, "radclient")
	d := newDeployment(t, sqlite(t)).start()
	domains := &domain.Registry{Store: d.db, Now: d.Now}
	for _, name := range []string{"north", "coast"} {
		_, err := domains.Add(t.Context(), name, domain.Root, "")
		d.must(err)
	}
	alice := d.holder("alice", plain)
	_, err := domains.Put(t.Context(), "coast", map[domain.Kind][]string{domain.Users: {"alice"}})
	d.must(err)
	c := client("gateway")
	c.Restriction.UserDomain = "north"
	d.add(c)
	until := func(want string) {
		for got := ""; got != want; {
			d.Pass(time.Minute)
			got = d.radclient(d.at, login("alice", alice.code(0))...).code
		}
	}
	until("Access-Reject")
	_, err = domains.Edit(t.Context(), "coast", 0, func(d *domain.Domain) { d.Parent = "north" })
	d.must(err)
	until("Access-Accept")
	_, err = domains.Edit(t.Context(), "coast", 0, func(d *domain.Domain) { d.Parent = domain.Root })
	d.must(err)
	until("Access-Reject")
}
