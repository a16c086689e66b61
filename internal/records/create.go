package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

// MaxTokens is how many tokens one job makes: a deployment's range of serials.
const MaxTokens = 10_000_000

const createKind = "create"

// createChunk is how many tokens one transaction makes.
const createChunk = 1000

// CreateWorker does the jobs that [Registry.StartCreate] starts.
func (r *Registry) CreateWorker() job.Worker {
	return job.Worker{Kind: createKind, Right: "manage_tokens", Chunk: createChunk, Do: r.createItems}
}

// createParameters are those of a job that makes tokens.
type createParameters struct {
	Birth, Expiry time.Time
}

// StartCreate starts the job that makes any number of tokens, as [Registry.Create] makes a few; its items are their serials. With dryRun
// the serials are given out to nobody else all the same.
func (r *Registry) StartCreate(ctx context.Context, count int, birth, expiry time.Time, name string, dryRun bool) (job.Job, error) {
	if count < 1 || count > MaxTokens {
		return job.Job{}, fault.New(fault.Invalid, "between 1 and %d tokens can be made, not %d", MaxTokens, count)
	}
	birth, expiry, err := r.validity(birth, expiry)
	if err != nil {
		return job.Job{}, err
	}
	parameters, err := json.Marshal(createParameters{birth, expiry})
	if err != nil {
		return job.Job{}, err
	}
	order := job.Order{Kind: createKind, Name: name, DryRun: dryRun, Parameters: parameters, Total: count}
	if count <= job.ItemsAtOnce {
		var started job.Job
		err = r.Store.Transact(ctx, func(ctx context.Context) error {
			order.Items = r.serials(ctx, count, new(int64))
			started, err = r.Jobs.Start(ctx, order)
			return err
		})
		return started, err
	}
	// Whoever takes serials waits for the transaction of whoever took some before, so that is one of its own, once the name of the job is taken.
	var first int64
	order.Items = r.serials(ctx, count, &first)
	started, err := r.Jobs.Start(ctx, order)
	if err != nil && first != 0 {
		err = errors.Join(err, r.Store.ReturnSerials(context.WithoutCancel(ctx), first, count, started.ID))
	}
	return started, err
}

// serials takes serials for a job when they are asked for, and goes through them; first is where they begin.
func (r *Registry) serials(ctx context.Context, count int, first *int64) iter.Seq2[job.NewItem, error] {
	return func(yield func(job.NewItem, error) bool) {
		from, err := r.Store.ReserveSerials(ctx, count)
		if err != nil { // whose they are then is not known: nobody gives them back
			yield(job.NewItem{}, err)
			return
		}
		*first = from
		for i := range int64(count) {
			if !yield(job.NewItem{Key: fmt.Sprintf("%012d", from+i)}, nil) {
				return
			}
		}
	}
}

func (r *Registry) createItems(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	var p createParameters
	if err := json.Unmarshal(c.Parameters, &p); err != nil {
		return nil, err
	}
	ctx, err := r.Jobs.Within(ctx, c.Parameters)
	if err != nil {
		return nil, err
	}
	serials := make([]string, len(c.Items))
	for i, item := range c.Items {
		serials[i] = item.Key
	}
	return make([]job.Outcome, len(c.Items)), r.create(ctx, serials, p.Birth, p.Expiry)
}
