package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/report"
)

func reportRun(id string) report.Run {
	return report.Run{
		ID: id, Schedule: "weekly", State: report.RunQueued, By: audit.Actor{Name: "key:auditor", Role: "auditor"}, MadeAt: start,
		Order: report.RunOrder{Wish: report.Wish{Report: "tokens", Columns: []string{"serial", "user"}, Filters: map[string]string{"user": `"ö"`}, Order: "user"}, Format: report.CSV, KeepDays: 7,
			MailTo: []string{"a@example.com", "ö@example.com"}, Webhook: "crm"},
	}
}

// reportRuns walks a run from order to end.
func reportRuns(t *testing.T, s fixture) {
	ctx := t.Context()
	want := reportRun("run-1")
	ok(t, s.AddRun(ctx, want))
	refused(t, s.AddRun(ctx, want), fault.Conflict)
	got, err := s.Run(ctx, "run-1")
	same(t, must(t, got, err), want)
	_, err = s.Run(ctx, "run-0")
	refused(t, err, fault.NotFound)

	lease := start.Add(time.Minute)
	_, err = s.ClaimRun(ctx, "claim-0", day(400), day(401), day(400).Add(time.Minute))
	ok(t, err)
	mine, err := s.ClaimRun(ctx, "claim-1", start, day(1), lease) // the clock of the one before was ahead
	want.State, want.Claim, want.Started, want.Tries = report.RunRunning, "claim-1", start, 2
	same(t, must(t, mine, err), want)
	_, err = s.ClaimRun(ctx, "claim-2", lease, lease, lease.Add(time.Minute)) // the lease has not ended
	refused(t, err, fault.NotFound)
	ok(t, s.AddRunPart(ctx, mine, 0, []byte("lost")))
	ok(t, s.HoldRun(ctx, mine, lease.Add(time.Minute)))
	_, err = s.ClaimRun(ctx, "claim-2", lease.Add(time.Second), day(1), lease.Add(2*time.Minute))
	refused(t, err, fault.NotFound)

	// Whoever held it died: it begins anew, and the first one has nothing to say any more.
	later := lease.Add(time.Minute + time.Microsecond)
	second, err := s.ClaimRun(ctx, "claim-2", later, day(1), later.Add(time.Minute))
	if ok(t, err); second.Tries != 3 {
		t.Errorf("tried %d times", second.Tries)
	}
	_, err = s.RunPart(ctx, "run-1", 0)
	refused(t, err, fault.NotFound)
	refused(t, s.HoldRun(ctx, mine, later.Add(time.Hour)), fault.Conflict)
	refused(t, s.AddRunPart(ctx, mine, 1, []byte("x")), fault.Conflict)
	refused(t, s.FinishRun(ctx, mine), fault.Conflict)
	for n := range 3 {
		ok(t, s.AddRunPart(ctx, second, n, []byte{byte(n)}))
	}
	second.State, second.Rows, second.Size, second.Digest, second.Ended, second.Until = report.RunDone, 3, 3, "ab12", later, day(9)
	ok(t, s.FinishRun(ctx, second))
	refused(t, s.FinishRun(ctx, second), fault.Conflict)
	got, err = s.Run(ctx, "run-1")
	same(t, must(t, got, err), second)
	part, err := s.RunPart(ctx, "run-1", 2)
	if ok(t, err); !bytes.Equal(part, []byte{2}) {
		t.Errorf("part %v", part)
	}

	for n := 2; n <= 4; n++ {
		r := reportRun(fmt.Sprint("run-", n))
		r.Schedule = ""
		ok(t, s.AddRun(ctx, r))
	}
	for name, c := range map[string]struct {
		filter report.RunFilter
		want   string
	}{
		"all":      {report.RunFilter{}, "run-4 run-3 run-2 run-1 "},
		"page":     {report.RunFilter{Before: "run-4", Limit: 2}, "run-3 run-2 "},
		"schedule": {report.RunFilter{Schedule: "weekly"}, "run-1 "},
		"report":   {report.RunFilter{Report: "users"}, ""},
	} {
		all, err := s.ListRuns(ctx, c.filter)
		ids := ""
		for _, r := range must(t, all, err) {
			ids += r.ID + " "
		}
		if ids != c.want {
			t.Errorf("%s: %q, want %q", name, ids, c.want)
		}
	}
	ok(t, s.DeleteRun(ctx, "run-4"))
	refused(t, s.DeleteRun(ctx, "run-4"), fault.NotFound)
	if n, err := s.DropRuns(ctx, day(9).Add(-time.Microsecond)); n != 0 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if n, err := s.DropRuns(ctx, day(9)); n != 1 || err != nil { // those that wait stay
		t.Errorf("dropped %d, %v", n, err)
	}
	_, err = s.RunPart(ctx, "run-1", 0)
	refused(t, err, fault.NotFound)
}

