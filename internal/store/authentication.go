package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// many is the list of values for "IN", with the number of placeholders rounded up to a power of two by repeating the
// last value, so that there are few texts to prepare.
func many[T any](values []T) (list string, args []any) {
	args = anys(values)
	n := 1
	for n < len(args) {
		n *= 2
	}
	for len(args) < n {
		args = append(args, args[len(args)-1])
	}
	return "(" + places(n) + ")", args
}

const guardColumns columns = "user_id, own_count, own_since, own_locked_at, strange_count, strange_since, strange_locked_at, sources"

func scanSubject(r row) (s authentication.Subject, err error) {
	u, g := &s.User, &s.Guard
	var search string
	err = r.Scan(&u.ID, &u.Name, &u.Mail, &u.Enabled, moment(&u.CreatedAt), &u.Version, &search,
		&g.UserID, &g.Own.Count, moment(&g.Own.Since), moment(&g.Own.LockedAt), &g.Strange.Count, moment(&g.Strange.Since), moment(&g.Strange.LockedAt), &g.Sources)
	return s, err
}

var subjectSelect = "SELECT " + userColumns.of("u") + ", " + guardColumns.of("g") + " FROM user_guard AS g JOIN user_account AS u ON u.id = g.user_id WHERE g.user_id IN "

// Subjects returns those users of the IDs that are there, with their tokens. Within a transaction their guards are
// locked first, in order, so that the tokens are as the one before has left them.
func (db *DB) Subjects(ctx context.Context, userIDs []string) ([]authentication.Subject, error) {
	ids := slices.DeleteFunc(slices.Clone(userIDs), func(id string) bool { return !storable([]any{id}) })
	if len(ids) == 0 {
		return nil, nil
	}
	among, args := many(ids)
	lock := ""
	if db.current(ctx) != nil {
		lock = db.locksOf("g")
	}
	found, err := list(ctx, db, scanSubject, subjectSelect+among+" ORDER BY g.user_id"+lock, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	tokens, err := db.tokens(ctx, " WHERE user_id IN "+among, args...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b authentication.Subject) int { return cmp.Compare(a.User.ID, b.User.ID) })
	for _, t := range tokens {
		i, held := slices.BinarySearchFunc(found, t.UserID, func(s authentication.Subject, id string) int { return cmp.Compare(s.User.ID, id) })
		if held {
			found[i].Tokens = append(found[i].Tokens, t)
		}
	}
	return found, nil
}

func scanGuard(r row) (g authentication.Guard, err error) {
	err = r.Scan(&g.UserID, &g.Own.Count, moment(&g.Own.Since), moment(&g.Own.LockedAt), &g.Strange.Count, moment(&g.Strange.Since), moment(&g.Strange.LockedAt), &g.Sources)
	return g, err
}

// Guards returns those of users by their IDs. It locks nothing.
func (db *DB) Guards(ctx context.Context, userIDs []string) (map[string]authentication.Guard, error) {
	all := map[string]authentication.Guard{}
	for some := range slices.Chunk(userIDs, chunk) {
		among, args := many(some)
		found, err := list(ctx, db, scanGuard, "SELECT "+string(guardColumns)+" FROM user_guard WHERE user_id IN "+among, args...)
		if err != nil {
			return nil, err
		}
		for _, g := range found {
			all[g.UserID] = g
		}
	}
	return all, nil
}

const attemptColumns columns = "id, agent, user_id, turn, expires_at, key_id, sealed"

func scanAttempt(r row) (a authentication.Attempt, err error) {
	err = r.Scan(&a.ID, &a.Agent, &a.UserID, &a.Turn, moment(&a.ExpiresAt), &a.Sealed.KeyID, &a.Sealed.Blob)
	return a, err
}

