package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/throttle"
)

// estate is a deployment with two domains, berlin and rome, each with one of everything; the keys of berlin's are limited to it.
type estate struct {
	*house
	inside, outside map[string]string // names of what is in berlin and in rome, by the names of path values
	key             string            // of a super administrator of berlin
	berlin          *client.Client    // with that key
}

func newEstate(t *testing.T) *estate {
	h := newHouse(t)
	ctx, c := t.Context(), h.admin
	e := &estate{house: h, inside: map[string]string{}, outside: map[string]string{}}
	for at, names := range map[string]map[string]string{"berlin": e.inside, "rome": e.outside} {
		try(c.AddDomain(ctx, client.NewDomain{Domain: at}))(t)
		try(c.AddUser(ctx, client.NewUser{UserID: at + "-user", Domain: at}))(t)
		try(c.AddGroup(ctx, client.NewGroup{Group: at + "-group", Domain: at}))(t)
		serials := try(c.CreateTokens(ctx, client.NewTokens{Count: 2, Domain: at}))(t)
		try(c.Assign(ctx, serials[0], at+"-user"))(t)
		try(c.AddAgent(ctx, client.NewAgent{Agent: at + "-agent", Domain: at}))(t)
		made := try(c.AddAgentCredential(ctx, at+"-agent", client.NewAgentCredential{}))(t)
		try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: at + "-vpn", Certificate: at + ".example.com", Domain: at}))(t)
		key := try(c.AddAPIKey(ctx, client.NewAPIKey{Name: at + "-vpn", Role: "super_admin", Domain: at}))(t)
		if at == "berlin" {
			e.key = string(key.Key)
		}
		maps.Copy(names, map[string]string{"user_id": at + "-user", "group": at + "-group", "serial": serials[0], "free": serials[1], "domain": at,
			"agent": at + "-agent", "name": at + "-vpn", "access_id": made.AccessID})
	}
	e.berlin = try(client.New(h.public.URL, e.key, &http.Client{Transport: h}))(t)
	return e
}

