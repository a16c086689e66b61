package store

import (
	"testing"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// The policies of a deployment from before migration 42 are those of the root of its domains, at the version that they had.
func TestPolicyMigration(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (*DB, error){
		"SQLite":     func(t *testing.T) (*DB, error) { return openSQLite(t.Context(), file(t)) },
		"PostgreSQL": func(t *testing.T) (*DB, error) { return openPostgres(t.Context(), storetest.Postgres(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			db, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			old, err := db.history()
			if err == nil {
				_, err = old.UpTo(t.Context(), 41)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.exec(t.Context(), `UPDATE policy SET settings = '{"failures":9}', version = 4 WHERE kind = 'lockout' AND name = 'default'`); err != nil {
				t.Fatal(err)
			}
			if _, err := db.exec(t.Context(), `UPDATE policy SET settings = '{"warn_days":12}', version = 3 WHERE kind = 'settings' AND name = 'default'`); err != nil {
				t.Fatal(err)
			}
			if err := db.migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			tree, err := db.Policies(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if l := tree.Lockout(domain.Root); l.Failures != 9 || l.Version != 4 || l.Domain != domain.Root {
				t.Errorf("%+v", l)
			}
			if p := tree.Token(domain.Root); p.PINMin != 4 || p.Version != 1 {
				t.Errorf("%+v", p)
			}
			if tree.Settings.WarnDays != 12 || tree.Settings.Version != 3 {
				t.Errorf("%+v", tree.Settings)
			}
		})
	}
}
