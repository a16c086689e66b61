package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
)

// A policyRow is a row of the table, or a domain with its parent in place of settings.
type policyRow struct {
	kind, domain string
	settings     []byte // nil if the domain inherits
	version      int
}

func scanPolicy(r row) (p policyRow, err error) {
	err = r.Scan(&p.kind, &p.domain, &p.settings, &p.version)
	return p, err
}

// HoldPolicies has others who change a policy wait until the transaction of ctx ends. It is no lock of rows: most policies have none.
func (db *DB) HoldPolicies(ctx context.Context) error {
	tx := db.current(ctx)
	if tx == nil {
		return nil
	}
	return db.explain(db.takeTurn(ctx, tx, policyTurn))
}

// Policies returns all policies with the domains that they hold in, in one look; what was never saved is the default. It locks nothing.
func (db *DB) Policies(ctx context.Context) (*policy.Tree, error) {
	rows, err := list(ctx, db, scanPolicy, "SELECT kind, domain, settings, version FROM policy UNION ALL SELECT 'domain', name, parent, version FROM security_domain")
	if err != nil {
		return nil, err
	}
	settings, parents := policy.Default().Settings, map[string]string{}
	var records []policy.Record
	for _, r := range rows {
		record := policy.Record{Kind: r.kind, Domain: r.domain, Version: r.version}
		var into any
		switch r.kind {
		case "domain":
			parents[r.domain] = string(r.settings)
			continue
		case "settings":
			settings.Version, into = r.version, &settings
		case "token":
			p := policy.Default().Token
			record.Token, into = &p, &p
		case "lockout":
			p := policy.Default().Lockout
			record.Lockout, into = &p, &p
		}
		if r.settings == nil {
			record.Token, record.Lockout = nil, nil
		} else if err := json.Unmarshal(r.settings, into); err != nil {
			return nil, fmt.Errorf("store: %s policy of domain %q: %w", r.kind, domain.Show(r.domain), err)
		}
		records = append(records, record)
	}
	return policy.NewTree(settings, records, parents), nil
}

// Settings returns the deployment's settings as they are now. It locks nothing.
func (db *DB) Settings(ctx context.Context) (policy.Settings, error) {
	s := policy.Default().Settings
	rows, err := list(ctx, db, scanPolicy, "SELECT kind, domain, settings, version FROM policy WHERE kind = 'settings'")
	for _, r := range rows {
		s.Version = r.version
		if err := json.Unmarshal(r.settings, &s); err != nil {
			return s, fmt.Errorf("store: settings: %w", err)
		}
	}
	return s, err
}

// SaveTokenPolicy stores the token policy of t.Domain, whose version is still t.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveTokenPolicy(ctx context.Context, t policy.Token) error {
	return db.savePolicy(ctx, "token", t.Domain, t, t.Version)
}

// SaveLockoutPolicy stores the lockout policy of l.Domain, whose version is still l.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveLockoutPolicy(ctx context.Context, l policy.Lockout) error {
	return db.savePolicy(ctx, "lockout", l.Domain, l, l.Version)
}

// SaveSettings stores settings whose Version is still s.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveSettings(ctx context.Context, s policy.Settings) error {
	return db.savePolicy(ctx, "settings", domain.Root, s, s.Version)
}

// savePolicy stores a policy. A domain that never had one is at version 1, without a row.
func (db *DB) savePolicy(ctx context.Context, kind, at string, settings any, version int) error {
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	save := "UPDATE policy SET settings = $1, version = version + 1 WHERE kind = $2 AND domain = $3 AND version = $4"
	if version == 1 {
		save = "INSERT INTO policy AS p (settings, kind, domain, version) VALUES ($1, $2, $3, $4 + 1) ON CONFLICT (kind, domain)" +
			" DO UPDATE SET settings = excluded.settings, version = excluded.version WHERE p.version = $4"
	}
	return db.change(ctx, policy.Stale(kind, at), save, string(text), kind, at, version)
}

// DropPolicy takes a domain's own policy of a kind away, whose version is still that one, and counts it up; else [fault.Conflict].
func (db *DB) DropPolicy(ctx context.Context, kind, at string, version int) error {
	return db.change(ctx, policy.Stale(kind, at), "UPDATE policy SET settings = NULL, version = version + 1 WHERE kind = $1 AND domain = $2 AND domain <> '' AND version = $3",
		kind, at, version)
}