// Whoever writes a name wrong, by which a list or report is narrowed, is told so, and not that there are none. A key that is limited to a domain reads the same of what is
// elsewhere, unless she sees some of it anyway.
func TestListsByNamesOfNobody(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	e.profile("estate-file", "file")
	narrowed := map[string]func(c *client.Client, name string) error{
		"tokens by user": func(c *client.Client, name string) error {
			_, err := c.Tokens(ctx, client.TokenFilter{UserID: name})
			return err
		},
		"tokens by profile": func(c *client.Client, name string) error {
			_, err := c.Tokens(ctx, client.TokenFilter{Profile: name})
			return err
		},
		"tokens by domain": func(c *client.Client, name string) error {
			_, err := c.Tokens(ctx, client.TokenFilter{Domain: name})
			return err
		},
		"users by domain": func(c *client.Client, name string) error {
			_, err := c.Users(ctx, client.UserFilter{Domain: name})
			return err
		},
		"mail by user": func(c *client.Client, name string) error {
			_, err := c.MailMessages(ctx, client.MailFilter{UserID: name})
			return err
		},
		"mail by token": func(c *client.Client, name string) error {
			_, err := c.MailMessages(ctx, client.MailFilter{Serial: name})
			return err
		},
		"extensions": func(c *client.Client, name string) error {
			_, err := c.Extensions(ctx, client.ExtensionFilter{Serial: name})
			return err
		},
		"runs by schedule": func(c *client.Client, name string) error {
			_, err := c.ReportRuns(ctx, client.ReportRunFilter{Schedule: name})
			return err
		},
		"runs by report": func(c *client.Client, name string) error {
			_, err := c.ReportRuns(ctx, client.ReportRunFilter{Report: name})
			return err
		},
		"report by user":       func(c *client.Client, name string) error { return reported(ctx, c, "tokens", "user="+name) },
		"report by profile":    func(c *client.Client, name string) error { return reported(ctx, c, "tokens", "profile="+name) },
		"report by domain":     func(c *client.Client, name string) error { return reported(ctx, c, "tokens", "domain="+name) },
		"report of extensions": func(c *client.Client, name string) error { return reported(ctx, c, "extensions", "serial="+name) },
		"scheduled of a user": func(c *client.Client, name string) error {
			_, err := c.AddReportSchedule(ctx, client.NewReportSchedule{Schedule: "x", ReportOrder: client.ReportOrder{Report: "tokens", Format: "csv", Filters: map[string]string{"user": name}}, Every: "day", At: "07:00"})
			return err
		},
	}
	for what, list := range narrowed {
		name := "nobody"
		if strings.Contains(what, "token") && strings.HasPrefix(what, "mail") || strings.HasSuffix(what, "extensions") {
			name = "999999999999"
		}
		if err := list(e.admin, name); !strings.HasSuffix(codeOf(err), "NOT_FOUND") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, elsewhere := range map[string]string{"tokens by user": e.outside["user_id"], "mail by user": e.outside["user_id"], "mail by token": e.outside["serial"], "extensions": e.outside["serial"], "report by user": e.outside["user_id"], "report of extensions": e.outside["serial"]} {
		theirs, nobodys := narrowed[what](e.berlin, elsewhere), narrowed[what](e.berlin, "999999999999")
		refused(t, theirs, 403, "OUT_OF_SCOPE")
		if strings.ReplaceAll(theirs.Error(), elsewhere, "") != strings.ReplaceAll(nobodys.Error(), "999999999999", "") {
			t.Errorf("%s tells %q of who is elsewhere, and %q of nobody", what, theirs, nobodys)
		}
	}
	// What is there and has none is an answer, and so is a token of the domain that somebody elsewhere holds.
	try(e.admin.Assign(ctx, e.inside["free"], e.outside["user_id"]))(t)
	for what, name := range map[string]string{"tokens by user": e.outside["user_id"], "report by user": e.outside["user_id"], "tokens by profile": "estate-file", "report by profile": "estate-file", "mail by user": e.inside["user_id"], "extensions": e.inside["serial"], "report of extensions": e.inside["serial"], "runs by report": "tokens"} {
		must(t, narrowed[what](e.berlin, name))
	}
	if page := try(e.berlin.Tokens(ctx, client.TokenFilter{UserID: e.outside["user_id"]}))(t); len(page.Tokens) != 1 || page.Tokens[0].Serial != e.inside["free"] {
		t.Errorf("of somebody elsewhere: %+v", page)
	}
}

// reported has a report made that a filter narrows.
func reported(ctx context.Context, c *client.Client, report, filter string) error {
	name, value, _ := strings.Cut(filter, "=")
	in, err := c.Report(ctx, report, "json", client.ReportQuery{Filters: map[string]string{name: value}})
	if err == nil {
		err = in.Close()
	}
	return err
}

// works has one of everything done in rome that keys of rome have done, beside its objects.
func (e *estate) works() {
	ctx, t, c := e.t.Context(), e.t, e.limited(access.SuperAdmin, "rome")
	e.mails()
	e.profile("estate-file", "file")
	j := try(c.DistributeMany(ctx, client.BulkDistribution{Selection: client.Selection{Serials: []string{e.outside["serial"]}}, Profile: "estate-file", Password: "sesame open", Mail: true}))(t)
	e.ended(j, nil)
	run := try(c.AddReportRun(ctx, client.ReportOrder{Report: "tokens", Format: "csv"}))(t)
	must(t, e.Reports.Work(ctx))
	try(c.AddReportSchedule(ctx, client.NewReportSchedule{Schedule: "rome-daily", ReportOrder: client.ReportOrder{Report: "tokens", Format: "csv"}, Every: "day", At: "07:00"}))(t)
	made := try(c.CorrectClocks(ctx, client.CorrectionOrder{Selection: client.Selection{All: true}, Seconds: 60}))(t)
	maps.Copy(e.outside, map[string]string{"job": j.Job, "run": run.Run, "schedule": "rome-daily", "correction": made.Correction,
		"message": try(c.MailMessages(ctx, client.MailFilter{}))(t).Messages[0].Message})
}

// rome is all that is to be seen of the other domain.
func (e *estate) rome() []any {
	ctx, t, c := e.t.Context(), e.t, e.admin
	return []any{
		try(c.Users(ctx, client.UserFilter{Domain: "rome"}))(t), try(c.Tokens(ctx, client.TokenFilter{Domain: "rome"}))(t), try(c.Groups(ctx, client.GroupFilter{Domain: "rome"}))(t),
		try(c.Agent(ctx, "rome-agent"))(t), try(c.AgentCredentials(ctx, "rome-agent"))(t), try(c.RADIUSClient(ctx, "rome-vpn"))(t), try(c.Domain(ctx, "rome"))(t),
		try(c.PoliciesOf(ctx, "rome"))(t),
		try(c.ReportSchedules(ctx))(t),
	}
}

// aBody is what each route takes that needs a body to come as far as its handler.
var aBody = map[string]string{
	"PATCH /v1/groups/{group}": `{"note":"x"}`, "POST /v1/groups/{group}/members": `{"remove":["x"]}`, "PATCH /v1/domains/{domain}": `{"note":"x"}`,
	"PATCH /v1/domains/{domain}/policies/token": `{"pin_min":5}`, "PATCH /v1/domains/{domain}/policies/lockout": `{"failures":4}`,
	"POST /v1/domains/{domain}/objects": `{"users":["berlin-user"]}`, "PATCH /v1/radius-clients/{name}": `{"max_qps":1}`, "PATCH /v1/agents/{agent}": `{"note":"x"}`,
	"PATCH /v1/tokens/{serial}": `{"add_tags":["x"]}`, "POST /v1/tokens/{serial}/extend": `{"donors":true}`,
	"POST /v1/jobs/{job}/resume": `{}`, "POST /v1/jobs/{job}/reject": `{"reason":"x"}`, "POST /v1/clock-corrections/{correction}/undo": `{}`,
	"POST /v1/agents/{agent}/credentials": `{}`, "PATCH /v1/agent-credentials/{access_id}": `{"note":"x"}`,
}

// A key that is limited to a domain meets each route with what is in another domain: it is told the same as for what there is not,
// and nothing changes there. Routes that are about the whole deployment are closed to it.
func TestAScopedKeyMeetsEachRoute(t *testing.T) {
	e := newEstate(t)
	e.works()
	before := e.rome()
	listed := map[string]bool{}
	nothing := map[string]string{"user_id": "no-user", "group": "no-group", "serial": "999999999999", "domain": "no-domain", "agent": "no-agent", "name": "no-name",
		"access_id": strings.Repeat("0", 64), "job": "no-job", "run": "no-run", "schedule": "no-schedule", "correction": "no-correction", "message": "no-message"}
	for _, route := range table() {
		method, pattern, _ := strings.Cut(route.pattern, " ")
		listed[route.pattern] = true
		send := func(names map[string]string) (int, string) {
			path := pattern
			for name, value := range names {
				path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
			}
			path = strings.NewReplacer("{profile}", "none", "{device_type}", "none", "{part}", "list").Replace(path)
			for strings.Contains(path, "{") { // of a route that is closed
				path = path[:strings.Index(path, "{")] + "1" + path[strings.Index(path, "}")+1:]
			}
			status, _, body := e.send(e.key, method, path, aBody[route.pattern], "X-Correlation-ID", "same")
			return status, body
		}
		status, body := send(e.outside)
		named := slices.ContainsFunc(slices.Collect(maps.Keys(nothing)), func(name string) bool { return strings.Contains(pattern, "{"+name+"}") })
		switch {
		case !withinScope[route.pattern]:
			if status != http.StatusForbidden || !strings.Contains(body, `"code":"OUT_OF_SCOPE"`) {
				t.Errorf("%s is open to a key of a domain: %d %s", route.pattern, status, body)
			}
		case named:
			if status != http.StatusForbidden || !strings.Contains(body, `"code":"OUT_OF_SCOPE"`) {
				t.Errorf("%s reaches another domain: %d %s", route.pattern, status, body)
			}
			other, told := send(nothing)
			for name, value := range nothing { // but for the name that was asked for
				told = strings.ReplaceAll(told, value, e.outside[name])
			}
			if other != status || told != body {
				t.Errorf("%s tells what exists elsewhere: %s, and of what there is not: %s", route.pattern, body, told)
			}
		case method == "GET":
			tells := func(name string) bool { return strings.Contains(body, e.outside[name]) }
			if strings.Contains(body, "rome") || slices.ContainsFunc([]string{"serial", "free", "job", "run", "correction", "message"}, tells) {
				t.Errorf("%s shows another domain: %s", route.pattern, body)
			}
		}
	}
	for pattern := range withinScope {
		if !listed[pattern] {
			t.Errorf("there is no route %s", pattern)
		}
	}
	if after := e.rome(); !reflect.DeepEqual(before, after) {
		t.Errorf("what was there changed:\n%+v\n%+v", before, after)
	}
}

// What a body names has to be in the domain, too.
func TestAScopedKeyNamesOthers(t *testing.T) {
	e := newEstate(t)
	before, ctx, c := e.rome(), t.Context(), e.berlin
	in, out := e.inside, e.outside
	parent, note := "rome", "x"
	for name, do := range map[string]func() error{
		"assign to":      func() error { _, err := c.Assign(ctx, in["free"], out["user_id"]); return err },
		"assign next to": func() error { _, err := c.AssignNext(ctx, out["user_id"]); return err },
		"replace with": func() error {
			_, err := c.Replace(ctx, in["serial"], client.Replacement{With: out["free"]})
			return err
		},
		"assign many to": func() error {
			_, err := c.AssignMany(ctx, client.BulkAssignment{Users: []string{out["user_id"]}, Next: true})
			return err
		},
		"assign many": func() error {
			_, err := c.AssignMany(ctx, client.BulkAssignment{Users: []string{in["user_id"]}, Serials: []string{out["free"]}})
			return err
		},
		"assign to group": func() error {
			_, err := c.AssignMany(ctx, client.BulkAssignment{Group: out["group"], Next: true})
			return err
		},
		"add a member": func() error {
			_, err := c.ChangeMembers(ctx, in["group"], client.MemberChange{Add: []string{out["user_id"]}})
			return err
		},
		"list members":    func() error { _, err := c.Users(ctx, client.UserFilter{Group: out["group"]}); return err },
		"list users":      func() error { _, err := c.Users(ctx, client.UserFilter{Domain: "rome"}); return err },
		"list tokens":     func() error { _, err := c.Tokens(ctx, client.TokenFilter{Domain: "root"}); return err },
		"add a user":      func() error { _, err := c.AddUser(ctx, client.NewUser{UserID: "x", Domain: "rome"}); return err },
		"add at the root": func() error { _, err := c.AddUser(ctx, client.NewUser{UserID: "x", Domain: "root"}); return err },
		"import a user": func() error {
			_, err := c.ImportUsers(ctx, client.UserFile{File: []byte("user_id,name\n" + out["user_id"] + ",x\n")})
			return err
		},
		"import there": func() error {
			_, err := c.ImportUsers(ctx, client.UserFile{File: []byte("user_id\nx\n"), Domain: "rome"})
			return err
		},
		"add a group":  func() error { _, err := c.AddGroup(ctx, client.NewGroup{Group: "x", Domain: "rome"}); return err },
		"make tokens":  func() error { _, err := c.CreateTokens(ctx, client.NewTokens{Count: 1, Domain: "rome"}); return err },
		"add an agent": func() error { _, err := c.AddAgent(ctx, client.NewAgent{Agent: "x", Domain: "rome"}); return err },
		"make a key": func() error {
			_, err := c.AddAPIKey(ctx, client.NewAPIKey{Name: "x", Role: "super_admin", Domain: "root"})
			return err
		},
		"add a domain":   func() error { _, err := c.AddDomain(ctx, client.NewDomain{Domain: "x", Parent: "rome"}); return err },
		"at the top":     func() error { _, err := c.AddDomain(ctx, client.NewDomain{Domain: "x", Parent: "root"}); return err },
		"move away":      func() error { _, err := c.EditDomain(ctx, "berlin", 0, client.DomainEdit{Parent: &parent}); return err },
		"delete the top": func() error { return c.DeleteDomain(ctx, "berlin") },
		"take a user": func() error {
			_, err := c.PutIntoDomain(ctx, "berlin", client.DomainObjects{Users: []string{out["user_id"]}})
			return err
		},
		"give a user away": func() error {
			_, err := c.PutIntoDomain(ctx, "rome", client.DomainObjects{Users: []string{in["user_id"]}})
			return err
		},
		"edit a profile": func() error { _, err := c.EditProfile(ctx, "none", 0, client.ProfileEdit{Notes: &note}); return err },
	} {
		err := do()
		if told, is := err.(*client.Error); !is || told.Status != http.StatusForbidden || told.Code != "OUT_OF_SCOPE" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A passcode of hers is one of nobody, and her failures do not count: she cannot be locked out from there.
	for range 9 {
		if got := try(c.Authenticate(ctx, out["user_id"], "12345678"))(t); got != "denied" {
			t.Errorf("%s", got)
		}
	}
	if after := e.rome(); !reflect.DeepEqual(before, after) {
		t.Errorf("what was there changed:\n%+v\n%+v", before, after)
	}
	rows := try(c.AssignMany(ctx, client.BulkAssignment{Users: []string{out["user_id"], in["user_id"]}, Next: true, Partial: true}))(t).Rows
	if rows[0].Code != "OUT_OF_SCOPE" || !rows[1].OK || rows[1].Serial != in["free"] {
		t.Errorf("assigned %+v", rows)
	}
}

// Agents and RADIUS clients that a key of a domain makes or edits ask about nobody elsewhere, whatever it says of whom they may.
func TestAScopedKeyHasAgents(t *testing.T) {
	e := newEstate(t)
	ctx, c := t.Context(), e.berlin
	try(c.AddDomain(ctx, client.NewDomain{Domain: "mitte", Parent: "berlin"}))(t)
	everywhere, note := "", "x"
	for asked, is := range map[string]string{"": "berlin", "root": "berlin", "mitte": "mitte"} {
		name := "asked-" + asked
		if got := try(c.AddAgent(ctx, client.NewAgent{Agent: name, AllowedDomain: asked}))(t).AllowedDomain; got != is {
			t.Errorf("agent %q: %q", asked, got)
		}
		if got := try(c.EditAgent(ctx, name, 0, client.AgentEdit{AllowedDomain: &everywhere}))(t).AllowedDomain; got != "berlin" {
			t.Errorf("edited agent %q: %q", asked, got)
		}
		vpn := client.NewRADIUSClient{RADIUSClient: name + "-vpn", Address: fmt.Sprint("127.0.4.", len(asked)), Secret: "a secret of the gateway", AllowedDomain: asked}
		if got := try(c.AddRADIUSClient(ctx, vpn))(t).AllowedDomain; got != is {
			t.Errorf("RADIUS client %q: %q", asked, got)
		}
		if got := try(c.EditRADIUSClient(ctx, vpn.RADIUSClient, 0, client.RADIUSClientEdit{AllowedDomain: &everywhere}))(t).AllowedDomain; got != "berlin" {
			t.Errorf("edited RADIUS client %q: %q", asked, got)
		}
	}
	if got := try(c.AddAgent(ctx, client.NewAgent{Agent: "below", Domain: "mitte"}))(t).AllowedDomain; got != "mitte" {
		t.Errorf("an agent of the domain below: %q", got)
	}
	// What these refer to may be anywhere that the key sees.
	inside := []string{e.inside["group"]}
	if got := try(c.AddAgent(ctx, client.NewAgent{Agent: "of-a-group", Domain: "mitte", AllowedGroups: inside}))(t); got.AllowedDomain != "mitte" {
		t.Errorf("an agent of a group above: %+v", got)
	}
	try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "around", Address: "127.0.3.0/24", Secret: "a secret of the gateway"}))(t)
	try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "within", Address: "127.0.3.7", Secret: "a secret of the gateway", Domain: "mitte", AllowedGroups: inside}))(t)
	// Nobody has them ask about another domain; a key of the whole deployment names groups there.
	of := client.NewAgent{Agent: "of-berlin", Domain: "berlin", AllowedDomain: "rome", AllowedGroups: []string{e.outside["group"]}}
	vpn := client.NewRADIUSClient{RADIUSClient: "of-berlin", Address: "127.0.5.7", Secret: "a secret of the gateway", Domain: "berlin", AllowedDomain: "rome", AllowedGroups: of.AllowedGroups}
	_, err := c.AddAgent(ctx, of)
	refused(t, err, http.StatusForbidden, "OUT_OF_SCOPE")
	_, err = c.AddRADIUSClient(ctx, vpn)
	refused(t, err, http.StatusForbidden, "OUT_OF_SCOPE")
	_, err = e.admin.AddAgent(ctx, of)
	refused(t, err, http.StatusBadRequest, "INVALID")
	_, err = e.admin.AddRADIUSClient(ctx, vpn)
	refused(t, err, http.StatusBadRequest, "INVALID")
	of.AllowedDomain, vpn.AllowedDomain = "mitte", "mitte"
	if got := try(e.admin.AddAgent(ctx, of))(t); got.Domain != "berlin" || got.AllowedDomain != "mitte" {
		t.Errorf("an agent of berlin: %+v", got)
	}
	if got := try(e.admin.AddRADIUSClient(ctx, vpn))(t); got.Domain != "berlin" || got.AllowedDomain != "mitte" {
		t.Errorf("a RADIUS client of berlin: %+v", got)
	}
	rome := "rome"
	_, err = e.admin.EditAgent(ctx, "of-berlin", 0, client.AgentEdit{AllowedDomain: &rome})
	refused(t, err, http.StatusBadRequest, "INVALID")
	of.Agent, of.Domain = "of-nowhere", "nowhere"
	_, err = e.admin.AddAgent(ctx, of)
	refused(t, err, http.StatusNotFound, "DOMAIN_NOT_FOUND")
	// What a key of the whole deployment says holds, also where others edit something else.
	if got := try(c.EditAgent(ctx, e.inside["agent"], 0, client.AgentEdit{Note: &note}))(t).AllowedDomain; got != "" {
		t.Errorf("an agent that was made for everywhere: %q", got)
	}
	if got := try(e.admin.EditAgent(ctx, "below", 0, client.AgentEdit{AllowedDomain: &everywhere}))(t).AllowedDomain; got != "" {
		t.Errorf("edited for everywhere: %q", got)
	}
}

