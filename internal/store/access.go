package store

import (
	"context"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
)

const apiKeyColumns columns = "id, name, role, hash, created_at, expires_at"

func scanAPIKey(r row) (k access.Key, err error) {
	err = r.Scan(&k.ID, &k.Name, &k.Role, &k.Hash, moment(&k.CreatedAt), moment(&k.ExpiresAt))
	return k, err
}

// APIKey returns a key by ID; [fault.NotFound].
func (db *DB) APIKey(ctx context.Context, id string) (access.Key, error) {
	missing := fault.New(fault.NotFound, "there is no such API key")
	return one(ctx, db, missing, scanAPIKey, "SELECT "+string(apiKeyColumns)+" FROM api_key WHERE id = $1", id)
}

// APIKeys lists the keys by name.
func (db *DB) APIKeys(ctx context.Context) ([]access.Key, error) {
	return list(ctx, db, scanAPIKey, "SELECT "+string(apiKeyColumns)+" FROM api_key ORDER BY name")
}

// AddAPIKey stores a new key; [fault.Conflict] if the name is taken.
func (db *DB) AddAPIKey(ctx context.Context, k access.Key) error {
	taken := fault.New(fault.Conflict, "there is an API key %q already: take another name, or delete that one", k.Name)
	return db.change(ctx, taken, apiKeyColumns.insert("api_key"), k.ID, k.Name, k.Role, k.Hash, micros(k.CreatedAt), micros(k.ExpiresAt))
}

// DeleteAPIKey removes a key by name; [fault.NotFound].
func (db *DB) DeleteAPIKey(ctx context.Context, name string) error {
	missing := fault.New(fault.NotFound, "there is no API key %q", name)
	return db.change(ctx, missing, "DELETE FROM api_key WHERE name = $1", name)
}
