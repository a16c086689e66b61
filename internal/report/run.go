package report

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/mail"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A RunState says how far a run has come.
type RunState string

// The states.
const (
	RunQueued  RunState = "queued"
	RunRunning RunState = "running"
	RunDone    RunState = "done"
	RunFailed  RunState = "failed"
)

// A RunOrder is a report that is to be made and kept.
type RunOrder struct {
	Wish
	Format   Format
	KeepDays int      // 1 to [MaxKeepDays]; 0 for [KeepDays]
	MailTo   []string // addresses that it is mailed to, up to [MaxMailTo]
	Webhook  string   // name of the webhook that it is posted to; "" for none
}

// MaxMailTo is how many addresses one report is mailed to.
const MaxMailTo = 20

// How long what was made is kept, in days.
const (
	KeepDays    = 30
	MaxKeepDays = 3650
)

// A Run is a report that is made beside requests, by one server at a time, and kept.
type Run struct {
	ID       string // UUIDv7
	Schedule string // name of the schedule that it is of; "" for none
	Order    RunOrder
	State    RunState
	Rows     int
	Size     int64       // bytes
	Digest   string      // SHA-256 of what was made, in hex; "" until then
	Message  string      // why it failed
	By       audit.Actor // with whose rights it is made
	Domain   string      // security domain that it is about, with all below; domain.Root for the whole deployment
	Tries    int
	Claim    string // of the server that makes it
	MadeAt   time.Time
	Started  time.Time // by the server that made it last
	Ended    time.Time
	Until    time.Time // when it is destroyed; zero while it is open
}

// FileName is what a file with the report is called.
func (r Run) FileName() string {
	return r.Order.Report + "-" + r.MadeAt.UTC().Format(time.DateOnly) + "." + string(r.Order.Format)
}

// A RunFilter selects runs; its zero value selects all.
type RunFilter struct {
	Report   string
	Schedule string
	Before   string // only runs before the one with this ID: the next page
	Limit    int    // at most so many; 0 for all
}

// RunStore is what runs need of the database.
type RunStore interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// AddRun stores a new run; [fault.DomainNotFound] if its security domain was deleted meanwhile.
	AddRun(ctx context.Context, r Run) error
	// Run returns a run of the scope of ctx by ID; [fault.NotFound], [fault.OutOfScope].
	Run(ctx context.Context, id string) (Run, error)
	// ListRuns lists the runs of the scope of ctx, the newest first.
	ListRuns(ctx context.Context, f RunFilter) ([]Run, error)
	// ClaimRun takes the oldest run that nobody makes: it is queued, or the lease of whoever made it ended before now, or ends after late. What was
	// made of it is gone. [fault.NotFound] if there is none.
	ClaimRun(ctx context.Context, claim string, now, late, lease time.Time) (Run, error)
	// HoldRun lengthens the lease; [fault.Conflict] if the claim is not the run's any more.
	HoldRun(ctx context.Context, r Run, lease time.Time) error
	// AddRunPart keeps a part of what was made; [fault.Conflict] as for HoldRun.
	AddRunPart(ctx context.Context, r Run, number int, data []byte) error
	// FinishRun stores the outcome, or with state queued gives the run up; [fault.Conflict] as for HoldRun.
	FinishRun(ctx context.Context, r Run) error
	// RunPart returns a part; [fault.NotFound] after the last one.
	RunPart(ctx context.Context, id string, number int) ([]byte, error)
	// DeleteRun removes a run of the scope of ctx with what was made; [fault.NotFound], [fault.OutOfScope].
	DeleteRun(ctx context.Context, id string) error

	// AddSchedule stores a new schedule; [fault.Conflict] if the name is taken, [fault.DomainNotFound] as for AddRun.
	AddSchedule(ctx context.Context, s Schedule) error
	// Schedules lists the schedules of the scope of ctx by name.
	Schedules(ctx context.Context) ([]Schedule, error)
	// MoveSchedule stores when a schedule is due next and its newest run; [fault.Conflict] if it is not due at was any more.
	MoveSchedule(ctx context.Context, s Schedule, was time.Time) error
	// DeleteSchedule removes a schedule of the scope of ctx; [fault.NotFound], [fault.OutOfScope].
	DeleteSchedule(ctx context.Context, name string) error
}

