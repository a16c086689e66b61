package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/report"
)

func orderOf(o client.ReportOrder) report.RunOrder {
	return report.RunOrder{
		Wish: report.Wish{Report: o.Report, Columns: o.Columns, Filters: o.Filters, Order: o.Order}, Format: report.Format(o.Format), KeepDays: o.KeepDays, MailTo: o.MailTo, Webhook: o.Webhook,
	}
}

func shownOrder(o report.RunOrder) client.ReportOrder {
	return client.ReportOrder{Report: o.Report, Format: string(o.Format), Columns: o.Columns, Filters: o.Filters, Order: o.Order, KeepDays: o.KeepDays, MailTo: o.MailTo, Webhook: o.Webhook}
}

func runOf(r report.Run) client.ReportRun {
	return client.ReportRun{
		Run: r.ID, Schedule: r.Schedule, ReportOrder: shownOrder(r.Order), State: string(r.State), Rows: r.Rows, Bytes: r.Size, SHA256: r.Digest, Message: r.Message, By: r.By.Name, Domain: domain.Show(r.Domain),
		CreatedAt: r.MadeAt, EndedAt: moment(r.Ended), KeptUntil: moment(r.Until),
	}
}

func scheduleOf(s report.Schedule) client.ReportSchedule {
	out := client.ReportSchedule{
		Schedule: s.Name, ReportOrder: shownOrder(s.Order), Every: string(s.Every), At: fmt.Sprintf("%02d:%02d", s.Minute/60, s.Minute%60), By: s.By.Name, Domain: domain.Show(s.Domain),
		CreatedAt: s.MadeAt, NextAt: s.NextAt, LastRun: s.LastRun,
	}
	switch s.Every {
	case report.Weekly:
		out.Weekday = strings.ToLower(s.Weekday.String())
	case report.Monthly:
		out.Day = s.Day
	}
	return out
}

func (a *API) addReportRun(ctx context.Context, _ *request, in client.ReportOrder) (answer, error) {
	run, err := a.Reports.Start(ctx, orderOf(in))
	if err != nil {
		return answer{}, err
	}
	out, err := reply(http.StatusCreated, runOf(run))
	out.Location = at("report-runs", run.ID)
	return out, err
}

// mayHave tells whether the caller may have a report.
func mayHave(ctx context.Context, name string) bool {
	t, err := report.Find(name)
	return err == nil && t.Refuse(ctx) == nil
}

// listReportRuns lists the runs of reports that the caller may have. A page may be short and yet have a next one.
func (a *API) listReportRuns(ctx context.Context, r *request) (answer, error) {
	f := report.RunFilter{Report: r.query("report"), Schedule: r.query("schedule"), Before: r.query("before"), Limit: r.limit() + 1}
	all, err := a.Reports.Runs.ListRuns(ctx, f)
	if err == nil && len(all) == 0 { // of a schedule that was deleted there may be some
		err = a.noRuns(ctx, f)
	}
	if err != nil {
		return answer{}, err
	}
	all, next := page(all, r.limit(), func(run report.Run) string { return run.ID })
	out := client.ReportRunPage{Runs: []client.ReportRun{}, Next: next}
	for _, run := range all {
		if mayHave(ctx, run.Order.Report) {
			out.Runs = append(out.Runs, runOf(run))
		}
	}
	return ok(out)
}

// noRuns refuses a report or schedule that is not there, of which there are no runs.
func (a *API) noRuns(ctx context.Context, f report.RunFilter) error {
	if f.Report != "" {
		if _, err := report.Find(f.Report); err != nil {
			return err
		}
	}
	if f.Schedule == "" {
		return nil
	}
	schedules, err := a.Reports.Schedules(ctx)
	if err == nil && !slices.ContainsFunc(schedules, func(s report.Schedule) bool { return s.Name == f.Schedule }) {
		err = domain.Outside(ctx, fault.New(fault.NotFound, "there is no schedule %q", f.Schedule), "schedule %q", f.Schedule)
	}
	return err
}

// reportRun is the run that a request names, if the caller may have it.
func (a *API) reportRun(ctx context.Context, r *request) (report.Run, error) {
	run, err := a.Reports.Runs.Run(ctx, r.PathValue("run"))
	if err == nil && !mayHave(ctx, run.Order.Report) {
		err = fault.New(fault.Forbidden, "role %s may not have the report %s", audit.ActorFrom(ctx).Role, run.Order.Report)
	}
	return run, err
}

func (a *API) showReportRun(ctx context.Context, r *request) (answer, error) {
	run, err := a.reportRun(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return ok(runOf(run))
}

// downloadReport sends what a run made. That somebody had it is in the audit log before its first byte leaves.
func (a *API) downloadReport(ctx context.Context, r *request) (answer, error) {
	run, err := a.reportRun(ctx, r)
	if err != nil {
		return answer{}, err
	}
	if run.State != report.RunDone {
		return answer{}, fault.New(fault.Conflict, "run %s is %s: there is nothing to download", run.ID, run.State)
	}
	e := audit.New(ctx, a.Now(), "export.report", "report_run:"+run.ID, audit.Details{"report": run.Order.Report, "format": run.Order.Format, "rows": run.Rows, "bytes": run.Size})
	if err := a.Store.Record(ctx, e); err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK, Type: run.Order.Format.MediaType(), stream: func(w io.Writer) error {
		out := bufio.NewWriterSize(w, streamed)
		if err := a.Reports.Content(ctx, run, out); err != nil {
			return err
		}
		return out.Flush()
	}}, nil
}

func (a *API) deleteReportRun(ctx context.Context, r *request) (answer, error) {
	run, err := a.reportRun(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return done(a.Reports.DeleteRun(ctx, run.ID))
}

// scheduleFrom is a schedule in the words of the domain.
func scheduleFrom(in client.NewReportSchedule) (report.Schedule, error) {
	s := report.Schedule{Name: in.Schedule, Order: orderOf(in.ReportOrder), Every: report.Period(in.Every), Day: in.Day}
	hour, minute, _ := strings.Cut(in.At, ":")
	h, _ := strconv.Atoi(hour) // the contract has both
	m, _ := strconv.Atoi(minute)
	s.Minute = 60*h + m
	s.Weekday = -1
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.ToLower(day.String()) == in.Weekday {
			s.Weekday = day
		}
	}
	if s.Every != report.Weekly && in.Weekday != "" || s.Every != report.Monthly && in.Day != 0 {
		return report.Schedule{}, fault.New(fault.Invalid, "a weekday is for schedules of weeks, a day for those of months")
	}
	if s.Every != report.Weekly {
		s.Weekday = time.Sunday
	}
	return s, nil
}

func (a *API) addReportSchedule(ctx context.Context, _ *request, in client.NewReportSchedule) (answer, error) {
	s, err := scheduleFrom(in)
	if err != nil {
		return answer{}, err
	}
	if s, err = a.Reports.AddSchedule(ctx, s); err != nil {
		return answer{}, err
	}
	return reply(http.StatusCreated, scheduleOf(s))
}

func (a *API) listReportSchedules(ctx context.Context, _ *request) (answer, error) {
	all, err := a.Reports.Schedules(ctx)
	if err != nil {
		return answer{}, err
	}
	out := client.ReportScheduleList{Schedules: []client.ReportSchedule{}}
	for _, s := range all {
		if s.Refuse(ctx) == nil {
			out.Schedules = append(out.Schedules, scheduleOf(s))
		}
	}
	return ok(out)
}

func (a *API) deleteReportSchedule(ctx context.Context, r *request) (answer, error) {
	return done(a.Reports.DeleteSchedule(ctx, r.PathValue("schedule")))
}
