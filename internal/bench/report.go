package bench

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
)

// A Report is what was measured. The first members of its JSON are the contract of spec/cli.md.
type Report struct {
	Protocol  Protocol `json:"protocol"`
	Database  string   `json:"database"` // sqlite or postgres
	Tokens    int      `json:"tokens"`
	PerSecond float64  `json:"per_second"` // answers, each with its durable write and its audit record
	P50       float64  `json:"p50_ms"`     // of the times until the answer; of a lost one, until it was given up
	P99       float64  `json:"p99_ms"`
	Baseline  float64  `json:"baseline_per_second"` // of the bare database: the mean of before and after
	Ratio     float64  `json:"ratio"`               // PerSecond by Baseline
	// DoubleAccepts counts accepts of codes that were accepted before, and Errors exchanges that did not end as they had to, lost
	// answers among them. Both must be 0.
	DoubleAccepts int64 `json:"double_accepts"`
	Errors        int64 `json:"errors"`

	Clients  int     `json:"clients"`
	Servers  int     `json:"servers"`
	Rate     float64 `json:"rate"` // exchanges a second that were begun; 0 for as many as went
	Warmup   float64 `json:"warmup_seconds"`
	Seconds  float64 `json:"seconds"` // after the warm-up
	Answers  int64   `json:"answers"` // in these seconds
	P90      float64 `json:"p90_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
	Before   float64 `json:"baseline_before"`
	After    float64 `json:"baseline_after"`
	FirstBad string  `json:"first_error,omitempty"` // the first of the errors, in words

	Kinds     map[string]Kind   `json:"kinds"` // with those of the warm-up, as DoubleAccepts and Errors
	Server    []Vitals          `json:"server"`
	Generator float64           `json:"generator_processor_seconds"`
	Settings  map[string]string `json:"settings"` // of the database, that durability and speed depend on
	Durable   bool              `json:"durable"`  // whether a commit is on the disk when it is answered
	Timeline  []Second          `json:"timeline"`
}

// A Kind is what was asked in one way and what was answered.
type Kind struct {
	Asked      int64 `json:"asked"`
	Accepted   int64 `json:"accepted"`
	Denied     int64 `json:"denied"`
	Challenged int64 `json:"challenged"`
	Lost       int64 `json:"lost"`
	Unexpected int64 `json:"unexpected"`
}

// Vitals are the numbers of a server before and after the load.
type Vitals struct {
	Before Vital   `json:"before"`
	After  Vital   `json:"after"`
	Behind float64 `json:"audit_log_behind_seconds"` // until all events had their place in the audit log, once the load was over
}

// A Second is what was answered in one.
type Second struct {
	Answers int64   `json:"answers"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// tell fills in what the load came to.
func (t *traffic) tell(r *Report) {
	r.Warmup, r.Seconds = t.Warmup.Seconds(), t.elapsed.Seconds()
	var all histogram
	for i := range t.times.seconds {
		s := t.times.seconds[i].Load()
		if s == nil {
			s = new(second)
		}
		if float64(i) > r.Seconds {
			break
		}
		all.merge(&s.histogram)
		r.Answers += s.answers()
		r.Timeline = append(r.Timeline, Second{s.answers(), s.quantile(.5), s.quantile(.99), s.quantile(1)})
	}
	r.P50, r.P90, r.P99, r.P999, r.Max = all.quantile(.5), all.quantile(.9), all.quantile(.99), all.quantile(.999), all.quantile(1)
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Answers) / r.Seconds
	}
	r.DoubleAccepts, r.FirstBad = t.ledger.doubleAccept, t.ledger.first
	r.Kinds = map[string]Kind{}
	for k := range kinds {
		got := t.ledger.got[k]
		r.Kinds[kindNames[k]] = Kind{t.ledger.asked[k], got[accepted], got[denied], got[challenged], got[lost], t.ledger.unexpected[k]}
		r.Errors += t.ledger.unexpected[k]
	}
}

// compare holds the load against the bare database.
func (r *Report) compare() {
	r.Baseline = (r.Before + r.After) / 2
	if r.Baseline > 0 {
		r.Ratio = r.PerSecond / r.Baseline
	}
}

// Good tells whether every answer was right.
func (r *Report) Good() bool { return r.DoubleAccepts == 0 && r.Errors == 0 }

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-16s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("protocol", "%s, %d clients, %d server(s), %s", r.Protocol, r.Clients, r.Servers, r.pace())
	line("database", "%s, %d tokens", r.Database, r.Tokens)
	var settings []string
	for _, name := range []string{"server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections", "journal_mode", "synchronous"} {
		if v := r.Settings[name]; v != "" {
			settings = append(settings, name+"="+v)
		}
	}
	line("settings", "%s", strings.Join(settings, " "))
	if !r.Durable {
		line("", "NOT DURABLE: a commit is answered before it is on the disk, so this measures nothing")
	}
	line("throughput", "%.0f answers/s over %.1f s, after %.1f s to warm up", r.PerSecond, r.Seconds, r.Warmup)
	line("latency", "p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.1f ms", r.P50, r.P90, r.P99, r.P999, r.Max)
	if r.Baseline > 0 {
		line("bare database", "%.0f updates/s (before %.0f, after %.0f)", r.Baseline, r.Before, r.After)
		line("ratio", "%.2f", r.Ratio)
	}
	for _, name := range kindNames {
		k := r.Kinds[name]
		line(name, "%d asked: %d accepted, %d denied, %d challenged, %d lost; %d not as they had to be", k.Asked, k.Accepted, k.Denied, k.Challenged, k.Lost, k.Unexpected)
	}
	line("double accepts", "%d", r.DoubleAccepts)
	line("errors", "%d", r.Errors)
	if r.FirstBad != "" {
		line("", "the first: %s", r.FirstBad)
	}
	const mega = 1 << 20
	for i, s := range r.Server {
		line(fmt.Sprintf("server %d", i+1), "memory %d -> %d MB, goroutines %d -> %d, open files %d -> %d, processor %.1f s, audit log behind by %.1f s",
			s.Before.RSS/mega, s.After.RSS/mega, s.Before.Goroutines, s.After.Goroutines, s.Before.Files, s.After.Files,
			s.After.Processor-s.Before.Processor, s.Behind)
	}
	line("generator", "processor %.1f s", r.Generator)
	_, err := io.WriteString(w, b.String())
	return err
}

// pace is how the load was paced, in words.
func (r *Report) pace() string {
	if r.Rate == 0 {
		return "flat out"
	}
	return fmt.Sprintf("%.0f exchanges/s", r.Rate)
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
