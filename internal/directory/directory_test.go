package directory_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/directory/directorytest"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/user"
)

const (
	base     = directorytest.Base
	reader   = directorytest.Reader
	password = directorytest.Password
)

var person = directorytest.Person

// A slapd is a real OpenLDAP server.
type slapd struct {
	*directorytest.Server
	t *testing.T
}

// start runs one with entries.
func start(t *testing.T, entries string) *slapd {
	t.Helper()
	s, err := directorytest.Start(t.TempDir(), entries)
	if errors.Is(err, directorytest.ErrNotInstalled) {
		peertest.Missing(t, err)
	}
	must(t, err)
	t.Cleanup(s.Kill)
	return &slapd{s, t}
}

// change does something there.
func (s *slapd) change(do func(*ldap.Conn) error) {
	s.t.Helper()
	must(s.t, s.Change(do))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// crowd is many people: p0000, p0001 and so on.
func crowd(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(person(fmt.Sprintf("p%04d", i), ""))
	}
	return b.String()
}

// An office is a deployment whose people come from a directory.
type office struct {
	*directory.Registry
	t   *testing.T
	db  *store.DB
	now time.Time
}

func newOffice(t *testing.T, url string) *office {
	o := &office{t: t, now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	now := func() time.Time { return o.now }
	db, keys := deploytest.New(t, url, now)
	o.db = db
	o.Registry = &directory.Registry{Store: db, Users: &user.Registry{Store: db, Now: now}, Keys: keys, Now: now}
	return o
}

func file(t *testing.T) string { return deploytest.SQLite(t) }

// directory adds the directory that a slapd is, if there is one, as changed.
func (o *office) directory(s *slapd, change func(*directory.Directory)) {
	o.t.Helper()
	d := directory.Directory{Name: "hq", Kind: directory.OpenLDAP, Settings: directory.Settings{
		BindDN: reader, BaseDN: "ou=people," + base, GroupBase: "ou=groups," + base, PageSize: 100,
	}}
	if s != nil {
		d.URL, d.CA = "ldaps://"+s.TLS, s.CA
	}
	if change != nil {
		change(&d)
	}
	_, err := o.Add(o.t.Context(), d, password)
	must(o.t, err)
}

func (o *office) sync(force bool) directory.Result {
	o.t.Helper()
	r, err := o.Sync(o.t.Context(), "hq", false, force)
	must(o.t, err)
	return r
}

// refuses tests that a synchronisation is refused and changes nothing.
func (o *office) refuses(code fault.Code, force bool) {
	o.t.Helper()
	before := o.users()
	_, err := o.Sync(o.t.Context(), "hq", false, force)
	if !errors.Is(err, code) {
		o.t.Errorf("got %v, want %s", err, code)
	}
	if after := o.users(); !reflect.DeepEqual(before, after) {
		o.t.Errorf("%d users before, %d after, or others", len(before), len(after))
	}
	d, err := o.Get(o.t.Context(), "hq")
	must(o.t, err)
	if d.Last.Code != string(code) || d.Last.Message == "" || strings.Contains(d.Last.Message, password) {
		o.t.Errorf("kept %+v", d.Last)
	}
}

func (o *office) users() []user.User {
	o.t.Helper()
	all, err := o.db.Users(o.t.Context(), user.Filter{})
	must(o.t, err)
	return all
}

// enabled are the IDs of users who are.
func (o *office) enabled() (ids []string) {
	for _, u := range o.users() {
		if u.Enabled {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

func became(r directory.Result) (all []string) {
	for _, row := range r.Rows {
		if row.Action != user.Unchanged {
			all = append(all, fmt.Sprint(row.ID, " ", row.Action))
		}
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func modify(id, attribute string, values ...string) func(*ldap.Conn) error {
	return func(c *ldap.Conn) error {
		m := ldap.NewModifyRequest("uid="+id+",ou=people,"+base, nil)
		m.Replace(attribute, values)
		return c.Modify(m)
	}
}

func remove(id string) func(*ldap.Conn) error {
	return func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest("uid="+id+",ou=people,"+base, nil)) }
}

// move moves somebody from below one entry to below another, and she stays the same.
func move(id, from, to string) func(*ldap.Conn) error {
	return func(c *ldap.Conn) error {
		return c.ModifyDN(ldap.NewModifyDNWithControlsRequest("uid="+id+",ou="+from+","+base, "uid="+id, true, "ou="+to+","+base, nil))
	}
}

// newcomer is somebody who gets an ID that was another's.
func newcomer(id string) func(*ldap.Conn) error {
	return func(c *ldap.Conn) error {
		a := ldap.NewAddRequest("uid="+id+",ou=people,"+base, nil)
		for name, value := range map[string]string{"objectClass": "inetOrgPerson", "cn": "New " + id, "sn": id} {
			a.Attribute(name, []string{value})
		}
		return c.Add(a)
	}
}

func people(ids ...string) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(person(id, ""))
	}
	return b.String()
}

// The life of people in a directory, on both databases: they come, change, are disabled, go, and come back.
func TestSync(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		group := "dn: cn=sales,ou=groups," + base + "\nobjectClass: groupOfNames\ncn: sales\nmember: uid=ann,ou=people," + base + "\nmember: UID=bob, ou=people," + base + "\n\n" +
			"dn: cn=works,ou=groups," + base + "\nobjectClass: posixGroup\ncn: works\ngidNumber: 7\nmemberUid: cid\nmemberUid: nobody\n\n"
		s := start(t, people("ann", "bob", "cid", "dan", "eve", "flo", "gil", "hal", "ian")+person("joe", "nsAccountLock: TRUE\n")+group)
		o := newOffice(t, url)
		ctx := t.Context()
		must(t, o.db.AddUser(ctx, user.User{ID: "hand", Enabled: true, CreatedAt: o.now, Version: 1}))
		must(t, o.db.AddUser(ctx, user.User{ID: "ian", Name: "made by hand", Enabled: true, CreatedAt: o.now, Version: 1}))
		o.directory(s, nil)

		found, err := o.Test(ctx, "hq")
		must(t, err)
		same(t, found.Found, 10)
		want := []string{"ann added", "bob added", "cid added", "dan added", "eve added", "flo added", "gil added", "hal added", "ian failed", "joe added"}
		shown, err := o.Sync(ctx, "hq", true, false)
		must(t, err)
		same(t, became(shown), want)
		same(t, shown.Joined, 3)
		same(t, len(o.users()), 2)
		first := o.sync(false)
		same(t, became(first), want)
		same(t, o.enabled(), []string{"ann", "bob", "cid", "dan", "eve", "flo", "gil", "hal", "hand", "ian"})
		ann, err := o.db.User(ctx, "ann")
		must(t, err)
		same(t, ann, user.User{ID: "ann", Name: "Name of ann", Mail: "ann@example.com", Enabled: true, CreatedAt: o.now, Version: 1})
		members, err := o.db.MemberIDs(ctx, "sales", 9)
		must(t, err)
		same(t, members, []string{"ann", "bob"})
		same(t, became(o.sync(false)), []string{"ian failed"})

		// An administrator's own work stays: who was made, disabled or put into a group by hand.
		_, err = o.Users.Edit(ctx, "bob", 0, user.Entry{Enabled: new(bool)})
		must(t, err)
		_, err = o.db.AddMembers(ctx, "works", []string{"hand", "ann"})
		must(t, err)
		s.change(modify("ann", "cn", "Ann A."))
		s.change(modify("joe", "nsAccountLock"))
		s.change(move("dan", "people", "groups"))
		s.change(func(c *ldap.Conn) error {
			m := ldap.NewModifyRequest("cn=sales,ou=groups,"+base, nil)
			m.Delete("member", []string{"uid=bob,ou=people," + base})
			return c.Modify(m)
		})
		next := o.sync(false)
		same(t, became(next), []string{"ann changed", "dan disabled", "ian failed", "joe enabled"})
		same(t, []int{next.Missing, next.Joined, next.Left}, []int{1, 0, 1})
		same(t, o.enabled(), []string{"ann", "cid", "eve", "flo", "gil", "hal", "hand", "ian", "joe"})
		members, err = o.db.MemberIDs(ctx, "sales", 9)
		must(t, err)
		same(t, members, []string{"ann"})
		members, err = o.db.MemberIDs(ctx, "works", 9)
		must(t, err)
		same(t, members, []string{"ann", "cid", "hand"})
		same(t, became(o.sync(false)), []string{"ian failed"})

		// Who comes back is enabled again.
		s.change(move("dan", "groups", "people"))
		same(t, became(o.sync(false)), []string{"dan enabled", "ian failed"})

		// One that adopts takes over who was made by hand.
		_, err = o.Edit(ctx, "hq", 0, nil, func(d *directory.Directory) { d.Adopt = true })
		must(t, err)
		same(t, became(o.sync(false)), []string{"ian changed"})
		must(t, o.Delete(ctx, "hq"))
		same(t, len(o.users()), 11)
	})
}

