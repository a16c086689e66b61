package tokenapp

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tallystick/tallystick/internal/fault"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// Keys is where the key of a token database comes from. A database that exists
// says itself how it is locked. A new one is locked with the key file where one
// was asked for, else with the keyring, else with a passphrase.
type Keys struct {
	// File holds the key in the clear. It is made, with mode 0600, for the first
	// database that is locked with it. Empty: there is none.
	File string
	// Keyring is the platform's; nil where there is none. See [PlatformKeyring].
	Keyring Keyring
	// Passphrase gives the passphrase, asking the user if need be; confirm is set
	// where it is a new one. nil: there is none, and nobody can be asked.
	Passphrase func(confirm bool) (string, error)
	// Warn tells the user what they should know about their key; may be nil.
	Warn func(message string)
}

// A Keyring keeps small secrets under a name, for this user of the machine.
type Keyring interface {
	Get(name string) (secret string, err error)
	Set(name, secret string) error
	Delete(name string) error
}

// How a database is locked.
const (
	byKeyring    = "keyring"
	byPassphrase = "passphrase"
	byKeyFile    = "key-file"
)

// A lock is the header of a database file: how to come by its key.
type lock struct {
	By   string `json:"by"`
	Name string `json:"name,omitempty"` // of the key in the keyring
	KDF  *kdf   `json:"argon2id,omitempty"`
}

// kdf are the parameters of Argon2id.
type kdf struct {
	Salt    []byte `json:"salt"`
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
}

// The second choice of RFC 9106 section 4: about 0.1 s and 64 MiB a guess.
const (
	kdfTime    = 3
	kdfMemory  = 64 << 10
	kdfThreads = 4
)

// What a header may ask for: a file from elsewhere must not take all memory.
const (
	maxKDFTime    = 64
	maxKDFMemory  = 1 << 20 // KiB
	maxKDFThreads = 16
)

// unlocked is a key that is known, and the header that it belongs to.
type unlocked struct{ header, key []byte }

func (u unlocked) by(header []byte) bool { return u.key != nil && bytes.Equal(u.header, header) }

// parseLock reads a header, and refuses one that nobody would have written.
func parseLock(header []byte) (lock, error) {
	var l lock
	if err := json.Unmarshal(header, &l); err != nil {
		return lock{}, errDamaged
	}
	switch k := l.KDF; {
	case l.By == byKeyring && l.Name != "" && k == nil:
	case l.By == byKeyFile && l.Name == "" && k == nil:
	case l.By == byPassphrase && l.Name == "" && k != nil && len(k.Salt) >= 16 &&
		k.Time >= 1 && k.Time <= maxKDFTime &&
		k.Threads >= 1 && k.Threads <= maxKDFThreads &&
		k.Memory >= 8*uint32(k.Threads) && k.Memory <= maxKDFMemory:
	default:
		return lock{}, errDamaged
	}
	return l, nil
}

func (k *kdf) key(passphrase string) []byte {
	return argon2.IDKey([]byte(passphrase), k.Salt, k.Time, k.Memory, k.Threads, chacha20poly1305.KeySize)
}

// unlock comes by the key of a database that has this header. STORE_LOCKED is
// for everything that keeps it from doing so.
func (k Keys) unlock(header []byte) ([]byte, error) {
	l, err := parseLock(header)
	if err != nil {
		return nil, err
	}
	switch l.By {
	case byPassphrase:
		passphrase, err := k.passphrase(false)
		if err != nil {
			return nil, err
		}
		return l.KDF.key(passphrase), nil
	case byKeyFile:
		return k.readFile()
	}
	if k.Keyring == nil {
		return nil, fault.New(fault.StoreLocked, "the key of the token database is in a keyring that cannot be reached from here: sign in to the desktop session")
	}
	secret, err := k.Keyring.Get(l.Name)
	if err != nil {
		return nil, fault.New(fault.StoreLocked, "the keyring does not give out the key of the token database: %v", err)
	}
	return decodeKey(secret)
}

// create makes a new key and the header that says how to come by it again.
func (k Keys) create() (header, key []byte, err error) {
	var l lock
	if k.File != "" {
		l.By = byKeyFile
		key, err = k.createFile()
	} else if l, key = k.createInKeyring(); key == nil {
		l, key, err = k.createFromPassphrase()
	}
	if err != nil {
		return nil, nil, err
	}
	header, err = json.Marshal(l)
	return header, key, err
}