// orderable checks an order, completes it, and refuses one that the caller may not have.
func (r *Registry) orderable(ctx context.Context, o *RunOrder) error {
	p, err := r.Plan(ctx, o.Wish)
	if err != nil {
		return err
	}
	if err := p.Template.Refuse(ctx); err != nil {
		return err
	}
	o.KeepDays = cmp.Or(o.KeepDays, KeepDays)
	if o.KeepDays < 1 || o.KeepDays > MaxKeepDays {
		return fault.New(fault.Invalid, "a report is kept 1 to %d days", MaxKeepDays)
	}
	if o.Format != CSV && o.Format != JSON && o.Format != PDF {
		return fault.New(fault.Invalid, "a report is written as csv, json or pdf, not as %q", o.Format)
	}
	if len(o.MailTo) > MaxMailTo {
		return fault.New(fault.Invalid, "a report is mailed to %d addresses at most: take one that leads to many", MaxMailTo)
	}
	for _, to := range o.MailTo {
		if a, err := mail.ParseAddress(to); err != nil || a.Address != to || len(to) > 254 {
			return fault.New(fault.Invalid, "a mail address looks like name@example.com")
		}
	}
	if o.Webhook != "" {
		if scope := domain.ScopeFrom(ctx); scope.Limited() {
			return fault.New(fault.OutOfScope, "webhooks are about the whole deployment, and your API key is limited to the security domain %s: have the report mailed", scope.Top())
		}
		return r.Posts(ctx, o.Webhook)
	}
	return nil
}

func (o RunOrder) run(by audit.Actor, at string, now time.Time) Run {
	return Run{ID: uuid.Must(uuid.NewV7()).String(), Order: o, State: RunQueued, By: by, Domain: at, MadeAt: now.UTC()}
}

// domainOf is the domain that who acts in ctx is limited to.
func domainOf(ctx context.Context) string {
	if scope := domain.ScopeFrom(ctx); scope.Limited() {
		return scope.Top()
	}
	return domain.Root
}

func (o RunOrder) details() audit.Details {
	d := audit.Details{"report": o.Report, "format": o.Format, "filters": o.Filters, "columns": o.Columns}
	if len(o.MailTo) > 0 {
		d["mail_to"] = o.MailTo
	}
	if o.Webhook != "" {
		d["webhook"] = o.Webhook
	}
	return d
}

// Start has a report made beside requests, of what is in the scope of ctx.
func (r *Registry) Start(ctx context.Context, o RunOrder) (Run, error) {
	if err := r.orderable(ctx, &o); err != nil {
		return Run{}, err
	}
	run := o.run(audit.ActorFrom(ctx), domainOf(ctx), r.Now())
	err := r.Runs.Transact(ctx, func(ctx context.Context) error {
		if err := r.Runs.AddRun(ctx, run); err != nil {
			return err
		}
		return r.Runs.Record(ctx, audit.New(ctx, r.Now(), "report.start", "report_run:"+run.ID, o.details()))
	})
	return run, err
}

// DeleteRun destroys a run with what was made; [fault.NotFound].
func (r *Registry) DeleteRun(ctx context.Context, id string) error {
	return r.Runs.Transact(ctx, func(ctx context.Context) error {
		if err := r.Runs.DeleteRun(ctx, id); err != nil {
			return err
		}
		return r.Runs.Record(ctx, audit.New(ctx, r.Now(), "report.delete", "report_run:"+id, nil))
	})
}

const (
	partSize  = 256 << 10        // bytes of what is made are written at a time
	leaseFor  = 90 * time.Second // a server that makes a run and is silent for so long has died
	holdEvery = 20 * time.Second // so often it says that it lives
	mostTries = 5                // servers that may die of a run
)

// Work makes the runs that wait, one after the other, until none is left or ctx ends.
func (r *Registry) Work(ctx context.Context) error {
	for ctx.Err() == nil {
		now := r.Now()
		run, err := r.Runs.ClaimRun(ctx, rand.Text(), now, clock.Late(now, leaseFor, r.Reliable), now.Add(leaseFor))
		if fault.CodeOf(err) == fault.NotFound {
			return nil
		}
		if err == nil {
			err = r.make(ctx, run)
		}
		if err != nil && fault.CodeOf(err) != fault.Conflict { // somebody deleted it, or took it for abandoned
			return err
		}
	}
	return nil
}

