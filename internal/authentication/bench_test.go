package authentication_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

// A population is many users with a token each.
type population struct {
	engine  *authentication.Engine
	now     atomic.Int64 // Unix seconds
	secrets []seed.Seed
	next    atomic.Int64
}

const crowdSize = 4000

func populate(b *testing.B, url string) *population {
	b.Helper()
	p := &population{secrets: make([]seed.Seed, crowdSize)}
	start := time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC)
	p.now.Store(start.Unix())
	clock := func() time.Time { return time.Unix(p.now.Load(), 0).UTC() }
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	db, keys := deploytest.New(b, url, clock)
	must(db.Transact(b.Context(), func(ctx context.Context) error {
		for i := range crowdSize {
			p.secrets[i] = seed.Generate()
			id, serial := fmt.Sprintf("user%06d", i), fmt.Sprintf("%012d", i)
			must(db.AddUser(ctx, user.User{ID: id, Enabled: true, CreatedAt: start, Version: 1}))
			g, err := token.NewGeneration(keys, serial, 1, p.secrets[i], plain, start)
			must(err)
			t := token.Token{Serial: serial, Origin: token.Generated, Expiry: start.AddDate(5, 0, 0), EffectiveExpiry: start.AddDate(5, 0, 0),
				Current: g, LastNumber: 1, Distribution: token.Confirmed, CreatedAt: start, Version: 1}
			must(t.Assign(id, "bench", start))
			must(db.AddToken(ctx, t))
		}
		return nil
	}))
	p.engine = &authentication.Engine{Store: db, Groups: db.Writers(), Keys: keys, Now: clock}
	return p
}

// check has the next user succeed. Each round of the users is an interval later.
func (p *population) check(ctx context.Context) error {
	n := p.next.Add(1) - 1
	i, round := n%crowdSize, n/crowdSize
	at := time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC).Add(time.Duration(round) * time.Minute)
	if i == 0 {
		p.now.Store(at.Unix())
	}
	raw := p.secrets[i].Reveal()
	code, err := securid.Code(raw, fmt.Sprintf("%012d", i), plain.Digits, plain.Interval, at)
	if err != nil {
		return err
	}
	d, err := p.engine.Begin(ctx, authentication.Request{UserID: fmt.Sprintf("user%06d", i), Passcode: code, Source: vpn, Dialogue: true})
	if err == nil && d.Result != authentication.Accepted {
		return fmt.Errorf("user %d at %v: %s", i, at, d.Result)
	}
	return err
}

// BenchmarkBegin decides right passcodes, each with its event and a durable commit. PostgreSQL runs as storetest starts
// it: without waiting for the disk.
func BenchmarkBegin(b *testing.B) {
	for name, url := range deploytest.Databases {
		p := populate(b, url(b))
		for _, callers := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				var all sync.WaitGroup
				var left atomic.Int64
				left.Store(int64(b.N))
				for range callers {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := p.check(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
			})
		}
	}
}
