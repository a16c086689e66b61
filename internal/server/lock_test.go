//go:build unix

package server

import (
	"errors"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

// A folder has one server. Who comes while another one still ends waits for that.
func TestLockFolder(t *testing.T) {
	dir := t.TempDir()
	end, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !testing.Short() {
		if _, err := lockFolder(dir); !errors.Is(err, fault.Conflict) {
			t.Errorf("a second server: %v, want %s", err, fault.Conflict)
		}
	}
	next := make(chan error)
	go func() {
		unlock, err := lockFolder(dir)
		if err == nil {
			unlock()
		}
		next <- err
	}()
	end()
	if err := <-next; err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}
