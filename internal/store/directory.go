package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/fault"
)

const directoryColumns columns = "name, kind, settings, key_id, sealed, domain, every, created_at, version, last, claimed_until"

func scanDirectory(r row) (d directory.Directory, err error) {
	var settings, last string
	err = r.Scan(&d.Name, &d.Kind, &settings, orZero(&d.Password.KeyID), &d.Password.Blob, &d.Domain, span(&d.Every), moment(&d.CreatedAt), &d.Version, &last, moment(&d.ClaimedUntil))
	if err != nil {
		return d, err
	}
	err = errors.Join(json.Unmarshal([]byte(settings), &d.Settings), json.Unmarshal([]byte(last), &d.Last))
	return d, err
}

func noDirectory(name string) *fault.Error {
	return fault.New(fault.NotFound, "there is no directory %q", name)
}

// Directory returns a directory; [fault.NotFound]. Within a transaction the row is locked for change.
func (db *DB) Directory(ctx context.Context, name string) (directory.Directory, error) {
	return one(ctx, db, noDirectory(name), scanDirectory, "SELECT "+string(directoryColumns)+" FROM directory WHERE name = $1"+db.locked(ctx), name)
}

// Directories lists the directories by name.
func (db *DB) Directories(ctx context.Context) ([]directory.Directory, error) {
	return list(ctx, db, scanDirectory, "SELECT "+string(directoryColumns)+" FROM directory ORDER BY name")
}

// nextAt is when a directory is due that has its times since now: not at once, since whoever adds or edits it has yet to see who would come.
func nextAt(d directory.Directory, now time.Time) any {
	if d.Every == 0 {
		return nil
	}
	return now.Add(d.Every).UnixMicro()
}

// AddDirectory stores a new directory, whose first time comes as long after d.CreatedAt as it says; [fault.Conflict] if the name is taken.
func (db *DB) AddDirectory(ctx context.Context, d directory.Directory) error {
	settings, err := json.Marshal(d.Settings)
	if err != nil {
		return err
	}
	taken := fault.New(fault.Conflict, "there is a directory %s already", d.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, d.Domain)
		if err != nil {
			return err
		}
		return db.change(ctx, taken, "INSERT INTO directory (name, kind, settings, key_id, sealed, domain, every, next_at, claimed_until, last, created_at, version) "+
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '{}', $9, $10) ON CONFLICT DO NOTHING",
			d.Name, d.Kind, string(settings), orNull(d.Password.KeyID), bytesOrNull(d.Password.Blob), at, d.Every.Microseconds(), nextAt(d, d.CreatedAt), micros(d.CreatedAt), d.Version)
	})
}

// SaveDirectory stores a changed directory whose Version is still d.Version, and counts it up; else [fault.Conflict]. What came of the
// last synchronisation stays, and so does the next time, unless Every is another one, which counts from now.
func (db *DB) SaveDirectory(ctx context.Context, d directory.Directory, now time.Time) error {
	settings, err := json.Marshal(d.Settings)
	if err != nil {
		return err
	}
	stale := fault.New(fault.Conflict, "directory %s was changed meanwhile: read it again", d.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, d.Domain)
		if err != nil {
			return err
		}
		return db.change(ctx, stale, "UPDATE directory SET settings = $1, key_id = $2, sealed = $3, domain = $4, every = $5, "+
			"next_at = CASE WHEN every = $5 THEN next_at ELSE $6 END, version = version + 1 WHERE name = $7 AND version = $8",
			string(settings), orNull(d.Password.KeyID), bytesOrNull(d.Password.Blob), at, d.Every.Microseconds(), nextAt(d, now), d.Name, d.Version)
	})
}

// DeleteDirectory removes a directory, and not its people; [fault.NotFound].
func (db *DB) DeleteDirectory(ctx context.Context, name string) error {
	return db.change(ctx, noDirectory(name), "DELETE FROM directory WHERE name = $1", name)
}

