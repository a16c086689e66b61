package server

import (
	"errors"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

// An address without a port gets the usual one, and none at all is refused: the system would take any port, of all addresses.
func TestAddressesOfRADIUS(t *testing.T) {
	for said, want := range map[string]string{
		"0.0.0.0": "0.0.0.0:1812", "0.0.0.0:": "0.0.0.0:1812", "[::]": "[::]:1812", "[::]:": "[::]:1812", "::1": "[::1]:1812", ":": ":1812",
		":1645": ":1645", "127.0.0.1:0": "127.0.0.1:0", "radius.example.com": "radius.example.com:1812",
	} {
		r := RADIUS{Listen: []string{said}}
		if err := r.complete(); err != nil || r.Listen[0] != want {
			t.Errorf("%q became %q, %v", said, r.Listen, err)
		}
	}
	for _, r := range []RADIUS{{Listen: []string{"127.0.0.1", ""}}, {Accounting: []string{""}}} {
		if err := r.complete(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q and %q: %v", r.Listen, r.Accounting, err)
		}
	}
}
