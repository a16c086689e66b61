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

// Who names one database and has another one in the folder is told which is not used, however the server goes on, and has it left as it is.
func TestServerBesideADatabaseThatIsNotUsed(t *testing.T) {
	if said := start(t, folder(t)).said(); strings.Contains(said, "is not used") {
		t.Errorf("of the one that is used it says %s", said)
	}
	data := folder(t)
	file := filepath.Join(data, "tallystick.db")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, data, "--database", storetest.Postgres(t))
	if n := strings.Count(p.said(), "is not used"); n != 1 || !strings.Contains(p.said(), "file="+file) {
		t.Errorf("that it is not used is said %d times: %s", n, p.said())
	}
	if kept, err := os.ReadFile(file); string(kept) != "kept" {
		t.Errorf("it holds %q: %v", kept, err)
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
