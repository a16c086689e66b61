//go:build unix

package server

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tallystick/tallystick/internal/fault"
)

// lockPatience is how long the lock of the folder is waited for: a server that was killed keeps it for a moment, until its memory
// is taken down, and whoever starts it again at once must not be refused.
const lockPatience = 3 * time.Second

// lockFolder keeps a second server out of the data folder; the lock ends with the process, however it ends.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockPatience); unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			f.Close()
			return nil, fault.New(fault.Conflict, "another server runs on %s: stop it first, or take another --data", dir)
		}
	}
	return func() { f.Close() }, nil
}
