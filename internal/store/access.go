package store

import (
	"context"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

const apiKeyColumns columns = "id, name, role, hash, created_at, expires_at, domain, origin"

func scanAPIKey(r row) (k access.Key, err error) {
	err = r.Scan(&k.ID, &k.Name, &k.Role, &k.Hash, moment(&k.CreatedAt), moment(&k.ExpiresAt), &k.Domain, &k.Origin)
	return k, err
}

// APIKey returns a key by ID; [fault.NotFound].
func (db *DB) APIKey(ctx context.Context, id string) (access.Key, error) {
	missing := fault.New(fault.NotFound, "there is no such API key")
	return one(ctx, db, missing, scanAPIKey, "SELECT "+string(apiKeyColumns)+" FROM api_key WHERE id = $1", id)
}

// APIKeys lists the keys by name.
func (db *DB) APIKeys(ctx context.Context) ([]access.Key, error) {
	var c conditions
	db.within(ctx, &c)
	return list(ctx, db, scanAPIKey, "SELECT "+string(apiKeyColumns)+" FROM api_key"+c.clause("name", 0), c.args...)
}

// AddAPIKey stores a new key; [fault.Conflict] if the name is taken.
func (db *DB) AddAPIKey(ctx context.Context, k access.Key) error {
	taken := fault.New(fault.Conflict, "there is an API key %q already: take another name, or delete that one", k.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, k.Domain)
		if err != nil {
			return err
		}
		return db.change(ctx, taken, apiKeyColumns.insert("api_key"), k.ID, k.Name, k.Role, k.Hash, micros(k.CreatedAt), micros(k.ExpiresAt), at, k.Origin)
	})
}

// DeleteAPIKey removes a key by name, and returns what it was; [fault.NotFound].
func (db *DB) DeleteAPIKey(ctx context.Context, name string) (k access.Key, err error) {
	missing := domain.Outside(ctx, fault.New(fault.NotFound, "there is no API key %q", name), "API key %q", name)
	within, args := db.andInScope(ctx, 1)
	err = db.Transact(ctx, func(ctx context.Context) error {
		k, err = one(ctx, db, missing, scanAPIKey, "DELETE FROM api_key WHERE name = $1"+within+" RETURNING "+string(apiKeyColumns), append([]any{name}, args...)...)
		return err
	})
	return k, err
}
