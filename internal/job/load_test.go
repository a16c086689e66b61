package job_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/user"
)

// many is more than two transactions store.
const many = 2*job.ItemsAtOnce + 300

// large is a server with a kind of job that sees that each item has the input that belongs to it.
func large(t *testing.T, url string) *server {
	s := newServer(t, url, deploytest.Master(t))
	s.jobs.Register(job.Worker{Kind: "see", Chunk: job.ItemsAtOnce, Do: func(_ context.Context, c job.Chunk) ([]job.Outcome, error) {
		done := make([]job.Outcome, len(c.Items))
		for i, item := range c.Items {
			if item.Key != fmt.Sprint("key ", item.Number) || string(item.Input) != fmt.Sprint("input ", item.Number) {
				done[i].Err = fault.New(fault.Invalid, "item %d is %s with %s", item.Number, item.Key, item.Input)
			}
		}
		return done, nil
	}})
	return s
}

// lot is an order of that many items; before is called before each of them, and its error is theirs.
func lot(n int, before func(number int) error) job.Order {
	return job.Order{Kind: "see", Name: "a lot", Parameters: []byte("parameters"), Items: func(yield func(job.NewItem, error) bool) {
		for i := range n {
			err := before(i + 1)
			if !yield(job.NewItem{Key: fmt.Sprint("key ", i+1), Input: fmt.Append(nil, "input ", i+1)}, err) || err != nil {
				return
			}
		}
	}}
}

// at is what happens before one of the items.
func at(number int, do func() error) func(int) error {
	return func(n int) error {
		if n != number {
			return nil
		}
		return do()
	}
}

// nothing is left of a job.
func (s *server) nothing(id string) {
	s.Helper()
	if _, err := s.db.Job(s.ctx, id); !errors.Is(err, fault.JobNotFound) {
		s.Errorf("the job is there, or: %v", err)
	}
	if items, err := s.db.JobItems(s.ctx, id, job.ItemFilter{}); err != nil || len(items) != 0 {
		s.Errorf("%d items are left, %v", len(items), err)
	}
}

// While items of a job are read, others write: they do not wait until the last one is stored. Nothing of the job is done before.
func TestOthersWriteWhileAJobIsLoaded(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := large(t, url)
		for _, n := range []int{job.ItemsAtOnce, many} {
			name := fmt.Sprint("a lot of ", n)
			order := lot(n, at(n-10, func() error {
				ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second) // before, it waited for ever
				defer cancel()
				if _, err := s.users.Add(ctx, user.User{ID: fmt.Sprint("meanwhile-", n)}); err != nil {
					return err
				}
				if err := errors.Join(s.jobs.CleanUp(ctx), s.jobs.RunAll(ctx)); err != nil {
					return err
				}
				if n == job.ItemsAtOnce { // all of it is stored at once
					if _, err := s.jobs.Show(ctx, name); !errors.Is(err, fault.JobNotFound) {
						t.Errorf("a small job is there before it is started: %v", err)
					}
					return nil
				}
				j, err := s.jobs.Show(ctx, name)
				if err != nil || j.State != job.Loading || j.Total != 2*job.ItemsAtOnce || j.Done != 0 || j.State.Over() {
					t.Errorf("while it is loaded: %+v, %v", j, err)
				}
				if _, err := s.jobs.Approve(s.as("key:other", "other"), j.ID); !errors.Is(err, fault.NotAwaiting) {
					t.Errorf("approved while it is loaded: %v", err)
				}
				if j, err := s.jobs.Resume(ctx, j.ID, true); err != nil || j.State != job.Loading {
					t.Errorf("resumed while it is loaded: %+v, %v", j, err)
				}
				if listed, err := s.jobs.List(ctx, job.Filter{State: job.Loading}); err != nil || len(listed) != 1 {
					t.Errorf("listed: %+v, %v", listed, err)
				}
				return nil
			}))
			order.Name = name
			j := s.start(order)
			if j.State != job.Queued || j.Total != n || !j.LoadingUntil.IsZero() {
				t.Errorf("started %+v", j)
			}
			if kept, err := s.jobs.Show(s.ctx, j.ID); err != nil || kept.State != job.Queued || kept.Total != n || !kept.LoadingUntil.IsZero() {
				t.Errorf("kept %+v, %v", kept, err)
			}
			s.must(s.jobs.RunAll(s.ctx))
			if j := s.ended(j.ID, job.Done); j.Done != n {
				t.Errorf("done: %+v", j)
			}
			items, err := s.jobs.Items(s.ctx, j.ID, job.ItemFilter{})
			s.must(err)
			if len(items) != n || items[n-1].Number != n || items[n-1].Key != fmt.Sprint("key ", n) {
				t.Errorf("%d items, the last is %+v", len(items), items[len(items)-1])
			}
			s.audited(j.ID, "job.create", "job.start", "job.end")
			again := lot(n, nobody)
			again.Name = name
			if _, err := s.jobs.Start(s.ctx, again); !errors.Is(err, fault.JobNameTaken) {
				t.Errorf("its name was given again: %v", err)
			}
		}
	})
}

