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

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/user"
)

// A server is one of those that share a deployment. Its kind of job adds users: what is done twice fails.
type server struct {
	*testing.T
	*deploytest.Clock
	ctx   context.Context
	db    *store.DB
	keys  *seed.Keyring
	jobs  *job.Registry
	users *user.Registry
}

func newServer(t *testing.T, url string, m seed.Master) *server {
	t.Helper()
	db := deploytest.Open(t, url)
	clock := deploytest.NewClock(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC))
	keys := deploytest.Keyring(t, db, m, clock.Now)
	s := &server{T: t, Clock: clock, db: db, keys: keys, users: &user.Registry{Store: db, Now: clock.Now}}
	s.ctx = audit.WithActor(t.Context(), audit.Actor{Name: "key:bulk", Role: "token_admin"})
	s.jobs = &job.Registry{Store: db, Keys: keys, Now: clock.Now}
	s.jobs.Register(job.Worker{Kind: "add", Right: "manage_users", Chunk: 7, Do: s.add})
	return s
}

// add adds the users that items name. One whose name is bad is refused; the result is the job's parameters and the item's input.
func (s *server) add(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	done := make([]job.Outcome, len(c.Items))
	for i, item := range c.Items {
		if _, err := s.users.Add(ctx, user.User{ID: item.Key}); err != nil {
			return nil, err
		}
		done[i].Result = []byte(string(c.Parameters) + " " + string(item.Input))
	}
	return done, nil
}

func (s *server) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *server) start(o job.Order) job.Job {
	s.Helper()
	j, err := s.jobs.Start(s.ctx, o)
	s.must(err)
	return j
}

// ended is a job that is over in a state.
func (s *server) ended(id string, want job.State) job.Job {
	s.Helper()
	j, err := s.jobs.Show(s.ctx, id)
	s.must(err)
	if j.State != want {
		s.Errorf("the job is %s, not %s: %+v", j.State, want, j)
	}
	return j
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("user-%04d", i)
	}
	return all
}

func TestJobDoesEveryItemOnce(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, deploytest.Master(t))
		keys := names(30)
		keys[11] = " bad"
		j := s.start(job.Order{Kind: "add", Name: "all of them", Parameters: []byte("common"), Items: func(yield func(job.NewItem, error) bool) {
			for i, key := range keys {
				if !yield(job.NewItem{Key: key, Input: fmt.Appendf(nil, "own %d", i)}, nil) {
					return
				}
			}
		}})
		if j.State != job.Queued || j.Total != 30 || j.By.Name != "key:bulk" {
			t.Errorf("started %+v", j)
		}
		s.must(s.jobs.RunAll(s.ctx))
		j = s.ended(j.ID, job.DoneWithErrors)
		if j.Done != 29 || j.Failed != 1 || j.Waiting() != 0 || j.EndedAt.IsZero() || !j.ResultsUntil.Equal(s.Now().Add(24*time.Hour)) {
			t.Errorf("ended as %+v", j)
		}
		failed, err := s.jobs.Items(s.ctx, j.ID, job.ItemFilter{State: job.ItemFailed})
		s.must(err)
		if len(failed) != 1 || failed[0].Number != 12 || failed[0].Code != fault.UserInvalid || failed[0].Message == "" {
			t.Errorf("failed: %+v", failed)
		}
		n := 0
		for result, err := range s.jobs.Results(s.ctx, j.ID) {
			s.must(err)
			n++
			if want := fmt.Sprintf("common own %d", result.Number-1); string(result.Input) != want || result.Key != keys[result.Number-1] {
				t.Errorf("result %d of %s is %q", result.Number, result.Key, result.Input)
			}
		}
		if n != 29 {
			t.Errorf("%d results", n)
		}
		s.audited(j.ID, "job.create", "job.start", "user.add", "job.end")
		for _, again := range []bool{false, true} {
			if _, err := s.jobs.Resume(s.ctx, j.ID, again); err != nil {
				t.Error(err)
			}
		}
		s.must(s.jobs.RunAll(s.ctx))
		if j := s.ended("all of them", job.DoneWithErrors); j.Done != 29 || j.Failed != 1 {
			t.Errorf("after another try: %+v", j)
		}
	})
}

