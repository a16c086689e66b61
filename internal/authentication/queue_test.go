package authentication

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A group that takes long does not keep those who come later waiting, up to a number of groups; one that does not, does:
// so groups are large.
func TestStalledGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		free := make(chan struct{})
		var mu sync.Mutex
		var sizes []int
		run := func(group []*job) {
			mu.Lock()
			sizes = append(sizes, len(group))
			mu.Unlock()
			if group[0].user == "slow" {
				<-free
			}
			tell(group)
		}
		asked, told := 0, atomic.Int32{}
		ask := func(user string) {
			asked++
			q.add(&job{ctx: t.Context(), user: user, tell: func() { told.Add(1) }}, 3, run)
			synctest.Wait()
		}
		groups := func(want ...int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(sizes, want) {
				t.Fatalf("groups of %v, want %v", sizes, want)
			}
		}
		ask("slow")
		ask("slow")
		ask("b")
		groups(1) // the others wait for it
		time.Sleep(stalled)
		synctest.Wait()
		groups(1, 2) // and then go on together
		ask("slow")
		time.Sleep(stalled)
		synctest.Wait()
		groups(1, 2, 1)
		ask("slow")
		time.Sleep(10 * stalled)
		synctest.Wait()
		groups(1, 2, 1) // three are enough
		close(free)
		synctest.Wait()
		groups(1, 2, 1, 1)
		ask("c")
		groups(1, 2, 1, 1, 1)
		if int(told.Load()) != asked {
			t.Errorf("%d were told of %d", told.Load(), asked)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.running != 0 || q.stalled != 0 || len(q.waiting) != 0 {
			t.Errorf("at rest: %d running, %d stalled, %d waiting", q.running, q.stalled, len(q.waiting))
		}
	})
}
