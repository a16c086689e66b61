package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/internal/bench"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) benchCommand() *cobra.Command {
	plan := bench.Plan{Now: time.Now}
	var protocol, mix, plot string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how many passcodes a second this machine decides",
		Long: `Measure how many passcodes a second this machine decides, and how long each answer takes.

It makes a throw-away deployment of users who have tokens and have signed in before, starts a server on it as a process of its
own, and asks it. PostgreSQL is vacuumed first, as it is from time to time where it is in use. Before and after, it measures how
many single rows a second the same database changes by itself, each in a durable transaction of its own. What is printed last is
the comparison, and whether any code was accepted twice: none must be.

The embedded database is measured in the folder for temporary files (TMPDIR): put it on the disk that matters. A PostgreSQL
database must be empty; it is empty again afterwards. It has to allow some more connections than there are clients.

With --servers 2, two servers share a PostgreSQL database, and every passcode is sent to both at the same time.`,
		Args: cli.Exactly(0),
	}
	f := cmd.Flags()
	f.StringVar(&protocol, "protocol", "radius", "`protocol` to ask by: radius or rest (the SecurID Authentication API)")
	f.Func("database", "`URL` of an empty PostgreSQL database instead of the embedded one; a password comes from PGPASSWORD or ~/.pgpass (TALLYSTICK_BENCH_DATABASE)", cli.NotEmpty(&plan.Database))
	f.IntVar(&plan.Tokens, "tokens", 10_000, "how many users there are, with a token each")
	f.IntVar(&plan.Clients, "clients", 32, "how many requests are under way at once at most")
	f.IntVar(&plan.Servers, "servers", 1, "1, or 2 that share a PostgreSQL database")
	fineLifeFlag(f, &plan.Duration, "duration", 10*time.Second, "how long to ask")
	fineLifeFlag(f, &plan.Warmup, "warmup", 2*time.Second, "how long to ask before that: what is answered then is checked and not measured")
	f.Int64Var(&plan.Requests, "requests", 0, "stop after so many exchanges instead, without a warm-up")
	f.Float64Var(&plan.Rate, "rate", 0, "exchanges that begin in a second, whether or not the server keeps up (default as many as it answers)")
	f.StringVar(&mix, "mix", bench.Usual.String(), "how many of a hundred are good, wrong, replayed, or need the next tokencode")
	fineLifeFlag(f, &plan.Baseline, "baseline", 3*time.Second, "how long the bare database is measured, before and after; 0 for not at all")
	f.StringVar(&plot, "plot", "", "`file` for a picture of throughput and latency over time (SVG)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		plan.Protocol = bench.Protocol(protocol)
		if plan.Mix, err = bench.ParseMix(mix); err != nil {
			return err
		}
		if plan.Database, err = databaseURL(plan.Database, "TALLYSTICK_BENCH_DATABASE"); err != nil {
			return err
		}
		debug.SetGCPercent(garbagePercent) // the generator is on the machine that is measured
		if plan.Program, err = os.Executable(); err != nil {
			return err
		}
		plan.Progress = func(format string, args ...any) { p.Note(fmt.Sprintf(format, args...)) }
		draw, drop := func(*bench.Report) error { return nil }, func() {}
		if plot != "" {
			if draw, drop, err = openPlot(plot); err != nil {
				return err
			}
		}
		report, err := bench.Run(cmd.Context(), plan)
		if err != nil {
			drop()
			return err
		}
		if p.JSON {
			err = p.PrintJSON(report)
		} else {
			err = report.Print(p.Out)
		}
		err = errors.Join(err, draw(&report))
		if err == nil && !report.Good() {
			return cli.Status(cli.Failed)
		}
		return err
	}
	return cmd
}

// openPlot opens the file of a plot, before there is a measurement to be lost. What is in it stays until there is another plot to draw, and a file
// that was made for one that there never is goes by drop.
func openPlot(name string) (draw func(*bench.Report) error, drop func(), err error) {
	_, missing := os.Stat(name)
	if _, err := linked(name); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666) //nolint:gosec // a picture is for everybody whom the umask lets read it
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "the plot cannot be written: %v", err)
	}
	draw = func(report *bench.Report) error {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			if err := f.Truncate(0); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		return errors.Join(report.Plot(f), f.Close())
	}
	drop = func() {
		_ = f.Close() // nothing was written
		if missing != nil {
			_ = os.Remove(name)
		}
	}
	return draw, drop, nil
}