// More people than the directory gives at once come in pages; a connection, or the server, that dies between two of them changes
// nothing, whatever came before.
func TestPagesThatBreakOff(t *testing.T) {
	const n = 1500
	s := start(t, crowd(n))
	o := newOffice(t, file(t))
	whole := newWire(t, s.TLS, 0, nil)
	o.directory(s, func(d *directory.Directory) { d.URL = "ldaps://" + whole.address })
	same(t, len(became(o.sync(false))), n)
	half := whole.passed.Load() / 2

	edit := func(url string, change func(*directory.Directory)) {
		t.Helper()
		again := password
		_, err := o.Edit(t.Context(), "hq", 0, &again, func(d *directory.Directory) {
			d.URL = url
			if change != nil {
				change(d)
			}
		})
		must(t, err)
	}
	edit("ldaps://"+newWire(t, s.TLS, half, func() {}).address, nil)
	o.refuses(fault.DirectoryUnreachable, true)
	edit("ldap://"+newWire(t, s.Plain, half, func() {}).address, func(d *directory.Directory) { d.StartTLS = true })
	o.refuses(fault.DirectoryUnreachable, true)
	edit("ldap://"+s.Plain, nil) // all of it over StartTLS
	same(t, o.sync(false).Found, n)
	// Pages that are larger than it gives are refused.
	edit("ldaps://"+s.TLS, func(d *directory.Directory) { d.StartTLS, d.PageSize = false, 10_000 })
	if _, err := o.Test(t.Context(), "hq"); !errors.Is(err, fault.DirectoryRefused) || !strings.Contains(err.Error(), "page size") {
		t.Errorf("%v", err)
	}
	edit("ldaps://"+newWire(t, s.TLS, half, s.Kill).address, func(d *directory.Directory) { d.PageSize = 100 })
	o.refuses(fault.DirectoryUnreachable, true)
	o.refuses(fault.DirectoryUnreachable, false) // and now nobody is there
}

