package store

import (
	"context"
	"errors"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

const userColumns columns = "id, name, mail, enabled, created_at, version, search, domain, expiry"

func userValues(u user.User) []any {
	return []any{u.ID, u.Name, u.Mail, u.Enabled, micros(u.CreatedAt), u.Version, searchText(u.ID, u.Name, u.Mail), u.Domain, micros(u.Expiry)}
}

func scanUser(r row) (u user.User, err error) {
	var search string
	err = r.Scan(&u.ID, &u.Name, &u.Mail, &u.Enabled, moment(&u.CreatedAt), &u.Version, &search, &u.Domain, moment(&u.Expiry))
	return u, err
}

// User returns a user; [fault.UserNotFound]. Within a transaction the row is locked for change.
func (db *DB) User(ctx context.Context, id string) (user.User, error) {
	u, err := one(ctx, db, noUser(id), scanUser, "SELECT "+string(userColumns)+" FROM user_account WHERE id = $1"+db.locked(ctx), id)
	return seen(ctx, u, u.Domain, err, noUser(id), "user", id)
}

// Addressee is User without locking anything.
func (db *DB) Addressee(ctx context.Context, id string) (user.User, error) {
	u, err := one(ctx, db, noUser(id), scanUser, "SELECT "+string(userColumns)+" FROM user_account WHERE id = $1", id)
	return seen(ctx, u, u.Domain, err, noUser(id), "user", id)
}

func noUser(id string) *fault.Error { return fault.New(fault.UserNotFound, "there is no user %q", id) }

// Users lists users by ID.
func (db *DB) Users(ctx context.Context, f user.Filter) ([]user.User, error) {
	var c conditions
	c.containing(f.Query)
	c.text("id IN (SELECT user_id FROM group_member WHERE group_name = $%d)", f.Group)
	c.text("id > $%d", f.After)
	db.within(ctx, &c)
	return list(ctx, db, scanUser, "SELECT "+string(userColumns)+" FROM user_account"+c.clause("id", f.Limit), c.args...)
}

// AddUser stores a new user, with a guard; [fault.UserExists].
func (db *DB) AddUser(ctx context.Context, u user.User) error {
	return db.AddUsers(ctx, []user.User{u})
}

// AddUsers stores new users, all or none, as AddUser does one.
func (db *DB) AddUsers(ctx context.Context, users []user.User) error {
	taken := fault.New(fault.UserExists, "one of the users is here already: read them again")
	if len(users) == 1 {
		taken = fault.New(fault.UserExists, "there is a user %q already", users[0].ID)
	}
	accounts, guards := bulk{insertUser, nil, taken}, bulk{insertGuard, nil, taken}
	place, ids := placer{db: db}, map[string][]string{} // by the domain that they are placed in
	for _, u := range users {
		var err error
		if u.Domain, err = place.at(ctx, u.Domain); err != nil {
			return err
		}
		ids[u.Domain] = append(ids[u.Domain], u.ID)
		accounts.rows, guards.rows = append(accounts.rows, userValues(u)), append(guards.rows, []any{u.ID})
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.write(ctx, accounts, guards); err != nil { // who is here already is told so
			return err
		}
		for at, some := range ids {
			claimed, err := db.UsersClaimed(ctx, at, some)
			if err == nil {
				err = claimedName("user", claimed)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveUser stores a changed user whose Version is still u.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveUser(ctx context.Context, u user.User) error {
	return db.SaveUsers(ctx, []user.User{u})
}

// SaveUsers stores changed users, all or none, as SaveUser does one. Codes that were sent to them before end.
func (db *DB) SaveUsers(ctx context.Context, users []user.User) error {
	stale := fault.New(fault.Conflict, "one of the users was changed meanwhile: read them again")
	if len(users) == 1 {
		stale = fault.New(fault.Conflict, "user %s was changed meanwhile: read it again", users[0].ID)
	}
	changed := bulk{updateUser, nil, stale}
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = u.ID
		changed.rows = append(changed.rows, []any{u.Name, u.Mail, u.Enabled, micros(u.Expiry), searchText(u.ID, u.Name, u.Mail), u.Version + 1, u.ID, u.Version})
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.write(ctx, changed); err != nil {
			return err
		}
		return db.forgetCodes(ctx, ids)
	})
}

// AddressesElsewhere returns which of addresses in lower case (ASCII) users who are not in the scope of ctx have for their mail, and
// which for an ID, in any case. Within a transaction others who ask wait for its end, so that no two give one address to two users.
func (db *DB) AddressesElsewhere(ctx context.Context, addresses []string) (mails, ids map[string]bool, err error) {
	mails, ids = map[string]bool{}, map[string]bool{}
	scope := domain.ScopeFrom(ctx)
	if !scope.Limited() {
		return mails, ids, nil
	}
	if tx := db.current(ctx); tx != nil && len(addresses) > 0 {
		if err := db.takeTurn(ctx, tx, addressTurn); err != nil {
			return nil, nil, db.explain(err)
		}
	}
	for _, way := range []struct {
		column, where string
		found         map[string]bool
	}{{"lower(mail)", "mail <> '' AND lower(mail)", mails}, {"lower(id)", "lower(id)", ids}} {
		type one struct{ address, domain string }
		scan := func(r row) (o one, err error) {
			err = r.Scan(&o.address, &o.domain)
			return o, err
		}
		// Distinct, for many may share one.
		err := eachChunk(ctx, db, scan, "SELECT DISTINCT "+way.column+", domain FROM user_account WHERE "+way.where, addresses, "", func(o one) {
			if !scope.Covers(o.domain) {
				way.found[o.address] = true
			}
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return mails, ids, nil
}

// UsersAlike returns, by IDs in lower case (ASCII), who in the scope of ctx has them in any case.
func (db *DB) UsersAlike(ctx context.Context, ids []string) (map[string][]string, error) {
	alike := map[string][]string{}
	scope := domain.ScopeFrom(ctx)
	scan := func(r row) (of [3]string, err error) {
		err = r.Scan(&of[0], &of[1], &of[2])
		return of, err
	}
	err := eachChunk(ctx, db, scan, "SELECT lower(id), id, domain FROM user_account WHERE lower(id)", ids, "ORDER BY id", func(of [3]string) {
		if scope.Covers(of[2]) {
			alike[of[0]] = append(alike[of[0]], of[1])
		}
	})
	return alike, err
}

// UsersElsewhere returns those of the users, by ID, that there are and that are not in the scope of ctx. It locks nothing.
func (db *DB) UsersElsewhere(ctx context.Context, ids []string) (elsewhere []string, err error) {
	scope := domain.ScopeFrom(ctx)
	scan := func(r row) (of [2]string, err error) {
		err = r.Scan(&of[0], &of[1])
		return of, err
	}
	err = eachChunk(ctx, db, scan, "SELECT id, domain FROM user_account WHERE id", ids, "ORDER BY id", func(of [2]string) {
		if !scope.Covers(of[1]) {
			elsewhere = append(elsewhere, of[0])
		}
	})
	return elsewhere, err
}

// UserReply returns the RADIUS attributes of a user; [fault.UserNotFound]. Within a transaction the row is locked for change.
func (db *DB) UserReply(ctx context.Context, id string) ([]access.ReplyAttribute, error) {
	type reply struct{ attributes, domain string }
	scan := func(r row) (a reply, err error) {
		err = r.Scan(&a.attributes, &a.domain)
		return a, err
	}
	a, err := one(ctx, db, noUser(id), scan, "SELECT reply_attributes, domain FROM user_account WHERE id = $1"+db.locked(ctx), id)
	if a, err = seen(ctx, a, a.domain, err, noUser(id), "user", id); err != nil {
		return nil, err
	}
	return access.ReadReply(a.attributes)
}

// SaveUserReply stores the RADIUS attributes of a user who is there.
func (db *DB) SaveUserReply(ctx context.Context, id string, attributes []access.ReplyAttribute) error {
	text, err := access.WriteReply(attributes)
	if err != nil {
		return err
	}
	return db.change(ctx, noUser(id), "UPDATE user_account SET reply_attributes = $1 WHERE id = $2", text, id)
}

// forgetCodes ends the codes that were sent to users before their records changed: perhaps to an address that is not theirs any more. All guards are
// locked before the first is written, in the order in which sign-ins lock them: an update takes them in that of its plan, and a ring costs a second.
func (db *DB) forgetCodes(ctx context.Context, userIDs []string) error {
	const codes = " WHERE on_demand IS NOT NULL AND user_id "
	lock := db.locked(ctx)
	var locks []look
	var ends []statement
	for some := range slices.Chunk(slices.Sorted(slices.Values(possible(userIDs))), chunk) {
		among, args := db.among(1, anys(some))
		if lock != "" {
			locks = append(locks, look{"SELECT 1 FROM user_guard" + codes + among + " ORDER BY user_id" + lock, args, func(row) error { return nil }})
		}
		ends = append(ends, statement{"UPDATE user_guard SET on_demand_code = NULL, version = version + 1" + codes + among, args, anyRows, nil})
	}
	if len(locks) > 0 {
		if err := db.look(ctx, locks...); err != nil {
			return err
		}
	}
	return db.batch(ctx, ends)
}

// How users are written.
var (
	insertUser  = inserting("user_account", "id text, name text, mail text, enabled boolean, created_at bigint, version bigint, search text, domain text, expiry bigint")
	insertGuard = inserting("user_guard", "user_id text")
	updateUser  = updating("user_account", "name text, mail text, enabled boolean, expiry bigint, search text, version bigint", "id text, version bigint", "")
)

// DeleteUser removes a user; [fault.UserInUse] while tokens are assigned.
func (db *DB) DeleteUser(ctx context.Context, id string) error {
	err := db.change(ctx, noUser(id), "DELETE FROM user_account WHERE id = $1", id)
	if errors.Is(err, fault.Conflict) {
		return fault.New(fault.UserInUse, "user %s still holds tokens", id)
	}
	return err
}