// createInKeyring gives no key where there is no keyring. That can show as late
// as here: a D-Bus without a secret service is common on servers.
func (k Keys) createInKeyring() (lock, []byte) {
	if k.Keyring == nil {
		return lock{}, nil
	}
	l, key := lock{By: byKeyring, Name: hex.EncodeToString(random(8))}, random(chacha20poly1305.KeySize)
	if err := k.Keyring.Set(l.Name, encodeKey(key)); err != nil {
		k.warn(fmt.Sprintf("the keyring does not take the key of the token database (%v): a passphrase has to do", err))
		return lock{}, nil
	}
	return l, key
}

func (k Keys) createFromPassphrase() (lock, []byte, error) {
	passphrase, err := k.passphrase(true)
	if err != nil {
		return lock{}, nil, err
	}
	l := lock{By: byPassphrase, KDF: &kdf{Salt: random(16), Time: kdfTime, Memory: kdfMemory, Threads: kdfThreads}}
	return l, l.KDF.key(passphrase), nil
}

// forget removes the key of a database that is no more, as far as it is ours.
func (k Keys) forget(header []byte) {
	if l, err := parseLock(header); err == nil && l.By == byKeyring && k.Keyring != nil {
		if err := k.Keyring.Delete(l.Name); err != nil {
			k.warn(fmt.Sprintf("the key of the dropped database stays in the keyring, where it opens nothing: %v", err))
		}
	}
}

func (k Keys) warn(message string) {
	if k.Warn != nil {
		k.Warn(message)
	}
}

func (k Keys) passphrase(confirm bool) (string, error) {
	if k.Passphrase == nil {
		return "", fault.New(fault.StoreLocked, "the token database needs a passphrase, and there is no terminal to ask on: set TALLY_PASSPHRASE, or choose a key file with --key-file")
	}
	passphrase, err := k.Passphrase(confirm)
	if err == nil && passphrase == "" {
		return "", fault.New(fault.StoreLocked, "the token database needs a passphrase, and an empty one is none")
	}
	return passphrase, err
}

// readFile takes the key out of the key file.
func (k Keys) readFile() ([]byte, error) {
	if k.File == "" {
		return nil, fault.New(fault.StoreLocked, "the token database is locked with a key file: name it with --key-file or TALLY_KEY_FILE")
	}
	f, err := os.Open(k.File)
	if err != nil {
		return nil, fault.New(fault.StoreLocked, "the key file of the token database cannot be read: %v", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		k.warn(fmt.Sprintf("other users of this machine can read the key file %s: take the right away with chmod 600", k.File))
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, err
	}
	return decodeKey(string(bytes.TrimSpace(text)))
}

// createFile makes the key file, whole or not at all where there are links, or takes the key out of
// the one that is there: a key file can serve several databases.
func (k Keys) createFile() ([]byte, error) {
	if _, err := os.Stat(k.File); err == nil {
		return k.readFile()
	}
	key := random(chacha20poly1305.KeySize)
	f, err := os.CreateTemp(filepath.Dir(k.File), ".key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if err := writeKey(f, key); err != nil {
		return nil, err
	}
	// Link, unlike rename, never takes the place of a file that somebody else has just made.
	err = hardLink(f.Name(), k.File)
	if err != nil && !errors.Is(err, fs.ErrExist) { // as on memory sticks, whose file systems have no links
		err = writeInPlace(k.File, key)
	}
	if errors.Is(err, fs.ErrExist) {
		return k.readFile()
	} else if err != nil {
		return nil, err
	}
	k.warn(fmt.Sprintf("the key of the token database is now in %s: whoever can read that file and the database has your tokens", k.File))
	return key, syncDir(filepath.Dir(k.File))
}

var hardLink = os.Link // tests have file systems without

// writeInPlace makes the key file where it is to be. Only a crash leaves a part of it, before anything is locked with it.
func writeInPlace(name string, key []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = writeKey(f, key)
	if err != nil {
		os.Remove(name)
	}
	return err
}

// writeKey writes the key, and closes the file.
func writeKey(f *os.File, key []byte) error {
	_, err := f.WriteString(encodeKey(key) + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func encodeKey(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

func decodeKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, fault.New(fault.StoreLocked, "what should be the key of the token database is none")
	}
	return key, nil
}

// random is that many octets from the system's random source, which never fails.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
