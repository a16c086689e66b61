package authentication

import (
	"syscall"
	"time"
)

// sleep has the kernel wake this thread, some ten microseconds after the time at most.
func sleep(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&left, nil) // after a signal the caller looks at the clock again
}
