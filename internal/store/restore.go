package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// A Restore is what makes a database of a backup.
type Restore struct {
	// Schema is that of the backup, and Rows has each of its rows written, in the order of its tables. It is called once
	// for each attempt at a transaction. What it returns an error about is not restored at all.
	Schema backup.Schema
	Rows   func(write func(t backup.Table, next func() ([]any, error)) error) error
	// Until is the time up to which codes count as used.
	Until time.Time
	// Unused says that what the backup says of used codes is all there is: Until is the time at which it was taken.
	Unused bool
	// Trial says that what is restored is to reach nobody: mail is off, webhooks are disabled, and no directory is synchronised by itself.
	Trial bool
	// Last is called, if it is there, when everything is written and nothing committed yet; also for each attempt.
	Last func() error
	// Event tells the audit log of it. Its time is that of the restore.
	Event audit.Event
}

// A Restored says what was ended, since it may have been used after the backup was taken.
type Restored struct {
	Tokens int       // generations whose earlier codes count as used now
	From   time.Time // from then on a token whose clock is right shows codes that count
	Codes  []string  // serials of the tokens whose activation codes were revoked
	Left   []string  // tables in the backup that are none of a release's, and were left out
	// Committed says, also beside an error, that what was written is in the database, or that it may be.
	Committed bool
}

// Restore fills an empty database with a backup, settles what must not happen twice, and brings its tables up to date.
// [fault.RestoreTarget] if there is something in it: a server was started on it, or another restore is at work.
// [fault.SchemaNewer] if the backup has tables of a newer release. It is all written, or nothing but empty tables: Committed says which of them after an error.
func (o Options) Restore(ctx context.Context, r Restore) (Restored, error) {
	db, err := open(ctx, o)
	if err != nil {
		return Restored{}, err
	}
	done, err := db.restore(ctx, r)
	return done, errors.Join(err, db.Close())
}

func (db *DB) restore(ctx context.Context, r Restore) (Restored, error) {
	if err := db.makeTables(ctx, r.Schema.Migrations); err != nil {
		return Restored{}, err
	}
	var done Restored
	err := db.Transact(ctx, func(ctx context.Context) error {
		tx := db.current(ctx)
		done = Restored{}
		left, err := db.fill(ctx, tx, r)
		if err != nil {
			return tx.fail(err)
		}
		if done, err = db.settleRestored(ctx, r); err != nil {
			return err
		}
		done.Left = left
		if err := db.Record(ctx, r.Event); err != nil {
			return err
		}
		if r.Last != nil {
			if err := r.Last(); err != nil {
				return err
			}
		}
		done.Committed = true // unless the database refuses to, which no answer surely tells
		return nil
	})
	if err != nil {
		return done, err
	}
	return done, db.migrate(ctx, nil)
}

// makeTables gives a database without any the tables that migrations make.
func (db *DB) makeTables(ctx context.Context, migrations []int64) error {
	provider, err := db.history()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	ours := map[int64]bool{}
	for _, source := range provider.ListSources() {
		ours[source.Version] = true
	}
	applied := map[int64]bool{}
	states, err := provider.Status(ctx)
	if err != nil {
		return db.explain(err)
	}
	for _, s := range states {
		if s.State == goose.StateApplied {
			applied[s.Source.Version] = true
		}
	}
	// Others may have tables here, but none of a name that migrations give to theirs, and no account of migrations of their own.
	if present, err := db.present(ctx); err != nil || present != (len(applied) > 0) {
		return cmp.Or(err, error(errNotEmpty))
	}
	for _, version := range migrations {
		if !ours[version] {
			return fault.New(fault.SchemaNewer, "the backup has tables of a newer release (schema %d): restore it with that one, or a newer one", version)
		}
		if applied[version] {
			delete(applied, version)
			continue
		}
		if _, err := provider.ApplyVersion(ctx, version, true); err != nil {
			return db.explain(fmt.Errorf("making the tables of the backup: %w", err))
		}
	}
	if len(applied) > 0 {
		return errNotEmpty
	}
	return nil
}

var errNotEmpty = fault.New(fault.RestoreTarget, "the database is in use, or has tables of another release or program: restore into a new one")

// present tells whether there is a table of a name that migrations give to theirs.
func (db *DB) present(ctx context.Context) (any bool, err error) {
	columnsOf, _ := db.catalogue()
	err = db.look(ctx, look{columnsOf, nil, func(r row) error {
		var table, column, kind string
		err := r.Scan(&table, &column, &kind)
		any = any || migrated()[table]
		return err
	}})
	return any, err
}

