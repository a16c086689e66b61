package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/report"
)

// Spans of the tallies of moments, in microseconds.
const (
	daySpan   = 86_400_000_000
	offerSpan = 600_000_000
)

// selectStatistics reads each tally once. Where a moment cuts a span in two, the part is counted through an index; what is rare is, too.
// What security domains with policies of their own change about new PINs, next tokencodes and locked users is at %[1]s, %[2]s and %[3]s.
const selectStatistics = `SELECT t.total, m.hardware, t.assigned, t.enabled, t.total - t.enabled, t.lost, t.replacement, t.replaced, t.over, t.unconfirmed,
	m.available, m.lasting, m.expired, m.expiring,
	t.new_pin + m.old_pins + (SELECT COUNT(*) FROM token
		WHERE pin_set_at IS NOT NULL AND pin_hash IS NOT NULL AND NOT pin_change AND pin_used AND user_id IS NOT NULL AND pin_set_at >= $6 AND pin_set_at <= $7)%[1]s,
	(SELECT COUNT(*) FROM token_generation WHERE live AND state = 'current' AND bad_passcodes > 0 AND bad_passcodes >= $8)
		+ (SELECT COUNT(*) FROM token_generation AS g JOIN token AS t ON t.serial = g.serial
			WHERE NOT g.live AND g.state = 'current' AND g.bad_passcodes > 0 AND g.bad_passcodes >= $8 AND t.user_id IS NOT NULL)%[2]s,
	(SELECT COUNT(*) FROM user_guard WHERE own_locked_at IS NOT NULL AND own_locked_at > $9)%[3]s,
	m.offers + (SELECT COUNT(*) FROM offer WHERE state = 'open' AND expires_at > $11 AND expires_at < $12)
FROM (SELECT
		CAST(COALESCE(SUM(n), 0) AS BIGINT) AS total,
		CAST(COALESCE(SUM(CASE WHEN assigned THEN n END), 0) AS BIGINT) AS assigned,
		CAST(COALESCE(SUM(CASE WHEN enabled THEN n END), 0) AS BIGINT) AS enabled,
		CAST(COALESCE(SUM(CASE WHEN lost THEN n END), 0) AS BIGINT) AS lost,
		CAST(COALESCE(SUM(CASE WHEN replacement THEN n END), 0) AS BIGINT) AS replacement,
		CAST(COALESCE(SUM(CASE WHEN replaced THEN n END), 0) AS BIGINT) AS replaced,
		CAST(COALESCE(SUM(CASE WHEN issues > $1 THEN n END), 0) AS BIGINT) AS over,
		CAST(COALESCE(SUM(CASE WHEN distribution NOT IN ('not_distributed', 'confirmed') THEN n END), 0) AS BIGINT) AS unconfirmed,
		CAST(COALESCE(SUM(CASE WHEN new_pin THEN n END), 0) AS BIGINT) AS new_pin
	FROM token_tally) AS t,
	(SELECT
		CAST(COALESCE(SUM(CASE WHEN kind = 'free' AND span >= $2 THEN n END), 0) AS BIGINT) AS available,
		CAST(COALESCE(SUM(CASE WHEN kind = 'free' AND span >= $3 THEN n WHEN kind = 'hardware free' AND span >= $3 THEN -n END), 0) AS BIGINT) AS lasting,
		CAST(COALESCE(SUM(CASE WHEN kind IN ('hardware free', 'hardware held') THEN n END), 0) AS BIGINT) AS hardware,
		CAST(COALESCE(SUM(CASE WHEN kind IN ('free', 'held') AND span < $2 THEN n END), 0) AS BIGINT) AS expired,
		CAST(COALESCE(SUM(CASE WHEN kind IN ('free', 'held') AND span >= $2 AND span < $4 THEN n END), 0) AS BIGINT) AS expiring,
		CAST(COALESCE(SUM(CASE WHEN kind = 'pin' AND span < $5 THEN n END), 0) AS BIGINT) AS old_pins,
		CAST(COALESCE(SUM(CASE WHEN kind = 'offer' AND span > $10 THEN n END), 0) AS BIGINT) AS offers
	FROM moment_tally) AS m`

