// Package deploytest gives tests what a deployment begins with: a database of either kind, a master key, a keyring, a token, and a clock. The
// tables are made once for a test program and copied for each test; how they are made is for the tests of the store itself.
package deploytest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
)

// Databases are new databases of both kinds, by URL.
var Databases = map[string]func(testing.TB) string{"SQLite": SQLite, "PostgreSQL": Postgres}

// Each runs a test on a new database of either kind.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for name, url := range Databases {
		t.Run(name, func(t *testing.T) { test(t, url(t)) })
	}
}

// SQLite is the path of a new database with empty tables, which goes when the test ends.
func SQLite(t testing.TB) string {
	t.Helper()
	content, err := sqliteFile()
	path := filepath.Join(t.TempDir(), "tallystick.db")
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	must(t, err)
	return path
}

// sqliteFile is the content of a database with empty tables.
var sqliteFile = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "tallystick-sqlite-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "tallystick.db")
	if err := makeTables(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // all of it: closing the database moved the log into the file
})

// Postgres is the URL of a new PostgreSQL database with empty tables, as [storetest.Postgres] gives them.
func Postgres(t testing.TB) string {
	t.Helper()
	return storetest.PostgresCopy(t, makeTables)
}

func makeTables(url string) error {
	db, err := store.Open(context.Background(), store.Options{URL: url})
	if err != nil {
		return err
	}
	return db.Close()
}

// New opens a database until the test ends, with a keyring under a new master key. now is the keyring's clock.
func New(t testing.TB, url string, now func() time.Time) (*store.DB, *seed.Keyring) {
	t.Helper()
	db := Open(t, url)
	return db, Keyring(t, db, Master(t), now)
}

// Open opens a database until the test ends.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URL: url})
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Master is a new master key.
func Master(t testing.TB) seed.Master {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	must(t, seed.MakeMasterFile(path))
	m, err := seed.MasterFromFile(path)
	must(t, err)
	return m
}

// Keyring is that of a database, under its master key.
func Keyring(t testing.TB, db *store.DB, m seed.Master, now func() time.Time) *seed.Keyring {
	t.Helper()
	keys, err := seed.OpenKeyring(t.Context(), m, db, now)
	must(t, err)
	return keys
}

// Secrets is a keyring whose secrets are made once for a test program, and are those of each deployment that asks for them the
// first time: to make an RSA key takes longer than most tests do.
func Secrets(k *seed.Keyring) *SharedSecrets { return &SharedSecrets{Keyring: k} }

// SharedSecrets is what [Secrets] gives.
type SharedSecrets struct {
	*seed.Keyring
	given sync.Map // by name: one that is destroyed does not come back
}

// Secret is [seed.Keyring.Secret].
func (k *SharedSecrets) Secret(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error) {
	return k.Keyring.Secret(ctx, name, func() ([]byte, error) {
		if _, again := k.given.LoadOrStore(name, true); again {
			return fresh()
		}
		secrets.Lock()
		defer secrets.Unlock()
		if secrets.made[name] == nil {
			secret, err := fresh()
			if err != nil {
				return nil, err
			}
			secrets.made[name] = secret
		}
		return slices.Clone(secrets.made[name]), nil
	})
}

var secrets = struct {
	sync.Mutex
	made map[string][]byte
}{made: map[string][]byte{}}

// Token adds a token with that seed, which a user has had delivered and holds; its last day is in ten days.
func Token(t testing.TB, db *store.DB, keys *seed.Keyring, serial, userID string, secret seed.Seed, s token.Settings, now time.Time) {
	t.Helper()
	g, err := token.NewGeneration(keys, serial, 1, secret, s, now)
	must(t, err)
	g.Delivered = true
	day := now.Truncate(24 * time.Hour)
	r := token.Token{
		Serial: serial, Origin: token.Imported, Birth: day, Expiry: day.AddDate(0, 0, 10), EffectiveExpiry: day.AddDate(0, 0, 10),
		Current: g, LastNumber: 1, Distribution: token.Confirmed, CreatedAt: now, Version: 1,
	}
	must(t, r.Assign(userID, "test", now))
	must(t, db.AddToken(t.Context(), r))
}

// A Clock stands until a test moves it; others may read it meanwhile.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock is a clock that stands at a time.
func NewClock(at time.Time) *Clock { return &Clock{now: at} }

// Now is the time that it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves it on; or back, by less than nothing.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set has it show another time.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = at
}

// A Log is what a program says, which a test may read meanwhile.
type Log struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// Write is of [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

// String is what was said up to now.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
