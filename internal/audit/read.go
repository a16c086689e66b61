package audit

import "context"

// MaxPage is the most events, or signed heads, that one reading returns.
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

// Checkpoints returns the signed heads larger than after, smallest first, at most limit or [MaxPage].
func (l *Log) Checkpoints(ctx context.Context, after int64, limit int) ([]Checkpoint, error) {
	return l.Store.Checkpoints(ctx, after, pageSize(limit))
}

// NewestCheckpoints returns the newest signed heads, smallest first, at most limit or [MaxPage].
func (l *Log) NewestCheckpoints(ctx context.Context, limit int) ([]Checkpoint, error) {
	return l.Store.NewestCheckpoints(ctx, pageSize(limit))
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
