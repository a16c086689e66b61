package throttle

import (
	"sync"
	"time"
)

// How many of a [Sample] have an event of their own within a time.
const (
	SampleSize   = 1000
	SampleWindow = time.Hour
)

// A Sample tells which of the failures of strangers have an event each in the audit log, and counts the others: whoever fails again and
// again would fill the log. Its zero value has none yet.
type Sample struct {
	mu    sync.Mutex
	n     int
	since time.Time
	rest  int
}

// Takes tells whether one more has an event of its own.
func (s *Sample) Takes(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) >= SampleWindow {
		s.n, s.since = 0, now
	}
	s.n++
	if s.n <= SampleSize {
		return true
	}
	s.rest++
	return false
}

// Rest returns how many had none since it was asked last.
func (s *Sample) Rest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.rest
	s.rest = 0
	return n
}
