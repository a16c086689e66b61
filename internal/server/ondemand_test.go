package server_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

var mailedCode = regexp.MustCompile(`code for signing in is ([0-9]{8})\.`)

// A code that one server has sent by mail is typed at another, over RADIUS, and works once.
func TestCodesOnDemandOverTwoServers(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: two servers that wait for mail")
	}
	const secret = "a secret of the gateway"
	database, post := storetest.Postgres(t), openPostOffice(t)
	first := start(t, folder(t), "--database", database, "--radius", "127.0.0.1:0")
	second := start(t, folder(t), "--database", database, "--radius", "127.0.0.1:0", "--master-key", filepath.Join(first.data, "master.key"))
	mails(t, first, post.port)
	c, on := first.admin(), true
	p, err := c.EditTokenPolicy(t.Context(), 0, client.TokenPolicyEdit{OnDemand: &on})
	must(t, p, err)
	u, err := c.AddUser(t.Context(), client.NewUser{UserID: "alice", Name: "Alice", Mail: "alice@example.com"})
	must(t, u, err)
	must(t, 0, c.SetOnDemand(t.Context(), "alice", client.PIN{PIN: "481093"}))
	g, err := c.AddRADIUSClient(t.Context(), client.NewRADIUSClient{RADIUSClient: "gateway", Address: "127.0.0.1", Secret: secret})
	must(t, g, err)
	asks := func(at *process, passcode string, state []byte, want radius.Code) []byte {
		t.Helper()
		got := at.radius(secret, "alice", passcode, state)
		if got.Code != want {
			t.Errorf("%v, want %v", got.Code, want)
		}
		return got.Get(rfc2865.State_Type)
	}
	sent := func(n int) string {
		t.Helper()
		poll(t, "the code to arrive", func() bool { return post.arrived() == n })
		post.mu.Lock()
		defer post.mu.Unlock()
		newest := slices.Max(slices.Collect(maps.Keys(post.text))) // by the ID, which begins with the time
		return mailedCode.FindStringSubmatch(post.text[newest])[1]
	}
	poll(t, "both servers to know the gateway and the policy", func() bool {
		return second.radius(secret, "alice", "000000", nil).Code == radius.CodeAccessReject
	})
	must(t, 0, c.Unlock(t.Context(), "alice"))

	state := asks(first, "481093", nil, radius.CodeAccessChallenge)
	code := sent(1)
	asks(second, code, state, radius.CodeAccessAccept)
	asks(first, "481093"+code, nil, radius.CodeAccessReject)
	asks(second, "481093", nil, radius.CodeAccessChallenge) // the dialogue is dropped, and the code comes later
	asks(first, "481093"+sent(2), nil, radius.CodeAccessAccept)

	message, err := c.MailMessages(t.Context(), client.MailFilter{UserID: "alice"})
	for _, m := range must(t, message, err).Messages {
		if m.Event != "on_demand_code" || m.To != "alice@example.com" {
			t.Errorf("message %+v", m)
		}
	}
}
