package server

import "testing"

// An address without a port means the usual one, as with all other flags that name where the server listens.
func TestListenWithoutPort(t *testing.T) {
	for said, want := range map[string]string{"": ":8443", "0.0.0.0": "0.0.0.0:8443", "[::1]": "[::1]:8443", "127.0.0.1:0": "127.0.0.1:0"} {
		c := Config{Data: t.TempDir(), Listen: said}
		if err := c.complete(); err != nil || c.Listen != want {
			t.Errorf("%q: %s, %v", said, c.Listen, err)
		}
	}
}
