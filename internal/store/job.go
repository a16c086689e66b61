package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

const jobColumns columns = "id, name, kind, domain, state, dry_run, rate, total, done, failed, message, actor, key_id, sealed, " +
	"created_at, started_at, progressed_at, ended_at, results_until, about, origin, approve_until, approved_by, loading_until"

func jobValues(j job.Job) []any {
	return []any{j.ID, j.Name, j.Kind, j.Domain, j.State, j.DryRun, j.Rate, j.Total, j.Done, j.Failed, j.Message, jsonOrNull[audit.Actor]{&j.By}, orNull(j.Parameters.KeyID), bytesOrNull(j.Parameters.Blob),
		micros(j.CreatedAt), micros(j.StartedAt), micros(j.ProgressedAt), micros(j.EndedAt), micros(j.ResultsUntil), j.About, j.Origin, micros(j.ApproveUntil), j.ApprovedBy, micros(j.LoadingUntil)}
}

func scanJob(r row) (j job.Job, err error) {
	var by *audit.Actor
	err = r.Scan(&j.ID, &j.Name, &j.Kind, &j.Domain, &j.State, &j.DryRun, &j.Rate, &j.Total, &j.Done, &j.Failed, &j.Message, fromJSON(&by), orZero(&j.Parameters.KeyID), &j.Parameters.Blob,
		moment(&j.CreatedAt), moment(&j.StartedAt), moment(&j.ProgressedAt), moment(&j.EndedAt), moment(&j.ResultsUntil), &j.About, &j.Origin, moment(&j.ApproveUntil), &j.ApprovedBy, moment(&j.LoadingUntil))
	if err == nil {
		j.By = *by // every job was started by somebody
	}
	return j, err
}

// AddJob stores a new job; [fault.JobNameTaken], and [fault.DomainNotFound] if its security domain was deleted meanwhile.
func (db *DB) AddJob(ctx context.Context, j job.Job) error {
	taken := fault.New(fault.JobNameTaken, "there is a job %q already: give this one another name", j.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, j.Domain)
		if err != nil {
			return err
		}
		j.Domain = at
		return db.change(ctx, taken, jobColumns.insert("job"), jobValues(j)...)
	})
}

const itemFields fields = "job_id text, number bigint, key text, state text, code text, message text, key_id bigint, sealed bytea"

var (
	insertItem   = inserting("job_item", itemFields)
	insertResult = inserting("job_result", "job_id text, number bigint, serial text, generation bigint, key_id bigint, sealed bytea")
	finishItem   = updating("job_item", "state text, code text, message text, key_id bigint, sealed bytea", "job_id text, number bigint", "state = 'waiting'")
)

// AddJobItems stores items of a job.
func (db *DB) AddJobItems(ctx context.Context, id string, items []job.Row) error {
	rows := make([][]any, len(items))
	for i, item := range items {
		rows[i] = []any{id, item.Number, item.Key, string(item.State), string(item.Code), item.Message, orNull(item.Input.KeyID), bytesOrNull(item.Input.Blob)}
	}
	// Now and not with the commit: until then they would be in memory, however many they are.
	return db.write(ctx, bulk{insertItem, rows, fault.New(fault.Conflict, "the job has such an item already")})
}

// Job returns a job; [fault.JobNotFound], or [fault.OutOfScope] where the scope of ctx is limited. Within a transaction the row is locked for change.
func (db *DB) Job(ctx context.Context, id string) (job.Job, error) {
	return db.job(ctx, "id", id)
}

// JobNamed returns the job of a name; errors as for Job.
func (db *DB) JobNamed(ctx context.Context, name string) (job.Job, error) {
	return db.job(ctx, "name", name)
}

func (db *DB) job(ctx context.Context, column, is string) (job.Job, error) {
	missing := fault.New(fault.JobNotFound, "there is no such job")
	j, err := one(ctx, db, missing, scanJob, "SELECT "+string(jobColumns)+" FROM job WHERE "+column+" = $1"+db.locked(ctx), is)
	return seen(ctx, j, j.Domain, err, missing, "job", is)
}

