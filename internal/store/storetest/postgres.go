package storetest

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallystick/tallystick/internal/peertest"
)

// Postgres gives the URL of a new, empty PostgreSQL database, which goes when
// the test ends. It is made on the server that TALLYSTICK_TEST_POSTGRES names
// (a URL whose user may create databases), or on a private one that runs as
// long as the test program, from the programs of an installed PostgreSQL.
// Where there is none the test is skipped, but fails under CI or TALLYSTICK_REQUIRE. With -short it is skipped unless a server is named.
func Postgres(t testing.TB) string {
	t.Helper()
	return database(t, needServer(t), "")
}

// PostgresCopy gives the URL of a new database as [Postgres] does, with what fill puts into the database at a URL. On a private
// server that is done once, with the first fill, and copied; on one that was named each is filled, so that nothing is left there.
func PostgresCopy(t testing.TB, fill func(url string) error) string {
	t.Helper()
	server := needServer(t)
	if os.Getenv("TALLYSTICK_TEST_POSTGRES") != "" {
		url := database(t, server, "")
		if err := fill(url); err != nil {
			t.Fatal(err)
		}
		return url
	}
	filled.Do(func() {
		if filled.err = administer(server, "CREATE DATABASE "+filledName); filled.err == nil {
			filled.err = fill(at(server, filledName))
		}
	})
	if filled.err != nil {
		t.Fatal(filled.err)
	}
	return database(t, server, " TEMPLATE "+filledName)
}

const filledName = "tallystick_filled"

// filled is what came of making the database that others are copied from.
var filled struct {
	sync.Once
	err error
}

func needServer(t testing.TB) *url.URL {
	t.Helper()
	if testing.Short() && os.Getenv("TALLYSTICK_TEST_POSTGRES") == "" {
		t.Skip("-short is on SQLite alone: TALLYSTICK_TEST_POSTGRES names a server for it")
	}
	server, err := server()
	if errors.Is(err, errNotInstalled) {
		peertest.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// database makes a database that goes when the test ends.
func database(t testing.TB, server *url.URL, like string) string {
	t.Helper()
	name := fmt.Sprintf("tallystick_%d_%d", os.Getpid(), databases.Add(1))
	if err := administer(server, "CREATE DATABASE "+name+like); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := administer(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return at(server, name)
}

// at is the URL of a database on a server.
func at(server *url.URL, name string) string {
	database := *server
	database.Path = "/" + name
	return database.String()
}

var databases atomic.Int64

// Through gives the URL of a database by connections that pass is given both ends of.
func Through(t testing.TB, database string, pass func(from, to net.Conn)) string {
	t.Helper()
	const name = "/.s.PGSQL.5432"
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	dir, err := os.MkdirTemp("", "cut-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", dir+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial(network, address)
			if err != nil {
				from.Close()
				continue
			}
			pass(from, to)
		}
	}()
	query := url.Values{"host": {dir}, "user": {config.User}, "password": {config.Password}, "sslmode": {"disable"}}
	return "postgres:///" + config.Database + "?" + query.Encode()
}

// Crash ends every connection to a database that [Postgres] gave, in the middle of what it does. A private server crashes with
// it, as one does when a process of its is killed, and recovers from its log; a server that was named is left alone.
func Crash(t testing.TB, database string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("TALLYSTICK_TEST_POSTGRES") != "" {
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		if err := errors.Join(err, conn.Close(ctx)); err != nil {
			t.Fatal(err)
		}
		return
	}
	backend, err := os.FindProcess(int(conn.PgConn().PID()))
	if err == nil {
		err = backend.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(ctx) // it is dead
}

// Dump gives all that a database holds, as pg_dump writes it: binary values in hexadecimal digits.
func Dump(t testing.TB, database string) []byte {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	dump, err := exec.Command(filepath.Join(bin, "pg_dump"), "--inserts", database).Output()
	if err != nil {
		t.Fatal(err)
	}
	return dump
}

// administer runs a statement on the server's own database.
func administer(server *url.URL, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a test's own context is over in its cleanup
	defer cancel()
	conn, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// server finds or starts the server, once for a test program.
var server = sync.OnceValues(func() (*url.URL, error) {
	if given := os.Getenv("TALLYSTICK_TEST_POSTGRES"); given != "" {
		return url.Parse(given)
	}
	return startServer()
})

var errNotInstalled = errors.New("PostgreSQL is not installed: apt-get install postgresql, or name a server in TALLYSTICK_TEST_POSTGRES")

// programs finds the folder with the newest PostgreSQL's server programs.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", errNotInstalled
		}
		return filepath.Dir(path), nil
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for a name of another form
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// serverScript runs a server in the folder $2, with the programs in $1, until its standard input ends: that is when
// the test program does, however it does. It says "ready" when the server is.
//
//go:embed postgres.sh
var serverScript string

// serverLife is the standard input of the script: open until this process ends.
var serverLife io.WriteCloser //nolint:unused // it is held, not read

func startServer() (*url.URL, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tallystick-postgres-")
	if err != nil {
		return nil, err
	}
	command := []string{"sh", "-c", serverScript, "postgres.sh", bin, dir}
	if os.Getuid() == 0 { // as whom PostgreSQL does not run
		owner, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("%w (%w)", errNotInstalled, err)
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		command = append([]string{"setpriv", "--reuid=" + owner.Uid, "--regid=" + owner.Gid, "--clear-groups"}, command...)
	}
	script := exec.Command(command[0], command[1:]...)
	script.Dir = dir
	if serverLife, err = script.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := script.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := script.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(said)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		rest, _ := io.ReadAll(lines) // what it says besides is the reason
		return nil, fmt.Errorf("the PostgreSQL for tests does not start: %s", strings.TrimSpace(line+string(rest)))
	}
	return &url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{"host": {dir}, "user": {"tallystick"}}.Encode()}, nil
}
