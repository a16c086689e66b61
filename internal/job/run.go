package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

const (
	pollEvery = time.Second            // for jobs that another server was asked for
	holdFor   = 100 * time.Millisecond // while a job's rate leaves nothing to do: the parts of a second add up to its rate
	outage    = time.Second            // between tries while the database cannot be reached
	patience  = 4                      // tries of a chunk that meets others
)

// Run does the chunks of open jobs until ctx ends: as many at a time as the database has use for, of each job in turn. Any number of
// servers may do so on one database.
func (r *Registry) Run(ctx context.Context) {
	var all sync.WaitGroup
	for range r.Store.Writers() {
		all.Go(func() {
			for ctx.Err() == nil {
				woken := r.waken()
				if did, err := r.next(ctx); errors.Is(err, errHeld) {
					wait(ctx, woken, holdFor)
				} else if err != nil {
					r.note(ctx, "doing jobs", err)
					wait(ctx, nil, outage)
				} else if !did {
					wait(ctx, woken, pollEvery)
				}
			}
		})
	}
	all.Wait()
}

// RunAll does the chunks of open jobs until none is left that can be done now.
func (r *Registry) RunAll(ctx context.Context) error {
	for {
		if did, err := r.next(ctx); errors.Is(err, errHeld) {
			return nil
		} else if err != nil || !did {
			return err
		}
	}
}

// waken is closed when a job was started or resumed here.
func (r *Registry) waken() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.woken == nil {
		r.woken = make(chan struct{})
	}
	return r.woken
}

func (r *Registry) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.woken != nil {
		close(r.woken)
		r.woken = nil
	}
}

// commitsWithin is when the transaction of a caller, that an order is part of, has most likely been committed.
const commitsWithin = 50 * time.Millisecond

// wakeSoon wakes whoever waits, now and once more: the order may be part of a transaction that nobody else sees yet.
func (r *Registry) wakeSoon() {
	r.wake()
	time.AfterFunc(commitsWithin, r.wake)
}

func wait(ctx context.Context, woken <-chan struct{}, longest time.Duration) {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-woken:
	case <-timer.C:
	}
}

func (r *Registry) note(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil && r.Logger != nil {
		r.Logger.ErrorContext(ctx, doing, "error", err)
	}
}

// errHeld says that there is something to do, but that the rate of its job leaves nothing now.
var errHeld = errors.New("job: held by its rate")

// next does one chunk of the open job whose turn it is, or of the one after it, and tells whether there was one.
func (r *Registry) next(ctx context.Context) (bool, error) {
	open, err := r.Store.OpenJobs(ctx)
	if err != nil || len(open) == 0 {
		return false, err
	}
	r.mu.Lock()
	r.turn++
	turn := r.turn
	r.mu.Unlock()
	var held error
	for i := range open {
		j := open[(turn+i)%len(open)]
		did, err := r.step(ctx, j)
		switch {
		case errors.Is(err, errHeld):
			held = err
		case errors.Is(err, fault.JobOver): // cancelled meanwhile, or ended by another server
		case did || err != nil:
			return did, err
		}
	}
	return false, held
}

// step does one chunk of a job and tells whether it did anything.
func (r *Registry) step(ctx context.Context, j Job) (bool, error) {
	w, known := r.workers[j.Kind]
	if !known {
		return false, nil // of a newer release that shares the database
	}
	limit := w.Chunk
	if limit == 0 {
		limit = DefaultChunk
	}
	if j.Rate > 0 {
		if limit = min(limit, r.allowed(j)); limit == 0 {
			return false, errHeld
		}
	}
	if w.DryAlone && j.DryRun {
		if !r.begin(j.ID) {
			return false, nil
		}
		defer r.finished(j.ID)
	}
	ctx, err := r.onBehalf(ctx, j)
	if err != nil {
		return false, err
	}
	if w.Prepare != nil {
		if err := w.Prepare(ctx); err != nil {
			return false, err
		}
	}
	if j.State == Queued {
		if err := r.start(ctx, j.ID); err != nil {
			return false, err
		}
	}
	return r.chunk(ctx, w, j, limit)
}

// onBehalf is ctx with who started a job, and with the scope of its domain as the tree is now.
func (r *Registry) onBehalf(ctx context.Context, j Job) (context.Context, error) {
	ctx = audit.WithCorrelation(audit.WithActor(ctx, j.By), j.ID)
	var scope domain.Scope
	var err error
	if j.Domain != domain.Root {
		scope, err = r.Domains.Scope(ctx, j.Domain)
	}
	return domain.WithScope(ctx, scope), err
}

// Within is ctx for a chunk of a job that may have been started by a release that kept the security domain of imports and the like among their
// parameters, before jobs had one: an upgrade in the middle of it changes nothing.
func (r *Registry) Within(ctx context.Context, parameters []byte) (context.Context, error) {
	var earlier struct {
		Domain string `json:"domain"`
	}
	if err := json.Unmarshal(parameters, &earlier); err != nil || earlier.Domain == domain.Root || domain.ScopeFrom(ctx).Limited() {
		return ctx, err
	}
	scope, err := r.Domains.Scope(ctx, earlier.Domain)
	return domain.WithScope(ctx, scope), err
}