// Nothing is left of a job that is not started: a file that is broken in its middle, a caller who leaves, a start that others refuse.
func TestNothingIsLeftOfAJobThatIsNotStarted(t *testing.T) {
	broken := errors.New("broken")
	deploytest.Each(t, func(t *testing.T, url string) {
		s := large(t, url)
		for _, n := range []int{1, job.ItemsAtOnce, job.ItemsAtOnce + 1, many} {
			j, err := s.jobs.Start(s.ctx, lot(n, at(n, func() error { return broken })))
			if !errors.Is(err, broken) {
				t.Errorf("broken at %d: %v", n, err)
			}
			s.nothing(j.ID)
			ctx, leave := context.WithCancel(s.ctx)
			j, err = s.jobs.Start(ctx, lot(n, at(n, func() error { leave(); return nil })))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("left at %d: %v", n, err)
			}
			s.nothing(j.ID)
			j, err = s.jobs.Start(job.Along(s.ctx, func(context.Context, job.Job) error { return broken }), lot(n, nobody))
			if !errors.Is(err, broken) {
				t.Errorf("refused after %d: %v", n, err)
			}
			s.nothing(j.ID)
			err = s.db.Transact(s.ctx, func(ctx context.Context) error {
				if j, err = s.jobs.Start(ctx, lot(n, nobody)); err != nil || j.State != job.Queued {
					t.Errorf("in a transaction: %+v, %v", j, err)
				}
				return broken
			})
			if !errors.Is(err, broken) {
				t.Errorf("a transaction of a caller: %v", err)
			}
			s.nothing(j.ID)
		}
		for _, e := range s.events() {
			if strings.HasPrefix(e.Action, "job.") {
				t.Errorf("event %s", e.Action)
			}
		}
		s.must(s.db.Transact(s.ctx, func(ctx context.Context) error {
			_, err := s.jobs.Start(ctx, lot(many, nobody))
			return err
		}))
		s.must(s.jobs.RunAll(s.ctx))
		if j := s.ended("a lot", job.Done); j.Done != many {
			t.Errorf("done: %+v", j)
		}
	})
}

func nobody(int) error { return nil }

// A dead server removes nothing: it was killed.
type dead struct{ job.Store }

func (dead) DropLoading(context.Context, string) error { return nil }

// What a server that was killed has left of a job is removed when its lease is over, and by whoever takes its name; another server's that lives stays.
func TestAbandonedJobIsRemoved(t *testing.T) {
	killed := errors.New("killed")
	deploytest.Each(t, func(t *testing.T, url string) {
		s := large(t, url)
		abandon := func() (id string) {
			s.jobs.Store = dead{s.db}
			j, err := s.jobs.Start(s.ctx, lot(many, at(many, func() error { return killed })))
			if !errors.Is(err, killed) {
				t.Fatal(err)
			}
			s.jobs.Store = s.db
			s.ended(j.ID, job.Loading)
			return j.ID
		}
		first := abandon()
		s.must(s.jobs.CleanUp(s.ctx))
		if j := s.ended(first, job.Loading); j.Total != 2*job.ItemsAtOnce || !j.LoadingUntil.After(s.Now()) {
			t.Errorf("left: %+v", j)
		}
		s.Pass(time.Minute)
		s.must(s.jobs.CleanUp(s.ctx))
		s.nothing(first)

		second := abandon()
		s.Pass(time.Minute)
		third := s.start(lot(1, nobody))
		s.nothing(second)
		s.ended(third.ID, job.Queued)

		order := lot(many, at(many, func() error { return killed }))
		order.Name = "alone"
		s.jobs.Store = dead{s.db}
		j, err := s.jobs.Start(s.ctx, order)
		if !errors.Is(err, killed) {
			t.Fatal(err)
		}
		s.jobs.Store = s.db
		s.must(s.jobs.Abandon(s.ctx)) // the server starts again, and has the database for itself
		s.must(s.jobs.CleanUp(s.ctx))
		s.nothing(j.ID)

		// Items that come slowly are no sign of death.
		order = lot(5*60, func(number int) error {
			if number%60 == 0 {
				s.Pass(20 * time.Second)
			}
			return s.jobs.CleanUp(s.ctx)
		})
		order.Name, order.Total = "slow", many
		if j := s.start(order); j.Total != 300 {
			t.Errorf("started %+v", j)
		}
	})
}

