package bench

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/store"
)

// baseline is how many single rows a second the bare database changes for as many callers as the load has, 0 if the plan leaves it
// out. Counters are above first, which is above those of an earlier call.
func baseline(ctx context.Context, p *Plan, b *store.Bare, first int64) (perSecond float64, err error) {
	if p.Baseline == 0 {
		return 0, nil
	}
	p.Progress("measuring the bare database with %d connections", p.Clients)
	var done, counter atomic.Int64
	counter.Store(first)
	failed := make(chan error, p.Clients)
	begin := time.Now()
	end := begin.Add(p.Baseline)
	var all sync.WaitGroup
	for range p.Clients {
		all.Go(func() {
			for time.Now().Before(end) {
				// Two callers may meet at a row in the other order: the update finds nothing to do then, and is not counted.
				n := counter.Add(1)
				switch err := b.Use(ctx, rand.Int64N(int64(p.Tokens)), n); { //nolint:gosec // which row is next is no secret
				case err == nil:
					done.Add(1)
				case !isConflict(err):
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(done.Load()) / time.Since(begin).Seconds(), nil
	}
}
