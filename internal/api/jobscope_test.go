package api

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

// limited is a client with a new key of a role that is limited to a domain.
func (e *estate) limited(role access.Role, at string) *client.Client {
	e.t.Helper()
	made := try(e.admin.AddAPIKey(e.t.Context(), client.NewAPIKey{Name: at + "-" + string(role), Role: string(role), Domain: at}))(e.t)
	return try(client.New(e.public.URL, string(made.Key), &http.Client{Transport: e}))(e.t)
}

// mails switches mail on, to a server that nobody asks.
func (e *estate) mails() {
	on, host, from, none := true, "127.0.0.1", "tokens@example.com", "none"
	try(e.admin.EditMailSettings(e.t.Context(), 0, client.MailSettingsEdit{Enabled: &on, Host: &host, From: &from, Security: &none}))(e.t)
	for _, at := range []string{"berlin", "rome"} {
		address := at + "@example.com"
		try(e.admin.EditUser(e.t.Context(), at+"-user", 0, client.UserEdit{Mail: &address}))(e.t)
	}
}

// each job kind, started with a key of a domain and a selection.
var jobKinds = map[string]func(e *estate, c *client.Client, s client.Selection) (client.Job, error){
	"enable": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.EnableMany(e.t.Context(), client.CareOrder{Selection: s})
	},
	"disable": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.DisableMany(e.t.Context(), client.CareOrder{Selection: s})
	},
	"clear_ntc": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.ClearNTCMany(e.t.Context(), client.CareOrder{Selection: s})
	},
	"unassign": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.UnassignMany(e.t.Context(), client.CareOrder{Selection: s})
	},
	"delete": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.DeleteMany(e.t.Context(), client.CareOrder{Selection: s})
	},
	"replace": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.ReplaceMany(e.t.Context(), client.ReplacementOrder{Selection: s})
	},
	"extend": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.ExtendMany(e.t.Context(), client.ExtensionOrder{Selection: s, Until: "2040-01-01"})
	},
	"correct_clock": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		made, err := c.CorrectClocks(e.t.Context(), client.CorrectionOrder{Selection: s, Seconds: 120})
		if err != nil {
			return client.Job{}, err
		}
		return *made.Job, nil
	},
	"distribute": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.DistributeMany(e.t.Context(), client.BulkDistribution{Selection: s, Profile: "estate-file", Mail: true, Password: "sesame open", Protection: "password"})
	},
	"redistribute": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.RedistributeMany(e.t.Context(), client.BulkRedistribution{BulkDistribution: client.BulkDistribution{Selection: s, Profile: "estate-file"}, Reason: "LOST_DEVICE"})
	},
	"cut_off": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.CutOff(e.t.Context(), client.CutOff{Selection: s})
	},
	"remind": func(e *estate, c *client.Client, s client.Selection) (client.Job, error) {
		return c.Remind(e.t.Context(), client.Reminders{Select: s})
	},
}

// A key of a domain starts each kind of job. By name, tokens elsewhere fail one by one, and by a filter they are not found at all.
func TestAScopedKeyStartsJobs(t *testing.T) {
	for kind, start := range jobKinds {
		t.Run(kind, func(t *testing.T) {
			e := newEstate(t)
			e.profile("estate-file", "file")
			e.mails()
			for _, serial := range []string{e.inside["serial"], e.outside["serial"]} {
				try(e.admin.Distribute(t.Context(), serial, client.Distribution{Profile: "estate-file"}))(t)
			}
			before := e.rome()
			started, items := e.ended(start(e, e.berlin, client.Selection{Serials: []string{e.inside["serial"], e.outside["serial"], "999999999999"}}))
			if started.Kind != kind || started.Domain != "berlin" {
				t.Errorf("%+v", started)
			}
			if !items[0].OK {
				t.Errorf("its own token: %+v", items[0])
			}
			for _, it := range items[1:] {
				if it.Code != "OUT_OF_SCOPE" {
					t.Errorf("a token elsewhere: %+v", it)
				}
			}
			if a, b := strings.ReplaceAll(items[1].Message, items[1].Key, ""), strings.ReplaceAll(items[2].Message, items[2].Key, ""); a != b {
				t.Errorf("it tells what exists elsewhere: %s, and of what there is not: %s", a, b)
			}
			if kind != "cut_off" { // which takes tokens by serial, or those that wait
				_, items = e.ended(start(e, e.berlin, client.Selection{All: true}))
				for _, it := range items {
					if it.Key != e.inside["serial"] && it.Key != e.inside["free"] {
						t.Errorf("all of the domain are %+v", items)
					}
				}
			}
			for _, s := range []client.Selection{{Domain: "rome"}, {Domain: "root"}, {Group: e.outside["group"]}} {
				_, err := start(e, e.berlin, s)
				refused(t, err, 403, "OUT_OF_SCOPE")
			}
			_, err := start(e, e.berlin, client.Selection{Users: []string{e.outside["user_id"]}})
			refused(t, err, 409, "NOT_ASSIGNED") // as of a user whom there is not
			if after := e.rome(); !reflect.DeepEqual(before, after) {
				t.Errorf("what was there changed:\n%+v\n%+v", before, after)
			}
		})
	}
}

