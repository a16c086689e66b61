package audit

import (
	"context"
	"sync"

	"github.com/tallystick/tallystick/internal/fault"
)

// Changes are events by place, as somebody reads them who wants to hear of everything, once and in order.
type Changes struct {
	Entries []Entry // without leaf hashes
	Next    int64   // the place that was looked at last: what to read after the next time
	Size    int64   // of the log: Next is Size-1 for who has read everything
}

// Changes returns the events after a place that c chooses, at most limit or
// [MaxPage] of them; after -1 comes the first. One reading looks through so many events only, so
// there may be none and yet more to come: there is while Next is not Size-1.
//
// A place that the log does not have is refused with [fault.PlaceUnknown]: the
// database was restored from a backup, and what comes next is another story.
func (l *Log) Changes(ctx context.Context, after int64, c Choice, limit int) (Changes, error) {
	if err := c.Check(); err != nil {
		return Changes{}, err
	}
	size, err := l.Store.Size(ctx)
	if err != nil {
		return Changes{}, err
	}
	if after = max(after, -1); after >= size {
		return Changes{}, fault.New(fault.PlaceUnknown, "the audit log ends at %d, before the place %d that you have read to: it was restored from a backup; look at what you have, and go on from a place that is there", size-1, after)
	}
	out := Changes{Size: size}
	out.Entries, out.Next, err = l.Store.Changes(ctx, after, c.Has, pageSize(limit))
	out.Size = max(size, out.Next+1)
	return out, err
}

// A watch wakes those who wait for the log to grow.
type watch struct {
	mu     sync.Mutex
	size   int64
	over   bool
	change chan struct{} // closed when one of them changes
}

// grown tells of a size of the log.
func (w *watch) grown(size int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size > w.size {
		w.size = size
		w.wake()
	}
}

// end tells whether there is nothing more to wait for.
func (w *watch) end(over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = over
	w.wake()
}

func (w *watch) wake() {
	if w.change != nil {
		close(w.change)
		w.change = nil
	}
}

// wait returns nil for who need not wait.
func (w *watch) wait(size int64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size > size || w.over {
		return nil
	}
	if w.change == nil {
		w.change = make(chan struct{})
	}
	return w.change
}

// Await waits until the log holds more than size events, as far as this server has seen, until ctx ends, or until the
// server stops sequencing.
func (l *Log) Await(ctx context.Context, size int64) {
	for change := l.watch.wait(size); change != nil; change = l.watch.wait(size) {
		select {
		case <-change:
		case <-ctx.Done():
			return
		}
	}
}

// Running tells whether this server still sequences: once it stops, there is nothing to wait for.
func (l *Log) Running() bool {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	return !l.watch.over
}