// ClaimDirectory makes the caller the only one who synchronises a directory until a time, and tells whether it did: not while another
// one has it, until late at most, nor, if due is true, unless DueDirectories lists it.
func (db *DB) ClaimDirectory(ctx context.Context, name string, now, until, late time.Time, due bool) (bool, error) {
	n, err := db.exec(ctx, "UPDATE directory SET claimed_until = $1 WHERE name = $2 AND (claimed_until <= $3 OR claimed_until > $4) AND (NOT $5 OR next_at <= $3 OR next_at > $4 + every)",
		until.UnixMicro(), name, now.UnixMicro(), late.UnixMicro(), due)
	return n == 1, err
}

// ReleaseDirectory ends the claim until a time, if it is there still. If last is not nil, it is kept, and the next time is as long after it as
// the directory says by now, or within a time if that is sooner.
func (db *DB) ReleaseDirectory(ctx context.Context, name string, until time.Time, last *directory.Last, within time.Duration) error {
	if last == nil {
		_, err := db.exec(ctx, "UPDATE directory SET claimed_until = 0 WHERE name = $1 AND claimed_until = $2", name, until.UnixMicro())
		return err
	}
	text, err := json.Marshal(last)
	if err != nil {
		return err
	}
	_, err = db.exec(ctx, "UPDATE directory SET claimed_until = 0, last = $1, next_at = CASE WHEN every = 0 THEN NULL WHEN every < $2 THEN every + $3 ELSE $2 + $3 END "+
		"WHERE name = $4 AND claimed_until = $5", string(text), within.Microseconds(), last.At.UnixMicro(), name, until.UnixMicro())
	return err
}

// DueDirectories lists the names of directories whose next time is not after now, or further after late than it is ever put off,
// unless somebody has one, until late at most.
func (db *DB) DueDirectories(ctx context.Context, now, late time.Time) ([]string, error) {
	return list(ctx, db, text, "SELECT name FROM directory WHERE (next_at <= $1 OR next_at > $2 + every) AND (claimed_until <= $1 OR claimed_until > $2) ORDER BY name", now.UnixMicro(), late.UnixMicro())
}

// People lists the users whom a directory has brought, by ID.
func (db *DB) People(ctx context.Context, name string) ([]directory.Person, error) {
	return list(ctx, db, scanPerson, personSelect+"directory = $1 ORDER BY user_id", name)
}

// PeopleByID returns those of the users whom a directory has brought, by ID, also one that was deleted since.
func (db *DB) PeopleByID(ctx context.Context, ids []string) (map[string]directory.Person, error) {
	found := map[string]directory.Person{}
	err := eachChunk(ctx, db, scanPerson, personSelect+"user_id", ids, "", func(p directory.Person) { found[p.UserID] = p })
	return found, err
}

const personSelect = "SELECT user_id, COALESCE(directory, ''), dn, disabled, missing, entry_id, other_id FROM directory_user WHERE "

func scanPerson(r row) (p directory.Person, err error) {
	err = r.Scan(&p.UserID, &p.Directory, &p.DN, &p.Disabled, &p.Missing, &p.Entry, &p.Other)
	return p, err
}

// DecideEnabled has it be an administrator who said of users whether they are enabled, and not the directories that they come from.
// Whoever is enabled is from then on who has her user ID there.
func (db *DB) DecideEnabled(ctx context.Context, ids []string, enabled bool) error {
	change := "UPDATE directory_user SET disabled = FALSE"
	if enabled {
		change += ", entry_id = CASE WHEN other_id <> '' THEN other_id ELSE entry_id END, other_id = ''"
	}
	_, err := db.touched(ctx, change+" WHERE user_id", "", nil, ids)
	return err
}

// DirectoryOf names the directory that has brought a user; [fault.NotFound].
func (db *DB) DirectoryOf(ctx context.Context, userID string) (string, error) {
	missing := fault.New(fault.NotFound, "no directory has brought user %q", userID)
	return one(ctx, db, missing, text, "SELECT directory FROM directory_user WHERE user_id = $1 AND directory IS NOT NULL", userID)
}

