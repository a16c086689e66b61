package server

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// Half of an authority is never made whole by another one, whatever was copied; only what a crash left of the server's own is gone on with.
func TestHalfAnAuthority(t *testing.T) {
	dir := t.TempDir()
	c := &Config{Data: dir, Now: time.Now, Printf: func(string, ...any) {}}
	made, err := c.openCA()
	if err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(c.file(from), c.file(to)); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.ReadFile(c.file(caKeyFile))
	if err != nil {
		t.Fatal(err)
	}

	move(caFile, "elsewhere")
	if _, err := c.openCA(); !errors.Is(err, fault.Invalid) {
		t.Errorf("a key alone: %v", err)
	}
	if is, err := os.ReadFile(c.file(caKeyFile)); err != nil || string(is) != string(key) {
		t.Errorf("the key that was there is another one: %v", err)
	}
	move("elsewhere", caFile)
	move(caKeyFile, "elsewhere")
	if _, err := c.openCA(); !errors.Is(err, fault.Invalid) {
		t.Errorf("a certificate alone: %v", err)
	}

	move("elsewhere", caKeyFile)
	if err := os.Chmod(c.file(caKeyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := c.openCA(); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.Chmod(c.file(caKeyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	move(caKeyFile, "elsewhere")

	move("elsewhere", caNewKeyFile) // a crash before the key got its name
	for range 2 {
		if again, err := c.openCA(); err != nil || !again.cert.Equal(made.cert) || !again.key.Equal(made.key) {
			t.Errorf("after a crash: %v", err)
		}
	}
	move(caKeyFile, caNewKeyFile) // and one before there was a certificate
	move(caFile, "elsewhere")
	if other, err := c.openCA(); err != nil || other.cert.Equal(made.cert) {
		t.Errorf("after an earlier crash: %v", err)
	}
}
