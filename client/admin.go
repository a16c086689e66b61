package client

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// AddAPIKey makes an API key; its text is in this answer and nowhere else.
func (c *Client) AddAPIKey(ctx context.Context, k NewAPIKey) (CreatedAPIKey, error) {
	return post[CreatedAPIKey](ctx, c, path("api-keys"), k)
}

// APIKeys lists the API keys by name.
func (c *Client) APIKeys(ctx context.Context) ([]APIKey, error) {
	list, err := get[APIKeyList](ctx, c, path("api-keys"), query{})
	return list.APIKeys, err
}

// DeleteAPIKey makes a key useless from now on.
func (c *Client) DeleteAPIKey(ctx context.Context, name string) error {
	return c.remove(ctx, path("api-keys", name))
}

// RotateDataKey makes a new data key and returns its number. The server seals
// everything new with it at once, and by and by what it has.
func (c *Client) RotateDataKey(ctx context.Context) (int64, error) {
	var k DataKey
	err := c.do(ctx, call{method: http.MethodPost, path: path("data-keys", "rotate"), result: &k})
	return k.DataKey, err
}

// An EventFilter selects audit events; its zero value selects all.
type EventFilter struct {
	Action  string // exactly, or a prefix that ends in a star: "token.*"
	Object  string // "token:000123456789"
	Actor   string
	Outcome string    // success or failure
	Since   time.Time // at this time or later
	Until   time.Time // before this time
	Newest  bool      // the newest first, not the oldest
	After   string    // the Next of the page before
	Limit   int       // at most so many; the server chooses for 0
}

// AuditEvents returns a page of the events that f selects, by time. It may be
// short, even empty, and yet have a next one.
func (c *Client) AuditEvents(ctx context.Context, f EventFilter) (EventPage, error) {
	q := newQuery().text("action", f.Action).text("object", f.Object).text("actor", f.Actor).text("outcome", f.Outcome).
		time("since", f.Since).time("until", f.Until).text("after", f.After).limit(f.Limit)
	if f.Newest {
		q.Set("order", "newest")
	}
	return get[EventPage](ctx, c, path("audit", "events"), q)
}

// AuditEntries returns events as the log hashes them, from the place first on; none at its end.
func (c *Client) AuditEntries(ctx context.Context, first int64, limit int) ([]Entry, error) {
	q := newQuery().text("first", strconv.FormatInt(first, 10)).limit(limit)
	list, err := get[EntryList](ctx, c, path("audit", "entries"), q)
	return list.Entries, err
}

// AuditCheckpoints returns the signed heads of the log that are larger than after, smallest first; none after the newest.
func (c *Client) AuditCheckpoints(ctx context.Context, after int64, limit int) ([]Checkpoint, error) {
	q := newQuery().text("after", strconv.FormatInt(after, 10)).limit(limit)
	list, err := get[CheckpointList](ctx, c, path("audit", "checkpoints"), q)
	return list.Checkpoints, err
}

// AuditVerifierKey returns the key that checks the signatures of checkpoints.
// Whoever must not trust the server keeps a copy of it elsewhere.
func (c *Client) AuditVerifierKey(ctx context.Context) (string, error) {
	key, err := get[VerifierKey](ctx, c, path("audit", "verifier-key"), query{})
	return key.VerifierKey, err
}

// AuditPending returns how many events have no place in the log yet.
func (c *Client) AuditPending(ctx context.Context) (int, error) {
	n, err := get[PendingCount](ctx, c, path("audit", "pending"), query{})
	return n.Pending, err
}
