package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refused CODE COMMAND...")
	}
	status(ts, false, append([]string{"3"}, append(args[1:], "--json")...))
	var document struct {
		Error struct {
			Code, Message string
			Details       map[string]any // facts for programs
		} `json:"error"`
	}
	out := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	out.DisallowUnknownFields()
	if err := out.Decode(&document); err != nil || document.Error.Code != args[0] || document.Error.Message == "" || out.More() {
		ts.Fatalf("this is not the refusal %s (%v): %s", args[0], err, ts.ReadFile("stdout"))
	}
	if words := ts.ReadFile("stderr"); words != "" {
		ts.Fatalf("words beside the document: %s", words)
	}
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field VAR FILE PATH")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &v))
	for name := range strings.SplitSeq(args[2], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: there is no element %s among %d", args[2], name, len(at))
			}
			v = at[i]
		}
	}
	switch v := v.(type) {
	case string:
		ts.Setenv(args[0], v)
	case float64:
		ts.Setenv(args[0], strconv.FormatFloat(v, 'f', -1, 64))
	default:
		ts.Fatalf("%s is no text and no number: %v", args[2], v)
	}
}

func clock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clock INTERVAL")
	}
	interval, err := time.ParseDuration(args[0])
	ts.Check(err)
	at := time.Now().UTC()
	for _, name := range []string{"NOW", "NEXT", "LATER"} {
		ts.Setenv(name, at.Format(time.RFC3339))
		ts.Setenv(name+"_UNIX", strconv.FormatInt(at.Unix(), 10))
		at = at.Add(interval)
	}
}
