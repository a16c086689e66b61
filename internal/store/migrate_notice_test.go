package store

import (
	"slices"
	"testing"
)

// Notices from before migration 50 were given to whoever has the token; those of tokens that nobody has are forgotten.
func TestNoticeMigration(t *testing.T) {
	eachAt(t, 49, func(t *testing.T, db *DB) {
		ctx := t.Context()
		exec := executes(t, db)
		exec("INSERT INTO user_account (id, name, mail, enabled, created_at, version, search) VALUES ('alice', '', '', $1, 1, 1, '')", true)
		for serial, userID := range map[string]any{"1": "alice", "2": nil} {
			exec("INSERT INTO token (serial, origin, expiry, effective_expiry, user_id, assigned_by, enabled, pin_length, last_number, tainted, distribution, method, device_id, nickname,"+
				" issue_count, created_at, version, search) VALUES ($1, 'generated', 9, 9, $2, '', $3, 0, 1, $4, 'confirmed', '', '', '', 1, 1, 1, '')", serial, userID, true, false)
			exec("INSERT INTO mail_notice (serial, expiry, days) VALUES ($1, 9, 7)", serial)
		}
		if err := db.migrate(ctx, nil); err != nil {
			t.Fatal(err)
		}
		found, err := list(ctx, db, text, "SELECT serial || ' ' || user_id FROM mail_notice WHERE expiry = 9 AND days = 7")
		if err != nil || !slices.Equal(found, []string{"1 alice"}) {
			t.Errorf("notices %q, %v", found, err)
		}
	})
}
