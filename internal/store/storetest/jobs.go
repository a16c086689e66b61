package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// newJob is a queued job with that many items.
func newJob(id string, items int) job.Job {
	return job.Job{
		ID: id, Name: "job " + id, Kind: "test", State: job.Queued, Rate: 7, Total: items,
		By: audit.Actor{Name: "key:bulk", Role: "token_admin", Client: "192.0.2.1"}, Parameters: seed.Sealed{KeyID: 1, Blob: []byte("parameters of " + id)}, CreatedAt: start,
	}
}

// waiting are items of a job.
func waiting(n int) []job.Row {
	rows := make([]job.Row, n)
	for i := range rows {
		rows[i] = job.Row{Number: i + 1, Key: fmt.Sprintf("%012d", i+1), State: job.ItemWaiting}
	}
	return rows
}

func (s fixture) addJob(t *testing.T, j job.Job, rows []job.Row) {
	t.Helper()
	ok(t, s.Transact(t.Context(), func(ctx context.Context) error {
		if err := s.AddJob(ctx, j); err != nil {
			return err
		}
		return s.AddJobItems(ctx, j.ID, rows)
	}))
}

func jobs(t *testing.T, s fixture) {
	ctx := t.Context()
	first, second := newJob("1", 2), newJob("2", 0)
	rows := waiting(2)
	rows[1].Input = seed.Sealed{KeyID: 2, Blob: []byte("input")}
	s.addJob(t, first, rows)
	second.DryRun, second.Parameters, second.Kind = true, seed.Sealed{}, "other"
	second.State, second.Message = job.Failed, "no more"
	second.About, second.Origin, second.ApproveUntil, second.ApprovedBy = "profile phones", "00000000000000ab", day(5), "key:other"
	second.StartedAt, second.ProgressedAt, second.EndedAt, second.ResultsUntil = day(1), day(2), day(3), day(4)
	s.addJob(t, second, nil)
	for _, j := range []job.Job{first, second} {
		got, err := s.Job(ctx, j.ID)
		same(t, must(t, got, err), j)
		got, err = s.JobNamed(ctx, j.Name)
		same(t, must(t, got, err), j)
	}
	taken := newJob("3", 0)
	taken.Name = first.Name
	refused(t, s.AddJob(ctx, taken), fault.JobNameTaken)
	_, err := s.Job(ctx, "3")
	refused(t, err, fault.JobNotFound)

	for _, x := range []struct {
		f    job.Filter
		want []job.Job
	}{
		{job.Filter{}, []job.Job{second, first}}, {job.Filter{Limit: 1}, []job.Job{second}}, {job.Filter{Before: "2"}, []job.Job{first}},
		{job.Filter{Kind: "test"}, []job.Job{first}}, {job.Filter{State: job.Failed}, []job.Job{second}},
	} {
		got, err := s.Jobs(ctx, x.f)
		same(t, must(t, got, err), x.want)
	}
	open, err := s.OpenJobs(ctx)
	same(t, must(t, open, err), []job.Job{first})

	items, err := s.JobItems(ctx, "1", job.ItemFilter{})
	same(t, must(t, items, err), rows)
	items, err = s.JobItems(ctx, "1", job.ItemFilter{After: 1, State: job.ItemWaiting, Limit: 5})
	same(t, must(t, items, err), rows[1:])
	items, err = s.JobItems(ctx, "1", job.ItemFilter{State: job.ItemFailed})
	same(t, len(must(t, items, err)), 0)

	asked := newJob("9", 0)
	asked.State, asked.ApproveUntil = job.AwaitingApproval, day(9)
	s.addJob(t, asked, nil)
	waits, err := s.Jobs(ctx, job.Filter{State: job.AwaitingApproval})
	same(t, must(t, waits, err), []job.Job{asked})
	open, err = s.OpenJobs(ctx) // nothing of it is to be done
	same(t, must(t, open, err), []job.Job{first})
	approved := asked
	approved.State, approved.ApprovedBy = job.Queued, "key:other"
	ok(t, s.SaveJob(ctx, approved, job.AwaitingApproval))
	refused(t, s.SaveJob(ctx, approved, job.AwaitingApproval), fault.Conflict) // the second of two
	answer, err := s.Job(ctx, "9")
	same(t, must(t, answer, err), approved)

	changed := first
	changed.State, changed.Message, changed.Total, changed.Failed, changed.StartedAt = job.Running, "words", 3, 1, day(1)
	refused(t, s.SaveJob(ctx, changed, job.Running), fault.Conflict)
	ok(t, s.SaveJob(ctx, changed, job.Queued))
	got, err := s.Job(ctx, "1")
	same(t, must(t, got, err), changed)
}

