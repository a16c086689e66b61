package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallystick/tallystick/internal/bench"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// program builds tallystick, once for a run of the tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tallystick-bin-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-w", "-o", dir, "../../cmd/tallystick")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "tallystick"), nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

func plan(t *testing.T, protocol bench.Protocol) bench.Plan {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	return bench.Plan{
		Protocol: protocol, Tokens: 90, Clients: 6, Servers: 1, Requests: 600, Baseline: 50 * time.Millisecond,
		Mix: bench.Mix{70, 10, 10, 10}, Program: path,
	}
}

// run carries out a plan against the real server, of which every answer has to be right.
func run(t *testing.T, p bench.Plan) bench.Report {
	t.Helper()
	r, err := bench.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if r.DoubleAccepts != 0 || r.Errors != 0 {
		t.Errorf("%d double accepts, %d errors: %s", r.DoubleAccepts, r.Errors, r.FirstBad)
	}
	// A next tokencode is one answer more.
	if want := p.Requests*int64(p.Servers) + r.Kinds["next"].Accepted; r.Answers != want {
		t.Errorf("%d answers, want %d", r.Answers, want)
	}
	for name, k := range r.Kinds {
		if k.Asked == 0 {
			t.Errorf("nothing was asked of kind %s", name)
		}
	}
	if r.PerSecond <= 0 || r.Before <= 0 || r.After <= 0 || r.Ratio <= 0 || r.P50 > r.P99 || r.P99 > r.Max {
		t.Errorf("the numbers make no sense: %+v", r)
	}
	for _, s := range r.Server {
		if s.After.RSS == 0 || s.After.Goroutines == 0 || s.After.Files == 0 || s.After.Processor < s.Before.Processor {
			t.Errorf("the server's numbers make no sense: %+v", s)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
	return r
}

var protocols = []bench.Protocol{bench.RADIUS, bench.REST}

func TestRunOnSQLite(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			r := run(t, plan(t, protocol))
			document, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var inOrder []string
			for d := json.NewDecoder(bytes.NewReader(document)); len(inOrder) < 22; {
				token, err := d.Token()
				if err != nil {
					t.Fatal(err)
				}
				if _, brace := token.(json.Delim); !brace {
					inOrder = append(inOrder, fmt.Sprint(token))
				}
			}
			var names []string
			for i := 0; i < len(inOrder); i += 2 {
				names = append(names, inOrder[i])
			}
			// The contract of spec/cli.md.
			const contract = "protocol database tokens per_second p50_ms p99_ms baseline_per_second ratio double_accepts errors"
			if got := strings.Join(names, " "); !strings.HasPrefix(got, contract) {
				t.Errorf("the document begins with %s", got)
			}
			if !r.Durable || r.Database != "sqlite" || r.Settings["synchronous"] != "2" {
				t.Errorf("%s, durable %v, %v", r.Database, r.Durable, r.Settings)
			}
		})
	}
}

func TestRunOnPostgres(t *testing.T) {
	database := storetest.Postgres(t)
	for _, protocol := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			p := plan(t, protocol)
			p.Database = database
			if r := run(t, p); r.Durable || r.Settings["fsync"] != "off" {
				t.Errorf("the database of tests does not wait for the disk, but the report says durable %v, %v", r.Durable, r.Settings)
			}
		})
		t.Run("two servers, "+string(protocol), func(t *testing.T) {
			p := plan(t, protocol)
			p.Database, p.Servers = database+"&pool_max_conns=4", 2
			r := run(t, p)
			if good := r.Kinds["good"]; good.Accepted != good.Denied || good.Accepted != good.Asked/2 {
				t.Errorf("of each code sent to both servers one is accepted: %+v", good)
			}
		})
	}
}

// What is answered while the servers warm up is held against what it has to be, and is not among what is measured.
func TestWarmup(t *testing.T) {
	p := plan(t, bench.RADIUS)
	p.Requests, p.Warmup, p.Duration = 0, 300*time.Millisecond, 300*time.Millisecond
	r, err := bench.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var all int64
	for _, k := range r.Kinds {
		all += k.Accepted + k.Denied + k.Challenged
	}
	if r.Answers == 0 || r.Answers >= all || r.Warmup != .3 || r.Seconds < .3 || len(r.Timeline) == 0 {
		t.Errorf("%d answers of %d in %.3f s after %.3f s, seconds %v", r.Answers, all, r.Seconds, r.Warmup, r.Timeline)
	}
}

// A database that holds something is left as it is.
func TestRunRefusesWhatIsNotEmpty(t *testing.T) {
	database := storetest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE precious (id BIGINT)"); err != nil {
		t.Fatal(err)
	}
	p := plan(t, bench.REST)
	p.Database = database
	if _, err := bench.Run(t.Context(), p); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "empty") {
		t.Errorf("it was refused with %v", err)
	}
	var schemas int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tallystick%'").Scan(&schemas)
	if err != nil || schemas != 0 {
		t.Errorf("%d schemas were made, %v", schemas, err)
	}
}

func TestRunRefusesWrongPlans(t *testing.T) {
	for name, change := range map[string]func(*bench.Plan){
		"another protocol":       func(p *bench.Plan) { p.Protocol = "telnet" },
		"no clients":             func(p *bench.Plan) { p.Clients = 0 },
		"fewer tokens":           func(p *bench.Plan) { p.Tokens = 5 },
		"three servers":          func(p *bench.Plan) { p.Servers = 3 },
		"two servers on SQLite":  func(p *bench.Plan) { p.Servers = 2 },
		"no end":                 func(p *bench.Plan) { p.Requests = 0 },
		"a warm-up below 0":      func(p *bench.Plan) { p.Warmup = -1 },
		"nothing good":           func(p *bench.Plan) { p.Mix = bench.Mix{0, 50, 50, 0} },
		"another database":       func(p *bench.Plan) { p.Database = "mysql://x" },
		"a database that is out": func(p *bench.Plan) { p.Database = "postgres:///x?host=/nowhere" },
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(t, bench.REST)
			change(&p)
			if _, err := bench.Run(t.Context(), p); fault.CodeOf(err) == "" {
				t.Errorf("it is refused with %v", err)
			}
		})
	}
}
