package distribution_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/sdtid"
)

// BenchmarkBulk makes, assigns and distributes tokens, as many as TALLYSTICK_BENCH_TOKENS says (20,000), as files and strings that a
// password locks and as activation codes, and prints tokens a second for each step and for all of them together. Beside them is the bare limit of the parts,
// measured in the same run: sealing seeds and encoding deliveries on one processor, and inserting rows of a delivery's size by the driver's
// fastest way. cpu-µs/token is the processor time of this program, without that of a PostgreSQL server. PostgreSQL is that of TALLYSTICK_BENCH_DATABASE
// (scripts/postgres.sh; empty), or else a private one that does not wait for the disk. job-peak-MB is how far the heap went up while the job was
// started and done, in the samples taken of it: it stays where it is when there are more tokens.
func BenchmarkBulk(b *testing.B) {
	n := 20_000
	if given, err := strconv.Atoi(os.Getenv("TALLYSTICK_BENCH_TOKENS")); err == nil {
		n = given
	}
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		for _, method := range []device.Method{device.File, device.CTF, device.CTKIP} {
			b.Run(fmt.Sprintf("%s/%s", database, method), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					p := newPlant(b, database, method, n)
					b.StartTimer()
					p.work()
					b.StopTimer()
					p.parts()
					p.close()
					b.StartTimer()
				}
			})
		}
	}
}

// A plant is a deployment with users and no token yet.
type plant struct {
	*testing.B
	url    string
	db     *store.DB
	keys   *seed.Keyring
	method device.Method
	n      int
	dist   *distribution.Distributor
	users  []string
}

func newPlant(b *testing.B, database string, method device.Method, n int) *plant {
	b.Helper()
	p := &plant{B: b, method: method, n: n, url: filepath.Join(b.TempDir(), fmt.Sprintf("%d.db", time.Now().UnixNano()))}
	if database == "PostgreSQL" {
		if p.url = os.Getenv("TALLYSTICK_BENCH_DATABASE"); p.url == "" {
			p.url = storetest.Postgres(b)
		}
	}
	var err error
	p.db, err = store.Open(b.Context(), store.Options{URL: p.url})
	p.must(err)
	path := filepath.Join(b.TempDir(), fmt.Sprintf("%d.key", time.Now().UnixNano()))
	p.must(seed.MakeMasterFile(path))
	master, err := seed.MasterFromFile(path)
	p.must(err)
	p.keys, err = seed.OpenKeyring(b.Context(), master, p.db, time.Now)
	p.must(err)
	devices := &device.Registry{Store: p.db, Now: time.Now}
	p.dist = &distribution.Distributor{Store: p.db, Devices: devices, Keys: p.keys, Now: time.Now, Endpoint: "https://tokens.test/ctkip", Service: "Test"}
	_, err = (&profile.Registry{Store: p.db, Devices: devices, Now: time.Now}).Add(b.Context(), profile.Profile{Name: "p", DeviceType: "generic", Method: method, Grace: -1})
	p.must(err)
	var all []user.User
	for i := range n {
		id := fmt.Sprintf("user-%06d", i)
		p.users = append(p.users, id)
		all = append(all, user.User{ID: id, Name: "Name of " + id, Enabled: true, CreatedAt: time.Now(), Version: 1})
	}
	for len(all) > 0 {
		some := all[:min(len(all), 5000)]
		all = all[len(some):]
		p.must(p.db.AddUsers(b.Context(), some))
	}
	p.must(p.dist.Prepare(b.Context()))
	return p
}

func (p *plant) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *plant) close() { p.must(p.db.Close()) }

// measured reports how many tokens a second a step did.
func (p *plant) measured(step string, do func()) {
	begun := time.Now()
	do()
	p.ReportMetric(float64(p.n)/time.Since(begun).Seconds(), step+"/s")
}

// processor is the processor time of this program so far.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// work makes, assigns and distributes the tokens.
func (p *plant) work() {
	ctx := p.Context()
	before := processor()
	p.measured("all", func() {
		made := &records.Registry{Store: p.db, Keys: p.keys, Now: time.Now}
		p.must(made.BeginSerials(ctx))
		p.measured("made", func() {
			for left := p.n; left > 0; left -= records.MaxAtOnce {
				_, err := made.Create(ctx, min(left, records.MaxAtOnce), time.Time{}, time.Time{})
				p.must(err)
			}
		})
		tokens := &token.Registry{Store: p.db, Now: time.Now}
		p.measured("assigned", func() {
			_, err := tokens.AssignAll(ctx, token.Bulk{Users: p.users, Next: true})
			p.must(err)
		})
		p.measured("distributed", func() { p.distribute(ctx, tokens) })
	})
	p.ReportMetric(float64((processor()-before).Microseconds())/float64(p.n), "cpu-µs/token")
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	p.ReportMetric(float64(memory.HeapSys)/(1<<20), "heap-MB")
}