// What somebody else has said of whom they may ask about is not widened by a change of another part, and nobody elsewhere is named.
func TestAScopedKeyWidensNoRestriction(t *testing.T) {
	e := newEstate(t)
	ctx, in, out := t.Context(), e.inside, e.outside
	try(e.admin.AddDomain(ctx, client.NewDomain{Domain: "mitte", Parent: "berlin"}))(t)
	none, everywhere, later := []string{}, "root", []string{in["user_id"], "comes-later"}
	type edit struct {
		users, groups *[]string
		domain        *string
	}
	names := func(names ...string) *[]string { return &names }
	both, mine := []string{in["user_id"], out["user_id"]}, []string{in["user_id"]}
	groups := []string{in["group"], out["group"]}
	here, there := "mitte", "rome"
	for name, c := range map[string]struct {
		users, groups []string
		domain        string
		edit          edit
		want          string // the domain after that
		refused       bool
	}{
		"no users":                {both, nil, "", edit{users: &none}, "berlin", false},
		"no groups":               {nil, groups, "", edit{groups: &none}, "berlin", false},
		"own users":               {both, nil, "", edit{users: &mine}, "berlin", false},
		"users that come later":   {mine, nil, "", edit{users: &later}, "berlin", false},
		"others' users":           {mine, nil, "", edit{users: &both}, "", true},
		"others' groups":          {nil, groups[:1], "", edit{groups: &groups}, "", true},
		"others' users, as ever":  {both, groups, "", edit{groups: names(in["group"])}, "", true},
		"others' groups, as ever": {both, groups, "", edit{users: &mine}, "", true},
		"a domain below":          {mine, nil, "mitte", edit{users: &none}, "mitte", false},
		"into a domain below":     {mine, nil, "", edit{domain: &here}, "mitte", false},
		"everywhere":              {nil, nil, "mitte", edit{domain: &everywhere}, "berlin", false},
		"another domain":          {nil, nil, "", edit{domain: &there}, "", true},
		"nothing of it":           {both, groups, "", edit{users: &both, groups: &groups}, "", false},
	} {
		c.users, c.groups = allOf(c.users), allOf(c.groups)
		try(e.admin.EditAgent(ctx, in["agent"], 0, client.AgentEdit{AllowedUsers: &c.users, AllowedGroups: &c.groups, AllowedDomain: &c.domain}))(t)
		try(e.admin.EditRADIUSClient(ctx, in["name"], 0, client.RADIUSClientEdit{AllowedUsers: &c.users, AllowedGroups: &c.groups, AllowedDomain: &c.domain}))(t)
		agent, err := e.berlin.EditAgent(ctx, in["agent"], 0, client.AgentEdit{AllowedUsers: c.edit.users, AllowedGroups: c.edit.groups, AllowedDomain: c.edit.domain})
		vpn, err2 := e.berlin.EditRADIUSClient(ctx, in["name"], 0, client.RADIUSClientEdit{AllowedUsers: c.edit.users, AllowedGroups: c.edit.groups, AllowedDomain: c.edit.domain})
		for kind, got := range map[string]struct {
			err    error
			domain string
		}{"agent": {err, agent.AllowedDomain}, "RADIUS client": {err2, vpn.AllowedDomain}} {
			told, is := got.err.(*client.Error)
			switch {
			case c.refused && (!is || told.Code != "OUT_OF_SCOPE"):
				t.Errorf("%s of %s: %v", name, kind, got.err)
			case !c.refused && (got.err != nil || got.domain != c.want):
				t.Errorf("%s of %s: %q, %v", name, kind, got.domain, got.err)
			}
		}
	}
	_, err := e.berlin.AddAgent(ctx, client.NewAgent{Agent: "naming", AllowedUsers: both})
	refused(t, err, http.StatusForbidden, "OUT_OF_SCOPE")
	_, err = e.berlin.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "naming", Address: "127.0.5.7", Secret: "a secret of the gateway", AllowedUsers: both})
	refused(t, err, http.StatusForbidden, "OUT_OF_SCOPE")
}

