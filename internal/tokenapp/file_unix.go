//go:build unix

package tokenapp

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile waits until no other process has the file locked. The lock ends
// with the file's last descriptor, so a killed process leaves none behind.
func lockFile(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
