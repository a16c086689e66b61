package client

import (
	"context"
	"iter"
	"strconv"
	"time"
)

// Changes are audit events by place, for programs that react to what happens.
type Changes struct {
	Changes []Event `json:"changes"`
	Next    int64   `json:"next"` // the After of the next call
	Size    int64   `json:"size"` // events in the log; Next is Size-1 when all was read
}

// A ChangeFilter says from where on changes are read, and which.
type ChangeFilter struct {
	After   int64         // the place that was read last; -1 to begin with the first
	Actions []string      // exactly, or prefixes that end in a star: "token.*"; none for all but authn.* and mail.sign_in
	Kinds   []string      // of objects: "token"; none for all
	Limit   int           // at most so many; the server chooses for 0
	Wait    time.Duration // how long the server waits if there are none yet: whole seconds, 30 at most
}

// Changes returns the changes after a place, once and in order. PLACE_UNKNOWN if the log does not go that far: it was restored.
func (c *Client) Changes(ctx context.Context, f ChangeFilter) (Changes, error) {
	q := newQuery().text("after", strconv.FormatInt(f.After, 10)).limit(f.Limit)
	if f.Wait > 0 {
		q.Set("wait", strconv.Itoa(int(f.Wait/time.Second)))
	}
	for _, a := range f.Actions {
		q.Add("action", a)
	}
	for _, k := range f.Kinds {
		q.Add("kind", k)
	}
	return get[Changes](ctx, c, path("changes"), q)
}

// AllChanges goes on from f.After to the end of the log or, with f.Wait, until ctx ends.
func (c *Client) AllChanges(ctx context.Context, f ChangeFilter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			page, err := c.Changes(ctx, f)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range page.Changes {
				if !yield(e, nil) {
					return
				}
			}
			if f.After = page.Next; f.Wait == 0 && page.Next >= page.Size-1 {
				return
			}
		}
	}
}
