package store_test

import (
	"path/filepath"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

var (
	_ seed.KeyStore        = (*store.DB)(nil)
	_ user.Store           = (*store.DB)(nil)
	_ user.GroupStore      = (*store.DB)(nil)
	_ domain.Store         = (*store.DB)(nil)
	_ directory.Store      = (*store.DB)(nil)
	_ profile.Store        = (*store.DB)(nil)
	_ token.Store          = (*store.DB)(nil)
	_ access.Store         = (*store.DB)(nil)
	_ access.AgentStore    = (*store.DB)(nil)
	_ access.RADIUSStore   = (*store.DB)(nil)
	_ audit.Store          = (*store.DB)(nil)
	_ distribution.Store   = (*store.DB)(nil)
	_ authentication.Store = (*store.DB)(nil)
	_ records.Store        = (*store.DB)(nil)
	_ report.Store         = (*store.DB)(nil)
)

func open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// databases are fresh databases of both kinds, by URL.
var databases = map[string]func(testing.TB) string{
	"SQLite":     func(t testing.TB) string { return filepath.Join(t.TempDir(), "tallystick.db") },
	"PostgreSQL": storetest.Postgres,
}

func TestAudit(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			storetest.Audit(t, func(t *testing.T) storetest.AuditStore { return open(t, url(t)) })
		})
	}
}

func TestStore(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, url(t)) })
		})
	}
}

// Invariant 6 (spec/software-token-lifecycle.md section 17): N users with M≠N tokens changes nothing.
func TestInvariant06CountMismatchChangesNothing(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) { storetest.CountMismatch(t, open(t, url(t))) })
	}
}

func TestConcurrency(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			storetest.Concurrency(t, func(t *testing.T) [2]storetest.Store {
				same := url(t)
				return [2]storetest.Store{open(t, same), open(t, same)}
			})
		})
	}
}

func TestDeadlock(t *testing.T) {
	url := storetest.Postgres(t)
	storetest.Deadlock(t, open(t, url), open(t, url))
}
