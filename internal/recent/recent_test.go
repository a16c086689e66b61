package recent_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/recent"
)

// A source counts how often it is read.
type source struct {
	at    time.Time
	value int
	fail  error
}

func (s *source) now() time.Time { return s.at }

func (s *source) read(context.Context) (int, error) {
	s.value++
	return s.value, s.fail
}

func TestAValueIsReadOnceASecond(t *testing.T) {
	s := &source{at: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
	var v recent.Value[int]
	for _, step := range []struct {
		name  string
		after time.Duration
		do    func()
		want  int
	}{
		{"the first time", 0, nil, 1},
		{"at once", 0, nil, 1},
		{"just before a second is over", recent.For - 1, nil, 1},
		{"when it is over", 1, nil, 2},
		{"when the clock went back", -time.Nanosecond, nil, 3},
		{"after a change", 0, v.Forget, 4},
		{"after that", 0, nil, 4},
	} {
		s.at = s.at.Add(step.after)
		if step.do != nil {
			step.do()
		}
		if got, err := v.Get(t.Context(), s.now, s.read); err != nil || got != step.want {
			t.Errorf("%s: %d, %v; want %d", step.name, got, err, step.want)
		}
	}
	if got, err := v.Read(t.Context(), s.now, s.read); err != nil || got != 5 {
		t.Errorf("read on demand: %d, %v", got, err)
	}
	if got, err := v.Get(t.Context(), s.now, s.read); err != nil || got != 5 {
		t.Errorf("what was read on demand is remembered: %d, %v", got, err)
	}
}

func TestAnErrorIsNotRemembered(t *testing.T) {
	s := &source{fail: errors.New("no database")}
	var v recent.Value[int]
	if got, err := v.Get(t.Context(), s.now, s.read); !errors.Is(err, s.fail) || got != 0 {
		t.Errorf("%d, %v", got, err)
	}
	s.fail = nil
	if got, err := v.Get(t.Context(), s.now, s.read); err != nil || got != 2 {
		t.Errorf("%d, %v", got, err)
	}
}

// Whoever changes a value while somebody reads it must not get the old one afterwards.
func TestForgottenWhileItIsRead(t *testing.T) {
	s := &source{}
	var v recent.Value[int]
	slow := func(ctx context.Context) (int, error) {
		v.Forget()
		return s.read(ctx)
	}
	if got, err := v.Get(t.Context(), s.now, slow); err != nil || got != 1 {
		t.Errorf("%d, %v", got, err)
	}
	if got, err := v.Get(t.Context(), s.now, s.read); err != nil || got != 2 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestOneReadsForAll(t *testing.T) {
	s := &source{}
	var v recent.Value[int]
	begun, free, come := make(chan struct{}), make(chan struct{}), atomic.Int32{}
	slow := func(ctx context.Context) (int, error) {
		close(begun) // a second reader panics
		<-free
		return s.read(ctx)
	}
	var all sync.WaitGroup
	const callers = 20
	for range callers {
		all.Go(func() {
			come.Add(1)
			if got, err := v.Get(t.Context(), s.now, slow); err != nil || got != 1 {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
	<-begun
	for come.Load() < callers { // nearly all of them find nothing
		runtime.Gosched()
	}
	close(free)
	all.Wait()
}

// Whoever has a transaction waits for nobody who reads, and leaves nothing behind.
func TestWithinATransaction(t *testing.T) {
	s := &source{}
	var v recent.Value[int]
	got, err := v.Get(t.Context(), s.now, func(ctx context.Context) (int, error) {
		if n, err := v.Within(ctx, s.now, s.read); err != nil || n != 1 { // while the value is being read
			t.Errorf("%d, %v", n, err)
		}
		return s.read(ctx)
	})
	if err != nil || got != 2 {
		t.Errorf("%d, %v", got, err)
	}
	if n, err := v.Within(t.Context(), s.now, s.read); err != nil || n != 2 {
		t.Errorf("what is remembered: %d, %v", n, err)
	}
	v.Forget()
	if n, err := v.Within(t.Context(), s.now, s.read); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := v.Get(t.Context(), s.now, s.read); err != nil || n != 4 {
		t.Errorf("what a transaction has read was kept: %d, %v", n, err)
	}
}

// One who reads for all and gets no answer holds nobody up for longer than they have time, and gives way in the end.
func TestAReaderThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		var v recent.Value[int]
		hung := make(chan error, 1)
		go func() {
			_, err := v.Get(t.Context(), s.now, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
			hung <- err
		}()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Get(short, s.now, s.read); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whose time is over: %v", err)
		}
		if n, err := v.Get(t.Context(), s.now, s.read); err != nil || n != 1 {
			t.Errorf("the next one: %d, %v", n, err)
		}
		if err := <-hung; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who hung: %v", err)
		}
	})
}
