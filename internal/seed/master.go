package seed

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Master wraps the data keys of a keyring. Its key stays outside the
// database: in a file now; a passphrase, a PKCS#11 device or a cloud KMS are
// further implementations. Encrypt and Decrypt are those of an AEAD.
type Master interface {
	// ID tells one master key from another. It is no secret.
	ID() string
	// Encrypt wraps a data key, authenticated together with what it is for.
	Encrypt(key, purpose []byte) ([]byte, error)
	// Decrypt unwraps it again.
	Decrypt(wrapped, purpose []byte) ([]byte, error)
}

// fileMaster is a master key read from a file.
type fileMaster struct {
	*subtle.AESGCM
	id string
}

func (m fileMaster) ID() string { return m.id }

// MasterFromFile reads the master key from a file of 64 hexadecimal digits
// that only its owner may read.
func MasterFromFile(path string) (Master, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.MasterKey, "no master key at %s: give the file that made this database with --master-key FILE", path)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fault.New(fault.MasterKey, "%s is a folder: give the file with the master key", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.MasterKey, "the master key %s can be read by others: chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	m, err := MasterFromText(text)
	return m, fault.Wrap(err, "%s", path)
}

// MasterFromText reads the master key from what such a file holds.
func MasterFromText(text []byte) (Master, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fault.New(fault.MasterKey, "there is no master key in this: it takes 64 hexadecimal digits")
	}
	defer clear(key)
	aead, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(append([]byte("tallystick/master-id/"), key...))
	return fileMaster{aead, hex.EncodeToString(digest[:6])}, nil
}

// MakeMasterFile writes a new random master key to path with mode 0600. It
// never replaces an existing file: of two servers that start at once, both
// then read the same one.
func MakeMasterFile(path string) error {
	key := make([]byte, 32)
	rand.Read(key)
	defer clear(key)
	tmp, err := os.CreateTemp(filepath.Dir(path), ".master-*") // CreateTemp makes 0600
	if err != nil {
		return fmt.Errorf("making the master key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = fmt.Fprintln(tmp, hex.EncodeToString(key))
	if err == nil {
		err = tmp.Sync() // a key that a crash loses would take every seed with it
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing the master key: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("placing the master key: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename or link in dir survive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
