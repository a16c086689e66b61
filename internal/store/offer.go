package store

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
)

const offerColumns columns = "id, serial, user_id, profile, code_hash, generation, digits, interval_seconds, pin_type, device_id, " +
	"created_at, expires_at, issued_by, state, failures, abandoned, correlation"

func offerValues(o distribution.Offer) []any {
	return []any{o.ID, o.Serial, o.UserID, o.Profile, o.CodeHash, o.Generation, o.Settings.Digits, o.Settings.Interval, o.Settings.PINType, o.DeviceID,
		micros(o.CreatedAt), micros(o.ExpiresAt), o.IssuedBy, o.State, o.Failures, o.Abandoned, o.Correlation}
}

func scanOffer(r row) (o distribution.Offer, err error) {
	err = r.Scan(&o.ID, &o.Serial, &o.UserID, &o.Profile, &o.CodeHash, &o.Generation, &o.Settings.Digits, &o.Settings.Interval, &o.Settings.PINType, &o.DeviceID,
		moment(&o.CreatedAt), moment(&o.ExpiresAt), &o.IssuedBy, &o.State, &o.Failures, &o.Abandoned, &o.Correlation)
	return o, err
}

// AddOffers stores open activation codes, all or none; [fault.Conflict] if a hash is taken, or if a token has an open one.
func (db *DB) AddOffers(ctx context.Context, offers []distribution.Offer) error {
	added := bulk{insertOffer, make([][]any, len(offers)), fault.New(fault.Conflict, "an activation code is taken, or a token has an open one")}
	for i, o := range offers {
		added.rows[i] = offerValues(o)
	}
	return db.write(ctx, added)
}

var insertOffer = inserting("offer", offerColumns.typed("bytea", "code_hash",
	"bigint", "generation, digits, interval_seconds, created_at, expires_at, failures, abandoned"))

// OfferByCode returns the offer with that code hash, whatever its state; [fault.ActivationUnknown].
// Within a transaction the row is locked for change, as by the other readers of offers and exchanges.
func (db *DB) OfferByCode(ctx context.Context, codeHash []byte) (distribution.Offer, error) {
	return db.offer(ctx, "code_hash = $1", codeHash)
}

// Offer returns an offer by ID; [fault.ActivationUnknown].
func (db *DB) Offer(ctx context.Context, id string) (distribution.Offer, error) {
	return db.offer(ctx, "id = $1", id)
}

// OpenOffer returns the open offer of a token; [fault.ActivationUnknown] if it has none.
func (db *DB) OpenOffer(ctx context.Context, serial string) (distribution.Offer, error) {
	return db.offer(ctx, "serial = $1 AND state = 'open'", serial)
}

func (db *DB) offer(ctx context.Context, where string, arg any) (distribution.Offer, error) {
	missing := fault.New(fault.ActivationUnknown, "there is no such activation code")
	return one(ctx, db, missing, scanOffer, "SELECT "+string(offerColumns)+" FROM offer WHERE "+where+db.locked(ctx), arg)
}

// OpenOffers returns when the open activation codes of tokens expire, by serial; tokens without one are left out.
func (db *DB) OpenOffers(ctx context.Context, serials []string) (map[string]time.Time, error) {
	type open struct {
		serial  string
		expires time.Time
	}
	scan := func(r row) (o open, err error) {
		err = r.Scan(&o.serial, moment(&o.expires))
		return o, err
	}
	expires := map[string]time.Time{}
	for some := range slices.Chunk(serials, chunk) {
		found, err := list(ctx, db, scan, "SELECT serial, expires_at FROM offer WHERE state = 'open' AND serial IN ("+places(len(some))+")", anys(some)...)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			expires[o.serial] = o.expires
		}
	}
	return expires, nil
}

// SaveOffer stores the state and the counters of an offer; [fault.ActivationUnknown].
func (db *DB) SaveOffer(ctx context.Context, o distribution.Offer) error {
	missing := fault.New(fault.ActivationUnknown, "there is no such activation code")
	return db.change(ctx, missing, "UPDATE offer SET (state, failures, abandoned) = ($1, $2, $3) WHERE id = $4", o.State, o.Failures, o.Abandoned, o.ID)
}

// RevokeOffers ends the open activation code of a token, with the exchanges of it that
// are not finished and the mail that would bring it, and returns how many there were.
func (db *DB) RevokeOffers(ctx context.Context, serial string) (int, error) {
	return db.revokeOffers(ctx, []string{serial})
}
