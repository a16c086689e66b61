package store

import (
	"testing"

	"github.com/tallystick/tallystick/internal/domain"
)

// The policies of a deployment from before migration 42 are those of the root of its domains, at the version that they had.
func TestPolicyMigration(t *testing.T) {
	eachAt(t, 41, func(t *testing.T, db *DB) {
		if _, err := db.exec(t.Context(), `UPDATE policy SET settings = '{"failures":9}', version = 4 WHERE kind = 'lockout' AND name = 'default'`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.exec(t.Context(), `UPDATE policy SET settings = '{"warn_days":12}', version = 3 WHERE kind = 'settings' AND name = 'default'`); err != nil {
			t.Fatal(err)
		}
		if err := db.migrate(t.Context(), nil); err != nil {
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
