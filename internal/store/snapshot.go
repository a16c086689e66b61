package store

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/tallystick/tallystick/internal/backup"
)

// A snapshot reads the database as it was at one moment.
type snapshot struct {
	read   func(ctx context.Context, l look) error
	schema backup.Schema
}

// Snapshot shows everything as it is at one moment, whatever others write meanwhile, and holds them up in nothing.
func (db *DB) Snapshot(ctx context.Context, do func(context.Context, backup.Snapshot) error) error {
	err := db.freeze(ctx, func(read func(context.Context, look) error) error {
		schema, err := db.schema(ctx, read)
		if err != nil {
			return err
		}
		return do(ctx, snapshot{read, schema})
	})
	return db.explain(err)
}

// Schema is what tables there are.
func (s snapshot) Schema() backup.Schema { return s.schema }

// Rows calls each with every row of a table.
func (s snapshot) Rows(ctx context.Context, t backup.Table, each func([]any) error) error {
	values, places := make([]any, len(t.Columns)), make([]any, len(t.Columns))
	for i := range values {
		places[i] = &values[i]
	}
	return s.read(ctx, look{"SELECT " + quoted(t) + " FROM " + quote(t.Name), nil, func(r row) error {
		if own, ok := r.(interface{ Values() ([]any, error) }); ok { // pgx has them without a detour
			all, err := own.Values()
			if err != nil {
				return err
			}
			for i, v := range all {
				if b, is := v.(bool); is {
					all[i] = map[bool]int64{true: 1}[b]
				}
			}
			return each(all)
		}
		if err := r.Scan(places...); err != nil {
			return err
		}
		return each(values)
	}})
}

// derived are tables that triggers keep. They differ between the databases, and are kept again while the rows that they
// count are restored.
var derived = regexp.MustCompile(`_tally(_new|_sum)?$`)

// migrated are the names of the tables that migrations make, or once made: others who use the database, such as programs that
// replicate it, may have tables of their own there.
var migrated = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	err := fs.WalkDir(migrationFiles, "migrations", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := migrationFiles.ReadFile(path)
		for _, found := range creates.FindAllSubmatch(file, -1) {
			names[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		panic(err) // they are in the program
	}
	return names
})

var creates = regexp.MustCompile(`(?m)(?:^CREATE TABLE |RENAME TO )(\w+)`)

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoted are the columns of a table.
func quoted(t backup.Table) string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quote(c.Name)
	}
	return strings.Join(names, ", ")
}

// schema reads what tables there are, those that are referred to first.
func (db *DB) schema(ctx context.Context, read func(context.Context, look) error) (backup.Schema, error) {
	var s backup.Schema
	columnsOf, referencesOf := db.catalogue()
	tables := map[string]*backup.Table{}
	err := read(ctx, look{columnsOf, nil, func(r row) error {
		var table, column, kind string
		if err := r.Scan(&table, &column, &kind); err != nil {
			return err
		}
		if !migrated()[table] || derived.MatchString(table) {
			return nil
		}
		kinds := map[string]backup.Kind{"text": backup.Text, "bigint": backup.Number, "integer": backup.Number, "boolean": backup.Number, "bytea": backup.Bytes, "blob": backup.Bytes}
		k, known := kinds[strings.ToLower(kind)]
		if !known {
			return fmt.Errorf("column %s of table %s is of type %s, which a backup does not carry", column, table, kind)
		}
		if tables[table] == nil {
			tables[table] = &backup.Table{Name: table}
		}
		tables[table].Columns = append(tables[table].Columns, backup.Column{Name: column, Kind: k})
		return nil
	}})
	if err != nil {
		return s, err
	}
	needs := map[string][]string{}
	err = read(ctx, look{referencesOf, nil, func(r row) error {
		var from, to string
		err := r.Scan(&from, &to)
		if from != to {
			needs[from] = append(needs[from], to)
		}
		return err
	}})
	if err != nil {
		return s, err
	}
	if s.Tables, err = inOrder(tables, needs); err != nil {
		return s, err
	}
	err = read(ctx, into(&s.Migrations, number, "SELECT CAST(version_id AS BIGINT) FROM "+goose.DefaultTablename+" WHERE version_id > 0 ORDER BY version_id"))
	return s, err
}

// inOrder puts tables behind those that they need; otherwise their order is that of their names.
func inOrder(tables map[string]*backup.Table, needs map[string][]string) ([]backup.Table, error) {
	var all []backup.Table
	var names []string
	for name := range tables {
		names = append(names, name)
	}
	slices.Sort(names)
	done := map[string]bool{}
	for len(names) > 0 {
		ready := slices.IndexFunc(names, func(name string) bool {
			return !slices.ContainsFunc(needs[name], func(other string) bool { return !done[other] })
		})
		if ready < 0 {
			return nil, fmt.Errorf("the tables %v refer to each other in a circle", names)
		}
		all = append(all, *tables[names[ready]])
		done[names[ready]] = true
		names = slices.Delete(names, ready, ready+1)
	}
	return all, nil
}
