package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tallystick/tallystick/internal/cli/clitest"
	"github.com/tallystick/tallystick/internal/peertest"
	_ "github.com/tallystick/tallystick/internal/tokenapp" // tally is made of it: a change runs these tests again
)

// TestMain makes this test binary the program as well: as 'tallystick' it is in the PATH of scripts.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", raceOptions)
	testscript.Main(m, map[string]func(){"tallystick": main})
}

// raceOptions spare every program that a test with -race starts the second that
// it would wait at its end, in case another thread has something to report.
const raceOptions = "atexit_sleep_ms=0"

// short are the scripts that -short runs.
var short = []string{"users", "tokens", "file"}

// TestScripts runs the transcripts in testdata with the real programs. Each has its own data folder, TALLYSTICK_DATA,
// and its own token app. Besides testscript's commands they use
//
//	serve [FLAG...]        start the server on a free port and go on once it serves: $SERVER is its URL, server.log what it says,
//	                       $METRICS the address of its metrics and $RADIUS where RADIUS clients are answered
//	halt                   end it by SIGTERM; it must end well
//	crash                  end it by SIGKILL
//	refused CODE COMMAND   run it with --json; it must print nothing but this refusal, and exit with status 3
//	status N COMMAND       run it; it must exit with this status
//	interrupt PROMPT COMMAND  run it at a terminal and press ctrl-c once it has said PROMPT; it must exit with status 1
//	field VAR FILE PATH    set VAR to a member of a JSON document: delivery.ctf, serials.0
//	clock INTERVAL         set NOW, NEXT and LATER to times that are an interval apart, in RFC 3339, and in seconds in NOW_UNIX
//	                       and so on: the codes of three times in a row are good, however long a script takes to try them
//	sql STATEMENT          change the database behind the server's back; one row, no more and no less
//	get URL [NAME:VALUE]   fetch a page; unix:PATH/PAGE from a socket, https from a server that ca.pem in the data folder vouches for
//	post URL BODY [NAME:VALUE]  send it a JSON document, with headers
//	ldap LDIF              start an LDAP directory with the entries of a file: $LDAP is its URL, $LDAP_READER who may read it with ldap.password, ldap.pem its authority
//	certificate CERT KEY   make a certificate for 127.0.0.1 that is its own authority
//
// and the condition [without:PROGRAM], for leaving out what needs a program that is not here. Where TALLYSTICK_REQUIRE
// or CI is set, all programs must be here.
func TestScripts(t *testing.T) {
	apps := buildTally(t)
	params := testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", apps+string(filepath.ListSeparator)+e.Getenv("PATH"))
			e.Setenv("GORACE", raceOptions)
			e.Setenv("TALLYSTICK_DATA", e.WorkDir+"/data")
			e.Setenv("TALLY_STORE", e.WorkDir+"/app")
			e.Setenv("TALLY_KEY_FILE", e.WorkDir+"/app.key")
			p := &serverProcess{}
			e.Values[serverKey{}] = p
			e.Defer(p.kill)
			return nil
		},
		Condition: without,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":       serve,
			"halt":        halt,
			"crash":       crash,
			"refused":     refused,
			"status":      status,
			"interrupt":   clitest.Interrupt,
			"field":       field,
			"clock":       clock,
			"sql":         change,
			"get":         get,
			"post":        post,
			"certificate": certificate,
			"ldap":        ldap,
		},
	}
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if word := taken.Find(text); word != nil {
			t.Errorf("%s: %q is testscript's own, and stop ends a script as passed: a server is ended by halt or crash", script, word)
		}
	}
	if testing.Short() {
		params.Dir = ""
		for _, name := range short {
			params.Files = append(params.Files, filepath.Join("testdata", name+".txtar"))
		}
	}
	testscript.Run(t, params)
}

// taken are words that look as if they ended the server.
var taken = regexp.MustCompile(`(?m)^(stop|kill)\b`)

// buildTally builds the token app and returns its folder. It reads the app's files, so that go test, which keeps
// results, knows what they depend on.
func buildTally(t *testing.T) string {
	files, err := filepath.Glob("../tally/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("the sources of tally are not there", err)
	}
	for _, file := range files {
		if _, err := os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-w", "-o", dir, "../tally")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building tally: %v\n%s", err, out)
	}
	return dir
}

// without is the condition [without:PROGRAM].
func without(condition string) (bool, error) {
	program, ok := strings.CutPrefix(condition, "without:")
	if !ok {
		return false, fmt.Errorf("no condition %q", condition)
	}
	err := peertest.Find(program)
	if peertest.Required() {
		return false, err
	}
	return err != nil, nil
}
