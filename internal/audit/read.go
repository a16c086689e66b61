package audit

import "context"

// MaxPage is the most events that one reading returns.
const MaxPage = 1000

// Events lists the events that f selects, at most [MaxPage], by time. To go on,
// ask again with f.After at the page's Next.
func (l *Log) Events(ctx context.Context, f Filter) (Page, error) {
	f.Limit = pageSize(f.Limit)
	return l.Store.Events(ctx, f)
}

// Entries returns events by place, from first on, at most limit or [MaxPage].
func (l *Log) Entries(ctx context.Context, first int64, limit int) ([]Entry, error) {
	return l.Store.Entries(ctx, max(0, first), pageSize(limit))
}

// Checkpoints lists the signed heads, smallest first.
func (l *Log) Checkpoints(ctx context.Context) ([]Checkpoint, error) {
	return l.Store.Checkpoints(ctx)
}

// Pending is the number of events that have no place yet.
func (l *Log) Pending(ctx context.Context) (int, error) { return l.Store.Pending(ctx) }

// pageSize bounds a limit; 0 or less asks for as many as there may be.
func pageSize(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}
