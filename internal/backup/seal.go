package backup

import (
	"bytes"
	"errors"
	"strings"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/fault"
)

const (
	// workFactor is the scrypt work (2^17, r 8, p 1: 128 MiB for half a second) that a try of a password costs; OWASP's
	// minimum. age's own default takes twice the memory, from a server that has other work.
	workFactor = 17
	// mostWork is the most that is done for a file that somebody hands us: 1 GiB.
	mostWork = 20
	// shortest is how many characters a password has at least.
	shortest = 8
)

// ForPassword seals to a password. [fault.PasswordTooWeak] if it is too short.
func ForPassword(password string) (age.Recipient, error) {
	if len([]rune(password)) < shortest {
		return nil, fault.New(fault.PasswordTooWeak, "a password for this takes %d characters or more: whoever gets the file can try passwords for as long as they like", shortest)
	}
	r, err := age.NewScryptRecipient(password)
	if err == nil {
		r.SetWorkFactor(workFactor)
	}
	return r, err
}

// ByPassword opens what was sealed to a password.
func ByPassword(password string) (age.Identity, error) {
	i, err := age.NewScryptIdentity(password)
	if err != nil {
		return nil, fault.New(fault.BackupKey, "the password is empty")
	}
	i.SetMaxWorkFactor(mostWork)
	return i, nil
}

// ForKey seals to a public key of age: age1pq1... or age1...
func ForKey(key string) (age.Recipient, error) {
	all, err := age.ParseRecipients(strings.NewReader(key))
	if err != nil || len(all) != 1 {
		return nil, fault.New(fault.Invalid, "a public key is a line that begins with age1")
	}
	return all[0], nil
}

// ByKeys opens what was sealed to public keys, with a file that holds the private ones: lines that begin with
// AGE-SECRET-KEY-.
func ByKeys(file []byte) ([]age.Identity, error) {
	all, err := age.ParseIdentities(bytes.NewReader(file))
	if err != nil { // its text may quote a key
		return nil, fault.New(fault.BackupKey, "the file holds no private key: its lines begin with AGE-SECRET-KEY-")
	}
	return all, nil
}

// NewKey makes a key pair that also keeps its secret from quantum computers (ML-KEM-768 with X25519), in age's text forms.
func NewKey() (private, public string, err error) {
	i, err := age.GenerateHybridIdentity()
	if err != nil {
		return "", "", errors.New("making a key pair: " + err.Error())
	}
	return i.String(), i.Recipient().String(), nil
}
