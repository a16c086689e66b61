//go:build unix

package server

import (
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tallystick/tallystick/internal/fault"
)

// lockPatience is how long the lock of the folder is waited for: a server that was killed keeps it for a moment, until its memory
// is taken down, and whoever starts it again at once must not be refused.
const lockPatience = 3 * time.Second

// takeFolder makes the data folder, unless it is there, and locks it. One that others may write to is refused: they could put another master
// key, another certification authority or another socket in place of the server's.
func takeFolder(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	is, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if others := is.Mode().Perm() & 0o022; others != 0 {
		return nil, fault.New(fault.Invalid, "others than its owner may write to the data folder %s (mode %04o), and could exchange keys in it: 'chmod go-w %[1]s', and look whether it holds anything that is not yours", dir, is.Mode().Perm())
	}
	return lockFolder(dir)
}

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

// listenPrivately opens a socket to which nobody but its owner may connect, from its first moment on: others may be able to enter the folder, and the
// umask may be any. It holds for the whole process, to which it does no harm: what else is made at that moment is private, too.
func listenPrivately(path string) (net.Listener, error) {
	defer unix.Umask(unix.Umask(0o077))
	return net.Listen("unix", path)
}
