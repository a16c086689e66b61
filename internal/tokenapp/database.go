package tokenapp

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"golang.org/x/crypto/chacha20poly1305"
)

// The files of a database, in its directory.
const (
	databaseFile = "tokens.db"     // format below
	newFile      = "tokens.db.new" // the next one while it is written; a leftover is overwritten
	deviceFile   = "device-id"     // 24 hexadecimal digits
	lockFileName = "lock"          // held while anything is changed
)

// magic begins every database file. One line of JSON follows, the header, then
// a nonce of 24 octets and the tokens as JSON, encrypted and authenticated with
// XChaCha20-Poly1305 together with magic and header. Its nonces are long enough
// to be drawn at random for every write.
const magic = "tallystick token database 1\n"

const (
	maxDatabase = 4 << 20 // octets; ten thousand tokens are about half
	maxHeader   = 4 << 10
)

var errDamaged = errors.New("the token database is damaged: restore it from a backup, or drop it with 'tally reset' and import the tokens again")

// A database is the content of the file.
type database struct {
	tokens  []Token
	waiting []waiting // newly provisioned, not yet taken in; at most one of each serial number
	begun   []begun   // at most one of each link and code
}

// record is a Token as it is encrypted.
type record struct {
	Info
	Seed []byte `json:"seed"`
	From string `json:"from,omitempty"` // of a waiting token, see there
}

func (t Token) record(from string) record {
	return record{Info: t.Info(), Seed: t.Seed.Reveal(), From: from}
}

func (r record) token() (Token, error) {
	birth, err1 := parseDay(r.Birth)
	expiry, err2 := parseDay(r.Expiry)
	return Token{
		Serial: r.Serial, Seed: seed.New(r.Seed), Digits: r.Digits, Interval: r.IntervalSeconds, AddPIN: r.PINType == "pinpad",
		Birth: birth, Expiry: expiry, Nickname: r.Nickname, Issuer: r.Issuer, Format: r.Format,
		PasswordProtected: r.PasswordProtected, DeviceBound: r.DeviceBound, DeviceID: r.DeviceID,
	}, errors.Join(err1, err2)
}

func parseDay(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, s)
}

// content is what the file holds, in the clear.
type content struct {
	Tokens  []record      `json:"tokens"`
	Waiting []record      `json:"waiting,omitempty"`
	Begun   []begunRecord `json:"begun,omitempty"`
}

// erase overwrites the seeds, and the nonces that seeds are made of.
func (c content) erase() {
	for _, r := range slices.Concat(c.Tokens, c.Waiting) {
		clear(r.Seed)
	}
	for _, r := range c.Begun {
		clear(r.Nonce)
	}
}

// marshal gives the content to encrypt; the caller erases it.
func (db database) marshal() ([]byte, error) {
	var c content
	defer func() { c.erase() }()
	for _, t := range db.tokens {
		c.Tokens = append(c.Tokens, t.record(""))
	}
	for _, w := range db.waiting {
		c.Waiting = append(c.Waiting, w.token.record(w.from))
	}
	for _, b := range db.begun {
		c.Begun = append(c.Begun, b.record())
	}
	return json.Marshal(c)
}

func unmarshal(plain []byte) (database, error) {
	var c content
	defer func() { c.erase() }()
	if err := json.Unmarshal(plain, &c); err != nil {
		return database{}, errDamaged
	}
	var db database
	for _, r := range c.Tokens {
		t, err := r.token()
		if err != nil {
			return database{}, errDamaged
		}
		db.tokens = append(db.tokens, t)
	}
	for _, r := range c.Waiting {
		t, err := r.token()
		if err != nil {
			return database{}, errDamaged
		}
		db.waiting = append(db.waiting, waiting{t, r.From})
	}
	for _, r := range c.Begun {
		db.begun = append(db.begun, r.begun())
	}
	return db, nil
}

// parse cuts a database file into its header and what is sealed.
func parse(file []byte) (header, sealed []byte, err error) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok {
		return nil, nil, errDamaged
	}
	i := bytes.IndexByte(rest[:min(len(rest), maxHeader)], '\n')
	if i < 0 || len(rest)-i-1 < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, nil, errDamaged
	}
	return rest[:i], rest[i+1:], nil
}

// seal makes the file. The header is authenticated with the tokens, so that
// nobody can weaken the way the key is made.
func seal(key, header []byte, db database) ([]byte, error) {
	plain, err := db.marshal()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	file := slices.Concat([]byte(magic), header, []byte("\n"))
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(append(slices.Clone(file), nonce...), nonce, plain, file), nil
}

