package radius_test

import (
	"strings"
	"testing"
	"time"

	"layeh.com/radius/rfc2865"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// The attributes of a user take the place of all that the client has, for her and nobody else (spec/radius.md section 1).
func TestAcceptsCarryTheUsersAttributes(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url).start()
		d.add(client("gateway"))
		alice, bob := d.holder("alice", plain), d.holder("bob", plain)
		replies := &access.UserReplies{Store: d.db, Now: d.Now}
		w := d.wire(d.at)
		gets := func(h *holder, class, filter string) {
			t.Helper()
			p := w.ask(request(d, h.id, h.code(0), nil))
			if got := rfc2865.Class_GetString(p); got != class || rfc2865.FilterID_GetString(p) != filter {
				t.Errorf("%s gets class %q, filter %q", h.id, got, rfc2865.FilterID_GetString(p))
			}
		}
		d.must(replies.Set(t.Context(), "alice", []access.ReplyAttribute{{Name: "Class", Value: "OU=admins"}}))
		gets(alice, "OU=admins", "")
		gets(bob, "OU=staff", "vpn-users")
		d.must(replies.Set(t.Context(), "alice", nil))
		d.Pass(time.Minute)
		gets(alice, "OU=staff", "vpn-users")
	})
}

func TestRadclientSeesTheUsersAttributes(t *testing.T) {
	peertest.Need(t, "radclient")
	d := newDeployment(t, sqlite(t)).start()
	d.add(client("gateway"))
	alice := d.holder("alice", plain)
	d.must((&access.UserReplies{Store: d.db, Now: d.Now}).Set(t.Context(), "alice", []access.ReplyAttribute{{Name: "Framed-IP-Address", Value: "192.0.2.77"}}))
	r := d.radclient(d.at, login("alice", alice.code(0))...)
	if r.code != "Access-Accept" || !strings.Contains(r.whole, "Framed-IP-Address = 192.0.2.77") {
		t.Errorf("%+v", r)
	}
}