// A job that is loading is moved on by whoever has its lease, and removed by others once that is over.
func loading(t *testing.T, s fixture) {
	ctx := t.Context()
	if s.Joins(ctx) {
		t.Error("there is a transaction")
	}
	ok(t, s.Transact(ctx, func(ctx context.Context) error {
		if !s.Joins(ctx) {
			t.Error("there is no transaction")
		}
		return nil
	}))
	add := func(id string, items int) job.Job {
		t.Helper()
		j := newJob(id, items)
		j.State, j.LoadingUntil = job.Loading, day(2)
		rows := waiting(items)
		rows[0].Input = seed.Sealed{KeyID: 2, Blob: []byte("input")}
		s.addJob(t, j, rows)
		got, err := s.Job(ctx, id)
		same(t, must(t, got, err), j)
		return j
	}
	gone := func(id string) {
		t.Helper()
		_, err := s.Job(ctx, id)
		refused(t, err, fault.JobNotFound)
		items, err := s.JobItems(ctx, id, job.ItemFilter{})
		same(t, len(must(t, items, err)), 0)
	}
	started, lost, left := add("1", 1), add("2", job.ItemsAtOnce+1), add("3", 2)
	open, err := s.OpenJobs(ctx)
	same(t, len(must(t, open, err)), 0)

	moved := started
	moved.Total, moved.LoadingUntil = 5, day(3)
	refused(t, s.MoveLoading(ctx, moved, day(1)), fault.JobOver)
	ok(t, s.MoveLoading(ctx, moved, day(2)))
	refused(t, s.MoveLoading(ctx, moved, day(2)), fault.JobOver) // the second of two
	moved.State, moved.LoadingUntil = job.Queued, time.Time{}
	ok(t, s.MoveLoading(ctx, moved, day(3)))
	got, err := s.Job(ctx, "1")
	same(t, must(t, got, err), moved)
	refused(t, s.MoveLoading(ctx, moved, day(3)), fault.JobOver)

	n, err := s.DropAbandoned(ctx, day(1))
	same(t, must(t, n, err), 0)
	lost.LoadingUntil = day(4)
	ok(t, s.MoveLoading(ctx, lost, day(2)))
	n, err = s.DropAbandoned(ctx, day(2))
	same(t, must(t, n, err), 1)
	gone("3")
	refused(t, s.MoveLoading(ctx, left, day(2)), fault.JobOver)
	got, err = s.Job(ctx, "2")
	same(t, must(t, got, err), lost)
	for _, id := range []string{"1", "2", "nothing"} {
		ok(t, s.DropLoading(ctx, id))
	}
	gone("2")
	got, err = s.Job(ctx, "1")
	same(t, must(t, got, err), moved)

	add("4", 1)
	ok(t, s.LapseLoading(ctx))
	n, err = s.DropAbandoned(ctx, day(0))
	same(t, must(t, n, err), 1)
	gone("4")
}

