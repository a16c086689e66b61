package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/clock"
)

func (a *API) showClock(ctx context.Context, _ *request) (answer, error) {
	s, err := a.Clock.State(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.Clock{
		Trusted: s.Trusted, BehindSeconds: s.Behind.Seconds(), SkewSeconds: s.Skew.Seconds(),
		Servers: mapped(s.Servers, func(r clock.Reading) client.ServerClock {
			return client.ServerClock{Server: r.Name, Latest: r.Latest, AheadSeconds: r.Ahead.Seconds(), At: r.At}
		}),
	})
}

func (a *API) confirmClock(ctx context.Context, r *request) (answer, error) {
	if err := a.Clock.Confirm(ctx); err != nil {
		return answer{}, err
	}
	return a.showClock(ctx, r)
}
