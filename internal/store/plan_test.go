package store

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/token"
)

// What lists and look-ups ask goes through an index, however many tokens and events there are.
func TestPlans(t *testing.T) {
	name := file(t)
	opened(t, name).Close()
	db := opened(t, name) // a connection of the first one may know tables as they were half made, which EXPLAIN does not notice
	free := strings.NewReplacer("$1", "1", "$2", "'x'").Replace(freeSelect)
	for query, index := range map[string]string{
		tokenSelect[0] + " WHERE serial > 'x' ORDER BY serial LIMIT 9" + tokenSelect[1]:                                                                    "sqlite_autoindex_token_1",
		tokenSelect[0] + " WHERE user_id = 'u' ORDER BY serial" + tokenSelect[1]:                                                                           "token_user",
		tokenSelect[0] + " WHERE user_id IS NOT NULL AND (user_id, serial) > ('u', 's') ORDER BY user_id, serial LIMIT 9" + tokenSelect[1]:                 "token_user",
		tokenSelect[0] + " WHERE user_id IS NULL AND serial > 's' ORDER BY serial LIMIT 9" + tokenSelect[1]:                                                "sqlite_autoindex_token_1",
		tokenSelect[0] + " WHERE profile = 'p' AND serial > 'x' ORDER BY serial LIMIT 9" + tokenSelect[1]:                                                  "token_profile",
		tokenSelect[0] + " WHERE distribution = 'd' ORDER BY serial LIMIT 9" + tokenSelect[1]:                                                              "token_distribution",
		free + "= 'd' ORDER BY effective_expiry, serial LIMIT 1":                                                                                           "token_free",
		free + "IN ('', 'd') ORDER BY effective_expiry, serial LIMIT 9":                                                                                    "token_free",
		tokenSelect[0] + " WHERE serial IN (SELECT serial FROM token_tag WHERE tag = 't') ORDER BY serial LIMIT 9" + tokenSelect[1]:                        "token_tag_tag",
		tokenSelect[0] + " WHERE serial IN (SELECT serial FROM token_attribute WHERE name = 'n' AND value = 'v') ORDER BY serial LIMIT 9" + tokenSelect[1]: "token_attribute_value",
		"SELECT DISTINCT serial FROM clock_moved WHERE correction = 'c' AND serial > 's' AND NOT undone ORDER BY serial LIMIT 9":                           "sqlite_autoindex_clock_moved_1",
		"SELECT serial FROM token WHERE pending_until <= 1 ORDER BY pending_until, serial":                                                                 "token_pending",
		"SELECT id FROM user_account WHERE id > 'x' ORDER BY id LIMIT 9":                                                                                   "sqlite_autoindex_user_account_1",
		withGroups + withMail + subjectSelect + "= 'u'":                                                                                                    "group_member_user",
		"SELECT MIN(id) FROM user_account WHERE mail <> '' AND lower(mail) IN ('u') GROUP BY lower(mail)":                                                  "user_account_mail",
		"SELECT MIN(id) FROM user_account WHERE mail <> '' AND lower(mail) IN ('u')" + admitted(&authentication.Restriction{Restriction: access.Restriction{Users: []string{"u"}, Groups: []string{"g"}}},
			func([]string) string { return "IN ('u')" }) + " GROUP BY lower(mail)": "user_account_mail",
		"SELECT DISTINCT lower(id), domain FROM user_account WHERE lower(id) IN ('u')": "user_account_folded",
		"SELECT id FROM offer WHERE serial = 's' AND state = 'open'":                   "offer_open",
		selectStored + "b.id >= x'01' AND b.id <= x'02' ORDER BY b.id DESC LIMIT 9":    "sqlite_autoindex_audit_batch_1",
		"SELECT batch FROM audit_place WHERE first >= 7 ORDER BY first LIMIT 9":        "PRIMARY KEY",
		"SELECT actor FROM reply WHERE actor || '/' || request_key = 'x'":              "reply_binding",
		"SELECT access_id FROM agent_credential WHERE hash = 'h'":                      "sqlite_autoindex_agent_credential_2",
		"SELECT serial FROM token_generation WHERE key_id < 2 ORDER BY key_id LIMIT 9": "token_generation_key",
	} {
		scan := func(r row) (step string, err error) {
			var id, parent, unused int
			err = r.Scan(&id, &parent, &unused, &step)
			return step, err
		}
		steps, err := list(t.Context(), db, scan, "EXPLAIN QUERY PLAN "+query)
		if plan := strings.Join(steps, "; "); err != nil || !strings.Contains(plan, index) {
			t.Errorf("%s\n%s, %v: want %s", query, plan, err, index)
		}
	}
}

// A selection makes the list that it looks tokens up in once, and not for each token: that took a minute for 20,000.
func TestSelectionsAskOnce(t *testing.T) {
	db := opened(t, file(t))
	for _, f := range []token.Filter{{NotMoved: "j"}, {Group: "g"}, {Domain: "d"}, {Tag: "t"}, {Attribute: "a=b"}} {
		c := db.selecting(t.Context(), f)
		scan := func(r row) (step string, err error) {
			var id, parent, unused int
			err = r.Scan(&id, &parent, &unused, &step)
			return step, err
		}
		steps, err := list(t.Context(), db, scan, "EXPLAIN QUERY PLAN SELECT serial FROM token"+c.clause("serial", 9), c.args...)
		if plan := strings.Join(steps, "; "); err != nil || plan == "" || strings.Contains(plan, "CORRELATED") {
			t.Errorf("%+v\n%s, %v", f, plan, err)
		}
	}
}