func jobItems(t *testing.T, s fixture) {
	ctx := t.Context()
	j := newJob("1", 5)
	j.State = job.Running
	rows := waiting(5)
	s.addJob(t, j, rows)
	_, err := s.ClaimJobItems(ctx, "1", 1, 1)
	if err == nil {
		t.Error("items were claimed outside a transaction")
	}
	finish := func(from, limit int, state job.ItemState, at time.Time) (job.Job, error) {
		var now job.Job
		err := s.Transact(ctx, func(ctx context.Context) error {
			claimed, err := s.ClaimJobItems(ctx, "1", from, limit)
			if err != nil {
				return err
			}
			var results []job.Result
			n := map[job.ItemState]int{}
			for i := range claimed {
				r := &claimed[i]
				r.State, r.Code, r.Message = state, "CODE", "words"
				n[state]++
				results = append(results, job.Result{Number: r.Number, Key: r.Key, Sealed: seed.Sealed{KeyID: 1, Blob: []byte("result of " + r.Key)}})
				rows[r.Number-1] = *r
			}
			if err := s.FinishJobItems(ctx, "1", claimed, results); err != nil {
				return err
			}
			now, err = s.CountJobItems(ctx, "1", n[job.ItemDone], n[job.ItemFailed], at, time.Hour)
			return err
		})
		return now, err
	}
	now, err := finish(2, 2, job.ItemDone, day(1))
	must(t, now, err)
	if now.State != job.Running || now.Done != 2 || now.Failed != 0 || !now.ProgressedAt.Equal(day(1)) || !now.EndedAt.IsZero() || !now.ResultsUntil.IsZero() {
		t.Errorf("after two items: %+v", now)
	}
	refused(t, s.FinishJobItems(ctx, "1", rows[1:2], nil), fault.Conflict)
	now, err = finish(1, 9, job.ItemFailed, day(2))
	must(t, now, err)
	if now.State != job.DoneWithErrors || now.Done != 2 || now.Failed != 3 || !now.EndedAt.Equal(day(2)) || !now.ResultsUntil.Equal(day(2).Add(time.Hour)) {
		t.Errorf("after all items: %+v", now)
	}
	items, err := s.JobItems(ctx, "1", job.ItemFilter{})
	same(t, must(t, items, err), rows)
	_, err = s.CountJobItems(ctx, "1", 0, 0, day(3), time.Hour)
	refused(t, err, fault.JobOver)

	results, err := s.JobResults(ctx, "1", 1, 2)
	if must(t, results, err); len(results) != 2 || results[0].Number != 2 || results[1].Key != rows[2].Key || string(results[1].Sealed.Blob) != "result of "+rows[2].Key {
		t.Errorf("results: %+v", results)
	}
	n, err := s.RetryJobItems(ctx, "1")
	same(t, must(t, n, err), 3)
	items, err = s.JobItems(ctx, "1", job.ItemFilter{State: job.ItemWaiting})
	same(t, len(must(t, items, err)), 3)
}

// What jobs keep under seal is gone when its time is over, and when the seed is destroyed that it may hold.
func jobResultsEnd(t *testing.T, s fixture) {
	ctx := t.Context()
	tok := s.assigned(t, 1)
	rows := waiting(2)
	rows[0].Input = seed.Sealed{KeyID: 1, Blob: []byte("input")}
	for _, id := range []string{"1", "2"} {
		j := newJob(id, 2)
		j.State, j.EndedAt, j.ResultsUntil = job.Done, day(1), day(2)
		if id == "2" {
			j.ResultsUntil = day(3)
		}
		s.addJob(t, j, rows)
		var results []job.Result
		for _, r := range rows {
			results = append(results, job.Result{Number: r.Number, Key: r.Key, Sealed: seed.Sealed{KeyID: 1, Blob: []byte("result")}})
		}
		ok(t, s.FinishJobItems(ctx, id, rows[:0], results))
	}
	kept := func(id string) int {
		r, err := s.JobResults(ctx, id, 0, 10)
		return len(must(t, r, err))
	}
	s.change(t, tok.Serial, func(r *token.Token) { r.Replace(generation(r.Serial, 2)) })
	if kept("1") != 1 || kept("2") != 1 {
		t.Errorf("%d and %d results are left after the seed is destroyed", kept("1"), kept("2"))
	}
	n, err := s.DropJobResults(ctx, day(2))
	same(t, must(t, n, err), 1)
	if kept("1") != 0 || kept("2") != 1 {
		t.Errorf("%d and %d results are left after the first job's time", kept("1"), kept("2"))
	}
	j, err := s.Job(ctx, "1")
	if must(t, j, err); len(j.Parameters.Blob) != 0 || j.Parameters.KeyID != 0 {
		t.Errorf("parameters are left: %v", j.Parameters)
	}
	items, err := s.JobItems(ctx, "1", job.ItemFilter{})
	if must(t, items, err); len(items) != 2 || len(items[0].Input.Blob) != 0 {
		t.Errorf("items that are left: %+v", items)
	}
	n, err = s.DropJobResults(ctx, day(2))
	same(t, must(t, n, err), 0)
}

