// Package directorytest runs LDAP servers for tests: the slapd of an
// installed OpenLDAP, with a certificate of its own, on this machine; and beside it one that does what slapd does not.
package directorytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// What is there before any entries: who may read, and who may write.
const (
	Base     = "dc=example,dc=com"
	Reader   = "cn=reader," + Base
	Password = "a password of the reader"
	writer   = "cn=writer," + Base
)

// Program is the server.
const Program = "/usr/sbin/slapd"

// ErrNotInstalled says what to install.
var ErrNotInstalled = errors.New("slapd is not installed: apt-get install slapd")

// A Server is a running slapd.
type Server struct {
	CA         string // certificate of the authority, PEM
	Plain, TLS string // addresses: for StartTLS, and for TLS from the beginning

	dir     string
	process *exec.Cmd
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

// Start runs a slapd in an empty folder, with entries in LDIF besides ou=people and ou=groups. [ErrNotInstalled] if there is none.
func Start(dir, entries string) (*Server, error) {
	if _, err := os.Stat(Program); err != nil {
		return nil, ErrNotInstalled
	}
	s := &Server{dir: dir}
	if err := s.certificates(); err != nil {
		return nil, err
	}
	settings := filepath.Join(dir, "slapd.conf")
	err := errors.Join(os.Mkdir(filepath.Join(dir, "db"), 0o700), os.WriteFile(settings, []byte(strings.ReplaceAll(config, "DIR", dir)), 0o600))
	if err != nil {
		return nil, err
	}
	load := exec.Command("/usr/sbin/slapadd", "-q", "-f", settings)
	load.Stdin = strings.NewReader(tree + entries)
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("slapadd: %w\n%s", err, out)
	}
	if s.Plain, err = Free(); err == nil {
		s.TLS, err = Free()
	}
	if err != nil {
		return nil, err
	}
	s.process = exec.Command(Program, "-d", "0", "-f", settings, "-h", "ldap://"+s.Plain+"/ ldaps://"+s.TLS+"/")
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	return s, s.answers()
}

// tree is what all entries are below.
const tree = "dn: " + Base + "\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n" +
	"dn: " + Reader + "\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: " + Password + "\n\n" +
	"dn: ou=people," + Base + "\nobjectClass: organizationalUnit\nou: people\n\ndn: ou=groups," + Base + "\nobjectClass: organizationalUnit\nou: groups\n\n"

// answers waits until the server does.
func (s *Server) answers() error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", s.TLS)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			s.Kill()
			return fmt.Errorf("slapd does not answer: %w", err)
		}
		time.Sleep(10 * time.Millisecond) // there is nothing that tells
	}
}

// Kill ends the server by SIGKILL.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// Free is an address that nobody listens at, for a program that cannot be given port 0. It lies below the ports that
// systems give out by themselves, so that nobody gets it meanwhile.
func Free() (string, error) {
	for {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+mathrand.IntN(20_000))) // #nosec G404 -- any port does
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return "", err
		}
	}
}

// certificates makes an authority and a certificate for 127.0.0.1.
func (s *Server) certificates() error {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	own, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(serverKey)
	s.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}))
	return errors.Join(err, os.WriteFile(filepath.Join(s.dir, "ca.pem"), []byte(s.CA), 0o600), s.write("server.pem", "CERTIFICATE", own), s.write("server.key", "PRIVATE KEY", key))
}

func (s *Server) write(name, kind string, der []byte) error {
	return os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// Change does something there, as the one who may write.
func (s *Server) Change(do func(*ldap.Conn) error) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.CA))
	conn, err := ldap.DialURL("ldaps://"+s.TLS, ldap.DialWithTLSConfig(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Bind(writer, "secret"); err != nil {
		return err
	}
	return do(conn)
}

// Person is the entry of somebody, with more attributes: lines of LDIF.
func Person(id, more string) string {
	return fmt.Sprintf("dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\nobjectClass: user\nuid: %s\ncn: Name of %s\nsn: %s\nmail: %s@example.com\n%s\n", id, Base, id, id, id, id, more)
}
