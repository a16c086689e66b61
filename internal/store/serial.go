package store

import (
	"context"
	"fmt"

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
		for {
			next, err := one(ctx, db, exhausted, number,
				"UPDATE serial_range SET next_serial = next_serial + $1 WHERE next_serial + $1 <= last_serial + 1 RETURNING next_serial", int64(count))
			if err != nil {
				return err
			}
			first = next - int64(count)
			// Tokens that were imported may have serials of our range: those are passed by, and what lies among them.
			taken, err := db.lastSerial(ctx, first, next)
			if err != nil || taken == 0 {
				return err
			}
			if further, err := db.lastSerial(ctx, next, next+strideOverTaken); err != nil {
				return err
			} else if further != 0 {
				taken = further
			}
			if err := db.change(ctx, exhausted, "UPDATE serial_range SET next_serial = $1 WHERE last_serial >= $1", taken+1); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return first, nil
}

// ReturnSerials gives serials back that were reserved for a job, if it is not there and they are the last that were. The job has to have been there before
// they were reserved: otherwise it might still come.
func (db *DB) ReturnSerials(ctx context.Context, first int64, count int, job string) error {
	_, err := db.exec(ctx, "UPDATE serial_range SET next_serial = $1 WHERE next_serial = $2 AND NOT EXISTS (SELECT 1 FROM job WHERE id = $3)", first, first+int64(count), job)
	return err
}

// strideOverTaken is how many serials more are looked at once one of them is taken: files hold rows of serials.
const strideOverTaken = 10_000

// lastSerial is the highest serial of a token from first on and before end; 0 if there is none.
func (db *DB) lastSerial(ctx context.Context, first, end int64) (int64, error) {
	return one(ctx, db, nil, number, "SELECT CAST(COALESCE(MAX(serial), '0') AS BIGINT) FROM token WHERE serial >= $1 AND serial < $2",
		fmt.Sprintf("%012d", first), fmt.Sprintf("%012d", end))
}
