package store

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/job"
)

// Jobs keep their states, and can have the new one.
func TestLoadingMigration(t *testing.T) {
	eachAt(t, 54, func(t *testing.T, db *DB) {
		ctx := t.Context()
		exec := executes(t, db)
		before := []job.State{job.AwaitingApproval, job.Queued, job.Running, job.Done, job.DoneWithErrors, job.Failed, job.Cancelled}
		for i, state := range before {
			exec("INSERT INTO job (id, name, kind, state, dry_run, rate, total, done, failed, message, actor, created_at) VALUES ($1, $1, 'test', $2, $3, 0, 1, 0, 0, '', '{\"actor\":\"key:x\"}', 1)",
				string(rune('1'+i)), string(state), false)
		}
		exec("INSERT INTO job_item (job_id, number, key, state, code, message) VALUES ('1', 1, 'a', 'waiting', '', '')")
		if err := db.migrate(ctx, nil); err != nil {
			t.Fatal(err)
		}
		for i, state := range before {
			j, err := db.Job(ctx, string(rune('1'+i)))
			if err != nil || j.State != state || !j.LoadingUntil.IsZero() {
				t.Errorf("%s: %+v, %v", state, j, err)
			}
		}
		if open, err := db.OpenJobs(ctx); err != nil || len(open) != 2 {
			t.Errorf("open %+v, %v", open, err)
		}
		if items, err := db.JobItems(ctx, "1", job.ItemFilter{}); err != nil || len(items) != 1 {
			t.Errorf("items %+v, %v", items, err)
		}
		exec("UPDATE job SET (state, loading_until) = ('loading', 1) WHERE id = '1'")
		if n, err := db.DropAbandoned(ctx, time.UnixMicro(1)); err != nil || n != 1 {
			t.Errorf("dropped %d, %v", n, err)
		}
		if _, err := db.exec(ctx, "UPDATE job SET state = 'unknown' WHERE id = '2'"); err == nil {
			t.Error("the database takes any state")
		}
	})
}
