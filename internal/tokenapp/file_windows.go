package tokenapp

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile waits until no other process has the file locked. The lock ends
// with the file's last handle, so a killed process leaves none behind.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, new(windows.Overlapped))
}

// syncDir does nothing: Windows has no such call, and NTFS journals renames.
func syncDir(string) error { return nil }