func (p *plant) distribute(ctx context.Context, tokens *token.Registry) {
	jobs := &job.Registry{Store: p.db, Keys: p.keys, Now: time.Now}
	for _, w := range p.dist.Workers() {
		jobs.Register(w)
	}
	bulk := distribution.Bulk{Profile: "p", Grace: -1}
	if p.method != device.CTKIP {
		bulk.Password = "correct horse"
	}
	o, err := p.dist.Order(ctx, bulk)
	p.must(err)
	runtime.GC()
	before, peak := heap(), uint64(0)
	sampled := 0
	o.Items = func(yield func(job.NewItem, error) bool) {
		for chosen, err := range tokens.Choose(ctx, token.Selection{All: true}) {
			p.must(err)
			if item, err := distribution.Item(chosen, ""); !yield(item, err) {
				return
			}
			if sampled++; sampled%1000 == 0 {
				peak = max(peak, heap())
			}
		}
	}
	j, err := jobs.Start(ctx, o)
	p.must(err)
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		jobs.Run(ctx)
		close(done)
	}()
	for !j.State.Over() {
		time.Sleep(20 * time.Millisecond)
		peak = max(peak, heap())
		j, err = jobs.Show(ctx, j.ID)
		p.must(err)
	}
	stop()
	<-done
	p.ReportMetric(float64(max(peak, before)-before)/(1<<20), "job-peak-MB")
	if j.Done != p.n {
		p.Fatalf("%d of %d were distributed", j.Done, p.n)
	}
}

// heap is what is on the heap, in bytes.
func heap() uint64 {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}

// parts measures what the work is made of, one by one.
func (p *plant) parts() {
	s := seed.Generate()
	p.measured("bare-sealed", func() {
		for range p.n {
			_, err := token.NewGeneration(p.keys, "000000000001", 1, s, token.Factory, time.Now())
			p.must(err)
		}
	})
	raw := s.Reveal()
	expiry := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	var size int
	p.measured("bare-encoded", func() {
		for range p.n {
			switch p.method {
			case device.CTKIP:
				size = len(p.keys.MAC("bare", []byte("123456789012")))
				continue
			case device.File:
				t := sdtid.Token{Serial: "000000000001", Seed: raw, Expiry: expiry, Digits: 8, Interval: 60, Login: "user-000001", LastName: "Name of user-000001"}
				file, err := sdtid.Encode(sdtid.Batch{Origin: "Test", Tokens: []sdtid.Token{t}, Password: "correct horse"})
				p.must(err)
				size = len(file)
				continue
			}
			t := ctf.Token{Serial: "000000000001", Seed: raw, Expiry: expiry, Issued: time.Now(), Digits: 8, Interval: 60, TimeDerived: true}
			text, err := ctf.Encode(t, ctf.Options{Version: 2, Password: "correct horse"})
			p.must(err)
			size = len(text)
		}
	})
	p.measured("bare-inserted", func() { p.insert(make([]byte, size)) })
}

// insert inserts rows of a serial and a delivery by the fastest way of the driver.
func (p *plant) insert(delivery []byte) {
	ctx := p.Context()
	if !strings.HasPrefix(p.url, "postgres") {
		db, err := sql.Open("sqlite", p.url+".bare?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		p.must(err)
		defer db.Close()
		_, err = db.ExecContext(ctx, "CREATE TABLE bare (serial TEXT PRIMARY KEY, delivery BLOB) STRICT")
		p.must(err)
		tx, err := db.BeginTx(ctx, nil)
		p.must(err)
		insert, err := tx.PrepareContext(ctx, "INSERT INTO bare VALUES (?, ?)")
		p.must(err)
		defer insert.Close()
		for i := range p.n {
			_, err := insert.ExecContext(context.WithoutCancel(ctx), strconv.Itoa(i), delivery)
			p.must(err)
		}
		p.must(tx.Commit())
		return
	}
	conn, err := pgx.Connect(ctx, p.url)
	p.must(err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TEMPORARY TABLE bare (serial TEXT PRIMARY KEY, delivery BYTEA)")
	p.must(err)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"bare"}, []string{"serial", "delivery"},
		pgx.CopyFromSlice(p.n, func(i int) ([]any, error) { return []any{strconv.Itoa(i), delivery}, nil }))
	p.must(err)
}
