package api

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/distribution"
)

// table is the routes without anything behind them.
func table() []route {
	return (&API{Config: Config{Distributor: &distribution.Distributor{}}}).routes()
}

func TestTheTableAndTheDocumentListTheSameOperations(t *testing.T) {
	c := try(loadContract())(t)
	documented := map[string]*openapi3.Operation{}
	for path, item := range c.document.Paths.Map() {
		for method, op := range item.Operations() {
			documented[method+" "+path] = op
		}
	}
	for _, route := range table() {
		op := documented[route.pattern]
		if op == nil {
			t.Errorf("openapi.yaml does not have %s", route.pattern)
			continue
		}
		delete(documented, route.pattern)
		right, _ := op.Extensions["x-right"].(string)
		if right != string(route.need) {
			t.Errorf("%s needs %q in the table and %q in openapi.yaml", route.pattern, route.need, right)
		}
		want := []string{"400", "401", "429", "500", "503"}
		if route.need != "" {
			want = append(want, "403")
		}
		if op.RequestBody != nil {
			want = append(want, "413")
		}
		if op.Parameters.GetByInAndName("header", "Idempotency-Key") != nil {
			want = append(want, "422")
		}
		if op.Parameters.GetByInAndName("header", "If-Match") != nil {
			want = append(want, "409")
			if strings.Contains(route.pattern, "{") {
				want = append(want, "404")
			}
		}
		for _, status := range want {
			if op.Responses.Value(status) == nil {
				t.Errorf("openapi.yaml does not say that %s may answer %s", route.pattern, status)
			}
		}
	}
	for pattern := range documented {
		t.Errorf("the table does not have %s", pattern)
	}
}

// What creates or issues is a POST that answers 201, or one that picks something: all of them take a key.
func TestWhatCreatesTakesAnIdempotencyKey(t *testing.T) {
	c := try(loadContract())(t)
	for _, route := range table() {
		op := try(c.operation(route.pattern))(t).Operation
		takes := op.Parameters.GetByInAndName("header", "Idempotency-Key") != nil
		if creates := op.Responses.Value("201") != nil; creates && !takes {
			t.Errorf("%s creates and takes no Idempotency-Key", route.pattern)
		}
		if takes && !strings.HasPrefix(route.pattern, "POST ") {
			t.Errorf("%s takes an Idempotency-Key", route.pattern)
		}
	}
}

// What deletes can be tried first.
func TestWhatDeletesCanBeTried(t *testing.T) {
	c := try(loadContract())(t)
	for _, route := range table() {
		op := try(c.operation(route.pattern))(t).Operation
		if strings.HasPrefix(route.pattern, "DELETE ") && op.Parameters.GetByInAndName("query", "dry_run") == nil {
			t.Errorf("%s takes no dry_run", route.pattern)
		}
	}
}

// A pattern says in words what it wants, since nobody reads a regular expression in a refusal.
func TestPatternsHaveWords(t *testing.T) {
	patterns := 0
	for n, line := range strings.Split(string(openAPI), "\n") {
		if !strings.Contains(line, " pattern: '") {
			continue
		}
		patterns++
		if !strings.Contains(line, formExtension+": ") {
			t.Errorf("openapi.yaml:%d has a pattern and no %s", n+1, formExtension)
		}
	}
	if patterns < 20 {
		t.Errorf("%d patterns were found", patterns)
	}
}

// Many programs read the document with parsers of YAML 1.1, which refuse a question mark in plain text within braces.
func TestTheDocumentIsYAMLOfOldParsers(t *testing.T) {
	plain := regexp.MustCompile(`[{,] *\w+: *[^'"{\[ ][^'"{}\[\],]*\?`)
	for n, line := range strings.Split(string(openAPI), "\n") {
		if plain.MatchString(line) {
			t.Errorf("openapi.yaml:%d has a question mark in plain text within braces: put the text in quotes", n+1)
		}
	}
}