func (s *server) events() []audit.Event {
	page, err := s.db.Events(s.ctx, audit.Filter{Limit: 1000})
	s.must(err)
	all := make([]audit.Event, len(page.Entries))
	for i, entry := range page.Entries {
		all[i], err = audit.ParseRecord(entry.Record)
		s.must(err)
	}
	return all
}

// audited looks for events under the correlation ID of a job, by the one who started it.
func (s *server) audited(id string, actions ...string) {
	s.Helper()
	found := map[string]bool{}
	for _, e := range s.events() {
		if e.Correlation == id {
			found[e.Action] = true
			if e.Actor.Name != "key:bulk" {
				s.Errorf("%s was done by %s", e.Action, e.Actor.Name)
			}
		}
	}
	for _, a := range actions {
		if !found[a] {
			s.Errorf("there is no event %s of the job", a)
		}
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	s.start(job.Order{Kind: "add", Name: "taken", Items: job.Keys(nil)})
	s.ended("taken", job.Done)
	for _, x := range []struct {
		order job.Order
		code  fault.Code
	}{
		{job.Order{Kind: "add", Name: "taken", Items: job.Keys(nil)}, fault.JobNameTaken},
		{job.Order{Kind: "add", Name: "a&b", Items: job.Keys(nil)}, fault.JobNameBad},
		{job.Order{Kind: "add", Name: strings.Repeat("é", 129), Items: job.Keys(nil)}, fault.JobNameBad},
		{job.Order{Kind: "add", Name: " x", Items: job.Keys(nil)}, fault.JobNameBad},
		{job.Order{Kind: "add", Rate: -1, Items: job.Keys(nil)}, fault.Invalid},
		{job.Order{Kind: "unknown", Items: job.Keys(nil)}, ""},
	} {
		if _, err := s.jobs.Start(s.ctx, x.order); err == nil || fault.CodeOf(err) != x.code {
			t.Errorf("%+v: %v", x.order, err)
		}
	}
	broken := errors.New("the selection broke")
	_, err := s.jobs.Start(s.ctx, job.Order{Kind: "add", Name: "half", Items: func(yield func(job.NewItem, error) bool) {
		_ = yield(job.NewItem{Key: "one"}, nil) && yield(job.NewItem{}, broken)
	}})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := s.jobs.Show(s.ctx, "half"); !errors.Is(err, fault.JobNotFound) {
		t.Errorf("half a job was stored: %v", err)
	}
	// Only the form that IDs have is none of a name.
	for _, name := range []string{strings.Repeat("0a", 16), "{0197a8c0-0000-7000-8000-000000000001}", "urn:uuid:0197a8c0-0000-7000-8000-000000000001"} {
		s.start(job.Order{Kind: "add", Name: name, Items: job.Keys(nil)})
		if j, err := s.jobs.Show(s.ctx, name); err != nil || j.Name != name {
			t.Errorf("%s: %+v %v", name, j, err)
		}
	}
	if name := job.DefaultName(strings.Repeat("x", 128), s.Now()); len(name) > 128 || !strings.HasSuffix(name, "2026-11-24 09:00:00.000000") || name == job.DefaultName(strings.Repeat("x", 128), s.Now().Add(time.Microsecond)) {
		t.Error(name)
	}
}

// A server that stops amid a chunk leaves no half of it, and a job that is cancelled goes on where it stopped.
func TestCancelledJobGoesOnWhereItStopped(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, deploytest.Master(t))
		ctx, stop := context.WithCancel(s.ctx)
		s.jobs.Register(job.Worker{Kind: "add", Chunk: 10, Do: func(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
			done, err := s.add(ctx, c)
			if c.Items[0].Number == 21 {
				stop()
			}
			return done, err
		}})
		id := s.start(job.Order{Kind: "add", Items: job.Keys(names(40))}).ID
		if err := s.jobs.RunAll(ctx); err == nil {
			t.Error("the server was stopped, and finished the job")
		}
		if j := s.ended(id, job.Running); j.Done != 20 || s.count() != 20 {
			t.Errorf("%d are done and %d users added", j.Done, s.count())
		}
		if _, err := s.jobs.Cancel(s.ctx, id); err != nil {
			t.Error(err)
		}
		s.must(s.jobs.RunAll(s.ctx))
		if j := s.ended(id, job.Cancelled); j.Done != 20 || s.count() != 20 {
			t.Errorf("%d are done and %d users added", j.Done, s.count())
		}
		if _, err := s.jobs.Cancel(s.ctx, id); !errors.Is(err, fault.JobOver) {
			t.Errorf("cancelled twice: %v", err)
		}
		if _, err := s.jobs.Resume(s.ctx, id, false); err != nil {
			t.Fatal(err)
		}
		s.must(s.jobs.RunAll(s.ctx))
		if j := s.ended(id, job.Done); j.Done != 40 || s.count() != 40 {
			t.Errorf("%d are done and %d users added", j.Done, s.count())
		}
	})
}

