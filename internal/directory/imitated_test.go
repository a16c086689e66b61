package directory_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/jimlambrt/gldap"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/directory/directorytest"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// imitated is a directory on a server that is none.
func imitated(t *testing.T, bind func(name string) int, search func(m *gldap.SearchMessage) map[string]map[string][]string) func(*directory.Directory) {
	url, ca := directorytest.Imitated(t, func(m *gldap.SimpleBindMessage) int { return bind(m.UserName) }, search)
	return func(d *directory.Directory) { d.URL, d.CA = url, ca }
}

func welcome(string) int { return gldap.ResultSuccess }

// Active Directory gives some values of an attribute at a time: all of them are read, or nothing is changed.
func TestValuesInRanges(t *testing.T) {
	const peopleBase, groupBase = "ou=people," + base, "ou=groups," + base
	member := func(id string) string { return "uid=" + id + "," + peopleBase }
	broken := false
	ranges := func(attribute string, all []string) map[string][]string {
		return map[string][]string{
			attribute: {attribute + ";range=0-1", all[0], all[1]}, attribute + ";range=2-*": {attribute + ";range=2-3", all[2], all[3]}, attribute + ";range=4-*": {attribute + ";range=4-*", all[4]},
		}
	}
	members := ranges("member", []string{member("ann"), member("bob"), member("cid"), member("dan"), member("eve")})
	memberships := ranges("memberOf", []string{"cn=g0," + groupBase, "cn=g1," + groupBase, "cn=g2," + groupBase, "cn=g3," + groupBase, "cn=g4," + groupBase})
	// part has what is asked for of an attribute.
	part := func(m *gldap.SearchMessage, of map[string][]string, more map[string][]string) map[string][]string {
		for _, asked := range m.Attributes {
			if all, is := of[asked]; is && (!broken || strings.HasSuffix(all[0], "=0-1")) {
				more[all[0]] = all[1:]
			}
		}
		return more
	}
	at := imitated(t, welcome, func(m *gldap.SearchMessage) map[string]map[string][]string {
		switch m.BaseDN {
		case peopleBase:
			all := map[string]map[string][]string{}
			for _, id := range []string{"ann", "bob", "cid", "dan", "eve"} {
				all[member(id)] = map[string][]string{"uid": {id}}
			}
			all[member("ann")] = part(m, memberships, map[string][]string{"uid": {"ann"}, "memberOf": nil})
			return all
		case member("ann"):
			return map[string]map[string][]string{m.BaseDN: part(m, memberships, map[string][]string{})}
		}
		return map[string]map[string][]string{"cn=all," + groupBase: part(m, members, map[string][]string{"cn": {"all"}, "member": nil})}
	})
	for _, way := range []directory.Groups{directory.BySearch, directory.ByMemberOf} {
		t.Run(string(way), func(t *testing.T) {
			o := newOffice(t, file(t))
			o.directory(nil, func(d *directory.Directory) {
				at(d)
				d.Groups = way
			})
			broken = true
			o.refuses(fault.DirectoryRefused, false)
			broken = false
			same(t, o.sync(false).Joined, 5)
		})
	}
}

// withAlice is an office whose imitated directory has brought alice, and answers as compared says when it is asked about her password.
func withAlice(t *testing.T, url string, compared func() int) *office {
	t.Helper()
	at := imitated(t, func(name string) int {
		if name == reader {
			return gldap.ResultSuccess
		}
		return compared()
	}, func(*gldap.SearchMessage) map[string]map[string][]string {
		return map[string]map[string][]string{"uid=alice," + base: {"uid": {"alice"}}}
	})
	o := newOffice(t, url)
	o.directory(nil, func(d *directory.Directory) {
		at(d)
		d.Groups = directory.NoGroups
	})
	o.sync(false)
	return o
}

