package api

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
)

func agentRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	a := try(c.AddAgent(ctx, client.NewAgent{Agent: "VPN1", HMAC: "allowed", Networks: []string{"::ffff:192.0.2.7", "2001:db8::/32"}, Note: "cellar"}))(t)
	if a.Version != 1 || a.Retry || !slices.Equal(a.Networks, []string{"192.0.2.7/32", "2001:db8::/32"}) {
		t.Errorf("added %+v", a)
	}
	if got := try(c.Agent(ctx, "vpn1"))(t); !reflect.DeepEqual(got, a) {
		t.Errorf("read %+v, added %+v", got, a)
	}
	plain := try(c.AddAgent(ctx, client.NewAgent{Agent: "api"}))(t)
	if plain.HMAC != "off" || plain.Networks == nil || len(plain.Networks) > 0 {
		t.Errorf("added %+v", plain)
	}
	if all := try(c.Agents(ctx))(t); !reflect.DeepEqual(all, []client.Agent{plain, a}) {
		t.Errorf("listed %+v", all)
	}
	_, err := c.AddAgent(ctx, client.NewAgent{Agent: "vpn1"})
	refused(t, err, 409, "CONFLICT")
	for _, bad := range []client.NewAgent{
		{Agent: " x"}, {Agent: "x", Networks: []string{"192.0.2.1/24"}}, {Agent: "x", Networks: []string{"::ffff:192.0.2.0/120"}}, {Agent: "x", Networks: []string{"fe80::1%eth0"}}, {Agent: "x", HMAC: "on"}, {Agent: "x", DisplayName: "a\nb"},
		{Agent: "x", Methods: []string{"SMS"}}, {Agent: "x", Methods: []string{"TOKEN", "TOKEN"}}, {Agent: "x", AlsoNamedBy: []string{"shoe size"}},
	} {
		_, err = c.AddAgent(ctx, bad)
		refused(t, err, 400, "INVALID")
	}
	credentialRoutes(t, h)
	restrictionRoutes(t, h)
	userReplyRoutes(t, h)

	yes, off, none := true, "off", []string{}
	a = try(c.EditAgent(ctx, "vpn1", a.Version, client.AgentEdit{Retry: &yes, HMAC: &off, Networks: &none}))(t)
	if !a.Retry || a.HMAC != "off" || len(a.Networks) > 0 || a.Agent != "VPN1" || a.Version != 2 {
		t.Errorf("edited %+v", a)
	}
	for _, kept := range try(c.AgentCredentials(ctx, "vpn1"))(t) {
		if kept.HMAC {
			t.Errorf("its HMAC is off, and the access key of %+v is still kept", kept)
		}
	}
	_, err = c.EditAgent(ctx, "vpn1", 1, client.AgentEdit{Retry: &yes})
	refused(t, err, 409, "CONFLICT")
	must(t, c.DeleteAgent(ctx, "vpn1"))
	refused(t, c.DeleteAgent(ctx, "vpn1"), 404, "NOT_FOUND")
	_, err = c.AgentCredentials(ctx, "vpn1")
	refused(t, err, 404, "NOT_FOUND")
}

func userReplyRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	try(c.AddUser(ctx, client.NewUser{UserID: "vip"}))(t)
	if all := try(c.UserReply(ctx, "vip"))(t); all == nil || len(all) > 0 {
		t.Errorf("a new user has %v", all)
	}
	given := []client.RADIUSAttribute{{Name: "Class", Value: "admins"}, {Name: "Framed-IP-Address", Value: "192.0.2.9"}}
	if all := try(c.SetUserReply(ctx, "vip", given))(t); !slices.Equal(all, given) {
		t.Errorf("set %v", all)
	}
	for _, bad := range []client.RADIUSAttribute{{Name: "User-Password", Value: "x"}, {Name: "Class", Value: ""}, {Name: "Class", Value: "x", Profile: "phone"}} {
		_, err := c.SetUserReply(ctx, "vip", []client.RADIUSAttribute{bad})
		refused(t, err, 400, "INVALID")
	}
	if all := try(c.UserReply(ctx, "vip"))(t); !slices.Equal(all, given) {
		t.Errorf("read %v", all)
	}
	try(c.SetUserReply(ctx, "vip", nil))(t)
	if all := try(c.UserReply(ctx, "vip"))(t); len(all) > 0 {
		t.Errorf("taken away, and there are %v", all)
	}
	_, err := c.UserReply(ctx, "nobody")
	refused(t, err, 404, "USER_NOT_FOUND")
	_, err = c.SetUserReply(ctx, "nobody", given)
	refused(t, err, 404, "USER_NOT_FOUND")
}

func restrictionRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	for code, bad := range map[string]client.NewAgent{
		"GROUP_NOT_FOUND": {Agent: "x", AllowedGroups: []string{"nobodies"}}, "DOMAIN_NOT_FOUND": {Agent: "x", AllowedDomain: "nowhere"},
	} {
		_, err := c.AddAgent(ctx, bad)
		refused(t, err, 404, code)
		_, err = c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "x", Certificate: "x.example.com", AllowedGroups: bad.AllowedGroups, AllowedDomain: bad.AllowedDomain})
		refused(t, err, 404, code)
	}
	try(c.AddGroup(ctx, client.NewGroup{Group: "staff"}))(t)
	try(c.AddDomain(ctx, client.NewDomain{Domain: "north"}))(t)
	users, groups, within := []string{"bob"}, []string{"staff"}, "north"
	a := try(c.AddAgent(ctx, client.NewAgent{Agent: "door", Methods: []string{"TOKEN"}, AllowedUsers: users, AllowedGroups: groups, AllowedDomain: within}))(t)
	r := try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "door", Certificate: "x.example.com", AllowedUsers: users, AllowedGroups: groups, AllowedDomain: within}))(t)
	if !slices.Equal(a.AllowedUsers, users) || !slices.Equal(a.AllowedGroups, groups) || a.AllowedDomain != within || !slices.Equal(a.Methods, []string{"TOKEN"}) {
		t.Errorf("added %+v", a)
	}
	if !slices.Equal(r.AllowedUsers, users) || !slices.Equal(r.AllowedGroups, groups) || r.AllowedDomain != within {
		t.Errorf("added %+v", r)
	}
	refused(t, c.DeleteGroup(ctx, "staff"), 409, "GROUP_IN_USE") // another one of its name would be let in
	none, everywhere := []string{}, "root"
	a = try(c.EditAgent(ctx, "door", 0, client.AgentEdit{AllowedUsers: &none, AllowedDomain: &everywhere}))(t)
	r = try(c.EditRADIUSClient(ctx, "door", 0, client.RADIUSClientEdit{AllowedUsers: &none, AllowedDomain: &everywhere}))(t)
	if len(a.AllowedUsers) > 0 || a.AllowedUsers == nil || !slices.Equal(a.AllowedGroups, groups) || a.AllowedDomain != "" {
		t.Errorf("edited %+v", a)
	}
	if len(r.AllowedUsers) > 0 || r.AllowedUsers == nil || !slices.Equal(r.AllowedGroups, groups) || r.AllowedDomain != "" {
		t.Errorf("edited %+v", r)
	}
	same := r.Version
	if r = try(c.EditRADIUSClient(ctx, "door", 0, client.RADIUSClientEdit{AllowedUsers: &none}))(t); r.Version != same {
		t.Errorf("nothing was changed, and the version is %d", r.Version)
	}
	must(t, c.DeleteAgent(ctx, "door"))
	must(t, c.DeleteRADIUSClient(ctx, "door"))
	must(t, c.DeleteGroup(ctx, "staff"))
}

var opaque = regexp.MustCompile(`^[a-z0-9]{64}$`)

func credentialRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	made := try(c.AddAgentCredential(ctx, "vpn1", client.NewAgentCredential{Note: "first", LifeSeconds: 3600}))(t)
	if !opaque.MatchString(made.AccessID) || !opaque.MatchString(string(made.AccessKey)) || made.Agent != "VPN1" || !made.HMAC || made.Deprecated || made.ExpiresAt == nil {
		t.Errorf("made %+v", made)
	}
	if strings.Contains(fmt.Sprintf("%+v", made), string(made.AccessKey)) {
		t.Error("package fmt shows the access key")
	}
	yes, note := true, "old"
	changed := try(c.EditAgentCredential(ctx, made.AccessID, client.AgentCredentialEdit{Deprecated: &yes, Note: &note}))(t)
	if !changed.Deprecated || changed.Note != "old" {
		t.Errorf("changed %+v", changed)
	}
	if all := try(c.AgentCredentials(ctx, "VPN1"))(t); !reflect.DeepEqual(all, []client.AgentCredential{changed}) {
		t.Errorf("listed %+v, want %+v", all, changed)
	}
	if status, _, body := h.send(h.key("super_admin"), http.MethodGet, "/v1/agents/vpn1/credentials", ""); status != 200 || strings.Contains(body, string(made.AccessKey)) {
		t.Errorf("%d %s", status, body)
	}
	second := try(c.AddAgentCredential(ctx, "vpn1", client.NewAgentCredential{}))(t)
	must(t, c.DeleteAgentCredential(ctx, second.AccessID))
	refused(t, c.DeleteAgentCredential(ctx, second.AccessID), 404, "NOT_FOUND")
	_, err := c.EditAgentCredential(ctx, second.AccessID, client.AgentCredentialEdit{Deprecated: &yes})
	refused(t, err, 404, "NOT_FOUND")
	_, err = c.AddAgentCredential(ctx, "nobody", client.NewAgentCredential{})
	refused(t, err, 404, "NOT_FOUND")
	_, err = c.AddAgentCredential(ctx, "vpn1", client.NewAgentCredential{Note: strings.Repeat("x", 1021)})
	refused(t, err, 400, "INVALID")
	try(c.AddAgentCredential(ctx, "vpn1", client.NewAgentCredential{Note: strings.Repeat("é", 1020)}))(t)
}