// In its domain, and below, a key does all that its role may, and what it makes is placed there.
func TestAScopedKeyInItsDomain(t *testing.T) {
	e := newEstate(t)
	ctx, c := t.Context(), e.berlin
	if me := try(c.WhoAmI(ctx))(t); me.Domain != "berlin" {
		t.Errorf("%+v", me)
	}
	mitte := try(c.AddDomain(ctx, client.NewDomain{Domain: "mitte"}))(t)
	if mitte.Parent != "berlin" {
		t.Errorf("%+v", mitte)
	}
	if u := try(c.AddUser(ctx, client.NewUser{UserID: "new"}))(t); u.Domain != "berlin" {
		t.Errorf("%+v", u)
	}
	if g := try(c.AddGroup(ctx, client.NewGroup{Group: "deep", Domain: "mitte"}))(t); g.Domain != "mitte" {
		t.Errorf("%+v", g)
	}
	if a := try(c.AddAgent(ctx, client.NewAgent{Agent: "new"}))(t); a.Domain != "berlin" {
		t.Errorf("%+v", a)
	}
	if v := try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "new", Address: "127.0.5.7", Secret: "a secret of the gateway"}))(t); v.Domain != "berlin" {
		t.Errorf("%+v", v)
	}
	if k := try(c.AddAPIKey(ctx, client.NewAPIKey{Name: "new", Role: "help_desk"}))(t); k.Domain != "berlin" {
		t.Errorf("%+v", k)
	}
	serials := try(c.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)
	if tok := try(c.Assign(ctx, serials[0], "new"))(t); tok.Domain != "berlin" {
		t.Errorf("%+v", tok)
	}
	if n := try(c.PutIntoDomain(ctx, "mitte", client.DomainObjects{Users: []string{"new"}, Agents: []string{"NEW"}}))(t); n != (client.ObjectCounts{Users: 1, Tokens: 1, Agents: 1}) {
		t.Errorf("moved %+v", n)
	}
	if tok := try(c.Token(ctx, serials[0]))(t); tok.Domain != "mitte" {
		t.Errorf("the token stayed in %s", tok.Domain)
	}
	if page := try(c.Tokens(ctx, client.TokenFilter{Domain: "mitte"}))(t); len(page.Tokens) != 1 {
		t.Errorf("in mitte %+v", page)
	}
	if page := try(c.Users(ctx, client.UserFilter{}))(t); len(page.Users) != 2 {
		t.Errorf("in berlin %+v", page)
	}
	must(t, c.Unlock(ctx, "new"))
	below := try(client.New(e.public.URL, string(try(c.AddAPIKey(ctx, client.NewAPIKey{Name: "below", Role: string(access.HelpDesk), Domain: "mitte"}))(t).Key), &http.Client{Transport: e}))(t)
	_, err := below.User(ctx, e.inside["user_id"])
	refused(t, err, 403, "OUT_OF_SCOPE")
	try(below.Disable(ctx, serials[0], 0))(t)
	// What is moved away is gone at once.
	try(e.admin.PutIntoDomain(ctx, "rome", client.DomainObjects{Users: []string{"new"}}))(t)
	_, err = below.User(ctx, "new")
	refused(t, err, 403, "OUT_OF_SCOPE")
	_, err = c.Enable(ctx, serials[0], 0)
	refused(t, err, 403, "OUT_OF_SCOPE")
}

