package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// works are limited to domains like objects: jobs with what they left, reports, corrections, messages.
func works(t *testing.T, s fixture) {
	r := s.grown(t)
	places := map[string]context.Context{"north": within(t, r, "north"), "south": within(t, r, "south"), "island": within(t, r, "island"), "": t.Context()}
	work := job.Job{Kind: "test", State: job.Done, CreatedAt: start, ResultsUntil: day(9)}
	for at, ctx := range places {
		j := work
		j.ID, j.Name = "j"+at, "n"+at
		ok(t, s.AddJob(ctx, j))
		ok(t, s.AddRun(ctx, report.Run{ID: "r" + at, State: report.RunDone, MadeAt: start}))
		ok(t, s.AddSchedule(ctx, report.Schedule{Name: "s" + at, Every: report.Daily, MadeAt: start, NextAt: day(1)}))
		ok(t, s.AddCorrection(ctx, token.Correction{ID: "c" + at, Domain: at, Seconds: 1, At: start}))
		ok(t, s.AddUser(ctx, user.User{ID: "u" + at, Enabled: true, CreatedAt: start, Version: 1}))
		ok(t, s.AddMessages(ctx, []mail.Message{{ID: "m" + at, UserID: "u" + at, Event: mail.Reminder, State: mail.Failed, CreatedAt: start, NextAt: start, ExpiresAt: start}}))
	}
	for at, sees := range map[string]int{"north": 2, "south": 1, "island": 1, "": 4} {
		ctx := places[at]
		jobs, err := s.Jobs(ctx, job.Filter{})
		runs, err2 := s.ListRuns(ctx, report.RunFilter{})
		schedules, err3 := s.Schedules(ctx)
		corrections, err4 := s.Corrections(ctx, "", 9)
		messages, err5 := s.Messages(ctx, mail.Filter{})
		ok(t, errors.Join(err, err2, err3, err4, err5))
		same(t, [5]int{len(jobs), len(runs), len(schedules), len(corrections), len(messages)}, [5]int{sees, sees, sees, sees, sees})
		for other := range places {
			covered := domain.ScopeFrom(ctx).Covers(other)
			j, err := s.Job(ctx, "j"+other)
			_, err2 := s.JobNamed(ctx, "n"+other)
			run, err3 := s.Run(ctx, "r"+other)
			c, err4 := s.Correction(ctx, "c"+other)
			_, err5 := s.Message(ctx, "m"+other)
			for i, err := range []error{err, err2, err3, err4, err5} {
				if covered != (err == nil) || !covered && !errors.Is(err, fault.OutOfScope) {
					t.Errorf("%d of %q seen from %q: %v", i, other, at, err)
				}
			}
			if covered {
				same(t, [3]string{j.Domain, run.Domain, c.Domain}, [3]string{other, other, other})
			}
		}
	}
	for _, err := range []error{s.DeleteRun(places["north"], "rsouth"), s.DeleteSchedule(places["north"], "ssouth"), s.DeleteRun(places["north"], "nothing")} {
		refused(t, err, fault.OutOfScope)
	}
	outside := work
	outside.ID, outside.Domain = "x", "south"
	refused(t, s.AddJob(places["north"], outside), fault.OutOfScope)
	outside.Domain = "nowhere"
	refused(t, s.AddJob(t.Context(), outside), fault.DomainNotFound)

	// What a job left of a token is seen where both the token and its user are now.
	first := s.assigned(t, 1)
	s.change(t, first.Serial, func(r *token.Token) { r.DistributedAt = start })
	_, err := r.Put(t.Context(), "north", map[domain.Kind][]string{domain.Users: {"alice"}})
	ok(t, err)
	rows := waiting(1)
	rows[0].Key = first.Serial
	j := work
	j.ID, j.Name, j.State, j.Total = "left", "left", job.Running, 1
	ok(t, s.Transact(places["north"], func(ctx context.Context) error {
		return errors.Join(s.AddJob(ctx, j), s.AddJobItems(ctx, j.ID, rows))
	}))
	rows[0].State = job.ItemDone
	ok(t, s.Transact(places["north"], func(ctx context.Context) error {
		return s.FinishJobItems(ctx, "left", rows, []job.Result{{Number: 1, Key: first.Serial, Sealed: seed.Sealed{KeyID: 1, Blob: []byte("left")}}})
	}))
	for _, move := range []struct {
		kind        domain.Kind
		name, into  string
		left, moved int
	}{{domain.Tokens, first.Serial, "north", 1, 0}, {domain.Tokens, first.Serial, "south", 0, 1}, {domain.Users, "alice", "south", 0, 1}, {domain.Tokens, first.Serial, "north", 0, 0}} {
		_, err = r.Put(t.Context(), move.into, map[domain.Kind][]string{move.kind: {move.name}})
		ok(t, err)
		left, err := s.JobResults(places["north"], "left", 0, 9)
		same(t, len(must(t, left, err)), move.left)
		n, err := s.JobResultsLeft(places["north"], "left")
		same(t, must(t, n, err), move.left)
		all, err := s.JobResults(t.Context(), "left", 0, 9)
		same(t, len(must(t, all, err)), 1)
		c, err := s.Campaign(places["north"], "left", day(0))
		same(t, must(t, c, err).Gone, move.moved)
		holders, err := s.Holders(places["north"], []string{first.Serial})
		same(t, len(must(t, holders, err)), move.left)
	}
}

