package job_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// foureyes is a server whose jobs are to be approved, at a time that passes.
func foureyes(t *testing.T, url string) *server {
	s := newServer(t, url, deploytest.Master(t))
	s.jobs.Register(job.Worker{Kind: "add", Right: "manage_users", FourEyes: true, Do: s.add})
	s.demand(true)
	s.ctx = s.as("key:bulk", "first")
	return s
}

// demand sets whether jobs are to be approved.
func (s *server) demand(on bool) {
	s.Helper()
	settings, err := s.db.Settings(s.ctx)
	s.must(err)
	settings.BulkApproval = on
	s.must(s.db.SaveSettings(s.ctx, settings))
}

func (s *server) as(name, origin string) context.Context {
	return audit.WithActor(s.Context(), audit.Actor{Name: name, Role: "token_admin", Origin: origin})
}

func TestJobWaitsUntilSomebodyElseApprovesIt(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := foureyes(t, url)
		j := s.start(job.Order{Kind: "add", Name: "asked", About: "users of sales", Items: job.Keys(names(3))})
		if j.State != job.AwaitingApproval || j.State.Over() || j.About != "users of sales" || !j.ApproveUntil.Equal(s.jobs.Now().Add(72*time.Hour)) {
			t.Errorf("started %+v", j)
		}
		s.must(s.jobs.RunAll(s.ctx))
		if s.ended(j.ID, job.AwaitingApproval); s.count() != 0 {
			t.Errorf("%d users were added", s.count())
		}
		for _, ctx := range []context.Context{s.ctx, s.as("key:another", "first")} {
			if _, err := s.jobs.Approve(ctx, j.ID); !errors.Is(err, fault.ApproverIsStarter) {
				t.Errorf("approved by who started it: %v", err)
			}
		}
		approved, err := s.jobs.Approve(s.as("key:other", "second"), "asked")
		if s.must(err); approved.State != job.Queued || approved.ApprovedBy != "key:other" {
			t.Errorf("approved %+v", approved)
		}
		if _, err := s.jobs.Approve(s.as("key:third", "third"), j.ID); !errors.Is(err, fault.NotAwaiting) {
			t.Errorf("approved twice: %v", err)
		}
		if _, err := s.jobs.Reject(s.as("key:third", "third"), j.ID, "too late"); !errors.Is(err, fault.NotAwaiting) {
			t.Errorf("rejected after its approval: %v", err)
		}
		// An approval holds when the job goes on after a stop.
		_, err = s.jobs.Cancel(s.ctx, j.ID)
		s.must(err)
		_, err = s.jobs.Resume(s.ctx, j.ID, false)
		s.must(err)
		s.must(s.jobs.RunAll(s.ctx))
		if s.ended(j.ID, job.Done); s.count() != 3 {
			t.Errorf("%d users were added", s.count())
		}
		found := map[string]string{}
		for _, e := range s.events() {
			if e.Correlation == j.ID {
				found[e.Action] = e.Actor.Name
			}
		}
		if found["job.approval_requested"] != "key:bulk" || found["job.approve"] != "key:other" {
			t.Errorf("events %v", found)
		}
	})
}

// Two servers are asked at the same time: one approval, or one rejection, holds.
func TestOneOfManyApproversDecides(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := foureyes(t, url)
		j := s.start(job.Order{Kind: "add", Items: job.Keys(names(1))})
		errs := make([]error, 6)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				ctx := s.as("key:other", strings.Repeat("x", i+1))
				if i%2 == 0 {
					_, errs[i] = s.jobs.Approve(ctx, j.ID)
				} else {
					_, errs[i] = s.jobs.Reject(ctx, j.ID, "no")
				}
			})
		}
		all.Wait()
		decided := 0
		for _, err := range errs {
			if err == nil {
				decided++
			} else if !errors.Is(err, fault.NotAwaiting) && !errors.Is(err, fault.Conflict) {
				t.Error(err)
			}
		}
		if decided != 1 {
			t.Errorf("%d decided: %v", decided, errs)
		}
	})
}