// A job that is cancelled while a chunk is at work does not keep that chunk.
func TestCancelMeetsAChunk(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a database with several writers")
	}
	s := newServer(t, deploytest.Postgres(t), deploytest.Master(t))
	var id string
	s.jobs.Register(job.Worker{Kind: "add", Chunk: 10, Do: func(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
		if c.Items[0].Number == 21 {
			if _, err := s.jobs.Cancel(s.ctx, id); err != nil {
				t.Error(err)
			}
		}
		return s.add(ctx, c)
	}})
	id = s.start(job.Order{Kind: "add", Items: job.Keys(names(40))}).ID
	s.must(s.jobs.RunAll(s.ctx))
	if j := s.ended(id, job.Cancelled); j.Done != 20 || s.count() != 20 {
		t.Errorf("%d are done and %d users added", j.Done, s.count())
	}
}

func (s *server) count() int {
	all, err := s.db.Users(s.ctx, user.Filter{})
	s.must(err)
	return len(all)
}

// A dry run says what would happen to each item and leaves nothing but that.
func TestDryRun(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, deploytest.Master(t))
		keys := names(20)
		keys[4] = " bad"
		j := s.start(job.Order{Kind: "add", DryRun: true, Items: job.Keys(keys)})
		s.must(s.jobs.RunAll(s.ctx))
		j = s.ended(j.ID, job.DoneWithErrors)
		if j.Done != 19 || j.Failed != 1 || s.count() != 0 {
			t.Errorf("%+v, and %d users", j, s.count())
		}
		for range s.jobs.Results(s.ctx, j.ID) {
			t.Error("a dry run left a result")
		}
		if slices.ContainsFunc(s.events(), func(e audit.Event) bool { return e.Action == "user.add" }) {
			t.Error("a dry run is recorded as if it had been done")
		}
	})
}

// Two servers share one job: each item is done once, by one of them.
func TestTwoServersShareOneJob(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		m := deploytest.Master(t)
		one, two := newServer(t, url, m), newServer(t, url, m)
		const n = 300
		j := one.start(job.Order{Kind: "add", Items: job.Keys(names(n))})
		var both sync.WaitGroup
		ctx, cancel := context.WithCancel(one.ctx)
		for _, s := range []*server{one, two} {
			both.Go(func() { s.jobs.Run(ctx) })
		}
		for {
			now, err := one.jobs.Show(one.ctx, j.ID)
			if err != nil || now.State.Over() {
				break
			}
			select {
			case <-t.Context().Done():
				t.Fatal("the job does not end")
			case <-time.After(10 * time.Millisecond):
			}
		}
		cancel()
		both.Wait()
		if j := one.ended(j.ID, job.Done); j.Done != n || one.count() != n {
			t.Errorf("%d are done and %d users added", j.Done, one.count())
		}
	})
}

