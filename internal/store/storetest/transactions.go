package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

var errStop = errors.New("stop")

// writes adds a user and an event, as part of something larger.
func (s fixture) writes(ctx context.Context, id string) error {
	if err := s.AddUser(ctx, user.User{ID: id, CreatedAt: start, Version: 1}); err != nil {
		return err
	}
	return s.Record(ctx, event(ctx, "user:"+id))
}

// left tests which of the users that writes added are there, each with its event, and that the store can still be written to.
func (s fixture) left(t testing.TB, want int) {
	t.Helper()
	users, err := s.Users(t.Context(), user.Filter{})
	if len(must(t, users, err)) != want {
		t.Errorf("%d users, want %d", len(users), want)
	}
	events, err := s.Pending(t.Context())
	if must(t, events, err) != want {
		t.Errorf("%d events, want %d", events, want)
	}
	ok(t, s.Ping(t.Context()))
}

// What is to be done after a commit sees, from outside, what was committed; it is not done if nothing is.
func afterCommit(t *testing.T, s fixture) {
	seen := 0
	look := func() {
		users, err := s.Users(t.Context(), user.Filter{})
		seen += len(must(t, users, err))
	}
	write := func(id string, end error) error {
		return s.Transact(t.Context(), func(ctx context.Context) error {
			ok(t, s.Transact(ctx, func(ctx context.Context) error {
				ok(t, s.writes(ctx, id))
				s.AfterCommit(ctx, look)
				return nil
			}))
			same(t, seen, 0)
			return end
		})
	}
	refused(t, write("a", errStop), errStop)
	same(t, seen, 0)
	ok(t, write("b", nil))
	same(t, seen, 1)
	s.AfterCommit(t.Context(), look)
	same(t, seen, 2)
}

func errorUndoes(t *testing.T, s fixture) {
	err := s.Transact(t.Context(), func(ctx context.Context) error {
		ok(t, s.writes(ctx, "a"))
		if _, err := s.User(ctx, "a"); err != nil {
			t.Errorf("a transaction does not see what it wrote: %v", err)
		}
		if _, err := s.User(t.Context(), "a"); !errors.Is(err, fault.UserNotFound) {
			t.Errorf("others see what is not committed: %v", err)
		}
		return errStop
	})
	refused(t, err, errStop)
	s.left(t, 0)
}

func panicUndoes(t *testing.T, s fixture) {
	defer func() {
		same(t, recover(), any("stop"))
		s.left(t, 0)
	}()
	err := s.Transact(t.Context(), func(ctx context.Context) error {
		ok(t, s.writes(ctx, "a"))
		panic("stop")
	})
	t.Errorf("Transact returned %v", err)
}

func cancelUndoes(t *testing.T, s fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Transact(ctx, func(ctx context.Context) error {
		ok(t, s.writes(ctx, "a"))
		cancel()
		return nil
	})
	refused(t, err, context.Canceled)
	s.left(t, 0)
	called := false
	err = s.Transact(ctx, func(context.Context) error {
		called = true
		return nil
	})
	refused(t, err, context.Canceled)
	same(t, called, false)
	_, err = s.User(ctx, "a")
	refused(t, err, context.Canceled)
}

func transactionsJoin(t *testing.T, s fixture) {
	ctx := t.Context()
	inner := func(id string, err error) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := s.writes(ctx, id); err != nil {
				return err
			}
			return err
		}
	}
	ok(t, s.Transact(ctx, func(ctx context.Context) error {
		ok(t, s.Transact(ctx, inner("a", nil)))
		return s.Transact(ctx, inner("b", nil))
	}))
	s.left(t, 2)
	refused(t, s.Transact(ctx, func(ctx context.Context) error {
		ok(t, s.Transact(ctx, inner("c", nil)))
		return errStop
	}), errStop)
	s.left(t, 2)
	// A part that failed takes the whole with it, also if that goes on.
	refused(t, s.Transact(ctx, func(ctx context.Context) error {
		refused(t, s.Transact(ctx, inner("d", errStop)), errStop)
		return nil
	}), errStop)
	s.left(t, 2)
	// A refusal that found nothing to write is an answer like any other.
	ok(t, s.Transact(ctx, func(ctx context.Context) error {
		_, err := s.User(ctx, "nobody")
		refused(t, err, fault.UserNotFound)
		return s.writes(ctx, "e")
	}))
	s.left(t, 3)
}
