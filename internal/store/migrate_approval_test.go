package store

import (
	"testing"

	"github.com/tallystick/tallystick/internal/job"
)

// Jobs keep their states, and can have the new one; keys that are there go back to themselves.
func TestApprovalMigration(t *testing.T) {
	eachAt(t, 34, func(t *testing.T, db *DB) {
		ctx := t.Context()
		exec := executes(t, db)
		before := []job.State{job.Queued, job.Running, job.Done, job.DoneWithErrors, job.Failed, job.Cancelled}
		for i, state := range before {
			exec("INSERT INTO job (id, name, kind, state, dry_run, rate, total, done, failed, message, actor, created_at) VALUES ($1, $1, 'test', $2, $3, 0, 1, 0, 0, '', '{\"actor\":\"key:x\"}', 1)",
				string(rune('1'+i)), string(state), false)
		}
		exec("INSERT INTO job_item (job_id, number, key, state, code, message) VALUES ('1', 1, 'a', 'waiting', '', '')")
		exec("INSERT INTO api_key (id, name, role, hash, created_at) VALUES ('00000000000000ab', 'x', 'auditor', $1, 1)", []byte{1})
		if err := db.migrate(ctx, nil); err != nil {
			t.Fatal(err)
		}
		for i, state := range before {
			j, err := db.Job(ctx, string(rune('1'+i)))
			if err != nil || j.State != state || j.Origin != "" || !j.ApproveUntil.IsZero() {
				t.Errorf("%s: %+v, %v", state, j, err)
			}
		}
		if open, err := db.OpenJobs(ctx); err != nil || len(open) != 2 {
			t.Errorf("open %+v, %v", open, err)
		}
		if items, err := db.JobItems(ctx, "1", job.ItemFilter{}); err != nil || len(items) != 1 {
			t.Errorf("items %+v, %v", items, err)
		}
		exec("UPDATE job SET state = 'awaiting_approval' WHERE id = '1'")
		if _, err := db.exec(ctx, "UPDATE job SET state = 'unknown' WHERE id = '1'"); err == nil {
			t.Error("the database takes any state")
		}
		if k, err := db.APIKey(ctx, "00000000000000ab"); err != nil || k.Origin != k.ID {
			t.Errorf("%+v, %v", k, err)
		}
	})
}
