package clock

import (
	"context"
	"time"
)

// endWithin is how long a server that ends may take to keep what it was in the middle of.
const endWithin = 10 * time.Second

// Ending is ctx for what a server keeps also when it ends: it goes on for ten seconds after ctx, so that a database that hangs does not keep the server from
// ending. As long as ctx lasts so does this: what a running server knows must not be lost because the database hung for a moment.
func Ending(ctx context.Context) (context.Context, context.CancelFunc) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(endWithin, cancel) })
	return last, func() { stop(); cancel() }
}
