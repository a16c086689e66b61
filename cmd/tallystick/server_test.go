package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"
)

// A serverProcess is the server of a script, if it runs.
type serverProcess struct {
	cmd  *exec.Cmd
	read chan struct{} // closed once all that it says is in the log
}

// serverKey is where a script keeps it.
type serverKey struct{}

func (p *serverProcess) kill() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		p.wait()
	}
}

func (p *serverProcess) wait() error {
	<-p.read
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}

var (
	servingLine = regexp.MustCompile(` msg=serving .*public_url=(\S+)`)
	metricsLine = regexp.MustCompile(` msg="serving metrics" address=(\S+)`)
	radiusLine  = regexp.MustCompile(` msg="serving RADIUS" port=authentication address=(\S+)`)
)

func serve(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(serverKey{}).(*serverProcess)
	if neg || p.cmd != nil {
		ts.Fatalf("usage: serve [FLAG...], while none runs")
	}
	cmd := exec.Command("tallystick", append([]string{"serve", "--data", ts.Getenv("TALLYSTICK_DATA"), "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	said, err := cmd.StderrPipe()
	ts.Check(err)
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	ts.Check(cmd.Start())
	p.cmd, p.read = cmd, make(chan struct{})
	serving, metrics, radius := make(chan string, 1), "", ""
	go func() {
		defer close(p.read)
		defer log.Close()
		for lines := bufio.NewScanner(said); lines.Scan(); {
			fmt.Fprintln(log, lines.Text())
			if m := metricsLine.FindStringSubmatch(lines.Text()); m != nil {
				metrics = m[1]
			}
			if m := radiusLine.FindStringSubmatch(lines.Text()); m != nil {
				radius = m[1]
			}
			if m := servingLine.FindStringSubmatch(lines.Text()); m != nil {
				serving <- m[1]
			}
		}
	}()
	select {
	case at := <-serving:
		ts.Setenv("SERVER", at)
		ts.Setenv("METRICS", metrics)
		ts.Setenv("RADIUS", radius)
	case <-p.read:
		err := p.wait()
		ts.Fatalf("the server ended: %v\n%s", err, ts.ReadFile("server.log"))
	}
}

func halt(ts *testscript.TestScript, neg bool, args []string) {
	p := running(ts, neg, args)
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	if err := p.wait(); err != nil {
		ts.Fatalf("the server did not end well: %v\n%s", err, ts.ReadFile("server.log"))
	}
}

func crash(ts *testscript.TestScript, neg bool, args []string) { running(ts, neg, args).kill() }

func running(ts *testscript.TestScript, neg bool, args []string) *serverProcess {
	p := ts.Value(serverKey{}).(*serverProcess)
	if neg || len(args) > 0 || p.cmd == nil {
		ts.Fatalf("usage: halt | crash, while the server runs")
	}
	return p
}

func change(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql STATEMENT")
	}
	db, err := sql.Open("sqlite", filepath.Join(ts.Getenv("TALLYSTICK_DATA"), "tallystick.db")+"?_pragma=busy_timeout(10000)")
	ts.Check(err)
	defer db.Close()
	result, err := db.Exec(args[0])
	ts.Check(err)
	if n, err := result.RowsAffected(); n != 1 || err != nil {
		ts.Fatalf("changed %d rows (%v)", n, err)
	}
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: get URL [NAME:VALUE...]")
	}
	send(ts, http.MethodGet, args[0], "", args[1:])
}

func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: post URL BODY [NAME:VALUE...]")
	}
	send(ts, http.MethodPost, args[0], args[1], append([]string{"Content-Type:application/json"}, args[2:]...))
}

// send asks for a page and prints its status, its headers in the order of their names, and what it holds.
func send(ts *testscript.TestScript, method, page, body string, headers []string) {
	transport := &http.Transport{DisableKeepAlives: true}
	if path, ok := strings.CutPrefix(page, "unix:"); ok {
		socket, rest, _ := strings.Cut(path, ".sock/")
		page = "http://socket/" + rest
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", ts.MkAbs(socket+".sock"))
		}
	} else if strings.HasPrefix(page, "https:") {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(ts.ReadFile(filepath.Join(ts.Getenv("TALLYSTICK_DATA"), "ca.pem"))))
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	request, err := http.NewRequest(method, page, strings.NewReader(body))
	ts.Check(err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		request.Header.Set(name, value)
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	ts.Check(err)
	defer answer.Body.Close()
	fmt.Fprintln(ts.Stdout(), answer.Status)
	ts.Check(answer.Header.Write(ts.Stdout()))
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
}

func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: certificate CERT KEY")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tokens.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