// What is refused for its form is told the form, with an example.
func TestRefusalsNameTheForm(t *testing.T) {
	c := try(loadContract())(t)
	for _, test := range []struct{ route, path, body, want string }{
		{"POST /v1/tokens", "/v1/tokens", `{"count":1,"expiry":"31.1.2031"}`, `the member "expiry" is not a day of the calendar, such as 2031-01-31`},
		{"GET /v1/tokens", "/v1/tokens?expires_before=soon", "", "the query parameter expires_before is not a day of the calendar, such as 2031-01-31"},
		{"GET /v1/audit/events", "/v1/audit/events?since=2026-11-24", "", "the query parameter since is not a time such as 2026-11-24T09:14:00Z"},
		{"GET /v1/jobs", "/v1/jobs?before=october", "", "the query parameter before is not an ID such as 0197cbd0-3d2f-7a41-9c58-5be1a2f0c3d4"},
		{"GET /v1/report-runs", "/v1/report-runs?before=x", "", "the query parameter before is not an ID such as 0197cbd0-3d2f-7a41-9c58-5be1a2f0c3d4"},
		{"GET /v1/mail/messages", "/v1/mail/messages?before=X", "", "the query parameter before is not an ID such as 0197cbd0-3d2f-7a41-9c58-5be1a2f0c3d4"},
		{"POST /v1/report-schedules", "/v1/report-schedules", `{"schedule":"s","report":"tokens","format":"csv","every":"day","at":"7 am"}`, `the member "at" is not a time of day in UTC, such as 07:30`},
		{"POST /v1/report-runs", "/v1/report-runs", `{"report":"tokens","format":"csv","mail_to":["a@b"` + strings.Repeat(`,"a@b"`, 20) + `]}`, `the member "mail_to" takes 0 to 20 entries`},
		{"POST /v1/tokens/assign", "/v1/tokens/assign", `{"pairs":[]}`, `the member "pairs" takes 1 to 100000 entries`},
		{"PATCH /v1/settings", "/v1/settings", `{"result_life_seconds":"1d"}`, `the member "result_life_seconds" is not a whole number of seconds, such as 3600 for an hour`},
		{"PATCH /v1/settings", "/v1/settings", `{"result_life_seconds":1}`, `the member "result_life_seconds" lies outside 3600 to 2592000 seconds`},
	} {
		method, _, _ := strings.Cut(test.route, " ")
		r := httptest.NewRequest(method, test.path, strings.NewReader(test.body))
		r.Header.Set("Content-Type", "application/json")
		_, err := try(c.operation(test.route))(t).accept(httptest.NewRecorder(), r)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, not %s", test.path, err, test.want)
		}
	}
}

// goTypes are the types of package client by their names, which are those of the schemas.
var goTypes = map[string]reflect.Type{}