// unseal opens the file that parse has cut; STORE_LOCKED if the key is not the
// one or the file was changed, which no cipher can tell apart.
func unseal(key, header, sealed []byte) (database, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return database{}, err
	}
	nonce, sealed := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, sealed, slices.Concat([]byte(magic), header, []byte("\n")))
	if err != nil {
		return database{}, fault.New(fault.StoreLocked, "the token database does not open: the passphrase or key is wrong, or the file was changed")
	}
	defer clear(plain)
	return unmarshal(plain)
}

// read opens the database; without one it is empty.
func (a *App) read() (database, error) {
	file, err := a.readFile()
	if err != nil || file == nil {
		return database{}, err
	}
	header, sealed, err := parse(file)
	if err != nil {
		return database{}, err
	}
	if !a.unlocked.by(header) {
		key, err := a.Keys.unlock(header)
		if err != nil {
			return database{}, err
		}
		db, err := unseal(key, header, sealed)
		if err == nil {
			a.unlocked = unlocked{header: header, key: key}
		}
		return db, err
	}
	return unseal(a.unlocked.key, header, sealed)
}

// readFile is the database file, nil where there is none.
func (a *App) readFile() ([]byte, error) {
	f, err := os.Open(filepath.Join(a.Dir, databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, maxDatabase+1))
	if err != nil {
		return nil, err
	}
	if len(file) > maxDatabase {
		return nil, errDamaged
	}
	return file, nil
}

// A Version tells one state of the database from another.
type Version struct{ file fs.FileInfo } // nil where there is none

// Same tells whether nobody has changed the database between the two.
func (v Version) Same(w Version) bool {
	if v.file == nil || w.file == nil {
		return v.file == w.file
	}
	return os.SameFile(v.file, w.file) && v.file.ModTime().Equal(w.file.ModTime()) && v.file.Size() == w.file.Size()
}

// Version is that of the database now. It takes no key and does not open the
// file, so that it can be asked for at any time, and is in nobody's way who
// replaces it.
func (a *App) Version() (Version, error) {
	file, err := os.Stat(filepath.Join(a.Dir, databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Version{}, nil
	}
	return Version{file}, err
}

// change runs edit on the database and writes the result in its place, all or
// nothing, and one process after the other: what another one has just imported
// is there. It makes the database, and its key, if there is none.
func (a *App) change(edit func(*database) error) error {
	if _, err := a.read(); err != nil { // a passphrase is asked for before others have to wait
		return err
	}
	return a.exclusively(func() error {
		db, err := a.read()
		if err != nil {
			return err
		}
		db.dropOver(a.now(), a.fetching)
		if err := edit(&db); err != nil {
			return err
		}
		header, err := a.header()
		if err != nil {
			return err
		}
		file, err := seal(a.unlocked.key, header, db)
		if err != nil {
			return err
		}
		if len(file) > maxDatabase {
			return fault.New(fault.StoreFull, "the token database would grow over %d octets: delete a token first", maxDatabase)
		}
		return a.replaceFile(databaseFile, file)
	})
}

// header is that of the database file, of a new key where there is none yet.
func (a *App) header() ([]byte, error) {
	file, err := a.readFile()
	if err != nil {
		return nil, err
	}
	if file == nil {
		a.unlocked.header, a.unlocked.key, err = a.Keys.create()
	}
	return a.unlocked.header, err
}

// Unlock comes by the key of the database, which it makes if there is none, so
// that no later call has to ask for a passphrase.
func (a *App) Unlock() error {
	file, err := a.readFile()
	if err != nil {
		return err
	}
	if file == nil {
		return a.change(func(*database) error { return nil })
	}
	_, err = a.read()
	return err
}

// exclusively runs do while no other process changes anything in the directory.
func (a *App) exclusively(do func() error) error {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(a.Dir, lockFileName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lockFile(lock); err != nil {
		return fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	return do()
}

// replaceFile puts content under that name so that, whatever happens in
// between, the name is that of the old file or of the whole new one.
func (a *App) replaceFile(name string, content []byte) error {
	path := filepath.Join(a.Dir, newFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(a.Dir, name)); err != nil {
		return err
	}
	return syncDir(a.Dir)
}

// Reset drops tokens, key and device ID, as removing the app would: the next
// device ID is another one. It needs no key, since a forgotten passphrase is a
// reason to reset. A key file stays, being the user's own.
func (a *App) Reset() error {
	return a.exclusively(func() error {
		file, err := a.readFile()
		if err != nil && !errors.Is(err, errDamaged) {
			return err
		}
		a.unlocked = unlocked{}
		for _, name := range []string{databaseFile, newFile, deviceFile} {
			if err := os.Remove(filepath.Join(a.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if header, _, err := parse(file); err == nil {
			a.Keys.forget(header) // the key of nothing now; if it stays in the keyring, it opens nothing
		}
		return syncDir(a.Dir)
	})
}
