package store

import (
	"context"
	"crypto/rand"
	"database/sql"
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
	for n := 1; ; n++ {
		sent, err := db.attempt(ctx, do)
		kind := db.sort(err)
		if sent || n == attempts || kind != passing && kind != broken {
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

// txKey is where a context holds the transaction on a database.
type txKey struct{ db *DB }

// A transaction is one that runs. It lasts as long as the context that it was begun with, until it is kept.
type transaction struct {
	*sql.Tx
	conn     *sql.Conn
	keep     func() bool // from now on the end of that context does not undo the transaction; false if it already has
	cancel   func()
	doubtful func() bool
	failed   error // of a part; nothing may be committed
}

// current is the transaction that ctx carries, nil if none.
func (db *DB) current(ctx context.Context) *transaction {
	tx, _ := ctx.Value(txKey{db}).(*transaction)
	return tx
}

func (db *DB) begin(ctx context.Context) (*transaction, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	tx := &transaction{cancel: cancel, keep: context.AfterFunc(ctx, cancel)}
	var err error
	if tx.conn, err = db.write.Conn(inner); err == nil {
		if tx.doubtful, err = db.watch(tx.conn); err == nil {
			tx.Tx, err = tx.conn.BeginTx(inner, nil)
		}
	}
	if err == nil {
		return tx, nil
	}
	tx.end()
	return nil, errors.Join(ctx.Err(), err)
}

// end undoes what was not committed and gives the connection back.
func (tx *transaction) end() {
	tx.keep()
	if tx.Tx != nil {
		_ = tx.Rollback() // nothing to undo after a commit; if it fails, the connection is not used again
	}
	tx.cancel()
	if tx.conn != nil {
		_ = tx.conn.Close()
	}
}

// attempt runs do once. sent tells that COMMIT was sent: then there must be no second attempt, whatever came of it.
func (db *DB) attempt(ctx context.Context, do func(context.Context) error) (sent bool, err error) {
	tx, err := db.begin(ctx)
	if err != nil {
		return false, err
	}
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
	if !tx.keep() {
		return false, ctx.Err()
	}
	undo = false
	return true, tx.commit(ctx)
}

// errDoubtful: the primary gave up waiting for its standby after it had committed.
var errDoubtful = errors.New("store: committed on one server, but the standby may not have it")

// commit goes on when ctx ends, but is not waited for then: once COMMIT is on its way, only its answer tells the outcome.
func (tx *transaction) commit(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		err := tx.Commit()
		if err == nil && tx.doubtful() {
			err = errDoubtful
		}
		tx.end()
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	return unavailable(err, "the database did not confirm the change: look whether it was made before trying again")
}
