package agentapi

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/throttle"
	"github.com/tallystick/tallystick/internal/user"
)

// byMail lets the agent name users by their mail addresses, once each server knows.
func (d *deployment) byMail() {
	d.t.Helper()
	try(d.agents.Edit(d.t.Context(), "vpn1", 0, func(a *access.Agent) { a.AlsoNamedBy = []string{"mail"} }))(d.t)
	d.Pass(remembered)
}

// mail gives a user a mail address, and adds her if she is not there.
func (d *deployment) mail(id, address string) {
	d.t.Helper()
	r := &user.Registry{Store: d.db, Now: d.Now}
	if _, err := r.Edit(d.t.Context(), id, 0, user.Entry{Mail: &address}); err != nil {
		try(r.Add(d.t.Context(), user.User{ID: id, Mail: address}))(d.t)
	}
}

// A user is found by her ID, else by her mail address where the agent says so and nobody else has it (section 3.2).
func TestUsersAreNamedByMail(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		d.mail("alice", "Alice@Example.COM")
		d.mail("bob", "bob@example.com")
		want := d.expect(d.check("alice@example.com", d.later(1)), "FAIL/VERIFY_ERROR", "").anonymous() // it is off
		d.byMail()
		for _, as := range []string{"alice@example.com", "Alice@Example.COM", "alice"} {
			d.at = 1 - d.at
			d.expect(d.check(as, d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
			d.at = 1 - d.at
			if a := d.check("alice@EXAMPLE.com", d.code(0)); a.anonymous() != want { // one code, whatever she is called
				t.Errorf("used as %s, and again by mail: %s", as, a.raw)
			}
			d.later(1)
		}
		for _, nobody := range []string{"carol@example.com", "@", "alice@example.co", " alice@example.com", "alice@example.com\x00"} {
			if a := d.check(nobody, d.later(1)); a.anonymous() != want {
				t.Errorf("%q: %s", nobody, a.raw)
			}
			if why := d.reasons()[0]; why != "user: UNKNOWN_USER" {
				t.Errorf("%q: the log says %s", nobody, why)
			}
		}
		// A dialogue goes on under the user's own ID.
		d.expect(d.begin("alice@example.com"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID")
		d.expect(d.verify("SECURID", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")

		// An address of two users, or of three, is none.
		d.mail("bob", "alice@example.com")
		d.expect(d.check("alice@example.com", d.later(1)), "FAIL/VERIFY_ERROR", "")
		d.mail("aaron", "alice@example.com")
		d.expect(d.check("alice@example.com", d.later(1)), "FAIL/VERIFY_ERROR", "")
		if why := d.reasons()[0]; why != "user: UNKNOWN_USER" {
			t.Errorf("the log says %s", why)
		}
		d.expect(d.check("alice", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
		d.mail("bob", "")
		d.mail("aaron", "")
		d.expect(d.check("alice@example.com", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
		// Nor is one that another user has for an ID; but a user may have her own address for one.
		d.mail("bob@example.com", "BOB@example.com")
		d.expect(d.check("bob@example.com", d.later(1)), "FAIL/VERIFY_ERROR", "")
		if why := d.reasons()[0]; why != "user:bob@example.com NO_TOKEN" {
			t.Errorf("the log says %s", why)
		}
		d.mail("alice@example.com", "")
		d.expect(d.check("alice@example.com", d.later(1)), "FAIL/VERIFY_ERROR", "")
		if why := d.reasons()[0]; why != "user: UNKNOWN_USER" {
			t.Errorf("the log says %s", why)
		}
		d.expect(d.begin("alice@example.com"), "CHALLENGE/AUTHENTICATION_REQUIRED", "SECURID") // nor in a dialogue
		d.expect(d.verify("SECURID", d.later(1)), "FAIL/VERIFY_ERROR", "")
		if why := d.reasons()[0]; why != "user: UNKNOWN_USER" {
			t.Errorf("the log says %s", why)
		}
		d.expect(d.check("Alice@example.com", d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "") // the ID is another one so
	})
}

// Users whom an agent may not ask about do not keep it from finding one whom it may, whatever they have of her address; and nobody signs in
// as somebody else who has that for an ID.
func TestUsersElsewhereDoNotHideAnAddress(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		domains, groups := &domain.Registry{Store: d.db, Now: d.Now}, &user.Groups{Store: d.db, Now: d.Now}
		for _, at := range []string{"ours", "theirs"} {
			try(domains.Add(t.Context(), at, domain.Root, ""))(t)
		}
		try(groups.Add(t.Context(), "staff", ""))(t)
		_, _, err := groups.Change(t.Context(), "staff", []string{"alice"}, nil)
		must(t, err)
		d.mail("alice", "alice@example.com")
		for _, id := range []string{"aaron", "abel", "alice@example.com", "zoe", "zora"} {
			d.mail(id, "Alice@example.com")
		}
		try(domains.Put(t.Context(), "ours", map[domain.Kind][]string{domain.Users: {"alice"}}))(t)
		try(domains.Put(t.Context(), "theirs", map[domain.Kind][]string{domain.Users: {"aaron", "abel", "alice@example.com", "zoe", "zora"}}))(t)
		d.byMail()
		for _, c := range []struct {
			only access.Restriction
			why  string // of the denial
		}{
			{access.Restriction{}, "user: UNKNOWN_USER"},
			{access.Restriction{UserDomain: "ours"}, ""},
			{access.Restriction{Users: []string{"alice", "carol"}}, ""},
			{access.Restriction{Groups: []string{"staff"}}, ""},
			{access.Restriction{Users: []string{"carol"}, Groups: []string{"staff"}, UserDomain: "ours"}, ""},
			{access.Restriction{Users: []string{"alice", "zoe"}}, "user: UNKNOWN_USER"},
			{access.Restriction{Users: []string{"abel", "zoe"}}, "user: UNKNOWN_USER"},
			{access.Restriction{Users: []string{"alice@example.com"}}, "user:alice@example.com NO_TOKEN"},
			{access.Restriction{Users: []string{"zoe"}}, "user:zoe NO_TOKEN"},
			{access.Restriction{UserDomain: "theirs", Groups: []string{"staff"}}, "user: UNKNOWN_USER"},
		} {
			d.limit(c.only)
			d.at = 1 - d.at
			got := d.check("alice@example.com", d.later(1))
			if c.why == "" {
				d.expect(got, "SUCCESS/CREDENTIAL_VERIFIED", "")
				continue
			}
			d.expect(got, "FAIL/VERIFY_ERROR", "")
			if why := d.reasons()[0]; why != c.why {
				t.Errorf("%+v: the log says %s, not %s", c.only, why, c.why)
			}
		}
	})
}

// One who is the only one of an address and may not be asked about is denied for that, and the log says so.
func TestAnAddressBeyondARestriction(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.mail("alice", "alice@example.com")
	d.byMail()
	d.limit(access.Restriction{Users: []string{"bob"}})
	d.expect(d.check("alice@example.com", d.later(1)), "FAIL/VERIFY_ERROR", "")
	if why := d.reasons()[0]; why != "user:alice "+authentication.AgentRestricted {
		t.Errorf("the log says %s", why)
	}
}

// An address is looked up as a whole: what it begins with may be another user's.
func TestLongMailAddresses(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := deploy(t, url, plain)
		d.byMail()
		want := d.expect(d.check("nobody", d.later(1)), "FAIL/VERIFY_ERROR", "").anonymous()
		for _, long := range []string{
			strings.Repeat("b", 120) + "@example.com.au", "b@" + strings.Repeat("c", 252), strings.Repeat("é", 100) + "@" + strings.Repeat("c", 53),
		} {
			d.mail("bob", long)
			for _, n := range []int{128, 129, 132, 133, len(long) - 1} {
				if begin := strings.ToValidUTF8(long[:min(n, len(long)-1)], ""); strings.Contains(begin, "@") {
					d.mail("alice", begin)
					if a := d.check(long, d.later(1)); a.anonymous() != want {
						t.Errorf("as %s: %s", long, a.raw)
					}
				}
			}
			d.mail("bob", "")
			d.mail("alice", long)
			d.expect(d.check(long, d.later(1)), "SUCCESS/CREDENTIAL_VERIFIED", "")
			for _, longer := range []string{long + "x", long + strings.Repeat("x", 1000)} {
				if a := d.check(longer, d.later(1)); a.anonymous() != want {
					t.Errorf("as %s: %s", longer, a.raw)
				}
			}
		}
	})
}

// /status tells the name that the agent gave, all of it.
func TestStatusTellsTheWholeName(t *testing.T) {
	h := newHouse(t, waiting)
	for _, name := range []string{strings.Repeat("b", 120) + "@example.com.au", strings.Repeat("x", 1000)} {
		begun := h.post("initialize", strings.Replace(keep, "ada", name, 1))
		if told := h.post("status", ask(begun)).text("subjectName"); told != name {
			t.Errorf("%s instead of %s", told, name)
		}
	}
}

// Failures count against the user, whatever she is called.
func TestFailuresByMailCountAgainstTheUser(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.mail("alice", "alice@example.com")
	d.byMail()
	for i := range 5 {
		d.expect(d.check([]string{"alice", "alice@example.com", "ALICE@example.com"}[i%3], "00000000"), "FAIL/VERIFY_ERROR", "")
	}
	d.expect(d.check("alice", d.later(1)), "FAIL/VERIFY_ERROR", "")
	if why := d.reasons()[0]; why != "user:alice USER_LOCKED" {
		t.Errorf("the log says %s", why)
	}
}

// One user has one rate, whatever she is called.
func TestNamesShareARate(t *testing.T) {
	d := deploy(t, sqlite(t), plain)
	d.mail("alice", "alice@example.com")
	d.byMail()
	s := d.servers[0]
	for range throttle.SubjectBurst {
		s.subjects.Allows("/alice", d.Now())
	}
	code := d.code(0)
	want := d.expect(d.check("alice", code), "FAIL/VERIFY_ERROR", "").anonymous()
	if a := d.check("alice@example.com", code); a.anonymous() != want {
		t.Error(a.raw)
	}
	if why := d.reasons(); len(why) != 1 || why[0] != "user:alice THROTTLED" {
		t.Errorf("the log says %v", why)
	}
	d.later(1)
	d.expect(d.check("alice@example.com", code), "SUCCESS/CREDENTIAL_VERIFIED", "") // it was not used up
}
