package authentication

import (
	"sync"
	"testing"
	"time"
)

// Everybody is told, and nobody before the time.
func TestTeller(t *testing.T) {
	var all teller
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 200 {
		when := begin.Add(time.Duration(i%7) * time.Millisecond)
		wg.Go(func() {
			come := make(chan struct{})
			all.at(when, func() { close(come) })
			<-come
			if early := time.Until(when); early > 0 {
				t.Errorf("told %s too early", early)
			}
		})
	}
	wg.Wait()

	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.waiting) != 0 {
		t.Errorf("%d still wait", len(all.waiting))
	}
}