func init() {
	for _, v := range []any{
		client.Identity{}, client.User{}, client.OnDemand{}, client.FixedPasscode{}, client.NewUser{}, client.UserEdit{}, client.UserPage{}, client.Lockout{}, client.Failures{}, client.Activity{}, client.SignIn{}, client.Device{}, client.DeviceList{}, client.DeviceFile{}, client.DeviceImport{}, client.DeviceChange{}, client.ProfileConcern{},
		client.Configuration{}, client.ConfiguredProfile{}, client.ConfiguredRADIUSClient{}, client.ConfiguredDomain{}, client.ConfiguredGroup{}, client.ConfiguredAgent{}, client.ConfiguredDirectory{}, client.ConfiguredMailTemplate{}, client.MailTemplateEdit{},
		client.ConfiguredWebhook{}, client.ConfiguredReportSchedule{}, client.ReportScheduleEdit{}, client.ConfigurationPlan{}, client.ConfigurationStep{}, client.ConfigurationChange{},
		client.Profile{}, client.NewProfile{}, client.ProfileEdit{}, client.ProfileList{},
		client.TokenPolicy{}, client.TokenPolicyEdit{}, client.LockoutPolicy{}, client.LockoutPolicyEdit{}, client.PolicySet{}, client.Settings{}, client.SettingsEdit{}, client.Token{}, client.Pending{}, client.TokenPage{},
		client.NewTokens{}, client.CreatedTokens{}, client.TokenFile{}, client.BackupRequest{}, client.Import{}, client.TransferKey{}, client.TokenExport{}, client.TransferFile{}, client.TokenCreation{}, client.ImportedTokens{}, client.Assignment{}, client.Distribution{},
		client.Redistribution{}, client.Issue{}, client.Delivery{}, client.Revocation{}, client.PIN{}, client.Tokencodes{}, client.Emergency{}, client.Loss{}, client.LostToken{}, client.Replacement{}, client.Check{}, client.Decision{}, client.PINRules{},
		client.BulkAssignment{}, client.AssignmentPair{}, client.AssignmentRow{}, client.Assignments{}, client.Group{}, client.NewGroup{}, client.GroupEdit{}, client.GroupPage{}, client.MemberChange{}, client.MembersChanged{}, client.Domain{}, client.ObjectCounts{}, client.NewDomain{}, client.DomainEdit{}, client.DomainList{}, client.DomainObjects{}, client.Directory{}, client.DirectoryLast{}, client.NewDirectory{}, client.DirectoryEdit{}, client.DirectoryList{}, client.DirectoryTest{}, client.SyncWish{}, client.DirectorySync{}, client.UserFile{}, client.AppliedUsers{}, client.AppliedUser{},
		client.RADIUSClient{}, client.NewRADIUSClient{}, client.RADIUSClientEdit{}, client.RADIUSClientList{}, client.RADIUSAttribute{}, client.UserReply{}, client.DeviceOf{},
		client.APIKey{}, client.NewAPIKey{}, client.CreatedAPIKey{}, client.APIKeyList{}, client.Agent{}, client.NewAgent{}, client.AgentEdit{},
		client.AgentList{}, client.AgentCredential{}, client.NewAgentCredential{}, client.CreatedAgentCredential{}, client.AgentCredentialEdit{},
		client.AgentCredentialList{}, client.DataKey{}, client.Clock{}, client.ServerClock{}, client.Event{}, client.EventPage{}, client.Changes{},
		client.MailSettings{}, client.MailSettingsEdit{}, client.MailAddress{}, client.MailClaim{}, client.MailReleased{}, client.MailTest{}, client.MailTexts{}, client.MailTemplate{}, client.MailTemplateList{},
		client.MailMessage{}, client.MailPage{}, client.Reminders{},
		client.Webhook{}, client.NewWebhook{}, client.CreatedWebhook{}, client.WebhookEdit{}, client.WebhookList{}, client.WebhookTest{},
		client.Entry{}, client.EntryList{}, client.Checkpoint{}, client.CheckpointList{}, client.VerifierKey{}, client.PendingCount{}, client.Problem{},
		client.Statistics{}, client.ReportTemplate{}, client.ReportTemplateList{}, client.ReportColumn{}, client.ReportFilter{}, client.ReportHeading{}, client.ReportDocument{},
		client.ReportOrder{}, client.ReportRun{}, client.ReportRunPage{}, client.NewReportSchedule{}, client.ReportSchedule{}, client.ReportScheduleList{},
		client.Job{}, client.JobPage{}, client.JobItem{}, client.JobItemPage{}, client.JobResumption{}, client.JobRejection{}, client.Selection{},
		client.BulkDistribution{}, client.BulkRedistribution{}, client.JobParts{}, client.Campaign{}, client.CutOff{},
	} {
		goTypes[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
}

func TestGoTypesAgreeWithTheirSchemas(t *testing.T) {
	c := try(loadContract())(t)
	for name, schema := range c.document.Components.Schemas {
		if !schema.Value.Type.Is("object") {
			continue
		}
		if goTypes[name] == nil {
			t.Errorf("package client has no type %s", name)
			continue
		}
		agree(t, c, name, goTypes[name], schema.Value)
	}
	for name := range goTypes {
		if c.document.Components.Schemas[name] == nil {
			t.Errorf("openapi.yaml has no schema %s", name)
		}
	}
	for name := range jsonTypes(t) {
		if goTypes[name] == nil {
			t.Errorf("client.%s is sent or received, and is compared with no schema", name)
		}
	}
}

// jsonTypes are the exported types of package client that have JSON members.
func jsonTypes(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files := try(filepath.Glob("../../client/*.go"))(t)
	for _, path := range files {
		f := try(parser.ParseFile(gotoken.NewFileSet(), path, nil, 0))(t)
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool { return f.Tag != nil }) {
				found[spec.Name.Name] = true
			}
			return false
		})
	}
	return found
}

