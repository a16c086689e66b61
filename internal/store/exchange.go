package store

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
)

const exchangeColumns columns = "id, offer_id, dialect, nonce, server_key_id, device_id, begun_at, used_at, request, key_id, sealed, replied_at"

func exchangeValues(x distribution.Exchange) []any {
	return []any{x.ID, x.OfferID, x.Dialect, x.Nonce, x.KeyID, x.DeviceID, micros(x.BegunAt), micros(x.UsedAt), bytesOrNull(x.Request),
		orNull(x.Reply.KeyID), bytesOrNull(x.Reply.Blob), micros(x.RepliedAt)}
}

func scanExchange(r row) (x distribution.Exchange, err error) {
	err = r.Scan(&x.ID, &x.OfferID, &x.Dialect, &x.Nonce, &x.KeyID, &x.DeviceID, moment(&x.BegunAt), moment(&x.UsedAt), &x.Request,
		orZero(&x.Reply.KeyID), &x.Reply.Blob, moment(&x.RepliedAt))
	return x, err
}

// AddExchange stores an exchange and drops the oldest unused ones of the same offer
// beyond keep; it returns how many it dropped. [fault.Conflict] if the ID is taken.
func (db *DB) AddExchange(ctx context.Context, x distribution.Exchange, keep int) (dropped int, err error) {
	err = db.Transact(ctx, func(ctx context.Context) error {
		taken := fault.New(fault.Conflict, "there is an exchange with this ID already")
		if err := db.change(ctx, taken, exchangeColumns.insert("exchange"), exchangeValues(x)...); err != nil {
			return err
		}
		older, err := list(ctx, db, blob, "SELECT id FROM exchange WHERE offer_id = $1 AND used_at IS NULL AND id <> $2 ORDER BY begun_at DESC, id", x.OfferID, x.ID)
		if err != nil {
			return err
		}
		older = older[min(len(older), max(0, keep-1)):]
		for _, id := range older {
			if _, err := db.exec(ctx, "DELETE FROM exchange WHERE id = $1", id); err != nil {
				return err
			}
		}
		dropped = len(older)
		return nil
	})
	return dropped, err
}

// Exchange returns and locks an exchange by the hash of its session ID; [fault.NotFound].
func (db *DB) Exchange(ctx context.Context, id []byte) (distribution.Exchange, error) {
	missing := fault.New(fault.NotFound, "there is no such exchange")
	return one(ctx, db, missing, scanExchange, "SELECT "+string(exchangeColumns)+" FROM exchange WHERE id = $1"+db.locked(ctx), id)
}

// SaveExchange stores what the client's nonce led to; [fault.NotFound].
func (db *DB) SaveExchange(ctx context.Context, x distribution.Exchange) error {
	missing := fault.New(fault.NotFound, "there is no such exchange")
	return db.change(ctx, missing, "UPDATE exchange SET (used_at, request, key_id, sealed, replied_at) = ($1, $2, $3, $4, $5) WHERE id = $6",
		micros(x.UsedAt), bytesOrNull(x.Request), orNull(x.Reply.KeyID), bytesOrNull(x.Reply.Blob), micros(x.RepliedAt), x.ID)
}

// DropExchanges removes those begun before a moment, and returns how many.
func (db *DB) DropExchanges(ctx context.Context, before time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM exchange WHERE begun_at < $1", before.UnixMicro())
}
