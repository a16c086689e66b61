package job

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
)

// A Filter selects jobs; its zero value selects all.
type Filter struct {
	Kind   string
	Kinds  []string // only these; nil for all
	State  State
	Before string // only jobs before the one with this ID: the next page
	Limit  int    // at most so many; 0 for all
}

// An ItemFilter selects items of a job.
type ItemFilter struct {
	State ItemState
	After int // only those with higher numbers: the next page
	Limit int // at most so many; 0 for all
}

// Store is what jobs need of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Joins tells whether ctx carries a transaction, which Transact would join.
	Joins(ctx context.Context) bool
	// Writers is how many transactions can write at the same time to some use.
	Writers() int
	// AddJob stores a new job; [fault.JobNameTaken], and [fault.DomainNotFound] if its security domain was deleted meanwhile.
	AddJob(ctx context.Context, j Job) error
	// AddJobItems stores items of a job.
	AddJobItems(ctx context.Context, id string, rows []Row) error
	// MoveLoading stores what SaveJob does, of a job that is loading under a lease until was; [fault.JobOver] if it is not any more.
	MoveLoading(ctx context.Context, j Job, was time.Time) error
	// LapseLoading ends the leases of all jobs that are loading.
	LapseLoading(ctx context.Context) error
	// DropLoading removes a job with its items, if it is loading.
	DropLoading(ctx context.Context, id string) error
	// DropAbandoned removes the jobs that are loading and whose lease is not after now, and returns how many there were.
	DropAbandoned(ctx context.Context, now time.Time) (int, error)
	// Job returns a job; [fault.JobNotFound], or [fault.OutOfScope] where the scope of ctx is limited. Within a transaction the row is locked for change.
	Job(ctx context.Context, id string) (Job, error)
	// JobNamed returns the job of a name; errors as for Job.
	JobNamed(ctx context.Context, name string) (Job, error)
	// Jobs lists the jobs of the scope of ctx, the newest first.
	Jobs(ctx context.Context, f Filter) ([]Job, error)
	// OpenJobs lists the jobs that are queued or running, the oldest first. It locks nothing.
	OpenJobs(ctx context.Context) ([]Job, error)
	// SaveJob stores the state, message, total, times and approval of a job that is still in state was; else [fault.Conflict].
	SaveJob(ctx context.Context, j Job, was State) error
	// ClaimJobItems returns and locks up to limit waiting items from a number on, passing over those that others have locked.
	ClaimJobItems(ctx context.Context, id string, from, limit int) ([]Row, error)
	// FinishJobItems stores the outcomes of waiting items, and results; [fault.Conflict] if one is not waiting any more.
	FinishJobItems(ctx context.Context, id string, rows []Row, results []Result) error
	// CountJobItems adds finished items to the counters of a running job and ends it if all are finished, which keeps its results
	// for life; [fault.JobOver] if it does not run. It returns the job.
	CountJobItems(ctx context.Context, id string, done, failed int, at time.Time, life time.Duration) (Job, error)
	// Settings returns the deployment's settings; it locks nothing.
	Settings(ctx context.Context) (policy.Settings, error)
	// RetryJobItems makes the failed items of a job waiting ones and returns how many they were.
	RetryJobItems(ctx context.Context, id string) (int, error)
	// JobItems lists items by number.
	JobItems(ctx context.Context, id string, f ItemFilter) ([]Row, error)
	// JobResults lists up to limit results with numbers above after, of tokens that are in the scope of ctx now, and whose users are.
	JobResults(ctx context.Context, id string, after, limit int) ([]Result, error)
	// JobResultsLeft counts the results that JobResults lists.
	JobResultsLeft(ctx context.Context, id string) (int, error)
	// DropJobResults destroys the results, inputs and parameters of jobs whose ResultsUntil is not after now, and returns how
	// many jobs there were.
	DropJobResults(ctx context.Context, now time.Time) (int, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Keyring seals and opens secrets: a seed.Keyring.
type Keyring interface {
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
}