// Items that one transaction has claimed are passed over by others.
func claimedItemsAreFree(t *testing.T, s fixture) {
	j := newJob("1", 4)
	j.State = job.Running
	s.addJob(t, j, waiting(4))
	ctx := t.Context()
	if s.Writers() == 1 {
		t.Skip("one transaction at a time has the database for itself")
	}
	ok(t, s.Transact(ctx, func(one context.Context) error {
		first, err := s.ClaimJobItems(one, "1", 1, 2)
		if err != nil {
			return err
		}
		return s.Transact(ctx, func(other context.Context) error {
			second, err := s.ClaimJobItems(other, "1", 1, 9)
			if err == nil && (len(first) != 2 || len(second) != 2 || second[0].Number != 3) {
				t.Errorf("claimed %+v and %+v", first, second)
			}
			return err
		})
	}))
}

// How far the tokens of a job have come, each once.
func campaigns(t *testing.T, s fixture) {
	ctx := t.Context()
	j := newJob("1", 8)
	j.State, j.CreatedAt, j.EndedAt = job.Done, day(1), day(2)
	rows := waiting(8)
	rows[7].Key = "gone"
	for i := range rows[1:] {
		rows[i+1].State = job.ItemDone
	}
	s.addJob(t, j, rows)
	s.addUser(t, "alice")
	s.addUser(t, "bob")
	for n, change := range []func(*token.Token){
		0: func(*token.Token) {}, // whose item is waiting
		1: func(r *token.Token) { r.Distribution = token.Confirmed },
		2: func(r *token.Token) {
			g := generation(r.Serial, 2)
			r.Pending, r.PendingUntil, r.LastNumber = &g, day(9), 2
		},
		3: func(r *token.Token) {
			g := generation(r.Serial, 2)
			r.Pending, r.PendingUntil, r.LastNumber = &g, day(2), 2
		}, // is due
		4: func(r *token.Token) { r.DistributedAt, r.DeliveredBy = day(1).Add(time.Hour), "another" }, // while the job ran
		5: func(r *token.Token) { r.UserID = "" },
		6: func(r *token.Token) {
			r.UserID, r.Distribution, r.DistributedAt, r.DeliveredBy = "bob", token.NotDistributed, time.Time{}, ""
		}, // who got nothing yet
	} {
		r := made(n + 1)
		r.UserID, r.Distribution, r.DistributedAt, r.DeliveredBy = "alice", token.Issued, day(1).Add(-time.Hour), j.ID // by a server whose clock was behind
		change(&r)
		s.add(t, r)
	}
	got, err := s.Campaign(ctx, "1", day(4))
	same(t, must(t, got, err), distribution.Campaign{Moved: 1, OldSeedLives: 1, NotMoved: 1, DeliveredAgain: 1, Gone: 3, FirstEnd: day(9), LastEnd: day(9)})
	got, err = s.Campaign(ctx, "none", day(4))
	same(t, must(t, got, err), distribution.Campaign{})
	for _, name := range []string{j.ID, j.Name} {
		left, err := s.ChooseTokens(ctx, token.Filter{NotMoved: name, UserID: "alice"})
		if len(must(t, left, err)) != 2 || left[0].Serial != rows[2].Key || left[1].Serial != rows[3].Key {
			t.Errorf("not moved: %v", left)
		}
	}
	left, err := s.ChooseTokens(ctx, token.Filter{NotMoved: "none"})
	same(t, len(must(t, left, err)), 0)
}
