package report

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/user"
)

var now = time.Date(2026, 11, 24, 9, 14, 0, 0, time.UTC)

type fixed struct{}

func (fixed) Current(context.Context) (*policy.Tree, error) {
	return policy.Alone(policy.Default()), nil
}

// planOf is a plan over rows that are made up.
func planOf(t testing.TB, n int, names ...string) *Plan {
	t.Helper()
	template := made(Template{Name: "people", Title: "People and their tokens", About: "Everybody who holds a token, in any script. This sentence is here to see what happens with a long one.",
		Orders: []string{"serial"}, Charts: []Chart{{Title: "By state", Column: "state", By: ByValue}, {Title: "By the month of the last day", Column: "expiry", By: ByMonth}, {Title: "By day of use", Column: "used", By: ByDay}}},
		[]field[int]{
			{"serial", "Serial", Text, func(i int) any { return fmt.Sprintf("%012d", i) }},
			{"name", "Name", Text, func(i int) any { return names[i%len(names)] }},
			{"state", "State", Text, func(i int) any { return []string{"active", "active", "issued", "new_pin", "expired", ""}[i%6] }},
			{"issues", "Issues", Number, func(i int) any { return int64(i*37%23) - 3 }},
			{"enabled", "Enabled", YesNo, func(i int) any { return i%3 > 0 }},
			{"expiry", "Last day", Day, func(i int) any { return today(now).AddDate(0, 0, i*i%900) }},
			{"used", "Used", Moment, func(i int) any {
				if i%5 == 0 {
					return time.Time{}
				}
				return now.AddDate(0, 0, -i%40)
			}},
		}, "serial name state issues enabled expiry used",
		func(context.Context, *Plan) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
			}
		})
	p := &Plan{Template: template, Wish: Wish{Report: "people", Order: "serial", Filters: map[string]string{"state": "any"}}, At: now}
	for i := range template.Columns {
		p.chosen = append(p.chosen, i)
	}
	return p
}