// Whoever is taken for dead, and goes on all the same, stores nothing more.
func TestLateServerStartsNothing(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := large(t, url)
		for _, number := range []int{job.ItemsAtOnce + 7, many} { // with more to store, and with the start only
			j, err := s.jobs.Start(s.ctx, lot(many, at(number, func() error {
				_, err := s.db.DropAbandoned(s.ctx, s.Now().Add(time.Hour))
				return err
			})))
			if !errors.Is(err, fault.JobOver) {
				t.Errorf("started after item %d: %+v, %v", number, j, err)
			}
			s.nothing(j.ID)
		}
	})
}

// A job can be cancelled while it is loaded. It does not go on, and its inputs are destroyed as those of others.
func TestCancelWhileLoading(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := large(t, url)
		j, err := s.jobs.Start(s.ctx, lot(many, at(many, func() error {
			_, err := s.jobs.Cancel(s.ctx, "a lot")
			return err
		})))
		if !errors.Is(err, fault.JobOver) {
			t.Errorf("started %+v, %v", j, err)
		}
		ended := s.ended(j.ID, job.Cancelled)
		if ended.Total != 2*job.ItemsAtOnce || ended.Message == "" || !ended.ResultsUntil.Equal(ended.EndedAt) {
			t.Errorf("cancelled: %+v", ended)
		}
		if _, err := s.jobs.Resume(s.ctx, j.ID, false); !errors.Is(err, fault.JobExpired) {
			t.Errorf("resumed: %v", err)
		}
		s.must(s.jobs.CleanUp(s.ctx))
		items, err := s.jobs.Items(s.ctx, j.ID, job.ItemFilter{})
		s.must(err)
		if left := slices.ContainsFunc(items, func(r job.Row) bool { return len(r.Input.Blob) > 0 }); left || len(items) != ended.Total {
			t.Errorf("of %d items, inputs are left: %t", len(items), left)
		}
	})
}

// Who asks for a job of a name that is being loaded learns what becomes of that one.
func TestOneNameIsLoadedOnce(t *testing.T) {
	broken := errors.New("broken")
	deploytest.Each(t, func(t *testing.T, url string) {
		s := large(t, url)
		for name, fails := range map[string]error{"good": nil, "broken": broken} {
			var second job.Job
			var refused error
			var all sync.WaitGroup
			asked := make(chan struct{})
			other := lot(2, at(2, func() error { close(asked); return nil }))
			order := lot(many, at(many, func() error {
				all.Go(func() { second, refused = s.jobs.Start(s.ctx, other) })
				<-asked
				return fails
			}))
			order.Name, other.Name = name, name
			_, err := s.jobs.Start(s.ctx, order)
			all.Wait()
			if !errors.Is(err, fails) {
				t.Errorf("the first: %v", err)
			}
			if fails == nil && !errors.Is(refused, fault.JobNameTaken) || fails != nil && (refused != nil || second.State != job.Queued) {
				t.Errorf("the second one beside a %s one: %+v, %v", name, second, refused)
			}
		}
	})
}

// A large job that has to be approved waits for that once all of it is there, and is told of once.
func TestLargeJobAwaitsApproval(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := foureyes(t, url)
		asked := 0
		s.jobs.Asked = func(_ context.Context, j job.Job) error {
			asked++
			if j.Total != many {
				t.Errorf("asked about %+v", j)
			}
			return nil
		}
		order := lot(many, nobody)
		order.Kind = "add"
		if j := s.start(order); j.State != job.AwaitingApproval || asked != 1 || j.ApproveUntil.IsZero() {
			t.Errorf("started %+v, asked %d times", j, asked)
		}
		s.must(s.jobs.RunAll(s.ctx))
		s.ended("a lot", job.AwaitingApproval)
		if j, err := s.jobs.Approve(s.as("key:other", "other"), "a lot"); err != nil || j.State != job.Queued {
			t.Errorf("approved: %+v, %v", j, err)
		}
	})
}
