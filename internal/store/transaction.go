package store

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"time"
)

const (
	attempts = 6                    // of a transaction that meets others
	backoff  = 4 * time.Millisecond // after the first attempt; doubles with each
)

// Transact runs do in one transaction, which travels in the context that do
// gets, and commits it if do returns nil. Within a transaction it joins that
// one; a part that fails takes the whole with it, whatever the outer do returns.
//
// It runs do again when the database had to choose between this transaction and
// others, or the connection broke before COMMIT was sent, so do must not keep what an earlier run left. An error of do comes
// back as it is. [fault.Unavailable] means that the database is out of reach or
// that the outcome is not known: the change may or may not have been made.
func (db *DB) Transact(ctx context.Context, do func(context.Context) error) error {
	if tx := db.current(ctx); tx != nil {
		err := do(ctx)
		if err != nil && tx.failed == nil {
			tx.failed = err
		}
		return err
	}
	return db.again(ctx, func() (final bool, err error) { return db.attempt(ctx, do) })
}

// TransactSoon is Transact for what has no time: [fault.ServiceBusy] if it needs a row that another transaction keeps for longer than wait, at least
// a millisecond. SQLite has one transaction at a time, for which it waits.
func (db *DB) TransactSoon(ctx context.Context, wait time.Duration, do func(context.Context) error) error {
	return db.Transact(context.WithValue(ctx, soonKey{}, wait), do)
}

// soonKey is where a context says how long a transaction that is wanted soon waits.
type soonKey struct{}

func soon(ctx context.Context) time.Duration {
	wait, _ := ctx.Value(soonKey{}).(time.Duration)
	return wait
}

// again runs do until it succeeds, fails for good or has been run often enough.
func (db *DB) again(ctx context.Context, do func() (final bool, err error)) error {
	for n := 1; ; n++ {
		final, err := do()
		kind := db.sort(err)
		if err == nil || final || n == attempts || kind != passing && kind != broken {
			return db.explain(err)
		}
		if err := pause(ctx, backoff<<(n-1)); err != nil {
			return err
		}
	}
}

// pause waits between half of d and d, so that those who met do not meet again.
func pause(ctx context.Context, d time.Duration) error {
	jitter, err := rand.Int(rand.Reader, big.NewInt(int64(d/2)))
	if err != nil {
		return err
	}
	timer := time.NewTimer(d/2 + time.Duration(jitter.Int64()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// A turn is what one transaction does at a time, where there is no row to lock: its number tells the advisory locks of PostgreSQL apart, so it
// stays the same from one release to the next.
type turn int64

const (
	addressTurn turn = 1 // giving addresses to users
	policyTurn  turn = 2 // changing policies
)

// txKey is where a context holds the transaction on a database.
type txKey struct{ db *DB }

// A transaction is one that runs.
type transaction struct {
	connection
	last     []bulk         // not written yet: what goes along with COMMIT
	recorded []writtenBatch // of the audit log
	failed   error          // of a part; nothing may be committed
	then     []func()       // once it is committed
}

// current is the transaction that ctx carries, nil if none.
func (db *DB) current(ctx context.Context) *transaction {
	tx, _ := ctx.Value(txKey{db}).(*transaction)
	return tx
}

// Joins tells whether ctx carries a transaction, which Transact would join.
func (db *DB) Joins(ctx context.Context) bool { return db.current(ctx) != nil }

// AfterCommit runs do when the transaction of ctx has been committed, and not if it comes to nothing; at once if there is none.
func (db *DB) AfterCommit(ctx context.Context, do func()) {
	if tx := db.current(ctx); tx != nil {
		tx.then = append(tx.then, do)
		return
	}
	do()
}

// fail notes an error of the database: after it nothing of the transaction may be committed, even if nobody cares.
func (tx *transaction) fail(err error) error {
	if err != nil && tx.failed == nil {
		tx.failed = err
	}
	return err
}

// flush writes what was to go along with COMMIT, since more follows.
func (tx *transaction) flush(ctx context.Context) error {
	if len(tx.last) == 0 {
		return nil
	}
	changes := tx.last
	tx.last = nil
	_, err := tx.write(ctx, changes, false)
	return tx.fail(err)
}

// attempt runs do once. sent tells that COMMIT may have been obeyed: then there must be no second attempt, whatever came of it.
func (db *DB) attempt(ctx context.Context, do func(context.Context) error) (sent bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	on, err := db.begin(ctx)
	if err != nil {
		return false, errors.Join(ctx.Err(), err)
	}
	tx := &transaction{connection: on}
	undo := true
	defer func() { // also after a panic
		if undo {
			tx.end()
		}
	}()
	if err := do(context.WithValue(ctx, txKey{db}, tx)); err != nil {
		return false, err
	}
	if tx.failed != nil {
		return false, tx.failed
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	undo = false
	if sent, err = db.commit(ctx, tx); err == nil {
		db.written.keep(tx.recorded)
		for _, do := range tx.then {
			do()
		}
	}
	return sent, err
}

// errDoubtful: the primary gave up waiting for its standby after it had committed.
var errDoubtful = errors.New("store: committed on one server, but the standby may not have it")

// commit goes on when ctx ends, but is not waited for then: once COMMIT is on its way, only its answer tells the outcome.
func (db *DB) commit(ctx context.Context, tx *transaction) (sent bool, err error) {
	type outcome struct {
		sent bool
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		sent, err := tx.write(context.WithoutCancel(ctx), tx.last, true)
		tx.end()
		done <- outcome{sent, err}
	}()
	end := outcome{sent: true}
	select {
	case end = <-done:
	case <-ctx.Done():
		end.err = ctx.Err()
	}
	if end.err != nil && end.sent {
		said := "the database did not confirm the change: look whether it was made before trying again"
		if why := db.why(end.err); why != "" {
			said += "; " + why
		}
		end.err = unavailable(end.err, said)
	}
	return end.sent, end.err
}
