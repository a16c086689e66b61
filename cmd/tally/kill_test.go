package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// TestKilledImport kills the program at every stage of an import, and finds the
// state before it or the one after it, never a third.
func TestKilledImport(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TALLY_STORE", filepath.Join(dir, "store"))
	t.Setenv("TALLY_KEY_FILE", filepath.Join(dir, "key"))
	const serial, at = "000123456789", "2026-11-24T12:00:00Z"
	var files, codes []string
	for i, seed := range []string{"000102030405060708090a0b0c0d0e0f", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"} {
		data, err := tokenFile(serial, seed, "", "", "2035-08-05")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, string(rune('a'+i))+".sdtid")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, status := run(t, "", "code", "--from", file, "--at", at)
		if status != cli.Done {
			t.Fatal(out)
		}
		files, codes = append(files, file), append(codes, out)
	}

	// killed runs the program, and kills it after that time unless it is faster.
	killed := func(after time.Duration, args ...string) {
		cmd := exec.Command("tally", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
		defer timer.Stop()
		cmd.Wait() // killed, done or refused: the state tells
	}
	start := time.Now()
	run(t, "", "list")
	step := max(time.Since(start)/40, time.Millisecond/4)

	for i := range 60 { // the first import makes key, database and device ID
		killed(step*time.Duration(i), "import", files[0])
		out, status := run(t, "", "list", "--json")
		var list struct{ Tokens []tokenapp.Info }
		if err := json.Unmarshal([]byte(out), &list); err != nil || status != cli.Done {
			t.Fatalf("killed after %v: status %d, %v: %s", step*time.Duration(i), status, err, out)
		}
		if len(list.Tokens) > 0 {
			break
		}
	}
	if out, status := run(t, "", "import", files[0]); status != cli.Done && status != cli.Refused {
		t.Fatalf("import: status %d: %s", status, out)
	}
	if _, status := run(t, "", "rename", serial, "mine"); status != cli.Done {
		t.Fatal("rename failed")
	}
	seen := map[string]bool{}
	for i := 0; i < 60 || i < 90 && len(seen) < 2; i++ {
		if i >= 60 { // no import was quick enough to be done: the machine is busier than it was
			step *= 2
		}
		killed(step*time.Duration(i), "import", "--replace", files[(i+1)%2])
		out, status := run(t, "", "code", "mine", "--at", at)
		if status != cli.Done || out != codes[0] && out != codes[1] {
			t.Fatalf("killed after %v: status %d: %q is the code of neither seed", step*time.Duration(i), status, out)
		}
		seen[out] = true
	}
	if len(seen) < 2 {
		t.Error("no import was done")
	}
}