// What was rejected, cancelled or not approved in time does nothing, and goes on with an approval only.
func TestJobThatNobodyApproves(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := foureyes(t, url)
		var told []string
		s.jobs.Ended = func(_ context.Context, j job.Job) error {
			told = append(told, j.Name+": "+j.Message)
			return nil
		}
		for _, name := range []string{"rejected", "cancelled", "lapsed"} {
			s.start(job.Order{Kind: "add", Name: name, Items: job.Keys([]string{name})})
		}
		for _, bad := range []string{"", "  ", strings.Repeat("x", 1025)} {
			if _, err := s.jobs.Reject(s.as("key:other", "second"), "rejected", bad); !errors.Is(err, fault.Invalid) {
				t.Errorf("reason of %d bytes: %v", len(bad), err)
			}
		}
		_, err := s.jobs.Reject(s.as("key:other", "second"), "rejected", "not these people")
		s.must(err)
		_, err = s.jobs.Cancel(s.ctx, "cancelled")
		s.must(err)
		s.must(s.jobs.CleanUp(t.Context()))
		s.ended("lapsed", job.AwaitingApproval)
		s.Pass(72 * time.Hour)
		if _, err := s.jobs.Approve(s.as("key:other", "second"), "lapsed"); !errors.Is(err, fault.NotAwaiting) {
			t.Errorf("approved too late: %v", err)
		}
		s.must(s.jobs.CleanUp(t.Context()))
		s.must(s.jobs.CleanUp(t.Context()))
		s.must(s.jobs.RunAll(s.ctx))
		if s.ended("lapsed", job.Cancelled); s.count() != 0 {
			t.Errorf("%d users were added", s.count())
		}
		if len(told) != 2 || told[0] != "rejected: rejected by key:other: not these people" || told[1] != "lapsed: nobody approved it in time" {
			t.Errorf("told %q", told)
		}
		if _, err := s.jobs.Resume(s.ctx, "rejected", false); !errors.Is(err, fault.JobExpired) {
			t.Errorf("resumed after its results were gone: %v", err)
		}
		again, err := s.jobs.Resume(s.ctx, "lapsed", false)
		if s.must(err); again.State != job.AwaitingApproval || again.Message != "" || !again.ApproveUntil.Equal(s.jobs.Now().Add(72*time.Hour)) {
			t.Errorf("resumed %+v", again)
		}
	})
}

// A job of whose end nobody can be told comes to its end, and keeps nothing else from its own.
func TestJobsEndUntold(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := foureyes(t, url)
		var log bytes.Buffer
		s.jobs.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s.jobs.Ended = func(ctx context.Context, _ job.Job) error {
			return s.db.Transact(ctx, func(context.Context) error { return errors.New("the post is on strike") })
		}
		for _, name := range []string{"lapsed", "and another"} {
			s.start(job.Order{Kind: "add", Name: name, Items: job.Keys([]string{"nobody"})})
		}
		s.demand(false)
		for name, keys := range map[string][]string{"done": names(9), "with errors": {" bad"}} {
			s.start(job.Order{Kind: "add", Name: name, Parameters: []byte("secret"), Items: job.Keys(keys)})
		}
		s.must(s.jobs.RunAll(s.ctx))
		s.ended("with errors", job.DoneWithErrors)
		if s.ended("done", job.Done); s.count() != 9 {
			t.Errorf("%d users were added", s.count())
		}
		if n := strings.Count(log.String(), "the post is on strike"); n != 2 {
			t.Errorf("%d times in the log: %s", n, &log)
		}
		s.Pass(72 * time.Hour)
		s.must(s.jobs.CleanUp(t.Context()))
		s.ended("lapsed", job.Cancelled)
		s.ended("and another", job.Cancelled)
		for range s.jobs.Results(s.ctx, s.ended("done", job.Done).ID) {
			t.Fatal("its results are still there")
		}
	})
}

func TestJobsThatNobodyHasToApprove(t *testing.T) {
	s := foureyes(t, deploytest.SQLite(t))
	if j := s.start(job.Order{Kind: "add", Name: "dry", DryRun: true, Items: job.Keys(names(1))}); j.State != job.Queued {
		t.Errorf("a dry run is %s", j.State)
	}
	if j := s.start(job.Order{Kind: "add", Name: "empty", Items: job.Keys(nil)}); j.State != job.Done {
		t.Errorf("a job without items is %s", j.State)
	}
	s.jobs.Register(job.Worker{Kind: "other", Do: s.add})
	if j := s.start(job.Order{Kind: "other", Items: job.Keys(names(1))}); j.State != job.Queued {
		t.Errorf("a job of another kind is %s", j.State)
	}
	s.demand(false)
	begun := s.start(job.Order{Kind: "add", Name: "free", Items: job.Keys(names(1))})
	if begun.State != job.Queued {
		t.Errorf("while nobody demands it, a job is %s", begun.State)
	}
	// One that was stopped before approval was demanded does not go on without it, and over the socket nobody knows who approves.
	_, err := s.jobs.Cancel(s.ctx, "free")
	s.must(err)
	s.demand(true)
	again, err := s.jobs.Resume(s.ctx, "free", false)
	if s.must(err); again.State != job.AwaitingApproval {
		t.Errorf("resumed, it is %s", again.State)
	}
	s.ctx = s.as("socket", "")
	s.start(job.Order{Kind: "add", Name: "by root", Items: job.Keys(names(1))})
	if _, err := s.jobs.Approve(s.ctx, "by root"); !errors.Is(err, fault.ApproverIsStarter) {
		t.Errorf("root approved its own job: %v", err)
	}
	_, err = s.jobs.Approve(s.ctx, "free")
	s.must(err)
}
