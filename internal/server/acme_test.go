package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/directory/directorytest"
)

// TestACME has Pebble, the authority that Let's Encrypt is tested with, sign for a server that has been told to get its
// certificate by ACME. Pebble comes from the tools module; it looks up names with a DNS server of the test's.
func TestACME(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Pebble")
	}
	const host = "tokens.example.test"
	certFile, keyFile := localhostCertificate(t)
	t.Setenv("SSL_CERT_FILE", certFile) // that the server trusts Pebble's own TLS
	directory, err := directorytest.Free()
	must(t, directory, err)
	flags := []string{"--acme-host", host, "--acme-mail", "admin@example.test", "--acme-directory", "https://" + directory + "/dir"}
	p := start(t, folder(t), flags...)
	if apps := address(t, p.url); apps.Hostname() != host {
		t.Errorf("apps are told %s", p.url)
	}

	authority := pebble(t, certFile, keyFile, directory, address(t, p.url).Port())
	handshake := func(name, port string) error {
		c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{ServerName: name, RootCAs: authority.roots})
		if err == nil {
			err = c.Close()
		}
		return err
	}
	if err := handshake(host, address(t, p.url).Port()); err != nil {
		t.Error(err)
	}
	// Who says no name, as RadSec clients do, is shown the certificate all the same.
	nameless, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", address(t, p.url).Port()), &tls.Config{InsecureSkipVerify: true}) // an address is no name of it; whose it is, is looked at next
	if err == nil {
		err = errors.Join(nameless.ConnectionState().PeerCertificates[0].VerifyHostname(host), nameless.Close())
	}
	if err != nil {
		t.Errorf("without a name: %v", err)
	}
	if handshake("other.example.test", address(t, p.url).Port()) == nil {
		t.Error("there is a certificate for a name that was not asked for")
	}

	// The certificate is kept: a server that starts again does not need the authority.
	p.terminate()
	if status := p.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	authority.stop()
	p = start(t, p.data, flags...)
	if err := handshake(host, address(t, p.url).Port()); err != nil {
		t.Error(err)
	}
	// One that needs it says so.
	p = start(t, folder(t), flags...)
	if handshake(host, address(t, p.url).Port()) == nil {
		t.Error("a certificate came from nowhere")
	}
	poll(t, "the warning", func() bool { return strings.Contains(p.said(), "there is no certificate by ACME") })
}

// An acmeAuthority is a running Pebble.
type acmeAuthority struct {
	stop  func()
	roots *x509.CertPool // that signed what it signs
}

// pebble starts the authority, whose directory is at an address and which connects to port for its challenges.
func pebble(t *testing.T, certFile, keyFile, directory, port string) acmeAuthority {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = "../../tools"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building Pebble: %v\n%s", err, out)
	}
	management, err := directorytest.Free()
	must(t, management, err)
	number, err := strconv.Atoi(port)
	must(t, number, err)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": directory, "managementListenAddress": management, "certificate": certFile, "privateKey": keyFile,
		"httpPort": number, "tlsPort": number,
	}})
	file := filepath.Join(dir, "pebble.json")
	must(t, file, os.WriteFile(file, must(t, config, err), 0o600))
	cmd := exec.Command(filepath.Join(dir, "pebble"), "-config", file, "-dnsserver", nameServer(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait() // it is killed
		close(done)
	}()
	stop := func() {
		cmd.Process.Kill()
		<-done
	}
	t.Cleanup(stop)

	certPEM, err := os.ReadFile(certFile)
	own := x509.NewCertPool()
	own.AppendCertsFromPEM(must(t, certPEM, err))
	c := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}, DisableKeepAlives: true}}
	poll(t, "Pebble", func() bool {
		answer, err := c.Get("https://" + directory + "/dir")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	answer, err := c.Get("https://" + management + "/roots/0")
	defer must(t, answer, err).Body.Close()
	root, err := io.ReadAll(answer.Body)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(t, root, err))
	return acmeAuthority{stop, roots}
}

// localhostCertificate writes the certificate of 127.0.0.1 that net/http's tests use, and its key.
func localhostCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	pair := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(t.TempDir(), name)
		return must(t, file, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
	}
	return write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", must(t, key, err))
}

// address takes apart where a server says that it is.
func address(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	return must(t, u, err)
}

// nameServer answers, over TCP as Pebble asks, that every name is 127.0.0.1, and has no other records.
func nameServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, l, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerQueries(conn)
		}
	}()
	return l.Addr().String()
}

// answerQueries answers one after the other until there are no more.
func answerQueries(conn net.Conn) {
	defer conn.Close()
	for {
		var length uint16
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		query := make([]byte, length)
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply, ok := resolve(query)
		if !ok {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// resolve answers a DNS query (RFC 1035 section 4) of one question.
func resolve(query []byte) (reply []byte, ok bool) {
	const header, typeA = 12, 1
	end := header
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	if end += 5; end > len(query) { // the root label, type and class
		return nil, false
	}
	reply = append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end]...)
	if binary.BigEndian.Uint16(query[end-4:]) == typeA {
		reply[7] = 1
		reply = append(reply, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return reply, true
}
