package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// interrupted runs a command against a server that answers with begin and goes on for ever, and interrupts it there.
func interrupted(t *testing.T, begin func(http.ResponseWriter), args ...string) (status int, words string) {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		w.(http.Flusher).Flush()
		interrupt()
		<-r.Context().Done()
	}))
	defer server.Close()
	t.Setenv("TALLYSTICK_API_KEY", "key")
	var out, err bytes.Buffer
	p := &program{Program: cli.Program{Name: "tallystick", In: os.Stdin, Out: &out, Err: &err}}
	status = p.run(ctx, append(args, "--server", server.URL))
	return status, err.String() + out.String()
}

func TestInterruptedWaitTellsThatTheJobGoesOn(t *testing.T) {
	running := func(w http.ResponseWriter) {
		fmt.Fprintf(w, "data: %s\n\n", `{"job":"first","state":"running","total":10,"done":3}`)
	}
	status, words := interrupted(t, running, "job", "watch", "first")
	if status != cli.Failed || strings.Contains(words, "context canceled") {
		t.Errorf("exit status %d: %s", status, words)
	}
	for _, want := range []string{"the job goes on", "'tallystick job watch first'", "'tallystick job cancel first'"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is not in: %s", want, words)
		}
	}
}

func TestInterruptedCallSaysSo(t *testing.T) {
	status, words := interrupted(t, func(http.ResponseWriter) {}, "user", "list")
	if status != cli.Failed || !strings.Contains(words, "interrupted") || strings.Contains(words, "context canceled") {
		t.Errorf("exit status %d: %s", status, words)
	}
}

func TestSocketOfSomebodyElseIsNoServerThatIsDown(t *testing.T) {
	data := t.TempDir()
	owner, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{data: data}
	dial := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err = p.understood(fmt.Errorf("getting users: %w", dial))
	if !errors.Is(err, fault.Forbidden) || !strings.Contains(err.Error(), filepath.Join(data, "admin.sock")) || !strings.Contains(err.Error(), "sudo -u "+owner.Username+" tallystick") {
		t.Error(err)
	}
	p.data = filepath.Join(data, "hidden")
	if err = p.understood(dial); !errors.Is(err, fault.Forbidden) || !strings.Contains(err.Error(), "as the user who runs the server") {
		t.Error(err)
	}
	dial.Err = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	if err = p.understood(dial); fault.CodeOf(err) != "" || !strings.Contains(err.Error(), "no server answers") {
		t.Error(err)
	}
}

// The disk or the network of a server is no state of what was asked for, as spec/cli.md tells apart; a clock that went back is.
func TestOutagesAreNoRefusals(t *testing.T) {
	p := &program{}
	gone := &client.Error{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "the database cannot be reached"}
	if err := p.understood(gone); fault.CodeOf(err) != "" || err.Error() != "the database cannot be reached (UNAVAILABLE)" {
		t.Error(err)
	}
	gone.Details = map[string]any{"because": "clock"}
	if err := p.understood(gone); !errors.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

// Each line is an event, also the last one: who reads them takes no error for one.
func TestChangesEndWithAnErrorBesideThem(t *testing.T) {
	for name, args := range map[string][]string{"changes": {"changes", "--follow"}, "monitor": {"monitor", "--after", "0"}} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > 1 {
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprint(w, `{"status":403,"code":"FORBIDDEN","message":"the key was deleted","correlation_id":"x"}`)
					return
				}
				fmt.Fprint(w, `{"changes":[{"seq":1,"action":"user.add","object":"user:alice"}],"next":1,"size":9}`)
			}))
			defer server.Close()
			t.Setenv("TALLYSTICK_API_KEY", "key")
			var out, err bytes.Buffer
			p := &program{Program: cli.Program{Name: "tallystick", In: os.Stdin, Out: &out, Err: &err}}
			status := p.run(t.Context(), append(args, "--json", "--server", server.URL))
			if status != cli.Refused || strings.Count(out.String(), "\n") != 1 || !strings.HasPrefix(out.String(), `{"seq":1,`) || !strings.Contains(err.String(), "the key was deleted (FORBIDDEN)") {
				t.Errorf("exit status %d, out %q, err %q", status, out.String(), err.String())
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	for state, want := range map[string]error{"done": nil, "done_with_errors": cli.Status(3), "failed": cli.Status(3), "cancelled": cli.Status(3)} {
		if got := verdict(client.Job{State: state}); got != want {
			t.Errorf("%s: %v, not %v", state, got, want)
		}
	}
}

func TestRefusalsNameFlags(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":400,"code":"INVALID","message":"the member \"count\" lies outside 1 to 10000","details":{"member":"count","rule":"maximum"},"correlation_id":"x"}`)
	}))
	defer server.Close()
	t.Setenv("TALLYSTICK_API_KEY", "key")
	for command, want := range map[string]string{"token create": "tallystick: --count lies outside 1 to 10000", "user list": `the member "count" lies`} {
		var out, err bytes.Buffer
		p := &program{Program: cli.Program{Name: "tallystick", In: os.Stdin, Out: &out, Err: &err}}
		if status := p.run(t.Context(), append(strings.Fields(command), "--server", server.URL)); status != cli.Refused || !strings.Contains(err.String(), want) {
			t.Errorf("%s: exit status %d: %s", command, status, err.String())
		}
	}
}

func TestReportTablesCutTextsFirst(t *testing.T) {
	report := &table{firm: []bool{true, false, true, false}, wide: []int{12, 30, 10, 4}}
	for report.wide[1] > 4 {
		if got := report.widest(); got != 1 {
			t.Fatalf("column %d of %v would be cut", got, report.wide)
		}
		report.wide[1]--
	}
	if got := report.widest(); got != 0 {
		t.Errorf("where no text is left to cut, column %d of %v would be", got, report.wide)
	}
	if got := (&table{wide: []int{4, 3}, firm: []bool{true, false}}).widest(); got != -1 {
		t.Errorf("column %d of two narrow ones would be cut", got)
	}
}
