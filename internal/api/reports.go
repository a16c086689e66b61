package api

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/report"
)

func (a *API) statistics(ctx context.Context, r *request) (answer, error) {
	at := a.Now().UTC()
	s, err := a.Reports.Statistics(ctx, int(r.number("expiring_days", -1)))
	if err != nil {
		return answer{}, err
	}
	return ok(client.Statistics{
		At: at, ExpiringDays: s.ExpiringDays, Assigned: s.Assigned, Available: s.Available, Expired: s.Expired, Expiring: s.Expiring,
		Enabled: s.Enabled, Disabled: s.Disabled, Lost: s.Lost, Replacement: s.Replacement, Replaced: s.Replaced,
		HardwareTotal: s.Hardware, SoftwareTotal: s.Total - s.Hardware, SoftwareAvailable: s.AvailableNext, OverIssueLimit: s.OverLimit, NewPIN: s.NewPIN, NextTokencode: s.NextTokencode,
		LockedUsers: s.LockedUsers, PendingActivations: s.PendingActivations, NeverConfirmed: s.NeverConfirmed,
	})
}

// listReports lists the reports that the caller may have.
func (a *API) listReports(ctx context.Context, _ *request) (answer, error) {
	may := slices.DeleteFunc(report.Templates(), func(t *report.Template) bool { return t.Refuse(ctx) != nil })
	return ok(client.ReportTemplateList{Reports: mapped(may, templateOf)})
}

func templateOf(t *report.Template) client.ReportTemplate {
	out := client.ReportTemplate{Report: t.Name, Title: t.Title, About: t.About, Rights: []string{string(access.Read)}, Orders: t.Orders}
	if t.Right != "" {
		out.Rights = append(out.Rights, string(t.Right))
	}
	out.Columns = mapped(t.Columns, func(c report.Column) client.ReportColumn {
		return client.ReportColumn{Name: c.Name, Title: c.Title, Kind: string(c.Kind), Shown: c.Shown}
	})
	out.Filters = mapped(t.Filters, func(f report.Filter) client.ReportFilter {
		return client.ReportFilter{Name: f.Name, About: f.About, Kind: string(f.Kind), Values: mapped(f.Values, func(v string) string { return v })}
	})
	return out
}

// filtersOf reads filters, each as NAME=VALUE.
func filtersOf(pairs []string) (map[string]string, error) {
	filters := map[string]string{}
	for _, pair := range pairs {
		name, value, whole := strings.Cut(pair, "=")
		if _, twice := filters[name]; twice || !whole {
			return nil, fault.New(fault.Invalid, "a filter is NAME=VALUE, each name once")
		}
		filters[name] = value
	}
	return filters, nil
}

// showReport sends a report while it is made. That somebody had it is in the audit log before its first byte leaves.
func (a *API) showReport(ctx context.Context, r *request) (answer, error) {
	wish := report.Wish{Report: r.PathValue("report"), Order: r.query("order")}
	var err error
	if wish.Filters, err = filtersOf(r.URL.Query()["filter"]); err != nil {
		return answer{}, err
	}
	if columns := r.query("columns"); columns != "" {
		wish.Columns = strings.Split(columns, ",")
	}
	plan, err := a.Reports.Plan(ctx, wish)
	if err != nil {
		return answer{}, err
	}
	if err := plan.Template.Refuse(ctx); err != nil {
		return answer{}, err
	}
	format := report.Format(r.query("format"))
	if format == "" {
		format = report.JSON
	}
	e := audit.New(ctx, a.Now(), "export.report", "report:"+plan.Template.Name, audit.Details{"format": format, "filters": wish.Filters, "columns": wish.Columns})
	if err := a.Store.Record(ctx, e); err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK, Type: format.MediaType(), stream: func(w io.Writer) error {
		out := bufio.NewWriterSize(w, streamed)
		_, err := plan.Write(ctx, format, out)
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			a.Logger.ErrorContext(ctx, "report cut off", "report", plan.Template.Name, "error", err, "correlation_id", audit.CorrelationFrom(ctx))
		}
		return err
	}}, nil
}

// streamed is how much of a report is sent at a time, in bytes.
const streamed = 32 << 10