// fill replaces what migrations put into the tables by the rows of a backup, and returns which of its tables are none of theirs: earlier releases
// carried whatever was in the database.
func (db *DB) fill(ctx context.Context, tx *transaction, r Restore) (left []string, err error) {
	read := func(ctx context.Context, l look) error { return tx.connection.look(ctx, []look{l}) }
	schema, err := db.schema(ctx, read)
	if err != nil {
		return nil, err
	}
	for _, t := range r.Schema.Tables {
		switch {
		case !migrated()[t.Name]:
			left = append(left, t.Name)
		case !slices.ContainsFunc(schema.Tables, func(s backup.Table) bool { return s.Name == t.Name }):
			return nil, fault.New(fault.BackupFormat, "the backup has table %s, which its release does not have: take another one", t.Name)
		}
	}
	for _, t := range schema.Tables {
		if !slices.ContainsFunc(r.Schema.Tables, func(b backup.Table) bool { return sameTable(t, b) }) {
			return nil, fault.New(fault.BackupFormat, "the backup does not have table %s as its release has it: take another one", t.Name)
		}
	}
	if err := db.unused(ctx, read); err != nil {
		return nil, err
	}
	for _, t := range slices.Backward(schema.Tables) {
		if _, err := tx.connection.batch(ctx, []statement{{query: "DELETE FROM " + quote(t.Name)}}); err != nil {
			return nil, db.explain(err)
		}
	}
	return left, r.Rows(func(t backup.Table, next func() ([]any, error)) error {
		if slices.Contains(left, t.Name) {
			return nil
		}
		return db.explain(tx.connection.fill(ctx, t, next))
	})
}

// sameTable tells whether two tables have the same columns, in whatever order.
func sameTable(a, b backup.Table) bool {
	sorted := func(t backup.Table) []backup.Column {
		return slices.SortedFunc(slices.Values(t.Columns), func(a, b backup.Column) int { return strings.Compare(a.Name, b.Name) })
	}
	return a.Name == b.Name && slices.Equal(sorted(a), sorted(b))
}

// unused refuses a database that a server was started on: it makes a data key at once.
func (db *DB) unused(ctx context.Context, read func(context.Context, look) error) error {
	var counts []int64
	if err := read(ctx, into(&counts, number, "SELECT count(*) FROM data_key")); err != nil {
		return db.explain(err)
	}
	if counts[0] > 0 {
		return errNotEmpty
	}
	return nil
}

// offered are the tokens with an open activation code.
const offered = "serial IN (SELECT serial FROM offer WHERE state = 'open')"

// endMail begins a statement that cancels mail which was not surely sent, and erases its body.
const endMail = "UPDATE mail_message SET state = 'cancelled', trouble = 'SUPERSEDED', ended_at = COALESCE(ended_at, claimed_at, created_at), key_id = NULL, sealed = NULL" +
	" WHERE state IN ('held', 'waiting', 'sending', 'failed', 'unknown') AND "

// A settlement is made where the release of a backup has the column.
type settlement struct{ table, column, statement string }

// settlements end what may have gone on after the backup was taken.
var settlements = []settlement{
	// Dialogues, and answers kept for a request that comes again.
	{"attempt", "id", "DELETE FROM attempt"},
	{"decision", "request_key", "DELETE FROM decision"},
	{"exchange", "id", "DELETE FROM exchange"},
	// Activation codes, as if they were revoked: the old seed stays, and the random one that nobody holds does not take its place.
	{"token_generation", "delivered", "DELETE FROM token_generation WHERE state = 'pending' AND NOT delivered AND " + offered},
	{"token", "distribution", "UPDATE token SET (distribution, pending_until) = ('activation_lapsed', NULL) WHERE distribution = 'pending_activation' AND " + offered},
	// So is the mail with them, or with the links to them: what is sent again would be refused.
	{"mail_message", "id", endMail + "event = 'activation_code'"},
	{"mail_message", "generation", endMail + "EXISTS (SELECT 1 FROM offer AS o WHERE o.serial = mail_message.serial AND o.generation = mail_message.generation AND o.state = 'open')"},
	{"offer", "state", "UPDATE offer SET state = 'revoked' WHERE state = 'open'"},
	{"token_generation", "accepted", "UPDATE token_generation SET accepted = NULL WHERE accepted IS NOT NULL"},
	// Emergency codes that work once each: which of them were used since is not known.
	{"token", "emergency", `UPDATE token SET emergency = NULL WHERE emergency LIKE '%"kind":"set"%'`},
	// A code that was mailed: whether it was used since is not known.
	{"user_guard", "on_demand_code", "UPDATE user_guard SET on_demand_code = NULL WHERE on_demand_code IS NOT NULL"},
	// Serials that were given out since are in apps and must not be given out again: the server takes another range.
	{"serial_range", "id", "DELETE FROM serial_range"},
	// A job that was being stored was not started, and its server is gone.
	{"job_item", "job_id", "DELETE FROM job_item WHERE job_id IN (SELECT id FROM job WHERE state = 'loading')"},
	{"job", "id", "DELETE FROM job WHERE state = 'loading'"},
	// What a job has done since is not known: it must not be done again by itself. It can be resumed for as long as one that is cancelled now.
	{"job", "id", "UPDATE job SET state = 'cancelled', message = 'the deployment was restored from a backup that was taken meanwhile', " +
		"ended_at = COALESCE(progressed_at, created_at), results_until = $1 WHERE state IN ('awaiting_approval', 'queued', 'running')"},
	// What waited to be mailed may have been sent since: an administrator decides. What is held goes to who signs in, and to nobody else: it stays so.
	{"mail_message", "id", "UPDATE mail_message SET state = 'unknown', trouble = 'INTERRUPTED', ended_at = COALESCE(claimed_at, created_at) WHERE state IN ('waiting', 'sending')"},
}

