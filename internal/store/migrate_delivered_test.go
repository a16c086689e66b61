package store

import (
	"slices"
	"testing"
)

// Tokens from before migration 56 get the job that they were delivered by last, as far as the times tell.
func TestDeliveredByMigration(t *testing.T) {
	eachAt(t, 54, func(t *testing.T, db *DB) {
		ctx := t.Context()
		exec := executes(t, db)
		for _, j := range []struct {
			id, kind       string
			dry            bool
			created, ended any
		}{{"1", "distribute", false, 10, 20}, {"2", "redistribute", false, 30, nil}, {"3", "disable", false, 10, nil}, {"4", "redistribute", true, 10, nil}} {
			exec("INSERT INTO job (id, name, kind, state, dry_run, rate, total, done, failed, message, actor, created_at, ended_at) VALUES ($1, $1, $2, 'running', $3, 0, 3, 0, 0, '', '{\"actor\":\"key:x\"}', $4, $5)",
				j.id, j.kind, j.dry, j.created, j.ended)
			for n, serial := range []string{"a", "b", "c"} {
				exec("INSERT INTO job_item (job_id, number, key, state, code, message) VALUES ($1, $2, $3, 'done', '', '')", j.id, n+1, serial)
			}
		}
		exec("UPDATE job_item SET state = 'failed' WHERE job_id = '2' AND key = 'b'")
		for serial, distributed := range map[string]any{"a": 15, "b": 35, "c": 35, "d": 15, "e": nil} {
			exec("INSERT INTO token (serial, origin, expiry, effective_expiry, assigned_by, enabled, pin_length, last_number, tainted, distribution, method, device_id, nickname, distributed_at,"+
				" issue_count, created_at, version, search) VALUES ($1, 'generated', 9, 9, '', $2, 0, 1, $3, 'confirmed', '', '', '', $4, 1, 1, 1, '')", serial, true, false, distributed)
		}
		if err := db.migrate(ctx, nil); err != nil {
			t.Fatal(err)
		}
		found, err := list(ctx, db, text, "SELECT serial || ' ' || delivered_by FROM token ORDER BY serial")
		if err != nil || !slices.Equal(found, []string{"a 1", "b ", "c 2", "d ", "e "}) {
			t.Errorf("delivered %q, %v", found, err)
		}
	})
}
