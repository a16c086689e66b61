package server_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/securid"
)

// Of 64 checks of one code at the same moment one is accepted: on one server, and over two servers on one database.
func TestOneOf64IsAccepted(t *testing.T) { oneAndTwo(t, oneOf64) }

// oneAndTwo runs a test on one server with SQLite, and on two that share a PostgreSQL database.
func oneAndTwo(t *testing.T, test func(t *testing.T, servers ...*process)) {
	t.Run("SQLite", func(t *testing.T) { test(t, start(t, folder(t))) })
	t.Run("PostgreSQL", func(t *testing.T) {
		first, second := pair(t, storetest.Postgres(t))
		test(t, first, second)
	})
}

// pair starts two servers on one database.
func pair(t *testing.T, database string) (first, second *process) {
	t.Helper()
	first = start(t, folder(t), "--database", database)
	return first, start(t, folder(t), "--database", database, "--master-key", filepath.Join(first.data, "master.key"))
}

func oneOf64(t *testing.T, servers ...*process) {
	admin := servers[0].admin()
	_, err := admin.AddProfile(t.Context(), client.NewProfile{Profile: "string", DeviceType: "generic", DeliveryMethod: "ctf", PINType: "none"})
	must(t, 0, err)
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		userID := fmt.Sprintf("user%d", round)
		_, err := admin.AddUser(t.Context(), client.NewUser{UserID: userID})
		must(t, 0, err)
		_, err = admin.CreateTokens(t.Context(), client.NewTokens{Count: 1})
		must(t, 0, err)
		token, err := admin.AssignNext(t.Context(), userID)
		serial := must(t, token, err).Serial
		issue, err := admin.Distribute(t.Context(), serial, client.Distribution{Profile: "string"})
		text, err := ctf.Parse(must(t, issue, err).Delivery.CTF)
		held, err := must(t, text, err).Open("", "")
		must(t, held, err)
		now := time.Now()
		// The first code also confirms the delivery, which changes the token; the second is that of the next interval.
		for _, at := range []time.Time{now, now.Add(time.Duration(held.Interval) * time.Second)} {
			code, err := securid.Code(held.Seed, serial, held.Digits, held.Interval, at)
			results := crowd(t, 64, servers, userID, must(t, code, err))
			if results["accepted"] != 1 || results["denied"] != 63 {
				t.Errorf("%s: %v", userID, results)
			}
		}
	}
}

// crowd has a code checked n times at once, on the servers in turn, and counts the results.
func crowd(t *testing.T, n int, servers []*process, userID, code string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	results := map[string]int{}
	begin := make(chan struct{})
	var ready, all sync.WaitGroup
	for i := range n {
		c := servers[i%len(servers)].admin()
		ready.Add(1)
		all.Go(func() {
			ready.Done()
			<-begin
			result, err := c.Authenticate(t.Context(), userID, client.Secret(code))
			if err != nil {
				result = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			results[result]++
		})
	}
	ready.Wait()
	close(begin)
	all.Wait()
	return results
}