// What jobs make is placed in the domain, and what they take comes from there.
func TestAScopedKeyMakesAndTakes(t *testing.T) {
	e := newEstate(t)
	ctx, c := t.Context(), e.berlin
	made, items := e.ended(c.StartCreation(ctx, client.TokenCreation{Count: 2}))
	for _, it := range items {
		if tok := try(c.Token(ctx, it.Key))(t); tok.Domain != "berlin" {
			t.Errorf("%+v", tok)
		}
	}
	_, err := c.StartCreation(ctx, client.TokenCreation{Count: 1, Domain: "rome"})
	refused(t, err, 403, "OUT_OF_SCOPE")
	equal(t, made.Domain, "berlin")
	file := []byte("serial,seed,expiry\n" + e.outside["free"] + ",000102030405060708090a0b0c0d0e0f,2040-01-01\n000000000777,100102030405060708090a0b0c0d0e0f,2040-01-01\n")
	before := e.rome()
	_, items = e.ended(c.StartImport(ctx, client.Import{Format: "csv", Duplicates: "overwrite"}, bytes.NewReader(file)))
	if items[0].Code != "OUT_OF_SCOPE" || !items[1].OK {
		t.Errorf("%+v", items)
	}
	equal(t, try(c.Token(ctx, "000000000777"))(t).Domain, "berlin")
	_, err = c.StartImport(ctx, client.Import{Format: "csv", Domain: "rome"}, bytes.NewReader(file))
	refused(t, err, 403, "OUT_OF_SCOPE")

	// An import that a key of the whole deployment starts in a domain belongs there.
	file = []byte("serial,seed,expiry\n000000000778,110102030405060708090a0b0c0d0e0f,2040-01-01\n")
	there, _ := e.ended(e.admin.StartImport(ctx, client.Import{Format: "csv", Domain: "berlin"}, bytes.NewReader(file)))
	equal(t, try(c.Job(ctx, there.Job))(t).Domain, "berlin")

	// To itself, for want of another deployment: what comes back is here already.
	key := try(c.TransferKey(ctx))(t).PublicKey
	for name, s := range map[string]client.Selection{"by serial": {Serials: []string{e.outside["serial"]}}, "in the domain": {Domain: "rome"}} {
		if err := c.ExportTokens(ctx, client.TokenExport{Selection: s, To: key}, io.Discard); err == nil {
			t.Errorf("%s: exported", name)
		} else {
			refused(t, err, 403, "OUT_OF_SCOPE")
		}
	}
	try(e.admin.PutIntoDomain(ctx, "berlin", client.DomainObjects{Tokens: []string{e.outside["serial"]}}))(t) // whose user stays in rome
	refused(t, c.ExportTokens(ctx, client.TokenExport{Selection: client.Selection{All: true}, To: key, WithUsers: true}, io.Discard), 403, "OUT_OF_SCOPE")
	try(e.admin.PutIntoDomain(ctx, "rome", client.DomainObjects{Tokens: []string{e.outside["serial"]}}))(t)
	var out bytes.Buffer
	must(t, c.ExportTokens(ctx, client.TokenExport{Selection: client.Selection{All: true}, To: key, WithUsers: true}, &out))
	back, items := e.ended(c.ReceiveTokens(ctx, client.TransferFile{}, bytes.NewReader(out.Bytes())))
	if back.Domain != "berlin" || len(items) != 6 {
		t.Errorf("%+v %+v", back, items)
	}
	for _, it := range items {
		if it.Code != "IMPORT_DUPLICATE" || it.Key == e.outside["serial"] || it.Key == e.outside["free"] {
			t.Errorf("%+v", it)
		}
	}
	_, err = c.ReceiveTokens(ctx, client.TransferFile{Domain: "rome"}, bytes.NewReader(out.Bytes()))
	refused(t, err, 403, "OUT_OF_SCOPE")
	if after := e.rome(); !reflect.DeepEqual(before, after) {
		t.Errorf("what was there changed:\n%+v\n%+v", before, after)
	}
}

