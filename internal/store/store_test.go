package store_test

import (
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
	"github.com/tallystick/tallystick/internal/store/deploytest"
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

func TestAudit(t *testing.T) {
	for name, url := range deploytest.Databases {
		t.Run(name, func(t *testing.T) {
			storetest.Audit(t, func(t *testing.T) storetest.AuditStore { return deploytest.Open(t, url(t)) })
		})
	}
}

func TestStore(t *testing.T) {
	for name, url := range deploytest.Databases {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Store { return deploytest.Open(t, url(t)) })
		})
	}
}

// Invariant 6 (spec/software-token-lifecycle.md section 17): N users with M≠N tokens changes nothing.
func TestInvariant06CountMismatchChangesNothing(t *testing.T) {
	for name, url := range deploytest.Databases {
		t.Run(name, func(t *testing.T) { storetest.CountMismatch(t, deploytest.Open(t, url(t))) })
	}
}

func TestConcurrency(t *testing.T) {
	for name, url := range deploytest.Databases {
		t.Run(name, func(t *testing.T) {
			storetest.Concurrency(t, func(t *testing.T) [2]storetest.Store {
				same := url(t)
				return [2]storetest.Store{deploytest.Open(t, same), deploytest.Open(t, same)}
			})
		})
	}
}

func TestDeadlock(t *testing.T) {
	url := deploytest.Postgres(t)
	storetest.Deadlock(t, deploytest.Open(t, url), deploytest.Open(t, url))
}

func TestTakenSpare(t *testing.T) {
	url := deploytest.Postgres(t)
	storetest.TakenSpare(t, deploytest.Open(t, url), deploytest.Open(t, url))
}
