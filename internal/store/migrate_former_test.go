package store

import (
	"slices"
	"testing"
)

// Tokens that were taken from their users before migration 62 while a delivered seed waited for its first good code have the mark that a former user holds it.
func TestFormerUsersMigration(t *testing.T) {
	eachAt(t, 57, func(t *testing.T, db *DB) {
		ctx := t.Context()
		exec := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.exec(ctx, statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec("INSERT INTO data_key (id, master_id, wrapped, created_at) VALUES (1, '', $1, 1)", []byte{1})
		for serial, x := range map[string]struct {
			origin, distribution string
			issues               int
			delivered            bool
		}{
			"taken back":          {"generated", "not_distributed", 2, true},
			"delivered to a user": {"generated", "issued", 1, true},
			"never delivered":     {"generated", "not_distributed", 0, false},
			"of a code not used":  {"generated", "not_distributed", 1, false},
			"imported again":      {"imported", "not_distributed", 1, true},
		} {
			exec("INSERT INTO token (serial, origin, expiry, effective_expiry, assigned_by, enabled, pin_length, last_number, tainted, distribution, method, device_id, nickname,"+
				" issue_count, created_at, version, search) VALUES ($1, $2, 9, 9, '', $3, 0, 1, $3, $4, '', '', '', $5, 1, 1, '')", serial, x.origin, false, x.distribution, x.issues)
			exec("INSERT INTO seed_fingerprint (fingerprint, serial, number) VALUES ($1, $2, 1)", []byte(serial), serial)
			exec("INSERT INTO token_generation (serial, number, state, key_id, sealed, fingerprint, digits, interval_seconds, pin_type, made_at, delivered, last_interval, clock_offset,"+
				" bad_passcodes, version, live) VALUES ($1, 1, 'current', 1, $2, $2, 8, 60, 'none', 1, $3, 0, 0, 0, 1, $4)", serial, []byte(serial), x.delivered, false)
		}
		if err := db.migrate(ctx); err != nil {
			t.Fatal(err)
		}
		found, err := list(ctx, db, text, "SELECT serial FROM token WHERE tainted")
		if err != nil || !slices.Equal(found, []string{"taken back"}) {
			t.Errorf("marked %q, %v", found, err)
		}
	})
}
