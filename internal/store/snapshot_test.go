package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// schemaOf is what a backup carries of a database.
func schemaOf(t *testing.T, db *store.DB) (schema backup.Schema) {
	t.Helper()
	err := db.Snapshot(t.Context(), func(_ context.Context, s backup.Snapshot) error {
		schema = s.Schema()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// A backup carries every table with every column, and both databases have the same: what one holds has a place in the other.
// A new table is covered by that it is there. This fails if it is there on one database only, or is of a kind that cannot be carried.
func TestBothDatabasesHaveTheSameTables(t *testing.T) {
	byName := func(s backup.Schema) []string {
		var all []string
		for _, table := range s.Tables {
			for _, c := range table.Columns {
				all = append(all, fmt.Sprint(table.Name, ".", c.Name, " ", c.Kind))
			}
		}
		slices.Sort(all)
		return all
	}
	lite := schemaOf(t, deploytest.Open(t, deploytest.SQLite(t)))
	post := schemaOf(t, deploytest.Open(t, deploytest.Postgres(t)))
	a, b := byName(lite), byName(post)
	for _, c := range a {
		if !slices.Contains(b, c) {
			t.Errorf("only SQLite has %s", c)
		}
	}
	for _, c := range b {
		if !slices.Contains(a, c) {
			t.Errorf("only PostgreSQL has %s", c)
		}
	}
	if !slices.Equal(lite.Migrations, post.Migrations) {
		t.Errorf("migrations %v and %v", lite.Migrations, post.Migrations)
	}
	for _, name := range []string{"token", "token_generation", "user_account", "audit_batch", "data_key", "secret"} {
		if !slices.ContainsFunc(a, func(c string) bool { return strings.HasPrefix(c, name+".") }) {
			t.Errorf("table %s is not carried", name)
		}
	}
}

// strange are tables of somebody else, one of them with a column that no backup could carry.
var strange = []string{"CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)", "INSERT INTO _litestream_seq VALUES (1, 7)", "CREATE TABLE stranger (weight REAL)"}

// raw is a database as others see it.
func raw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if strings.HasPrefix(url, "postgres") {
		driver = "pgx"
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// do runs statements on a database.
func do(t *testing.T, url string, statements ...string) {
	t.Helper()
	db := raw(t, url)
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// A backup carries the tables of the release, all of them, and none of anybody else.
func TestBackupCarriesItsOwnTables(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		db := deploytest.Open(t, url)
		all := "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
		if strings.HasPrefix(url, "postgres") {
			all = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()"
		}
		want := slices.DeleteFunc(namesIn(t, url, all), func(name string) bool {
			return name == "goose_db_version" || strings.Contains(name, "_tally")
		})
		do(t, url, strange...)
		var got []string
		for _, table := range schemaOf(t, db).Tables {
			got = append(got, table.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("it carries %v, want %v", got, want)
		}
		if _, err := restore(t.Context(), bare["SQLite"](t), take(t, db), takenAt); err != nil {
			t.Error(err)
		}
	})
}

// namesIn are the texts that a SELECT returns, in order.
func namesIn(t *testing.T, url, query string) (all []string) {
	t.Helper()
	rows, err := raw(t, url).QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// carrying is a database of an earlier release, whose backups had tables of others.
type carrying struct{ *store.DB }

func (c carrying) Snapshot(ctx context.Context, do func(context.Context, backup.Snapshot) error) error {
	return c.DB.Snapshot(ctx, func(ctx context.Context, s backup.Snapshot) error { return do(ctx, more{s}) })
}

type more struct{ backup.Snapshot }

func (m more) Schema() backup.Schema {
	s := m.Snapshot.Schema()
	s.Tables = slices.Insert(slices.Clone(s.Tables), 1, backup.Table{Name: "_litestream_seq", Columns: []backup.Column{{Name: "id", Kind: backup.Number}}})
	return s
}

func (m more) Rows(ctx context.Context, of backup.Table, each func([]any) error) error {
	if of.Name == "_litestream_seq" {
		return each([]any{int64(1)})
	}
	return m.Snapshot.Rows(ctx, of, each)
}

// Backups that have tables of others are restored without these.
func TestRestoreLeavesOutTablesOfOthers(t *testing.T) {
	db := deploytest.Open(t, deploytest.SQLite(t))
	populate(t, db, 5)
	data := take(t, carrying{db})
	for name, target := range bare {
		t.Run(name, func(t *testing.T) {
			url := target(t)
			done, err := restore(t.Context(), url, data, takenAt)
			if err != nil {
				t.Fatal(err)
			}
			if got := contents(t, deploytest.Open(t, url)); !slices.Equal(done.Left, []string{"_litestream_seq"}) || len(got["token"]) != 5 {
				t.Errorf("left out %v; there are %d tokens", done.Left, len(got["token"]))
			}
		})
	}
}

// A PostgreSQL database may have tables of others, which stay as they are, unless their names are taken.
func TestRestoreBesideTablesOfOthers(t *testing.T) {
	db := deploytest.Open(t, deploytest.SQLite(t))
	populate(t, db, 5)
	data := take(t, db)
	url := storetest.Postgres(t)
	do(t, url, strange...)
	if _, err := restore(t.Context(), url, data, takenAt); err != nil {
		t.Error(err)
	}
	if got := namesIn(t, url, "SELECT CAST(seq AS TEXT) FROM _litestream_seq"); !slices.Equal(got, []string{"7"}) {
		t.Errorf("somebody else's table holds %v now", got)
	}
	for name, statements := range map[string][]string{
		"a name that is taken": {"CREATE TABLE job (weight REAL)"},
		"other migrations": {
			"CREATE TABLE goose_db_version (id SERIAL PRIMARY KEY, version_id BIGINT NOT NULL, is_applied BOOLEAN NOT NULL, tstamp TIMESTAMP NOT NULL DEFAULT now())",
			"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := storetest.Postgres(t)
			do(t, url, statements...)
			if _, err := restore(t.Context(), url, data, takenAt); !errors.Is(err, fault.RestoreTarget) {
				t.Error(err)
			}
			if got := namesIn(t, url, "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE tablename IN ('token', 'user_account')"); len(got) > 0 {
				t.Errorf("there are tables %v now", got)
			}
		})
	}
}

// identity opens the backups of these tests.
var identity = func() *age.X25519Identity {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	return i
}()

var takenAt = time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC)

// take takes a backup.
func take(t *testing.T, db backup.Source) []byte {
	t.Helper()
	var out bytes.Buffer
	err := backup.Write(t.Context(), &out, db, backup.Options{To: []age.Recipient{identity.Recipient()}, Keys: macer{}, Master: "m", Now: func() time.Time { return takenAt }})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type macer struct{}

func (macer) MAC(string, ...[]byte) []byte { return []byte("mac") }

// restore brings a backup back, as others may say.
func restore(ctx context.Context, url string, data []byte, until time.Time, say ...func(*store.Restore)) (store.Restored, error) {
	header, err := backup.NewReader(bytes.NewReader(data), identity)
	if err != nil {
		return store.Restored{}, err
	}
	all := store.Restore{
		Schema: header.Header().Schema, Until: until, Event: audit.New(ctx, takenAt, "backup.restore", "deployment:", nil),
		Rows: func(write func(backup.Table, func() ([]any, error)) error) error {
			r, err := backup.NewReader(bytes.NewReader(data), identity)
			if err != nil {
				return err
			}
			for {
				table, err := r.Next()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err == nil {
					err = write(table, r.Row)
				}
				if err != nil {
					return err
				}
			}
		},
	}
	for _, s := range say {
		s(&all)
	}
	return store.Options{URL: url}.Restore(ctx, all)
}

// contents are the rows of every table, as a hash for each row that is found by it.
func contents(t *testing.T, db *store.DB) map[string]map[string]int {
	t.Helper()
	all := map[string]map[string]int{}
	err := db.Snapshot(t.Context(), func(ctx context.Context, s backup.Snapshot) error {
		for _, table := range s.Schema().Tables {
			rows := map[string]int{}
			err := s.Rows(ctx, table, func(values []any) error {
				named := map[string]any{}
				for i, c := range table.Columns {
					named[c.Name] = values[i]
				}
				if table.Name == "token_generation" {
					delete(named, "last_interval") // is moved
				}
				var line []byte
				for _, name := range slices.Sorted(maps.Keys(named)) {
					line = fmt.Appendf(line, "%s=%T:%v;", name, named[name], named[name])
				}
				sum := sha256.Sum256(line)
				rows[string(sum[:])]++
				return nil
			})
			if err != nil {
				return err
			}
			all[table.Name] = rows
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// populate makes n tokens, some of them with users, and something in most other tables.
func populate(t *testing.T, db *store.DB, n int) {
	t.Helper()
	ctx, now := t.Context(), func() time.Time { return takenAt }
	keys := deploytest.Keyring(t, db, deploytest.Master(t), now)
	r := &records.Registry{Store: db, Keys: keys, Now: now}
	if err := r.BeginSerials(ctx); err != nil {
		t.Fatal(err)
	}
	var serials []string
	for made := 0; made < n; made = len(serials) {
		some, err := r.Create(ctx, min(n-made, records.MaxAtOnce), time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, some...)
	}
	users := &user.Registry{Store: db, Now: now}
	tokens := &token.Registry{Store: db, Now: now}
	for i, id := range []string{"alice", "bob", "ünïcode \"x\""} {
		if _, err := users.Add(ctx, user.User{ID: id, Name: "N " + id}); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Assign(ctx, serials[i], id); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := keys.Seal([]byte("answer"), seed.ReplyTo("a/k"))
	if err == nil {
		err = db.KeepReply(ctx, "a", "k", []byte{0, 1}, serials[0], 1, sealed, takenAt)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bare are new databases of both kinds without tables, by URL, as one restores into.
var bare = map[string]func(testing.TB) string{
	"SQLite":     func(t testing.TB) string { return filepath.Join(t.TempDir(), "tallystick.db") },
	"PostgreSQL": storetest.Postgres,
}

// A backup of either database is restored into either: every row of every table is what it was, but for what a restore settles.
func TestBackupGoesEverywhere(t *testing.T) {
	n := 4000
	switch {
	case os.Getenv("TALLYSTICK_FULL") != "":
		n = 100_000
	case testing.Short():
		n = 2000
	}
	settled := []string{"serial_range", "attempt", "decision", "exchange", "audit_batch", "audit_waiting", "schema_release"}
	for from, source := range deploytest.Databases {
		t.Run("from "+from, func(t *testing.T) {
			db := deploytest.Open(t, source(t))
			populate(t, db, n)
			before, data := contents(t, db), take(t, db)
			counted, err := db.Statistics(t.Context(), report.Question{})
			if err != nil {
				t.Fatal(err)
			}
			if len(before["token"]) != n {
				t.Fatalf("%d tokens", len(before["token"]))
			}
			for to, target := range bare {
				t.Run("to "+to, func(t *testing.T) {
					url := target(t)
					done, err := restore(t.Context(), url, data, takenAt)
					if err != nil {
						t.Fatal(err)
					}
					if done.Tokens != n || !done.From.Equal(time.Date(2026, 11, 24, 12, 2, 0, 0, time.UTC)) {
						t.Errorf("settled %+v", done)
					}
					restored := deploytest.Open(t, url)
					after := contents(t, restored)
					if got, err := restored.Statistics(t.Context(), report.Question{}); err != nil || got != counted {
						t.Errorf("statistics %+v, %v; before %+v", got, err, counted)
					}
					for name, rows := range before {
						if !slices.Contains(settled, name) && !reflect.DeepEqual(rows, after[name]) {
							t.Errorf("table %s: %d rows before and %d after, or not the same", name, len(rows), len(after[name]))
						}
					}
					for row := range before["audit_batch"] {
						if after["audit_batch"][row] == 0 {
							t.Error("events are missing")
						}
					}
					if len(after["audit_batch"]) != len(before["audit_batch"])+1 || len(after["serial_range"]) != 0 {
						t.Error("the restore is not in the log, or serials would be given out twice")
					}
					if _, err := restore(t.Context(), url, data, takenAt); !errors.Is(err, fault.RestoreTarget) {
						t.Errorf("a second time: %v", err)
					}
					if !reflect.DeepEqual(contents(t, deploytest.Open(t, url)), after) {
						t.Error("a restore that was refused changed something")
					}
				})
			}
		})
	}
}

// A restore that is ended in the middle leaves nothing, and can be done again.
func TestRestoreThatIsCutShort(t *testing.T) {
	db := deploytest.Open(t, deploytest.SQLite(t))
	populate(t, db, 500)
	data := take(t, db)
	for name, target := range bare {
		t.Run(name, func(t *testing.T) {
			url := target(t)
			ctx, cancel := context.WithCancel(t.Context())
			schema := schemaOf(t, db)
			row := 0
			_, err := store.Options{URL: url}.Restore(ctx, store.Restore{Schema: schema, Until: takenAt, Rows: func(write func(backup.Table, func() ([]any, error)) error) error {
				r, err := backup.NewReader(bytes.NewReader(data), identity)
				if err != nil {
					return err
				}
				for {
					table, err := r.Next()
					if err != nil {
						return err
					}
					err = write(table, func() ([]any, error) {
						if row++; row == 400 {
							cancel()
						}
						return r.Row()
					})
					if err != nil {
						return err
					}
				}
			}})
			if err == nil || row < 400 {
				t.Fatalf("it went on: %v after %d rows", err, row)
			}
			if _, err := restore(t.Context(), url, data, takenAt); err != nil {
				t.Errorf("again: %v", err)
			}
			if got := len(contents(t, deploytest.Open(t, url))["token"]); got != 500 {
				t.Errorf("%d tokens", got)
			}
		})
	}
}

// A backup shows one moment, whatever is written while it is taken: of what one transaction wrote, all or nothing.
func TestBackupDuringWork(t *testing.T) {
	for name, url := range deploytest.Databases {
		t.Run(name, func(t *testing.T) {
			db := deploytest.Open(t, url(t))
			populate(t, db, 50)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			wrote := make(chan bool)
			another := func() {
				select {
				case <-wrote:
				case err := <-done:
					t.Fatal(err)
				}
			}
			go func() { // users come in pairs
				for n := 0; ctx.Err() == nil; n++ {
					pair := []user.User{{ID: fmt.Sprintf("a%d", n), Version: 1, CreatedAt: takenAt}, {ID: fmt.Sprintf("b%d", n), Version: 1, CreatedAt: takenAt}}
					if err := db.AddUsers(ctx, pair); err != nil && ctx.Err() == nil {
						done <- err
						return
					}
					select {
					case wrote <- true:
					case <-ctx.Done():
					}
				}
				done <- nil
			}()
			for range 5 {
				another()
				var users, guards int
				err := db.Snapshot(ctx, func(ctx context.Context, s backup.Snapshot) error {
					for _, table := range s.Schema().Tables {
						n := 0
						if err := s.Rows(ctx, table, func([]any) error { n++; return nil }); err != nil {
							return err
						}
						switch table.Name {
						case "user_account":
							users = n
							another() // others go on
							another()
						case "user_guard":
							guards = n
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if users%2 != 1 || users != guards { // three, and pairs
					t.Errorf("%d users and %d guards", users, guards)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
