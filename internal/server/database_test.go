package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// A server that is started without its database denies nobody in the name of an empty one.
func TestServerWithoutItsDatabase(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) (its, mistaken []string){
		"embedded":             func(*testing.T) (its, mistaken []string) { return nil, nil },
		"PostgreSQL, left out": func(t *testing.T) (its, mistaken []string) { return []string{"--database", storetest.Postgres(t)}, nil },
		"another PostgreSQL": func(t *testing.T) (its, mistaken []string) {
			return []string{"--database", storetest.Postgres(t)}, []string{"--database", storetest.Postgres(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			its, mistaken := database(t)
			data := folder(t)
			p := start(t, data, its...)
			poll(t, "the log's first signed head", func() bool {
				info, err := os.Stat(filepath.Join(data, "audit-checkpoints"))
				return err == nil && info.Size() > 0
			})
			p.terminate()
			p.exit()
			file := filepath.Join(data, "tallystick.db")
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			p = launch(t, data, mistaken...)
			if status := p.exit(); status != 3 || !strings.Contains(p.said(), "name that database") {
				t.Errorf("status %d: %s", status, p.said())
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a database was made: %v", err)
			}
			if mistaken != nil {
				if _, err := store.OpenUnchanged(t.Context(), store.Options{URL: mistaken[1]}); !errors.Is(err, fault.NotFound) {
					t.Errorf("the mistaken database is not empty any more: %v", err)
				}
			}
			if its != nil {
				start(t, data, its...)
			}
		})
	}
}

// Who runs PostgreSQL in a way that forgets is told at the start: the one that tests make for themselves is run so.
func TestServerOnADatabaseThatForgets(t *testing.T) {
	database := storetest.Postgres(t)
	db, err := store.Open(t.Context(), store.Options{URL: database})
	defer must(t, db, err).Close()
	risks, err := db.Risks(t.Context())
	must(t, risks, err)
	p := start(t, folder(t), "--database", database)
	if told := strings.ReplaceAll(p.said(), `"`, ""); strings.Contains(told, "off="+strings.Join(risks, ", ")) != (len(risks) > 0) {
		t.Errorf("of %v it says %s", risks, p.said())
	}
}
