package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// ReportTokens lists tokens in the order of q. It locks nothing.
func (db *DB) ReportTokens(ctx context.Context, q report.TokenQuery) ([]token.Token, error) {
	if q.Order == report.ByUser {
		return db.reportByUser(ctx, q)
	}
	return db.reportTokens(ctx, q)
}

// reportByUser lists the tokens of nobody and those of users one after the other: each have an index for their order, and both together none.
func (db *DB) reportByUser(ctx context.Context, q report.TokenQuery) ([]token.Token, error) {
	var all []token.Token
	begun := q.After == nil
	for _, assigned := range []bool{q.Backwards, !q.Backwards} { // nobody comes before everybody
		part := q
		if begun {
			part.After = nil
		} else if begun = (q.After.UserID != "") == assigned; !begun {
			continue // the page before was past it
		}
		if q.Assigned != nil && *q.Assigned != assigned || q.UserID != "" && !assigned {
			continue
		}
		part.Assigned, part.Limit = &assigned, q.Limit-len(all)
		if !assigned {
			part.Order = report.BySerial
		}
		found, err := db.reportTokens(ctx, part)
		if all = append(all, found...); err != nil || q.Limit > 0 && len(all) == q.Limit {
			return all, err
		}
	}
	return all, nil
}

func (db *DB) reportTokens(ctx context.Context, q report.TokenQuery) ([]token.Token, error) {
	var c conditions
	is := func(condition string) { c.where = append(c.where, condition) }
	c.text("user_id = $%d", q.UserID)
	c.text("profile = $%d", q.Profile)
	c.text("distribution = $%d", string(q.Distribution))
	c.flag("hardware = $%d", q.Hardware)
	c.flag("enabled = $%d", q.Enabled)
	for condition, want := range map[string]*bool{"user_id IS NOT NULL": q.Assigned, "lost_at IS NOT NULL": q.Lost} {
		if want != nil && !*want {
			condition = strings.Replace(condition, "IS NOT", "IS", 1)
		}
		if want != nil {
			is(condition)
		}
	}
	c.moment("effective_expiry >= $%d", q.ExpiresFrom)
	c.moment("effective_expiry < $%d", q.ExpiresBefore)
	c.moment("distributed_at < $%d", q.DistributedBefore)
	c.moment("(distributed_at < $%[1]d OR hardware AND assigned_at < $%[1]d)", q.HeldBefore)
	if q.Unused {
		is("NOT EXISTS (SELECT 1 FROM token_generation AS x WHERE x.serial = token.serial AND x.last_used_at IS NOT NULL)")
	}
	c.moment("NOT EXISTS (SELECT 1 FROM token_generation AS x WHERE x.serial = token.serial AND x.last_used_at >= $%d)", q.UnusedSince)
	if q.Emergency {
		is("emergency IS NOT NULL")
	}
	db.within(ctx, &c)
	order := tokenOrders[q.Order]
	found, err := db.tokens(ctx, order.clause(&c, q), c.args...)
	slices.SortFunc(found, func(a, b token.Token) int {
		n := cmp.Or(order.compare(a, b), strings.Compare(a.Serial, b.Serial))
		if q.Backwards {
			return -n
		}
		return n
	})
	return found, err
}

// A tokenOrder is a way to list tokens, by a column and then by serial.
type tokenOrder struct {
	column  string // "" for the serial alone
	value   func(token.Token) any
	compare func(a, b token.Token) int
}

var tokenOrders = map[report.TokenOrder]tokenOrder{
	"":              bySerial,
	report.BySerial: bySerial,
	report.ByExpiry: {"effective_expiry", func(t token.Token) any { return micros(t.EffectiveExpiry) },
		func(a, b token.Token) int { return a.EffectiveExpiry.Compare(b.EffectiveExpiry) }},
	report.ByUser: {"user_id", func(t token.Token) any { return t.UserID },
		func(a, b token.Token) int { return strings.Compare(a.UserID, b.UserID) }},
}

var bySerial = tokenOrder{compare: func(token.Token, token.Token) int { return 0 }}

// clause completes conditions with those of the page, and ends them.
func (o tokenOrder) clause(c *conditions, q report.TokenQuery) string {
	after, direction := " > ", ""
	if q.Backwards {
		after, direction = " < ", " DESC"
	}
	order, keys := "serial"+direction, "serial"
	if o.column != "" {
		order, keys = o.column+direction+", "+order, o.column+", serial"
	}
	if q.After != nil {
		values := []any{q.After.Serial}
		if o.column != "" {
			values = []any{o.value(*q.After), q.After.Serial}
		}
		c.where = append(c.where, "("+keys+")"+after+"("+placesFrom(len(c.args)+1, len(values))+")")
		c.args = append(c.args, values...)
	}
	return c.clause(order, q.Limit)
}

// UsersNamed returns users by their IDs; those that are not there, or not in the scope of who acts, are left out. A part that was chosen
// out of that is about what is listed, and not about who holds it. It locks nothing.
func (db *DB) UsersNamed(ctx context.Context, ids []string) (map[string]user.User, error) {
	found := make(map[string]user.User, len(ids))
	scope := domain.ScopeFrom(ctx).Caller()
	err := eachChunk(ctx, db, scanUser, "SELECT "+string(userColumns)+" FROM user_account WHERE id", ids, "", func(u user.User) {
		if scope.Covers(u.Domain) {
			found[u.ID] = u
		}
	})
	return found, err
}

// UserDomains returns the security domains of users by their IDs, whatever the scope of ctx; those who are not there, or at the root,
// are left out. It locks nothing.
func (db *DB) UserDomains(ctx context.Context, userIDs []string) (map[string]string, error) {
	found := map[string]string{}
	scan := func(r row) (of [2]string, err error) {
		err = r.Scan(&of[0], &of[1])
		return of, err
	}
	err := eachChunk(ctx, db, scan, "SELECT id, domain FROM user_account WHERE domain <> '' AND id", userIDs, "", func(of [2]string) { found[of[0]] = of[1] })
	return found, err
}

// SerialsOf returns the serials of the tokens of users that are in the scope of who acts, as for UsersNamed.
func (db *DB) SerialsOf(ctx context.Context, userIDs []string) (map[string][]string, error) {
	found := make(map[string][]string, len(userIDs))
	scan := func(r row) (held [3]string, err error) {
		err = r.Scan(&held[0], &held[1], &held[2])
		return held, err
	}
	scope := domain.ScopeFrom(ctx).Caller()
	err := eachChunk(ctx, db, scan, "SELECT user_id, serial, domain FROM token WHERE user_id", userIDs, "ORDER BY user_id, serial", func(held [3]string) {
		if scope.Covers(held[2]) {
			found[held[0]] = append(found[held[0]], held[1])
		}
	})
	return found, err
}
