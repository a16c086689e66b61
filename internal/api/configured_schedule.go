package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/report"
)

// editedSchedule is a schedule with what an edit changes. Weekday and day go with the period that they are of.
func editedSchedule(s client.NewReportSchedule, edit client.ReportScheduleEdit) client.NewReportSchedule {
	set(&s.Report, edit.Report)
	set(&s.Format, edit.Format)
	set(&s.Columns, edit.Columns)
	set(&s.Filters, edit.Filters)
	set(&s.Order, edit.Order)
	set(&s.KeepDays, edit.KeepDays)
	set(&s.MailTo, edit.MailTo)
	set(&s.Webhook, edit.Webhook)
	set(&s.Every, edit.Every)
	set(&s.At, edit.At)
	if s.Every != string(report.Weekly) {
		s.Weekday = ""
	}
	if s.Every != string(report.Monthly) {
		s.Day = 0
	}
	set(&s.Weekday, edit.Weekday)
	set(&s.Day, edit.Day)
	return s
}

// scheduleIn is a schedule as it would be added.
func scheduleIn(s report.Schedule) client.NewReportSchedule {
	shown := scheduleOf(s)
	return client.NewReportSchedule{Schedule: shown.Schedule, ReportOrder: shown.ReportOrder, Every: shown.Every, At: shown.At, Weekday: shown.Weekday, Day: shown.Day}
}

func (c *configuring) reportSchedules(ctx context.Context) error {
	for _, in := range c.in.ReportSchedules {
		if err := c.names(kindReportSchedules, in.Schedule); err != nil {
			return err
		}
		wanted := func(s report.Schedule) (report.Schedule, error) {
			return scheduleFrom(editedSchedule(scheduleIn(s), orNone(in.Set)))
		}
		err := manage(c, managed[report.Schedule]{
			kind: kindReportSchedules, name: in.Schedule, missing: fault.NotFound, wanted: wanted, members: shownSchedule,
			get: func() (report.Schedule, error) { return c.schedule(ctx, in.Schedule) },
			add: func() (report.Schedule, error) {
				s, err := scheduleFrom(editedSchedule(newSchedule(in.Schedule), orNone(in.Set)))
				if err != nil {
					return s, err
				}
				return c.Reports.AddSchedule(ctx, s)
			},
			edit: func(here report.Schedule) (report.Schedule, error) {
				s, err := wanted(here)
				if err == nil {
					err = c.Reports.DeleteSchedule(ctx, in.Schedule)
				}
				if err != nil {
					return s, err
				}
				return c.addScheduleOf(ctx, here.Domain, s)
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addScheduleOf adds a schedule of a domain: who applies is of the whole deployment, and it would go to those who were to see a part.
func (c *configuring) addScheduleOf(ctx context.Context, of string, s report.Schedule) (report.Schedule, error) {
	scope, err := c.Domains.Scope(ctx, of)
	if err != nil {
		return s, err
	}
	s, err = c.Reports.AddSchedule(domain.WithScope(ctx, scope), s)
	if fault.CodeOf(err) == fault.OutOfScope {
		err = fault.New(fault.OutOfScope, "it is about the security domain %s, and what it is to be takes one of the whole deployment, such as for a webhook: delete it first, or take another name", of)
	}
	return s, err
}

func shownSchedule(s report.Schedule) settable {
	return settableOf(scheduleOf(s), client.ReportScheduleEdit{})
}

// newSchedule is one of which nothing is said: a CSV file every morning, kept for 30 days.
func newSchedule(name string) client.NewReportSchedule {
	return client.NewReportSchedule{Schedule: name, ReportOrder: client.ReportOrder{Format: string(report.CSV), KeepDays: report.KeepDays}, Every: string(report.Daily), At: "06:00"}
}

// schedule returns a schedule; [fault.NotFound], [fault.Forbidden] where whoever applies may not have its report.
func (c *configuring) schedule(ctx context.Context, name string) (report.Schedule, error) {
	all, err := c.Reports.Schedules(ctx)
	if err != nil {
		return report.Schedule{}, err
	}
	for _, s := range all {
		if s.Name == name {
			return s, s.Refuse(ctx)
		}
	}
	return report.Schedule{}, fault.NotFound
}
