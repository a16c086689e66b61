package store

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// lookChunk is how many keys one look takes where there may be very many.
const lookChunk = 1024

// eachChunk reads rows by their keys, some at a time and in the order of the keys. The query ends before its condition on
// them, and after goes behind it.
func eachChunk[T any](ctx context.Context, db *DB, scan func(row) (T, error), query string, keys []string, after string, do func(T)) error {
	keys = slices.Sorted(slices.Values(possible(keys)))
	for some := range slices.Chunk(keys, lookChunk) {
		among, args := db.among(1, anys(some))
		found, err := list(ctx, db, scan, query+" "+among+" "+after, args...)
		if err != nil {
			return err
		}
		for _, v := range found {
			do(v)
		}
	}
	return nil
}

// LockUsers returns those of the users that there are, by ID. Within a transaction their rows are locked, in the order of IDs.
func (db *DB) LockUsers(ctx context.Context, ids []string) (map[string]user.User, error) {
	found := make(map[string]user.User, len(ids))
	err := eachChunk(ctx, db, scanUser, "SELECT "+string(userColumns)+" FROM user_account WHERE id", ids, "ORDER BY id"+db.locked(ctx),
		func(u user.User) {
			if domain.ScopeFrom(ctx).Covers(u.Domain) {
				found[u.ID] = u
			}
		})
	return found, err
}

// UsersByID returns those of the users that there are. It locks nothing, also within a transaction.
func (db *DB) UsersByID(ctx context.Context, ids []string) (map[string]user.User, error) {
	found := make(map[string]user.User, len(ids))
	err := eachChunk(ctx, db, scanUser, "SELECT "+string(userColumns)+" FROM user_account WHERE id", ids, "", func(u user.User) { found[u.ID] = u })
	return found, err
}

// TokensHeld counts the tokens of users; a token and its replacement count as one.
func (db *DB) TokensHeld(ctx context.Context, userIDs []string) (map[string]int, error) {
	type holder struct {
		id string
		n  int
	}
	held := map[string]int{}
	scan := func(r row) (h holder, err error) {
		err = r.Scan(&h.id, &h.n)
		return h, err
	}
	err := eachChunk(ctx, db, scan, "SELECT user_id, COUNT(*) FROM token WHERE replaces = '' AND user_id", userIDs, "GROUP BY user_id",
		func(h holder) { held[h.id] = h.n })
	return held, err
}

const candidateSelect = "SELECT serial, user_id, nickname, effective_expiry, version, domain FROM token WHERE "

func scanCandidate(r row) (c token.Candidate, err error) {
	err = r.Scan(&c.Serial, orZero(&c.UserID), &c.Nickname, moment(&c.EffectiveExpiry), &c.Version, &c.Domain)
	return c, err
}

// Candidates returns those of the tokens that there are, by serial. Within a transaction they are locked, in their order.
func (db *DB) Candidates(ctx context.Context, serials []string) (map[string]token.Candidate, error) {
	found := make(map[string]token.Candidate, len(serials))
	err := eachChunk(ctx, db, scanCandidate, candidateSelect+"serial", serials, "ORDER BY serial"+db.locked(ctx),
		func(c token.Candidate) {
			if domain.ScopeFrom(ctx).Covers(c.Domain) {
				found[c.Serial] = c
			}
		})
	return found, err
}

const freeSelect = candidateSelect + "user_id IS NULL AND NOT hardware AND lost_at IS NULL AND (effective_expiry, serial) > ($1, $2) AND domain "

// Free returns at most n software tokens of some security domains that are assigned to nobody and not lost, of those that come after one by last
// valid day and serial. Within a transaction it locks them, and passes over those that others have locked, as long as there are enough; else it
// waits for what these leave.
func (db *DB) Free(ctx context.Context, in []string, after token.Candidate, n int) ([]token.Candidate, error) {
	lock := ""
	if db.current(ctx) != nil {
		lock = db.locksFree()
	}
	in = slices.DeleteFunc(slices.Clone(in), func(name string) bool { return !domain.ScopeFrom(ctx).Covers(name) })
	if len(in) == 0 {
		return nil, nil
	}
	among, args := "= $4", []any{in[0]}
	if len(in) > 1 {
		among, args = db.among(4, anys(in))
	}
	read := func(lock string) ([]token.Candidate, error) {
		return list(ctx, db, scanCandidate, freeSelect+among+" ORDER BY effective_expiry, serial LIMIT $3"+lock,
			append([]any{after.EffectiveExpiry.UnixMicro(), after.Serial, n}, args...)...)
	}
	found, err := read(lock)
	for err == nil && len(found) < n && lock != "" {
		// Others may give back what they hold, also while one waits for something else: what counts is what is there now.
		all, wrong := read("")
		if wrong != nil || len(all) <= len(found) {
			return found, wrong
		}
		found, err = read(db.locked(ctx))
	}
	return found, err
}

// What assigns many tokens: what token.Assign changes, and no other column.
var (
	assignToken = setting("token", "user_id text, assigned_at bigint, assigned_by text, search text, version bigint",
		"enabled = TRUE, pin_hash = NULL, pin_length = 0, pin_set_at = NULL, pin_change = FALSE, pin_history = NULL, pin_serial = ''", "serial text, version bigint")
	assignGeneration = setting("token_generation", "version bigint", "live = TRUE, bad_passcodes = 0", "serial text, state text")
)

// AssignTokens stores that tokens were assigned; [fault.Conflict] if one is not what was read.
func (db *DB) AssignTokens(ctx context.Context, given []token.Given, by string, at time.Time) error {
	changed := fault.New(fault.Conflict, "a token was changed meanwhile: look at the pairing again")
	tokens, generations := bulk{assignToken, nil, changed}, bulk{assignGeneration, nil, changed}
	for _, g := range given {
		tokens.rows = append(tokens.rows, []any{g.To, at.UnixMicro(), by, searchText(g.Serial, g.To, g.Nickname), g.Version + 1, g.Serial, g.Version})
		generations.rows = append(generations.rows, []any{g.Version + 1, g.Serial, current})
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.current(ctx).flush(ctx); err != nil { // one part is in memory, not all
			return db.explain(err)
		}
		return db.atLast(ctx, tokens, generations)
	})
}
