package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
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
	try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 2, Expiry: h.Now().AddDate(0, 0, 7).Format(time.DateOnly)}))(t)
	after := try(h.admin.Statistics(ctx, 7))(t)
	if after.SoftwareTotal != before.SoftwareTotal+3 || after.Assigned != before.Assigned+1 || after.Available != before.Available+2 ||
		after.SoftwareAvailable != before.SoftwareAvailable || after.NewPIN != before.NewPIN+1 || after.Expiring != 2 || after.ExpiringDays != 7 || before.ExpiringDays != 90 {
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
	if len(lines) != after.SoftwareTotal+after.HardwareTotal+1 || lines[len(lines)-1][0] != "" || !slices.Equal(lines[0], []string{"user", "serial"}) || lines[1][0] < lines[len(lines)-1][0] {
		t.Errorf("CSV %v", lines)
	}
	for within, want := range map[string]int{"6": 0, "7": 2} {
		if got := h.rows("expiring", client.ReportQuery{Filters: map[string]string{"within": within}}); got.Count != want {
			t.Errorf("%d tokens end within %s days, want %d", got.Count, within, want)
		}
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

func reportRunRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	order := client.ReportOrder{Report: "users", Format: "csv", Columns: []string{"user"}, Filters: map[string]string{"enabled": "true"}, Order: "user", KeepDays: 3}
	run := try(c.AddReportRun(ctx, order))(t)
	if run.State != "queued" || run.KeptUntil != nil || run.ReportOrder.Report != "users" || run.KeepDays != 3 {
		t.Errorf("started %+v", run)
	}
	_, err := c.DownloadReport(ctx, run.Run)
	refused(t, err, 409, "CONFLICT")
	must(t, h.API.Reports.Work(ctx))
	run = try(c.ReportRun(ctx, run.Run))(t)
	if run.State != "done" || run.Rows == 0 || run.KeptUntil == nil || !run.KeptUntil.Equal(h.Now().AddDate(0, 0, 3)) {
		t.Errorf("made %+v", run)
	}
	content := try(c.DownloadReport(ctx, run.Run))(t)
	data := try(io.ReadAll(content))(t)
	content.Close()
	if !bytes.HasPrefix(data, []byte("user\n")) || int64(len(data)) != run.Bytes {
		t.Errorf("downloaded %q", data)
	}
	for _, action := range []string{"report.start", "report.done", "export.report"} {
		page := try(c.AuditEvents(ctx, client.EventFilter{Action: action, Object: "report_run:" + run.Run}))(t)
		if len(page.Events) != 1 {
			t.Errorf("%d events %s", len(page.Events), action)
		}
	}

	secret := try(c.AddReportRun(ctx, client.ReportOrder{Report: "administration", Format: "json"}))(t)
	must(t, h.API.Reports.Work(ctx))
	desk := h.as(access.HelpDesk)
	if seen := try(desk.ReportRuns(ctx, client.ReportRunFilter{}))(t); len(seen.Runs) != 1 || seen.Runs[0].Run != run.Run {
		t.Errorf("the help desk sees %+v", seen)
	}
	_, err = desk.DownloadReport(ctx, secret.Run)
	refused(t, err, 403, "FORBIDDEN")
	_, err = h.as(access.TokenAdmin).AddReportRun(ctx, client.ReportOrder{Report: "administration", Format: "json"})
	refused(t, err, 403, "FORBIDDEN")
	_, err = c.AddReportRun(ctx, client.ReportOrder{Report: "toasters", Format: "json"})
	refused(t, err, 404, "NOT_FOUND")
	_, err = c.AddReportRun(ctx, client.ReportOrder{Report: "users", Format: "json", Columns: []string{"seed"}})
	refused(t, err, 400, "INVALID")
	page := try(c.ReportRuns(ctx, client.ReportRunFilter{Limit: 1}))(t)
	if len(page.Runs) != 1 || page.Runs[0].Run != secret.Run || page.Next != secret.Run {
		t.Errorf("page %+v", page)
	}
	must(t, c.DeleteReportRun(ctx, secret.Run))
	refused(t, c.DeleteReportRun(ctx, secret.Run), 404, "NOT_FOUND")
	_, err = c.ReportRun(ctx, secret.Run)
	refused(t, err, 404, "NOT_FOUND")

	wish := client.NewReportSchedule{Schedule: "Montags", ReportOrder: client.ReportOrder{Report: "expiring", Format: "pdf"}, Every: "week", At: "07:30", Weekday: "monday"}
	s := try(c.AddReportSchedule(ctx, wish))(t)
	if s.At != "07:30" || s.Weekday != "monday" || s.NextAt.Weekday() != time.Monday || !s.NextAt.After(h.Now()) || s.KeepDays != 30 {
		t.Errorf("kept %+v", s)
	}
	_, err = c.AddReportSchedule(ctx, wish)
	refused(t, err, 409, "CONFLICT")
	for _, wrong := range []client.NewReportSchedule{{Every: "day", At: "07:30", Weekday: "monday"}, {Every: "week", At: "07:30"}, {Every: "month", At: "07:30"}, {Every: "week", At: "07:30", Weekday: "monday", Day: 3}, {Every: "day", At: "24:00"}} {
		wrong.Schedule, wrong.ReportOrder = "wrong", wish.ReportOrder
		_, err = c.AddReportSchedule(ctx, wrong)
		refused(t, err, 400, "INVALID")
	}
	h.Pass(8 * 24 * time.Hour)
	if n := try(h.API.Reports.Due(ctx))(t); n != 1 {
		t.Errorf("%d runs are due", n)
	}
	all := try(c.ReportSchedules(ctx))(t)
	if len(all) != 1 || all[0].LastRun == "" || !all[0].NextAt.After(h.Now()) {
		t.Errorf("schedules %+v", all)
	}
	if runs := try(c.ReportRuns(ctx, client.ReportRunFilter{Schedule: "Montags"}))(t); len(runs.Runs) != 1 || runs.Runs[0].Run != all[0].LastRun {
		t.Errorf("runs of the schedule %+v", runs)
	}
	wish.Schedule, wish.MailTo, wish.Webhook = "Dienstags", []string{"boss@example.com"}, "hears"
	if sent := try(c.AddReportSchedule(ctx, wish))(t); !slices.Equal(sent.MailTo, wish.MailTo) || sent.Webhook != "hears" {
		t.Errorf("kept %+v", sent)
	}
	must(t, c.DeleteReportSchedule(ctx, "Dienstags"))
	wish.Webhook = "deaf"
	_, err = c.AddReportSchedule(ctx, wish)
	refused(t, err, 404, "NOT_FOUND")
	wish.Webhook, wish.MailTo = "", []string{"Boss <boss@example.com>"}
	_, err = c.AddReportSchedule(ctx, wish)
	refused(t, err, 400, "INVALID")
	must(t, c.DeleteReportSchedule(ctx, "Montags"))
	refused(t, c.DeleteReportSchedule(ctx, "Montags"), 404, "NOT_FOUND")
}

// posts stands for webhooks of which one hears that reports are made.
func (h *house) posts(_ context.Context, webhook string) error {
	if webhook != "hears" {
		return fault.New(fault.NotFound, "there is no webhook %q", webhook)
	}
	return nil
}

// Whoever is limited to a domain is told figures and reports of it, and of nothing else.
func TestReportsOfADomain(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	all, part := try(e.admin.Statistics(ctx, -1))(t), try(e.berlin.Statistics(ctx, -1))(t)
	if part.SoftwareTotal != 2 || part.Assigned != 1 || all.SoftwareTotal <= part.SoftwareTotal {
		t.Errorf("of the domain %+v, of all %+v", part, all)
	}
	for _, r := range try(e.berlin.Reports(ctx))(t) {
		data := try(e.report(e.berlin, r.Report, "csv", client.ReportQuery{}))(t)
		if bytes.Contains(data, []byte("rome")) || bytes.Contains(data, []byte(e.outside["serial"])) || bytes.Contains(data, []byte(e.outside["free"])) {
			t.Errorf("%s tells of another domain: %s", r.Report, data)
		}
	}
	mine := try(e.report(e.berlin, "tokens", "csv", client.ReportQuery{Columns: []string{"serial", "domain"}}))(t)
	narrowed := try(e.report(e.admin, "tokens", "csv", client.ReportQuery{Columns: []string{"serial", "domain"}, Filters: map[string]string{"domain": "berlin"}}))(t)
	if want := "serial,domain\n" + e.inside["serial"] + ",berlin\n" + e.inside["free"] + ",berlin\n"; string(mine) != want || string(narrowed) != want {
		t.Errorf("the domain's own key gets %q, the filter %q, want %q", mine, narrowed, want)
	}
	for _, name := range []string{"authentications", "administration"} {
		_, err := e.report(e.berlin, name, "json", client.ReportQuery{})
		refused(t, err, 403, "OUT_OF_SCOPE")
	}
	_, err := e.report(e.berlin, "tokens", "json", client.ReportQuery{Filters: map[string]string{"domain": "rome"}})
	refused(t, err, 403, "OUT_OF_SCOPE")
	_, err = e.report(e.admin, "tokens", "json", client.ReportQuery{Filters: map[string]string{"domain": "atlantis"}})
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
}

// The filter domain chooses whom or what a report lists, and hides from nobody whose tokens they are or who has them; a key that is limited to a
// domain sees no more of that than 'user show' tells it.
func TestReportsOfADomainKnowWhoHoldsWhat(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	name := "Rosa of Rome"
	try(e.admin.EditUser(ctx, e.outside["user_id"], 0, client.UserEdit{Name: &name}))(t)
	lent := e.lends() // of berlin, to the user of rome
	try(e.admin.AddUser(ctx, client.NewUser{UserID: "bert", Domain: "berlin"}))(t)
	serial := try(e.admin.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)[0] // of the root
	try(e.admin.Assign(ctx, serial, "bert"))(t)

	users := client.ReportQuery{Columns: []string{"user", "tokens", "serials"}, Filters: map[string]string{"domain": "berlin", "query": "bert"}}
	tokens := client.ReportQuery{Columns: []string{"user", "name"}, Filters: map[string]string{"domain": "berlin", "user": e.outside["user_id"]}}
	for who, want := range map[*client.Client][2]string{
		e.admin:  {"bert,1," + serial, e.outside["user_id"] + "," + name},
		e.berlin: {"bert,0,", e.outside["user_id"] + ","},
	} {
		if got := string(try(e.report(who, "users", "csv", users))(t)); got != "user,tokens,serials\n"+want[0]+"\n" {
			t.Errorf("users: %q, want %q", got, want[0])
		}
		if got := string(try(e.report(who, "tokens", "csv", tokens))(t)); got != "user,name\n"+want[1]+"\n" {
			t.Errorf("who has %s: %q, want %q", lent, got, want[1])
		}
	}
	users.Filters["with_token"] = "false"
	if got := try(e.report(e.admin, "users", "csv", users))(t); bytes.Contains(got, []byte("bert")) {
		t.Errorf("holds none: %s", got)
	}
}

// A schedule of a report that somebody may not have is hers neither to see, to change nor to end, on whatever way.
func TestSchedulesOfReportsThatOneMayNotHave(t *testing.T) {
	h := newHouse(t)
	ctx, auditor, admin := t.Context(), h.as(access.Auditor), h.as(access.TokenAdmin)
	for name, what := range map[string]string{"who did what": "administration", "all tokens": "tokens"} {
		order := client.ReportOrder{Report: what, Format: "csv", MailTo: []string{"audit@example.com"}}
		try(auditor.AddReportSchedule(ctx, client.NewReportSchedule{Schedule: name, ReportOrder: order, Every: "day", At: "07:00"}))(t)
	}
	there := func() []client.ReportSchedule { return try(auditor.ReportSchedules(ctx))(t) }
	before := there()

	refused(t, admin.DeleteReportSchedule(ctx, "who did what"), 403, "FORBIDDEN")
	for _, edit := range []client.ReportScheduleEdit{{At: new("07:00")}, {Report: new("tokens")}, {MailTo: &[]string{"audit@example.com"}}} {
		_, err := admin.Configure(ctx, client.Configuration{ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "who did what", Set: &edit}}})
		refused(t, err, 403, "FORBIDDEN")
		if strings.Contains(err.Error(), "administration") {
			t.Errorf("the refusal tells of the report: %v", err)
		}
	}
	if after := there(); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v became %+v", before, after)
	}
	plan := try(admin.Configure(ctx, client.Configuration{Prune: []string{"report_schedules"}}))(t)
	if got := changing(plan); !slices.Equal(got, []string{"delete report_schedules all tokens"}) || len(plan.Steps) != 1 {
		t.Errorf("pruned by one who may not have it: %+v", plan.Steps)
	}
	if got := changing(try(h.admin.Configure(ctx, client.Configuration{Prune: []string{"report_schedules"}}))(t)); !slices.Equal(got, []string{"delete report_schedules who did what"}) {
		t.Errorf("pruned by one who may: %v", got)
	}
}
