package store

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tallystick/tallystick/internal/audit"
)

// BenchmarkAudit shows what an event costs: recorded with others in one transaction, and later sequenced, beside one plain
// narrow row a piece in the same groups ("bare"). With "both" a log sequences beside the writer, as in a server, and "waiting" is
// how many events had no place when the writer was done; "prune" takes the events away again, with pauses. ns/op is for one event; cpu-µs/event is the processor time of this process
// and of all of PostgreSQL's, which other work on the machine does not change. PostgreSQL runs as storetest starts it: without
// waiting for the disk.
func BenchmarkAudit(b *testing.B) {
	for name, at := range databases {
		address := at(b)
		db := opened(b, address)
		if _, err := db.exec(b.Context(), "CREATE TABLE bare (id BIGINT PRIMARY KEY, at BIGINT NOT NULL)"); err != nil {
			b.Fatal(err)
		}
		spent := stopwatch(b, address)
		log := benchLog(b, db)
		next, days := 0, 0
		for _, group := range []int{1, 32, 128} {
			b.Run(fmt.Sprintf("%s/bare/group=%d", name, group), func(b *testing.B) {
				rows := make([]string, group)
				for i := range rows {
					rows[i] = fmt.Sprintf("($%d, $%d)", 2*i+1, 2*i+2)
				}
				statement := "INSERT INTO bare (id, at) VALUES " + strings.Join(rows, ", ")
				each(b, group, spent, func(n int) error {
					args := make([]any, 0, 2*group)
					for range group {
						next++
						args = append(args, next, n)
					}
					_, err := db.exec(b.Context(), statement, args...)
					return err
				})
			})
			b.Run(fmt.Sprintf("%s/record/group=%d", name, group), func(b *testing.B) {
				each(b, group, spent, func(n int) error { return recordGroup(b.Context(), db, n, group) })
			})
			b.Run(fmt.Sprintf("%s/sequence/group=%d", name, group), func(b *testing.B) {
				sequenceAll(b, log)
				for n := 0; n < b.N; n += group {
					if err := recordGroup(b.Context(), db, n, group); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				before := spent()
				sequenceAll(b, log)
				reportEvents(b, spent()-before)
			})
			b.Run(fmt.Sprintf("%s/both/group=%d", name, group), func(b *testing.B) {
				sequenceAll(b, log)
				b.ResetTimer()
				before := spent()
				ctx, stop := context.WithCancel(b.Context())
				var beside sync.WaitGroup
				beside.Go(func() { log.Run(ctx) })
				for n := 0; n < b.N; n += group {
					if err := recordGroup(ctx, db, n, group); err != nil {
						b.Fatal(err)
					}
				}
				waiting, err := db.Pending(ctx)
				if err != nil {
					b.Fatal(err)
				}
				stop()
				beside.Wait()
				reportEvents(b, spent()-before)
				b.ReportMetric(float64(waiting), "waiting")
			})
			b.Run(fmt.Sprintf("%s/prune/group=%d", name, group), func(b *testing.B) {
				prune := func() {
					days += 100 // what was recorded of the last time is old by now, too
					log.Now = func() time.Time { return time.Now().AddDate(0, 0, days) }
					defer func() { log.Now = time.Now }()
					kept := func(context.Context) (audit.Retention, error) {
						return audit.Retention{audit.Authentication: audit.MinRetention}, nil
					}
					if err := log.Prune(b.Context(), kept); err != nil {
						b.Fatal(err)
					}
				}
				sequenceAll(b, log)
				prune()
				for n := 0; n < b.N; n += group {
					if err := recordGroup(b.Context(), db, n, group); err != nil {
						b.Fatal(err)
					}
				}
				sequenceAll(b, log)
				b.ResetTimer()
				before := spent()
				prune()
				reportEvents(b, spent()-before)
			})
		}
	}
}

// each runs do for so many groups that there is an event for each iteration.
func each(b *testing.B, group int, spent func() time.Duration, do func(n int) error) {
	before := spent()
	for n := 0; n < b.N; n += group {
		if err := do(n); err != nil {
			b.Fatal(err)
		}
	}
	reportEvents(b, spent()-before)
}

func reportEvents(b *testing.B, spent time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/event")
}

// recordGroup records events as the authentication server makes them, of 10,000 users, in one transaction.
func recordGroup(ctx context.Context, db *DB, n, group int) error {
	ctx = audit.WithActor(ctx, audit.Actor{Name: "radius:vpn-gateway", Client: "192.0.2.17"})
	var events []audit.Event
	for i := n; i < n+group; i++ {
		ctx := audit.WithCorrelation(ctx, fmt.Sprintf("01994c1e-7a2b-7c3d-8e4f-%012x", i*7919))
		events = append(events, audit.New(ctx, time.Now(), "authn.success", fmt.Sprintf("user:u%07d", i*7919%10_000),
			audit.Details{"token": fmt.Sprintf("%012d", i*7919%100_000), "method": "securid", "offset": i % 3}))
	}
	return db.Transact(ctx, func(ctx context.Context) error { return db.RecordAll(ctx, events) })
}

// sequenceAll does what Log.Run does.
func sequenceAll(b *testing.B, l *audit.Log) {
	for n := 1; n > 0; {
		var err error
		if n, err = l.Sequence(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for more := true; more; {
		var err error
		if more, err = l.Store.IndexObjects(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchLog(b *testing.B, db *DB) *audit.Log {
	skey, vkey, err := audit.GenerateKey("bench.example/audit")
	if err != nil {
		b.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		b.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		b.Fatal(err)
	}
	return &audit.Log{Store: db, Signer: signer, Verifier: verifier, Outside: filepath.Join(b.TempDir(), "checkpoints"),
		Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
}

// stopwatch returns what tells the processor time that this process and the database's have spent.
func stopwatch(b *testing.B, address string) func() time.Duration {
	own := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" {
		return own
	}
	file, err := os.ReadFile(filepath.Join(u.Query().Get("host"), "data", "postmaster.pid"))
	if err != nil {
		b.Log("the processor time of PostgreSQL is not counted: it is not the tests' own")
		return own
	}
	parent, _, _ := strings.Cut(string(file), "\n")
	return func() time.Duration { return own() + postgresTime(parent) }
}

// postgresTime is the processor time of the processes of a PostgreSQL, by /proc (man 5 proc_pid_stat, 100 ticks a second).
func postgresTime(parent string) time.Duration {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	ticks := 0
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		// The times of a process, and for the parent those of its children that have ended.
		times := fields[11:13]
		if filepath.Base(filepath.Dir(path)) == parent {
			times = fields[11:15]
		}
		if fields[1] == parent || len(times) == 4 {
			for _, field := range times {
				n, _ := strconv.Atoi(field)
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