// A directory that suddenly has nobody, or few people, disables nobody.
func TestSuspiciousDirectories(t *testing.T) {
	s := start(t, crowd(40)+"dn: ou=empty,"+base+"\nobjectClass: organizationalUnit\nou: empty\n\n")
	o := newOffice(t, file(t))
	o.directory(s, nil)
	o.sync(false)
	change := func(do func(*directory.Directory)) {
		t.Helper()
		_, err := o.Edit(t.Context(), "hq", 0, nil, do)
		must(t, err)
	}
	change(func(d *directory.Directory) { d.BaseDN = "ou=empty," + base })
	o.refuses(fault.DirectorySuspicious, false)
	o.refuses(fault.DirectorySuspicious, true) // not even if it is forced
	change(func(d *directory.Directory) { d.BaseDN = "ou=nowhere," + base })
	o.refuses(fault.DirectoryRefused, true)
	change(func(d *directory.Directory) { d.BaseDN, d.Filter = "ou=people,"+base, "(!(uid=p000*))" }) // ten of forty are missing
	o.refuses(fault.DirectorySuspicious, false)
	change(func(d *directory.Directory) { d.Filter = "(&(objectClass=inetOrgPerson)(!(uid=p000[0-4])))" })
	same(t, o.sync(false).Missing, 0)
	change(func(d *directory.Directory) {
		d.Filter = "(&(objectClass=inetOrgPerson)(!(|(uid=p0000)(uid=p0001)(uid=p0002)(uid=p0003))))"
	}) // four: ten percent
	same(t, o.sync(false).Counts[user.Disabled], 4)
	change(func(d *directory.Directory) { d.Filter = "(&(objectClass=inetOrgPerson)(uid=p003*))" })
	o.refuses(fault.DirectorySuspicious, false)
	same(t, o.sync(true).Counts[user.Disabled], 26)
	same(t, len(o.users()), 40)
	// Being disabled there counts as being missing does.
	change(func(d *directory.Directory) { d.Filter = "" })
	same(t, o.sync(false).Counts[user.Enabled], 30)
	for i := range 9 {
		s.change(modify(fmt.Sprintf("p%04d", i), "nsAccountLock", "true"))
	}
	o.refuses(fault.DirectorySuspicious, false)
	change(func(d *directory.Directory) { d.MaxLost = 25 })
	same(t, o.sync(false).Counts[user.Disabled], 9)
}

// Active Directory has its own attributes.
func TestActiveDirectory(t *testing.T) {
	ad := func(id, more string) string {
		return person(id, "sAMAccountName: "+strings.ToUpper(id)+"\nobjectCategory: person\ndisplayName: Shown "+id+"\n"+more)
	}
	s := start(t, ad("ann", "userAccountControl: 512\nmemberOf: CN=Sales\\, South,ou=groups,"+base+"\nmemberOf: cn=else,dc=other\n")+ad("bob", "userAccountControl: 514\n")+
		ad("cid", "")+person("printer", ""))
	o := newOffice(t, file(t))
	o.directory(s, func(d *directory.Directory) { d.Kind, d.LowerCase = directory.ActiveDirectory, true })
	r := o.sync(false)
	same(t, became(r), []string{"ann added", "bob added", "cid added"})
	same(t, o.enabled(), []string{"ann", "cid"})
	ann, err := o.db.User(t.Context(), "ann")
	must(t, err)
	same(t, ann.Name, "Shown ann")
	groups, err := o.db.Groups(t.Context(), user.GroupFilter{UserID: "ann"})
	must(t, err)
	same(t, []any{len(groups), groups[0].Name}, []any{1, "Sales  South"})
}

