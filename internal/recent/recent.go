// Package recent remembers what the database held a moment ago, for what every request needs and hardly anybody changes:
// policies, device definitions. A server goes by what another one has changed within a second.
package recent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// For is how old a value may be.
const For = time.Second

// readWithin is how long one who reads it for all may take: a connection that hangs says nothing, and the next one tries another.
const readWithin = 5 * time.Second

// A Value is one that was read not long ago. Its zero value was never read. It is safe for concurrent use.
type Value[T any] struct {
	begin     sync.Once
	reading   chan struct{} // who reads it for others has put something in
	last      atomic.Pointer[look[T]]
	forgotten atomic.Int64 // how often
}

// A look is what was read.
type look[T any] struct {
	value     T
	at        time.Time // before it was read
	forgotten int64     // at that time
}

// Get returns the value as it was at most [For] ago, mostly without reading it. Of those who need it read at the same time, one does; the others wait
// for it no longer than they have time.
func (v *Value[T]) Get(ctx context.Context, now func() time.Time, read func(context.Context) (T, error)) (T, error) {
	if l := v.fresh(now); l != nil {
		return l.value, nil
	}
	v.begin.Do(func() { v.reading = make(chan struct{}, 1) })
	select {
	case v.reading <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	defer func() { <-v.reading }()
	if l := v.fresh(now); l != nil {
		return l.value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return v.Read(ctx, now, read)
}

// Within is Get for who has a transaction, and the connection that goes with it. It waits for nobody: who reads the value may be waiting for just that
// connection. What it reads is not remembered, since the transaction may have changed it, and come to nothing.
func (v *Value[T]) Within(ctx context.Context, now func() time.Time, read func(context.Context) (T, error)) (T, error) {
	if l := v.fresh(now); l != nil {
		return l.value, nil
	}
	return read(ctx)
}

// Read reads the value, and remembers it. An error leaves what was remembered.
func (v *Value[T]) Read(ctx context.Context, now func() time.Time, read func(context.Context) (T, error)) (T, error) {
	l := &look[T]{at: now(), forgotten: v.forgotten.Load()}
	var err error
	if l.value, err = read(ctx); err != nil {
		var none T
		return none, err
	}
	v.last.Store(l)
	return l.value, nil
}

// Forget has the value read again when it is needed next, also where it is being read just now: this server has changed it. Where that was
// in a transaction that has not ended yet, what is read in between is kept for as long as any other value.
func (v *Value[T]) Forget() { v.forgotten.Add(1) }

// fresh is the last look, nil if it is too old.
func (v *Value[T]) fresh(now func() time.Time) *look[T] {
	l := v.last.Load()
	if l == nil || l.forgotten != v.forgotten.Load() {
		return nil
	}
	if age := now().Sub(l.at); age < 0 || age >= For { // a clock that went back says nothing
		return nil
	}
	return l
}
