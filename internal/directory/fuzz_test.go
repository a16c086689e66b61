package directory

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/user"
)

// Whatever a directory says of a person: no panic, and what is read of it can be kept and compared.
func FuzzEntry(f *testing.F) {
	f.Add("uid=alice,dc=example", " Alice ", "alice@example.com", "CN=Lyon\\, north,OU=groups,DC=example", "514", true)
	f.Add("cn=\xff", "\x00", "a@b\n", "cn=a+ou=b,=", "-1", false)
	f.Add("", "", "", "\\", "000001010000Z", false)
	f.Fuzz(func(t *testing.T, dn, id, mail, group, state string, lower bool) {
		d := Directory{Settings: Settings{Groups: ByMemberOf}}
		d.ID, d.Mapping.Name, d.Mail, d.LowerCase = "uid", "cn", "mail", lower
		d.DisabledBy = []string{"userAccountControl", "accountExpires", "shadowExpire", "nsAccountLock", "pwdAccountLockedTime", "loginShell"}
		attributes := map[string][]string{"uid": {id}, "cn": {id, mail}, "mail": {mail}, "memberOf": {group, dn}}
		for _, name := range d.DisabledBy {
			attributes[name] = []string{state}
		}
		l, e := &line{d: d}, ldap.NewEntry(dn, attributes)
		p := l.entry(e)
		groups, err := l.memberOf(e, nil)
		if err != nil {
			t.Error(err)
		}
		for _, text := range []string{p.id, *p.name} {
			if !utf8.ValidString(text) || text != strings.TrimSpace(text) {
				t.Errorf("read %q", text)
			}
		}
		if len(*p.name) > user.MaxName || strings.ContainsFunc(*p.name, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("the name %q", *p.name)
		}
		if p.mail == nil && p.warning == "" || p.mail != nil && *p.mail != "" && !user.IsAddress(*p.mail) {
			t.Errorf("the mail address %v", p.mail)
		}
		if lower && p.id != strings.ToLower(p.id) {
			t.Errorf("the ID is %q", p.id)
		}
		for _, name := range groups {
			if name == "" || len(name) > 128 || !utf8.ValidString(name) || strings.ContainsAny(name, ",;") || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("the group %q", name)
			}
		}
		normal(dn)
	})
}
