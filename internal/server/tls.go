package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/tallystick/tallystick/internal/fault"
)

// tlsConfig is the TLS side of the listener: certificates from files, by ACME, or
// from the server's own certification authority, always TLS 1.2 or later.
func (c *Config) tlsConfig(public string, shown *shownCert) (*tls.Config, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch {
	case c.TLSCert != "":
		files := &certFiles{cert: c.TLSCert, key: c.TLSKey, tell: shown.tell, fail: shown.unusable}
		base.GetCertificate = files.get
		shown.renew = func() { _, _ = files.get(nil) } // it has told what there is to say
		_, err := files.get(nil)
		return base, err
	case len(c.ACMEHosts) > 0:
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(c.file("acme")),
			HostPolicy: autocert.HostWhitelist(c.ACMEHosts...), Email: c.ACMEMail,
		}
		if c.ACMEDirectory != "" {
			m.Client = &acme.Client{DirectoryURL: c.ACMEDirectory}
		}
		base.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "" { // as RadSec clients have it, which say no name
				named := *hello
				named.ServerName, hello = c.ACMEHosts[0], &named
			}
			cert, err := m.GetCertificate(hello)
			if err != nil && slices.Contains(c.ACMEHosts, hello.ServerName) { // strangers may ask for any other name
				c.Log.Warn("there is no certificate by ACME", "host", hello.ServerName, "error", err)
			}
			if err == nil && !slices.Contains(hello.SupportedProtos, acme.ALPNProto) { // one by which the authority sees that the name is ours
				shown.leaf.Store(cert.Leaf)
			}
			return cert, err
		}
		base.NextProtos = append(base.NextProtos, acme.ALPNProto)
		return base, nil
	}
	ca, err := c.openCA()
	if err != nil {
		return nil, err
	}
	own := &ownCert{ca: ca, now: c.Now, names: []string{public, "localhost", hostName(), "127.0.0.1", "::1"}, tell: shown.tell}
	base.GetCertificate = own.get
	shown.renew = func() { _, _ = own.get(nil) }
	_, err = own.get(nil)
	return base, err
}

// A shownCert is the certificate that the server shows, and what is said of it.
type shownCert struct {
	log   *slog.Logger
	now   func() time.Time
	leaf  atomic.Pointer[x509.Certificate] // nil before the first
	renew func()                           // looks whether there is another one
	said  time.Time                        // when it was last said that the end is near
}

// tell logs which certificate is shown from now on: an app that does not trust it tells its user the same fingerprint.
func (s *shownCert) tell(leaf *x509.Certificate) {
	s.leaf.Store(leaf)
	s.log.Info("showing a TLS certificate", "sha256", fingerprint(leaf), "expires", leaf.NotAfter.UTC().Format(time.RFC3339))
}

// unusable logs that there is another certificate, and that it cannot be shown.
func (s *shownCert) unusable(err error) {
	s.log.Warn("the TLS certificate or its key has changed and cannot be used: the one before is shown on", "error", err, "expires", s.leaf.Load().NotAfter.UTC().Format(time.RFC3339))
}

const (
	endNear = 14 * 24 * time.Hour // before the end of a certificate it is said that it is near,
	endSaid = 24 * time.Hour      // once in this time
)

// look sees whether there is another certificate, also where nobody connects, and warns of the end of the one that is shown.
func (s *shownCert) look() {
	if s.renew != nil {
		s.renew()
	}
	leaf, now := s.leaf.Load(), s.now()
	if leaf == nil || leaf.NotAfter.Sub(now) > endNear || now.Sub(s.said) < endSaid {
		return
	}
	s.said = now
	s.log.Warn("the TLS certificate that is shown is near its end, or over: renew it", "sha256", fingerprint(leaf), "expires", leaf.NotAfter.UTC().Format(time.RFC3339))
}

// ends is when the certificate that is shown ends, in seconds since 1970; 0 before one is.
func (s *shownCert) ends() float64 {
	if leaf := s.leaf.Load(); leaf != nil {
		return float64(leaf.NotAfter.Unix())
	}
	return 0
}

// certFiles serves a certificate from files and reads them again when they change, so
// that a renewal needs no restart.
type certFiles struct {
	cert, key string
	tell      func(*x509.Certificate)
	fail      func(error)

	mu     sync.Mutex
	read   string // the state in which the files were when pair was read
	failed string // and one in which they cannot be used, "" for none
	pair   *tls.Certificate
}