// reportSchedules keeps schedules.
func reportSchedules(t *testing.T, s fixture) {
	ctx := t.Context()
	want := report.Schedule{Name: "Monats-Übersicht", Order: reportRun("").Order, Every: report.Monthly, Minute: 1439, Weekday: time.Saturday, Day: 31,
		By: audit.Actor{Name: "key:auditor", Role: "auditor"}, MadeAt: start, NextAt: day(3)}
	ok(t, s.AddSchedule(ctx, want))
	refused(t, s.AddSchedule(ctx, want), fault.Conflict)
	all, err := s.Schedules(ctx)
	same(t, must(t, all, err), []report.Schedule{want})
	want.NextAt, want.LastRun = day(4), "run-1"
	ok(t, s.MoveSchedule(ctx, want, day(3)))
	refused(t, s.MoveSchedule(ctx, want, day(3)), fault.Conflict)
	all, err = s.Schedules(ctx)
	same(t, must(t, all, err), []report.Schedule{want})
	ok(t, s.DeleteSchedule(ctx, want.Name))
	refused(t, s.DeleteSchedule(ctx, want.Name), fault.NotFound)
}

// schedulesAfterAWrongClock goes on with schedules once a clock that was ahead is right again, and takes no clock for wrong that others are a little ahead of.
func schedulesAfterAWrongClock(t *testing.T, s fixture) {
	ctx := audit.WithActor(t.Context(), audit.Actor{Name: "socket", Role: string(access.SuperAdmin)})
	noon := day(0).Add(12 * time.Hour)
	now := noon.Add(-time.Hour)
	r := s.reports(func() time.Time { return now })
	order := report.RunOrder{Wish: report.Wish{Report: "tokens"}, Format: report.CSV}
	for _, x := range []report.Schedule{{Name: "daily", Every: report.Daily, Minute: 12 * 60}, {Name: "monthly", Every: report.Monthly, Day: 31}} {
		x.Order = order
		_, err := r.AddSchedule(ctx, x)
		ok(t, err)
	}
	due := func(at time.Time, want int) {
		t.Helper()
		now = at
		if n, err := r.Due(ctx); n != want || err != nil {
			t.Errorf("at %s there are %d runs, want %d, %v", at, n, want, err)
		}
		all, err := s.Schedules(ctx)
		for _, x := range must(t, all, err) {
			if x.NextAt.After(x.Next(now.Add(time.Hour))) {
				t.Errorf("at %s, %s waits for %s", at, x.Name, x.NextAt)
			}
		}
	}
	due(noon, 1)
	due(noon.Add(-3*time.Second), 0) // another server, whose clock is behind
	due(noon, 0)
	due(noon.AddDate(50, 0, 0), 2)
	r.Reliable = func() bool { return false } // where clocks differ by hours, whoever is behind waits
	now = noon.Add(time.Hour)
	_, err := r.Due(ctx)
	ok(t, err)
	all, err := s.Schedules(ctx)
	same(t, must(t, all, err)[0].NextAt.Year(), noon.Year()+50)
	r.Reliable = nil
	due(noon.Add(time.Hour), 0)
	due(noon.AddDate(0, 0, 1), 1)
	due(noon.AddDate(0, 1, 1), 2)
}

// always are the policies that hold unless they are edited.
type always struct{}

func (always) Current(context.Context) (*policy.Tree, error) {
	return policy.Alone(policy.Default()), nil
}

func (s fixture) reports(now func() time.Time) *report.Registry {
	return &report.Registry{Store: s, Runs: s, Policies: always{}, Domains: s.domains(), Now: now}
}

