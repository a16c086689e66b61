//go:build unix

package server

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

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

// Whoever connects to the socket is an administrator: it is closed to others before its mode is set, whatever the umask.
func TestTheSocketIsPrivateAtOnce(t *testing.T) {
	path := SocketPath(t.TempDir())
	umask := unix.Umask(0)
	l, err := listenPrivately(path)
	if again := unix.Umask(umask); again != 0 {
		t.Errorf("afterwards the umask is %04o", again)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if is, err := os.Stat(path); err != nil || is.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", is.Mode(), err)
	}
}