// Attempts returns those attempts of the IDs that are there; within a transaction they are locked, in order.
func (db *DB) Attempts(ctx context.Context, ids []string) ([]authentication.Attempt, error) {
	among, args := many(ids)
	return list(ctx, db, scanAttempt, "SELECT "+string(attemptColumns)+" FROM attempt WHERE id IN "+among+" ORDER BY id"+db.locked(ctx), args...)
}

func scanKept(r row) (k authentication.Kept, err error) {
	err = r.Scan(&k.Key, moment(&k.ExpiresAt), &k.Sealed.KeyID, &k.Sealed.Blob)
	return k, err
}

// Decided returns what was kept for those of the keys that were decided before.
func (db *DB) Decided(ctx context.Context, keys [][]byte) ([]authentication.Kept, error) {
	among, args := many(keys)
	return list(ctx, db, scanKept, "SELECT request_key, expires_at, key_id, sealed FROM decision WHERE request_key IN "+among, args...)
}

// The statements of Settle, one row each.
var (
	settleUse = "UPDATE token_generation SET last_interval = $1, clock_offset = $2, bad_passcodes = $3, last_used_at = $4, last_agent = $5 " +
		"WHERE serial = $6 AND number = $7 AND version = $8 AND live AND last_interval = $9"
	settleGuard = "UPDATE user_guard SET (own_count, own_since, own_locked_at, strange_count, strange_since, strange_locked_at, sources) = " +
		"($1, $2, $3, $4, $5, $6, $7) WHERE user_id = $8"
	settleBegun = attemptColumns.insert("attempt")
	settleTurn  = "UPDATE attempt SET (turn, expires_at, key_id, sealed) = ($1, $2, $3, $4) WHERE id = $5 AND turn = $6"
	settleEnd   = "DELETE FROM attempt WHERE id = $1"
	settleKept  = "INSERT INTO decision (request_key, expires_at, key_id, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)

// Settle writes what was decided. The use of a code is one conditional write: whoever asks at the same moment, and on
// whichever server, one of them finds the guard where it was. [fault.Conflict] if anything is not what it was decided by.
func (db *DB) Settle(ctx context.Context, s authentication.Settlement) error {
	changed := fault.New(fault.Conflict, "something changed meanwhile: decide again")
	var all []statement
	add := func(query string, args ...any) { all = append(all, statement{query, args, 1, changed}) }
	for _, u := range s.Uses {
		add(settleUse, u.After.LastInterval, u.After.Offset, u.After.BadPasscodes, micros(u.After.LastUsedAt), u.After.LastAgent,
			u.Serial, u.Number, u.Version, u.Before.LastInterval)
	}
	for _, g := range s.Guards {
		add(settleGuard, g.Own.Count, micros(g.Own.Since), micros(g.Own.LockedAt), g.Strange.Count, micros(g.Strange.Since), micros(g.Strange.LockedAt),
			bytesOrNull(g.Sources), g.UserID)
	}
	for _, a := range s.Attempts {
		if a.Before() == 0 {
			add(settleBegun, a.ID, a.Agent, a.UserID, a.Turn, micros(a.ExpiresAt), a.Sealed.KeyID, a.Sealed.Blob)
		} else {
			add(settleTurn, a.Turn, micros(a.ExpiresAt), a.Sealed.KeyID, a.Sealed.Blob, a.ID, a.Before())
		}
	}
	for _, id := range s.Ended {
		add(settleEnd, id)
	}
	for _, k := range s.Decided {
		add(settleKept, k.Key, micros(k.ExpiresAt), k.Sealed.KeyID, k.Sealed.Blob)
	}
	return db.batch(ctx, all)
}

// DropAttempts removes attempts and kept decisions that expired before a time.
func (db *DB) DropAttempts(ctx context.Context, before time.Time) error {
	for _, table := range []string{"attempt", "decision"} {
		if _, err := db.exec(ctx, "DELETE FROM "+table+" WHERE expires_at < $1", micros(before)); err != nil {
			return err
		}
	}
	return nil
}
