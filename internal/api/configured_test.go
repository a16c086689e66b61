package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// people, agents, mail, webhooks and reports as a configuration has them.
func everything(secret, password client.Secret) client.Configuration {
	return client.Configuration{
		Domains:  []client.ConfiguredDomain{{Domain: "berlin"}},
		Profiles: []client.ConfiguredProfile{{Profile: "desk", Set: &client.ProfileEdit{DeviceType: new("windows")}}},
		Groups:   []client.ConfiguredGroup{{Group: "sales", Domain: "berlin", Set: &client.GroupEdit{Note: new("they sell")}}, {Group: "plain"}},
		Agents:   []client.ConfiguredAgent{{Agent: "VPN1", Domain: "berlin", Set: &client.AgentEdit{HMAC: new("allowed"), Networks: &[]string{"192.0.2.7"}}}},
		Directories: []client.ConfiguredDirectory{{Directory: "ldap", Kind: "ad", Domain: "berlin", Set: &client.DirectoryEdit{
			URL: new("ldaps://ldap.example.com"), BaseDN: new("dc=example,dc=com"), BindDN: new("cn=reader"), Password: &password, EverySeconds: new(int64(3600)), DisabledBy: &[]string{},
		}}},
		MailSettings: &client.MailSettingsEdit{Host: new("mail.example.com"), Port: new(0), UserName: new("tokens"), Password: &password, From: new("tokens@example.com"), ExpiryDays: &[]int{3, 14}},
		MailTemplates: []client.ConfiguredMailTemplate{
			{Event: "expiry", Set: &client.MailTemplateEdit{Subject: new("Soon over"), Text: new("Token {{.Serial}}\nends.\n"), HTML: new("")}},
			{Event: "expiry", Profile: "desk", Set: &client.MailTemplateEdit{Text: new("Another one.\n")}},
		},
		Webhooks: []client.ConfiguredWebhook{
			{Webhook: "hears", Set: &client.WebhookEdit{URL: new("https://hooks.example.com/a"), Secret: &secret, Actions: &[]string{"token.*", "report.*"}}},
			{Webhook: "off", Set: &client.WebhookEdit{URL: new("https://hooks.example.com/b"), Secret: &secret, Enabled: new(false)}},
		},
		ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "mondays", Set: &client.ReportScheduleEdit{
			Report: new("expiring"), Filters: &map[string]string{"within": "30"}, Every: new("week"), Weekday: new("monday"), At: new("07:30"), Webhook: new("hears"),
		}}},
	}
}

// changing are the actions of a plan but those of what is so already.
func changing(p client.ConfigurationPlan) []string {
	return slices.DeleteFunc(actions(p), func(a string) bool { return strings.HasPrefix(a, "none ") })
}

func TestConfigurationOfPeopleAndNotices(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) { peopleAndNotices(t, furnish(t, url)) })
}

