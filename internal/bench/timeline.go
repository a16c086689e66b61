package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts times in microseconds, with an error of at most 1/32. It is safe for concurrent use.
type histogram struct {
	counts [buckets]atomic.Int64
	most   atomic.Int64
}

const (
	fine    = 5 // bits of a time that are told apart
	buckets = (40 - fine) << fine
)

// bucket is where a time is counted.
func bucket(us int64) int {
	if us < 1<<(fine+1) {
		return int(max(us, 0))
	}
	shift := bits.Len64(uint64(us)) - fine - 1
	return min(shift<<fine+int(us>>shift), buckets-1)
}

// middle is the time that a bucket stands for.
func middle(n int) float64 {
	if n < 1<<(fine+1) {
		return float64(n)
	}
	shift := n>>fine - 1
	low := int64(n-shift<<fine) << shift
	return float64(low) + float64(int64(1)<<shift)/2
}

func (h *histogram) add(d time.Duration) {
	us := d.Microseconds()
	h.counts[bucket(us)].Add(1)
	for {
		most := h.most.Load()
		if us <= most || h.most.CompareAndSwap(most, us) {
			return
		}
	}
}

// merge adds another one.
func (h *histogram) merge(o *histogram) {
	for i := range o.counts {
		h.counts[i].Add(o.counts[i].Load())
	}
	h.most.Store(max(h.most.Load(), o.most.Load()))
}

// count is how many times were counted.
func (h *histogram) count() (n int64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// quantile is the time that a part of all times is not above, in milliseconds.
func (h *histogram) quantile(part float64) float64 {
	rank := int64(part * float64(h.count()))
	for i := range h.counts {
		if rank -= h.counts[i].Load(); rank < 0 {
			return min(middle(i), float64(h.most.Load())) / 1000
		}
	}
	return float64(h.most.Load()) / 1000
}

// A second's times are those of its answers, and of those that did not come: of these, for how long they were waited for.
type second struct {
	histogram
	lost atomic.Int64
}

// answers is how many came.
func (s *second) answers() int64 { return s.count() - s.lost.Load() }

// A timeline keeps the times of answers, second by second.
type timeline struct {
	seconds [mostSeconds]atomic.Pointer[second]
}

const mostSeconds = 2 * 3600 // what comes later is counted in the last one

// add enters an answer, or that it was given up, unless that was before the time from when on answers count. One that is lost is among the
// slowest: a server that drops what it is slow at would look fast without it.
func (l *timeline) add(from, asked, answered time.Time, got outcome) {
	if answered.Before(from) {
		return
	}
	slot := &l.seconds[min(max(0, int(answered.Sub(from)/time.Second)), mostSeconds-1)]
	s := slot.Load()
	if s == nil {
		slot.CompareAndSwap(nil, new(second))
		s = slot.Load()
	}
	s.add(answered.Sub(asked))
	if got == lost {
		s.lost.Add(1)
	}
}
