package transfer

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/backup"
)

// Opened is what a file holds, as its target can read it.
func Opened(t *testing.T, target *Deployment, file []byte) []byte {
	t.Helper()
	p, err := target.pair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := age.ParseIdentities(bytes.NewReader([]byte(p.Private)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(file), keys...)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := gzip.NewReader(plain)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Sealed seals lines to a target, as anybody can who knows its key.
func Sealed(t *testing.T, target *Deployment, lines []byte) []byte {
	t.Helper()
	key, err := target.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to, err := backup.ForKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(pack(t, lines))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Older is a file as a release before migration 58 wrote it.
func Older(t *testing.T, source, target *Deployment, file []byte) []byte {
	t.Helper()
	lines := bytes.SplitAfter(bytes.ReplaceAll(Opened(t, target, file), []byte(`"marked":true,`), nil), []byte("\n"))
	lines = lines[:len(lines)-1] // what follows the last line feed
	body := bytes.Join(lines[:len(lines)-1], nil)
	var last line
	key, err := source.signer(t.Context())
	if err == nil {
		err = json.Unmarshal(lines[len(lines)-1], &last)
	}
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.New()
	digest.Write(body)
	last.Signature = ed25519.Sign(key, signed(digest))
	end, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	return Sealed(t, target, append(append(body, end...), '\n'))
}
