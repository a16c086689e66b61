package directory

import (
	"testing"
	"time"
)

func TestDisabledBy(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for attribute, values := range map[string]map[string]bool{
		"userAccountControl": {"": false, "512": false, "514": true, "x": false},
		// 2026-11-29 12:00:00 UTC is 134404272000000000 in 100 ns since 1601.
		"accountExpires":       {"": false, "0": false, "9223372036854775807": false, "134404272000000001": false, "134404272000000000": true, "1": true, "-5": false, "x": false},
		"shadowExpire":         {"": false, "-1": false, "0": false, "20786": true, "20787": false, "99999999999": false},
		"nsAccountLock":        {"": false, "TRUE": true, "false": false},
		"pwdAccountLockedTime": {"": false, "000001010000Z": true, "20261129000000Z": false},
		"loginShell":           {"": false, "/bin/bash": false, "/usr/sbin/nologin": true, "/bin/false": true},
	} {
		for value, want := range values {
			if got := disabledBy(attribute, value, now); got != want {
				t.Errorf("%s %q: %v", attribute, value, got)
			}
		}
	}
}
