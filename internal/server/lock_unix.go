//go:build unix

package server

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tallystick/tallystick/internal/fault"
)

// lockFolder keeps a second server out of the data folder; the lock ends with the process, however it ends.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		f.Close()
		return nil, fault.New(fault.Conflict, "another server runs on %s: stop it first, or take another --data", dir)
	}
	return func() { f.Close() }, nil
}