// selectPart counts the tokens of a part of the deployment, by looking at each of them: %[1]s is the condition that they are in the scope,
// and the others are those of selectStatistics.
const selectPart = `SELECT t.total, t.hardware, t.assigned, t.enabled, t.total - t.enabled, t.lost, t.replacement, t.replaced, t.over, t.unconfirmed,
	t.available, t.lasting, t.expired, t.expiring, t.new_pin%[2]s,
	(SELECT COUNT(*) FROM token AS n JOIN token_generation AS g ON g.serial = n.serial WHERE %[1]s AND n.user_id IS NOT NULL AND g.state = 'current' AND g.bad_passcodes >= $6)%[3]s,
	(SELECT COUNT(*) FROM user_account AS u JOIN user_guard AS g ON g.user_id = u.id WHERE %[1]s AND g.own_locked_at > $7)%[4]s,
	(SELECT COUNT(*) FROM token AS n JOIN offer AS o ON o.serial = n.serial WHERE %[1]s AND o.state = 'open' AND o.expires_at > $8)
FROM (SELECT
		COUNT(*) AS total,
		CAST(COALESCE(SUM(CASE WHEN hardware THEN 1 END), 0) AS BIGINT) AS hardware,
		CAST(COALESCE(SUM(CASE WHEN user_id IS NOT NULL THEN 1 END), 0) AS BIGINT) AS assigned,
		CAST(COALESCE(SUM(CASE WHEN enabled THEN 1 END), 0) AS BIGINT) AS enabled,
		CAST(COALESCE(SUM(CASE WHEN lost_at IS NOT NULL THEN 1 END), 0) AS BIGINT) AS lost,
		CAST(COALESCE(SUM(CASE WHEN replaces <> '' THEN 1 END), 0) AS BIGINT) AS replacement,
		CAST(COALESCE(SUM(CASE WHEN replaced_by <> '' THEN 1 END), 0) AS BIGINT) AS replaced,
		CAST(COALESCE(SUM(CASE WHEN issue_count - issues_forgiven > $1 THEN 1 END), 0) AS BIGINT) AS over,
		CAST(COALESCE(SUM(CASE WHEN distribution NOT IN ('not_distributed', 'confirmed') THEN 1 END), 0) AS BIGINT) AS unconfirmed,
		CAST(COALESCE(SUM(CASE WHEN user_id IS NULL AND lost_at IS NULL AND effective_expiry >= $2 THEN 1 END), 0) AS BIGINT) AS available,
		CAST(COALESCE(SUM(CASE WHEN user_id IS NULL AND NOT hardware AND lost_at IS NULL AND effective_expiry >= $3 THEN 1 END), 0) AS BIGINT) AS lasting,
		CAST(COALESCE(SUM(CASE WHEN effective_expiry < $2 THEN 1 END), 0) AS BIGINT) AS expired,
		CAST(COALESCE(SUM(CASE WHEN effective_expiry >= $2 AND effective_expiry < $4 THEN 1 END), 0) AS BIGINT) AS expiring,
		CAST(COALESCE(SUM(CASE WHEN user_id IS NOT NULL AND pin_used AND (pin_hash IS NULL OR pin_change OR pin_set_at <= $5) THEN 1 END), 0) AS BIGINT) AS new_pin
	FROM token WHERE %[1]s) AS t`

// Statistics counts what there is, in one look: of a limited scope by looking at each token, else from the tallies.
func (db *DB) Statistics(ctx context.Context, q report.Question) (report.Statistics, error) {
	scan := func(r row) (s report.Statistics, err error) {
		err = r.Scan(&s.Total, &s.Hardware, &s.Assigned, &s.Enabled, &s.Disabled, &s.Lost, &s.Replacement, &s.Replaced, &s.OverLimit, &s.NeverConfirmed,
			&s.Available, &s.AvailableNext, &s.Expired, &s.Expiring, &s.NewPIN, &s.NextTokencode, &s.LockedUsers, &s.PendingActivations)
		return s, err
	}
	args := []any{q.IssueLimit, q.Today, q.LastsUntil, q.ExpiringUntil, q.PINsSetUntil, q.BadPasscodes, q.LocksSinceThen, q.Now}
	if condition, names := db.inScope(ctx, len(args)); condition != "" {
		args = append(args, names...)
		x := db.exceptions(ctx, q, condition, args)
		return one(ctx, db, nil, scan, fmt.Sprintf(selectPart, condition, x.pins, x.next, x.locked), x.args...)
	}
	oldPINs, offers := q.PINsSetUntil/daySpan, q.Now/offerSpan
	// A last day is a whole one: the first that is not before a moment is the one that begins at it or after.
	x := db.exceptions(ctx, q, "", []any{q.IssueLimit, q.Today / daySpan, (q.LastsUntil + daySpan - 1) / daySpan, q.ExpiringUntil / daySpan,
		oldPINs, oldPINs * daySpan, q.PINsSetUntil, q.BadPasscodes, q.LocksSinceThen, offers, q.Now, (offers + 1) * offerSpan})
	return one(ctx, db, nil, scan, fmt.Sprintf(selectStatistics, x.pins, x.next, x.locked), x.args...)
}

// exceptions are terms that correct counts which were made by the deployment's limits.
type exceptions struct {
	pins, next, locked string
	args               []any
}

