package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// reportOrder gives a command the flags of a report that is made and kept.
func reportOrder(cmd *cobra.Command) (order func(report string) (client.ReportOrder, error)) {
	var o client.ReportOrder
	var filters []string
	s := cmd.Flags()
	s.StringVar(&o.Format, "format", "csv", "`form` of the report: csv, json or pdf")
	s.StringSliceVar(&o.Columns, "columns", nil, "`names` of columns with commas between them, in the order wanted")
	s.StringArrayVar(&filters, "filter", nil, "`name=value`; may be given several times. Times may be days or hours from the run: -30d, +90d, -2h")
	s.StringVar(&o.Order, "order", "", "`order` of the rows, one of those of the report")
	s.IntVar(&o.KeepDays, "keep-days", 30, "for how many `days` it is kept")
	s.StringSliceVar(&o.MailTo, "mail-to", nil, "`addresses` that it is mailed to, with commas between them; attached up to 5 MB")
	s.StringVar(&o.Webhook, "webhook", "", "`name` of a webhook that it is posted to, with the event report.done")
	return func(report string) (client.ReportOrder, error) {
		o.Report = report
		var err error
		o.Filters, err = reportFilters(filters)
		return o, err
	}
}

func (p *program) reportRun() *cobra.Command {
	var wait bool
	cmd := p.command("run NAME", "Have the server make a report and keep it, to be downloaded later", 1, nil)
	order := reportOrder(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is made")
	p.does(cmd, func(r run) error {
		o, err := order(r.args[0])
		if err != nil {
			return err
		}
		made, err := r.server.AddReportRun(r.ctx, o)
		if err != nil {
			return err
		}
		for wait && (made.State == "queued" || made.State == "running") {
			select {
			case <-r.ctx.Done():
				return fmt.Errorf("the server goes on making it: 'tallystick report runs' shows when it is done, 'tallystick report download %s' fetches it", made.Run)
			case <-time.After(lookAgain):
			}
			if made, err = r.server.ReportRun(r.ctx, made.Run); err != nil {
				return err
			}
		}
		if made.State == "failed" {
			return fault.New(fault.Conflict, "run %s failed: %s", made.Run, made.Message)
		}
		return p.result(made, "run %s of report %s is %s", made.Run, made.Report, made.State)
	})
	return cmd
}

// lookAgain is how often a run is looked at that is waited for.
const lookAgain = 300 * time.Millisecond

func (p *program) reportRuns() *cobra.Command {
	var f client.ReportRunFilter
	most := 0
	cmd := p.command("runs", "List the reports that were made and kept, the newest first", 0, func(r run) error {
		all := []client.ReportRun{}
		for {
			page, err := r.server.ReportRuns(r.ctx, f)
			if err != nil {
				return err
			}
			all = append(all, page.Runs...)
			if f.Before = page.Next; f.Before == "" || most > 0 && len(all) >= most {
				break
			}
		}
		if most > 0 {
			all = all[:min(most, len(all))]
		}
		return tabulate(p, client.ReportRunPage{Runs: all}, []string{"RUN", "REPORT", "FORMAT", "STATE", "ROWS", "BYTES", "MADE", "KEPT UNTIL", "SCHEDULE"}, all, func(m client.ReportRun) []string {
			return []string{m.Run, m.Report, m.Format, m.State, number(m.Rows), fmt.Sprint(m.Bytes), date(&m.CreatedAt), date(m.KeptUntil), m.Schedule}
		})
	})
	cmd.Flags().StringVar(&f.Report, "report", "", "only those of a `report`")
	cmd.Flags().StringVar(&f.Schedule, "schedule", "", "only those of a `schedule`")
	cmd.Flags().IntVar(&most, "limit", 0, "at most so many (default all)")
	return cmd
}

func (p *program) reportDownload() *cobra.Command {
	out := ""
	cmd := p.command("download RUN", "Download a report that was made and kept", 1, func(r run) error {
		if p.JSON && (out == "" || out == "-") {
			return cli.Usagef("the report and --json both take standard output: write it to a file with --out FILE")
		}
		in, err := r.server.DownloadReport(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		return p.into(out, func(w io.Writer) error {
			_, err := io.Copy(w, in)
			return cutOff(err)
		})
	})
	cmd.Flags().StringVar(&out, "out", "", "`file` to write to (default standard output)")
	return cmd
}

func (p *program) reportDelete() *cobra.Command {
	return p.deletion("delete RUN", "Destroy a report that was made and kept", func(r run) error { return r.server.DeleteReportRun(r.ctx, r.args[0]) })
}

func (p *program) reportSchedule() *cobra.Command {
	list := p.command("list", "List the schedules", 0, func(r run) error {
		all, err := r.server.ReportSchedules(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, client.ReportScheduleList{Schedules: all}, []string{"SCHEDULE", "REPORT", "FORMAT", "WHEN (UTC)", "NEXT", "LAST RUN", "BY", "TO"}, all, func(s client.ReportSchedule) []string {
			return []string{s.Schedule, s.Report, s.Format, when(s), date(&s.NextAt), s.LastRun, s.By, strings.Join(sentTo(s.ReportOrder), ", ")}
		})
	})
	end := p.deletion("delete NAME", "End a schedule; what it had made stays as long as it is kept", func(r run) error {
		return r.server.DeleteReportSchedule(r.ctx, r.args[0])
	})
	return group("schedule", "Have reports made again and again", p.reportScheduleAdd(), list, end)
}

// sentTo are those who are sent what is made.
func sentTo(o client.ReportOrder) []string {
	to := o.MailTo
	if o.Webhook != "" {
		to = append(slices.Clone(to), "webhook "+o.Webhook)
	}
	return to
}

// when says when a schedule has its report made.
func when(s client.ReportSchedule) string {
	switch s.Every {
	case "week":
		return s.Weekday + "s, " + s.At
	case "month":
		return fmt.Sprintf("day %d of the month, %s", s.Day, s.At)
	}
	return "daily, " + s.At
}

func (p *program) reportScheduleAdd() *cobra.Command {
	var s client.NewReportSchedule
	report := ""
	cmd := p.command("add NAME", "Have a report made every day, week or month", 1, nil)
	order := reportOrder(cmd)
	f := cmd.Flags()
	f.StringVar(&report, "report", "", "`report` to make")
	f.StringVar(&s.Every, "every", "day", "`period` after which it is made again: day, week or month")
	f.StringVar(&s.At, "at", "06:00", "`time` of day in UTC, HH:MM")
	f.StringVar(&s.Weekday, "weekday", "", "`day` of the week, such as monday, with --every week")
	f.IntVar(&s.Day, "day", 0, "`day` of the month, 1 to 31, with --every month; a shorter month has its last day taken")
	cmd.Long = "Have a report made every day, week or month, by one of the servers. What was missed while no server ran is made up for once.\nIt is made with the rights that you have now. Its end is the event report.done, which webhooks and 'tallystick changes' tell, and is mailed to whom the mail settings name.\nWith --mail-to the report itself is mailed, with --webhook it is posted."
	p.does(cmd, func(r run) error {
		if report == "" {
			return cli.Usagef("say what to make: --report NAME; 'tallystick report list' shows the reports")
		}
		o, err := order(report)
		if err != nil {
			return err
		}
		s.Schedule, s.ReportOrder, s.Weekday = r.args[0], o, strings.ToLower(s.Weekday)
		made, err := r.server.AddReportSchedule(r.ctx, s)
		if err != nil {
			return err
		}
		return p.result(made, "schedule %s makes report %s for the first time on %s", made.Schedule, made.Report, date(&made.NextAt))
	})
	return cmd
}
