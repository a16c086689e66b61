package authentication

import (
	"container/heap"
	"sync"
	"time"
)

// A teller holds denials back until their time has come. It does not sleep by Go's timers: those round up to the
// millisecond, counted from when the processor had nothing left to do, so that the end of a wait would still tell how
// long the work before it took.
type teller struct {
	mu      sync.Mutex
	waiting moments
	running bool
}

// A moment is when somebody is to be told.
type moment struct {
	at   time.Time
	come func()
}

// at calls come at a time, or up to [denialTime] later if others wait for a later one.
func (t *teller) at(when time.Time, come func()) {
	m := moment{when, come}
	t.mu.Lock()
	defer t.mu.Unlock()
	heap.Push(&t.waiting, m)
	if !t.running {
		t.running = true
		go t.run()
	}
}

// run tells until nobody waits. Whoever is told takes as long as it takes: the next do not wait for that.
func (t *teller) run() {
	for {
		t.mu.Lock()
		if len(t.waiting) == 0 {
			t.running = false
			t.mu.Unlock()
			return
		}
		if left := time.Until(t.waiting[0].at); left > 0 {
			t.mu.Unlock()
			sleep(left)
			continue
		}
		var due []func()
		for len(t.waiting) > 0 && time.Until(t.waiting[0].at) <= 0 {
			due = append(due, heap.Pop(&t.waiting).(moment).come)
		}
		t.mu.Unlock()
		go func() {
			for _, come := range due {
				come()
			}
		}()
	}
}

// moments are a heap with the earliest on top.
type moments []moment

func (m moments) Len() int           { return len(m) }
func (m moments) Less(i, j int) bool { return m[i].at.Before(m[j].at) }
func (m moments) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push is of [heap.Interface].
func (m *moments) Push(x any) { *m = append(*m, x.(moment)) }

// Pop is of [heap.Interface].
func (m *moments) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
