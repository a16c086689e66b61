// Package report tells what there is and what happened: live statistics, and
// reports as tables (spec/software-token-lifecycle.md section 13).
package report

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/policy"
)

// Store is what reports need of the database.
type Store interface {
	// Statistics counts what there is, in one look.
	Statistics(ctx context.Context, q Question) (Statistics, error)
}

// Policies tells the policies that hold now: a policy.Registry.
type Policies interface {
	Current(ctx context.Context) (policy.Set, error)
}

// A Registry makes reports. It is safe for concurrent use.
type Registry struct {
	Store    Store
	Policies Policies
	Now      func() time.Time
}
