package store

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/distribution"
)

// The tokens of a job, by how far they have come; the first case that fits counts.
var selectCampaign = [2]string{`SELECT stage, COUNT(*), MIN(pending_until), MAX(pending_until) FROM (
	SELECT CASE WHEN t.serial IS NULL OR t.user_id IS NULL OR t.distributed_at IS NULL THEN 'gone'
		WHEN t.delivered_by <> j.id THEN 'delivered_again'
		WHEN t.distribution NOT IN ('issued', 'pending_activation', 'activation_lapsed') THEN 'moved'
		WHEN t.pending_until > $2 THEN 'old_seed_lives'
		ELSE 'not_moved' END AS stage, CASE WHEN t.pending_until > $2 THEN t.pending_until END AS pending_until
	FROM job AS j JOIN job_item AS i ON i.job_id = j.id AND i.state = 'done' LEFT JOIN (SELECT * FROM token`, `) AS t ON t.serial = i.key
	WHERE j.id = $1) AS stages GROUP BY stage`}

// Campaign tells how far the tokens have come that a job delivered.
func (db *DB) Campaign(ctx context.Context, id string, now time.Time) (c distribution.Campaign, err error) {
	within, args := db.inScope(ctx, 2)
	if within != "" {
		within = " WHERE " + within
	}
	err = db.look(ctx, look{selectCampaign[0] + within + selectCampaign[1], append([]any{id, now.UnixMicro()}, args...), func(r row) error {
		var stage string
		var n int
		var first, last time.Time
		if err := r.Scan(&stage, &n, moment(&first), moment(&last)); err != nil {
			return err
		}
		switch stage {
		case "gone":
			c.Gone = n
		case "delivered_again":
			c.DeliveredAgain = n
		case "moved":
			c.Moved = n
		case "old_seed_lives":
			c.OldSeedLives, c.FirstEnd, c.LastEnd = n, first, last
		case "not_moved":
			c.NotMoved = n
		}
		return nil
	}})
	return c, err
}
