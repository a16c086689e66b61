package directory

import (
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

func TestIdentity(t *testing.T) {
	guid, uuid := "\x00\x01\xff456789abcdef0", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
	for _, c := range []struct {
		attributes map[string][]string
		want       string
	}{
		{nil, ""}, {map[string][]string{"objectGUID": {guid}}, "objectGUID=0001ff34353637383961626364656630"}, {map[string][]string{"entryuuid": {uuid}}, "entryUUID=" + uuid},
		{map[string][]string{"nsuniqueid": {"a-b"}}, "nsUniqueId=a-b"}, {map[string][]string{"nsUniqueId": {"a-b"}, "ipaUniqueID": {"c"}}, "ipaUniqueID=c"},
	} {
		if got := identityOf(ldap.NewEntry("uid=x", c.attributes)); got != c.want {
			t.Errorf("%v: %q", c.attributes, got)
		}
	}
	for _, c := range []struct {
		before, now string
		want        bool
	}{{"", "", false}, {"", "a=1", false}, {"a=1", "", false}, {"a=1", "a=1", false}, {"a=1", "a=2", true}, {"a=1", "b=2", false}} {
		if got := another(c.before, c.now); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestDisabledBy(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for attribute, values := range map[string]map[string]bool{
		"userAccountControl": {"": false, "512": false, "514": true, "x": false},
		// 2026-11-29 12:00:00 UTC is 134404272000000000 in 100 ns since 1601.
		"accountExpires":       {"": false, "0": false, "9223372036854775807": false, "134404272000000001": false, "134404272000000000": true, "1": true, "-5": false, "x": false},
		"shadowExpire":         {"": false, "-1": false, "0": false, "20786": true, "20787": false, "99999999999": false},
		"nsAccountLock":        {"": false, "TRUE": true, "false": false},
		"pwdAccountLockedTime": {"": false, "000001010000Z": true, "20261129000000Z": false},
		"loginShell":           {"": false, "/bin/bash": false, "/usr/sbin/nologin": true, "/bin/false": true},
	} {
		for value, want := range values {
			if got := disabledBy(attribute, value, now); got != want {
				t.Errorf("%s %q: %v", attribute, value, got)
			}
		}
	}
}
