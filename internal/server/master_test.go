package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/server"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// The master key is not taken from under a server that shares the database, nor made for a database that is not there.
func TestMasterKeyOfARunningServerStays(t *testing.T) {
	url, key := storetest.Postgres(t), filepath.Join(t.TempDir(), "master.key")
	p := start(t, folder(t), "--database", url, "--master-key", key)
	change := server.MasterChange{Data: folder(t), Database: url, From: key, To: filepath.Join(t.TempDir(), "next.key"), Now: time.Now}
	if _, _, err := change.Run(t.Context()); !errors.Is(err, fault.Conflict) {
		t.Errorf("while a server runs: %v", err)
	}
	p.terminate()
	p.exit()
	change.Database = storetest.Postgres(t)
	if _, _, err := change.Run(t.Context()); !errors.Is(err, fault.NotFound) {
		t.Errorf("of an empty database: %v", err)
	}
	change.Database = ""
	if _, _, err := change.Run(t.Context()); !errors.Is(err, fault.NotFound) {
		t.Errorf("without a database: %v", err)
	}
	change.Data = filepath.Join(t.TempDir(), "mistyped")
	if _, _, err := change.Run(t.Context()); !errors.Is(err, fault.NotFound) {
		t.Errorf("without a data folder: %v", err)
	}
	if _, err := os.Stat(change.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data folder was made: %v", err)
	}
	if _, err := os.Stat(change.To); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
}
