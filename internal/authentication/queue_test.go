package authentication

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// A line is a queue whose groups can be kept from ending.
type line struct {
	t *testing.T
	queue
	atOnce int

	mu          sync.Mutex
	groups      [][]string      // users, in the order of their beginning
	free        chan struct{}   // whoever is slow waits for it
	slow        map[string]bool // users
	asked, told atomic.Int32
}

func (l *line) run(group []*job) {
	var users []string
	for _, j := range group {
		users = append(users, j.user)
	}
	l.mu.Lock()
	l.groups = append(l.groups, users)
	slow := slices.ContainsFunc(users, func(u string) bool { return l.slow[u] })
	l.mu.Unlock()
	if slow {
		<-l.free
	}
	tell(group)
}

func (l *line) ask(users ...string) {
	for _, user := range users {
		l.asked.Add(1)
		l.add(&job{ctx: l.t.Context(), user: user, tell: func() { l.told.Add(1) }}, l.atOnce, l.run)
	}
	synctest.Wait()
}

// began says which groups there were so far.
func (l *line) began(sizes ...int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var got []int
	for _, g := range l.groups {
		got = append(got, len(g))
	}
	if !slices.Equal(got, sizes) {
		l.t.Fatalf("groups of %v, want %v", got, sizes)
	}
}

func (l *line) atRest() {
	l.t.Helper()
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	if l.running != 0 || l.stalled != 0 || len(l.waiting) != 0 || len(l.held) != 0 || len(l.users) != 0 {
		l.t.Errorf("at rest: %d running, %d stalled, %d waiting, %d held, about %d users", l.running, l.stalled, len(l.waiting), len(l.held), len(l.users))
	}
	if l.told.Load() != l.asked.Load() {
		l.t.Errorf("%d were told of %d", l.told.Load(), l.asked.Load())
	}
}

// pass lets time pass by the clock of synctest, which goes on when all in its bubble wait: nobody waits in earnest, or for somebody else.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// inLine has a test use a line.
func inLine(t *testing.T, atOnce int, slow []string, test func(l *line)) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, atOnce: atOnce, free: make(chan struct{}), slow: map[string]bool{}}
		for _, u := range slow {
			l.slow[u] = true
		}
		test(l)
		l.atRest()
	})
}

func users(from, to int) (all []string) {
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

// A group that takes long does not keep those who come later waiting, up to a number of groups; one that does not, does:
// so groups are large.
func TestStalledGroups(t *testing.T) {
	inLine(t, 3, []string{"slow1", "slow2", "slow3", "slow4"}, func(l *line) {
		l.ask("slow1")
		l.ask("slow2", "b")
		l.began(1) // the others wait for it
		pass(stalled)
		l.began(1, 2) // and then go on together
		l.ask("slow3")
		pass(stalled)
		l.began(1, 2, 1)
		l.ask("slow4")
		pass(10 * stalled)
		l.began(1, 2, 1) // three are enough
		close(l.free)
		synctest.Wait()
		l.began(1, 2, 1, 1)
		l.ask("c")
		l.began(1, 2, 1, 1, 1)
	})
}

// Where enough wait, a second group is decided beside the first, and no third.
func TestSecondGroup(t *testing.T) {
	slow := users(0, 3*secondGroup)
	inLine(t, 4, slow, func(l *line) {
		l.ask("0")
		l.ask(users(1, secondGroup)...)
		l.began(1) // too few for a second
		l.ask(fmt.Sprint(secondGroup))
		l.began(1, secondGroup)
		l.ask(users(secondGroup+1, 3*secondGroup)...)
		l.began(1, secondGroup)
		close(l.free)
		synctest.Wait()
		l.began(1, secondGroup, 2*secondGroup-1)
	})
	inLine(t, 1, slow, func(l *line) { // a database with one writer
		l.ask("0")
		l.ask(users(1, 3*secondGroup)...)
		l.began(1)
		close(l.free)
		synctest.Wait()
		l.began(1, 3*secondGroup-1)
	})
}

// No two groups at a time are about the same user, whatever else they do.
func TestOneGroupForAUser(t *testing.T) {
	inLine(t, 4, []string{"alice"}, func(l *line) {
		l.ask("alice")
		l.ask(append([]string{"alice"}, users(0, secondGroup-1)...)...)
		l.began(1, secondGroup-1) // without her
		l.ask("alice", "bob")     // the second group is over
		l.began(1, secondGroup-1)
		pass(stalled)
		l.began(1, secondGroup-1, 1) // bob alone: her group is stalled, and she waits for it
		l.ask("alice", "carol")
		l.began(1, secondGroup-1, 1, 1)
		close(l.free)
		synctest.Wait()
		l.began(1, secondGroup-1, 1, 1, 3)
		if last := l.groups[4]; !slices.Equal(last, []string{"alice", "alice", "alice"}) {
			l.t.Errorf("in the end %v", last)
		}
	})
}

// hanging is a database that does not answer.
type hanging struct{ Store }

func (hanging) Gather(ctx context.Context, _ Wanted) (Gathered, error) {
	<-ctx.Done()
	return Gathered{}, ctx.Err()
}

// Where a database does not answer, everybody is told so after the time of one group, and not one after the other.
func TestHangingDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{Store: hanging{}, Groups: 4, Now: time.Now}
		begin, told := time.Now(), atomic.Int32{}
		for _, user := range users(0, 21) {
			e.Submit(t.Context(), time.Second, Request{UserID: user, Passcode: "1"}, func(d Decision, err error) {
				if d.Result != "" || fault.CodeOf(err) != fault.Unavailable {
					t.Errorf("%q, %v", d.Result, err)
				}
				told.Add(1)
			})
		}
		pass(patience + time.Second)
		if told.Load() != 21 {
			t.Errorf("%d were told after %s", told.Load(), time.Since(begin))
		}
	})
}

// hung are policies that nobody can read in the time that there is for it.
type hung int

func (h *hung) Current(context.Context) (*policy.Tree, error) {
	*h++
	return nil, fmt.Errorf("policies: %w", context.DeadlineExceeded)
}

// What is waited for in vain, for however short a time, is no fault of one request: those of a group do not wait for it one after the other.
func TestAGroupWaitsOnce(t *testing.T) {
	var told sync.WaitGroup
	policies := hung(0)
	jobs := make([]*job, 5)
	for i := range jobs {
		told.Add(1)
		jobs[i] = &job{ctx: t.Context(), user: fmt.Sprint("user ", i), tell: told.Done}
	}
	(&Engine{Policies: &policies, Groups: 2}).settle(jobs)
	told.Wait()
	for _, j := range jobs {
		if fault.CodeOf(j.err) != fault.Unavailable {
			t.Errorf("%s: %v", j.user, j.err)
		}
	}
	if policies != 1 {
		t.Errorf("waited %d times", policies)
	}
}
