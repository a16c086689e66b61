package audit

import "context"

// MaxPage is the most events that one reading returns.
const MaxPage = 1000

// Events lists the events that f selects, at most [MaxPage]; to go on, ask
// again with f.After at the last place. Those without a place have Seq -1 and
// come last.
func (l *Log) Events(ctx context.Context, f Filter) ([]Entry, error) {
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

// Pending returns events that have no place yet, at most limit or [MaxPage].
func (l *Log) Pending(ctx context.Context, limit int) (ids []string, records [][]byte, err error) {
	return l.Store.Pending(ctx, pageSize(limit))
}

// pageSize bounds a limit; 0 or less asks for as many as there may be.
func pageSize(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}