// Jobs take turns: a short one does not wait for the end of a long one.
func TestJobsTakeTurns(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	var order []string
	s.jobs.Register(job.Worker{Kind: "turn", Chunk: 1, Do: func(_ context.Context, c job.Chunk) ([]job.Outcome, error) {
		order = append(order, c.Job.Name)
		return make([]job.Outcome, len(c.Items)), nil
	}})
	s.start(job.Order{Kind: "turn", Name: "long", Items: job.Keys(names(9))})
	s.start(job.Order{Kind: "turn", Name: "short", Items: job.Keys(names(2))})
	s.must(s.jobs.RunAll(s.ctx))
	if last := slices.Index(order, "short") + 3; last > 6 || slices.Index(order[last-1:], "short") >= 2 {
		t.Errorf("the order was %v", order)
	}
}

// A defect of the work fails the item that it meets and none beside it; a conflict is tried again.
func TestDefectsAndConflicts(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	tries := 0
	s.jobs.Register(job.Worker{Kind: "shaky", Chunk: 5, Do: func(_ context.Context, c job.Chunk) ([]job.Outcome, error) {
		done := make([]job.Outcome, len(c.Items))
		for i, item := range c.Items {
			switch item.Key {
			case "panics":
				panic("with something secret")
			case "breaks":
				return nil, errors.New("something secret")
			case "meets":
				if tries++; tries < 3 {
					return nil, fault.New(fault.Conflict, "changed meanwhile")
				}
			case "refuses":
				done[i].Err = fault.New(fault.TokenNotAssigned, "belongs to nobody")
			case "warns":
				done[i].Code, done[i].Message = "DISABLED", "is disabled"
			}
		}
		return done, nil
	}})
	j := s.start(job.Order{Kind: "shaky", Items: job.Keys([]string{"good", "panics", "breaks", "refuses", "warns", "meets", "good"})})
	s.must(s.jobs.RunAll(s.ctx))
	s.ended(j.ID, job.DoneWithErrors)
	items, err := s.jobs.Items(s.ctx, j.ID, job.ItemFilter{})
	s.must(err)
	var got []string
	for _, item := range items {
		got = append(got, fmt.Sprintf("%s %s %s", item.Key, item.State, item.Code))
		if strings.Contains(item.Message, "secret") {
			t.Errorf("%s tells %q", item.Key, item.Message)
		}
	}
	want := []string{"good done ", "panics failed INTERNAL", "breaks failed INTERNAL", "refuses failed NOT_ASSIGNED", "warns done DISABLED", "meets done ", "good done "}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A job that is cancelled while the items of a chunk are done one by one is no trouble, and holds no other one up.
func TestCancelledAmidSingleItems(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	var j job.Job
	s.jobs.Register(job.Worker{Kind: "stopped", Chunk: 5, Do: func(_ context.Context, c job.Chunk) ([]job.Outcome, error) {
		if len(c.Items) > 1 {
			return nil, errors.New("one of them breaks")
		}
		return make([]job.Outcome, 1), nil
	}, Prepare: func(ctx context.Context) error {
		_, err := s.jobs.Cancel(ctx, j.ID)
		return err
	}})
	j = s.start(job.Order{Kind: "stopped", Items: job.Keys(names(3))})
	other := s.start(job.Order{Kind: "add", Items: job.Keys(names(3))})
	s.must(s.jobs.RunAll(s.ctx))
	s.ended(j.ID, job.Cancelled)
	s.ended(other.ID, job.Done)
}

// A job with a limit does no more items in a second than that.
func TestRateIsKept(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	j := s.start(job.Order{Kind: "add", Rate: 3, Items: job.Keys(names(10))})
	s.must(s.jobs.RunAll(s.ctx))
	s.must(s.jobs.RunAll(s.ctx))
	if j := s.ended(j.ID, job.Running); j.Done != 3 {
		t.Errorf("%d items in no time, with a limit of 3 a second", j.Done)
	}
	s.Pass(time.Second)
	s.must(s.jobs.RunAll(s.ctx))
	if j := s.ended(j.ID, job.Running); j.Done != 6 {
		t.Errorf("%d items in a second, with a limit of 3 a second", j.Done)
	}
}

// A job with a limit goes on where the clock was set back, as many items a second as before; another server whose clock is a little behind adds none.
func TestRateIsKeptByAClockThatGoesBack(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	j := s.start(job.Order{Kind: "add", Rate: 3, Items: job.Keys(names(10))})
	s.must(s.jobs.RunAll(s.ctx))
	right := s.Now()
	for _, step := range []struct {
		by   time.Duration
		done int
	}{{-3 * time.Second, 3}, {-2 * time.Hour, 6}, {-2*time.Hour + time.Second, 9}} {
		s.Set(right.Add(step.by))
		s.must(s.jobs.RunAll(s.ctx))
		s.must(s.jobs.RunAll(s.ctx))
		if j := s.ended(j.ID, job.Running); j.Done != step.done {
			t.Errorf("%d items by a clock that was moved by %s, and not %d", j.Done, step.by, step.done)
		}
	}
}

// Of two servers whose clocks are hours apart, the one that is behind waits: else each would find that the other one's items are long ago, or yet to come.
func TestRateIsThatOfServersFarApart(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		m := deploytest.Master(t)
		s, behind := newServer(t, url, m), newServer(t, url, m)
		behind.Pass(-2 * time.Hour)
		behind.jobs.Reliable = func() bool { return false }
		j := s.start(job.Order{Kind: "add", Rate: 3, Items: job.Keys(names(20))})
		for range 3 {
			s.must(s.jobs.RunAll(s.ctx))
			s.must(behind.jobs.RunAll(s.ctx))
		}
		if j := s.ended(j.ID, job.Running); j.Done != 3 {
			t.Errorf("%d items in no time, with a limit of 3 a second", j.Done)
		}
	})
}