// Jobs lists the jobs of the scope of ctx, the newest first.
func (db *DB) Jobs(ctx context.Context, f job.Filter) ([]job.Job, error) {
	var c conditions
	db.within(ctx, &c)
	c.text("kind = $%d", f.Kind)
	if f.Kinds != nil && len(f.Kinds) == 0 {
		return nil, nil
	}
	if f.Kinds != nil {
		among, args := db.among(len(c.args)+1, anys(f.Kinds))
		c.where, c.args = append(c.where, "kind "+among), append(c.args, args...)
	}
	c.text("state = $%d", string(f.State))
	c.text("id < $%d", f.Before)
	return list(ctx, db, scanJob, "SELECT "+string(jobColumns)+" FROM job"+c.clause("id DESC", f.Limit), c.args...)
}

// OpenJobs lists the jobs that are queued or running, the oldest first. It locks nothing.
func (db *DB) OpenJobs(ctx context.Context) ([]job.Job, error) {
	return list(ctx, db, scanJob, "SELECT "+string(jobColumns)+" FROM job WHERE state IN ('queued', 'running') ORDER BY id")
}

const saveJob = "UPDATE job SET (state, message, total, failed, started_at, ended_at, results_until, about, approve_until, approved_by, loading_until) = " +
	"($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) WHERE id = $12 AND state = $13"

func savedJob(j job.Job, was job.State) []any {
	return []any{j.State, j.Message, j.Total, j.Failed, micros(j.StartedAt), micros(j.EndedAt), micros(j.ResultsUntil), j.About, micros(j.ApproveUntil), j.ApprovedBy, micros(j.LoadingUntil), j.ID, was}
}

// SaveJob stores the state, message, numbers, times and approval of a job that is still in state was; else [fault.Conflict].
func (db *DB) SaveJob(ctx context.Context, j job.Job, was job.State) error {
	moved := fault.New(fault.Conflict, "the job has come to another state meanwhile: look at it again")
	return db.change(ctx, moved, saveJob, savedJob(j, was)...)
}

// MoveLoading stores what SaveJob does, of a job that is loading under a lease until was; [fault.JobOver] if it is not any more.
func (db *DB) MoveLoading(ctx context.Context, j job.Job, was time.Time) error {
	over := fault.New(fault.JobOver, "the job was cancelled, or took too long, before all of its items were stored: start it again")
	return db.change(ctx, over, saveJob+" AND loading_until = $14", append(savedJob(j, job.Loading), micros(was))...)
}

// LapseLoading ends the leases of all jobs that are loading.
func (db *DB) LapseLoading(ctx context.Context) error {
	_, err := db.exec(ctx, "UPDATE job SET loading_until = 0 WHERE state = 'loading'")
	return err
}

// DropLoading removes a job with its items, if it is loading.
func (db *DB) DropLoading(ctx context.Context, id string) error {
	_, err := db.dropLoading(ctx, id, math.MaxInt64)
	return err
}

// DropAbandoned removes the jobs that are loading and whose lease is not after now, and returns how many there were.
func (db *DB) DropAbandoned(ctx context.Context, now time.Time) (int, error) {
	ids, err := list(ctx, db, text, "SELECT id FROM job WHERE state = 'loading' AND loading_until <= $1", now.UnixMicro())
	if err != nil {
		return 0, err
	}
	dropped := 0
	for _, id := range ids {
		did, err := db.dropLoading(ctx, id, now.UnixMicro())
		if err != nil {
			return dropped, err
		}
		if did {
			dropped++
		}
	}
	return dropped, nil
}

// dropLoading removes a job that is loading and whose lease is not after a moment. First nobody can store more of it, whatever his clock says.
func (db *DB) dropLoading(ctx context.Context, id string, until int64) (bool, error) {
	n, err := db.exec(ctx, "UPDATE job SET loading_until = 0 WHERE id = $1 AND state = 'loading' AND loading_until <= $2", id, until)
	if err != nil || n == 0 {
		return false, err
	}
	const drop = "DELETE FROM job_item WHERE job_id = $1 AND number IN (SELECT number FROM job_item WHERE job_id = $1 ORDER BY number LIMIT $2)"
	for n = job.ItemsAtOnce; n == job.ItemsAtOnce; {
		if n, err = db.exec(ctx, drop, id, job.ItemsAtOnce); err != nil {
			return false, err
		}
	}
	// Of two who remove one, the second finds fewer items since the first has just removed them, and leaves the rest to him.
	n, err = db.exec(ctx, "DELETE FROM job WHERE id = $1 AND state = 'loading' AND NOT EXISTS (SELECT 1 FROM job_item WHERE job_id = $1)", id)
	return n > 0, err
}

