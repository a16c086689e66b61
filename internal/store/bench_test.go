package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

const benchTokens = 64

// fill stores users, and tokens that they hold in turn.
func fill(b testing.TB, db *DB, users int) []string {
	b.Helper()
	var serials []string
	err := db.Transact(b.Context(), func(ctx context.Context) error {
		if err := db.AddDataKey(ctx, seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: benchTime}); err != nil {
			return err
		}
		for n := range users {
			if err := db.AddUser(ctx, user.User{ID: benchUser(n), Enabled: true, CreatedAt: benchTime, Version: 1}); err != nil {
				return err
			}
		}
		for n := range benchTokens {
			t := token.Token{Serial: fmt.Sprintf("%012d", n), Origin: token.Generated, Expiry: benchTime, EffectiveExpiry: benchTime,
				UserID: benchUser(n % users), Enabled: true, LastNumber: 1, Distribution: token.Confirmed, CreatedAt: benchTime, Version: 1,
				Current: token.Generation{Number: 1, Sealed: seed.Sealed{KeyID: 1, Blob: make([]byte, 44)}, Fingerprint: fmt.Appendf(nil, "%032d", n),
					Settings: token.Factory, MadeAt: benchTime, Clock: token.Clock{LastInterval: token.Unused}}}
			if err := db.AddToken(ctx, t); err != nil {
				return err
			}
			serials = append(serials, t.Serial)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return serials
}

func benchUser(n int) string { return fmt.Sprintf("user-%d", n) }

// BenchmarkGather holds what it costs to read the users and tokens that a group of decisions is about.
func BenchmarkGather(b *testing.B) {
	for name, url := range databases {
		b.Run(name, func(b *testing.B) {
			db := opened(b, url(b))
			fill(b, db, benchTokens)
			var wanted authentication.Wanted
			for n := range benchTokens {
				wanted.Users = append(wanted.Users, benchUser(n))
			}
			b.ReportAllocs()
			for b.Loop() {
				if found, err := db.Gather(b.Context(), wanted); err != nil || len(found.Subjects) != benchTokens {
					b.Fatal(len(found.Subjects), err)
				}
			}
		})
	}
}

// BenchmarkSettle holds what a group of decisions costs, with its events, against single-row updates of the same database, each
// in a transaction of its own ("bare"). PostgreSQL runs as storetest starts it: without waiting for the disk.
func BenchmarkSettle(b *testing.B) {
	for name, url := range databases {
		b.Run(name+"/bare", func(b *testing.B) {
			bare, err := OpenBare(b.Context(), Options{URL: url(b)}, benchTokens, 8)
			if err != nil {
				b.Fatal(err)
			}
			defer bare.Close()
			b.ResetTimer()
			var counter atomic.Int64
			crowd(b, 8, func() error {
				n := counter.Add(1)
				if err := bare.Use(b.Context(), n%benchTokens, n); fault.CodeOf(err) != fault.Conflict {
					return err
				}
				return nil // another caller was faster
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		for _, size := range []int{1, 8, benchTokens} {
			b.Run(fmt.Sprintf("%s/group=%d", name, size), func(b *testing.B) {
				db := opened(b, url(b))
				serials := fill(b, db, benchTokens)
				last := token.Unused
				b.ResetTimer()
				for n := range b.N {
					var s authentication.Settlement
					var events []audit.Event
					for i := range size {
						s.Uses = append(s.Uses, authentication.Use{Serial: serials[i], Number: 1, Version: 1,
							Before: token.Clock{LastInterval: last}, After: token.Clock{LastInterval: int64(n), LastUsedAt: benchTime, LastAgent: "radius:vpn"}})
						events = append(events, audit.New(b.Context(), benchTime, "authn.success", "user:u", nil))
					}
					err := db.Transact(b.Context(), func(ctx context.Context) error {
						return errors.Join(db.Settle(ctx, s), db.RecordAll(ctx, events))
					})
					if err != nil {
						b.Fatal(err)
					}
					last = int64(n)
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// crowd shares the iterations of a benchmark among callers.
func crowd(b *testing.B, callers int, do func() error) {
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

var benchTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