// A token that leaves the domain after the start is refused when its turn comes, though its key is gone by then; what was delivered for one
// that leaves later is not in the download.
func TestATokenLeavesTheDomainOfAJob(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	e.profile("estate-file", "file")
	stays := try(e.berlin.Assign(ctx, e.inside["free"], e.inside["user_id"]))(t).Serial
	key := try(e.admin.AddAPIKey(ctx, client.NewAPIKey{Name: "short-lived", Role: "token_admin", Domain: "berlin"}))(t)
	c := try(client.New(e.public.URL, string(key.Key), &http.Client{Transport: e}))(t)
	order := client.BulkDistribution{Selection: client.Selection{Serials: []string{e.inside["serial"], stays}}, Profile: "estate-file", Password: "sesame open"}
	first, second := try(c.DistributeMany(ctx, order))(t), try(c.DisableMany(ctx, client.CareOrder{Selection: order.Selection}))(t)
	try(e.admin.PutIntoDomain(ctx, "rome", client.DomainObjects{Tokens: []string{e.inside["serial"]}}))(t)
	must(t, e.admin.DeleteAPIKey(ctx, "short-lived"))
	for _, j := range []client.Job{first, second} {
		j, items := e.ended(j, nil)
		if j.State != "done_with_errors" || items[0].Code != "OUT_OF_SCOPE" || !items[1].OK || j.CreatedBy != "key:short-lived" {
			t.Errorf("%+v %+v", j, items)
		}
	}
	files := func(c *client.Client) string {
		var out bytes.Buffer
		must(t, c.DownloadJobPart(ctx, first.Job, "list", &out))
		return out.String()
	}
	if got := files(e.berlin); !strings.Contains(got, stays) {
		t.Errorf("downloaded %s", got)
	}
	try(e.admin.PutIntoDomain(ctx, "rome", client.DomainObjects{Tokens: []string{stays}}))(t)
	if mine, all := files(e.berlin), files(e.admin); strings.Contains(mine, stays) || !strings.Contains(all, stays) {
		t.Errorf("the domain downloads %s, the whole deployment %s", mine, all)
	}
	if mine, all := try(e.berlin.Campaign(ctx, first.Job))(t), try(e.admin.Campaign(ctx, first.Job))(t); mine.Gone != 1 || mine.NotMoved != 0 || all.NotMoved != 1 {
		t.Errorf("the domain counts %+v, the whole deployment %+v", mine, all)
	}
	page := try(e.berlin.Jobs(ctx, client.JobFilter{}))(t)
	if len(page.Jobs) != 2 {
		t.Errorf("berlin sees %+v", page.Jobs)
	}
	if page := try(e.limited(access.Auditor, "rome").Jobs(ctx, client.JobFilter{}))(t); len(page.Jobs) != 0 {
		t.Errorf("rome sees %+v", page.Jobs)
	}
}

// A job belongs to a domain until that is deleted, which waits for the job.
func TestADomainWithJobsIsDeleted(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	try(e.admin.AddDomain(ctx, client.NewDomain{Domain: "mitte", Parent: "berlin"}))(t)
	c := e.limited(access.SuperAdmin, "mitte")
	waits := try(c.StartCreation(ctx, client.TokenCreation{Count: 1, DryRun: true}))(t)
	run := try(c.AddReportRun(ctx, client.ReportOrder{Report: "tokens", Format: "csv"}))(t)
	try(c.AddReportSchedule(ctx, client.NewReportSchedule{Schedule: "daily", ReportOrder: client.ReportOrder{Report: "tokens", Format: "csv"}, Every: "day", At: "07:00"}))(t)
	must(t, e.admin.DeleteAPIKey(ctx, "mitte-super_admin"))
	refused(t, e.admin.DeleteDomain(ctx, "mitte"), 409, "DOMAIN_IN_USE")
	e.ended(waits, nil)
	refused(t, e.admin.DeleteDomain(ctx, "mitte"), 409, "DOMAIN_IN_USE")
	must(t, e.Reports.Work(ctx))
	refused(t, e.admin.DeleteDomain(ctx, "mitte"), 409, "DOMAIN_IN_USE")
	must(t, e.berlin.DeleteReportSchedule(ctx, "daily"))
	must(t, e.admin.DeleteDomain(ctx, "mitte"))
	equal(t, try(e.berlin.Job(ctx, waits.Job))(t).Domain, "berlin")
	equal(t, try(e.berlin.ReportRun(ctx, run.Run))(t).Domain, "berlin")
	_, err := e.limited(access.Auditor, "rome").Job(ctx, waits.Job)
	refused(t, err, 403, "OUT_OF_SCOPE")
}