// begin takes a job for this server's only chunk of it; false if there is one already.
func (r *Registry) begin(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alone == nil {
		r.alone = map[string]bool{}
	}
	if r.alone[id] {
		return false
	}
	r.alone[id] = true
	return true
}

func (r *Registry) finished(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.alone, id)
}

// allowed is how many items the limit of a job's rate leaves now.
func (r *Registry) allowed(j Job) int {
	passed := r.Now().Sub(j.ProgressedAt)
	if j.ProgressedAt.IsZero() || j.ProgressedAt.After(clock.Late(r.Now(), 0, r.Reliable)) {
		return j.Rate
	}
	n := int(min(passed.Seconds(), 1) * float64(j.Rate))
	if n < int(holdFor.Seconds()*float64(j.Rate)) { // chunks of a few items would cost more than they do, and lose the fractions
		return 0
	}
	return n
}

// start marks a queued job as running.
func (r *Registry) start(ctx context.Context, id string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		j, err := r.Store.Job(ctx, id)
		if err != nil || j.State != Queued { // another was faster
			return err
		}
		j.State = Running
		if j.StartedAt.IsZero() {
			j.StartedAt = r.Now().UTC()
		}
		if err := r.Store.SaveJob(ctx, j, Queued); err != nil {
			return err
		}
		return r.record(ctx, j, "job.start", nil)
	})
}

// chunk does a chunk of a job and tells whether there was one.
func (r *Registry) chunk(ctx context.Context, w Worker, j Job, limit int) (bool, error) {
	var claimed []Row
	for try := 1; ; try++ {
		var err error
		claimed, err = r.do(ctx, w, j, 1, limit)
		switch {
		case err == nil:
			return len(claimed) > 0, nil
		case errors.Is(err, fault.Unavailable), errors.Is(err, fault.JobOver), ctx.Err() != nil, len(claimed) == 0:
			return false, err
		case errors.Is(err, fault.Conflict) && try < patience:
			continue
		}
		if len(claimed) == 1 && !errors.Is(err, fault.Conflict) {
			return true, r.refuse(ctx, j, claimed[0], err)
		}
		break
	}
	for _, row := range claimed {
		if err := r.single(ctx, w, j, row); err != nil {
			return true, err
		}
	}
	return true, nil
}

// single does one item of a chunk that was undone. If it is refused, it fails alone.
func (r *Registry) single(ctx context.Context, w Worker, j Job, row Row) error {
	var err error
	for range patience {
		var claimed []Row
		claimed, err = r.do(ctx, w, j, row.Number, 1)
		if err == nil || errors.Is(err, fault.Unavailable) || errors.Is(err, fault.JobOver) || ctx.Err() != nil {
			return err
		}
		if len(claimed) == 1 && claimed[0].Number != row.Number {
			return nil // another has taken it, and what this one met is an item whose turn comes
		}
		if !errors.Is(err, fault.Conflict) {
			break
		}
	}
	return r.refuse(ctx, j, row, err)
}

// refuse has an item fail, unless another has finished it.
func (r *Registry) refuse(ctx context.Context, j Job, row Row, cause error) error {
	if fault.CodeOf(cause) == "" {
		r.note(ctx, "doing item "+row.Key+" of a job of kind "+j.Kind, cause)
	}
	return r.ending(ctx, func(ctx context.Context) error {
		claimed, err := r.Store.ClaimJobItems(ctx, j.ID, row.Number, 1)
		if err != nil || len(claimed) == 0 || claimed[0].Number != row.Number {
			return err
		}
		return r.finish(ctx, j, claimed, []Outcome{{Err: cause}})
	})
}

// errUndo undoes a dry run.
var errUndo = errors.New("job: a dry run is undone")

// do does the waiting items from a number on in one transaction, and returns those that it claimed.
func (r *Registry) do(ctx context.Context, w Worker, j Job, from, limit int) (claimed []Row, err error) {
	var outcomes []Outcome
	err = r.ending(ctx, func(ctx context.Context) error {
		most := limit
		claimed = nil
		if j.Rate > 0 { // what others did meanwhile counts, too: one at a time sees what is left of the limit
			now, err := r.Store.Job(ctx, j.ID)
			if err != nil {
				return err
			}
			if most = min(limit, r.allowed(now)); most == 0 {
				return nil
			}
		}
		claimed, err = r.Store.ClaimJobItems(ctx, j.ID, from, most)
		if err != nil || len(claimed) == 0 {
			return err
		}
		c, err := r.open(ctx, j, claimed)
		if err != nil {
			return err
		}
		if outcomes, err = work(ctx, w, c); err != nil {
			return err
		}
		if j.DryRun {
			return errUndo
		}
		return r.finish(ctx, j, claimed, outcomes)
	})
	if errors.Is(err, errUndo) {
		return claimed, r.report(ctx, j, claimed, outcomes)
	}
	return claimed, err
}