// Who cannot be trusted, or does not let us in, is told apart.
func TestDirectoriesThatDoNotLetUsIn(t *testing.T) {
	s := start(t, people("ann"))
	o := newOffice(t, file(t))
	ctx := t.Context()
	o.directory(s, nil)
	o.sync(false)
	wrong := "another password"
	_, err := o.Edit(ctx, "hq", 0, &wrong, func(*directory.Directory) {})
	must(t, err)
	o.refuses(fault.DirectoryRefused, false)
	right := password
	_, err = o.Edit(ctx, "hq", 0, &right, func(d *directory.Directory) { d.CA = "" })
	must(t, err)
	o.refuses(fault.DirectoryUnreachable, false)
	if d, err := o.Get(ctx, "hq"); err != nil || !strings.Contains(d.Last.Message, "certificate") {
		t.Errorf("%+v, %v", d.Last, err)
	}
	// Whoever may change the URL, or who is trusted to be there, must not be sent the password.
	for _, change := range []func(*directory.Directory){func(d *directory.Directory) { d.URL = "ldaps://elsewhere" }, func(d *directory.Directory) { d.CA = s.CA }} {
		if _, err := o.Edit(ctx, "hq", 0, nil, change); !errors.Is(err, fault.DirectoryInvalid) {
			t.Errorf("%v", err)
		}
	}
	_, err = o.Edit(ctx, "hq", 0, &right, func(d *directory.Directory) { d.URL, d.CA = "ldaps://localhost:"+strings.Split(s.TLS, ":")[1], s.CA }) // not the name in the certificate
	must(t, err)
	o.refuses(fault.DirectoryUnreachable, false)
}

// Of two servers one synchronises, when the time has come.
func TestDueOnOneServer(t *testing.T) {
	s := start(t, people("ann", "bob"))
	o := newOffice(t, file(t))
	ctx := t.Context()
	o.directory(s, func(d *directory.Directory) { d.Every = time.Hour })
	if _, err := o.Sync(ctx, "lq", false, false); !errors.Is(err, fault.NotFound) || errors.Is(err, fault.Conflict) {
		t.Errorf("%v", err)
	}
	must(t, o.SyncDue(ctx))
	if len(o.users()) > 0 || o.due(time.Hour-1) || !o.due(time.Hour) {
		t.Error("a new directory is not due at first, but when its time has gone by")
	}
	o.now = o.now.Add(time.Hour)
	ours, err := o.db.ClaimDirectory(ctx, "hq", o.now, o.now.Add(time.Minute), o.now.Add(time.Hour), true)
	must(t, err)
	if !ours {
		t.Fatal("not due in time")
	}
	must(t, o.SyncDue(ctx))
	same(t, len(o.users()), 0)
	if _, err := o.Sync(ctx, "hq", false, false); !errors.Is(err, fault.Conflict) {
		t.Errorf("%v", err)
	}
	o.now = o.now.Add(time.Minute) // the other one died
	must(t, o.SyncDue(ctx))
	same(t, len(o.users()), 2)
	s.change(modify("ann", "cn", "Ann A."))
	o.now = o.now.Add(59 * time.Minute)
	must(t, o.SyncDue(ctx))
	if ann, _ := o.db.User(ctx, "ann"); ann.Name != "Name of ann" {
		t.Error("synchronised before the time")
	}
	o.now = o.now.Add(time.Minute)
	must(t, o.SyncDue(ctx))
	if ann, _ := o.db.User(ctx, "ann"); ann.Name != "Ann A." {
		t.Error("not synchronised in time")
	}
	s.change(modify("ann", "cn", "Ann B."))
	o.now = o.now.Add(-24 * time.Hour) // it was ahead
	o.Reliable = func() bool { return false }
	must(t, o.SyncDue(ctx)) // or it is behind
	if ann, _ := o.db.User(ctx, "ann"); ann.Name != "Ann A." {
		t.Error("synchronised by a clock that may be behind")
	}
	o.Reliable = nil
	must(t, o.SyncDue(ctx))
	if ann, _ := o.db.User(ctx, "ann"); ann.Name != "Ann B." {
		t.Error("not synchronised after the clock was set back")
	}
	s.change(modify("ann", "cn", "Ann C."))
	_, err = o.db.ClaimDirectory(ctx, "hq", o.now.AddDate(1, 0, 0), o.now.AddDate(1, 0, 0).Add(15*time.Minute), o.now.AddDate(2, 0, 0), false)
	must(t, err) // and the server was killed in the middle, by a clock that was ahead
	o.now = o.now.Add(time.Hour)
	must(t, o.SyncDue(ctx))
	if ann, _ := o.db.User(ctx, "ann"); ann.Name != "Ann C." {
		t.Error("not synchronised after a server died by a clock that was ahead")
	}
	s.Kill()
	o.now = o.now.Add(time.Hour)
	must(t, o.SyncDue(ctx)) // what a directory refuses is kept with it
	if d, err := o.Get(ctx, "hq"); err != nil || d.Last.Code != "DIRECTORY_UNREACHABLE" {
		t.Errorf("%+v, %v", d.Last, err)
	}
}

