package store

import (
	"slices"
	"testing"
)

// Seeds that former users have are marked by migration 58, and no others.
func TestTaintedMigration(t *testing.T) {
	eachAt(t, 57, func(t *testing.T, db *DB) {
		ctx := t.Context()
		exec := executes(t, db)
		exec("INSERT INTO user_account (id, name, mail, enabled, created_at, version, search) VALUES ('bob', '', '', $1, 1, 1, '')", true)
		exec("INSERT INTO data_key (id, master_id, wrapped, created_at) VALUES (1, 'm', $1, 1)", []byte("key"))
		for _, c := range []struct {
			serial, origin, state string
			user                  any
			issues                int
			delivered             bool
		}{
			{"given to bob", "generated", "not_distributed", "bob", 2, true},
			{"nobody's", "imported", "not_distributed", nil, 2, true},
			{"bob's", "generated", "confirmed", "bob", 2, true},
			{"in use as imported", "imported", "not_distributed", "bob", 2, true},
			{"imported", "imported", "not_distributed", nil, 0, true},
			{"only offered", "generated", "not_distributed", nil, 1, false},
		} {
			exec("INSERT INTO token (serial, origin, expiry, effective_expiry, user_id, assigned_by, enabled, pin_length, last_number, tainted, distribution, method, device_id, nickname,"+
				" issue_count, created_at, version, search) VALUES ($1, $2, 9, 9, $3, '', $4, 0, 1, $5, $6, '', '', '', $7, 1, 1, '')",
				c.serial, c.origin, c.user, true, false, c.state, c.issues)
			exec("INSERT INTO seed_fingerprint (fingerprint, serial, number) VALUES ($1, $2, 2)", []byte(c.serial), c.serial)
			exec("INSERT INTO token_generation (serial, number, state, key_id, sealed, fingerprint, digits, interval_seconds, pin_type, made_at, delivered, last_interval, clock_offset, bad_passcodes, version, live)"+
				" VALUES ($1, 2, 'current', 1, $2, $3, 8, 60, 'none', 1, $4, 0, 0, 0, 1, $5)", c.serial, []byte("seed"), []byte(c.serial), c.delivered, true)
		}
		if err := db.migrate(ctx, nil); err != nil {
			t.Fatal(err)
		}
		found, err := list(ctx, db, text, "SELECT serial FROM token WHERE tainted ORDER BY serial")
		if err != nil || !slices.Equal(found, []string{"given to bob", "nobody's"}) {
			t.Errorf("tainted %q, %v", found, err)
		}
	})
}
