// Package bench measures what a server does, and finds out whether it ever
// accepts a code twice.
//
// [Run] makes a throw-away deployment with users who hold one token each,
// starts the real program on it as a process of its own, and asks it over
// RADIUS or the SecurID Authentication API, like many gateways at once: right
// passcodes, wrong ones, codes that were accepted before, and codes that take a
// next tokencode (traffic.go). What each answer has to be is known beforehand
// and held against what came (ledger.go). Before and after, it measures
// how many single rows the same database changes, each in a durable
// transaction of its own ([store.Bare]): the report gives the ratio.
//
// A token shows one code an interval, and a server must not accept more. So
// that few tokens can make many requests, each token's clock goes ahead: its
// next code is always that of the next interval. The server follows, as it does
// with any token whose clock is fast, since each code is in the small window
// around the offset that it has learned from the one before.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store"
)

// A Protocol is how the server is asked.
type Protocol string

// The protocols.
const (
	RADIUS Protocol = "radius"
	REST   Protocol = "rest" // the SecurID Authentication API
)

// A Plan is what to measure.
type Plan struct {
	Protocol Protocol
	// Database is "" for the embedded database, or the URL of a PostgreSQL database that holds nothing.
	Database string
	Tokens   int // and as many users
	// Clients is how many requests are under way at once at most, and how many connections the bare database is measured with.
	Clients int
	// Servers is how many servers share the database. With two, which takes PostgreSQL, every passcode is sent to both at once.
	Servers  int
	Duration time.Duration // of the load
	// Warmup is how long the servers are asked before that. What they answer then has to be right and counts in no rate and no latency.
	Warmup time.Duration
	// Requests, if it is above 0, ends the load after so many exchanges instead, and there is no warm-up.
	Requests int64
	// Rate is how many exchanges a second begin; 0 is as many as the server answers. With a rate, the time of an answer counts from
	// when its question was due, so that a server that stands still is not asked more kindly.
	Rate     float64
	Mix      Mix
	Baseline time.Duration // of each measurement of the bare database; 0 leaves them out
	// Program is the path of tallystick.
	Program string
	// Progress, if set, tells people what is going on.
	Progress func(format string, args ...any)
	// Now is the clock of tokens; nil is the system's.
	Now func() time.Time
}

// Limits of a plan.
const (
	MaxTokens  = 20_000_000
	MaxClients = 4096
)

func (p *Plan) complete() error {
	switch {
	case p.Protocol != RADIUS && p.Protocol != REST:
		return fault.New(fault.Invalid, "a server is asked by radius or rest, not by %q", p.Protocol)
	case p.Clients < 1 || p.Clients > MaxClients:
		return fault.New(fault.Invalid, "between 1 and %d clients can ask", MaxClients)
	case p.Tokens < p.Clients || p.Tokens > MaxTokens:
		return fault.New(fault.Invalid, "it takes a token for each client at least, and %d at most", MaxTokens)
	case p.Servers < 1 || p.Servers > 2:
		return fault.New(fault.Invalid, "one server can be measured, or two on one database")
	case p.Servers == 2 && p.Database == "":
		return fault.New(fault.Invalid, "two servers need a PostgreSQL database: give it with --database")
	case p.Duration <= 0 && p.Requests <= 0, p.Rate < 0, p.Baseline < 0, p.Warmup < 0:
		return fault.New(fault.Invalid, "times, numbers of requests and rates are above 0")
	}
	if p.Requests > 0 {
		p.Warmup = 0
	}
	if p.Progress == nil {
		p.Progress = func(string, ...any) {}
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	return p.Mix.check()
}

// Run carries out a plan. What it made is gone when it returns.
func Run(ctx context.Context, p Plan) (report Report, err error) {
	if err := p.complete(); err != nil {
		return Report{}, err
	}
	p.Progress("making %d users with a token each", p.Tokens)
	d, err := deploy(ctx, &p)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, d.drop()) }()

	report = Report{Protocol: p.Protocol, Database: "sqlite", Tokens: p.Tokens, Clients: p.Clients, Servers: p.Servers, Rate: p.Rate}
	if p.Database != "" {
		report.Database = "postgres"
	}
	var servers []*process
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for n := range p.Servers {
		s, err := d.start(ctx, &p, n)
		if err != nil {
			return report, err
		}
		servers = append(servers, s)
	}
	bare, err := d.bare(ctx, &p)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	if err := report.read(ctx, bare); err != nil {
		return report, err
	}
	if report.Before, err = baseline(ctx, &p, bare, 0); err != nil {
		return report, err
	}
	if err := load(ctx, &p, d, servers, &report); err != nil {
		return report, err
	}
	if report.After, err = baseline(ctx, &p, bare, 1<<40); err != nil {
		return report, err
	}
	report.compare()
	return report, nil
}

// load has the servers asked and fills in what came of it.
func load(ctx context.Context, p *Plan, d *deployment, servers []*process, report *Report) error {
	for _, s := range servers {
		v, err := s.vitals(ctx)
		if err != nil {
			return err
		}
		report.Server = append(report.Server, Vitals{Before: v})
	}
	connect := make([]func() (line, error), len(servers))
	for i, s := range servers {
		connect[i] = func() (line, error) { return d.line(p, s) }
	}
	p.Progress("asking over %s", p.Protocol)
	t := &traffic{Plan: p, tokens: d.tokens, connect: connect}
	before := processorTime()
	if err := t.run(ctx); err != nil {
		return err
	}
	report.Generator = (processorTime() - before).Seconds()
	t.tell(report)
	for i, s := range servers {
		v, err := s.vitals(ctx)
		if err != nil {
			return fmt.Errorf("server %d after the load: %w", i+1, err)
		}
		report.Server[i].After = v
	}
	p.Progress("waiting until the servers are at rest")
	for i, s := range servers {
		behind, err := s.rest(ctx)
		if err != nil {
			return err
		}
		report.Server[i].Behind = behind.Seconds()
	}
	return nil
}

// bare opens the table that the load is held against, beside the deployment.
func (d *deployment) bare(ctx context.Context, p *Plan) (*store.Bare, error) {
	url := d.database
	if p.Database == "" {
		url = d.folder + "/bare.db"
	}
	return store.OpenBare(ctx, store.Options{URL: url}, p.Tokens, p.Clients)
}

// read notes the settings that durability depends on.
func (r *Report) read(ctx context.Context, b *store.Bare) error {
	names := []string{"journal_mode", "synchronous"}
	if r.Database == "postgres" {
		names = []string{"server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections"}
	}
	r.Settings = map[string]string{}
	for _, name := range names {
		value, err := b.Setting(ctx, name)
		if err != nil {
			return err
		}
		r.Settings[name] = value
	}
	r.Durable = r.Settings["fsync"] != "off" && r.Settings["synchronous_commit"] != "off" && r.Settings["synchronous"] != "0"
	return nil
}

// folder makes the throw-away folder. Its path is short: the admin socket is in it.
func folder() (string, error) {
	dir, err := os.MkdirTemp("", "tsb-")
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(dir, "?#%") {
		return "", errors.Join(fault.New(fault.Invalid, "the folder for temporary files has a name that no database takes: set TMPDIR to another one"), os.RemoveAll(dir))
	}
	return dir, nil
}
