package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// Where somebody signs in from is what her agent was told, as by a header of her browser: it neither moves the cursor of whoever looks nor writes lines.
func TestAStationDoesNotWriteToTheTerminal(t *testing.T) {
	var out bytes.Buffer
	p := &program{Program: cli.Program{Name: "tallystick", Out: &out}}
	p.signIns([]client.SignIn{{At: time.Unix(0, 0), Outcome: "failure", Reason: "BAD_PASSCODE", Agent: "vpn", Station: "\x1b]0;x\a\n  accepted\u009b2J"}}, false)
	const want = "denied BAD_PASSCODE  (vpn, \uFFFD]0;x\uFFFD\uFFFD  accepted\uFFFD2J)\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want %q at the end", &out, want)
	}
}

// Nor does a server that is not trusted, by the names in its certificate.
func TestACertificateDoesNotWriteToTheTerminal(t *testing.T) {
	names := x509.HostnameError{Host: "h", Certificate: &x509.Certificate{DNSNames: []string{"a\x1b[31m\r\nb"}}}
	got := (&program{}).understood(&tls.CertificateVerificationError{Err: names}).Error()
	if !strings.Contains(got, "is valid for a\uFFFD[31m\uFFFD\uFFFDb, not h: if the server is yours") {
		t.Errorf("%q", got)
	}
}