// reportsMadeOnce has two servers make what is due: each run is made once, whole, and a schedule that was missed for days is made up for once.
func reportsMadeOnce(t *testing.T, s servers) {
	ctx := audit.WithActor(t.Context(), audit.Actor{Name: "socket", Role: string(access.SuperAdmin)})
	for n := range 30 {
		s[0].add(t, made(n))
	}
	var now atomic.Int64
	now.Store(start.UnixMicro())
	clock := func() time.Time { return time.UnixMicro(now.Load()).UTC() }
	both := [2]*report.Registry{s[0].reports(clock), s[1].reports(clock)}
	var ended atomic.Int64
	for _, r := range both {
		r.Ended = func(context.Context, report.Run) error { ended.Add(1); return nil }
	}
	order := report.RunOrder{Wish: report.Wish{Report: "tokens", Columns: []string{"serial"}}, Format: report.CSV}
	for n := range 5 {
		_, err := both[0].AddSchedule(ctx, report.Schedule{Name: fmt.Sprint("schedule-", n), Order: order, Every: report.Daily, Minute: 6 * 60})
		ok(t, err)
	}
	started := func() int {
		var all sync.WaitGroup
		var n atomic.Int64
		for _, r := range both {
			for range 3 {
				all.Go(func() {
					due, err := r.Due(ctx)
					if err == nil {
						err = r.Work(ctx)
					}
					if err != nil {
						t.Error(err)
					}
					n.Add(int64(due))
				})
			}
		}
		all.Wait()
		return int(n.Load())
	}
	if n := started(); n != 0 {
		t.Errorf("%d runs before the time", n)
	}
	now.Store(start.Add(100 * time.Hour).UnixMicro()) // no server ran for four days
	if n := started(); n != 5 {
		t.Errorf("%d runs for 5 schedules", n)
	}
	if n := started(); n != 0 {
		t.Errorf("%d runs more", n)
	}
	if ended.Load() < 5 {
		t.Errorf("told of %d runs", ended.Load())
	}
	all, err := s[0].ListRuns(ctx, report.RunFilter{})
	ok(t, err)
	if len(all) != 5 {
		t.Fatalf("%d runs", len(all))
	}
	for _, r := range all {
		var b bytes.Buffer
		err := both[1].Content(ctx, r, &b)
		if err != nil || r.State != report.RunDone || r.Rows != 30 || r.Tries != 1 || int64(b.Len()) != r.Size || bytes.Count(b.Bytes(), []byte("\n")) != 31 || r.Until != r.Ended.AddDate(0, 0, report.KeepDays) {
			t.Errorf("%+v, %v: %q", r, err, b.String())
		}
	}
	schedules, err := s[0].Schedules(ctx)
	for _, x := range must(t, schedules, err) {
		if !x.NextAt.After(clock()) || x.NextAt.After(clock().Add(24*time.Hour)) || x.LastRun == "" {
			t.Errorf("the next time of %s is %s", x.Name, x.NextAt)
		}
	}

	// A run whose server stops in the middle is there to be made again; one that can never be made has failed.
	stopped, stop := context.WithCancel(ctx)
	run, err := both[0].Start(ctx, order)
	ok(t, err)
	stopping := *both[0]
	stopping.Store = stopAt{s[0], stop}
	if err := stopping.Work(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("a server that stops: %v", err)
	}
	r, err := s[0].Run(ctx, run.ID)
	if ok(t, err); r.State != report.RunQueued {
		t.Errorf("after its server stopped the run is %s", r.State)
	}
	ok(t, both[1].Work(ctx))
	r, err = s[0].Run(ctx, run.ID)
	if ok(t, err); r.State != report.RunDone || r.Rows != 30 {
		t.Errorf("%+v", r)
	}
	gone := run
	gone.ID, gone.Order.Report, gone.State = "a report of an older release", "toasters", report.RunQueued
	ok(t, s[0].AddRun(ctx, gone))
	ok(t, both[1].Work(ctx))
	r, err = s[0].Run(ctx, gone.ID)
	if ok(t, err); r.State != report.RunFailed || r.Message == "" || r.Until.IsZero() {
		t.Errorf("%+v", r)
	}
}

// stopAt is a store of a server that is stopped when it reads tokens.
type stopAt struct {
	report.Store
	stop func()
}

func (s stopAt) OpenOffers(ctx context.Context, serials []string) (map[string]time.Time, error) {
	s.stop()
	return s.Store.OpenOffers(ctx, serials)
}
