package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// Servers that are killed while they make and send reports: each is mailed once to each address, or nobody knows, and posted under one ID.
func TestReportsOfKilledServers(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	var mu sync.Mutex
	posted := map[string]string{} // ID of the message by run
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			Data   struct{ Object string } `json:"data"`
			Report struct{ Run, SHA256, URL, Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		sum := sha256.Sum256([]byte(m.Report.Content))
		if m.Data.Object != "report_run:"+m.Report.Run || hex.EncodeToString(sum[:]) != m.Report.SHA256 || !strings.HasPrefix(m.Report.Content, "user\n") ||
			!strings.HasSuffix(m.Report.URL, "/v1/report-runs/"+m.Report.Run+"/content") {
			t.Errorf("posted %+v", m)
		}
		mu.Lock()
		defer mu.Unlock()
		if id := r.Header.Get("Webhook-Id"); posted[m.Report.Run] != "" && posted[m.Report.Run] != id {
			t.Errorf("run %s came under two IDs", m.Report.Run)
		} else {
			posted[m.Report.Run] = id
		}
	}))
	defer receiver.Close()
	o := openPostOffice(t)
	first, second := pair(t, storetest.Postgres(t))
	mails(t, first, o.port)
	hook, err := first.admin().AddWebhook(t.Context(), client.NewWebhook{
		Webhook: "crm", URL: receiver.URL, Actions: []string{"report.done"},
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})),
	})
	must(t, hook, err)
	u, err := first.admin().AddUser(t.Context(), client.NewUser{UserID: "alice"})
	must(t, u, err)
	to := []string{"boss@example.com", "list@example.com"}
	runs := map[string]client.ReportRun{}
	for range 3 {
		held := o.hold()
		for n := range 4 {
			server := []*process{first, second}[n%2]
			run, err := server.admin().AddReportRun(t.Context(), client.ReportOrder{Report: "users", Format: "csv", Columns: []string{"user"}, MailTo: to, Webhook: "crm"})
			runs[must(t, run, err).Run] = run
		}
		for id := range runs {
			poll(t, "the report to be made", func() bool {
				run, err := first.admin().ReportRun(t.Context(), id)
				return must(t, run, err).State == "done"
			})
		}
		<-o.here // in the middle of a message
		first.kill()
		second.kill()
		o.free(held)
		first, second = start(t, first.data, first.args...), start(t, second.data, second.args...)
	}
	states := map[string]int{}
	poll(t, "the end of all messages", func() bool {
		clear(states)
		page, err := first.admin().MailMessages(t.Context(), client.MailFilter{Limit: 100})
		for _, m := range must(t, page, err).Messages {
			states[m.State]++
		}
		mu.Lock()
		defer mu.Unlock()
		return states["sent"]+states["unknown"] == len(runs)*len(to) && len(posted) == len(runs)
	})
	for id, n := range o.got {
		if n != 1 || !strings.Contains(o.text[id], `filename="users-`) {
			t.Errorf("message %s arrived %d times:\n%s", id, n, o.text[id])
		}
	}
	for id := range runs {
		run, err := second.admin().ReportRun(t.Context(), id)
		if must(t, run, err); run.State != "done" || len(run.SHA256) != 64 || posted[id] == "" || fmt.Sprint(run.MailTo) != fmt.Sprint(to) {
			t.Errorf("%+v", run)
		}
	}
	t.Logf("%d reports, messages %v", len(runs), states)
}

// reported has every report made, with all of its columns, in each format that can be searched.
func (w *witness) reported() {
	w.does("tallystick", "report", "statistics")
	reports := answer[client.ReportTemplateList](w, w.does("tallystick", "report", "list", "--json")).Reports
	if len(reports) < 15 {
		w.Errorf("only %d reports", len(reports))
	}
	rows := 0
	for _, r := range reports {
		var columns []string
		for _, c := range r.Columns {
			columns = append(columns, c.Name)
		}
		for _, format := range []string{"table", "csv", "json"} {
			out := w.does("tallystick", "report", r.Report, "--columns", strings.Join(columns, ","), "--format", format).stdout
			rows += strings.Count(out, "\n")
		}
	}
	if rows < 100 {
		w.Errorf("only %d rows in all reports", rows)
	}
}
