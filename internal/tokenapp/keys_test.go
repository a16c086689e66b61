package tokenapp

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

// memoryKeyring is a keyring for tests.
type memoryKeyring map[string]string

func (m memoryKeyring) Get(name string) (string, error) {
	if secret, ok := m[name]; ok {
		return secret, nil
	}
	return "", errors.New("not found")
}

func (m memoryKeyring) Set(name, secret string) error {
	if m == nil {
		return errors.New("no secret service")
	}
	m[name] = secret
	return nil
}

func (m memoryKeyring) Delete(name string) error { delete(m, name); return nil }

func saying(passphrase string) func(bool) (string, error) {
	return func(bool) (string, error) { return passphrase, nil }
}

// A database made with some keys opens with the same, and with no others.
func TestKeys(t *testing.T) {
	ring := memoryKeyring{}
	dir := t.TempDir()
	otherFile := filepath.Join(dir, "other")
	if _, err := (Keys{File: otherFile}).createFile(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		made   Keys
		by     string
		opens  []Keys
		locked []Keys
	}{
		"keyring": {
			Keys{Keyring: ring, Passphrase: saying("unused")}, byKeyring,
			[]Keys{{Keyring: ring}},
			[]Keys{{}, {Keyring: memoryKeyring{}}, {Passphrase: saying("unused")}, {File: otherFile}},
		},
		"passphrase": {
			Keys{Passphrase: saying("correct horse")}, byPassphrase,
			[]Keys{{Passphrase: saying("correct horse")}, {Keyring: ring, File: otherFile, Passphrase: saying("correct horse")}},
			[]Keys{{}, {Passphrase: saying("")}, {Passphrase: saying("Correct horse")}, {Keyring: ring}},
		},
		"passphrase, the keyring being none": {
			Keys{Keyring: memoryKeyring(nil), Passphrase: saying("correct horse")}, byPassphrase,
			[]Keys{{Passphrase: saying("correct horse")}},
			[]Keys{{}},
		},
		"key file, although there is a keyring": {
			Keys{File: filepath.Join(dir, "key"), Keyring: ring}, byKeyFile,
			[]Keys{{File: filepath.Join(dir, "key")}},
			[]Keys{{}, {Keyring: ring}, {File: otherFile}, {File: filepath.Join(dir, "nowhere")}, {File: dir}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := testApp(t)
			a.Keys = c.made
			imported(t, a, ImportOptions{}, newToken("000000000001", 1))
			file, err := a.readFile()
			if err != nil {
				t.Fatal(err)
			}
			header, _, _ := parse(file)
			if l, err := parseLock(header); err != nil || l.By != c.by {
				t.Errorf("locked by %s, %v", l.By, err)
			}
			for i, keys := range c.opens {
				if _, err := (&App{Dir: a.Dir, Keys: keys}).Find("1"); err != nil {
					t.Errorf("keys %d do not open it: %v", i, err)
				}
			}
			for i, keys := range c.locked {
				if _, err := (&App{Dir: a.Dir, Keys: keys}).Tokens(); err == nil {
					t.Errorf("wrong keys %d open it", i)
				} else if keys.File != dir && !errors.Is(err, fault.StoreLocked) {
					t.Errorf("wrong keys %d: %v", i, err)
				}
			}
			if err := a.Reset(); err != nil {
				t.Fatal(err)
			}
			if len(ring) != 0 {
				t.Error("a key stays in the keyring")
			}
		})
	}
}

func TestNoKeyNoDatabase(t *testing.T) {
	a := testApp(t)
	a.Keys = Keys{}
	if _, err := a.Import([]Token{newToken("000000000001", 1)}, ImportOptions{}); !errors.Is(err, fault.StoreLocked) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(a.Dir, databaseFile)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a database was made all the same")
	}
}

func TestPassphraseIsAskedOnce(t *testing.T) {
	a := testApp(t)
	asked := 0
	a.Keys = Keys{Passphrase: func(confirm bool) (string, error) {
		if asked++; confirm != (asked == 1) {
			t.Errorf("time %d: confirm is %v", asked, confirm)
		}
		return "correct horse", nil
	}}
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	imported(t, a, ImportOptions{}, newToken("000000000002", 2))
	if _, err := a.Tokens(); err != nil {
		t.Fatal(err)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestKeyFileWarnings(t *testing.T) {
	a := testApp(t)
	var warnings []string
	a.Keys.Warn = func(message string) { warnings = append(warnings, message) }
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	if len(warnings) != 1 || !strings.Contains(warnings[0], a.Keys.File) {
		t.Errorf("making the key file said %q", warnings)
	}
	if err := os.Chmod(a.Keys.File, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&App{Dir: a.Dir, Keys: a.Keys}).Tokens(); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[1], "chmod 600") {
		t.Errorf("an open key file said %q", warnings)
	}
}

// Memory sticks have file systems without links.
func TestKeyFileWithoutLinks(t *testing.T) {
	t.Cleanup(func() { hardLink = os.Link })
	made := Keys{File: filepath.Join(t.TempDir(), "key")}
	hardLink = func(string, string) error {
		return &os.LinkError{Op: "link", Err: syscall.EPERM}
	}
	key, err := made.createFile()
	if err != nil {
		t.Fatal(err)
	}
	if read, err := made.readFile(); err != nil || !bytes.Equal(read, key) {
		t.Errorf("the file holds another key, %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(made.File)); err != nil || len(files) != 1 {
		t.Errorf("%d files beside the key, %v", len(files)-1, err)
	}

	// Somebody else makes the file while ours is being written.
	other := Keys{File: filepath.Join(t.TempDir(), "key")}
	var theirs []byte
	hardLink = func(string, string) error {
		theirs = random(len(key))
		if err := os.WriteFile(other.File, []byte(encodeKey(theirs)), 0o600); err != nil {
			return err
		}
		return &os.LinkError{Op: "link", Err: syscall.EPERM}
	}
	if got, err := other.createFile(); err != nil || !bytes.Equal(got, theirs) {
		t.Errorf("their key was not taken, %v", err)
	}
}

// A header from elsewhere cannot make the reader use all memory or time.
func TestLockBounds(t *testing.T) {
	const salt = `"salt":"AAAAAAAAAAAAAAAAAAAAAA=="`
	for _, header := range []string{
		``, `{}`, `[]`, `{"by":"magic"}`, `{"by":"keyring"}`, `{"by":"passphrase"}`,
		`{"by":"passphrase","argon2id":{"salt":"AAAA","time":3,"memory_kib":65536,"threads":4}}`,
		`{"by":"passphrase","argon2id":{` + salt + `,"time":0,"memory_kib":65536,"threads":4}}`,
		`{"by":"passphrase","argon2id":{` + salt + `,"time":65,"memory_kib":65536,"threads":4}}`,
		`{"by":"passphrase","argon2id":{` + salt + `,"time":3,"memory_kib":1048577,"threads":4}}`,
		`{"by":"passphrase","argon2id":{` + salt + `,"time":3,"memory_kib":8,"threads":4}}`,
		`{"by":"passphrase","argon2id":{` + salt + `,"time":3,"memory_kib":65536,"threads":0}}`,
		`{"by":"passphrase","argon2id":{` + salt + `,"time":3,"memory_kib":65536,"threads":17}}`,
	} {
		if l, err := parseLock([]byte(header)); err == nil {
			t.Errorf("%s is accepted as %+v", header, l)
		}
	}
}
