package server_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/server"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// testdata/schema-*.backup are backups of schemas that were released, or were about to be, made by the program that had them, with the keys
// inside and this password. TestOldBackups keeps them restorable: 'make fixture' adds one at each release; never change one.
const oldPassword = "correct horse"

func openOld(t *testing.T) age.Identity {
	t.Helper()
	i, err := backup.ByPassword(oldPassword)
	if err != nil {
		t.Fatal(err)
	}
	return remembered{i}
}

// remembered tries its password once for each backup: a try takes half a second of a processor, on purpose.
type remembered struct{ age.Identity }

// fileKeys is what the password opened, by what it was sealed as.
var fileKeys sync.Map

func (r remembered) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	sealed := string(stanzas[0].Body) // with a password, there is no other
	if key, ok := fileKeys.Load(sealed); ok {
		return bytes.Clone(key.([]byte)), nil
	}
	key, err := r.Identity.Unwrap(stanzas)
	if err == nil {
		fileKeys.Store(sealed, bytes.Clone(key))
	}
	return key, err
}

// targets are databases to restore into, by URL; "" is the embedded one of a data folder.
var targets = map[string]func(testing.TB) string{"SQLite": func(testing.TB) string { return "" }, "PostgreSQL": storetest.Postgres}

// A backup of each schema comes back on both databases, every token with a seed that opens.
func TestOldBackups(t *testing.T) {
	old, err := filepath.Glob("testdata/schema-*.backup")
	if err != nil || len(old) == 0 {
		t.Fatal("there are none", err)
	}
	for _, file := range old {
		for name, database := range targets {
			t.Run(filepath.Base(file)+" to "+name, func(t *testing.T) {
				data, url := folder(t), database(t)
				f, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				done, err := server.Restore{File: f, Keys: []age.Identity{openOld(t)}, Data: data, Database: url, Now: later}.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if url == "" {
					url = filepath.Join(data, "tallystick.db")
				}
				rows := map[string]int64{}
				for _, c := range done.Contents.Tables {
					rows[c.Name] = c.Rows
				}
				opened(t, url, filepath.Join(data, "master.key"), int(rows["token"]))
			})
		}
	}
}

// later is after every old backup was taken.
func later() time.Time { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC) }

