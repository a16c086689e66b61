package tokenapp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"pgregory.net/rapid"
)

var day2031 = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)

// newToken makes a token whose seed is that octet sixteen times.
func newToken(serial string, octet byte) Token {
	return Token{
		Serial: serial, Seed: seed.New(bytes.Repeat([]byte{octet}, seed.Size)), Digits: 8, Interval: 60,
		Expiry: day2031, Format: FormatSDTID,
	}
}

// anyToken draws a token as an import can leave it.
func anyToken(t *rapid.T) Token {
	days := rapid.IntRange(0, 20000)
	date := func(label string) time.Time {
		if rapid.Bool().Draw(t, label+" known") {
			return time.Unix(0, 0).UTC().AddDate(0, 0, days.Draw(t, label))
		}
		return time.Time{}
	}
	return Token{
		Serial:   rapid.StringMatching(`[0-9]{12}`).Draw(t, "serial"),
		Seed:     seed.New(rapid.SliceOfN(rapid.Byte(), seed.Size, seed.Size).Draw(t, "seed")),
		Digits:   rapid.SampledFrom([]int{6, 8}).Draw(t, "digits"),
		Interval: rapid.SampledFrom([]int{30, 60}).Draw(t, "interval"),
		AddPIN:   rapid.Bool().Draw(t, "PIN"),
		Birth:    date("birth"), Expiry: date("expiry"),
		Nickname:          cleanText(rapid.String().Draw(t, "nickname"), MaxNickname),
		Issuer:            cleanText(rapid.String().Draw(t, "issuer"), maxIssuer),
		DeviceID:          cleanText(rapid.String().Draw(t, "device"), maxDeviceID),
		Format:            rapid.SampledFrom([]Format{FormatSDTID, FormatCTF2, FormatCTKIP}).Draw(t, "format"),
		PasswordProtected: rapid.Bool().Draw(t, "password"), DeviceBound: rapid.Bool().Draw(t, "bound"),
	}
}

func same(a, b Token) bool { return a.Info() == b.Info() && a.Seed.Equal(b.Seed) }

func TestDatabaseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, header := random(32), []byte(`{"by":"key-file"}`)
		var db database
		for range rapid.IntRange(0, 5).Draw(t, "tokens") {
			db.tokens = append(db.tokens, anyToken(t))
		}
		for range rapid.IntRange(0, 2).Draw(t, "waiting") {
			db.waiting = append(db.waiting, waiting{anyToken(t), "origin"})
		}
		file, err := seal(key, header, db)
		if err != nil {
			t.Fatal(err)
		}
		gotHeader, sealed, err := parse(file)
		if err != nil || !bytes.Equal(gotHeader, header) {
			t.Fatalf("header %q, %v", gotHeader, err)
		}
		got, err := unseal(key, gotHeader, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.tokens) != len(db.tokens) || len(got.waiting) != len(db.waiting) {
			t.Fatalf("%d tokens and %d waiting came back as %d and %d", len(db.tokens), len(db.waiting), len(got.tokens), len(got.waiting))
		}
		for i := range db.tokens {
			if !same(got.tokens[i], db.tokens[i]) {
				t.Errorf("token %d came back as %+v", i, got.tokens[i].Info())
			}
		}
		for i := range db.waiting {
			if !same(got.waiting[i].token, db.waiting[i].token) || got.waiting[i].from != "origin" {
				t.Errorf("waiting token %d came back changed", i)
			}
		}
		for _, token := range db.tokens {
			if secret := token.Seed.Reveal(); bytes.Contains(file, secret) {
				t.Error("the file holds a seed in the clear")
			}
		}
	})
}

// No octet of the file can be changed unnoticed, and no part of it is enough.
func TestDatabaseIsAuthenticated(t *testing.T) {
	a := testApp(t)
	if _, err := a.Import([]Token{newToken("000000000001", 1)}, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(a.Dir, databaseFile)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		again := App{Dir: a.Dir, Keys: a.Keys}
		if tokens, err := again.Tokens(); err == nil {
			t.Errorf("%s: opened, with %d tokens", what, len(tokens))
		}
	}
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		refused(fmt.Sprintf("octet %d changed", i), changed)
		refused(fmt.Sprintf("cut to %d octets", i), file[:i])
	}
	refused("longer", append(bytes.Clone(file), 0))
	refused("huge", make([]byte, maxDatabase+1))
}

func TestDatabaseFilesArePrivate(t *testing.T) {
	a := testApp(t)
	if _, err := a.Import([]Token{newToken("000000000001", 1)}, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		a.Dir: 0o700, filepath.Join(a.Dir, databaseFile): 0o600, filepath.Join(a.Dir, lockFileName): 0o600, a.Keys.File: 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
	}
}

// A refused or failing change leaves the file as it was, octet for octet.
func TestRefusedChangeWritesNothing(t *testing.T) {
	a := testApp(t)
	if _, err := a.Import([]Token{newToken("000000000001", 1)}, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := a.readFile()
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Import([]Token{newToken("000000000002", 2), newToken("000000000001", 3)}, ImportOptions{})
	if !errors.Is(err, fault.DuplicateSerial) {
		t.Fatalf("got %v", err)
	}
	if after, _ := a.readFile(); !bytes.Equal(before, after) {
		t.Error("a refused import changed the file")
	}
}

// FuzzParse gives arbitrary files to the reader, which must neither panic nor
// open one.
func FuzzParse(f *testing.F) {
	key := make([]byte, 32)
	for _, header := range []string{
		`{"by":"key-file"}`, `{"by":"keyring","name":"ab"}`, `{}`, ``,
		`{"by":"passphrase","argon2id":{"salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory_kib":65536,"threads":4}}`,
		`{"by":"passphrase","argon2id":{"salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":4294967295,"memory_kib":4294967295,"threads":255}}`,
	} {
		file, err := seal(key, []byte(header), database{tokens: []Token{newToken("000000000001", 1)}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)-1])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		header, sealed, err := parse(file)
		if err != nil {
			return
		}
		if l, err := parseLock(header); err == nil && l.KDF != nil && (l.KDF.Memory > maxKDFMemory || l.KDF.Time > maxKDFTime) {
			t.Error("a header may ask for too much")
		}
		unseal(key, header, sealed)
		unmarshal(sealed)
	})
}
