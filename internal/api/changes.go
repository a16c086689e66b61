package api

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
)

// changes answers with the events after a place. Where there are none yet it waits for one as long as it was asked to, and not
// longer than the server runs, nor told of any once the API key is deleted.
func (a *API) changes(ctx context.Context, r *request) (answer, error) {
	choice := audit.Choice{Actions: r.URL.Query()["action"], Kinds: r.URL.Query()["kind"]}
	after, limit := r.number("after", -1), int(r.number("limit", pageSize))
	waiting, cancel := context.WithTimeout(ctx, time.Duration(r.number("wait", 0))*time.Second)
	defer cancel()
	for {
		c, err := a.Log.Changes(ctx, after, choice, limit)
		if err != nil {
			return answer{}, err
		}
		if len(c.Entries) > 0 || c.Next < c.Size-1 || waiting.Err() != nil || !a.Log.Running() {
			return a.shown(c)
		}
		after = c.Next
		a.Log.Await(waiting, c.Size)
		if err := a.Keys.Still(ctx); err != nil { // keys are deleted while their programs wait
			return answer{}, err
		}
	}
}

func (a *API) shown(c audit.Changes) (answer, error) {
	out := client.Changes{Changes: make([]client.Event, len(c.Entries)), Next: c.Next, Size: c.Size}
	for i, e := range c.Entries {
		var err error
		if out.Changes[i], err = eventOf(e); err != nil {
			return answer{}, err
		}
	}
	return ok(out)
}