// The audit log tells of whatever is edited.
func TestEditIsRecorded(t *testing.T) {
	o := newOffice(t, file(t))
	o.directory(start(t, people("ann")), nil)
	right := password
	_, err := o.Edit(t.Context(), "hq", 0, &right, func(d *directory.Directory) {
		d.URL, d.StartTLS, d.CA, d.BindDN, d.BaseDN, d.Filter = "ldap://ldap.example.com", true, "", "cn=other,"+base, "ou=other,"+base, "(uid=*)"
		d.ID, d.Mapping.Name, d.Mail, d.DisabledBy, d.LowerCase = "x", "y", "z", []string{}, true
		d.Groups, d.GroupBase, d.GroupFilter, d.PageSize, d.MaxLost, d.Adopt, d.Every = directory.BySearch, "ou=more,"+base, "(cn=*)", 7, 8, true, time.Hour
	})
	must(t, err)
	page, err := o.db.Events(t.Context(), audit.Filter{Action: "directory.edit", Limit: 9})
	must(t, err)
	same(t, len(page.Entries), 1)
	event, err := audit.ParseRecord(page.Entries[0].Record)
	must(t, err)
	before, _ := event.Details["before"].(map[string]any)
	after, _ := event.Details["after"].(map[string]any)
	for name := range after {
		if name != "kind" && name != "domain" && reflect.DeepEqual(before[name], after[name]) {
			t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
	same(t, len(after), reflect.TypeFor[client.DirectoryEdit]().NumField()-1+2) // without the password, and with kind and domain
}

// None of the attributes that tell whether somebody is disabled is another thing than the default.
func TestDisabledByNothing(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := start(t, person("ann", "nsAccountLock: TRUE\n"))
		o := newOffice(t, url)
		o.directory(s, func(d *directory.Directory) { d.DisabledBy = []string{} })
		o.sync(false)
		same(t, o.enabled(), []string{"ann"})
		_, err := o.Edit(t.Context(), "hq", 0, nil, func(d *directory.Directory) { d.DisabledBy = nil })
		must(t, err)
		o.sync(false)
		same(t, len(o.enabled()), 0)
	})
}

