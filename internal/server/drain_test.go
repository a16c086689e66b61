package server_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/server"
)

// A request that is being answered when SIGTERM comes, or SIGHUP, gets its answer; what it did is there afterwards. New ones are
// not taken, and the server ends well.
func TestDrain(t *testing.T) {
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(end.String(), func(t *testing.T) { drains(t, end) })
	}
}

func drains(t *testing.T, end syscall.Signal) {
	if signal.Ignored(end) { // as under nohup, where the server would do nothing
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, end) // what is caught here, a program that is started is ended by
		t.Cleanup(func() { signal.Stop(caught); signal.Ignore(end) })
	}
	p := start(t, folder(t))
	conn, err := net.Dial("unix", server.SocketPath(p.data))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"count":3}`
	// The server says "100 Continue" when the handler begins to read the body: that is in the middle of the request.
	fmt.Fprintf(conn, "POST /v1/tokens HTTP/1.1\r\nHost: tallystick\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	answers := bufio.NewReader(conn)
	middle, err := http.ReadResponse(answers, nil)
	if err != nil || middle.StatusCode != http.StatusContinue {
		t.Fatalf("%v, %v: the server does not ask for the body", middle, err)
	}

	p.signal(end)
	poll(t, "the server to take no more requests", func() bool {
		again, err := net.Dial("unix", server.SocketPath(p.data))
		if err == nil {
			again.Close()
		}
		return err != nil
	})
	if p.ended() {
		t.Fatal("the server has ended in the middle of a request")
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var made client.CreatedTokens
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || answer.StatusCode != http.StatusCreated || len(made.Serials) != 3 {
		t.Errorf("%s, %v, %v", answer.Status, made, err)
	}
	if status := p.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}

	p = start(t, p.data)
	for _, serial := range made.Serials {
		if _, err := p.admin().Token(t.Context(), serial); err != nil {
			t.Error(err)
		}
	}
}

// Who watches a job is let go when the server stops, and is not waited for.
func TestDrainOfWhoWatches(t *testing.T) {
	t.Run("stopped", func(t *testing.T) { drainsWhoWatches(t, (*process).terminate, 0) })
	t.Run("by a newer release", func(t *testing.T) { drainsWhoWatches(t, (*process).outdate, 3) })
}

// drainsWhoWatches ends a server while somebody watches a job.
func drainsWhoWatches(t *testing.T, end func(*process), want int) {
	p := start(t, folder(t))
	admin, waits := p.admin(), true
	if _, err := admin.EditSettings(t.Context(), 0, client.SettingsEdit{BulkApproval: &waits}); err != nil {
		t.Fatal(err)
	}
	profile, err := admin.AddProfile(t.Context(), client.NewProfile{Profile: "phone", DeviceType: "generic", DeliveryMethod: "ctkip", PINType: "none"})
	must(t, profile, err)
	made, err := admin.CreateTokens(t.Context(), client.NewTokens{Count: 1})
	must(t, made, err)
	j, err := admin.DistributeMany(t.Context(), client.BulkDistribution{Selection: client.Selection{Serials: made}, Profile: "phone"})
	if err != nil || j.State != "awaiting_approval" {
		t.Fatalf("%+v, %v", j, err)
	}
	watched := make(chan error, 1)
	_, err = admin.WatchJob(t.Context(), j.Job, func(client.Job) {
		if len(watched) == 0 {
			watched <- nil
			end(p)
		}
	})
	if err == nil {
		t.Error("the job is said to have ended")
	}
	if status := p.exit(); status != want || strings.Contains(p.said(), "cut off") {
		t.Errorf("exit status %d", status)
	}
}

// outdate has a newer release change the database.
func (p *process) outdate() {
	p.versions("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, TRUE)")
}

// versions changes what the database knows of its tables.
func (p *process) versions(statement string) {
	db, err := sql.Open("sqlite", filepath.Join(p.data, "tallystick.db")+"?_pragma=busy_timeout(10000)")
	defer must(p.t, db, err).Close()
	if _, err := db.ExecContext(p.t.Context(), statement); err != nil {
		p.t.Fatal(err)
	}
}

// A server whose database a newer release has changed ends, as it would do everything by the old rules.
func TestANewerReleaseHasChangedTheDatabase(t *testing.T) {
	p := start(t, folder(t))
	p.outdate()
	if status := p.exit(); status != 3 || !strings.Contains(p.said(), "(SCHEMA_NEWER)") {
		t.Errorf("exit status %d", status)
	}
}

// The tables of an older release stay as they are where the master key is another one's: servers of that release would end.
func TestAnotherMasterKeyChangesNoTables(t *testing.T) {
	data := folder(t)
	p := start(t, data)
	p.terminate()
	p.exit()
	p.versions("DELETE FROM goose_db_version WHERE version_id > 1") // bringing them up to date fails: the columns of the second are there
	for _, how := range []string{"none", "another"} {
		key := filepath.Join(t.TempDir(), "master.key")
		if how == "another" {
			if err := seed.MakeMasterFile(key); err != nil {
				t.Fatal(err)
			}
		}
		p := launch(t, data, "--master-key", key)
		if status := p.exit(); status != 3 || !strings.Contains(p.said(), "(MASTER_KEY)") {
			t.Errorf("with %s: exit status %d", how, status)
		}
		if _, err := os.Stat(key); how == "none" && err == nil {
			t.Error("a master key was made")
		}
	}
	p = launch(t, data)
	if status := p.exit(); status != 1 || strings.Count(p.said(), "bringing the tables of an older release up to date") != 1 {
		t.Errorf("with its own: exit status %d, and %s", status, p.said())
	}
}

// BenchmarkStart is how long a server takes until it serves: on a new folder, where it makes its keys, and on a used one.
func BenchmarkStart(b *testing.B) {
	for _, used := range []bool{false, true} {
		b.Run(fmt.Sprintf("used=%v", used), func(b *testing.B) {
			data := folder(b)
			if used {
				start(b, data).kill()
			}
			b.ResetTimer()
			for b.Loop() {
				p := start(b, data)
				b.StopTimer()
				p.kill()
				if !used {
					if err := os.RemoveAll(data); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}
