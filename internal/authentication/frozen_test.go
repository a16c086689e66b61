package authentication_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// A server that froze in the middle of a change keeps the rows of some users, who are told to try again. Whoever is decided together with them is not kept waiting.
func TestWhatAFrozenServerKeeps(t *testing.T) {
	url := deploytest.Databases["PostgreSQL"](t)
	d := newDeployment(t, url, plain)
	d.addUser("bob")
	for n := range 8 {
		d.addUser(fmt.Sprint("user", n))
	}
	d.engine.Groups = 1 // so that those who come meanwhile are decided together
	frozen, locked, thaw := deploytest.Open(t, url), make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		err := frozen.Transact(t.Context(), func(ctx context.Context) error {
			_, err := frozen.Gather(ctx, authentication.Wanted{Users: []string{"alice", "bob"}})
			close(locked)
			<-thaw
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-locked
	ask := func(user, passcode string) {
		result, err := d.engine.Check(t.Context(), user, passcode)
		switch kept := user == "alice" || user == "bob"; {
		case kept && (fault.CodeOf(err) != fault.Unavailable || !authentication.Untouched(err)):
			t.Errorf("%s, whose rows are kept: %s, %v", user, result, err)
		case !kept && (err != nil || result != authentication.Denied):
			t.Errorf("%s, whose rows are free: %s, %v", user, result, err)
		}
	}
	var asked sync.WaitGroup
	asked.Go(func() { ask("alice", d.code(d.now)) })
	asked.Go(func() { ask("bob", "12345678") })
	for n := range 8 {
		asked.Go(func() { ask(fmt.Sprint("user", n), "12345678") })
	}
	asked.Wait()
	close(thaw)
	all.Wait()
	d.check(d.code(d.now), authentication.Accepted) // nothing of it was used up
}

// A changing store has everything that is written meet with what somebody else has written just before.
type changing struct{ authentication.Store }

func (changing) TransactSoon(context.Context, time.Duration, func(context.Context) error) error {
	return fault.New(fault.Conflict, "somebody was faster")
}

// Who is told to try again is told whether anything was counted.
func TestWhatOthersKeepChanging(t *testing.T) {
	d := newDeployment(t, deploytest.Databases["SQLite"](t), plain)
	d.engine.Store = changing{d.engine.Store}
	if _, err := d.engine.Check(t.Context(), "alice", "12345678"); fault.CodeOf(err) != fault.Unavailable || !authentication.Untouched(err) {
		t.Errorf("%v", err)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.engine.Check(late, "alice", "12345678"); err == nil || authentication.Untouched(err) {
		t.Errorf("of what was not waited for nobody knows: %v", err)
	}
}
