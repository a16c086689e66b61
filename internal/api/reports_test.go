package api

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/report"
)

// report reads a report to its end.
func (h *house) report(c *client.Client, name, format string, q client.ReportQuery) ([]byte, error) {
	h.t.Helper()
	r, err := c.Report(h.t.Context(), name, format, q)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// rows are those of a report as JSON.
func (h *house) rows(name string, q client.ReportQuery) client.ReportDocument {
	h.t.Helper()
	data := try(h.report(h.admin, name, "json", q))(h.t)
	var d client.ReportDocument
	must(h.t, json.Unmarshal(data, &d))
	if d.Count != len(d.Rows) || d.Report != name {
		h.t.Errorf("%s counts %d of %d rows", d.Report, d.Count, len(d.Rows))
	}
	return d
}

func reportRoutes(t *testing.T, h *house) {
	ctx := t.Context()
	before := try(h.admin.Statistics(ctx, -1))(t)
	tok := h.assigned("count-me")
	try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 2, Expiry: h.now().AddDate(0, 0, 7).Format(time.DateOnly)}))(t)
	after := try(h.admin.Statistics(ctx, 8))(t)
	if after.SoftwareTotal != before.SoftwareTotal+3 || after.Assigned != before.Assigned+1 || after.Available != before.Available+2 ||
		after.SoftwareAvailable != before.SoftwareAvailable || after.NewPIN != before.NewPIN+1 || after.Expiring != 2 || after.ExpiringDays != 8 || before.ExpiringDays != 90 {
		t.Errorf("before token %s: %+v\nafter: %+v", tok.Serial, before, after)
	}

	all := try(h.admin.Reports(ctx))(t)
	if len(all) != len(report.Templates()) {
		t.Errorf("a super administrator may have %d of %d reports", len(all), len(report.Templates()))
	}
	for _, r := range all { // each report, each way
		for _, format := range []string{"json", "csv", "pdf"} {
			var columns []string
			for _, c := range r.Columns {
				columns = append(columns, c.Name)
			}
			data := try(h.report(h.admin, r.Report, format, client.ReportQuery{Columns: columns, Order: r.Orders[len(r.Orders)-1]}))(t)
			if format == "pdf" && !bytes.HasPrefix(data, []byte("%PDF-")) {
				t.Errorf("%s is no PDF", r.Report)
			}
		}
	}
	d := h.rows("tokens", client.ReportQuery{Columns: []string{"serial", "user", "state"}, Filters: map[string]string{"user": "count-me"}})
	if len(d.Rows) != 1 || d.Rows[0]["serial"] != tok.Serial || d.Rows[0]["state"] != "new_pin" || len(d.Rows[0]) != 3 {
		t.Errorf("tokens of a user: %+v", d)
	}
	lines := try(csv.NewReader(bytes.NewReader(try(h.report(h.admin, "tokens", "csv", client.ReportQuery{Columns: []string{"user", "serial"}, Order: "-user"}))(t))).ReadAll())(t)
	if len(lines) != after.Assigned+1 || !slices.Equal(lines[0], []string{"user", "serial"}) || lines[1][0] < lines[len(lines)-1][0] {
		t.Errorf("CSV %v", lines)
	}
	if got := h.rows("administration", client.ReportQuery{Filters: map[string]string{"reason": ""}}); len(got.Rows) == 0 || got.Rows[0]["action"] != "export.report" {
		t.Errorf("that somebody had a report is not in the log: %+v", got.Rows)
	}
	_, err := h.report(h.admin, "toasters", "csv", client.ReportQuery{})
	refused(t, err, 404, "NOT_FOUND")
	for _, q := range []client.ReportQuery{{Columns: []string{"pin_hash"}}, {Filters: map[string]string{"state": "tasty"}}, {Order: "chaos"}} {
		_, err = h.report(h.admin, "tokens", "json", q)
		refused(t, err, 400, "INVALID")
	}
	desk := h.as(access.HelpDesk)
	if _, err := h.report(desk, "tokens", "json", client.ReportQuery{}); err != nil {
		t.Error(err)
	}
	_, err = h.report(desk, "authentications", "json", client.ReportQuery{})
	refused(t, err, 403, "FORBIDDEN")
	for _, r := range try(desk.Reports(ctx))(t) {
		if slices.Contains(r.Rights, "read_audit") {
			t.Errorf("the help desk is shown the report %s", r.Report)
		}
	}
}