// A directory that is busy says nothing of a password: it is not wrong, and is no try.
func TestVerifyWhileBusy(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		result := gldap.ResultSuccess
		o := withAlice(t, url, func() int {
			return result
		})
		for _, result = range []int{gldap.ResultBusy, gldap.ResultUnavailable, gldap.ResultOperationsError, gldap.ResultBusy} {
			if _, err := o.Verify(t.Context(), "alice", "her password"); !errors.Is(err, fault.DirectoryUnreachable) {
				t.Errorf("result %d: %v", result, err)
			}
		}
		result = gldap.ResultSuccess
		if !o.verifies("alice", "her password") {
			t.Error("her tries are used up")
		}
	})
}

// Who leaves while the directory is asked about a password has had that try. The directory counts it, too, and would lock her.
func TestVerifyForWhoLeaves(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		asked, leave, gone := 0, context.CancelFunc(nil), (chan struct{})(nil)
		o := withAlice(t, url, func() int {
			asked++
			answer := gone
			leave()
			<-answer
			return gldap.ResultInvalidCredentials
		})
		for range 2 * directory.MaxTries {
			var ctx context.Context
			ctx, leave = context.WithCancel(t.Context())
			gone = make(chan struct{})
			if right, err := o.Verify(ctx, "alice", "a guess"); right || err == nil {
				t.Errorf("%v %v", right, err)
			}
			leave()
			close(gone)
		}
		same(t, asked, directory.MaxTries)
	})
}

// Of several user IDs of a person it is the one by which she is known, or else the one that her entry is called by; and referrals are told of.
func TestSeveralUserIDs(t *testing.T) {
	s := start(t, "dn: uid=ann,ou=people,"+base+"\nobjectClass: inetOrgPerson\nuid: a.nother\nuid: ann\ncn: Ann\nsn: Ann\nuserPassword: her password\n\n"+
		"dn: ou=elsewhere,ou=people,"+base+"\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\nref: ldap://other.example.com/dc=other\n\n")
	o := newOffice(t, file(t))
	o.directory(s, nil)
	first := o.sync(false)
	same(t, became(first), []string{"ann added"})
	same(t, first.Referrals, 1)
	found, err := o.Test(t.Context(), "hq")
	must(t, err)
	same(t, found.Referrals, 1)
	d, err := o.Get(t.Context(), "hq")
	must(t, err)
	if !strings.HasSuffix(d.Last.Message, "; referrals to other servers, not followed: 1") {
		t.Error(d.Last.Message)
	}
	s.change(func(c *ldap.Conn) error {
		return c.ModifyDN(ldap.NewModifyDNRequest("uid=ann,ou=people,"+base, "uid=a.nother", false, ""))
	})
	same(t, became(o.sync(false)), []string(nil))
	if !o.verifies("ann", "her password") {
		t.Error("ann is not known by her password any more")
	}
}

// Of the groups that a person names, those count that are below the base and that the filter finds.
func TestGroupsByMemberOf(t *testing.T) {
	group := func(name string) string {
		return "dn: cn=" + name + ",ou=groups," + base + "\nobjectClass: organizationalRole\ncn: " + name + "\n\n"
	}
	s := start(t, person("ann", "memberOf: cn=sales,ou=groups,"+base+"\nmemberOf: cn=works,OU=Groups, "+base+"\nmemberOf: cn=boss\\,ou=groups,"+base+"\n")+group("sales")+group("works"))
	o := newOffice(t, file(t))
	o.directory(s, func(d *directory.Directory) { d.Groups = directory.ByMemberOf })
	same(t, o.sync(false).Joined, 2)
	_, err := o.Edit(t.Context(), "hq", 0, nil, func(d *directory.Directory) { d.GroupFilter = "(cn=works)" })
	must(t, err)
	same(t, o.sync(false).Left, 1)
	members, err := o.db.MemberIDs(t.Context(), "works", 9)
	must(t, err)
	same(t, members, []string{"ann"})
}
