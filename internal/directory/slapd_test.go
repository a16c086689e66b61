package directory_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	base     = "dc=example,dc=com"
	reader   = "cn=reader," + base
	password = "a password of the reader"
	writer   = "cn=writer," + base
)

// A slapd is a real OpenLDAP server with entries of ours, on this machine.
type slapd struct {
	t          *testing.T
	dir        string
	ca         string // certificate of the authority, PEM
	plain, tls string // addresses
	process    *exec.Cmd
}

// config is what slapd goes by: whoever is not the writer gets 100 entries at most unless he asks for pages.
const config = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.3.6.1.4.1.4203.666.1.901 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.1.902 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.1.903 NAME 'objectCategory' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.1.904 NAME 'memberOf' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
attributetype ( 1.3.6.1.4.1.4203.666.1.905 NAME 'nsAccountLock' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.1.911 NAME 'user' SUP top AUXILIARY MAY ( sAMAccountName $ userAccountControl $ objectCategory $ memberOf $ nsAccountLock ) )
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile DIR/ca.pem
TLSCertificateFile DIR/server.pem
TLSCertificateKeyFile DIR/server.key
pidfile DIR/pid
security simple_bind=128
database mdb
maxsize 268435456
suffix "dc=example,dc=com"
rootdn "cn=writer,dc=example,dc=com"
rootpw secret
directory DIR/db
index objectClass eq
limits dn.exact="cn=reader,dc=example,dc=com" size.soft=100 size.hard=100 size.pr=100 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=com" read by * none
`

// start runs a slapd with entries.
func start(t *testing.T, entries string) *slapd {
	t.Helper()
	program := "/usr/sbin/slapd"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("TALLYSTICK_REQUIRE") != "" {
			t.Fatal("slapd is missing: install the Debian package slapd")
		}
		t.Skip("slapd is not installed: apt-get install slapd")
	}
	s := &slapd{t: t, dir: t.TempDir()}
	s.certificates()
	must(t, os.Mkdir(filepath.Join(s.dir, "db"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.dir, "slapd.conf"), []byte(strings.ReplaceAll(config, "DIR", s.dir)), 0o600))
	entries = "dn: " + base + "\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n" +
		"dn: " + reader + "\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: " + password + "\n\n" +
		"dn: ou=people," + base + "\nobjectClass: organizationalUnit\nou: people\n\ndn: ou=groups," + base + "\nobjectClass: organizationalUnit\nou: groups\n\n" + entries
	load := exec.Command("/usr/sbin/slapadd", "-q", "-f", filepath.Join(s.dir, "slapd.conf"))
	load.Stdin = strings.NewReader(entries)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	s.plain, s.tls = free(t), free(t)
	s.process = exec.Command(program, "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", "ldap://"+s.plain+"/ ldaps://"+s.tls+"/")
	var said bytes.Buffer
	s.process.Stdout, s.process.Stderr = &said, &said
	must(t, s.process.Start())
	t.Cleanup(s.kill)
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", s.tls)
		if err == nil {
			conn.Close()
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("slapd does not answer: %v\n%s", err, said.String())
		}
		time.Sleep(10 * time.Millisecond) // there is nothing that tells
	}
}

func (s *slapd) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certificates makes an authority and a certificate for 127.0.0.1.
func (s *slapd) certificates() {
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(s.t, err)
		return k
	}
	write := func(name, kind string, der []byte) string {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		must(s.t, os.WriteFile(filepath.Join(s.dir, name), text, 0o600))
		return string(text)
	}
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	authorityKey, serverKey := key(), key()
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	must(s.t, err)
	s.ca = write("ca.pem", "CERTIFICATE", der)
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err = x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	must(s.t, err)
	write("server.pem", "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(serverKey)
	must(s.t, err)
	write("server.key", "PRIVATE KEY", der)
}

// change does something there, as the one who may write.
func (s *slapd) change(do func(*ldap.Conn) error) {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.ca))
	conn, err := ldap.DialURL("ldaps://"+s.tls, ldap.DialWithTLSConfig(tlsFor(pool)))
	must(s.t, err)
	defer conn.Close()
	must(s.t, conn.Bind(writer, "secret"))
	must(s.t, do(conn))
}

// A wire passes bytes on to a server, and calls cut once when it has passed so many of the server's.
type wire struct {
	address string
	passed  atomic.Int64
}

func newWire(t *testing.T, to string, after int64, cut func()) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	w := &wire{address: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go w.pass(in, out, after, cut)
		}
	}()
	return w
}

func (w *wire) pass(to, from net.Conn, after int64, cut func()) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if w.passed.Add(int64(n)) > after && after > 0 {
			cut()
			from.Close()
			return
		}
		if _, e := to.Write(b[:n]); errors.Join(err, e) != nil {
			return
		}
	}
}

// person is the entry of somebody.
func person(id, more string) string {
	return fmt.Sprintf("dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\nobjectClass: user\nuid: %s\ncn: Name of %s\nsn: %s\nmail: %s@example.com\n%s\n", id, base, id, id, id, id, more)
}

// crowd is many of them: p0000, p0001 and so on.
func crowd(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(person(fmt.Sprintf("p%04d", i), ""))
	}
	return b.String()
}
