package client

import (
	"context"
	"net/http"
)

// Clock tells what the servers say of their clocks.
func (c *Client) Clock(ctx context.Context) (Clock, error) {
	return get[Clock](ctx, c, path("clock"), query{})
}

// ConfirmClock says that the time of the servers is right although a clock went back.
func (c *Client) ConfirmClock(ctx context.Context) (Clock, error) {
	var after Clock
	err := c.do(ctx, call{method: http.MethodPost, path: path("clock", "confirm"), result: &after})
	return after, err
}