// silences keep a trial from reaching anybody, where its release has the table.
var silences = []settlement{
	{"mail_settings", "enabled", "UPDATE mail_settings SET enabled = FALSE"},
	{"webhook", "enabled", "UPDATE webhook SET enabled = FALSE"},
	{"directory", "every", "UPDATE directory SET every = 0, next_at = NULL"},
}

// settleRestored sees that what happened after the backup was taken does not happen again.
func (db *DB) settleRestored(ctx context.Context, r Restore) (done Restored, err error) {
	if done.Codes, err = list(ctx, db, text, "SELECT serial FROM offer WHERE state = 'open' ORDER BY serial"); err != nil {
		return done, err
	}
	settings, err := db.restoredSettings(ctx)
	if err != nil {
		return done, err
	}
	all := settlements
	if r.Trial {
		all = slices.Concat(settlements, silences)
	}
	for _, s := range all {
		there := slices.ContainsFunc(r.Schema.Tables, func(t backup.Table) bool {
			return t.Name == s.table && slices.ContainsFunc(t.Columns, func(c backup.Column) bool { return c.Name == s.column })
		})
		if !there {
			continue
		}
		var args []any
		if strings.Contains(s.statement, "$1") {
			args = []any{r.Event.At.Add(settings.ResultLife).UnixMicro()}
		}
		if _, err := db.exec(ctx, s.statement, args...); err != nil {
			return done, err
		}
	}
	if done.From = r.Until; !r.Unused {
		err = db.useUp(ctx, r.Until, &done)
	}
	return done, err
}

// restoredSettings are the deployment's, also in tables of an older release.
func (db *DB) restoredSettings(ctx context.Context) (policy.Settings, error) {
	s := policy.Default().Settings
	texts, err := list(ctx, db, text, "SELECT settings FROM policy WHERE kind = 'settings'")
	for _, t := range texts {
		if err := json.Unmarshal([]byte(t), &s); err != nil {
			return s, fmt.Errorf("store: settings: %w", err)
		}
	}
	return s, err
}

// useUp counts the codes up to a time as used.
func (db *DB) useUp(ctx context.Context, until time.Time, done *Restored) error {
	small, err := db.smallWindow(ctx)
	if err != nil {
		return err
	}
	// A code of the small window after the time may have been accepted before it, from a token whose clock is ahead.
	const used = "$1 / interval_seconds + clock_offset + $2"
	done.Tokens, err = db.exec(ctx, "UPDATE token_generation SET last_interval = "+used+" WHERE last_interval < "+used, until.Unix(), small)
	done.From = until.Truncate(longestInterval).Add(time.Duration(small+1) * longestInterval)
	return err
}

// longestInterval is that of a token's codes.
const longestInterval = time.Minute

// smallWindow is the widest of the token policies, in intervals. Each is a JSON object in which the default may be left out.
func (db *DB) smallWindow(ctx context.Context) (int64, error) {
	texts, err := list(ctx, db, text, "SELECT settings FROM policy WHERE kind = 'token' AND settings IS NOT NULL")
	widest := int64(0)
	for _, t := range texts {
		p := struct {
			Small int64 `json:"window_small"`
		}{int64(policy.Default().Token.WindowSmall)}
		if err := json.Unmarshal([]byte(t), &p); err != nil {
			return 0, fmt.Errorf("store: settings of a token policy: %w", err)
		}
		widest = max(widest, p.Small)
	}
	return widest, err
}
