package throttle_test

import (
	"testing"

	"github.com/tallystick/tallystick/internal/throttle"
)

// What one host can choose is one source.
func TestNetworkOfASource(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:40001":                  "192.0.2.7/32",
		"[::ffff:192.0.2.7]:40001":         "192.0.2.7/32",
		"[2001:db8:0:1::2]:40001":          "2001:db8:0:1::/64",
		"[2001:db8:0:1:ffff::9]:40002":     "2001:db8:0:1::/64",
		"[fe80::1%eth0]:40001":             "fe80::/64",
		"@":                                "invalid Prefix", // the admin socket
		"":                                 "invalid Prefix",
		"tokens.example.com:443, 10.0.0.1": "invalid Prefix",
	} {
		if got := throttle.Network(throttle.Source(remote)).String(); got != want {
			t.Errorf("%q is of %s, want %s", remote, got, want)
		}
	}
}