func peopleAndNotices(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.SuperAdmin)
	conf := everything("a secret of two dozen bytes or more", "the password")
	want := []string{
		"add profiles desk", "add domains berlin", "add groups sales", "add groups plain", "add agents VPN1", "add directories ldap", "change mail_settings",
		"add mail_templates expiry", "add mail_templates expiry for desk", "add webhooks hears", "add webhooks off", "add report_schedules mondays",
	}
	plan := try(c.Configure(client.DryRun(ctx), conf))(t)
	if got := changing(plan); !slices.Equal(got, want) {
		t.Fatalf("planned %v", got)
	}
	for _, s := range plan.Steps {
		for _, change := range s.Changes {
			if strings.Contains(change.From+change.To, "password") || strings.Contains(change.To, "two dozen") {
				t.Errorf("%s tells a secret: %+v", s.Kind, change)
			}
		}
	}
	conf.Expect = plan.Digest
	try(c.Configure(ctx, conf))(t)
	conf.Expect = ""

	// It is as it was said, and applied again nothing changes, not even a version.
	before := snapshotOf(t, c)
	for _, s := range try(c.Configure(ctx, conf))(t).Steps {
		if s.Action != "none" || len(s.Changes) > 0 {
			t.Errorf("the second time: %+v", s)
		}
	}
	if after := snapshotOf(t, c); !slices.Equal(before, after) {
		t.Errorf("the second time changed %v to %v", before, after)
	}
	if a := try(c.Agent(ctx, "vpn1"))(t); a.Domain != "berlin" || !slices.Equal(a.Networks, []string{"192.0.2.7/32"}) || a.HMAC != "allowed" {
		t.Errorf("agent %+v", a)
	}
	if d := try(c.Directory(ctx, "ldap"))(t); d.Kind != "ad" || d.Domain != "berlin" || d.UserID != "sAMAccountName" {
		t.Errorf("directory %+v", d)
	}
	if s := try(c.MailSettings(ctx))(t); !s.HasPassword || s.Port != 587 || !slices.Equal(s.ExpiryDays, []int{14, 3}) {
		t.Errorf("mail settings %+v", s)
	}
	if m := try(c.MailTemplate(ctx, "expiry", "desk"))(t); m.Subject != "Soon over" || m.Text != "Another one.\n" || m.HTML != "" {
		t.Errorf("template %+v", m)
	}
	if w := try(c.Webhook(ctx, "off"))(t); w.Enabled {
		t.Errorf("webhook %+v", w)
	}
	configuredSecrets(t, h)
	configuredChanges(t, h)
	refusedNotices(t, h)
	prunedNotices(t, h)
	for _, secret := range []string{"two dozen", "the password", "another password"} {
		if strings.Contains(h.logged.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// snapshotOf is the version of each thing that has one, and the next time of schedules.
func snapshotOf(t *testing.T, c *client.Client) []string {
	t.Helper()
	var all []string
	add := func(name string, version int) { all = append(all, name+" "+string(rune('0'+version))) }
	for g, err := range c.AllGroups(t.Context(), client.GroupFilter{}) {
		must(t, err)
		add(g.Group, g.Version)
	}
	for _, a := range try(c.Agents(t.Context()))(t) {
		add(a.Agent, a.Version)
	}
	for _, d := range try(c.Directories(t.Context()))(t) {
		add(d.Directory, d.Version)
	}
	for _, w := range try(c.Webhooks(t.Context()))(t) {
		add(w.Webhook, w.Version)
	}
	for _, s := range try(c.ReportSchedules(t.Context()))(t) {
		all = append(all, s.Schedule+" "+s.CreatedAt.String())
	}
	add("mail", try(c.MailSettings(t.Context()))(t).Version)
	return all
}

// configuredSecrets are compared with those that are there, and never shown.
func configuredSecrets(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.SuperAdmin)
	conf := everything("another secret of two dozen bytes", "another password")
	done := try(c.Configure(ctx, conf))(t)
	if got := changing(done); !slices.Equal(got, []string{"change directories ldap", "change mail_settings", "change webhooks hears", "change webhooks off"}) {
		t.Errorf("other secrets: %v", got)
	}
	for _, s := range done.Steps {
		if s.Action == "change" && (len(s.Changes) != 1 || s.Changes[0].From != "(hidden)" || s.Changes[0].Member != "secret" && s.Changes[0].Member != "password") {
			t.Errorf("another secret: %+v", s)
		}
	}
	if got := changing(try(c.Configure(ctx, conf))(t)); len(got) > 0 {
		t.Errorf("the second time: %v", got)
	}
	_, ca := ldapServer(t)
	conf.Directories[0].Set.CA, conf.MailSettings.CA = &ca, &ca // takes the password again, which is there
	if got := changing(try(c.Configure(ctx, conf))(t)); !slices.Equal(got, []string{"change directories ldap", "change mail_settings"}) {
		t.Errorf("another authority: %v", got)
	}
	_, err := c.Configure(ctx, client.Configuration{MailSettings: &client.MailSettingsEdit{Host: new("eve.example.com")}})
	refused(t, err, 400, "INVALID")
}

// configuredChanges change what differs and nothing else; what is not said stays.
func configuredChanges(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.SuperAdmin)
	conf := client.Configuration{
		Groups:      []client.ConfiguredGroup{{Group: "sales", Domain: "root"}, {Group: "plain", Set: &client.GroupEdit{Note: new("now noted")}}},
		Agents:      []client.ConfiguredAgent{{Agent: "vpn1", Domain: "root", Set: &client.AgentEdit{Note: new("in the cellar")}}},
		Directories: []client.ConfiguredDirectory{{Directory: "ldap", Set: &client.DirectoryEdit{MaxLost: new(20)}}},
		Webhooks:    []client.ConfiguredWebhook{{Webhook: "off", Set: &client.WebhookEdit{GiveUpHours: new(5)}}},
		ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "mondays", Set: &client.ReportScheduleEdit{
			Every: new("month"), Day: new(31), Filters: &map[string]string{"within": "60"}, Webhook: new(""),
		}}},
	}
	changes := map[string]string{}
	for _, s := range try(c.Configure(ctx, conf))(t).Steps {
		for _, change := range s.Changes {
			changes[s.Name+" "+change.Member] = change.From + " -> " + change.To
		}
	}
	for member, want := range map[string]string{
		"sales domain": "berlin -> root", "plain note": " -> now noted", "VPN1 domain": "berlin -> root", "VPN1 note": " -> in the cellar", "ldap max_lost": "10 -> 20",
		"off give_up_hours": "120 -> 5", "mondays every": "week -> month", "mondays weekday": "monday -> ", "mondays day": " -> 31",
		"mondays filters": `{"within":"30"} -> {"within":"60"}`, "mondays webhook": "hears -> ",
	} {
		if changes[member] != want {
			t.Errorf("%s: %q, not %q", member, changes[member], want)
		}
		delete(changes, member)
	}
	if len(changes) > 0 {
		t.Errorf("changed too: %v", changes)
	}
	if got := changing(try(c.Configure(ctx, conf))(t)); len(got) > 0 {
		t.Errorf("the second time: %v", got)
	}
	if s := try(c.ReportSchedules(ctx))(t); len(s) != 1 || s[0].At != "07:30" || s[0].Report != "expiring" || s[0].Day != 31 {
		t.Errorf("schedules %+v", s)
	}
}

