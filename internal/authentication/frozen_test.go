package authentication_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

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
		case kept && fault.CodeOf(err) != fault.Unavailable:
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
