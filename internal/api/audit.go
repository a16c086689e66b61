package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
)

func eventOf(e audit.Entry) (client.Event, error) {
	out := client.Event{}
	// A record is the JSON of an event, with the members that the API shows.
	if err := json.Unmarshal(e.Record, &out); err != nil {
		return out, fmt.Errorf("audit record at %d: %w", e.Seq, err)
	}
	out.Seq = e.Seq
	return out, nil
}

func (a *API) auditEvents(ctx context.Context, r *request) (answer, error) {
	f := audit.Filter{
		Action: r.query("action"), Object: r.query("object"), Actor: r.query("actor"), Outcome: r.query("outcome"),
		Newest: r.query("order") == "newest", After: r.query("after"), Limit: r.limit(),
	}
	var err error
	if f.Since, err = r.moment("since"); err != nil {
		return answer{}, err
	}
	if f.Until, err = r.moment("until"); err != nil {
		return answer{}, err
	}
	page, err := a.Log.Events(ctx, f)
	if err != nil {
		return answer{}, err
	}
	out := client.EventPage{Events: make([]client.Event, len(page.Entries)), Next: page.Next}
	for i, e := range page.Entries {
		if out.Events[i], err = eventOf(e); err != nil {
			return answer{}, err
		}
	}
	return ok(out)
}

func (a *API) auditEntries(ctx context.Context, r *request) (answer, error) {
	entries, err := a.Log.Entries(ctx, r.number("first", 0), int(r.number("limit", audit.MaxPage)))
	if err != nil {
		return answer{}, err
	}
	return ok(client.EntryList{Entries: mapped(entries, func(e audit.Entry) client.Entry {
		return client.Entry{Seq: e.Seq, Record: e.Record, Leaf: e.Leaf[:]}
	})})
}

// auditCheckpoints pages by after. Who does not ask for a page gets the newest heads: these bind all events, and older clients prove the log by them.
func (a *API) auditCheckpoints(ctx context.Context, r *request) (answer, error) {
	limit := int(r.number("limit", audit.MaxPage))
	var checkpoints []audit.Checkpoint
	var err error
	if after := r.number("after", -1); after < 0 {
		checkpoints, err = a.Log.NewestCheckpoints(ctx, limit)
	} else {
		checkpoints, err = a.Log.Checkpoints(ctx, after, limit)
	}
	if err != nil {
		return answer{}, err
	}
	return ok(client.CheckpointList{Checkpoints: mapped(checkpoints, func(c audit.Checkpoint) client.Checkpoint {
		return client.Checkpoint{Size: c.Size, At: c.At, Signed: c.Signed}
	})})
}

func (a *API) auditVerifierKey(context.Context, *request) (answer, error) {
	return ok(client.VerifierKey{VerifierKey: a.VerifierKey})
}

func (a *API) auditPending(ctx context.Context, _ *request) (answer, error) {
	n, err := a.Log.Pending(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.PendingCount{Pending: n})
}