func TestDirectoriesThatCannotBe(t *testing.T) {
	o := newOffice(t, file(t))
	for name, change := range map[string]func(*directory.Directory){
		"kind": func(d *directory.Directory) { d.Kind = "novell" }, "name": func(d *directory.Directory) { d.Name = "a/b" }, "no URL": func(d *directory.Directory) { d.URL = "" },
		"plain": func(d *directory.Directory) { d.URL = "ldap://x" }, "both": func(d *directory.Directory) { d.StartTLS = true },
		"user in URL": func(d *directory.Directory) { d.URL = "ldaps://u:p@x" }, "no base": func(d *directory.Directory) { d.BaseDN = "" },
		"base": func(d *directory.Directory) { d.BaseDN = "people" }, "filter": func(d *directory.Directory) { d.Filter = "(uid=" },
		"authority": func(d *directory.Directory) { d.CA = "x" }, "disabled by": func(d *directory.Directory) { d.DisabledBy = []string{"title"} },
		"groups": func(d *directory.Directory) { d.Groups = "some" }, "page": func(d *directory.Directory) { d.PageSize = -1 }, "lost": func(d *directory.Directory) { d.MaxLost = 101 },
		"every": func(d *directory.Directory) { d.Every = time.Second }, "no password": func(d *directory.Directory) { d.BindDN = "" },
	} {
		d := directory.Directory{Name: "hq", Kind: directory.OpenLDAP, Settings: directory.Settings{URL: "ldaps://ldap.example.com", BindDN: reader, BaseDN: base}}
		change(&d)
		if _, err := o.Add(context.Background(), d, password); !errors.Is(err, fault.DirectoryInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What no user record takes of a name or mail address keeps nobody from being disabled.
func TestNamesAndAddressesThatNoRecordTakes(t *testing.T) {
	s := start(t, people("ann", "bob", "cid"))
	o := newOffice(t, file(t))
	o.directory(s, nil)
	o.sync(false)
	long := strings.Repeat("ü", 200)
	for id, cn := range map[string]string{"ann": "Ann\u00a0Other", "bob": "Bob", "cid": long} {
		s.change(modify(id, "cn", cn))
	}
	s.change(modify("bob", "mail", "not here any more"))
	s.change(modify("ann", "nsAccountLock", "true"))
	first := o.sync(false)
	same(t, became(first), []string{"ann disabled", "bob changed", "cid changed"})
	names := map[string]string{}
	for _, u := range o.users() {
		names[u.Name] = u.Mail
	}
	same(t, names, map[string]string{"Ann Other": "ann@example.com", "Bob": "bob@example.com", long[:256]: "cid@example.com"})
	s.change(modify("bob", "nsAccountLock", "true"))
	o.sync(false)
	same(t, o.enabled(), []string{"cid"})
	for _, row := range o.sync(false).Rows { // the warning stays
		if warned := row.Code == fault.UserInvalid && strings.Contains(row.Message, "not here any more"); warned != (row.ID == "bob") || row.Action != user.Unchanged {
			t.Errorf("%+v", row)
		}
	}
}

// twin is another entry with the user ID of somebody, below ou=groups.
func twin(id, more string) string {
	return strings.Replace(person(id, more), ",ou=people,", ",ou=groups,", 1)
}

// Of several people with one user ID none is taken, whoever else she is, and she goes only where all of them are disabled.
func TestOneIDOfSeveralPeople(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := start(t, people("ann", "bob", "cid")+twin("ann", "")+twin("bob", "")+
			"dn: cn=sales,ou=groups,"+base+"\nobjectClass: groupOfNames\ncn: sales\nmember: uid=cid,ou=people,"+base+"\n\n")
		o := newOffice(t, url)
		must(t, o.db.AddUser(t.Context(), user.User{ID: "ann", Name: "made by hand", Enabled: true, CreatedAt: o.now, Version: 1}))
		o.directory(s, func(d *directory.Directory) { d.BaseDN = base })
		first := o.sync(false)
		same(t, became(first), []string{"ann failed", "bob failed", "cid added"})
		for _, row := range first.Rows {
			if row.ID == "bob" && (row.Code != fault.DirectoryDuplicate || !strings.Contains(row.Message, "uid=bob,ou=people,"+base) || !strings.Contains(row.Message, "uid=bob,ou=groups,"+base)) {
				t.Errorf("%+v", row)
			}
		}
		ann, err := o.db.User(t.Context(), "ann")
		must(t, err)
		same(t, ann.Name, "made by hand")
		same(t, len(o.users()), 2)

		// One who was the directory's before stays so.
		second := func(do func(*ldap.Conn, string) error) {
			t.Helper()
			s.change(func(c *ldap.Conn) error { return do(c, "uid=cid,ou=groups,"+base) })
		}
		second(func(c *ldap.Conn, dn string) error {
			a := ldap.NewAddRequest(dn, nil)
			a.Attribute("objectClass", []string{"inetOrgPerson", "user"})
			for _, name := range []string{"cn", "sn"} {
				a.Attribute(name, []string{"Somebody else"})
			}
			a.Attribute("nsAccountLock", []string{"true"})
			return c.Add(a)
		})
		failed := []string{"ann failed", "bob failed", "cid failed"}
		next := o.sync(false)
		same(t, became(next), failed)
		same(t, []int{next.Missing, next.Left}, []int{0, 0})
		same(t, o.enabled(), []string{"ann", "cid"})
		s.change(modify("cid", "nsAccountLock", "true"))
		same(t, became(o.sync(false)), []string{"ann failed", "bob failed", "cid disabled", "cid failed"})
		same(t, became(o.sync(false)), failed)
		same(t, o.enabled(), []string{"ann"})
		second(func(c *ldap.Conn, dn string) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
		s.change(modify("cid", "nsAccountLock"))
		same(t, became(o.sync(false)), []string{"ann failed", "bob failed", "cid enabled"})
	})
}

// Of several user IDs of an entry the one of somebody who is there counts, and not that of one who is gone, or who was another.
func TestSeveralIDsOfOnePerson(t *testing.T) {
	s := start(t, people("bob", "cid")+strings.Replace(person("ann", ""), "dn: uid=ann,", "dn: cn=Name of ann,", 1))
	o := newOffice(t, file(t))
	o.directory(s, nil)
	same(t, became(o.sync(false)), []string{"ann added", "bob added", "cid added"})
	s.change(remove("bob"))
	same(t, became(o.sync(false)), []string{"bob disabled"})
	for _, ids := range [][]string{{"bob", "ann"}, {"ann", "bob"}, {"an", "bob", "ann"}} {
		s.change(func(c *ldap.Conn) error {
			m := ldap.NewModifyRequest("cn=Name of ann,ou=people,"+base, nil)
			m.Replace("uid", ids)
			return c.Modify(m)
		})
		o.sync(false)
		same(t, o.enabled(), []string{"ann", "cid"})
	}
}

// members are those of a group.
func (o *office) members(group string) []string {
	o.t.Helper()
	ids, err := o.db.MemberIDs(o.t.Context(), group, 99)
	must(o.t, err)
	return ids
}

// Members whom somebody put into a group stay in it, also where the directory had them in it for some time; whom somebody took out comes back.
func TestMembersByHand(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := start(t, people("ann", "bob")+"dn: cn=sales,ou=groups,"+base+"\nobjectClass: posixGroup\ncn: sales\ngidNumber: 7\n\n")
		o := newOffice(t, url)
		ctx := t.Context()
		o.directory(s, nil)
		o.sync(false)
		must(t, o.db.AddGroup(ctx, user.Group{Name: "sales", CreatedAt: o.now, Version: 1}))
		_, err := o.db.AddMembers(ctx, "sales", []string{"ann"})
		must(t, err)
		group := func(ids ...string) func(*ldap.Conn) error {
			return func(c *ldap.Conn) error {
				m := ldap.NewModifyRequest("cn=sales,ou=groups,"+base, nil)
				m.Replace("memberUid", ids)
				return c.Modify(m)
			}
		}
		s.change(group("ann", "bob"))
		same(t, o.sync(false).Joined, 1)
		_, err = o.db.RemoveMembers(ctx, "sales", []string{"bob"})
		must(t, err)
		shown, err := o.Sync(ctx, "hq", true, false)
		must(t, err)
		same(t, shown.Joined, 1)
		same(t, o.sync(false).Joined, 1)
		same(t, o.members("sales"), []string{"ann", "bob"})
		s.change(group())
		same(t, o.sync(false).Left, 1)
		same(t, o.members("sales"), []string{"ann"})
	})
}

