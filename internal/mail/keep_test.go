package mail

import (
	"context"
	"testing"
)

// limits notes whether it may take only so long.
type limits struct {
	Store
	limited bool
}

func (l *limits) Transact(ctx context.Context, _ func(context.Context) error) error {
	_, l.limited = ctx.Deadline()
	return ctx.Err()
}

// What became of a message is kept by a server that runs however long the database hangs: given up, it would be unknown although it arrived.
func TestARunningServerWaitsToKeepWhatWasSent(t *testing.T) {
	store := &limits{}
	s := Sender{Outbox: &Outbox{Store: store}}
	if err := s.keep(t.Context(), ended{}); err != nil || store.limited {
		t.Errorf("limited: %v, %v", store.limited, err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := s.keep(ctx, ended{}); err != nil {
		t.Errorf("of a server that ends: %v", err)
	}
}
