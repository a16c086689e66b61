package agentapi

import (
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/user"
)

// limit changes whom the agent may ask about, and lets the time pass until each server knows.
func (d *deployment) limit(r access.Restriction) {
	d.t.Helper()
	try(d.agents.Edit(d.t.Context(), "vpn1", 0, func(a *access.Agent) { a.Restriction = r }))(d.t)
	d.Pass(remembered)
}

// reasons are those of the last denials, newest first, with their objects.
func (d *deployment) reasons() (all []string) {
	d.t.Helper()
	page := try(d.db.Events(d.t.Context(), audit.Filter{}))(d.t)
	for _, entry := range page.Entries {
		if e := try(audit.ParseRecord(entry.Record))(d.t); e.Action == "authn.fail" {
			all = append(all, e.Object+" "+e.Reason)
		}
	}
	slices.Reverse(all)
	return all
}

// A user beyond what an agent is limited to is answered as one with a wrong passcode, and only the log tells of it. A right code is
// neither used up nor counted as a failure.
func TestAgentsAskOnlyForTheirUsers(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		groups, domains := &user.Groups{Store: d.db, Now: d.Now}, &domain.Registry{Store: d.db, Now: d.Now}
		try(groups.Add(t.Context(), "staff", ""))(t)
		try(domains.Add(t.Context(), "north", domain.Root, ""))(t)
		try(domains.Add(t.Context(), "coast", "north", ""))(t)
		want := d.expect(d.check("alice", "00000000"), "FAIL/VERIFY_ERROR", "").anonymous()
		put := func(into string) {
			try(domains.Put(t.Context(), into, map[domain.Kind][]string{domain.Users: {"alice"}}))(t)
		}
		member := func(add, remove []string) {
			_, _, err := groups.Change(t.Context(), "staff", add, remove)
			must(t, err)
		}
		nothing := func() {}
		for _, c := range []struct {
			only    access.Restriction
			prepare func()
			admits  bool
		}{
			{access.Restriction{Users: []string{"bob"}}, nothing, false},
			{access.Restriction{Users: []string{"bob", "alice"}}, nothing, true},
			{access.Restriction{Groups: []string{"staff"}}, nothing, false},
			{access.Restriction{Groups: []string{"staff"}}, func() { member([]string{"alice"}, nil) }, true},
			{access.Restriction{Users: []string{"bob"}, Groups: []string{"staff"}}, nothing, true},
			{access.Restriction{Groups: []string{"staff"}, UserDomain: "north"}, nothing, false},
			{access.Restriction{Groups: []string{"staff"}, UserDomain: "north"}, func() { put("coast") }, true},
			{access.Restriction{UserDomain: "coast"}, func() { put("north") }, false},
			{access.Restriction{UserDomain: "north"}, nothing, true},
			{access.Restriction{Groups: []string{"staff"}, UserDomain: "north"}, func() { member(nil, []string{"alice"}) }, false},
			{access.Restriction{}, func() { put(domain.Root) }, true},
		} {
			c.prepare()
			d.limit(c.only)
			d.at = 1 - d.at // the other server
			code := d.later(1)
			got := d.check("alice", code)
			if c.admits {
				d.expect(got, "SUCCESS/CREDENTIAL_VERIFIED", "")
				continue
			}
			if got.anonymous() != want {
				t.Errorf("%+v: %s, want %s", c.only, got.raw, want)
			}
			if why := d.reasons()[0]; why != "user:alice "+authentication.AgentRestricted {
				t.Errorf("%+v: the log says %s", c.only, why)
			}
			d.limit(access.Restriction{})
			d.expect(d.check("alice", code), "SUCCESS/CREDENTIAL_VERIFIED", "") // it was not used up
		}
		d.limit(access.Restriction{Users: []string{"bob"}})
		for range 9 {
			d.check("alice", "00000000")
		}
		d.limit(access.Restriction{})
		d.expect(d.check("alice", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "") // and nobody is locked
	})
}

// An agent asks about users of its own domain and below, whatever else it is limited to, and wherever domains come to be.
func TestAgentsAskWithinTheirDomain(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		domains := &domain.Registry{Store: d.db, Now: d.Now}
		for _, at := range [][2]string{{"ours", ""}, {"coast", "ours"}, {"theirs", ""}} {
			try(domains.Add(t.Context(), at[0], at[1], ""))(t)
		}
		put := func(kind domain.Kind, name, into string) {
			try(domains.Put(t.Context(), into, map[domain.Kind][]string{kind: {name}}))(t)
		}
		is := func(why string, only access.Restriction) {
			t.Helper()
			d.limit(only)
			if got := d.check("alice", d.later(1)); why == "" {
				d.expect(got, "SUCCESS/CREDENTIAL_VERIFIED", "")
				return
			}
			if got := d.reasons()[0]; got != "user:alice "+why {
				t.Errorf("%+v: the log says %s", only, got)
			}
		}
		put(domain.Agents, "vpn1", "ours")
		is(authentication.AgentRestricted, access.Restriction{})
		is(authentication.AgentRestricted, access.Restriction{Users: []string{"alice"}})
		put(domain.Users, "alice", "coast")
		is("", access.Restriction{})
		is("", access.Restriction{Users: []string{"alice"}})
		is("", access.Restriction{UserDomain: "coast"})
		try(domains.Edit(t.Context(), "coast", 0, func(d *domain.Domain) { d.Parent = "theirs" }))(t)
		is(authentication.AgentRestricted, access.Restriction{UserDomain: "coast"})
		put(domain.Agents, "vpn1", domain.Root)
		is("", access.Restriction{UserDomain: "coast"})
	})
}

// A dialogue ends as well, at its next answer.
func TestARestrictionEndsDialogues(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	for name, begin := range map[string]func(){
		"before the passcode": func() { d.expect(d.begin("alice"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID") },
		"at the next tokencode": func() {
			d.expect(d.check("alice", d.code(5)), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID_NEXT_TOKENCODE")
		},
	} {
		begin()
		d.limit(access.Restriction{Users: []string{"bob"}})
		method := "SECURID"
		if name != "before the passcode" {
			method = "SECURID_NEXT_TOKENCODE"
		}
		d.expect(d.verify(method, d.code(6)), "FAIL/VERIFY_ERROR", "")
		if why := d.reasons()[0]; why != "user:alice "+authentication.AgentRestricted {
			t.Errorf("%s: %s", name, why)
		}
		d.limit(access.Restriction{})
		d.later(20)
	}
}

// A domain that an agent is limited to stays: somebody else could make another one of its name.
func TestARestrictionToADomainThatWouldGo(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	domains := &domain.Registry{Store: d.db, Now: d.Now}
	try(domains.Add(t.Context(), "north", domain.Root, ""))(t)
	d.limit(access.Restriction{UserDomain: "north"})
	if err := domains.Delete(t.Context(), "north"); fault.CodeOf(err) != fault.DomainInUse {
		t.Error(err)
	}
	d.expect(d.check("alice", d.later(1)), "FAIL/VERIFY_ERROR", "")
}