// Who administers a security domain does not take packets from a RADIUS client elsewhere by a longer prefix with a secret of his own.
func TestScopeTakesNoPacketsFromOtherRADIUSClients(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	at := func(name, address, in string) client.NewRADIUSClient {
		return client.NewRADIUSClient{RADIUSClient: name, Address: address, Secret: "a secret of the gateway", Domain: in}
	}
	try(e.admin.AddRADIUSClient(ctx, at("all", "127.0.1.0/24", "")))(t)
	try(e.admin.AddRADIUSClient(ctx, at("rome", "2001:db8::/32", "rome")))(t)
	own := try(e.berlin.AddRADIUSClient(ctx, at("own", "127.0.2.0/24", "")))(t)
	try(e.berlin.AddRADIUSClient(ctx, at("within-own", "127.0.2.7", "")))(t)
	for _, address := range []string{"10.0.0.0/23", "2001:db9::/47", "0.0.0.0/0"} { // or nobody else could add a client there
		_, err := e.berlin.AddRADIUSClient(ctx, at("wide", address, ""))
		refused(t, err, http.StatusForbidden, "OUT_OF_SCOPE")
	}
	try(e.admin.AddRADIUSClient(ctx, at("around", "127.0.0.0/8", "berlin")))(t)
	for _, address := range []string{"127.0.1.7", "127.0.1.128/25", "2001:db8:7::/48"} {
		_, err := e.berlin.AddRADIUSClient(ctx, at("taker", address, ""))
		refused(t, err, http.StatusConflict, "CONFLICT")
		_, err = e.berlin.EditRADIUSClient(ctx, "own", 0, client.RADIUSClientEdit{Address: &address})
		refused(t, err, http.StatusConflict, "CONFLICT")
	}
	if got := try(e.berlin.RADIUSClient(ctx, "own"))(t); !reflect.DeepEqual(got, own) {
		t.Errorf("after all that: %+v", got)
	}

	// Who administers both may; what is there then is edited as any other.
	try(e.admin.AddRADIUSClient(ctx, at("placed", "127.0.1.7", "berlin")))(t)
	qps := 7
	try(e.berlin.EditRADIUSClient(ctx, "placed", 0, client.RADIUSClientEdit{MaxQPS: &qps}))(t)
}

