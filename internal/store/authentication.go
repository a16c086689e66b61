package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

const guardColumns columns = "user_id, own_count, own_since, own_locked_at, own_times, strange_count, strange_since, strange_locked_at, strange_times, sources, denied, fixed_passcode, fixed_passcode_at, on_demand, on_demand_code, version"

// subjects makes a look that reads users into found, each through the same places.
func subjects(found *[]authentication.Subject, query string, args []any) look {
	var s authentication.Subject
	groups, g := "", &s.Guard
	var times [2][]byte
	places := append([]any{&groups, &s.Mail, &s.Reply, &s.Enabled, &s.Domain, moment(&s.Expiry)}, guardPlaces(g, &times)...)
	return look{query, args, func(r row) error {
		if err := r.Scan(places...); err != nil {
			return err
		}
		g.Own.Times, g.Strange.Times = string(times[0]), string(times[1])
		s.UserID, s.Groups = g.UserID, nil
		if groups != "" {
			s.Groups = strings.Split(groups, groupSeparator)
		}
		*found = append(*found, s)
		return nil
	}}
}

// groupSeparator is a character that is in no group's name.
const groupSeparator = ";"

// What Gather reads.
var (
	guardLock = "SELECT 1 FROM user_guard WHERE user_id "
	// Whoever has a guard is a user. Those who are disabled, or not at the root of the domains, or have RADIUS attributes or a last day, are in an index of their own: it is small, or as large as that of all.
	subjectSelect = "COALESCE(u.reply_attributes, ''), COALESCE(u.enabled, TRUE), COALESCE(u.domain, ''), u.expiry, " + guardColumns.of("g") +
		" FROM user_guard AS g LEFT JOIN user_account AS u ON u.id = g.user_id AND (NOT u.enabled OR u.domain <> '' OR u.reply_attributes <> '' OR u.expiry IS NOT NULL) WHERE g.user_id "
	withoutGroups = "SELECT '', "
	withGroups    = "SELECT COALESCE((SELECT string_agg(group_name, '" + groupSeparator + "') FROM group_member WHERE user_id = g.user_id), ''), "
	withoutMail   = "'', "
	withMail      = "(SELECT lower(mail) FROM user_account WHERE id = g.user_id), "
	attemptSelect = "SELECT " + string(attemptColumns) + " FROM attempt WHERE id "
	keptSelect    = "SELECT request_key, expires_at, key_id, sealed FROM decision WHERE request_key "
)

// possible are those of the IDs that a row can have. One that none has must not keep the others of a list from being found.
func possible(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !storable([]any{id}) })
}

// Gather returns what there is of w. Within a transaction it locks attempts, and then the guards of users, each in order, so that
// groups do not wait for each other in a ring; users and tokens are as the transaction before has left them.
func (db *DB) Gather(ctx context.Context, w authentication.Wanted) (found authentication.Gathered, err error) {
	w.Users, w.Attempts, w.Mails = possible(w.Users), possible(w.Attempts), possible(w.Mails)
	lock := db.locked(ctx)
	var looks []look
	if len(w.Attempts) > 0 {
		among, args := db.among(1, anys(w.Attempts))
		looks = append(looks, into(&found.Attempts, scanAttempt, attemptSelect+among+" ORDER BY id"+lock, args...))
	}
	expected := len(w.Users) + len(w.Attempts)
	held := newTokenReader(expected)
	groups, mail := withoutGroups, withoutMail
	if w.Groups {
		groups = withGroups
	}
	if len(w.Mails) > 0 {
		mail = withMail
	}
	if among, args := db.amongUsers(w); len(args) > 0 {
		if lock != "" {
			looks = append(looks, look{guardLock + among + " ORDER BY user_id" + lock, args, func(row) error { return nil }})
		}
		found.Subjects = make([]authentication.Subject, 0, expected)
		looks = append(looks, held.look(tokenSelect[0]+" WHERE user_id "+among+tokenSelect[1], args), subjects(&found.Subjects, groups+mail+subjectSelect+among, args))
	}
	if len(w.Keys) > 0 { // as they are once the guards are locked: who denies a request writes both
		among, args := db.among(1, anys(w.Keys))
		looks = append(looks, into(&found.Decided, scanKept, keptSelect+among, args...))
	}
	if len(looks) == 0 {
		return found, nil
	}
	if err := db.look(ctx, looks...); err != nil {
		return authentication.Gathered{}, err
	}
	all, tokens := found.Subjects, held.all()
	slices.SortFunc(all, func(a, b authentication.Subject) int { return cmp.Compare(a.UserID, b.UserID) })
	// A database takes longer to sort them, and they hardly ever are out of order.
	slices.SortFunc(tokens, func(a, b token.Token) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.Serial, b.Serial))
	})
	for i := range all {
		for len(tokens) > 0 && tokens[0].UserID < all[i].UserID {
			tokens = tokens[1:] // of a user who was added meanwhile
		}
		n := 0
		for n < len(tokens) && tokens[n].UserID == all[i].UserID {
			n++
		}
		if n > 0 {
			all[i].Tokens, tokens = tokens[:n:n], tokens[n:]
		}
	}
	return found, nil
}