// TryDirectory counts a try of a user's password and tells whether it may be made: no more than most unless the last one was at the
// moment from or before.
func (db *DB) TryDirectory(ctx context.Context, userID string, now, from time.Time, most int) (bool, error) {
	return db.try(ctx, directoryTries, userID, now, from, most)
}

// ForgetTries forgets all of them, or takes the last one back.
func (db *DB) ForgetTries(ctx context.Context, userID string, all bool) error {
	return db.untry(ctx, directoryTries, userID, all)
}

// A tries is a table of what was typed for users where anybody may, and the column of the last time.
type tries struct{ table, last string }

var (
	directoryTries = tries{"directory_try", "since"}
	passcodeTries  = tries{"passcode_try", "tried_at"}
)

// try counts a try and tells whether it may be made: no more than most unless the last one was at the moment from or before. To count from the first
// one would let twice as many be made around the end of its time.
func (db *DB) try(ctx context.Context, of tries, userID string, now, from time.Time, most int) (bool, error) {
	if most < 1 {
		return false, nil
	}
	n, err := db.exec(ctx, fmt.Sprintf("INSERT INTO %s AS t (user_id, tries, %[2]s) VALUES ($1, 1, $2) ON CONFLICT (user_id) DO UPDATE SET"+
		" tries = CASE WHEN t.%[2]s <= $3 THEN 1 ELSE t.tries + 1 END, %[2]s = $2 WHERE t.%[2]s <= $3 OR t.tries < $4", of.table, of.last),
		userID, micros(now), micros(from), most)
	return n == 1, err
}

// untry forgets all tries of a user, or takes the last one back.
func (db *DB) untry(ctx context.Context, of tries, userID string, all bool) error {
	_, err := db.exec(ctx, "DELETE FROM "+of.table+" WHERE user_id = $1 AND ($2 OR tries <= 1)", userID, all)
	if err == nil && !all {
		_, err = db.exec(ctx, "UPDATE "+of.table+" SET tries = tries - 1 WHERE user_id = $1", userID)
	}
	return err
}

// How a directory's people are written.
var (
	insertPerson = inserting("directory_user", "user_id text, directory text, dn text, disabled boolean, missing boolean, entry_id text, other_id text")
	insertMember = inserting("directory_member", "directory text, group_name text, user_id text")
	deleteMember = deleting("directory_member", "directory text, group_name text, user_id text")
)

// SavePeople keeps users as those of a directory, new ones and changed ones.
func (db *DB) SavePeople(ctx context.Context, name string, people []directory.Person) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		ids := make([]string, len(people))
		saved := bulk{insertPerson, nil, fault.New(fault.Conflict, "somebody is another directory's meanwhile: synchronise again")}
		for i, p := range people {
			ids[i] = p.UserID
			saved.rows = append(saved.rows, []any{p.UserID, name, p.DN, p.Disabled, p.Missing, p.Entry, p.Other})
		}
		if _, err := db.touched(ctx, "DELETE FROM directory_user WHERE user_id", "", nil, ids); err != nil {
			return err
		}
		return db.write(ctx, saved)
	})
}

// DirectoryMembers lists the users whom a directory has brought into groups.
func (db *DB) DirectoryMembers(ctx context.Context, name string) ([]directory.Member, error) {
	scan := func(r row) (m directory.Member, err error) {
		err = r.Scan(&m.Group, &m.UserID)
		return m, err
	}
	return list(ctx, db, scan, "SELECT group_name, user_id FROM directory_member WHERE directory = $1 ORDER BY group_name, user_id", name)
}

// SaveDirectoryMembers adds to and takes from what a directory has brought into groups.
func (db *DB) SaveDirectoryMembers(ctx context.Context, name string, add, remove []directory.Member) error {
	changed := fault.New(fault.Conflict, "the groups were changed meanwhile: synchronise again")
	added, removed := bulk{insertMember, nil, changed}, bulk{deleteMember, nil, changed}
	for _, m := range add {
		added.rows = append(added.rows, []any{name, m.Group, m.UserID})
	}
	for _, m := range remove {
		removed.rows = append(removed.rows, []any{name, m.Group, m.UserID})
	}
	return db.write(ctx, removed, added)
}
