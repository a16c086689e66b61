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

// possible are those of the IDs that a row can have. One that none has must not keep the others of a list from being found.
func possible(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !storable([]any{id}) })
}

// Subjects returns those users of the IDs that are there, with their tokens. Within a transaction their guards are
// locked first, in order, so that the tokens are as the one before has left them.
func (db *DB) Subjects(ctx context.Context, userIDs []string) ([]authentication.Subject, error) {
	ids := possible(userIDs)
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
	if ids = possible(ids); len(ids) == 0 {
		return nil, nil
	}
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

// How Settle writes.
var (
	settleUse = updating("token_generation", "last_interval bigint, clock_offset bigint, bad_passcodes bigint, last_used_at bigint, last_agent text",
		"serial text, number bigint, version bigint, last_interval bigint", "live")
	settleGuard = updating("user_guard", "own_count bigint, own_since bigint, own_locked_at bigint, "+
		"strange_count bigint, strange_since bigint, strange_locked_at bigint, sources bytea", "user_id text", "")
	settleBegun = inserting("attempt", "id text, agent text, user_id text, turn bigint, expires_at bigint, key_id bigint, sealed bytea")
	settleTurn  = updating("attempt", "turn bigint, expires_at bigint, key_id bigint, sealed bytea", "id text, turn bigint", "")
	settleEnd   = deleting("attempt", "id text")
	settleKept  = inserting("decision", "request_key bytea, expires_at bigint, key_id bigint, sealed bytea")
)

// Settle writes what was decided, when the transaction commits. The use of a code is one conditional write: whoever asks at the same moment, and on
// whichever server, one of them finds the guard where it was. [fault.Conflict] if anything is not what it was decided by.
func (db *DB) Settle(ctx context.Context, s authentication.Settlement) error {
	changed := fault.New(fault.Conflict, "something changed meanwhile: decide again")
	rows := map[*way][][]any{}
	add := func(w *way, values ...any) { rows[w] = append(rows[w], values) }
	for _, u := range s.Uses {
		add(&settleUse, u.After.LastInterval, u.After.Offset, u.After.BadPasscodes, micros(u.After.LastUsedAt), u.After.LastAgent,
			u.Serial, u.Number, u.Version, u.Before.LastInterval)
	}
	for _, g := range s.Guards {
		add(&settleGuard, g.Own.Count, micros(g.Own.Since), micros(g.Own.LockedAt), g.Strange.Count, micros(g.Strange.Since), micros(g.Strange.LockedAt),
			bytesOrNull(g.Sources), g.UserID)
	}
	for _, a := range s.Attempts {
		if a.Before() == 0 {
			add(&settleBegun, a.ID, a.Agent, a.UserID, a.Turn, micros(a.ExpiresAt), a.Sealed.KeyID, a.Sealed.Blob)
		} else {
			add(&settleTurn, a.Turn, micros(a.ExpiresAt), a.Sealed.KeyID, a.Sealed.Blob, a.ID, a.Before())
		}
	}
	for _, id := range s.Ended {
		add(&settleEnd, id)
	}
	for _, k := range s.Decided {
		add(&settleKept, k.Key, micros(k.ExpiresAt), k.Sealed.KeyID, k.Sealed.Blob)
	}
	var all []bulk
	for _, w := range []*way{&settleUse, &settleGuard, &settleBegun, &settleTurn, &settleEnd, &settleKept} {
		all = append(all, bulk{*w, rows[w], changed})
	}
	return db.atLast(ctx, all...)
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