// refusedNotices change nothing, and tell what they are about.
func refusedNotices(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.SuperAdmin)
	note := []client.ConfiguredGroup{{Group: "plain", Set: &client.GroupEdit{Note: new("must not stay")}}}
	for code, conf := range map[string]client.Configuration{
		"INVALID":           {Webhooks: []client.ConfiguredWebhook{{Webhook: "new", Set: &client.WebhookEdit{URL: new("https://hooks.example.com/c")}}}},
		"DIRECTORY_INVALID": {Directories: []client.ConfiguredDirectory{{Directory: "ldap", Set: &client.DirectoryEdit{URL: new("ldap://ldap.example.com")}}}},
		"TEMPLATE_INVALID":  {MailTemplates: []client.ConfiguredMailTemplate{{Event: "expiry", Set: &client.MailTemplateEdit{Text: new("{{.Seed}}")}}}},
		"PROFILE_NOT_FOUND": {MailTemplates: []client.ConfiguredMailTemplate{{Event: "expiry", Profile: "nowhere", Set: &client.MailTemplateEdit{Text: new("t")}}}},
		"DOMAIN_NOT_FOUND":  {Agents: []client.ConfiguredAgent{{Agent: "other", Domain: "nowhere"}}},
		"NOT_FOUND":         {ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "s", Set: &client.ReportScheduleEdit{Report: new("toasters")}}}},
	} {
		conf.Groups = note
		if _, err := c.Configure(ctx, conf); codeOf(err) != code {
			t.Errorf("%v, not %s", err, code)
		}
	}
	for _, conf := range []client.Configuration{
		{Directories: []client.ConfiguredDirectory{{Directory: "ldap", Kind: "openldap"}}},
		{Webhooks: []client.ConfiguredWebhook{{Webhook: "off", Set: &client.WebhookEdit{Skip: true}}}},
		{Agents: []client.ConfiguredAgent{{Agent: "vpn1"}, {Agent: "VPN1"}}},
		{Groups: []client.ConfiguredGroup{{Group: "plain"}, {Group: "plain"}}},
	} {
		conf.Groups = append(slices.Clone(note), conf.Groups...)
		if _, err := c.Configure(ctx, conf); codeOf(err) != "INVALID" {
			t.Errorf("%v, not INVALID", err)
		}
	}
	if g := try(c.Group(ctx, "plain"))(t); g.Note != "now noted" {
		t.Errorf("a refused configuration changed %+v", g)
	}
	auditor := h.as(access.Auditor)
	for _, conf := range []client.Configuration{
		{Groups: note}, {Agents: []client.ConfiguredAgent{{Agent: "x"}}}, {Directories: []client.ConfiguredDirectory{{Directory: "x"}}},
		{MailSettings: &client.MailSettingsEdit{Port: new(25)}}, {MailTemplates: []client.ConfiguredMailTemplate{{Event: "expiry"}}}, {Webhooks: []client.ConfiguredWebhook{{Webhook: "x"}}},
		{Prune: []string{"webhooks"}}, {Prune: []string{"agents"}}, {Prune: []string{"groups"}}, {Prune: []string{"directories"}}, {Prune: []string{"mail_templates"}},
	} {
		_, err := auditor.Configure(ctx, conf)
		refused(t, err, 403, "FORBIDDEN")
	}
}

