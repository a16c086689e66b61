package webhook

import (
	"context"
	"sync"
)

// Once delivers what there is to deliver now.
func (s *Sender) Once(ctx context.Context) {
	var work sync.WaitGroup
	s.look(ctx, &work, &sync.Map{})
	work.Wait()
}
