package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// A Registry keeps the deployment's jobs, and does them while [Registry.Run] runs.
type Registry struct {
	Store  Store
	Keys   Keyring
	Now    func() time.Time
	Logger *slog.Logger
	// Domains finds what belongs to the security domain of a job: a domain.Registry.
	Domains Domains
	// Ended, if set, is told of each job that has come to its end or cannot go on, in the transaction that ends it. Where it fails, the job ends untold.
	Ended func(ctx context.Context, j Job) error
	// Asked, if set, is told of each job that waits to be approved, in the transaction that has it wait.
	Asked func(ctx context.Context, j Job) error
	// Reliable tells whether this server's clock can be relied on now; nil for always.
	Reliable func() bool

	workers map[string]Worker

	mu    sync.Mutex
	woken chan struct{} // closed when there may be something to do
	turn  int           // which job's it is
	alone map[string]bool
}

// Domains are the security domains of the deployment.
type Domains interface {
	// Scope is that of a domain and all below it; [fault.DomainNotFound].
	Scope(ctx context.Context, top string) (domain.Scope, error)
}

// Register adds a worker, before the first job of its kind.
func (r *Registry) Register(w Worker) {
	if r.workers == nil {
		r.workers = map[string]Worker{}
	}
	r.workers[w.Kind] = w
}

// Right is what cancelling and resuming a job takes, "" if no worker knows its kind.
func (r *Registry) Right(j Job) string { return r.workers[j.Kind].Right }