// Groups that vanish are no more believed than people who do; one person may leave all of hers.
func TestSuspiciousGroups(t *testing.T) {
	group := func(name string, n int) string {
		text := "dn: cn=" + name + ",ou=groups," + base + "\nobjectClass: posixGroup\ncn: " + name + "\ngidNumber: 7\n"
		for i := range n {
			text += fmt.Sprintf("memberUid: p%04d\n", i)
		}
		return text + "\n"
	}
	s := start(t, crowd(12)+group("all", 10)+group("some", 2))
	o := newOffice(t, file(t))
	o.directory(s, nil)
	same(t, o.sync(false).Joined, 12)
	change := func(filter string) {
		t.Helper()
		_, err := o.Edit(t.Context(), "hq", 0, nil, func(d *directory.Directory) { d.GroupFilter = filter })
		must(t, err)
	}
	change("(cn=nothing)")
	o.refuses(fault.DirectorySuspicious, false)
	if _, err := o.Sync(t.Context(), "hq", true, false); !errors.Is(err, fault.DirectorySuspicious) {
		t.Errorf("a dry run: %v", err)
	}
	same(t, []int{len(o.members("all")), len(o.members("some"))}, []int{10, 2})
	change("(cn=all)")
	o.refuses(fault.DirectorySuspicious, false)
	same(t, o.sync(true).Left, 2)
	change("(cn=nothing)")
	same(t, o.sync(true).Left, 10)
	change("")
	same(t, o.sync(false).Joined, 12)
	for _, name := range []string{"all", "some"} {
		s.change(func(c *ldap.Conn) error {
			m := ldap.NewModifyRequest("cn="+name+",ou=groups,"+base, nil)
			m.Delete("memberUid", []string{"p0000"})
			return c.Modify(m)
		})
	}
	same(t, o.sync(false).Left, 2)
	s.change(remove("p0001")) // who counts among the people
	same(t, o.sync(false).Left, 2)
}

// Whoever was disabled by hand stays so, also where the directory had disabled her before: by one edit, and by a file.
func TestDisabledByHandAfterTheDirectory(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := start(t, people("ann", "bob", "cid"))
		o := newOffice(t, url)
		ctx := t.Context()
		o.directory(s, func(d *directory.Directory) { d.MaxLost = 100 })
		o.sync(false)
		for _, id := range []string{"ann", "bob", "cid"} {
			s.change(modify(id, "nsAccountLock", "true"))
		}
		o.sync(false)
		_, err := o.Users.Edit(ctx, "ann", 0, user.Entry{Enabled: new(bool)})
		must(t, err)
		_, err = o.Users.Edit(ctx, "cid", 0, user.Entry{Name: new("Cid C.")})
		must(t, err)
		done, err := o.Users.Apply(ctx, []user.Entry{{ID: "bob", Enabled: new(bool)}, {ID: "cid", Mail: new("")}}, user.Wish{})
		must(t, err)
		same(t, done.Counts, map[user.Action]int{user.Unchanged: 1, user.Changed: 1})
		for _, id := range []string{"ann", "bob", "cid"} {
			s.change(modify(id, "nsAccountLock"))
		}
		o.sync(false)
		same(t, o.enabled(), []string{"cid"})
	})
}