// amongUsers ends a condition: a user of w, or, where that is wanted, one with a mail address or of an attempt of it.
func (db *DB) amongUsers(w authentication.Wanted) (condition string, args []any) {
	unsaid := w.Unsaid && len(w.Attempts) > 0
	if !unsaid && len(w.Mails) == 0 {
		if len(w.Users) == 0 {
			return "", nil
		}
		return db.among(1, anys(w.Users))
	}
	parts := []string{}
	add := func(query string, values []string) {
		if len(values) > 0 {
			among, more := db.among(len(args)+1, anys(values))
			parts, args = append(parts, query+among), append(args, more...)
		}
	}
	if unsaid {
		add("SELECT user_id FROM attempt WHERE id ", w.Attempts)
	}
	add("SELECT id FROM user_account WHERE id ", w.Users)
	addressed := func(mails []string, only *authentication.Restriction) {
		condition := "mail <> '' AND lower(mail) "
		also := func(values []string) string {
			among, more := db.among(len(args)+1, anys(values))
			args = append(args, more...)
			return among
		}
		condition += also(mails)
		if only != nil {
			condition += admitted(only, also)
		}
		for _, end := range []string{"MIN", "MAX"} { // of an address that several users have, two of them tell so
			parts = append(parts, "SELECT "+end+"(id) FROM user_account WHERE "+condition+" GROUP BY lower(mail)")
		}
	}
	if len(w.Mails) > 0 {
		addressed(w.Mails, nil)
	}
	for _, a := range w.Admitted {
		if mails := possible(a.Mails); len(mails) > 0 && !a.Only.Nobody() {
			addressed(mails, a.Only)
		}
	}
	return "IN (" + strings.Join(parts, " UNION ") + ")", args
}

// admitted is the condition, behind others, that a user is one whom a restriction lets be asked about; among makes that of a column to be one of some values.
func admitted(only *authentication.Restriction, among func([]string) string) (condition string) {
	if only.Scope.Limited() {
		condition += " AND domain " + among(only.Scope.Names())
	}
	var named []string
	if users := possible(only.Users); len(users) > 0 {
		named = append(named, "id "+among(users))
	}
	if groups := possible(only.Groups); len(groups) > 0 { // looked up for the few who have the address, and not listed with all of its members
		named = append(named, "EXISTS (SELECT 1 FROM group_member WHERE group_member.user_id = user_account.id AND group_member.group_name "+among(groups)+")")
	}
	if len(named) > 0 {
		condition += " AND (" + strings.Join(named, " OR ") + ")"
	}
	return condition
}

func scanGuard(r row) (g authentication.Guard, err error) {
	var times [2][]byte
	err = r.Scan(guardPlaces(&g, &times)...)
	g.Own.Times, g.Strange.Times = string(times[0]), string(times[1])
	return g, err
}

// guardPlaces are where guardColumns are read into.
func guardPlaces(g *authentication.Guard, times *[2][]byte) []any {
	return []any{&g.UserID, &g.Own.Count, moment(&g.Own.Since), moment(&g.Own.LockedAt), &times[0],
		&g.Strange.Count, moment(&g.Strange.Since), moment(&g.Strange.LockedAt), &times[1], &g.Sources, &g.Denied,
		&g.Fixed, moment(&g.FixedAt), fromJSON(&g.OnDemand), fromJSON(&g.OnDemandCode), &g.Version}
}