func codeOf(err error) string {
	if refused, is := err.(*client.Error); is {
		return refused.Code
	}
	return ""
}

// prunedNotices are deleted where they are not named, but for what is in use.
func prunedNotices(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.SuperAdmin)
	try(c.AddUser(ctx, client.NewUser{UserID: "alice"}))(t)
	try(c.ChangeMembers(ctx, "sales", client.MemberChange{Add: []string{"alice"}}))(t)
	try(c.AddAgent(ctx, client.NewAgent{Agent: "used"}))(t)
	try(c.AddAgentCredential(ctx, "used", client.NewAgentCredential{}))(t)
	try(c.AddGroup(ctx, client.NewGroup{Group: "allowed"}))(t)
	try(c.EditAgent(ctx, "used", 0, client.AgentEdit{AllowedGroups: &[]string{"allowed"}}))(t)
	try(c.Configure(ctx, client.Configuration{ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "mondays", Set: &client.ReportScheduleEdit{Webhook: new("hears")}}}}))(t)
	conf := client.Configuration{Prune: []string{"groups", "agents", "directories", "mail_templates", "webhooks"}, Webhooks: []client.ConfiguredWebhook{}}
	got := changing(try(c.Configure(ctx, conf))(t))
	want := []string{
		"keep webhooks hears", "delete webhooks off", "delete mail_templates expiry", "delete mail_templates expiry for desk", "delete directories ldap",
		"keep agents used", "delete agents VPN1", "delete groups plain", "keep groups sales", "keep groups allowed",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("pruned %v", got)
	}
	got = changing(try(c.Configure(ctx, client.Configuration{Prune: []string{"report_schedules", "webhooks"}}))(t))
	if !slices.Equal(got, []string{"delete report_schedules mondays", "delete webhooks hears"}) {
		t.Errorf("pruned %v", got)
	}
}

// A schedule that is edited stays what it is about: a part of the deployment, for those who were to hear of it.
func TestAConfiguredScheduleStaysInItsDomain(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	try(e.berlin.AddReportSchedule(ctx, client.NewReportSchedule{
		Schedule: "daily", ReportOrder: client.ReportOrder{Report: "tokens", Format: "csv", Columns: []string{"serial"}, MailTo: []string{"desk@berlin.example"}}, Every: "day", At: "07:00",
	}))(t)
	set := func(edit client.ReportScheduleEdit) (client.ConfigurationPlan, error) {
		return e.admin.Configure(ctx, client.Configuration{ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "daily", Set: &edit}}})
	}
	if got := changing(try(set(client.ReportScheduleEdit{At: new("08:00")}))(t)); !slices.Equal(got, []string{"change report_schedules daily"}) {
		t.Errorf("applied: %v", got)
	}
	s := try(e.berlin.ReportSchedules(ctx))(t)
	if len(s) != 1 || s[0].Domain != "berlin" || s[0].At != "08:00" || !slices.Equal(s[0].MailTo, []string{"desk@berlin.example"}) {
		t.Fatalf("the domain's schedule became %+v", s)
	}
	e.Pass(24 * time.Hour)
	try(e.API.Reports.Due(ctx))(t)
	must(t, e.API.Reports.Work(ctx))
	runs := try(e.berlin.ReportRuns(ctx, client.ReportRunFilter{Schedule: "daily"}))(t).Runs
	if len(runs) != 1 || runs[0].Domain != "berlin" || runs[0].Rows != 2 {
		t.Errorf("it makes %+v", runs)
	}
	_, err := set(client.ReportScheduleEdit{Webhook: new("hears")})
	refused(t, err, 403, "OUT_OF_SCOPE")
	if s := try(e.berlin.ReportSchedules(ctx))(t); len(s) != 1 || s[0].Webhook != "" {
		t.Errorf("after a refusal: %+v", s)
	}
}

