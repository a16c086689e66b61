package report

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Period is how often a schedule has its report made.
type Period string

// The periods.
const (
	Daily   Period = "day"
	Weekly  Period = "week"
	Monthly Period = "month"
)

// A Schedule has a report made again and again, at a time of day in UTC.
type Schedule struct {
	Name    string
	Order   RunOrder
	Every   Period
	Minute  int          // of the day, 0 to 1439
	Weekday time.Weekday // of weeks
	Day     int          // of months, 1 to 31; in a month that is shorter, the last one
	By      audit.Actor  // with whose rights it is made
	Domain  string       // as that of its runs
	MadeAt  time.Time
	NextAt  time.Time
	LastRun string // ID of the newest run; "" before the first
}

// Next is the first time of the schedule after a moment.
func (s *Schedule) Next(after time.Time) time.Time {
	after = after.UTC()
	at := func(day time.Time) time.Time { return day.Add(time.Duration(s.Minute) * time.Minute) }
	day := today(after)
	switch s.Every {
	case Weekly:
		day = day.AddDate(0, 0, (int(s.Weekday)-int(day.Weekday())+7)%7)
		if !at(day).After(after) {
			day = day.AddDate(0, 0, 7)
		}
	case Monthly:
		first := month(after)
		if day = s.dayOf(first); !at(day).After(after) {
			day = s.dayOf(first.AddDate(0, 1, 0))
		}
	default:
		if !at(day).After(after) {
			day = day.AddDate(0, 0, 1)
		}
	}
	return at(day)
}

// dayOf is the schedule's day of the month that begins at first.
func (s *Schedule) dayOf(first time.Time) time.Time {
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(s.Day, last)-1)
}

// check refuses a schedule that breaks a limit.
func (s *Schedule) check() error {
	switch {
	case s.Name == "" || utf8.RuneCountInString(s.Name) > 64 || s.Name != strings.TrimSpace(s.Name) || strings.IndexFunc(s.Name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		return fault.New(fault.Invalid, "the name of a schedule takes 1 to 64 printable characters, without blanks at its ends")
	case !slices.Contains([]Period{Daily, Weekly, Monthly}, s.Every):
		return fault.New(fault.Invalid, "a report is made every day, week or month")
	case s.Minute < 0 || s.Minute >= 24*60:
		return fault.New(fault.Invalid, "the time of a schedule is one of the day, from 00:00 to 23:59 UTC")
	case s.Every == Weekly && (s.Weekday < time.Sunday || s.Weekday > time.Saturday):
		return fault.New(fault.Invalid, "a weekday is one from sunday to saturday")
	case s.Every == Monthly && (s.Day < 1 || s.Day > 31):
		return fault.New(fault.Invalid, "a day of the month is one from 1 to 31; a month that is shorter has its last one taken")
	}
	return nil
}

// AddSchedule keeps a schedule; [fault.Conflict] if there is one of that name. Its reports are made with the rights, and of the security
// domain, that the caller has now.
func (r *Registry) AddSchedule(ctx context.Context, s Schedule) (Schedule, error) {
	if err := s.check(); err != nil {
		return Schedule{}, err
	}
	s.By, s.Domain, s.MadeAt = audit.ActorFrom(ctx), domainOf(ctx), r.Now().UTC()
	s.NextAt = s.Next(s.MadeAt)
	err := r.Runs.Transact(ctx, func(ctx context.Context) error {
		if err := r.orderable(ctx, &s.Order); err != nil { // in here, so that its webhook stays until it is kept
			return err
		}
		if err := r.Runs.AddSchedule(ctx, s); err != nil {
			return err
		}
		return r.Runs.Record(ctx, audit.New(ctx, s.MadeAt, "report.schedule_add", "report_schedule:"+s.Name, s.details()))
	})
	return s, err
}

func (s *Schedule) details() audit.Details {
	d := s.Order.details()
	d["every"], d["next"] = s.Every, s.NextAt
	return d
}

// Schedules lists the schedules by name.
func (r *Registry) Schedules(ctx context.Context) ([]Schedule, error) { return r.Runs.Schedules(ctx) }

// PostedTo names the schedules whose reports are posted to a webhook, by name.
func (r *Registry) PostedTo(ctx context.Context, webhook string) (names []string, err error) {
	all, err := r.Runs.Schedules(ctx)
	for _, s := range all {
		if s.Order.Webhook == webhook {
			names = append(names, s.Name)
		}
	}
	return names, err
}

// Refuse refuses the schedule to who acts in ctx and may not have its report, without a word of what that is: [fault.Forbidden].
func (s *Schedule) Refuse(ctx context.Context) error {
	if t, err := Find(s.Order.Report); err != nil || t.Refuse(ctx) != nil {
		return fault.New(fault.Forbidden, "role %s may not have the report of the schedule %q, and so neither see, change nor end it: ask somebody who may have the report", audit.ActorFrom(ctx).Role, s.Name)
	}
	return nil
}

// DeleteSchedule ends a schedule; [fault.NotFound], [fault.Forbidden] where the caller may not have its report. The reports that it had made
// stay as long as they are kept.
func (r *Registry) DeleteSchedule(ctx context.Context, name string) error {
	return r.Runs.Transact(ctx, func(ctx context.Context) error {
		all, err := r.Runs.Schedules(ctx)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(all, func(s Schedule) bool { return s.Name == name }); i >= 0 {
			if err := all[i].Refuse(ctx); err != nil {
				return err
			}
		}
		if err := r.Runs.DeleteSchedule(ctx, name); err != nil {
			return err
		}
		return r.Runs.Record(ctx, audit.New(ctx, r.Now(), "report.schedule_delete", "report_schedule:"+name, nil))
	})
}

// Due starts a run for each schedule whose time has come, and tells how many. What was missed while no server ran is made up for
// once. Of several servers one starts it. A schedule that waits for longer than from one time to the next was moved under a clock that
// was ahead: it is pulled back, unless [Registry.Reliable] says that this one may be behind, which would have a report made again and again.
func (r *Registry) Due(ctx context.Context) (int, error) {
	started := 0
	now := r.Now().UTC()
	all, err := r.Runs.Schedules(ctx)
	if err != nil {
		return 0, err
	}
	slices.SortStableFunc(all, func(a, b Schedule) int { return a.NextAt.Compare(b.NextAt) })
	for _, s := range all {
		was := s.NextAt
		if was.After(s.Next(now.Add(clock.Apart))) && (r.Reliable == nil || r.Reliable()) {
			s.NextAt = s.Next(now)
			if err := r.Runs.MoveSchedule(ctx, s, was); err != nil && fault.CodeOf(err) != fault.Conflict {
				return started, err
			}
		}
		if was.After(now) {
			continue
		}
		run := s.Order.run(s.By, s.Domain, now)
		run.Schedule, s.LastRun, s.NextAt = s.Name, run.ID, s.Next(now)
		err := r.Runs.Transact(ctx, func(ctx context.Context) error {
			if err := r.Runs.MoveSchedule(ctx, s, was); err != nil {
				return err
			}
			return r.Runs.AddRun(ctx, run)
		})
		if fault.CodeOf(err) == fault.Conflict { // another server was faster, or somebody ended it
			continue
		}
		if err != nil {
			return started, err
		}
		started++
	}
	return started, nil
}
