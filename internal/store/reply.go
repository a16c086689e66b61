package store

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// KeptReply returns the request that an actor made under an idempotency key, as
// KeepReply got it, and the answer to it; [fault.NotFound].
func (db *DB) KeptReply(ctx context.Context, actor, key string) (request []byte, reply seed.Sealed, err error) {
	missing := fault.New(fault.NotFound, "no answer is kept for this idempotency key")
	scan := func(r row) (s seed.Sealed, err error) {
		err = r.Scan(&request, &s.KeyID, &s.Blob)
		return s, err
	}
	reply, err = one(ctx, db, missing, scan, "SELECT request, key_id, sealed FROM reply WHERE actor = $1 AND request_key = $2", actor, key)
	return request, reply, err
}

// KeepReply keeps the answer to a request under the idempotency key that the
// actor gave it; [fault.Conflict] if there is one. The answer is sealed with
// seed.ReplyTo(actor + "/" + key).
func (db *DB) KeepReply(ctx context.Context, actor, key string, request []byte, reply seed.Sealed, at time.Time) error {
	taken := fault.New(fault.Conflict, "an answer is kept for this idempotency key already")
	return db.change(ctx, taken, "INSERT INTO reply (actor, request_key, request, key_id, sealed, answered_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
		actor, key, request, reply.KeyID, reply.Blob, micros(at))
}

// DropReplies removes the answers given before a moment, and returns how many.
func (db *DB) DropReplies(ctx context.Context, before time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM reply WHERE answered_at < $1", before.UnixMicro())
}