// A domain that reports are about stays where domains are pruned, also if it holds nothing: it could not be deleted.
func TestADomainOfAScheduleIsKept(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	try(e.admin.AddDomain(ctx, client.NewDomain{Domain: "potsdam"}))(t)
	try(e.limited("super_admin", "potsdam").AddReportSchedule(ctx, client.NewReportSchedule{Schedule: "daily", ReportOrder: client.ReportOrder{Report: "tokens", Format: "csv"}, Every: "day", At: "07:00"}))(t)
	must(t, e.admin.DeleteAPIKey(ctx, "potsdam-super_admin"))
	plan := try(e.admin.Configure(ctx, client.Configuration{Prune: []string{"domains"}}))(t)
	if got := actions(plan); !slices.Equal(got, []string{"keep domains berlin", "keep domains potsdam", "keep domains rome"}) {
		t.Errorf("pruned %v", got)
	}
}

// Schedules leave a webhook before it is to hear of no more reports, and come to another one once it hears of them: all of that is one configuration.
func TestSchedulesAndTheirWebhooksChangeTogether(t *testing.T) {
	h := newHouse(t)
	ctx, c := t.Context(), h.admin
	h.API.Reports.Posts, h.API.Webhooks.Schedules = h.API.Webhooks.PostsReports, h.API.Reports.PostedTo // as in the server
	hears := func(webhook string, actions ...string) client.ConfiguredWebhook {
		secret := client.Secret("a secret of two dozen bytes or more")
		return client.ConfiguredWebhook{Webhook: webhook, Set: &client.WebhookEdit{URL: new("https://hooks.example.com/" + webhook), Secret: &secret, Actions: &actions}}
	}
	posted := func(webhook string) []client.ConfiguredReportSchedule {
		return []client.ConfiguredReportSchedule{{Schedule: "daily", Set: &client.ReportScheduleEdit{Report: new("tokens"), Webhook: &webhook}}}
	}
	try(c.Configure(ctx, client.Configuration{Webhooks: []client.ConfiguredWebhook{hears("old", "report.*"), hears("new", "token.*")}, ReportSchedules: posted("old")}))(t)

	_, err := c.Configure(ctx, client.Configuration{Webhooks: []client.ConfiguredWebhook{hears("old", "token.*")}})
	refused(t, err, 409, "CONFLICT") // it would be posted to nobody
	moved := client.Configuration{Webhooks: []client.ConfiguredWebhook{hears("old", "token.*"), hears("new", "report.*")}, ReportSchedules: posted("new")}
	if got := changing(try(c.Configure(ctx, moved))(t)); !slices.Equal(got, []string{"change webhooks new", "change report_schedules daily", "change webhooks old"}) {
		t.Errorf("moved by %v", got)
	}
	if again := changing(try(c.Configure(ctx, moved))(t)); len(again) > 0 {
		t.Errorf("the second time: %v", again)
	}
	pruned := client.Configuration{Webhooks: []client.ConfiguredWebhook{hears("new", "token.*")}, Prune: []string{"report_schedules"}}
	if got := changing(try(c.Configure(ctx, pruned))(t)); !slices.Equal(got, []string{"delete report_schedules daily", "change webhooks new"}) {
		t.Errorf("pruned by %v", got)
	}
}

// A port that is said stays in the same run, also where it is the one that there was and the security is another.
func TestAConfiguredMailPortStays(t *testing.T) {
	h := newHouse(t)
	ctx, c := t.Context(), h.admin
	for _, in := range []client.MailSettingsEdit{
		{Host: new("mail.example.com"), Port: new(587), Security: new("starttls")},
		{Port: new(587), Security: new("tls")},
	} {
		conf := client.Configuration{MailSettings: &in}
		try(c.Configure(ctx, conf))(t)
		if s := try(c.MailSettings(ctx))(t); s.Port != 587 || s.Security != *in.Security {
			t.Errorf("%s is at port %d", s.Security, s.Port)
		}
		if again := changing(try(c.Configure(ctx, conf))(t)); len(again) > 0 {
			t.Errorf("applied again: %v", again)
		}
	}
	if s := try(c.EditMailSettings(ctx, 0, client.MailSettingsEdit{Port: new(587), Security: new("starttls")}))(t); s.Port != 587 {
		t.Errorf("port %d", s.Port)
	}
	if s := try(c.EditMailSettings(ctx, 0, client.MailSettingsEdit{Security: new("tls")}))(t); s.Port != 465 {
		t.Errorf("without a port: %d", s.Port)
	}
}