// Reports that are made beside requests are about the domain of who asked for them, and schedules' too.
func TestKeptReportsOfADomain(t *testing.T) {
	e := newEstate(t)
	ctx, c := t.Context(), e.berlin
	_, err := c.AddReportRun(ctx, client.ReportOrder{Report: "authentications", Format: "csv"})
	refused(t, err, 403, "OUT_OF_SCOPE")
	_, err = c.AddReportRun(ctx, client.ReportOrder{Report: "tokens", Format: "csv", Webhook: "any"})
	refused(t, err, 403, "OUT_OF_SCOPE")
	run := try(c.AddReportRun(ctx, client.ReportOrder{Report: "tokens", Format: "csv", Columns: []string{"serial"}}))(t)
	try(c.AddReportSchedule(ctx, client.NewReportSchedule{Schedule: "daily", ReportOrder: client.ReportOrder{Report: "tokens", Format: "csv", Columns: []string{"serial"}}, Every: "day", At: "07:00"}))(t)
	e.Pass(25 * time.Hour)
	try(e.Reports.Due(ctx))(t)
	must(t, e.Reports.Work(ctx))
	page := try(c.ReportRuns(ctx, client.ReportRunFilter{}))(t)
	if len(page.Runs) != 2 || run.Domain != "berlin" {
		t.Fatalf("%+v", page)
	}
	serials := []string{e.inside["serial"], e.inside["free"]}
	slices.Sort(serials)
	for _, run := range page.Runs {
		r := try(c.DownloadReport(ctx, run.Run))(t)
		got := string(try(io.ReadAll(r))(t))
		r.Close()
		equal(t, got, "serial\n"+strings.Join(serials, "\n")+"\n")
	}
	if page := try(e.limited(access.Auditor, "rome").ReportRuns(ctx, client.ReportRunFilter{}))(t); len(page.Runs) != 0 {
		t.Errorf("rome sees %+v", page)
	}
}

// An operator, who may not read, watches the jobs that he may start, and no others.
func TestAnOperatorWatchesCorrections(t *testing.T) {
	e := newEstate(t)
	ctx, c := t.Context(), e.as(access.Operator)
	made := try(c.CorrectClocks(ctx, client.CorrectionOrder{Selection: client.Selection{All: true}, Seconds: 60}))(t)
	other := try(e.admin.DisableMany(ctx, client.CareOrder{Selection: client.Selection{Serials: []string{e.inside["serial"]}}}))(t)
	e.ended(*made.Job, nil)
	seen := try(c.WatchJob(ctx, made.Job.Job, func(client.Job) {}))(t)
	if seen.State != "done" {
		t.Errorf("%+v", seen)
	}
	try(c.JobItems(ctx, made.Job.Job, client.JobItemFilter{}))(t)
	if page := try(c.Jobs(ctx, client.JobFilter{}))(t); len(page.Jobs) != 1 || page.Jobs[0].Job != made.Job.Job {
		t.Errorf("lists %+v", page.Jobs)
	}
	_, err := c.Job(ctx, other.Job)
	refused(t, err, 403, "FORBIDDEN")
	_, err = c.JobItems(ctx, other.Job, client.JobItemFilter{})
	refused(t, err, 403, "FORBIDDEN")
	if page := try(e.as(access.AgentRole).Jobs(ctx, client.JobFilter{}))(t); len(page.Jobs) != 0 {
		t.Errorf("an agent lists %+v", page.Jobs)
	}
}