// exceptions looks at what lies between the limits of the deployment and those of domains: rare things, through their indexes. The
// condition is the one that tokens are in the scope of ctx, "" for all, and args are those of the query that the terms go into.
func (db *DB) exceptions(ctx context.Context, q report.Question, condition string, args []any) exceptions {
	x := exceptions{args: args}
	scope := domain.ScopeFrom(ctx)
	here := ""
	if condition != "" {
		here = " AND n.serial IN (SELECT serial FROM token WHERE " + condition + ")"
	}
	// term counts what lies over one limit and up to another: as more where that is what the exception adds.
	term := func(more bool, from string, low, high int64) string {
		sign := " - "
		if more {
			sign = " + "
		}
		x.args = append(x.args, low, high)
		return sign + fmt.Sprintf("(SELECT COUNT(*) FROM "+from+")", fmt.Sprintf("> $%d", len(x.args)-1), fmt.Sprintf("<= $%d", len(x.args)))
	}
	for _, e := range q.Exceptions {
		people := func(of []string) string {
			among, more := db.among(len(x.args)+1, anys(of))
			x.args = append(x.args, more...)
			return "IN (SELECT id FROM user_account WHERE domain <> '' AND domain " + among + ")"
		}
		if a, b := q.PINsSetUntil, e.PINsSetUntil; a != b {
			x.pins += term(b > a, "token AS n WHERE n.pin_set_at IS NOT NULL AND n.pin_hash IS NOT NULL AND NOT n.pin_change AND n.pin_used AND n.user_id IS NOT NULL"+
				" AND n.pin_set_at %s AND n.pin_set_at %s AND n.user_id "+people(e.Domains)+here, min(a, b), max(a, b))
		}
		if a, b := q.BadPasscodes, e.BadPasscodes; a != b {
			x.next += term(b < a, "token_generation AS g JOIN token AS n ON n.serial = g.serial WHERE g.state = 'current' AND g.bad_passcodes > 0"+
				" AND g.bad_passcodes %s AND g.bad_passcodes %s AND n.user_id "+people(e.Domains)+here, min(a, b)-1, max(a, b)-1)
		}
		seen := slices.DeleteFunc(slices.Clone(e.Domains), func(name string) bool { return !scope.Covers(name) })
		if a, b := q.LocksSinceThen, e.LocksSinceThen; a != b && len(seen) > 0 {
			x.locked += term(b < a, "user_guard AS g WHERE g.own_locked_at IS NOT NULL AND g.own_locked_at %s AND g.own_locked_at %s AND g.user_id "+people(seen), min(a, b), max(a, b))
		}
	}
	return x
}

// FoldTallies adds up what transactions left to be added to the tallies, so that few rows tell the statistics.
// Several servers may do it at once: each row is added by whoever takes it away.
func (db *DB) FoldTallies(ctx context.Context) error {
	for _, fold := range db.folds() {
		if _, err := db.exec(ctx, fold); err != nil {
			return err
		}
	}
	return db.sweep(ctx)
}

const (
	tallyKey  = "assigned, enabled, lost, replacement, replaced, issues, new_pin, distribution"
	momentKey = "kind, span"
)

// folds of PostgreSQL move sums. They take rows in order, so that two servers do not wait for each other in a ring.
func (postgresEngine) folds() []string {
	fold := func(table, key string) string {
		return "WITH taken AS (DELETE FROM " + table + "_new RETURNING *) INSERT INTO " + table + "_sum AS s SELECT " + key + ", SUM(n) FROM taken GROUP BY " + key +
			" HAVING SUM(n) <> 0 ORDER BY " + key + " ON CONFLICT (" + key + ") DO UPDATE SET n = s.n + excluded.n"
	}
	return []string{
		fold("token_tally", tallyKey), fold("moment_tally", momentKey),
		"DELETE FROM token_tally_sum WHERE n = 0", "DELETE FROM moment_tally_sum WHERE n = 0",
	}
}

// swept is from how many bytes on the space of what was added up is given back: it is read with the rest.
const swept = 4 << 20

// sweep does what PostgreSQL does by itself once a minute or so, when much was added up. What others hold at the moment is left to it.
func (e postgresEngine) sweep(ctx context.Context) error {
	for _, table := range []string{"token_tally_new", "moment_tally_new"} {
		var size int64
		if err := e.pool.QueryRow(ctx, "SELECT pg_relation_size('"+table+"')").Scan(&size); err != nil {
			return err
		}
		if size > swept {
			if _, err := e.pool.Exec(ctx, "VACUUM (SKIP_LOCKED) "+table); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep has nothing to do where the tallies are counted at once.
func (*sqliteEngine) sweep(context.Context) error { return nil }

// folds of SQLite only drop what counts nothing any more: its triggers count at once.
func (*sqliteEngine) folds() []string {
	return []string{"DELETE FROM token_tally WHERE n = 0", "DELETE FROM moment_tally WHERE n = 0"}
}
