package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

// Devices returns the device definitions that were imported, by name. It locks nothing, in a transaction neither.
func (db *DB) Devices(ctx context.Context) ([]device.Definition, error) {
	return list(ctx, db, scanDevice, "SELECT definition, imported_at FROM device_definition ORDER BY name")
}

// DevicesForChange returns them too, and keeps definitions and profiles from being changed by others until the transaction ends.
func (db *DB) DevicesForChange(ctx context.Context) ([]device.Definition, error) {
	number := func(r row) (id int64, err error) {
		err = r.Scan(&id)
		return id, err
	}
	if _, err := list(ctx, db, number, "SELECT id FROM device_guard WHERE id = 1"+db.locked(ctx)); err != nil {
		return nil, err
	}
	return db.Devices(ctx)
}

func scanDevice(r row) (d device.Definition, err error) {
	var definition []byte
	if err := r.Scan(&definition, moment(&d.ImportedAt)); err != nil {
		return d, err
	}
	if err := json.Unmarshal(definition, &d); err != nil {
		return d, fmt.Errorf("store: a device definition: %w", err)
	}
	return d, nil
}

// SaveDevice stores an imported definition, in the place of the one of that name if there is one.
func (db *DB) SaveDevice(ctx context.Context, d device.Definition) error {
	definition, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = db.exec(ctx, "INSERT INTO device_definition (name, version, definition, imported_at) VALUES ($1, $2, $3, $4) "+
		"ON CONFLICT (name) DO UPDATE SET version = excluded.version, definition = excluded.definition, imported_at = excluded.imported_at",
		d.Name, d.Version, string(definition), micros(d.ImportedAt))
	return err
}

// DeleteDevice removes an imported definition; [fault.DeviceNotFound].
func (db *DB) DeleteDevice(ctx context.Context, name string) error {
	missing := fault.New(fault.DeviceNotFound, "no definition of device type %q was imported", name)
	return db.change(ctx, missing, "DELETE FROM device_definition WHERE name = $1", name)
}
