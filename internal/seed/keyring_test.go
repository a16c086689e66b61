package seed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// open opens the keyring of a database with a master key file, both of which are made if they are not there.
func open(t *testing.T, db *store.DB, keyFile string, now func() time.Time) (*seed.Keyring, error) {
	t.Helper()
	if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
		if err := seed.MakeMasterFile(keyFile); err != nil {
			t.Fatal(err)
		}
	}
	master, err := seed.MasterFromFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return seed.OpenKeyring(t.Context(), master, db, now)
}

func database(t *testing.T) *store.DB {
	t.Helper()
	return deploytest.Open(t, deploytest.SQLite(t))
}

func TestAnotherMasterKeyIsRefused(t *testing.T) {
	db, dir := database(t), t.TempDir()
	if _, err := open(t, db, filepath.Join(dir, "a"), time.Now); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, db, filepath.Join(dir, "b"), time.Now); !errors.Is(err, fault.MasterKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := open(t, db, filepath.Join(dir, "a"), time.Now); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

func TestMasterFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if _, err := seed.MasterFromFile(file); !errors.Is(err, fault.MasterKey) {
		t.Errorf("no file: %v", err)
	}
	if err := seed.MakeMasterFile(file); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(file)
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := seed.MakeMasterFile(file); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(file); !bytes.Equal(first, again) {
		t.Error("an existing master key was replaced")
	}
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"readable by others": {string(first), 0o644},
		"short":              {"abcd", 0o600},
		"not hexadecimal":    {string(bytes.Repeat([]byte("x"), 64)), 0o600},
	} {
		other := filepath.Join(dir, name)
		if err := os.WriteFile(other, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seed.MasterFromFile(other); !errors.Is(err, fault.MasterKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seed.MasterFromFile(dir); !errors.Is(err, fault.MasterKey) || strings.Contains(err.Error(), "chmod") {
		t.Errorf("a folder: %v", err)
	}
}

func TestASealedSecretOpensInItsPlaceOnly(t *testing.T) {
	keys, err := open(t, database(t), filepath.Join(t.TempDir(), "key"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := seed.Generate()
	sealed, err := keys.SealSeed(s, "000000000026", 1)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed.Blob, s.Reveal()) {
		t.Error("the seed is in the clear")
	}
	if got, err := keys.OpenSeed(t.Context(), sealed, "000000000026", 1); err != nil || !got.Equal(s) {
		t.Errorf("opened: %v", err)
	}
	if _, err := keys.OpenSeed(t.Context(), sealed, "000000000026", 2); err == nil {
		t.Error("opens as another generation")
	}
	if _, err := keys.OpenSeed(t.Context(), sealed, "000000000027", 1); err == nil {
		t.Error("opens as another token's")
	}
	sealed.Blob[len(sealed.Blob)-1] ^= 1
	if _, err := keys.OpenSeed(t.Context(), sealed, "000000000026", 1); err == nil {
		t.Error("opens though it was altered")
	}
	if bytes.Equal(keys.MAC("a", []byte("xy"), []byte("z")), keys.MAC("a", []byte("x"), []byte("yz"))) || bytes.Equal(keys.MAC("a"), keys.MAC("b")) ||
		bytes.Equal(keys.MAC("a", []byte("x"), []byte("y")), keys.MAC("a", []byte("x\x00\x00\x00\x00y"))) {
		t.Error("different inputs have one hash")
	}
}

// Rotation moves every secret while a second server works with the old key, and drops that key only later.
func TestRotationIsOnline(t *testing.T) {
	db, file := database(t), filepath.Join(t.TempDir(), "key")
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	one, err := open(t, db, file, clock)
	if err != nil {
		t.Fatal(err)
	}
	two, err := open(t, db, file, clock)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	secret := func(k *seed.Keyring, name, want string) {
		t.Helper()
		got, err := k.Secret(ctx, name, func() ([]byte, error) { return []byte(want), nil })
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	secret(one, "before", "1")
	if _, err := one.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	secret(two, "meanwhile", "2") // sealed under the old key, which is still there
	reseal := func() (moved int) {
		t.Helper()
		for {
			n, err := one.Reseal(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return moved
			}
			moved += n
		}
	}
	if moved := reseal(); moved != 3 { // both, and the secret behind hashes
		t.Errorf("moved %d secrets", moved)
	}
	if all, _ := db.DataKeys(ctx); len(all) != 2 {
		t.Errorf("%d data keys right after the rotation", len(all))
	}
	now = now.Add(2 * time.Hour)
	reseal()
	if all, _ := db.DataKeys(ctx); len(all) != 1 || all[0].ID != 2 {
		t.Errorf("data keys later: %d", len(all))
	}
	for _, k := range []*seed.Keyring{one, two} {
		secret(k, "before", "1")
		secret(k, "meanwhile", "2")
	}
	if !bytes.Equal(one.MAC("x"), two.MAC("x")) {
		t.Error("hashes changed")
	}
	// The second server has not looked again yet: what it seals now cannot be stored, and is not lost silently.
	sealed, err := two.Seal([]byte("3"), seed.Named("late"))
	if err != nil {
		t.Fatal(err)
	}
	if sealed.KeyID == 1 {
		if err := db.AddSecret(ctx, "late", sealed); err == nil {
			t.Error("stored under a key that is gone")
		}
	}
	if err := two.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	secret(two, "late", "3")
}

// A secret that was altered is named, and keeps no other one under the old key; the key that it needs stays, and no other.
func TestAnAlteredSecretHoldsUpNoOther(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	db := database(t)
	k, err := open(t, db, filepath.Join(t.TempDir(), "key"), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := db.AddSecret(ctx, "altered", seed.Sealed{KeyID: 1, Blob: make([]byte, 64)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "z"} {
		if _, err := k.Secret(ctx, name, func() ([]byte, error) { return []byte(name), nil }); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the key in between is needed by nothing
		if _, err := k.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(2 * time.Hour)
	moved := 0
	for n := 1; n > 0; moved += n {
		if n, err = k.Reseal(ctx, 100); err == nil || !strings.Contains(err.Error(), "altered") {
			t.Fatalf("the altered secret is not named: %v", err)
		}
	}
	if moved != 3 { // both, and the secret behind hashes
		t.Errorf("moved %d secrets", moved)
	}
	all, err := db.DataKeys(ctx)
	if err != nil || len(all) != 2 || all[0].ID != 1 || all[1].ID != 3 {
		t.Errorf("data keys %+v, %v", all, err)
	}
}

func TestServersThatStartAtOnceShareTheKeys(t *testing.T) {
	db, file := database(t), filepath.Join(t.TempDir(), "key")
	if err := seed.MakeMasterFile(file); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	hashes := make([]string, 8)
	for i := range hashes {
		all.Go(func() {
			master, err := seed.MasterFromFile(file)
			if err != nil {
				t.Error(err)
				return
			}
			k, err := seed.OpenKeyring(context.Background(), master, db, time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			hashes[i] = fmt.Sprintf("%x", k.MAC("x"))
		})
	}
	all.Wait()
	for _, h := range hashes {
		if h != hashes[0] {
			t.Fatal("two servers have different keys")
		}
	}
}

// A spy is a master key that keeps what it is given to wrap, and what it unwraps.
type spy struct {
	seed.Master
	plain [][]byte
	seen  map[string]bool
}

func (s *spy) saw(key []byte) {
	s.plain = append(s.plain, key)
	s.seen[string(key)] = true
}

func (s *spy) Encrypt(key, purpose []byte) ([]byte, error) {
	s.saw(key)
	return s.Master.Encrypt(key, purpose)
}

func (s *spy) Decrypt(wrapped, purpose []byte) ([]byte, error) {
	key, err := s.Master.Decrypt(wrapped, purpose)
	if err == nil {
		s.saw(key)
	}
	return key, err
}

// Data keys are drawn, each anew, and what was unwrapped or wrapped of them is erased; and so is the secret behind hashes drawn.
func TestDataKeysAreDrawnAndErased(t *testing.T) {
	ctx, s := t.Context(), &spy{Master: deploytest.Master(t), seen: map[string]bool{}}
	var hashes [2][]byte
	for n := range hashes {
		db := database(t)
		k, err := seed.OpenKeyring(ctx, s, db, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		hashes[n] = k.MAC("x")
		if _, err := k.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		after := &spy{Master: deploytest.Master(t), seen: s.seen}
		if err := seed.ChangeMaster(ctx, s, after, db, time.Now); err != nil {
			t.Fatal(err)
		}
		page, err := db.Events(ctx, audit.Filter{Action: "key.rotate"})
		if err != nil || len(page.Entries) != 3 {
			t.Errorf("%d keys were recorded: %v", len(page.Entries), err)
		}
		s.plain = append(s.plain, after.plain...)
	}
	if bytes.Equal(hashes[0], hashes[1]) {
		t.Error("two deployments have one hash")
	}
	if len(s.seen) != 6 {
		t.Errorf("%d different keys, want three in each database", len(s.seen))
	}
	for _, key := range s.plain {
		if !bytes.Equal(key, make([]byte, len(key))) {
			t.Error("a data key was left in memory")
		}
	}
}

// A noNewKey is a database that ends while a new data key is stored.
type noNewKey struct{ seed.KeyStore }

var errNoNewKey = errors.New("the disk is full")

func (noNewKey) AddDataKey(context.Context, seed.DataKey) error { return errNoNewKey }

// After the master key was changed everything is as it was for who has the next one, and nothing opens for who has the one before.
func TestMasterKeyIsChanged(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		before, after, another := deploytest.Master(t), deploytest.Master(t), deploytest.Master(t)
		db := deploytest.Open(t, url)
		if err := seed.ChangeMaster(ctx, before, after, db, time.Now); !errors.Is(err, fault.NotFound) {
			t.Errorf("of a database without keys: %v", err)
		}
		k := deploytest.Keyring(t, db, before, time.Now)
		if _, err := k.Rotate(ctx); err != nil { // a second data key
			t.Fatal(err)
		}
		fresh := func() ([]byte, error) { return []byte("as it was"), nil }
		if _, err := k.Secret(ctx, "kept", fresh); err != nil {
			t.Fatal(err)
		}
		hash := k.MAC("pin", []byte("1234"))

		if err := seed.ChangeMaster(ctx, another, after, db, time.Now); !errors.Is(err, fault.MasterKey) {
			t.Errorf("by who has not the master key: %v", err)
		}
		if _, err := seed.OpenKeyring(ctx, before, db, time.Now); err != nil {
			t.Errorf("after that was refused: %v", err)
		}
		if err := seed.ChangeMaster(ctx, before, after, noNewKey{db}, time.Now); !errors.Is(err, errNoNewKey) {
			t.Errorf("without a new data key: %v", err)
		}
		if _, err := seed.OpenKeyring(ctx, before, db, time.Now); err != nil {
			t.Errorf("after no new data key could be made: %v", err)
		}
		for range 2 { // the second time as after a crash
			if err := seed.ChangeMaster(ctx, before, after, db, time.Now); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := seed.OpenKeyring(ctx, before, db, time.Now); !errors.Is(err, fault.MasterKey) {
			t.Errorf("with the master key from before: %v", err)
		}
		if err := k.Refresh(ctx); !errors.Is(err, fault.MasterKey) {
			t.Errorf("a server that stood still meanwhile: %v", err)
		}
		if _, err := k.Seal([]byte("secret"), seed.Named("new")); !errors.Is(err, fault.MasterKey) {
			t.Errorf("sealed by a data key that others may have: %v", err)
		}
		k, err := seed.OpenKeyring(ctx, after, db, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := k.Secret(ctx, "kept", func() ([]byte, error) { return nil, errors.New("it is not there") })
		if err != nil || string(kept) != "as it was" || !bytes.Equal(k.MAC("pin", []byte("1234")), hash) {
			t.Errorf("kept %q, %v, or hashes differ", kept, err)
		}
		rows, err := db.DataKeys(ctx)
		if err != nil || len(rows) != 3 || slices.ContainsFunc(rows, func(r seed.DataKey) bool { return r.MasterID != after.ID() }) {
			t.Errorf("%d data keys, %v; want the two from before and a new one, all wrapped by the next", len(rows), err)
		}
	})
}
