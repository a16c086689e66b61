package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/policy"
)

// Policies returns all policies; what was never saved is the default. It locks nothing.
func (db *DB) Policies(ctx context.Context) (policy.Set, error) {
	return db.policies(ctx, "")
}

// Settings returns the deployment's settings as they are now. It locks nothing.
func (db *DB) Settings(ctx context.Context) (policy.Settings, error) {
	set, err := db.policies(ctx, " AND kind = 'settings'")
	return set.Settings, err
}

func (db *DB) policies(ctx context.Context, also string) (policy.Set, error) {
	set := policy.Default()
	scan := func(r row) (kind string, err error) {
		var settings []byte
		var version int
		if err := r.Scan(&kind, &settings, &version); err != nil {
			return "", err
		}
		switch kind {
		case "token":
			set.Token.Version = version
			err = json.Unmarshal(settings, &set.Token)
		case "lockout":
			set.Lockout.Version = version
			err = json.Unmarshal(settings, &set.Lockout)
		case "settings":
			set.Settings.Version = version
			err = json.Unmarshal(settings, &set.Settings)
		}
		if err != nil {
			err = fmt.Errorf("store: %s policy: %w", kind, err)
		}
		return kind, err
	}
	_, err := list(ctx, db, scan, "SELECT kind, settings, version FROM policy WHERE name = 'default'"+also)
	return set, err
}

// SaveTokenPolicy stores a token policy whose Version is still t.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveTokenPolicy(ctx context.Context, t policy.Token) error {
	return db.savePolicy(ctx, "token", t, t.Version)
}

// SaveLockoutPolicy stores a lockout policy whose Version is still l.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveLockoutPolicy(ctx context.Context, l policy.Lockout) error {
	return db.savePolicy(ctx, "lockout", l, l.Version)
}

// SaveSettings stores settings whose Version is still s.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveSettings(ctx context.Context, s policy.Settings) error {
	return db.savePolicy(ctx, "settings", s, s.Version)
}

func (db *DB) savePolicy(ctx context.Context, kind string, settings any, version int) error {
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	return db.change(ctx, policy.Stale(kind), "UPDATE policy SET settings = $1, version = version + 1 WHERE name = 'default' AND kind = $2 AND version = $3",
		string(text), kind, version)
}
