package store_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// Variables that turn this test program into a server that works until it is killed.
const (
	crashDatabase = "TALLYSTICK_CRASH_DATABASE"
	crashWorker   = "TALLYSTICK_CRASH_WORKER"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(crashDatabase); url != "" {
		fmt.Fprintln(os.Stderr, work(url, os.Getenv(crashWorker)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// work says what it has done, line by line.
func work(url, worker string) error {
	n, err := strconv.Atoi(worker)
	if err != nil {
		return err
	}
	db, err := store.Open(context.Background(), store.Options{URL: url})
	if err != nil {
		return err
	}
	return storetest.Work(context.Background(), db, n, func(serial string, version int) { fmt.Println(serial, version) })
}

// A process that is killed at any moment leaves whole changes, and all that it had done.
func TestCrash(t *testing.T) {
	url := filepath.Join(t.TempDir(), "tallystick.db")
	done := map[string]int{}
	for worker := 1; worker <= 6; worker++ {
		killed(t, url, worker, 5+17*worker, done)
		db := deploytest.Open(t, url)
		tokens := storetest.Intact(t, db, maps.Clone(done))
		if tokens < len(done) {
			t.Errorf("%d tokens, but %d were made", tokens, len(done))
		}
	}
}

// killed runs a worker, kills it when it has said so many lines, and notes what it said.
func killed(t *testing.T, url string, worker, lines int, done map[string]int) {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), crashDatabase+"="+url, crashWorker+"="+strconv.Itoa(worker))
	process.Stderr = os.Stderr
	said, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(said)
	for n := 0; scanner.Scan(); n++ { // to the end: what it said before it died was done
		var serial string
		var version int
		if _, err := fmt.Sscan(scanner.Text(), &serial, &version); err != nil {
			break // a line that was cut off
		}
		done[serial] = version
		if n == lines {
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := process.Wait(); err == nil || process.ProcessState.Exited() {
		t.Fatalf("the worker ended by itself: %v", err)
	}
}