// make makes a run that is claimed. An outage of the database is nobody's fault: whoever claims the run next begins anew.
func (r *Registry) make(ctx context.Context, run Run) error {
	if run.Tries > mostTries {
		return r.finish(ctx, run, errors.New("it was begun too often"))
	}
	held, stop := r.hold(ctx, run)
	out := &parts{ctx: held, registry: r, run: run, digest: sha256.New()}
	scope, err := r.Domains.Scope(held, run.Domain)
	about := domain.WithScope(held, scope)
	var p *Plan
	if err == nil {
		p, err = r.Plan(about, run.Order.Wish)
	}
	if err == nil {
		run.Rows, err = p.Write(about, run.Order.Format, out)
	}
	if err == nil {
		err = out.flush()
	}
	run.Size, run.Digest = out.size, hex.EncodeToString(out.digest.Sum(nil))
	if lost := stop(); lost != nil && ctx.Err() == nil {
		return lost
	}
	switch code := fault.CodeOf(err); {
	case ctx.Err() != nil: // the server stops: another one, or this one after its start, makes it
		run.State = RunQueued
		last, cancel := clock.Ending(ctx) // where the database hangs, the end of its lease gives it back
		defer cancel()
		return errors.Join(ctx.Err(), r.Runs.FinishRun(last, run))
	case code == fault.Conflict || code == fault.Unavailable:
		return err
	}
	return r.finish(ctx, run, err)
}

// hold keeps the claim on a run until stop, or until somebody else has it: then the context ends, and stop says why.
func (r *Registry) hold(ctx context.Context, run Run) (held context.Context, stop func() error) {
	held, end := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		tick := time.NewTicker(holdEvery)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-tick.C:
				if err := r.Runs.HoldRun(held, run, r.Now().Add(leaseFor)); fault.CodeOf(err) == fault.Conflict {
					end(err)
				}
			}
		}
	})
	return held, func() error {
		err := context.Cause(held)
		end(nil)
		beside.Wait()
		return err
	}
}

// finish stores the outcome.
func (r *Registry) finish(ctx context.Context, run Run, why error) error {
	run.State, run.Ended = RunDone, r.Now().UTC()
	run.Until = run.Ended.AddDate(0, 0, run.Order.KeepDays)
	details := run.Order.details()
	details["rows"], details["bytes"] = run.Rows, run.Size
	if run.Schedule != "" {
		details["schedule"] = run.Schedule
	}
	e := audit.New(audit.WithActor(ctx, run.By), run.Ended, "report.done", "report_run:"+run.ID, details)
	var told *fault.Error
	switch {
	case errors.As(why, &told):
		run.State, run.Message = RunFailed, told.Message
		e = e.Failed(string(told.Code))
	case why != nil:
		run.State, run.Message = RunFailed, "something broke: the server's log says what"
		e = e.Failed("INTERNAL")
	}
	err := r.Runs.Transact(ctx, func(ctx context.Context) error {
		if err := r.Runs.FinishRun(ctx, run); err != nil {
			return err
		}
		if r.Ended != nil {
			if err := r.Ended(ctx, run); err != nil {
				return err
			}
		}
		return r.Runs.Record(ctx, e)
	})
	if told == nil && why != nil {
		err = errors.Join(why, err) // for the log
	}
	return err
}

// parts writes what is made into the database, part by part.
type parts struct {
	ctx      context.Context
	registry *Registry
	run      Run
	buffer   []byte
	number   int
	size     int64
	digest   hash.Hash
}

func (p *parts) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		room := min(partSize-len(p.buffer), len(b))
		p.buffer, b = append(p.buffer, b[:room]...), b[room:]
		if len(p.buffer) == partSize {
			if err := p.flush(); err != nil {
				return n - len(b), err
			}
		}
	}
	return n, nil
}

func (p *parts) flush() error {
	if len(p.buffer) == 0 {
		return nil
	}
	if err := p.registry.Runs.AddRunPart(p.ctx, p.run, p.number, p.buffer); err != nil {
		return err
	}
	p.number++
	p.size += int64(len(p.buffer))
	p.digest.Write(p.buffer)
	p.buffer = p.buffer[:0]
	return nil
}

// Content writes what a run that is done has made.
func (r *Registry) Content(ctx context.Context, run Run, w io.Writer) error {
	written := int64(0)
	for number := 0; written < run.Size; number++ {
		data, err := r.Runs.RunPart(ctx, run.ID, number)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		written += int64(len(data))
	}
	return nil
}