// report keeps the outcomes of a dry run. Items that another has finished meanwhile are left out.
func (r *Registry) report(ctx context.Context, j Job, rows []Row, outcomes []Outcome) error {
	found := map[int]Outcome{}
	for i, row := range rows {
		outcomes[i].Result = nil
		found[row.Number] = outcomes[i]
	}
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		now, err := r.Store.ClaimJobItems(ctx, j.ID, rows[0].Number, len(rows))
		if err != nil {
			return err
		}
		var still []Row
		var theirs []Outcome
		for _, row := range now {
			if o, ours := found[row.Number]; ours {
				still, theirs = append(still, row), append(theirs, o)
			}
		}
		if len(still) == 0 {
			return nil
		}
		return r.finish(ctx, j, still, theirs)
	})
}

// work runs the worker; a panic is a defect of the one chunk.
func work(ctx context.Context, w Worker, c Chunk) (outcomes []Outcome, err error) {
	defer func() {
		if p := recover(); p != nil { // what it says may quote data; its stack shows addresses and no contents
			err = fmt.Errorf("job: panic of type %T at:\n%s", p, debug.Stack())
		}
	}()
	outcomes, err = w.Do(ctx, c)
	if err == nil && len(outcomes) != len(c.Items) {
		err = fmt.Errorf("job: %d outcomes of %d items", len(outcomes), len(c.Items))
	}
	return outcomes, err
}

// open makes a chunk of rows.
func (r *Registry) open(ctx context.Context, j Job, rows []Row) (c Chunk, err error) {
	c = Chunk{Job: j, Items: make([]Item, len(rows))}
	if c.Parameters, err = r.opened(ctx, j.Parameters, seed.OfJob(j.ID)); err != nil {
		return c, err
	}
	for i, row := range rows {
		c.Items[i] = Item{Number: row.Number, Key: row.Key}
		if c.Items[i].Input, err = r.opened(ctx, row.Input, seed.OfJobItem(j.ID, row.Number)); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (r *Registry) opened(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error) {
	if len(s.Blob) == 0 {
		return nil, nil
	}
	return r.Keys.Open(ctx, s, b)
}

// tell tells of a job that is over, in its transaction, which [Registry.ending] began.
func (r *Registry) tell(ctx context.Context, j Job) error {
	if r.Ended == nil || j.DryRun || ctx.Value(untoldKey{}) != nil {
		return nil
	}
	if err := r.Ended(ctx, j); err != nil {
		return &untold{err}
	}
	return nil
}

// untold: a job could not come to its end since nobody could be told.
type untold struct{ error }

func (u *untold) Unwrap() error { return u.error }

// untoldKey is where a context says that nobody is to be told.
type untoldKey struct{}

// ending runs do in one transaction that may end a job. If nobody can be told of that, the log has why, and it is done again without: the job has come
// to its end all the same, and after an error nothing else of the transaction can be kept.
func (r *Registry) ending(ctx context.Context, do func(context.Context) error) error {
	err := r.Store.Transact(ctx, do)
	if u := new(untold); errors.As(err, &u) && ctx.Err() == nil {
		r.note(ctx, "telling of the end of a job", u.error)
		err = r.Store.Transact(context.WithValue(ctx, untoldKey{}, true), do)
	}
	return err
}

// finish stores outcomes and counts them, and ends the job after its last item.
func (r *Registry) finish(ctx context.Context, j Job, rows []Row, outcomes []Outcome) error {
	var results []Result
	done, failed := 0, 0
	for i, o := range outcomes {
		row := &rows[i]
		row.State, row.Code, row.Message = ItemDone, o.Code, o.Message
		if o.Err != nil {
			failed++
			row.State, row.Code, row.Message = ItemFailed, "INTERNAL", "something broke: the server's log has it under the ID of the job"
			if refused := new(fault.Error); errors.As(o.Err, &refused) {
				row.Code, row.Message = refused.Code, refused.Message
			} else if code := fault.CodeOf(o.Err); code != "" {
				row.Code, row.Message = code, string(code)
			}
			continue
		}
		done++
		if r.workers[j.Kind].Forget && !j.DryRun {
			row.Input = seed.Sealed{}
		}
		if o.Result != nil {
			sealed, err := r.Keys.Seal(o.Result, seed.OfJobResult(j.ID, row.Number))
			clear(o.Result)
			if err != nil {
				return err
			}
			results = append(results, Result{Number: row.Number, Key: row.Key, Generation: o.Generation, Sealed: sealed})
		}
	}
	if err := r.Store.FinishJobItems(ctx, j.ID, rows, results); err != nil {
		return err
	}
	// The row of the job is locked last, so that chunks of one job wait for one another as briefly as can be.
	settings, err := r.Store.Settings(ctx)
	if err != nil {
		return err
	}
	now, err := r.Store.CountJobItems(ctx, j.ID, done, failed, r.Now().UTC(), settings.ResultLife)
	if err != nil || !now.State.Over() {
		return err
	}
	if err := r.tell(ctx, now); err != nil {
		return err
	}
	return r.record(ctx, now, "job.end", audit.Details{
		"kind": now.Kind, "name": now.Name, "state": now.State, "items": now.Total, "done": now.Done, "failed": now.Failed, "dry_run": now.DryRun,
	})
}