// Kinds are those of jobs whose right somebody has.
func (r *Registry) Kinds(may func(right string) bool) []string {
	kinds := []string{}
	for kind, w := range r.workers {
		if may(w.Right) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// An Order asks for a job.
type Order struct {
	Kind       string
	Name       string // unique, 1 to 128 characters; "" for the kind and the time
	DryRun     bool
	Rate       int                       // items a second at most; 0 for no limit
	Parameters []byte                    // of all items; sealed
	About      string                    // what the parameters say, for whoever is to approve the job; never a secret
	Items      iter.Seq2[NewItem, error] // in the order of the job; an error ends it
	// Total is how many items there are, if that is known: a job of many takes its name before it asks for the first of them.
	Total int
}

// Start stores a job and starts it. It is limited to the scope of ctx, and one without items is done at once. One that has to be approved waits
// for that.
//
// All of it is done in the transaction of ctx if there is one, which holds others up for as long as the items take. Without one, only some
// are stored by each transaction, and nothing is left of the job after an error. The items are asked for outside of transactions then, and may come slowly.
// The job that is returned has its ID also after an error.
func (r *Registry) Start(ctx context.Context, o Order) (Job, error) {
	if _, known := r.workers[o.Kind]; !known {
		return Job{}, fmt.Errorf("job: nobody does %q", o.Kind)
	}
	now := r.Now().UTC()
	if o.Name == "" {
		o.Name = DefaultName(o.Kind, now)
	}
	if err := checkName(o.Name); err != nil {
		return Job{}, err
	}
	if o.Rate < 0 {
		return Job{}, fault.New(fault.Invalid, "a job does at least one item a second: leave the limit out for none")
	}
	actor := audit.ActorFrom(ctx)
	j := Job{
		ID: uuid.Must(uuid.NewV7()).String(), Name: o.Name, Kind: o.Kind, DryRun: o.DryRun, Rate: o.Rate,
		By: actor, Origin: actor.Origin, CreatedAt: now,
	}
	if scope := domain.ScopeFrom(ctx); scope.Limited() {
		j.Domain = scope.Top()
	}
	var err error
	if j.Parameters, err = r.seal(o.Parameters, seed.OfJob(j.ID)); err != nil {
		return Job{}, err
	}
	l := &load{Registry: r, job: j, about: o.About}
	if o.Total > ItemsAtOnce {
		err = l.store(ctx)
	}
	if err == nil {
		err = l.read(ctx, o.Items)
	}
	if err == nil {
		err = l.start(ctx)
	}
	if err != nil {
		l.undo(ctx)
		return j, err
	}
	r.wakeSoon()
	return l.job, nil
}

// DefaultName is the name of a job about something that was not given one (section 7.2). Scripts start several in a millisecond.
func DefaultName(about string, now time.Time) string {
	const most = 100
	for utf8.RuneCountInString(about) > most {
		_, last := utf8.DecodeLastRuneInString(about)
		about = about[:len(about)-last]
	}
	return about + " " + now.UTC().Format("2006-01-02 15:04:05.000000")
}

func checkName(name string) error {
	n := utf8.RuneCountInString(name)
	unprintable := strings.IndexFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0
	if n < 1 || n > 128 || !utf8.ValidString(name) || unprintable || strings.ContainsAny(name, "&%<>") || name != strings.TrimSpace(name) {
		return fault.New(fault.JobNameBad, "the name of a job takes 1 to 128 characters, none of them & %% < >, and no blanks at its ends")
	}
	return nil
}

func (r *Registry) seal(secret []byte, b seed.Binding) (seed.Sealed, error) {
	if secret == nil {
		return seed.Sealed{}, nil
	}
	return r.Keys.Seal(secret, b)
}

// record keeps an event of a job.
func (r *Registry) record(ctx context.Context, j Job, action string, details audit.Details) error {
	return r.Store.Record(ctx, audit.New(audit.WithCorrelation(ctx, j.ID), r.Now(), action, "job:"+j.ID, details))
}

// Show returns a job by its ID or its name; [fault.JobNotFound].
func (r *Registry) Show(ctx context.Context, idOrName string) (Job, error) {
	const canonical = 36 // characters of an ID; other forms of a UUID may be names
	if len(idOrName) == canonical && uuid.Validate(idOrName) == nil {
		return r.Store.Job(ctx, idOrName)
	}
	return r.Store.JobNamed(ctx, idOrName)
}

// List returns the jobs that f selects, the newest first.
func (r *Registry) List(ctx context.Context, f Filter) ([]Job, error) { return r.Store.Jobs(ctx, f) }

// Items returns items of a job by number; [fault.JobNotFound].
func (r *Registry) Items(ctx context.Context, id string, f ItemFilter) ([]Row, error) {
	if _, err := r.Store.Job(ctx, id); err != nil {
		return nil, err
	}
	return r.Store.JobItems(ctx, id, f)
}

// Cancel ends a job: what is done stays, and no item is begun any more. [fault.JobOver] if it has ended.
func (r *Registry) Cancel(ctx context.Context, id string) (Job, error) {
	return r.move(ctx, id, "job.cancel", func(ctx context.Context, j *Job) error {
		return r.stop(ctx, j, "")
	})
}

// stop ends a job before its last item; message says why, "" if whoever cancelled it knows.
func (r *Registry) stop(ctx context.Context, j *Job, message string) error {
	if j.State.Over() {
		return fault.New(fault.JobOver, "this job has ended already: it is %s", j.State)
	}
	settings, err := r.Store.Settings(ctx)
	if err != nil {
		return err
	}
	now := r.Now().UTC()
	if j.State == Loading { // whoever loads it stops; a part of the items is of no use
		message, settings.ResultLife = cmp.Or(message, "it was stopped before all of its items were stored"), 0
	}
	j.State, j.Message, j.EndedAt, j.ResultsUntil = Cancelled, message, now, now.Add(settings.ResultLife)
	return nil
}

// Resume goes on with a job that was cancelled, exactly where it stopped. With failed, the items that
// failed are tried again. A job that has nothing left to do, or that runs, is returned as it is: servers go on with jobs by
// themselves after a crash. What has to be approved, and was not, waits for that again. [fault.JobExpired] if the job's results, and with them what it works with, are gone.
func (r *Registry) Resume(ctx context.Context, id string, failed bool) (Job, error) {
	j, err := r.move(ctx, id, "job.resume", func(ctx context.Context, j *Job) error {
		if !j.State.Over() {
			return errUnchanged
		}
		if !j.LoadingUntil.IsZero() {
			return fault.New(fault.JobExpired, "this job was stopped before all of its items were stored: start another one")
		}
		if !j.ResultsUntil.IsZero() && !r.Now().Before(j.ResultsUntil) {
			return fault.New(fault.JobExpired, "this job ended too long ago to go on: start another one")
		}
		if failed {
			if _, err := r.Store.RetryJobItems(ctx, j.ID); err != nil {
				return err
			}
			j.Failed = 0
		}
		if j.Waiting() == 0 {
			return errUnchanged
		}
		j.State, j.Message, j.EndedAt, j.ResultsUntil = Queued, "", time.Time{}, time.Time{}
		if err := r.demand(ctx, j, j.About); err != nil {
			return err
		}
		return r.requested(ctx, *j)
	})
	if errors.Is(err, errUnchanged) {
		return r.Store.Job(ctx, j.ID)
	}
	if err == nil {
		r.wakeSoon()
	}
	return j, err
}

var errUnchanged = errors.New("job: nothing to change")

// move changes a job and records the action, in one transaction.
func (r *Registry) move(ctx context.Context, idOrName, action string, change func(context.Context, *Job) error) (Job, error) {
	found, err := r.Show(ctx, idOrName)
	if err != nil {
		return Job{}, err
	}
	j := found
	err = r.ending(ctx, func(ctx context.Context) error {
		if j, err = r.Store.Job(ctx, found.ID); err != nil {
			return err
		}
		was := j.State
		if err := change(ctx, &j); err != nil {
			return err
		}
		if err := r.Store.SaveJob(ctx, j, was); err != nil {
			return err
		}
		details := audit.Details{"kind": j.Kind, "name": j.Name, "done": j.Done, "failed": j.Failed, "items": j.Total}
		if j.Message != "" {
			details["message"] = j.Message
		}
		return r.record(ctx, j, action, details)
	})
	return j, err
}

// Parameters are what a job was started with; nil for none, and after they are destroyed.
func (r *Registry) Parameters(ctx context.Context, j Job) ([]byte, error) {
	return r.opened(ctx, j.Parameters, seed.OfJob(j.ID))
}

// ResultsLeft counts what Results goes through.
func (r *Registry) ResultsLeft(ctx context.Context, id string) (int, error) {
	return r.Store.JobResultsLeft(ctx, id)
}

// Results goes through the results of a job, in the order of its items, opened. Whoever uses one erases it. After an error it ends.
func (r *Registry) Results(ctx context.Context, id string) iter.Seq2[Item, error] {
	const page = 200
	return func(yield func(Item, error) bool) {
		for after := 0; ; {
			some, err := r.Store.JobResults(ctx, id, after, page)
			if err != nil {
				yield(Item{}, err)
				return
			}
			for _, result := range some {
				plain, err := r.Keys.Open(ctx, result.Sealed, seed.OfJobResult(id, result.Number))
				if !yield(Item{Number: result.Number, Key: result.Key, Input: plain}, err) || err != nil {
					return
				}
				after = result.Number
			}
			if len(some) < page {
				return
			}
		}
	}
}

// Abandon has the jobs that are being loaded count as abandoned. A server that has the database for itself calls it before it starts the first one: whoever loaded them was killed.
func (r *Registry) Abandon(ctx context.Context) error { return r.Store.LapseLoading(ctx) }

// CleanUp ends the jobs that nobody approved in time, removes those whose server stopped while it loaded them, and destroys results, inputs and
// parameters whose time is over. It is called now and then.
func (r *Registry) CleanUp(ctx context.Context) error {
	lapsed := r.lapse(ctx)
	n, abandoned := r.Store.DropAbandoned(ctx, r.Now().UTC())
	if n > 0 && r.Logger != nil {
		r.Logger.WarnContext(ctx, "jobs were removed since their items were not stored to the end: have them started again", "jobs", n)
	}
	_, err := r.Store.DropJobResults(ctx, r.Now().UTC()) // whatever became of the others: secrets end in time
	return errors.Join(lapsed, abandoned, err)
}
