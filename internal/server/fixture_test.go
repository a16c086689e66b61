package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// unfilled are the tables that a life leaves empty: with others, TestOldBackups would not notice that they are lost.
var unfilled = []string{
	"agent_signature", "attempt", "decision", "kept_attempt", // of agents that are asking at the moment
	"exchange",                           // of apps that are
	"directory_member", "directory_user", // of a directory that answers
	"mail_notice",
	"audit_object",  // of 16,384 events
	"audit_waiting", // of the last half second
}

// fixture keeps a backup of what a life leaves, with TALLYSTICK_FIXTURE set: 'make fixture' calls it at a release.
func (w *witness) fixture() {
	if os.Getenv("TALLYSTICK_FIXTURE") == "" {
		return
	}
	password, out := filepath.Join(w.work, "fixture-password"), filepath.Join(w.work, "fixture")
	must(w, 0, os.WriteFile(password, []byte(oldPassword), 0o600))
	w.does("tallystick", "backup", "--out", out, "--password-file", password, "--include-keys")
	found := answer[struct {
		Schema int `json:"schema_version"`
		Rows   map[string]int
	}](w, w.does("tallystick", "backup", "verify", out, "--password-file", password, "--json"))
	for table, rows := range found.Rows {
		if rows == 0 && !slices.Contains(unfilled, table) {
			w.Errorf("table %s would be empty in the fixture: have the life of a token fill it", table)
		}
	}
	path := filepath.Join("testdata", fmt.Sprintf("schema-%04d.backup", found.Schema))
	if _, err := os.Stat(path); err == nil {
		w.Fatalf("%s is there: fixtures never change", path)
	}
	whole, err := os.ReadFile(out)
	must(w, 0, os.WriteFile(path, must(w, whole, err), 0o600))
	w.Logf("wrote %s", path)
}
