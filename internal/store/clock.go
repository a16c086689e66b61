package store

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/clock"
)

// Readings returns the database's time and what each server last said of its clock, by name.
func (db *DB) Readings(ctx context.Context) (now time.Time, all []clock.Reading, err error) {
	micros, err := one(ctx, db, nil, number, "SELECT "+db.clock())
	if err != nil {
		return now, nil, err
	}
	scan := func(r row) (c clock.Reading, err error) {
		err = r.Scan(&c.Server, &c.Name, moment(&c.Latest), span(&c.Ahead), moment(&c.At), &c.Confirmed, &c.Heard)
		return c, err
	}
	all, err = list(ctx, db, scan, "SELECT server, name, latest, ahead, said_at, confirmed, heard FROM server_clock ORDER BY server")
	return time.UnixMicro(micros).UTC(), all, err
}

// KeepReading stores what a server says of its clock; its count of confirmations stays, and begins with those that it has heard of.
func (db *DB) KeepReading(ctx context.Context, r clock.Reading) error {
	_, err := db.exec(ctx, "INSERT INTO server_clock (server, name, latest, ahead, said_at, confirmed, heard) VALUES ($1, $2, $3, $4, $5, $6, $6) "+
		"ON CONFLICT (server) DO UPDATE SET name = excluded.name, latest = excluded.latest, ahead = excluded.ahead, said_at = excluded.said_at, heard = excluded.heard",
		r.Server, r.Name, micros(r.Latest), r.Ahead.Microseconds(), micros(r.At), r.Heard)
	return err
}

// ConfirmClocks counts one confirmation more for every server.
func (db *DB) ConfirmClocks(ctx context.Context) error {
	_, err := db.exec(ctx, "UPDATE server_clock SET confirmed = confirmed + 1")
	return err
}
