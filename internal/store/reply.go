package store

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// KeptReply returns the request that an actor made under an idempotency key, as
// KeepReply got it, and the answer to it; [fault.NotFound]. An answer that was destroyed with a seed has no blob.
func (db *DB) KeptReply(ctx context.Context, actor, key string) (request []byte, reply seed.Sealed, err error) {
	missing := fault.New(fault.NotFound, "no answer is kept for this idempotency key")
	scan := func(r row) (s seed.Sealed, err error) {
		err = r.Scan(&request, &s.KeyID, &s.Blob)
		if len(s.Blob) <= len(destroyed) {
			s = seed.Sealed{}
		}
		return s, err
	}
	reply, err = one(ctx, db, missing, scan, "SELECT request, key_id, sealed FROM reply WHERE actor = $1 AND request_key = $2", actor, key)
	return request, reply, err
}

// KeepReply keeps the answer to a request under the idempotency key that the
// actor gave it; [fault.Conflict] if there is one. The answer is sealed with
// seed.ReplyTo(actor + "/" + key). It is destroyed when the generation of the token is whose serial number is given ("" for none).
func (db *DB) KeepReply(ctx context.Context, actor, key string, request []byte, serial string, generation int, reply seed.Sealed, at time.Time) error {
	taken := fault.New(fault.Conflict, "an answer is kept for this idempotency key already")
	return db.change(ctx, taken, "INSERT INTO reply (actor, request_key, request, serial, generation, key_id, sealed, answered_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
		actor, key, request, orNull(serial), orNull(generation), reply.KeyID, reply.Blob, micros(at))
}

// destroyed stands for an answer that is gone: no sealed one is as short.
const destroyed = "-"

// ofNoSeed holds for what is kept for no generation that its token has: what was made for the one that is to come stays when an old one gives way to it.
func ofNoSeed(table string) string {
	return " AND NOT EXISTS (SELECT 1 FROM token_generation AS g WHERE g.serial = " + table + ".serial AND g.number = " + table + ".generation)"
}

// destroyReplies destroys the answers, the results of jobs and the mails that seeds of tokens may be in which were destroyed, before others are made. The keys
// of the answers stay used.
func (db *DB) destroyReplies(ctx context.Context, serials ...string) error {
	for some := range slices.Chunk(serials, chunk) {
		among, args := db.among(1, anys(some))
		if _, err := db.exec(ctx, "DELETE FROM job_result WHERE serial "+among+ofNoSeed("job_result"), args...); err != nil {
			return err
		}
		if err := db.destroyMail(ctx, some, ofNoSeed("mail_message")); err != nil {
			return err
		}
		among, args = db.among(2, anys(some))
		_, err := db.exec(ctx, "UPDATE reply SET sealed = $1, key_id = (SELECT MAX(id) FROM data_key), serial = NULL WHERE serial "+among+ofNoSeed("reply"), append([]any{[]byte(destroyed)}, args...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// DropReplies removes the answers given before a moment, and returns how many.
func (db *DB) DropReplies(ctx context.Context, before time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM reply WHERE answered_at < $1", before.UnixMicro())
}