func scanItem(r row) (i job.Row, err error) {
	err = r.Scan(&i.Number, &i.Key, &i.State, &i.Code, &i.Message, orZero(&i.Input.KeyID), &i.Input.Blob)
	return i, err
}

const itemSelect = "SELECT number, key, state, code, message, key_id, sealed FROM job_item"

// ClaimJobItems returns and locks up to limit waiting items from a number on, passing over those that others have locked.
func (db *DB) ClaimJobItems(ctx context.Context, id string, from, limit int) ([]job.Row, error) {
	if db.current(ctx) == nil {
		return nil, fmt.Errorf("store: items are claimed within a transaction only")
	}
	return list(ctx, db, scanItem, itemSelect+" WHERE job_id = $1 AND state = 'waiting' AND number >= $2 ORDER BY number LIMIT $3"+db.locksFree(), id, from, limit)
}

// FinishJobItems stores the outcomes of waiting items, with what is left of their inputs, and results; [fault.Conflict] if one is not waiting any more.
func (db *DB) FinishJobItems(ctx context.Context, id string, items []job.Row, results []job.Result) error {
	finished := bulk{finishItem, make([][]any, len(items)), fault.New(fault.Conflict, "an item of the job was finished meanwhile")}
	for i, item := range items {
		finished.rows[i] = []any{string(item.State), string(item.Code), item.Message, orNull(item.Input.KeyID), bytesOrNull(item.Input.Blob), id, item.Number}
	}
	kept := bulk{insertResult, make([][]any, len(results)), finished.other}
	for i, r := range results {
		kept.rows[i] = []any{id, r.Number, r.Key, orNull(r.Generation), r.Sealed.KeyID, r.Sealed.Blob}
	}
	return db.atLast(ctx, finished, kept)
}

// CountJobItems adds finished items to the counters of a running job and ends it if all are finished, which keeps its results
// for life; [fault.JobOver] if it does not run. It returns the job.
func (db *DB) CountJobItems(ctx context.Context, id string, done, failed int, at time.Time, life time.Duration) (j job.Job, err error) {
	over := fault.New(fault.JobOver, "the job does not run any more")
	err = db.Transact(ctx, func(ctx context.Context) error {
		j, err = one(ctx, db, over, scanJob, countItems, id, int64(done), int64(failed), at.UnixMicro(), at.Add(life).UnixMicro())
		return err
	})
	return j, err
}

// countItems ends the job with its last item.
var countItems = func() string {
	const finished = "done + failed + CAST($2 AS BIGINT) + CAST($3 AS BIGINT) = total"
	return "UPDATE job SET done = done + CAST($2 AS BIGINT), failed = failed + CAST($3 AS BIGINT), progressed_at = CAST($4 AS BIGINT), " +
		"state = CASE WHEN NOT " + finished + " THEN state WHEN failed + CAST($3 AS BIGINT) > 0 THEN 'done_with_errors' ELSE 'done' END, " +
		"ended_at = CASE WHEN " + finished + " THEN CAST($4 AS BIGINT) END, results_until = CASE WHEN " + finished + " THEN CAST($5 AS BIGINT) END " +
		"WHERE id = $1 AND state = 'running' RETURNING " + string(jobColumns)
}()

// RetryJobItems makes the failed items of a job waiting ones and returns how many they were.
func (db *DB) RetryJobItems(ctx context.Context, id string) (int, error) {
	return db.exec(ctx, "UPDATE job_item SET state = 'waiting', code = '', message = '' WHERE job_id = $1 AND state = 'failed'", id)
}

// JobItems lists items by number.
func (db *DB) JobItems(ctx context.Context, id string, f job.ItemFilter) ([]job.Row, error) {
	c := conditions{}
	c.and("job_id = $%d", id)
	c.and("number > $%d", f.After)
	c.text("state = $%d", string(f.State))
	return list(ctx, db, scanItem, itemSelect+c.clause("number", f.Limit), c.args...)
}