// agree compares the members of a struct with those of a schema: names, types, and which of them are always there.
func agree(t *testing.T, c *contract, name string, goType reflect.Type, schema *openapi3.Schema) {
	t.Helper()
	members := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(goType) {
		if !f.Anonymous {
			member, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			members[member] = f
		}
	}
	for member, property := range schema.Properties {
		f, ok := members[member]
		if !ok {
			t.Errorf("client.%s has no member %s", name, member)
			continue
		}
		delete(members, member)
		optional := strings.Contains(f.Tag.Get("json"), ",omitempty")
		if required := slices.Contains(schema.Required, member); required == optional {
			t.Errorf("client.%s.%s: required is %v in openapi.yaml, optional is %v in Go", name, f.Name, required, optional)
		}
		if want := kind(c, property); kindOf(f.Type) != want {
			t.Errorf("client.%s.%s is %s in Go and %s in openapi.yaml", name, f.Name, kindOf(f.Type), want)
		}
	}
	for member := range members {
		t.Errorf("openapi.yaml has no member %s of %s", member, name)
	}
	if schema.AdditionalProperties.Has == nil || *schema.AdditionalProperties.Has {
		t.Errorf("schema %s takes any member", name)
	}
}

// kind is the type of a schema in words that kindOf uses too.
func kind(c *contract, s *openapi3.SchemaRef) string {
	switch {
	case s.Value.Type.Is("array"):
		return "[]" + kind(c, s.Value.Items)
	case s.Value.Type.Is("object") && s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Value.Format == "date-time" || s.Value.Format == "byte":
		return s.Value.Format
	}
	return s.Value.Type.Slice()[0]
}

func kindOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return kindOf(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "date-time"
	case t == reflect.TypeFor[[]byte]():
		return "byte"
	case t.Kind() == reflect.Slice:
		return "[]" + kindOf(t.Elem())
	case t.Kind() == reflect.Struct:
		return t.Name()
	case t.Kind() == reflect.Map:
		return "object"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "integer"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Bool:
		return "boolean"
	}
	return t.Kind().String()
}

// Every code that the document lists has one of the statuses that the operation lists.
func TestListedCodesHaveListedStatuses(t *testing.T) {
	c := try(loadContract())(t)
	byCode := map[string]int{}
	for code, status := range statuses {
		byCode[string(code)] = status
	}
	for _, route := range table() {
		op := try(c.operation(route.pattern))(t).Operation
		codes, _ := op.Extensions["x-codes"].([]any)
		used := map[int]bool{}
		for _, code := range codes {
			status := byCode[code.(string)]
			if status == 0 {
				status = http.StatusUnprocessableEntity
			}
			used[status] = true
			if op.Responses.Status(status) == nil {
				t.Errorf("%s lists %s and not its status %d", route.pattern, code, status)
			}
		}
		takesKey := op.Parameters.GetByInAndName("header", "Idempotency-Key") != nil
		for _, status := range []int{404, 409, 422} {
			if op.Responses.Status(status) != nil && !used[status] && (status != 422 || !takesKey) {
				t.Errorf("%s lists %s and no code for it", route.pattern, strconv.Itoa(status))
			}
		}
	}
	if len(byCode) == 0 || !slices.Contains(slices.Collect(maps.Values(byCode)), http.StatusConflict) {
		t.Error("no statuses")
	}
}

// Whatever starts a job keeps its answer with the last transaction of that, and not around all of it.
func TestRoutesThatStartJobs(t *testing.T) {
	c := try(loadContract())(t)
	want := []string{
		"POST /v1/tokens/create", "POST /v1/tokens/enable", "POST /v1/tokens/disable", "POST /v1/tokens/clear-ntc", "POST /v1/tokens/unassign", "POST /v1/tokens/delete",
		"POST /v1/tokens/replace", "POST /v1/tokens/extend", "POST /v1/tokens/distribute", "POST /v1/tokens/cut-off", "POST /v1/tokens/redistribute",
		"POST /v1/jobs/{job}/offer-again", "POST /v1/mail/reminders",
	}
	for _, route := range table() {
		if op := try(c.operation(route.pattern))(t); op.job != slices.Contains(want, route.pattern) {
			t.Errorf("%s starts a job: %t", route.pattern, op.job)
		}
	}
}