// opened sees that a database has so many tokens, each with a seed of its own that opens.
func opened(t *testing.T, url, masterFile string, tokens int) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	master, err := seed.MasterFromFile(masterFile)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seed.OpenKeyring(t.Context(), master, db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	secrets, seeds := 0, map[string]bool{}
	kept, err := db.SealedBefore(t.Context(), 1<<40, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kept {
		plain, err := keys.Open(t.Context(), k.Sealed, k.Binding)
		if err != nil {
			t.Error(err)
		}
		secrets++
		if strings.HasPrefix(string(k.Binding), "seed/") {
			seeds[string(plain)] = true
		}
	}
	if len(seeds) < tokens || tokens == 0 || secrets <= tokens {
		t.Errorf("%d tokens have %d seeds, among %d secrets", tokens, len(seeds), secrets)
	}
}

// What is wrong with a backup, or with the place it is to go to, is found before anything is written.
func TestRestoreRefuses(t *testing.T) {
	whole, err := os.ReadFile("testdata/schema-0010.backup")
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	wrong, err := backup.ByPassword("incorrect horse")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data  []byte
		key   age.Identity
		alter func(*testing.T, *server.Restore)
		want  fault.Code
	}{
		"cut short": {data: whole[:len(whole)-100], want: fault.BackupFormat},
		"flipped":   {data: flipped, want: fault.BackupFormat},
		"wrong key": {key: wrong, want: fault.BackupKey},
		"another master key": {alter: func(t *testing.T, r *server.Restore) {
			r.MasterKey = filepath.Join(t.TempDir(), "key")
			if err := seed.MakeMasterFile(r.MasterKey); err != nil {
				t.Fatal(err)
			}
		}, want: fault.MasterKey},
		"clock is behind":              {alter: func(_ *testing.T, r *server.Restore) { r.Now = func() time.Time { return time.Unix(0, 0) } }, want: fault.Invalid},
		"codes used before the backup": {alter: func(_ *testing.T, r *server.Restore) { r.Until = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }, want: fault.Invalid},
		"codes used far ahead":         {alter: func(_ *testing.T, r *server.Restore) { r.Until = later().Add(61 * time.Minute) }, want: fault.Invalid},
		"another certificate":          {alter: func(t *testing.T, r *server.Restore) { touch(t, r.Data, "ca.pem") }, want: fault.RestoreTarget},
		"another key":                  {alter: func(t *testing.T, r *server.Restore) { touch(t, r.Data, "ca.key") }, want: fault.RestoreTarget},
		"a database":                   {alter: func(t *testing.T, r *server.Restore) { touch(t, r.Data, "tallystick.db") }, want: fault.RestoreTarget},
		"a database, beside PostgreSQL": {alter: func(t *testing.T, r *server.Restore) {
			touch(t, r.Data, "tallystick.db")
			r.Database = storetest.Postgres(t)
		}, want: fault.RestoreTarget},
		"a log": {alter: func(t *testing.T, r *server.Restore) { touch(t, r.Data, "tallystick.db-wal") }, want: fault.RestoreTarget},
	} {
		t.Run(name, func(t *testing.T) {
			r := server.Restore{Keys: []age.Identity{openOld(t)}, Data: folder(t), Now: later}
			if c.data == nil {
				c.data = whole
			}
			if c.key != nil {
				r.Keys = []age.Identity{c.key}
			}
			if c.alter != nil {
				c.alter(t, &r)
			}
			r.File = bytes.NewReader(c.data)
			before := listing(t, r.Data)
			if _, err := r.Run(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if after := listing(t, r.Data); after != before {
				t.Errorf("the folder held %q, and %q after", before, after)
			}
		})
	}
}

// Whoever makes a backup with a master key of his own says what its files are called: nothing is written outside of the data folder.
func TestRestoreWritesNoOtherFiles(t *testing.T) {
	dir := folder(t)
	key := filepath.Join(dir, "theirs")
	if err := seed.MakeMasterFile(key); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	master, err := seed.MasterFromText(text)
	if err != nil {
		t.Fatal(err)
	}
	db := deploytest.Open(t, deploytest.SQLite(t))
	keys, err := seed.OpenKeyring(t.Context(), master, db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	to, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	err = backup.Write(t.Context(), &file, db, backup.Options{
		To: []age.Recipient{to.Recipient()}, Keys: keys, Master: master.ID(), Now: time.Now, Files: map[string][]byte{"master.key": text, "../planted": []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.Restore{File: bytes.NewReader(file.Bytes()), Keys: []age.Identity{to}, Data: filepath.Join(dir, "data"), Now: time.Now}.Run(t.Context())
	if !errors.Is(err, fault.BackupFormat) {
		t.Errorf("restored: %v", err)
	}
	if names := listing(t, dir); strings.Contains(names, "planted") {
		t.Errorf("the folder above holds %q", names)
	}
}

func touch(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// listing are the files in a folder, but for the lock that whoever uses the folder makes.
func listing(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

// Heads that another log of this folder has signed are kept as evidence, and the server goes on without tripping over them.
func TestRestoreKeepsOldCheckpoints(t *testing.T) {
	data := folder(t)
	touch(t, data, "audit-checkpoints")
	f, err := os.Open("testdata/schema-0010.backup")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done, err := server.Restore{File: f, Keys: []age.Identity{openOld(t)}, Data: data, Now: later}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(done.OldCheckpoints); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(data, "audit-checkpoints")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the old heads are where the new ones go")
	}
}

// What fails once the backup is in the database does not bring the heads of the log back that was here before: no server would go on with the restored one.
func TestRestoreThatFailsAfterItsCommit(t *testing.T) {
	f, err := os.Open("testdata/schema-0010.backup")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := server.Restore{File: f, Keys: []age.Identity{openOld(t)}, Data: folder(t), Database: storetest.Postgres(t), Now: later}
	touch(t, r.Data, "audit-checkpoints")
	admin, err := pgx.Connect(t.Context(), r.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	// Tables are made while nothing is in them, and cannot be brought up to date afterwards.
	_, err = admin.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE filled BOOLEAN := FALSE;
BEGIN
	IF to_regclass('data_key') IS NOT NULL THEN
		EXECUTE 'SELECT EXISTS (SELECT 1 FROM data_key)' INTO filled;
	END IF;
	IF filled THEN
		RAISE 'not now';
	END IF;
END $$; CREATE EVENT TRIGGER refusing ON ddl_command_start EXECUTE FUNCTION refuse()`)
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.Run(t.Context())
	if err == nil || !done.Committed {
		t.Fatalf("%v, and committed: %v", err, done.Committed)
	}
	if names := listing(t, r.Data); strings.Contains(names+" ", "audit-checkpoints ") || !strings.Contains(names, filepath.Base(done.OldCheckpoints)) {
		t.Errorf("the folder holds %q", names)
	}
	if _, err := admin.Exec(t.Context(), "DROP EVENT TRIGGER refusing"); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{URL: r.Database}) // as a server does
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

// A restore that cannot place its files has brought nothing back, and can be done again.
func TestRestoreThatCannotPlaceItsFiles(t *testing.T) {
	for name, database := range targets {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open("testdata/schema-0010.backup")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r := server.Restore{File: f, Keys: []age.Identity{openOld(t)}, Data: folder(t), Database: database(t), Now: later}
			touch(t, r.Data, "audit-checkpoints")
			taken := filepath.Join(r.Data, "audit-checkpoints"+later().Format(".before-20060102T150405Z"))
			if err := os.Mkdir(taken, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Run(t.Context()); err == nil {
				t.Fatal("it went on")
			}
			if err := os.Remove(taken); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Run(t.Context()); err != nil {
				t.Error("again:", err)
			}
			if _, err := os.Stat(filepath.Join(r.Data, "master.key")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A restore that is killed at any moment leaves no database, or the whole; it can be done again.
func TestRestoreIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: makes 6000 tokens")
	}
	p := start(t, folder(t))
	made := 0
	for made < 6000 {
		serials, err := p.admin().CreateTokens(t.Context(), client.NewTokens{Count: 3000})
		if err != nil {
			t.Fatal(err)
		}
		made += len(serials)
	}
	work := folder(t)
	file := filepath.Join(work, "backup")
	secret := filepath.Join(work, "password")
	if err := os.WriteFile(secret, []byte("correct horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	if err := p.admin().Backup(t.Context(), client.BackupRequest{Password: "correct horse", IncludeKeys: true}, &sealed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, sealed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, database := range targets {
		t.Run(name, func(t *testing.T) {
			data, url := folder(t), database(t)
			args := []string{"restore", file, "--data", data, "--password-file", secret}
			done := false // by one that was killed after it: there is something now, which is the whole
			run := func(ctx context.Context) error {
				cmd := exec.CommandContext(ctx, program(t, "tallystick"), args...)
				cmd.Env = environment("TALLYSTICK_DATABASE=" + url)
				out, err := cmd.CombinedOutput()
				if err != nil && ctx.Err() == nil {
					t.Logf("%s", out)
					done = bytes.Contains(out, []byte(fault.RestoreTarget))
				}
				return err
			}
			killed := 0
			for patience := 300 * time.Millisecond; ; patience = patience * 3 / 2 {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				err := run(ctx)
				alone := ctx.Err() == nil
				cancel()
				if err == nil || done && killed > 0 {
					break
				}
				if killed++; killed > 40 || alone {
					t.Fatalf("it failed by itself: %v", err)
				}
				if _, err := os.Stat(filepath.Join(data, "tallystick.db")); err == nil {
					break // it was killed after its work
				}
			}
			if killed == 0 {
				t.Skip("it was done before it could be killed")
			}
			if url == "" {
				url = filepath.Join(data, "tallystick.db")
			}
			opened(t, url, filepath.Join(data, "master.key"), made)
		})
	}
}

// A restored backup authenticates, whichever database it came from and goes to. A code that was accepted after the backup was taken
// is not accepted again.
func TestARestoredBackupAuthenticates(t *testing.T) {
	for name, databases := range map[string]func(*testing.T) (from, to string){
		"SQLite to PostgreSQL": func(t *testing.T) (string, string) { return "", storetest.Postgres(t) },
		"PostgreSQL to SQLite": func(t *testing.T) (string, string) { return storetest.Postgres(t), "" },
	} {
		t.Run(name, func(t *testing.T) {
			from, to := databases(t)
			on := func(url string) []string {
				if url == "" {
					return nil
				}
				return []string{"--database", url}
			}
			work, app := folder(t), newPhone(t, folder(t))
			file := func(name, content string) string {
				path := filepath.Join(work, name)
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			source := start(t, folder(t), on(from)...)
			does := func(data string, args ...string) string {
				t.Helper()
				r := run(t.Context(), t, []string{"TALLYSTICK_DATA=" + data}, "", "tallystick", args...)
				if r.status != 0 {
					t.Fatalf("tallystick %v: %s", args, r.both())
				}
				return r.stdout
			}
			password, backupFile, tokenFile := file("password", "correct horse"), filepath.Join(work, "backup"), filepath.Join(work, "token.sdtid")
			does(source.data, "user", "add", "alice")
			does(source.data, "profile", "add", "laptop", "--device-type", "generic", "--delivery", "file", "--pin-type", "none")
			serials, err := source.admin().CreateTokens(t.Context(), client.NewTokens{Count: 1})
			if err != nil {
				t.Fatal(err)
			}
			does(source.data, "token", "assign", "--user", "alice", "--serial", serials[0])
			does(source.data, "token", "distribute", serials[0], "--profile", "laptop", "--password-file", password, "--out", tokenFile)
			if r := app.run(t.Context(), "import", tokenFile, "--password-file", password); r.status != 0 {
				t.Fatal(r.both())
			}
			does(source.data, "backup", "--out", backupFile, "--password-file", password)
			used := file("code", app.code(serials[0], time.Now()))
			does(source.data, "check", "alice", "--passcode-file", used)
			source.terminate()
			source.exit()

			master := filepath.Join(source.data, "master.key")
			begin := func(until ...string) *process {
				t.Helper()
				data := folder(t)
				does(data, append(append([]string{"restore", backupFile, "--password-file", password, "--master-key", master}, on(to)...), until...)...)
				return start(t, data, append(on(to), "--master-key", master)...)
			}
			target := begin()
			if r := run(t.Context(), t, []string{"TALLYSTICK_DATA=" + target.data}, "", "tallystick", "check", "alice", "--passcode-file", used); r.status != 3 || !strings.Contains(r.stdout, "denied") {
				t.Errorf("a code that was used after the backup was taken: %s", r.both())
			}
			target.terminate()
			target.exit()
			// Where the old server is known to have accepted nothing since, the token works at once.
			if to != "" {
				to = storetest.Postgres(t)
			}
			target = begin("--until", "backup")
			does(target.data, "check", "alice", "--passcode-file", file("code", app.code(serials[0], time.Now())))
			does(target.data, "audit", "verify")
		})
	}
}
