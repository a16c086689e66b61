package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
)

//go:embed migrations
var migrationFiles embed.FS

// migrateTries is how often the tables are brought up to date before an error is believed.
const migrateTries = 20

// latest is how far the tables have been brought.
const latest = "SELECT MAX(version_id) FROM " + goose.DefaultTablename

// migrate brings the tables up to date, forward only, whoever else does so at
// the same moment. before is that of [Options].
func (db *DB) migrate(ctx context.Context, before func(context.Context, *DB, bool) error) error {
	var err error
	// On SQLite, of two processes at once one may fail over what the other has just made, and finds it done the next time: over each
	// of the migrations, if they keep in step.
	for range migrateTries {
		if err = db.up(ctx, before); err == nil || fault.CodeOf(err) != "" { // a refusal of ours, or of before
			return err
		}
		// A table of versions that cannot be read is taken for one that is to be made.
		if _, unread := one(ctx, db, nil, number, latest); db.sort(unread) == damaged {
			err = unread
			break
		}
		if kind := db.sort(err); ctx.Err() != nil || kind == outage || kind == forbidden {
			break
		}
	}
	return db.explain(err)
}

// history is the migrations, ready to run, on connections that closing it ends.
func (db *DB) history() (*goose.Provider, error) {
	handle, dialect, folder, options, err := db.migrations()
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrationFiles, folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, handle, files, append(options, goose.WithDisableGlobalRegistry(true))...)
}

// versions tells how far the tables have been brought, and how far this release brings them. It leaves an empty database empty: goose would make its
// own table there first, beside which no dump of a deployment comes whole.
func (db *DB) versions(ctx context.Context, provider *goose.Provider) (current, ours int64, err error) {
	if present, err := db.present(ctx); err != nil || !present {
		sources := provider.ListSources()
		return 0, sources[len(sources)-1].Version, err
	}
	return provider.GetVersions(ctx)
}

func (db *DB) up(ctx context.Context, before func(context.Context, *DB, bool) error) error {
	provider, err := db.history()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	current, ours, err := db.versions(ctx, provider)
	if err == nil && before != nil && current < ours {
		err = before(ctx, db, current == 0)
	}
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bringing the tables up to date: %w", err)
	}
	if current, ours, err = provider.GetVersions(ctx); err != nil {
		return err
	}
	if db.tables = ours; current > ours {
		return db.newer(ctx, current)
	}
	_, err = db.exec(ctx, "INSERT INTO schema_release (schema_version, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", ours, backup.Release()) // to be named by older ones
	return err
}

// upToDate refuses tables that another release has made.
func (db *DB) upToDate(ctx context.Context) error {
	provider, err := db.history()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	current, ours, err := db.versions(ctx, provider)
	if err != nil {
		return db.explain(err)
	}
	switch db.tables = ours; {
	case current == 0:
		return fault.New(fault.NotFound, "there is no deployment in this database")
	case current < ours:
		return fault.New(fault.Conflict, "this database belongs to an older release (schema %d): use that release, or start a server of this one first", current)
	case current > ours:
		return db.newer(ctx, current)
	}
	return nil
}

// Current refuses with [fault.SchemaNewer] a database that a newer release has changed since it was opened.
func (db *DB) Current(ctx context.Context) error {
	version, err := one(ctx, db, nil, number, latest)
	if err != nil || version <= db.tables {
		return err
	}
	return db.newer(ctx, version)
}

// newer refuses a database whose tables a newer release has changed.
func (db *DB) newer(ctx context.Context, version int64) error {
	unknown := fault.New(fault.SchemaNewer, "this database belongs to a newer release (schema %d): start that release", version)
	name, err := one(ctx, db, unknown, text, "SELECT name FROM schema_release WHERE schema_version = $1", version)
	if err != nil {
		return err
	}
	return fault.New(fault.SchemaNewer, "this database belongs to release %s (schema %d): start that release, or a newer one", name, version)
}
