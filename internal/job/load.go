package job

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// ItemsAtOnce is how many items of a new job one transaction stores: few enough that others who wait for the database do not notice.
const ItemsAtOnce = 1000

const (
	lease      = 30 * time.Second       // from its last transaction on, a job that is being loaded is left alone
	lookEvery  = 250 * time.Millisecond // for the end of another job that is being loaded under a name
	undoWithin = 20 * time.Second       // what is left of a load then, CleanUp removes
)

// alongKey is where a context holds what Along was given.
type alongKey struct{}

// Along has do run in the transaction that starts a job, with it: both are done, or neither is. It may be run again after a conflict.
func Along(ctx context.Context, do func(ctx context.Context, j Job) error) context.Context {
	return context.WithValue(ctx, alongKey{}, do)
}

// A load is a job that is being stored. Its items are read and sealed outside of transactions. Up to [ItemsAtOnce] of them are stored by the
// transaction that starts the job. Of more, each transaction stores some, with the job in state Loading, and the last one starts it.
// The job has a lease meanwhile, which each transaction moves on from where the one before left it: once somebody else has ended it, nothing more is stored.
type load struct {
	*Registry
	job   Job
	about string
	rows  []Row // not stored yet
	n     int   // items so far
	begun bool  // something may have been stored
}

// read goes through the items, and stores all but the last of them.
func (l *load) read(ctx context.Context, items iter.Seq2[NewItem, error]) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		if len(l.rows) == ItemsAtOnce || l.begun && l.Now().Add(lease/2).After(l.job.LoadingUntil) { // they may come slowly
			if err := l.store(ctx); err != nil {
				return err
			}
		}
		l.n++
		input, err := l.seal(item.Input, seed.OfJobItem(l.job.ID, l.n))
		if err != nil {
			return err
		}
		l.rows = append(l.rows, Row{Number: l.n, Key: item.Key, State: ItemWaiting, Input: input})
	}
	return nil
}

// store stores the items that were read. More may follow.
func (l *load) store(ctx context.Context) error {
	j := l.job
	j.State, j.Total, j.LoadingUntil = Loading, l.n, l.Now().UTC().Add(lease)
	err := l.transact(ctx, func(ctx context.Context) error {
		if err := l.place(ctx, j); err != nil {
			return err
		}
		return l.Store.AddJobItems(ctx, j.ID, l.rows)
	})
	l.job, l.rows = j, l.rows[:0]
	return err
}

// start stores the last items and starts the job.
func (l *load) start(ctx context.Context) error {
	var started Job
	err := l.transact(ctx, func(ctx context.Context) error {
		j := l.job
		j.State, j.Total, j.LoadingUntil = Queued, l.n, time.Time{}
		if err := l.demand(ctx, &j, l.about); err != nil {
			return err
		}
		if j.Total == 0 {
			j.State, j.EndedAt, j.ResultsUntil = Done, j.CreatedAt, j.CreatedAt
		}
		if err := l.place(ctx, j); err != nil {
			return err
		}
		if err := l.Store.AddJobItems(ctx, j.ID, l.rows); err != nil {
			return err
		}
		if err := l.record(ctx, j, "job.create", audit.Details{"kind": j.Kind, "name": j.Name, "items": j.Total, "dry_run": j.DryRun}); err != nil {
			return err
		}
		if err := l.requested(ctx, j); err != nil {
			return err
		}
		started = j
		if along, is := ctx.Value(alongKey{}).(func(context.Context, Job) error); is {
			return along(ctx, j)
		}
		return nil
	})
	if err == nil {
		l.job = started
	}
	return err
}

// place stores the job itself as it has become, if it is not there yet or still being loaded by us.
func (l *load) place(ctx context.Context, j Job) error {
	if l.job.LoadingUntil.IsZero() {
		return l.Store.AddJob(ctx, j)
	}
	return l.Store.MoveLoading(ctx, j, l.job.LoadingUntil)
}

// transact is Transact. The first transaction waits for others that load a job of the same name, as long as they live: who asks for one
// thing twice, since the connection broke, is to find what came of the first time.
func (l *load) transact(ctx context.Context, do func(context.Context) error) error {
	for {
		err := l.Store.Transact(ctx, do)
		taken := errors.Is(err, fault.JobNameTaken)
		l.begun = l.begun || !taken
		if !taken || l.Store.Joins(ctx) {
			return err
		}
		other, missing := l.Store.JobNamed(domain.WithScope(ctx, domain.Scope{}), l.job.Name)
		switch {
		case errors.Is(missing, fault.JobNotFound): // it has come to nothing just now
		case missing != nil:
			return missing
		case other.State != Loading:
			return err
		case !l.Now().Before(other.LoadingUntil):
			if _, err := l.Store.DropAbandoned(ctx, l.Now().UTC()); err != nil {
				return err
			}
			continue
		}
		wait(ctx, nil, lookEvery)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// undo removes what was stored of a job that is not to be started.
func (l *load) undo(ctx context.Context) {
	if !l.begun || l.Store.Joins(ctx) { // a transaction that all was part of is undone
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	l.note(ctx, "removing a job that was not stored to its end", l.Store.DropLoading(ctx, l.job.ID))
}
