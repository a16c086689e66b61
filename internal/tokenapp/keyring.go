package tokenapp

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/zalando/go-keyring"
)

const keyringService = "tallystick tally"

// PlatformKeyring is the keyring of this platform, nil where there cannot be
// one.
func PlatformKeyring() Keyring {
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" && !hasBus() {
		return nil
	}
	return platformKeyring{}
}

// hasBus tells whether there is a D-Bus session to talk to. Without this look
// the D-Bus library would start a bus of its own.
func hasBus() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	_, err := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus")) //nolint:gosec // the user's own environment
	return os.Getenv("XDG_RUNTIME_DIR") != "" && err == nil
}

type platformKeyring struct{}

func (platformKeyring) Get(name string) (string, error) { return keyring.Get(keyringService, name) }
func (platformKeyring) Set(name, secret string) error {
	return keyring.Set(keyringService, name, secret)
}
func (platformKeyring) Delete(name string) error { return keyring.Delete(keyringService, name) }
