package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/server"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// TestMain drops what the tests built.
func TestMain(m *testing.M) {
	status := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(status)
}

// patience bounds every wait. It is for what never comes; what comes late, on a busy machine, is no failure.
const patience = time.Minute

var built struct {
	once sync.Once
	dir  string
	err  error
}

// program is the path of one of the two real programs, built as they are for users but for what debuggers need, which takes a third
// of the time: once for a run of the tests.
func program(t testing.TB, name string) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "tallystick-bin-"); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-w", "-o", built.dir, "../../cmd/tallystick", "../../cmd/tally")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, name)
}

// environment is that of the programs: nothing of whoever runs the tests leads them elsewhere, to a keyring at that.
func environment(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TALLY") && !strings.HasPrefix(v, "PG") {
			env = append(env, v)
		}
	}
	return append(append(env, "DBUS_SESSION_BUS_ADDRESS=", "XDG_RUNTIME_DIR="), more...)
}

// folder makes a folder whose path is short enough for a socket in it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ts-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A process is a server that runs as a program of its own.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	data string
	args []string      // besides the data folder
	url  string        // once it serves
	done chan struct{} // closed when it has ended

	log deploytest.Log // standard error and output
}

// launch starts a server on a data folder and does not wait for it.
func launch(t testing.TB, data string, args ...string) *process {
	t.Helper()
	p := &process{t: t, data: data, args: args, done: make(chan struct{})}
	args, database := apart(args)
	p.cmd = exec.Command(program(t, "tallystick"), append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = environment(database)
	p.cmd.Stdout = &p.log
	p.cmd.Stderr = &p.log
	p.cmd.WaitDelay = patience
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // how it ended, ProcessState tells
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the server on %s said:\n%s", data, p.said())
		}
	})
	return p
}

// apart takes the URL of a database out of arguments, for the environment: it may hold a password.
func apart(args []string) (others []string, variable string) {
	url := ""
	if i := slices.Index(args, "--database"); i >= 0 {
		url, args = args[i+1], slices.Delete(slices.Clone(args), i, i+2)
	}
	return args, "TALLYSTICK_DATABASE=" + url
}

// start starts a server and waits until it serves.
func start(t testing.TB, data string, args ...string) *process {
	t.Helper()
	return launch(t, data, args...).ready()
}

var serving = regexp.MustCompile(`msg=serving .*public_url=(https://\S+)`)

// ready waits until the server serves.
func (p *process) ready() *process {
	p.t.Helper()
	poll(p.t, "the server to serve", func() bool {
		if found := serving.FindStringSubmatch(p.said()); found != nil {
			p.url = found[1]
			return true
		}
		if p.ended() {
			p.t.Fatalf("the server ended with %v", p.cmd.ProcessState)
		}
		return false
	})
	return p
}

// poll asks again and again, until what it waits for is there.
func poll(t testing.TB, what string, there func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !there(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		<-time.After(pause)
	}
}

// said is what the process has said so far.
func (p *process) said() string { return p.log.String() }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// terminate asks the process to end.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit status.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("the server does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// admin is a client on the server's socket.
func (p *process) admin() *client.Client { return client.Unix(server.SocketPath(p.data)) }

// public is an HTTP client for the public side of the server.
func (p *process) public(t testing.TB) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(p.data, "ca.pem"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(t, ca, err))
	c := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// A result is what a program that has ended said.
type result struct {
	stdout, stderr string
	arguments      string // as other users of the machine can see them
	status         int    // -1 if it was killed
}

// both is everything that it said.
func (r result) both() string { return r.stdout + r.stderr }

// run runs a program to its end, or until ctx ends, which kills it.
func run(ctx context.Context, t testing.TB, env []string, stdin, name string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(ctx, program(t, name), args...)
	cmd.Env = environment(env...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // as a user would
	cmd.WaitDelay = patience
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	var seen string
	err := cmd.Start()
	if err == nil {
		seen = arguments(cmd.Process.Pid)
		err = cmd.Wait()
	}
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Error(err)
	}
	status := -1
	if cmd.ProcessState != nil {
		status = cmd.ProcessState.ExitCode()
	}
	return result{stdout.String(), stderr.String(), seen, status}
}

// arguments are those of a process as other users of the machine can see them; "" where they cannot, or once it has ended.
func arguments(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(text)
}

// A phone is a token app with a database of its own.
type phone struct {
	t   testing.TB
	dir string
	env []string
}

func newPhone(t testing.TB, dir string) *phone {
	return &phone{t, dir, []string{"TALLY_STORE=" + filepath.Join(dir, "store"), "TALLY_KEY_FILE=" + filepath.Join(dir, "key")}}
}

// run runs a command of the app.
func (p *phone) run(ctx context.Context, args ...string) result {
	p.t.Helper()
	return run(ctx, p.t, p.env, "", "tally", args...)
}

// code is the code of a token at a time; "" if the app does not hold it.
func (p *phone) code(serial string, at time.Time) string {
	p.t.Helper()
	r := p.run(p.t.Context(), "code", serial, "--json", "--at", at.UTC().Format(time.RFC3339))
	var answer struct {
		Code  string
		Error struct{ Code fault.Code }
	}
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil || answer.Code == "" && answer.Error.Code != fault.UnknownToken {
		p.t.Errorf("tally code: status %d: %s", r.status, r.both())
	}
	return answer.Code
}

// must gives what a call returned, and ends the test at an error.
func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
