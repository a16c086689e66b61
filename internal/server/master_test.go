package server_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/server"
	"github.com/tallystick/tallystick/internal/store"
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

// Where the database does not confirm the change it may have been made: both keys are to be kept, and doing the same again ends it.
func TestMasterKeyOfADatabaseThatHangs(t *testing.T) {
	url, dir := storetest.Postgres(t), t.TempDir()
	db, err := store.Open(t.Context(), store.Options{URL: url})
	must(t, db, err)
	change := server.MasterChange{Data: folder(t), Database: url, From: filepath.Join(dir, "master.key"), To: filepath.Join(dir, "next.key"), Now: time.Now}
	if err := seed.MakeMasterFile(change.From); err != nil {
		t.Fatal(err)
	}
	master, err := seed.MasterFromFile(change.From)
	keys, err := seed.OpenKeyring(t.Context(), must(t, master, err), db, time.Now)
	must(t, keys, err)
	must(t, db, db.Close())

	hanging, f := freezeAt(t, url, "key.rotate")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-f.hangs; cancel() }()
	again := change
	change.Database = hanging
	_, _, err = change.Run(ctx)
	f.goOn()
	if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), change.From) || !strings.Contains(err.Error(), change.To) {
		t.Errorf("%v", err)
	}
	poll(t, "the database to have the next key", func() bool {
		_, _, err := again.Run(t.Context())
		return err == nil
	})
}
