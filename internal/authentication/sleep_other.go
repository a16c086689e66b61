//go:build !linux

package authentication

import "time"

// sleep waits as precisely as Go's timers do.
func sleep(d time.Duration) { time.Sleep(d) }