// JobResults lists up to limit results with numbers above after, of tokens that are in the scope of ctx now, and so are their users: others may have moved
// away since.
func (db *DB) JobResults(ctx context.Context, id string, after, limit int) ([]job.Result, error) {
	scan := func(r row) (x job.Result, err error) {
		err = r.Scan(&x.Number, &x.Key, orZero(&x.Generation), &x.Sealed.KeyID, &x.Sealed.Blob)
		return x, err
	}
	within, args := db.resultsInScope(ctx, 3)
	return list(ctx, db, scan, "SELECT number, serial, generation, key_id, sealed FROM job_result WHERE job_id = $1 AND number > $2"+within+" ORDER BY number LIMIT $3",
		append([]any{id, after, limit}, args...)...)
}

// JobResultsLeft counts the results that JobResults lists.
func (db *DB) JobResultsLeft(ctx context.Context, id string) (int, error) {
	within, args := db.resultsInScope(ctx, 1)
	n, err := one(ctx, db, nil, number, "SELECT COUNT(*) FROM job_result WHERE job_id = $1"+within, append([]any{id}, args...)...)
	return int(n), err
}

func (db *DB) resultsInScope(ctx context.Context, n int) (within string, args []any) {
	within, args = db.ofScope(ctx, "serial", domain.Tokens, n)
	if users, more := db.inScope(ctx, n+len(args)); users != "" {
		within += " AND NOT EXISTS (SELECT 1 FROM user_account WHERE id = (SELECT user_id FROM token WHERE serial = job_result.serial) AND NOT (" + users + "))"
		args = append(args, more...)
	}
	return within, args
}

// resultsAtOnce is how many results are destroyed by one transaction.
const resultsAtOnce = 5000

// DropJobResults destroys the results, inputs and parameters of jobs whose ResultsUntil is not after now, and returns how
// many jobs there were.
func (db *DB) DropJobResults(ctx context.Context, now time.Time) (int, error) {
	due, err := list(ctx, db, text, "SELECT id FROM job WHERE results_until <= $1 AND (sealed IS NOT NULL OR EXISTS (SELECT 1 FROM job_result WHERE job_id = job.id) "+
		"OR EXISTS (SELECT 1 FROM job_item WHERE job_id = job.id AND key_id IS NOT NULL))", now.UnixMicro())
	if err != nil {
		return 0, err
	}
	dropped := 0
	for _, id := range due {
		_, all, err := db.dropOf(ctx, id, now, "UPDATE job SET key_id = NULL, sealed = NULL WHERE id = $1")
		if err != nil {
			return dropped, err
		}
		for _, drop := range []string{
			"DELETE FROM job_result WHERE job_id = $1 AND number IN (SELECT number FROM job_result WHERE job_id = $1 ORDER BY number LIMIT $2)",
			"UPDATE job_item SET key_id = NULL, sealed = NULL WHERE job_id = $1 AND number IN (SELECT number FROM job_item WHERE job_id = $1 AND key_id IS NOT NULL ORDER BY number LIMIT $2)",
		} {
			for n := resultsAtOnce; all && n == resultsAtOnce; {
				if n, all, err = db.dropOf(ctx, id, now, drop, resultsAtOnce); err != nil {
					return dropped, err
				}
			}
		}
		if all {
			dropped++
		}
	}
	return dropped, nil
}

// dropOf destroys some of what a job left, unless somebody has resumed it meanwhile, and tells how much it was. Whoever resumes it waits for that, and
// sees then that its time is over.
func (db *DB) dropOf(ctx context.Context, id string, now time.Time, drop string, args ...any) (n int, over bool, err error) {
	err = db.Transact(ctx, func(ctx context.Context) error {
		still, err := list(ctx, db, text, "SELECT id FROM job WHERE id = $1 AND results_until <= $2"+db.locked(ctx), id, now.UnixMicro())
		if over = len(still) > 0; err != nil || !over {
			return err
		}
		n, err = db.exec(ctx, drop, append([]any{id}, args...)...)
		return err
	})
	return n, over, err
}
