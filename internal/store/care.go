package store

import (
	"context"
	"slices"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

// LockTokens returns those of the tokens that there are, by serial. Within a transaction they are locked as Token does it.
func (db *DB) LockTokens(ctx context.Context, serials []string) ([]token.Token, error) {
	serials = slices.Compact(slices.Sorted(slices.Values(possible(serials))))
	if err := db.lockTokens(ctx, serials); err != nil {
		return nil, err
	}
	var all []token.Token
	for some := range slices.Chunk(serials, chunk) {
		among, args := db.among(1, anys(some))
		found, err := db.tokens(ctx, " WHERE serial "+among, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// Partners returns the serials of the tokens that take part in a replacement with others. It locks nothing.
func (db *DB) Partners(ctx context.Context, serials []string) (all []string, err error) {
	for some := range slices.Chunk(possible(serials), chunk) {
		among, args := db.among(1, anys(some))
		found, err := list(ctx, db, text, "SELECT replaces || replaced_by FROM token WHERE serial "+among+" AND (replaces <> '' OR replaced_by <> '')", args...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// DeleteTokens removes tokens with their seeds and activation codes; [fault.Conflict] if one is gone.
func (db *DB) DeleteTokens(ctx context.Context, serials []string) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		var all []statement
		for _, serial := range serials {
			gone := fault.New(fault.Conflict, "token %s was deleted meanwhile", serial)
			all = append(all, statement{"DELETE FROM token WHERE serial = $1", []any{serial}, 1, gone})
		}
		if err := db.batch(ctx, all); err != nil {
			return err
		}
		return db.destroyReplies(ctx, serials...)
	})
}

// RevokeOffersOf ends the open activation codes of tokens as RevokeOffers does those of one.
func (db *DB) RevokeOffersOf(ctx context.Context, serials []string) error {
	_, err := db.revokeOffers(ctx, serials)
	return err
}

func (db *DB) revokeOffers(ctx context.Context, serials []string) (n int, err error) {
	err = db.Transact(ctx, func(ctx context.Context) error {
		n = 0
		for some := range slices.Chunk(serials, chunk) {
			among, args := db.among(1, anys(some))
			revoked, err := list(ctx, db, text, "UPDATE offer SET state = 'revoked' WHERE state = 'open' AND serial "+among+" RETURNING id", args...)
			if err != nil {
				return err
			}
			if len(revoked) == 0 {
				continue
			}
			n += len(revoked)
			among, args = db.among(1, anys(revoked))
			if _, err := db.exec(ctx, "DELETE FROM exchange WHERE sealed IS NULL AND offer_id "+among, args...); err != nil {
				return err
			}
			// A link whose code will never come is of no more use than the code, and may be in one message with it.
			const ofRevoked = " AND (event = 'activation_code' OR EXISTS (SELECT 1 FROM offer AS o WHERE o.serial = mail_message.serial AND o.generation = mail_message.generation AND o.state = 'revoked'))"
			if err := db.destroyMail(ctx, some, ofRevoked); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

const extensionColumns columns = "serial, number, was, until, device, donor, extended_by, extended_at, job"

var insertExtension = extensionColumns.insert("token_extension")

// AddExtensions keeps what was done to the lifetimes of tokens.
func (db *DB) AddExtensions(ctx context.Context, extended []token.Extended) error {
	var all []statement
	for _, x := range extended {
		twice := fault.New(fault.Conflict, "token %s was extended meanwhile: read it again", x.Serial)
		all = append(all, statement{insertExtension, []any{x.Serial, x.Number, micros(x.Was), micros(x.Until), micros(x.Device), x.Donor, x.By, micros(x.At), x.Job}, 1, twice})
	}
	return db.batch(ctx, all)
}

// Extensions lists extensions, by serial and then by their number.
func (db *DB) Extensions(ctx context.Context, f token.ExtensionFilter) ([]token.Extended, error) {
	var c conditions
	if scope, args := db.inScope(ctx, 0); scope != "" {
		c.where, c.args = append(c.where, "serial IN (SELECT serial FROM token WHERE "+scope+")"), args
	}
	c.text("serial = $%d", f.Serial)
	c.text("job = $%d", f.Job)
	if f.After.Serial != "" {
		c.args = append(c.args, f.After.Serial, f.After.Number)
		c.where = append(c.where, "(serial, number) > ("+placesFrom(len(c.args)-1, 2)+")")
	}
	scan := func(r row) (x token.Extended, err error) {
		err = r.Scan(&x.Serial, &x.Number, moment(&x.Was), moment(&x.Until), moment(&x.Device), &x.Donor, &x.By, moment(&x.At), &x.Job)
		return x, err
	}
	return list(ctx, db, scan, "SELECT "+string(extensionColumns)+" FROM token_extension"+c.clause("serial, number", f.Limit), c.args...)
}

// WaitingElsewhere returns those of keys that wait in an open job of a kind which is older than one ("" for any), and no dry run.
func (db *DB) WaitingElsewhere(ctx context.Context, kind, than string, keys []string) ([]string, error) {
	var c conditions
	c.and("state IN ('loading', 'queued', 'running') AND NOT dry_run AND kind = $%d", kind)
	c.text("id < $%d", than)
	open, err := list(ctx, db, text, "SELECT id FROM job"+c.clause("id", 0), c.args...)
	if err != nil || len(open) == 0 { // nearly always
		return nil, err
	}
	var waiting []string
	for _, id := range open {
		for some := range slices.Chunk(possible(keys), chunk) {
			among, args := db.among(2, anys(some))
			found, err := list(ctx, db, text, "SELECT key FROM job_item WHERE state = 'waiting' AND job_id = $1 AND key "+among, append([]any{id}, args...)...)
			if err != nil {
				return nil, err
			}
			waiting = append(waiting, found...)
		}
	}
	return waiting, nil
}
