package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

func TestFileOfMoreBytesThanTakenIsRefused(t *testing.T) {
	const limit = 1 << 10
	name := filepath.Join(t.TempDir(), "file")
	for size, want := range map[int]fault.Code{limit: "", limit + 1: fault.TooLarge} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := new(program).readText(name, limit); fault.CodeOf(err) != want {
			t.Errorf("%d bytes: %v, not %q", size, err, want)
		}
	}
}
