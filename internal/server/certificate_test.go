package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A certificate of which the key does not fit is not shown, and the server says so once for each change; when the one that is shown comes to its
// end, it says that too, once a day.
func TestACertificateThatCannotBeUsed(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	shown := &shownCert{log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}
	dir := t.TempDir()
	c := &Config{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}
	changes := 0
	write := func(path, kind string, der []byte) {
		t.Helper()
		changes++
		at := now.Add(time.Duration(changes) * time.Second)
		if err := errors.Join(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	certificate := func(end time.Time) (cert, key []byte) {
		t.Helper()
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{NotBefore: now, NotAfter: end}
		leaf, err := sign(template, template, private.Public(), private)
		if err != nil {
			t.Fatal(err)
		}
		key, err = x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Raw, key
	}
	says := func(what string, times int) {
		t.Helper()
		for range 3 {
			shown.look()
		}
		if n := strings.Count(log.String(), what); n != times {
			t.Errorf("%q is logged %d times, not %d:\n%s", what, n, times, &log)
		}
		log.Reset()
	}
	end := now.Add(30 * 24 * time.Hour)
	cert, key := certificate(end)
	write(c.TLSCert, "CERTIFICATE", cert)
	write(c.TLSKey, "PRIVATE KEY", key)
	if _, err := c.tlsConfig("tokens.example.com", shown); err != nil {
		t.Fatal(err)
	}
	says("level=WARN", 0)

	renewed, fitting := certificate(end.Add(30 * 24 * time.Hour))
	write(c.TLSCert, "CERTIFICATE", renewed)
	says("cannot be used", 1)
	write(c.TLSCert, "CERTIFICATE", renewed)
	says("cannot be used", 1)
	if err := os.Remove(c.TLSCert); err != nil {
		t.Fatal(err)
	}
	says("cannot be used", 1)
	if got := shown.ends(); got != float64(end.Unix()) {
		t.Errorf("what is shown ends at %v, not at %v", got, end.Unix())
	}
	for range 2 {
		now = end.Add(-24 * time.Hour)
		says("near its end", 1)
		end = end.Add(24 * time.Hour)
	}

	write(c.TLSCert, "CERTIFICATE", renewed)
	write(c.TLSKey, "PRIVATE KEY", fitting)
	says("showing a TLS certificate", 1)
	says("level=WARN", 0)
}
