package store

import (
	"context"

	"github.com/tallystick/tallystick/internal/fault"
)

// BeginSerials sets the deployment's range of serials, unless it has one.
func (db *DB) BeginSerials(ctx context.Context, first, last int64) error {
	_, err := db.exec(ctx, "INSERT INTO serial_range (id, next_serial, first_serial, last_serial) VALUES (1, $1, $1, $2) ON CONFLICT DO NOTHING", first, last)
	return err
}

// ReserveSerials takes the next count serials of the range and returns the first: nobody
// else gets them, once the transaction commits. [fault.SerialsExhausted].
func (db *DB) ReserveSerials(ctx context.Context, count int) (first int64, err error) {
	exhausted := fault.New(fault.SerialsExhausted, "the deployment's range has no %d serials left", count)
	err = db.Transact(ctx, func(ctx context.Context) error {
		next, err := one(ctx, db, exhausted, number,
			"UPDATE serial_range SET next_serial = next_serial + $1 WHERE next_serial + $1 <= last_serial + 1 RETURNING next_serial", int64(count))
		first = next - int64(count)
		return err
	})
	return first, err
}
