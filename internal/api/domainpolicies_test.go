package api

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

// domainPolicyRoutes give domains policies of their own and take them away again.
func domainPolicyRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	try(c.AddDomain(ctx, client.NewDomain{Domain: "coast"}))(t)
	try(c.AddDomain(ctx, client.NewDomain{Domain: "harbour", Parent: "coast"}))(t)
	try(c.AddUser(ctx, client.NewUser{UserID: "skipper", Domain: "harbour"}))(t)
	root := try(c.Policies(ctx))(t)
	inherited := root
	inherited.Token.Version, inherited.Lockout.Version = 1, 1 // of their own, which they never had
	if got := try(c.PoliciesOf(ctx, "harbour"))(t); !reflect.DeepEqual(got, inherited) {
		t.Errorf("inherited %+v, want %+v", got, inherited)
	}
	if got := try(c.PoliciesOf(ctx, "root"))(t); !reflect.DeepEqual(got, root) {
		t.Errorf("of the root %+v", got)
	}

	failures, length := 7, 6
	lockout := try(c.EditLockoutPolicyOf(ctx, "coast", 1, client.LockoutPolicyEdit{Failures: &failures}))(t)
	want := root.Lockout
	want.Failures, want.Domain, want.Version = 7, "coast", 2
	if lockout != want {
		t.Errorf("edited %+v, want %+v", lockout, want)
	}
	token := try(c.EditTokenPolicyOf(ctx, "harbour", 0, client.TokenPolicyEdit{PINMin: &length}))(t)
	if token.Domain != "harbour" || token.PINMin != 6 || token.Version != 2 {
		t.Errorf("edited %+v", token)
	}
	want.Version = 1
	if got := try(c.LockoutPolicyOf(ctx, "harbour"))(t); got != want {
		t.Errorf("below %+v, want %+v", got, want)
	}
	if got := try(c.TokenPolicyOf(ctx, "harbour"))(t); !reflect.DeepEqual(got, token) {
		t.Errorf("read %+v", got)
	}
	if u := try(c.User(ctx, "skipper"))(t); u.TokenPolicy != "harbour" || u.LockoutPolicy != "coast" {
		t.Errorf("she is under %q and %q", u.TokenPolicy, u.LockoutPolicy)
	}
	if d := try(c.Domain(ctx, "coast"))(t); !reflect.DeepEqual(d.OwnPolicies, []string{"lockout"}) {
		t.Errorf("coast has %v", d.OwnPolicies)
	}
	for _, d := range try(c.Domains(ctx))(t) {
		if own := map[string][]string{"coast": {"lockout"}, "harbour": {"token"}, "root": {"token", "lockout"}}[d.Domain]; len(own) != len(d.OwnPolicies) {
			t.Errorf("%s has %v", d.Domain, d.OwnPolicies)
		}
	}

	_, err := c.EditLockoutPolicyOf(ctx, "coast", 1, client.LockoutPolicyEdit{Failures: &failures})
	refused(t, err, 409, "CONFLICT")
	_, err = c.InheritTokenPolicy(ctx, "harbour", 1)
	refused(t, err, 409, "CONFLICT")
	_, err = c.PoliciesOf(ctx, "nowhere")
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	_, err = c.EditTokenPolicyOf(ctx, "nowhere", 0, client.TokenPolicyEdit{PINMin: &length})
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	_, err = c.InheritLockoutPolicy(ctx, "root", 0)
	refused(t, err, 400, "INVALID")
	_, err = h.as(access.Auditor).EditTokenPolicyOf(ctx, "coast", 0, client.TokenPolicyEdit{PINMin: &length})
	refused(t, err, 403, "FORBIDDEN")

	// A dry run changes nothing.
	tried := try(c.InheritTokenPolicy(client.DryRun(ctx), "harbour", 2))(t)
	if got := try(c.TokenPolicyOf(ctx, "harbour"))(t); tried.Domain != "root" || got.Domain != "harbour" {
		t.Errorf("tried %+v, and there is %+v", tried, got)
	}
	if got := try(c.InheritTokenPolicy(ctx, "harbour", 2))(t); got.Domain != "root" || got.PINMin != root.Token.PINMin || got.Version != 3 {
		t.Errorf("inherits %+v", got)
	}
	if got := try(c.InheritLockoutPolicy(ctx, "coast", 0))(t); got.Domain != "root" || got.Version != 3 {
		t.Errorf("inherits %+v", got)
	}
}

// Who is limited to a domain is not told the names of those above it, but what holds.
func TestPoliciesFromAboveAScope(t *testing.T) {
	e := newEstate(t)
	ctx, c := t.Context(), e.admin
	try(c.AddDomain(ctx, client.NewDomain{Domain: "mitte", Parent: "berlin"}))(t)
	try(c.AddUser(ctx, client.NewUser{UserID: "low", Domain: "mitte"}))(t)
	failures, length := 7, 6
	try(c.EditLockoutPolicyOf(ctx, "berlin", 0, client.LockoutPolicyEdit{Failures: &failures}))(t)
	key := try(c.AddAPIKey(ctx, client.NewAPIKey{Name: "mitte", Role: "super_admin", Domain: "mitte"}))(t)
	mitte := try(client.New(e.public.URL, string(key.Key), &http.Client{Transport: e}))(t)
	got := try(mitte.PoliciesOf(ctx, "mitte"))(t)
	if got.Lockout.Failures != 7 || got.Lockout.Domain != "" || got.Token.Domain != "root" {
		t.Errorf("%+v", got)
	}
	if u := try(mitte.User(ctx, "low"))(t); u.LockoutPolicy != "" || u.TokenPolicy != "root" {
		t.Errorf("%+v", u)
	}
	if got := try(mitte.Policies(ctx))(t); got.Lockout.Failures != 5 || got.Lockout.Domain != "root" {
		t.Errorf("the deployment's %+v", got)
	}
	if got := try(mitte.EditTokenPolicyOf(ctx, "mitte", 0, client.TokenPolicyEdit{PINMin: &length}))(t); got.Domain != "mitte" {
		t.Errorf("%+v", got)
	}
	note := "the middle"
	shown := append(try(mitte.Domains(ctx))(t), try(mitte.Domain(ctx, "mitte"))(t), try(mitte.EditDomain(ctx, "mitte", 0, client.DomainEdit{Note: &note}))(t))
	for _, d := range shown {
		if d.Domain != "mitte" || d.Parent != "" {
			t.Errorf("the domain above it is shown: %+v", d)
		}
	}
	if d := try(e.berlin.Domain(ctx, "berlin"))(t); d.Parent != "root" || try(e.berlin.Domain(ctx, "mitte"))(t).Parent != "berlin" {
		t.Errorf("%+v", d)
	}
	_, err := mitte.EditTokenPolicyOf(ctx, "berlin", 0, client.TokenPolicyEdit{PINMin: &length})
	refused(t, err, 403, "OUT_OF_SCOPE")
	_, err = mitte.EditTokenPolicy(ctx, 0, client.TokenPolicyEdit{PINMin: &length})
	refused(t, err, 403, "OUT_OF_SCOPE")
}