// Guards returns those of users by their IDs. It locks nothing.
func (db *DB) Guards(ctx context.Context, userIDs []string) (map[string]authentication.Guard, error) {
	all := map[string]authentication.Guard{}
	for some := range slices.Chunk(userIDs, chunk) {
		among, args := db.among(1, anys(some))
		found, err := list(ctx, db, scanGuard, "SELECT "+string(guardColumns)+" FROM user_guard WHERE user_id "+among, args...)
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
	a.Before = a.Turn
	return a, err
}

func scanKept(r row) (k authentication.Kept, err error) {
	err = r.Scan(&k.Key, moment(&k.ExpiresAt), &k.Sealed.KeyID, &k.Sealed.Blob)
	return k, err
}

// How Settle writes.
var (
	settleUse = updating("token_generation", "last_interval bigint, clock_offset bigint, bad_passcodes bigint, last_used_at bigint, last_agent text, accepted bytea",
		"serial text, number bigint, version bigint, last_interval bigint, clock_offset bigint, bad_passcodes bigint, live boolean", "")
	settleGuard = updating("user_guard", "own_count bigint, own_since bigint, own_locked_at bigint, own_times bytea, "+
		"strange_count bigint, strange_since bigint, strange_locked_at bigint, strange_times bytea, sources bytea, denied bytea, "+
		"fixed_passcode bytea, fixed_passcode_at bigint, on_demand bytea, on_demand_code bytea, version bigint", "user_id text, version bigint", "")
	settleBegun = inserting("attempt", "id text, agent text, user_id text, turn bigint, expires_at bigint, key_id bigint, sealed bytea")
	settleTurn  = updating("attempt", "turn bigint, expires_at bigint, key_id bigint, sealed bytea", "id text, turn bigint", "")
	settleEnd   = deleting("attempt", "id text, turn bigint")
	settleKept  = inserting("decision", "request_key bytea, expires_at bigint, key_id bigint, sealed bytea")
)

// Settle writes what was decided, when the transaction commits. The use of a code is one conditional write: whoever asks at the same moment, and on
// whichever server, one of them finds the guard where it was. [fault.Conflict] if anything is not what it was decided by.
func (db *DB) Settle(ctx context.Context, s authentication.Settlement) error {
	changed := fault.New(fault.Conflict, "something changed meanwhile: decide again")
	rows := map[*way][][]any{}
	add := func(w *way, values ...any) { rows[w] = append(rows[w], values) }
	for _, u := range s.Uses {
		add(&settleUse, u.After.LastInterval, u.After.Offset, u.After.BadPasscodes, micros(u.After.LastUsedAt), u.After.LastAgent, bytesOrNull([]byte(u.After.Accepted)),
			u.Serial, u.Number, u.Version, u.Before.LastInterval, u.Before.Offset, u.Before.BadPasscodes, !u.Disabled)
	}
	for _, g := range s.Guards {
		onDemand, broken := bytesOfJSON(g.OnDemand)
		onDemandCode, err := bytesOfJSON(g.OnDemandCode)
		if err := errors.Join(broken, err); err != nil {
			return err
		}
		add(&settleGuard, g.Own.Count, micros(g.Own.Since), micros(g.Own.LockedAt), bytesOrNull([]byte(g.Own.Times)),
			g.Strange.Count, micros(g.Strange.Since), micros(g.Strange.LockedAt), bytesOrNull([]byte(g.Strange.Times)), bytesOrNull(g.Sources), bytesOrNull(g.Denied),
			bytesOrNull(g.Fixed), micros(g.FixedAt), onDemand, onDemandCode, g.Version+1, g.UserID, g.Version)
	}
	for _, a := range s.Attempts {
		if a.Before == 0 {
			add(&settleBegun, a.ID, a.Agent, a.UserID, a.Turn, micros(a.ExpiresAt), a.Sealed.KeyID, a.Sealed.Blob)
		} else {
			add(&settleTurn, a.Turn, micros(a.ExpiresAt), a.Sealed.KeyID, a.Sealed.Blob, a.ID, a.Before)
		}
	}
	for _, a := range s.Ended {
		add(&settleEnd, a.ID, a.Before)
	}
	for _, k := range s.Decided {
		add(&settleKept, k.Key, micros(k.ExpiresAt), k.Sealed.KeyID, k.Sealed.Blob)
	}
	// In the order in which Gather locks: attempts, guards, and then the others.
	var all []bulk
	for _, w := range []*way{&settleTurn, &settleEnd, &settleGuard, &settleUse, &settleBegun, &settleKept} {
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