func write(t testing.TB, p *Plan, f Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := p.Write(t.Context(), f, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSpreadsheetsTakeNoTextForAFormula(t *testing.T) {
	evil := []string{"=1+1", "+1", "-1", "@SUM(A1)", "=1;2", "＝1", "a=1", `"quoted", and so on`, "Smith;=1+1"}
	lines, err := csv.NewReader(bytes.NewReader(write(t, planOf(t, len(evil), evil...), CSV))).ReadAll()
	if err != nil || len(lines) != len(evil)+1 {
		t.Fatal(lines, err)
	}
	for i, text := range evil {
		want := text
		if i < 6 {
			want = "'" + text
		}
		if i == 8 { // where Excel has semicolons between cells
			want = "Smith;'=1+1"
		}
		if got := lines[i+1][1]; got != want {
			t.Errorf("%q is written %q", text, got)
		}
	}
	if lines[0][3] != "issues" || lines[1][3] != "-3" {
		t.Errorf("a number is a number: %v", lines[1])
	}
}

func TestJSONIsStable(t *testing.T) {
	got := string(write(t, planOf(t, 2, `a "quoted" <name>`), JSON))
	want := `{"report":"people","title":"People and their tokens","at":"2026-11-24T09:14:00Z","order":"serial","filters":{"state":"any"},"columns":[` +
		`{"name":"serial","title":"Serial","kind":"text"},{"name":"name","title":"Name","kind":"text"},{"name":"state","title":"State","kind":"text"},` +
		`{"name":"issues","title":"Issues","kind":"number"},{"name":"enabled","title":"Enabled","kind":"bool"},{"name":"expiry","title":"Last day","kind":"day"},{"name":"used","title":"Used","kind":"time"}],"rows":[` +
		"\n" + `{"serial":"000000000000","name":"a \"quoted\" \u003cname\u003e","state":"active","issues":-3,"enabled":false,"expiry":"2026-11-24","used":null},` +
		"\n" + `{"serial":"000000000001","name":"a \"quoted\" \u003cname\u003e","state":"active","issues":11,"enabled":true,"expiry":"2026-11-25","used":"2026-11-23T09:14:00Z"}],` + "\n" + `"count":2}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if empty := write(t, planOf(t, 0), JSON); !json.Valid(empty) || !bytes.Contains(empty, []byte(`"rows":[],`)) {
		t.Errorf("%s", empty)
	}
}

// Names in any script leave a document that can be read, and it says what it does not show.
func TestPDF(t *testing.T) {
	names := []string{"Zoë Ångström", "Łukasz Żółć", "Ελένη Παπαδοπούλου", "Дмитрий Шостакович", "שלום כהן", "محمد علي", "王小明", "हिन्दी नाम", "emoji 🦊 fox", "Ünal, Ğülşah İ.", strings.Repeat("long name ", 20)}
	file := filepath.Join(t.TempDir(), "report.pdf")
	if keep := os.Getenv("TALLYSTICK_KEEP_PDF"); keep != "" {
		file = keep
	}
	if err := os.WriteFile(file, write(t, planOf(t, 137, names...), PDF), 0o600); err != nil {
		t.Fatal(err)
	}
	peertest.Need(t, "pdftotext")
	out, err := exec.Command("pdftotext", "-layout", file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for _, want := range []string{"People and their tokens", "137 rows", "Zoë Ångström", "Łukasz Żółć", "Ελένη Παπαδοπούλου", "Дмитрий Шостакович", "000000000136", "By state", "page 1 of", "does not have are shown as"} {
		if !strings.Contains(text, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
	if strings.Count(text, "Serial") < 2 {
		t.Error("the heads of columns are not on each page")
	}
}

func TestALongPDFSaysWhereItEnds(t *testing.T) {
	p := planOf(t, MaxPDFRows+7, "x")
	var b bytes.Buffer
	rows, err := p.Write(t.Context(), PDF, &b)
	if rows != MaxPDFRows+7 || err != nil || !bytes.HasPrefix(b.Bytes(), []byte("%PDF-")) {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// One token that is said to end in a hundred years, or ended long ago, leaves the others in the chart.
func TestChartsWithStrays(t *testing.T) {
	at := func(text string) time.Time {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return day
	}
	for _, c := range []struct{ days, want string }{
		{"2027-01-05 2027-01-31 2027-04-01", "2027-01:2 2027-02:0 2027-03:0 2027-04:1"},
		{"2027-01-05 2028-01-31 2028-04-01 2179-12-31", "2027:1 2028:2 later:1"},
		{"2027-01-05 2028-01-31 2028-04-01 2179-12-31 9999-12-31", "2027:1 2028:2 later:2"},
		{"1901-01-01 2027-01-05 2029-01-31", "earlier:1 2027:1 2028:0 2029:1"},
		{"1901-01-01 2027-01-05 2027-01-31 2179-12-31", "earlier:1 2027:2 later:1"},
	} {
		chart := &counter{Chart: Chart{By: ByMonth}, weight: -1, kind: Day, groups: map[string]int64{}}
		for day := range strings.FieldsSeq(c.days) {
			chart.add(Row{at(day)})
		}
		var got []string
		for _, b := range chart.bars() {
			got = append(got, fmt.Sprint(b.label, ":", b.n))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s is drawn as %v, want %s", c.days, got, c.want)
		}
	}
	full := &counter{Chart: Chart{By: ByMonth}, weight: -1, kind: Day, groups: map[string]int64{}}
	for n := range 300 {
		full.add(Row{at("2000-01-01").AddDate(n, 0, 0)})
	}
	if got := full.bars(); len(got) > mostTimes || got[0].label != "2000" || got[len(got)-1] != (bar{after, 300 - mostTimes + 2}) {
		t.Errorf("%d bars from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

func TestMomentsOfFilters(t *testing.T) {
	for value, want := range map[string]string{
		"2026-02-28": "2026-02-28T00:00:00Z", "2026-02-28T10:00:00+02:00": "2026-02-28T08:00:00Z", "-30d": "2026-10-25T00:00:00Z", "+90d": "2027-02-22T00:00:00Z",
		"0d": "2026-11-24T00:00:00Z", "-2h": "2026-11-24T07:14:00Z", "2026-02-28 10:07": "2026-02-28T10:07:00Z", "2026-02-28 10:07:01": "2026-02-28T10:07:01Z",
		"2026-02-28 10:07:01Z": "2026-02-28T10:07:01Z",
	} {
		if got, err := ParseMoment(value, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"", "d", "2026-02-30", "yesterday", "1", "--1d", "99999999999999999999d", "1000001d"} {
		if got, err := ParseMoment(value, now); err == nil {
			t.Errorf("%q is %s", value, got)
		}
	}
}

// askedEvents is a log that keeps what it was asked.
type askedEvents struct {
	Store
	filter audit.Filter
}

func (a *askedEvents) Events(_ context.Context, f audit.Filter) (audit.Page, error) {
	a.filter = f
	return audit.Page{}, nil
}

// A report of events ends where it is said and goes back from there.
func TestReportsOfEventsGoBackFromTheirEnd(t *testing.T) {
	log := &askedEvents{}
	r := &Registry{Store: log, Policies: fixed{}, Now: func() time.Time { return now }}
	for _, c := range []struct{ since, until, from string }{
		{"", "", "2026-10-25"}, {"", "2026-03-31", "2026-03-01"}, {"", "-60d", "2026-08-26"}, {"", "2027-01-01", "2026-10-25"},
		{"2026-01-01", "2026-03-31", "2026-01-01"}, {"-1d", "", "2026-11-23"},
	} {
		filters := map[string]string{}
		for name, value := range map[string]string{"since": c.since, "until": c.until} {
			if value != "" {
				filters[name] = value
			}
		}
		p, err := r.Plan(t.Context(), Wish{Report: "authentications", Filters: filters})
		if err != nil {
			t.Fatal(err)
		}
		write(t, p, CSV)
		if got := log.filter.Since.Format(time.DateOnly); got != c.from || !log.filter.Until.After(log.filter.Since) {
			t.Errorf("since %q until %q is from %s to %s, want from %s", c.since, c.until, log.filter.Since, log.filter.Until, c.from)
		}
	}
}

// A beginning that lies after the end, such as 7d for -7d, is refused: there is nothing to be found.
func TestReportsOfEventsThatEndBeforeTheyBegin(t *testing.T) {
	r := &Registry{Store: &askedEvents{}, Policies: fixed{}, Now: func() time.Time { return now }}
	for _, filters := range []map[string]string{{"since": "7d"}, {"since": "2026-03-31", "until": "2026-03-01"}} {
		if _, err := r.Plan(t.Context(), Wish{Report: "authentications", Filters: filters}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", filters, err)
		}
	}
}

// staff are users without tokens.
type staff struct {
	Store
	users []user.User
}

func (s staff) Users(context.Context, user.Filter) ([]user.User, error) { return s.users, nil }

func (staff) SerialsOf(context.Context, []string) (map[string][]string, error) { return nil, nil }

func (staff) Guards(context.Context, []string) (map[string]authentication.Guard, error) {
	return nil, nil
}

// Who may sign in is enabled, and in time.
func TestUsersWhoMaySignIn(t *testing.T) {
	r := &Registry{Policies: fixed{}, Now: func() time.Time { return now }, Store: staff{users: []user.User{
		{ID: "always", Enabled: true}, {ID: "disabled"}, {ID: "over", Enabled: true, Expiry: today(now).AddDate(0, 0, -1)}, {ID: "today", Enabled: true, Expiry: today(now)},
	}}}
	for enabled, want := range map[string]string{"true": "user\nalways\ntoday\n", "false": "user\ndisabled\nover\n"} {
		p, err := r.Plan(t.Context(), Wish{Report: "users", Columns: []string{"user"}, Filters: map[string]string{"enabled": enabled}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(write(t, p, CSV)); got != want {
			t.Errorf("enabled=%s: %q, want %q", enabled, got, want)
		}
	}
}

// Every template is whole: what its charts, orders and filters name is there, and something is shown.
func TestTemplates(t *testing.T) {
	r := &Registry{Policies: fixed{}, Now: func() time.Time { return now }}
	seen := map[string]bool{}
	for _, template := range Templates() {
		if seen[template.Name] || template.Title == "" || template.About == "" || len(template.Orders) == 0 {
			t.Errorf("%+v", template)
		}
		seen[template.Name] = true
		for _, c := range template.Charts {
			if template.column(c.Column) < 0 || c.Weight != "" && template.column(c.Weight) < 0 {
				t.Errorf("%s has no column for its chart %+v", template.Name, c)
			}
		}
		for _, order := range template.Orders {
			if _, err := r.Plan(t.Context(), Wish{Report: template.Name, Order: order}); err != nil {
				t.Error(err)
			}
		}
		names := map[string]bool{}
		for _, f := range template.Filters {
			if names[f.Name] || f.About == "" {
				t.Errorf("%s: filter %+v", template.Name, f)
			}
			names[f.Name] = true
		}
		p, err := r.Plan(t.Context(), Wish{Report: template.Name})
		if err != nil || len(p.columns()) == 0 {
			t.Errorf("%s shows nothing: %v", template.Name, err)
		}
		for _, w := range []Wish{{Columns: []string{"seed"}}, {Filters: map[string]string{"seed": "x"}}, {Order: "seed"}} {
			w.Report = template.Name
			if _, err := r.Plan(t.Context(), w); err == nil {
				t.Errorf("%s takes %+v", template.Name, w)
			}
		}
	}
}

// docs/reports.md tells of each report, with every column, filter and order.
func TestTheManualKnowsEveryReport(t *testing.T) {
	text, err := os.ReadFile("../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range Templates() {
		_, section, found := strings.Cut(string(text), "\n### "+template.Name+"\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if !found || !strings.Contains(section, template.About) {
			t.Errorf("the manual does not tell of %s", template.Name)
		}
		names := append(columnNames(template.Columns), template.Orders...)
		for _, f := range template.Filters {
			names = append(names, f.Name)
		}
		for _, name := range names {
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("the manual does not tell of %s of %s", name, template.Name)
			}
		}
	}
}
