package store

import (
	"context"

	"github.com/tallystick/tallystick/internal/distribution"
)

// Holdings tells of the tokens of users that were delivered, or offered. It locks nothing.
func (db *DB) Holdings(ctx context.Context, userIDs []string) ([]distribution.Holding, error) {
	scan := func(r row) (h distribution.Holding, err error) {
		err = r.Scan(&h.Serial, &h.UserID, &h.DeviceID, &h.DeviceType, moment(&h.Until), &h.Lost)
		return h, err
	}
	var all []distribution.Holding
	err := eachChunk(ctx, db, scan, "SELECT t.serial, t.user_id, t.device_id, COALESCE(p.device_type, ''), t.effective_expiry, t.lost_at IS NOT NULL "+
		"FROM token AS t LEFT JOIN profile AS p ON p.name = t.profile WHERE t.distribution <> 'not_distributed' AND t.user_id", userIDs, "ORDER BY t.user_id, t.serial",
		func(h distribution.Holding) { all = append(all, h) })
	return all, err
}
