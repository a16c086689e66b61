package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/user"
)

// A change and its event are stored together or not at all.
func ExampleDB_Transact() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: filepath.Join(dir, "tallystick.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err = db.Transact(ctx, func(ctx context.Context) error {
		if err := db.AddUser(ctx, user.User{ID: "alice", Enabled: true, CreatedAt: now, Version: 1}); err != nil {
			return err
		}
		return db.Record(ctx, audit.New(ctx, now, "user.add", "user:alice", nil))
	})
	fmt.Println(err)

	alice, err := db.User(ctx, "alice")
	fmt.Println(alice.ID, alice.CreatedAt, err)
	// Output:
	// <nil>
	// alice 2026-01-02 03:04:05 +0000 UTC <nil>
}