// Who asks about a user elsewhere as often as he can keeps nobody from asking about her.
func TestAScopedKeyThrottlesNobodyElsewhere(t *testing.T) {
	e := newEstate(t)
	for range throttle.SubjectBurst {
		e.subjects.Allows("berlin/"+e.outside["user_id"], e.Now())
	}
	check := client.Check{UserID: e.outside["user_id"], Passcode: "12345678"}
	_, err := e.berlin.Check(t.Context(), check)
	refused(t, err, http.StatusTooManyRequests, "TOO_MANY")
	if d := try(e.admin.Check(t.Context(), check))(t); d.Result != "denied" {
		t.Errorf("%+v", d)
	}
}

// A group tells a key of its domain of nobody who is elsewhere: not how many such members it has, nor who they are.
func TestAGroupTellsOfNobodyElsewhere(t *testing.T) {
	e := newEstate(t)
	ctx, mine, other := t.Context(), e.inside["user_id"], e.outside["user_id"]
	group := e.inside["group"]
	try(e.admin.ChangeMembers(ctx, group, client.MemberChange{Add: []string{mine, other}}))(t)
	for c, want := range map[*client.Client]int{e.berlin: 1, e.admin: 2} {
		if got := try(c.Group(ctx, group))(t).Members; got != want {
			t.Errorf("the group has %d members, want %d", got, want)
		}
		if page := try(c.Groups(ctx, client.GroupFilter{UserID: mine}))(t); len(page.Groups) != 1 || page.Groups[0].Members != want {
			t.Errorf("groups of a member %+v, want %d members", page.Groups, want)
		}
	}
	for _, id := range []string{other, "nobody"} {
		_, err := e.berlin.Groups(ctx, client.GroupFilter{UserID: id})
		refused(t, err, 403, "OUT_OF_SCOPE")
	}
	_, err := e.admin.Groups(ctx, client.GroupFilter{UserID: "nobody"})
	refused(t, err, 404, "USER_NOT_FOUND")
	if page := try(e.admin.Groups(ctx, client.GroupFilter{UserID: other, Domain: "rome"}))(t); len(page.Groups) != 0 {
		t.Errorf("groups of rome %+v", page.Groups)
	}
	if n := try(e.berlin.ChangeMembers(ctx, group, client.MemberChange{Remove: []string{other}}))(t); n.Removed != 0 {
		t.Errorf("took a member from elsewhere out: %+v", n)
	}
	if n := try(e.admin.ChangeMembers(ctx, group, client.MemberChange{Remove: []string{other, "nobody"}}))(t); n.Removed != 1 {
		t.Errorf("took out %+v", n)
	}
}