// aDomainOfWorks is deleted when nothing of it is still to be done; what was done is the domain's above.
func aDomainOfWorks(t *testing.T, s fixture) {
	r := s.grown(t)
	island := within(t, r, "island")
	j := newJob("1", 1)
	j.State, j.LoadingUntil = job.Loading, day(1)
	ok(t, s.Transact(island, func(ctx context.Context) error {
		return errors.Join(s.AddJob(ctx, j), s.AddJobItems(ctx, j.ID, waiting(1)))
	}))
	ok(t, s.AddRun(island, report.Run{ID: "r", State: report.RunQueued, MadeAt: start}))
	ok(t, s.AddSchedule(island, report.Schedule{Name: "s", Every: report.Daily, MadeAt: start, NextAt: day(1)}))
	ok(t, s.AddCorrection(t.Context(), token.Correction{ID: "c", Domain: "island", Seconds: 1, At: start}))
	still := func() { refused(t, r.Delete(t.Context(), "island"), fault.DomainInUse) }
	still()
	j.State, j.LoadingUntil = job.AwaitingApproval, time.Time{}
	ok(t, s.SaveJob(t.Context(), j, job.Loading))
	still()
	j.State = job.Queued
	ok(t, s.SaveJob(t.Context(), j, job.AwaitingApproval))
	still()
	j.State, j.EndedAt, j.ResultsUntil = job.Cancelled, day(1), day(2)
	ok(t, s.SaveJob(t.Context(), j, job.Queued))
	still()
	run, err := s.ClaimRun(t.Context(), "server", day(1), day(9), day(2))
	ok(t, err)
	run.State, run.Ended, run.Until = report.RunDone, day(1), day(30)
	ok(t, s.FinishRun(t.Context(), run))
	still()
	ok(t, s.DeleteSchedule(t.Context(), "s"))
	ok(t, r.Delete(t.Context(), "island"))
	north := within(t, r, "north")
	j, err = s.Job(north, "1")
	same(t, must(t, j, err).Domain, "north")
	run, err = s.Run(north, "r")
	same(t, must(t, run, err).Domain, "north")
	c, err := s.Correction(north, "c")
	same(t, must(t, c, err).Domain, "north")
	_, err = s.Job(within(t, r, "south"), "1")
	refused(t, err, fault.OutOfScope)
}
