package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

const benchTokens = 64

// fill stores tokens that users hold.
func fill(b *testing.B, db *DB) []string {
	b.Helper()
	var serials []string
	err := db.Transact(b.Context(), func(ctx context.Context) error {
		if err := db.AddDataKey(ctx, seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: benchTime}); err != nil {
			return err
		}
		if err := db.AddUser(ctx, user.User{ID: "u", Enabled: true, CreatedAt: benchTime, Version: 1}); err != nil {
			return err
		}
		for n := range benchTokens {
			t := token.Token{Serial: fmt.Sprintf("%012d", n), Origin: token.Generated, Expiry: benchTime, EffectiveExpiry: benchTime,
				UserID: "u", Enabled: true, LastNumber: 1, Distribution: token.Confirmed, CreatedAt: benchTime, Version: 1,
				Current: token.Generation{Number: 1, Sealed: seed.Sealed{KeyID: 1, Blob: make([]byte, 44)}, Fingerprint: fmt.Appendf(nil, "%032d", n),
					Settings: token.Factory, MadeAt: benchTime, Clock: token.Clock{LastInterval: token.Unused}}}
			if err := db.AddToken(ctx, t); err != nil {
				return err
			}
			serials = append(serials, t.Serial)
		}
		_, err := db.exec(ctx, "CREATE TABLE bare (serial TEXT PRIMARY KEY, last_interval BIGINT NOT NULL)")
		if err == nil {
			_, err = db.exec(ctx, "INSERT INTO bare SELECT serial, -1 FROM token")
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return serials
}

// BenchmarkAccept compares the acceptance of a code with a single-row conditional UPDATE of the same driver ("bare"), and shows
// what it costs with its event. PostgreSQL runs as storetest starts it: without waiting for the disk.
func BenchmarkAccept(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"SQLite": file, "PostgreSQL": storetest.Postgres} {
		db := opened(b, url(b))
		serials := fill(b, db)
		var interval atomic.Int64
		use := func(ctx context.Context, n int64) error {
			// The statement of Settle, without what it was read by: callers overtake each other here.
			_, err := db.exec(ctx, strings.Replace(settleUse, "last_interval = $9", "last_interval >= $9", 1), n, 0, 0, nil, "", serials[n%benchTokens], 1, 1, token.Unused)
			return err
		}
		for _, way := range []struct {
			name string
			do   func(ctx context.Context, n int64) error
		}{
			{"bare", func(ctx context.Context, n int64) error {
				_, err := db.write.ExecContext(ctx, "UPDATE bare SET last_interval = $1 WHERE serial = $2 AND last_interval < $1", n, serials[n%benchTokens])
				return err
			}},
			{"accept", func(ctx context.Context, n int64) error {
				return use(ctx, n)
			}},
			{"accept+event", func(ctx context.Context, n int64) error {
				return db.Transact(ctx, func(ctx context.Context) error {
					if err := use(ctx, n); err != nil {
						return err
					}
					return db.Record(ctx, audit.New(ctx, benchTime, "authn.success", "user:u", nil))
				})
			}},
		} {
			for _, callers := range []int{1, 8, 32} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", name, way.name, callers), func(b *testing.B) {
					crowd(b, callers, func() error { return way.do(b.Context(), interval.Add(1)) })
				})
			}
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