// badCertificate is the refusal of files that are no certificate with its key.
func badCertificate(err error) error {
	return fault.New(fault.Invalid, "the TLS certificate cannot be used: %v", err)
}

// state is another one when the files have changed.
func (f *certFiles) state() (s string) {
	for _, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err != nil {
			s += err.Error() + "\n"
		} else {
			s += info.ModTime().String() + "\n"
		}
	}
	return s
}

func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := f.state()
	if f.pair != nil && (state == f.read || state == f.failed) {
		return f.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		if f.pair != nil { // half replaced: the old one is still good
			f.failed = state
			f.fail(err)
			return f.pair, nil
		}
		return nil, badCertificate(err)
	}
	f.pair, f.read, f.failed = &pair, state, ""
	f.tell(pair.Leaf)
	return f.pair, nil
}

// An authority is the server's own certification authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// wholeCA refuses a folder with half of an authority: somebody copied one file of two, and to make another would destroy it.
func (c *Config) wholeCA() error {
	there := func(name string) bool {
		_, err := os.Stat(c.file(name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	switch cert, key := there(caFile), there(caKeyFile); {
	case key && !cert:
		return fault.New(fault.Invalid, "%s is there and %s is not: copy ca.pem from where the key came from, too, or move the key away and the server makes an authority of its own", c.file(caKeyFile), caFile)
	case cert && !key && !there(caNewKeyFile):
		return fault.New(fault.Invalid, "%s is there and %s is not: copy ca.key from where the certificate came from, too, or move the certificate away and the server makes an authority of its own", c.file(caFile), caKeyFile)
	}
	return nil
}

// openCA reads the authority from ca.pem and ca.key, or makes it at the first start and tells its fingerprint.
func (c *Config) openCA() (*authority, error) {
	if err := c.wholeCA(); err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(c.file(caFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c.makeCA()
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(c.file(caKeyFile))
	unnamed := errors.Is(err, fs.ErrNotExist) // a crash came before the key got its name
	if unnamed {
		keyPEM, err = os.ReadFile(c.file(caNewKeyFile))
	}
	if err != nil {
		return nil, err
	}
	path := c.file(caKeyFile)
	if unnamed {
		path = c.file(caNewKeyFile)
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "the key of the certification authority %s can be read by others: chmod 600 it", path)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the certification authority in %s: %w", c.Data, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key in %s is not the one this server made", c.file(caKeyFile))
	}
	if unnamed {
		if err := os.Rename(c.file(caNewKeyFile), c.file(caKeyFile)); err != nil {
			return nil, err
		}
	}
	return &authority{pair.Leaf, key}, nil
}

func (c *Config) makeCA() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Tallystick CA on " + hostName()},
		NotBefore: c.Now().Add(-time.Hour), NotAfter: c.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	// The key goes first, and gets its name last: after a crash in between the next start makes both anew, or goes on with them, and
	// does not take them for half of what somebody copied.
	if err := writeFile(c.file(caNewKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(c.file(caFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644); err != nil {
		return nil, err
	}
	if err := os.Rename(c.file(caNewKeyFile), c.file(caKeyFile)); err != nil {
		return nil, err
	}
	c.Printf("This server made its own certification authority: %s\n  SHA-256 %s\n  Apps and API clients must be told to trust it (tally --ca %[1]s), or give the server a certificate with --tls-cert.\n",
		c.file(caFile), fingerprint(cert))
	return &authority{cert, key}, nil
}

// writeFile puts a file in place whole, or not at all.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(tmp.Name(), path)
}

// fingerprint is the SHA-256 of a certificate as people compare it.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// sign makes a certificate of a template with a fresh serial number.
func sign(template, issuer *x509.Certificate, public any, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ownCert serves a certificate of the server's own authority, made anew before it expires.
type ownCert struct {
	ca    *authority
	now   func() time.Time
	names []string
	tell  func(*x509.Certificate)

	mu   sync.Mutex
	cert *tls.Certificate
}

const (
	certLife  = 90 * 24 * time.Hour
	renewLeft = 30 * 24 * time.Hour
)

func (o *ownCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cert != nil && o.cert.Leaf.NotAfter.Sub(o.now()) > renewLeft {
		return o.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: o.names[0]},
		NotBefore: o.now().Add(-time.Hour), NotAfter: o.now().Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range o.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, name) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	leaf, err := sign(template, o.ca.cert, key.Public(), o.ca.key)
	if err != nil {
		return nil, err
	}
	o.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw, o.ca.cert.Raw}, PrivateKey: key, Leaf: leaf}
	o.tell(leaf)
	return o.cert, nil
}
