package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
	"github.com/tallystick/tallystick/securid"
)

// provisioningServer serves any number of activation codes of one token, each
// once; the package's own tests have the faulty ones.
func provisioningServer(t *testing.T, serial string) (server *httptest.Server, seed func() []byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.Mutex
	var nonce ctkip.Nonce
	var agreed []byte
	used := map[ctkip.Code]bool{}
	answer := func(m *ctkip.Message) ([]byte, error) {
		if used[m.Code] {
			return ctkip.InvalidCode.Body(), nil
		}
		if m.Step == ctkip.StepHello {
			nonce, err = ctkip.NewNonce(nil)
			return m.ServerHello("session", &key.PublicKey, nonce), err
		}
		clientNonce, err := ctkip.Decrypt(key, m.EncryptedNonce)
		if err != nil {
			return nil, err
		}
		used[m.Code] = true
		var mac []byte
		agreed, mac = ctkip.Derive(&key.PublicKey, clientNonce, nonce)
		return m.ServerFinished(ctkip.Finished{
			Serial: serial, Expiry: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), Service: "Test",
			Digits: 8, Interval: 60, MAC: mac, SessionID: "session",
		})
	}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all.Lock()
		defer all.Unlock()
		body, _ := io.ReadAll(r.Body) // a broken body is no request, which the next line says
		m, err := ctkip.ParseRequest(body, r.Header.Get("Authorization"))
		if err == nil {
			body, err = answer(m)
		}
		if err != nil {
			t.Error(err)
		}
		w.Write(body)
	}))
	t.Cleanup(server.Close)
	return server, func() []byte {
		all.Lock()
		defer all.Unlock()
		return agreed
	}
}

// authorityFile is a file for --ca.
func authorityFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestProvision provisions through the real program, as a user would.
func TestProvision(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TALLY_STORE", filepath.Join(dir, "store"))
	t.Setenv("TALLY_KEY_FILE", filepath.Join(dir, "key"))
	const serial = "000123456789"
	server, seed := provisioningServer(t, serial)
	ca := authorityFile(t, server)
	url := server.URL + "/ctkip/services/CtkipService"
	link := func(code string) string {
		return "com.rsa.securid://ctkip?scheme=https&url=" + strings.TrimPrefix(url, "https://") + "&activationCode=" + code
	}
	refused := func(want string, args ...string) string {
		t.Helper()
		out, status := run(t, "", append([]string{"import", "--json"}, args...)...)
		var refusal struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(out), &refusal); err != nil || status != cli.Refused || refusal.Error.Code != want {
			t.Errorf("status %d, %v: %s, want %s", status, err, out, want)
		}
		return refusal.Error.Message
	}
	accepted := func(args ...string) {
		t.Helper()
		out, status := run(t, "", append([]string{"import", "--json", "--ca", ca}, args...)...)
		var info tokenapp.Info
		if err := json.Unmarshal([]byte(out), &info); err != nil || status != cli.Done || info.Serial != serial || info.Format != tokenapp.FormatCTKIP {
			t.Fatalf("status %d, %v: %s", status, err, out)
		}
		at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		want, err := securid.Code(seed(), serial, 8, 60, at)
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := run(t, "", "code", serial, "--at", at.Format(time.RFC3339)); out != want+"\n" {
			t.Errorf("code %q, and the server's is %s", out, want)
		}
	}

	sum := sha256.Sum256(server.Certificate().Raw)
	fingerprint := strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
	if message := refused("SERVER_UNTRUSTED", link("100000000001")); !strings.Contains(message, fingerprint) {
		t.Errorf("the fingerprint %s is not in %s", fingerprint, message)
	}
	if out, status := run(t, "", "import", url, "--ca", ca); status != cli.Usage {
		t.Errorf("without a code: status %d: %s", status, out)
	}
	accepted(url, "--activation-code-file", secretFile(t, "100000000001\n"), "--nickname", "phone")
	refused("ACTIVATION_REFUSED", link("100000000001"), "--ca", ca)
	if words, err := exec.Command("tally", "import", link("100000000001"), "--ca", ca).CombinedOutput(); err == nil || !strings.Contains(string(words), "'tally list' shows whether its token is here already") {
		t.Errorf("who imported it before is not told where it is: %s", words)
	}

	// The seed that the server has made for a held token waits for --replace.
	if message := refused("DUPLICATE_SERIAL", link("100000000002"), "--ca", ca); !strings.Contains(message, "--replace") {
		t.Errorf("nothing about --replace in: %s", message)
	}
	// So it does when a file takes the place of the held one, and whoever imports that is told.
	file, err := tokenFile(serial, "000102030405060708090a0b0c0d0e0f", "", "", "2035-08-05")
	if err != nil {
		t.Fatal(err)
	}
	if words, err := exec.Command("tally", "import", "--replace", secretFile(t, string(file))).CombinedOutput(); err != nil || !strings.Contains(string(words), "a new seed for token phone ("+serial+") waits") {
		t.Errorf("%v: %s", err, words)
	}
	accepted(link("100000000002"), "--replace")
	t.Setenv("TALLY_ACTIVATION_CODE", "100000000003")
	accepted(url, "--replace")
	if out, _ := run(t, "", "list"); !strings.Contains(out, "phone") {
		t.Errorf("the nickname is lost: %s", out)
	}
	server.Close()
	refused("SERVER_UNREACHABLE", link("100000000004"), "--ca", ca)
}
