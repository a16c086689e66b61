package main

import (
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tallystick/tallystick/internal/cli/clitest"
	"github.com/tallystick/tallystick/sdtid"
	"rsc.io/qr"
)

// TestMain makes this test binary the program as well: as 'tally' it is in the
// PATH of scripts and tests.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", raceOptions)
	testscript.Main(m, map[string]func(){"tally": main})
}

// raceOptions spare every program that a test with -race starts the second that
// it would wait at its end, in case another thread has something to report.
const raceOptions = "atexit_sleep_ms=0"

// TestScripts runs the transcripts in testdata. Their own commands are
//
//	tokenfile FILE SERIAL SEED [PASSWORD [DEVICE-ID [EXPIRY]]]   write a token file, 6 digits and no PIN
//	qrpicture FILE SOURCE-FILE                                   draw a file's text as a QR code
//	interrupt PROMPT COMMAND                                     run it at a terminal and press ctrl-c once it has said PROMPT; it must exit with status 1
func TestScripts(t *testing.T) { runScripts(t, "testdata", nil) }

// TestServerScripts runs those in testdata/server, where LINK brings a new seed for token 000123456789 from a server that CA has signed.
func TestServerScripts(t *testing.T) {
	server, _ := provisioningServer(t, "000123456789")
	runScripts(t, "testdata/server", map[string]string{
		"LINK": "com.rsa.securid://ctkip?url=" + server.URL + "/ctkip/services/CtkipService&activationCode=100000000001",
		"CA":   authorityFile(t, server),
	})
}

// runScripts runs the transcripts in a folder, which know the variables.
func runScripts(t *testing.T, dir string, variables map[string]string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			for name, value := range variables {
				e.Setenv(name, value)
			}
			e.Setenv("TALLY_STORE", e.WorkDir+"/store")
			e.Setenv("DBUS_SESSION_BUS_ADDRESS", "") // the keyring of whoever runs the tests is not ours to write into
			e.Setenv("XDG_RUNTIME_DIR", "")
			e.Setenv("GORACE", raceOptions)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"tokenfile": func(ts *testscript.TestScript, _ bool, args []string) {
				args = append(args, []string{"", "", "", "", "", "2035-08-05"}[len(args):]...)
				data, err := tokenFile(args[1], args[2], args[3], args[4], args[5])
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
			},
			"interrupt": clitest.Interrupt,
			"qrpicture": func(ts *testscript.TestScript, _ bool, args []string) {
				code, err := qr.Encode(strings.TrimSpace(ts.ReadFile(args[1])), qr.M)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), code.PNG(), 0o600))
			},
		},
	})
}

// tokenFile makes a token file.
func tokenFile(serial, seedHex, password, deviceID, expiry string) ([]byte, error) {
	last, err := time.Parse(time.DateOnly, expiry)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(seedHex)
	if err != nil {
		return nil, err
	}
	return sdtid.Encode(sdtid.Batch{Password: password, Tokens: []sdtid.Token{{
		Serial: serial, Seed: seed, Digits: 6, Interval: 60,
		Birth: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC), Expiry: last,
		DeviceSerialNumber: deviceID,
	}}})
}

// run runs the real program, and gives its standard output and exit status.
// stdin is what it reads.
func run(t *testing.T, stdin string, args ...string) (stdout string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tally", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if t.Failed() {
		t.Log(words.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestNoDatabaseDriver proves that the app does not carry the server's store.
func TestNoDatabaseDriver(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok || len(info.Deps) == 0 {
		t.Fatal("the binary does not say what is in it")
	}
	for _, dep := range info.Deps {
		for _, driver := range []string{"sqlite", "pgx", "goose", "lib/pq", "mysql"} {
			if strings.Contains(dep.Path, driver) {
				t.Errorf("%s is linked", dep.Path)
			}
		}
	}
}
