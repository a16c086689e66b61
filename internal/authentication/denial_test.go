package authentication_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/token"
)

// A sample is how long answers took, as its mean and variance (Welford).
type sample struct{ n, mean, m2 float64 }

func (s *sample) add(x float64) {
	s.n++
	d := x - s.mean
	s.mean += d / s.n
	s.m2 += d * (x - s.mean)
}

// deviation is how many standard errors the means of two samples are apart (Welch).
func (s *sample) deviation(o *sample) float64 {
	return (s.mean - o.mean) / math.Sqrt(s.m2/(s.n-1)/s.n+o.m2/(o.n-1)/o.n)
}

// BenchmarkDenials measures in turn how long each kind of denial takes, and prints for each kind its mean and how many
// standard errors that is from the mean of a wrong tokencode: within 3 either way nobody tells them apart. Run it with
// -benchtime 10000x for 10,000 tries of each.
func BenchmarkDenials(b *testing.B) {
	d := newDeployment(b, b.TempDir()+"/test.db", token.Settings{Digits: 6, Interval: 30, PINType: fob.PINType})
	d.policy.Token.IncorrectBeforeNTC, d.policy.Lockout.Failures = 0, 0
	d.must(d.engine.SetPIN(b.Context(), serial, "8093", false))
	used := d.code(d.now)
	d.is(d.begin("8093"+used), authentication.Accepted, "")
	d.later(1)
	d.addUser("bob")
	d.must(d.db.Settle(b.Context(), authentication.Settlement{Guards: []authentication.Guard{{UserID: "bob", Own: authentication.Failures{Count: 5, LockedAt: d.now}}}}))
	kinds := []struct{ name, userID, passcode string }{
		{"wrong tokencode", "alice", "8093000000"},
		{"wrong PIN", "alice", "8094" + d.code(d.now)},
		{"used code", "alice", "8093" + used},
		{"unknown user", "nobody", "8093" + used},
		{"locked user", "bob", "8093" + used},
	}
	times := make([]sample, len(kinds))
	for range b.N {
		for i, k := range kinds {
			begin := time.Now()
			got, err := d.engine.Begin(b.Context(), authentication.Request{UserID: k.userID, Passcode: k.passcode, Source: vpn})
			times[i].add(float64(time.Since(begin).Microseconds()))
			if err != nil || got.Result != authentication.Denied {
				b.Fatal(k.name, got.Result, err)
			}
		}
	}
	if b.N < 100 {
		return
	}
	for i, k := range kinds {
		fmt.Printf("%-16s mean %7.1f µs, %+.2f standard errors from a wrong tokencode\n", k.name, times[i].mean, times[i].deviation(&times[0]))
	}
}