// Whoever gets the user ID of another person does not get her tokens: she stays disabled until an administrator enables her.
func TestReusedID(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := start(t, people("ann", "bob", "cid")+"dn: cn=sales,ou=groups,"+base+"\nobjectClass: groupOfNames\ncn: sales\nmember: uid=ann,ou=people,"+base+"\n\n")
		o := newOffice(t, url)
		ctx := t.Context()
		o.directory(s, func(d *directory.Directory) { d.MaxLost = 100 })
		o.sync(false)
		must(t, o.db.SavePeople(ctx, "hq", []directory.Person{{UserID: "cid", DN: "uid=cid,ou=people," + base}})) // before the directory was asked who she is
		o.sync(false)
		for _, id := range []string{"bob", "ann", "cid"} {
			s.change(remove(id))
			if id == "bob" {
				o.sync(false) // he is gone for a time
			}
			s.change(newcomer(id))
		}
		first := o.sync(false)
		same(t, became(first), []string{"ann disabled", "ann failed", "bob failed", "cid disabled", "cid failed"})
		for _, row := range first.Rows {
			if row.Action == user.Failed && row.Code != fault.DirectoryReused {
				t.Errorf("%+v", row)
			}
		}
		same(t, o.members("sales"), []string{"ann"})
		failed := []string{"ann failed", "bob failed", "cid failed"}
		same(t, became(o.sync(false)), failed)
		_, err := o.Users.Edit(ctx, "ann", 0, user.Entry{Enabled: new(bool)})
		must(t, err)
		same(t, became(o.sync(false)), failed)
		on := true
		_, err = o.Users.Edit(ctx, "ann", 0, user.Entry{Enabled: &on})
		must(t, err)
		_, err = o.Users.Apply(ctx, []user.Entry{{ID: "bob", Enabled: &on}}, user.Wish{})
		must(t, err)
		same(t, became(o.sync(false)), []string{"ann changed", "bob changed", "cid failed"})
		same(t, o.enabled(), []string{"ann", "bob"})
		ann, err := o.db.User(ctx, "ann")
		must(t, err)
		same(t, ann.Name, "New ann")
		// She was taken over, and nobody after her.
		s.change(remove("ann"))
		s.change(newcomer("ann"))
		same(t, became(o.sync(false)), []string{"ann disabled", "ann failed", "cid failed"})
	})
}

// Whom a directory brought no other one takes over while it shows her; then one that adopts does, and enables whom the first one disabled.
func TestPeopleWhoMove(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := start(t, people("ann", "bob")+"dn: ou=rest,"+base+"\nobjectClass: organizationalUnit\nou: rest\n\n"+strings.ReplaceAll(people("cid"), "ou=people", "ou=rest"))
		o := newOffice(t, url)
		ctx := t.Context()
		o.directory(s, nil)
		o.sync(false)
		second := func(base string, adopt bool) {
			t.Helper()
			o.directory(s, func(d *directory.Directory) { d.Name, d.BaseDN, d.Adopt = "second", base, adopt })
		}
		other := func() []string {
			t.Helper()
			r, err := o.Sync(ctx, "second", false, false)
			must(t, err)
			return became(r)
		}
		second("ou=rest,"+base, true)
		same(t, other(), []string{"cid added"})
		s.change(move("ann", "people", "rest"))
		same(t, other(), []string{"ann failed"}) // the first one has not been looked at since
		same(t, became(o.sync(false)), []string{"ann disabled"})
		same(t, other(), []string{"ann enabled"})
		same(t, became(o.sync(false)), []string(nil))
		same(t, o.enabled(), []string{"ann", "bob", "cid"})

		// So it is after a directory that was deleted.
		s.change(modify("bob", "nsAccountLock", "true"))
		o.sync(false)
		must(t, o.Delete(ctx, "hq"))
		if name, err := o.db.DirectoryOf(ctx, "bob"); !errors.Is(err, fault.NotFound) {
			t.Errorf("bob comes from %q, %v", name, err)
		}
		s.change(modify("bob", "nsAccountLock"))
		o.directory(s, nil)
		same(t, became(o.sync(false)), []string{"bob failed"})
		_, err := o.Edit(ctx, "hq", 0, nil, func(d *directory.Directory) { d.Adopt = true })
		must(t, err)
		same(t, became(o.sync(false)), []string{"bob enabled"})
	})
}

// Those whom a directory takes over count as lost as well.
func TestSuspiciousAdoption(t *testing.T) {
	s := start(t, person("ann", "nsAccountLock: TRUE\n")+person("bob", "nsAccountLock: TRUE\n"))
	o := newOffice(t, file(t))
	for _, id := range []string{"ann", "bob"} {
		must(t, o.db.AddUser(t.Context(), user.User{ID: id, Enabled: true, CreatedAt: o.now, Version: 1}))
	}
	o.directory(s, func(d *directory.Directory) { d.Adopt = true })
	o.refuses(fault.DirectorySuspicious, false)
	same(t, became(o.sync(true)), []string{"ann disabled", "bob disabled"})
}