// The limit is that of the job, however many servers share it.
func TestRateIsThatOfAllServers(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		m := deploytest.Master(t)
		s, other := newServer(t, url, m), newServer(t, url, m)
		j := s.start(job.Order{Kind: "add", Rate: 3, Items: job.Keys(names(10))})
		s.jobs.Register(job.Worker{Kind: "add", Chunk: 7, Do: s.add, Prepare: func(context.Context) error {
			return other.jobs.RunAll(other.ctx) // after this one found out what it may do
		}})
		s.must(s.jobs.RunAll(s.ctx))
		if j := s.ended(j.ID, job.Running); j.Done != 3 {
			t.Errorf("%d items in no time, with a limit of 3 a second", j.Done)
		}
	})
}

func TestResultsEnd(t *testing.T) {
	s := newServer(t, deploytest.SQLite(t), deploytest.Master(t))
	j := s.start(job.Order{Kind: "add", Parameters: []byte("p"), Items: job.Keys(append(names(2), " bad"))})
	s.must(s.jobs.RunAll(s.ctx))
	s.Pass(24 * time.Hour)
	s.must(s.jobs.CleanUp(s.ctx))
	for range s.jobs.Results(s.ctx, j.ID) {
		t.Error("a result outlived its time")
	}
	if _, err := s.jobs.Resume(s.ctx, j.ID, true); !errors.Is(err, fault.JobExpired) {
		t.Errorf("resumed without its parameters: %v", err)
	}
}
