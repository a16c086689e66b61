package server_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// Invariant 3 (spec/software-token-lifecycle.md section 17): one code at the same moment over RADIUS, the SecurID Authentication API and
// POST /v1/authenticate, at one server or at two on one database, succeeds once.
func TestInvariant03OneTokencodeSucceedsOnce(t *testing.T) {
	flags := []string{"--radius", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"}
	t.Run("SQLite", func(t *testing.T) { onceOverAll(t, start(t, folder(t), flags...)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		flags := append(flags, "--database", storetest.Postgres(t))
		first := start(t, folder(t), flags...)
		onceOverAll(t, first, start(t, folder(t), append(flags, "--master-key", filepath.Join(first.data, "master.key"))...))
	})
}

func onceOverAll(t *testing.T, servers ...*process) {
	const secret = "a secret of the gateway"
	admin := servers[0].admin()
	vpn, err := admin.AddRADIUSClient(t.Context(), client.NewRADIUSClient{RADIUSClient: "gateway", Address: "127.0.0.0/8", Secret: secret})
	must(t, vpn, err)
	agent := newGateway(t, servers...)
	for _, p := range servers { // a client that was added at one is known to the other within seconds
		p.radius(secret, "nobody", "00000000", nil)
	}
	ways := map[string]func(n int, user, code string) bool{
		"RADIUS": func(n int, user, code string) bool {
			return servers[n].radius(secret, user, code, nil).Code == radius.CodeAccessAccept
		},
		"agent": func(n int, user, code string) bool {
			return agent.send(n, "initialize", agent.passcode(nil, user, "SECURID", code)).AttemptResponseCode == "SUCCESS"
		},
		"API": func(n int, user, code string) bool {
			result, err := servers[n].admin().Authenticate(t.Context(), user, client.Secret(code))
			if err != nil {
				t.Error(err)
			}
			return result == "accepted"
		},
	}
	for round := range 3 {
		user := fmt.Sprint("user", round) // the copies lock her
		shown := tokenOf(t, admin, user, "none")(time.Now())
		var mu sync.Mutex
		var accepted []string
		var all sync.WaitGroup
		begin := make(chan struct{})
		for name, ask := range ways {
			for i := range 8 {
				all.Go(func() {
					<-begin
					if n := i % len(servers); ask(n, user, shown) {
						mu.Lock()
						defer mu.Unlock()
						accepted = append(accepted, fmt.Sprint(name, n))
					}
				})
			}
		}
		close(begin)
		all.Wait()
		if len(accepted) != 1 {
			t.Errorf("the code of %s was accepted over %v", user, accepted)
		}
	}
}
