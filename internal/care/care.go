// Package care is what is done to many issued tokens: enabled and disabled, taken from their users, deleted, replaced, with
// longer lifetimes and corrected clocks (spec/software-token-lifecycle.md section 11).
//
// Each of these is a job (package job) whose items are serials; what happens to a token is in package token. [Jobs.Register]
// makes the workers known, and the methods of [Jobs] start jobs:
//
//	j, err := jobs.Extend(ctx, care.Order{Tokens: items}, token.Extension{Donors: true})
//
// A token that cannot be cared for fails alone, with a code, and stays as it was. A dry run does all of it and undoes it.
package care

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// The kinds of jobs.
const (
	Enable       = "enable"
	Disable      = "disable"
	ClearNTC     = "clear_ntc"
	Unassign     = "unassign"
	Delete       = "delete"
	Replace      = "replace"
	Extend       = "extend"
	CorrectClock = "correct_clock"
	UndoClock    = "undo_clock"
)

// Rights are what starting, cancelling and resuming a job of a kind takes.
var Rights = map[string]access.Right{
	Enable: access.CareTokens, Disable: access.CareTokens, ClearNTC: access.CareTokens,
	Unassign: access.ManageTokens, Delete: access.ManageTokens, Replace: access.ManageTokens, Extend: access.ManageTokens,
	CorrectClock: access.Operate, UndoClock: access.Operate,
}

// Store is what the jobs need of the database besides what package token asks for.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// WaitingElsewhere returns those of keys that wait in an open job of a kind which is older than one ("" for any), and no dry run.
	WaitingElsewhere(ctx context.Context, kind, than string, keys []string) ([]string, error)
}

// Jobs starts the jobs of this package, and does them.
type Jobs struct {
	Store  Store
	Tokens *token.Registry
	Jobs   *job.Registry

	promises promises
}

// Register makes the workers known.
func (c *Jobs) Register() {
	for kind, do := range map[string]func(context.Context, job.Chunk, []string) ([]token.Outcome, error){
		Enable:   each(c.Tokens.EnableAll),
		Disable:  each(c.Tokens.DisableAll),
		ClearNTC: each(c.Tokens.ClearNTCAll),
		Unassign: each(c.Tokens.UnassignAll),
		Delete:   each(c.Tokens.DeleteAll),
		Replace: with(func(ctx context.Context, some job.Chunk, serials []string, p replacing) ([]token.Outcome, error) {
			return c.Tokens.ReplaceAll(ctx, serials, p.KeepPIN, c.promised(some.Job, serials))
		}),
		Extend:       with(c.extend),
		CorrectClock: with(c.shift),
		UndoClock: with(func(ctx context.Context, _ job.Chunk, serials []string, p token.Correction) ([]token.Outcome, error) {
			return c.Tokens.Unshift(ctx, serials, p.ID)
		}),
	} {
		takes := kind == Replace || kind == Extend // records, which are promised
		c.Jobs.Register(job.Worker{Kind: kind, Right: string(Rights[kind]), Chunk: chunk, DryAlone: takes, Do: func(ctx context.Context, some job.Chunk) ([]job.Outcome, error) {
			serials, users := make([]string, len(some.Items)), map[string]string{}
			for i, item := range some.Items {
				serials[i] = item.Key
				if kind == CorrectClock { // what was learnt of a device's clock is wrong whoever has it
					continue
				}
				if err := holder(item, users); err != nil {
					return nil, err
				}
			}
			found, err := do(token.WhileHeldBy(ctx, users), some, serials)
			if err != nil {
				return nil, err
			}
			c.promise(some.Job, found)
			outcomes := make([]job.Outcome, len(found))
			for i, o := range found {
				outcomes[i] = job.Outcome{Err: o.Err, Message: o.Note}
			}
			return outcomes, nil
		}})
	}
}

// Item is the item of a token that was chosen. It is left as it is once it is somebody else's than it was then.
func Item(c token.Chosen) (job.NewItem, error) {
	if c.Seen == nil {
		return job.NewItem{Key: c.Serial}, nil
	}
	seen, err := json.Marshal(c.Seen)
	return job.NewItem{Key: c.Serial, Input: seen}, err
}

// holder notes whose token an item was, if it says so.
func holder(item job.Item, users map[string]string) error {
	if item.Input == nil {
		return nil
	}
	var seen token.Seen
	err := json.Unmarshal(item.Input, &seen)
	users[item.Key] = seen.UserID
	return err
}

// chunk is how many tokens one transaction changes.
const chunk = 500

// each is a worker that takes no parameters.
func each(do func(context.Context, []string) ([]token.Outcome, error)) func(context.Context, job.Chunk, []string) ([]token.Outcome, error) {
	return func(ctx context.Context, _ job.Chunk, serials []string) ([]token.Outcome, error) {
		return do(ctx, serials)
	}
}

// with is a worker that takes parameters.
func with[P any](do func(context.Context, job.Chunk, []string, P) ([]token.Outcome, error)) func(context.Context, job.Chunk, []string) ([]token.Outcome, error) {
	return func(ctx context.Context, c job.Chunk, serials []string) ([]token.Outcome, error) {
		var p P
		if err := json.Unmarshal(c.Parameters, &p); err != nil {
			return nil, err
		}
		return do(ctx, c, serials, p)
	}
}

// An Order asks for a job.
type Order struct {
	Name   string // unique, 1 to 128 characters; "" for the kind and the time
	DryRun bool
	Rate   int                           // tokens a second at most; 0 for no limit
	Tokens iter.Seq2[job.NewItem, error] // serials
}

func (c *Jobs) start(ctx context.Context, kind string, o Order, parameters any) (job.Job, error) {
	out := job.Order{Kind: kind, Name: o.Name, DryRun: o.DryRun, Rate: o.Rate, Items: o.Tokens}
	if parameters != nil {
		var err error
		if out.Parameters, err = json.Marshal(parameters); err != nil {
			return job.Job{}, err
		}
	}
	return c.Jobs.Start(ctx, out)
}

// Start starts a job of a kind that takes no parameters: [Enable], [Disable], [ClearNTC], [Unassign] or [Delete].
func (c *Jobs) Start(ctx context.Context, kind string, o Order) (job.Job, error) {
	return c.start(ctx, kind, o, nil)
}

// replacing are the parameters of [Replace].
type replacing struct {
	KeepPIN bool `json:"keep_pin"`
}

// Replace gives the user of each token the next available one as its replacement; the PIN comes along if keepPIN says so.
func (c *Jobs) Replace(ctx context.Context, o Order, keepPIN bool) (job.Job, error) {
	return c.start(ctx, Replace, o, replacing{keepPIN})
}

// extending are the parameters of [Extend].
type extending struct {
	Until  time.Time `json:"until,omitzero"`
	Donors bool      `json:"donors"`
}

// Extend extends the lifetime of tokens. A chosen donor is for one token only: see [Jobs.ExtendOne].
func (c *Jobs) Extend(ctx context.Context, o Order, e token.Extension) (job.Job, error) {
	if err := e.Check(c.Tokens.Now()); err != nil {
		return job.Job{}, err
	}
	return c.start(ctx, Extend, o, extending{e.Until, e.Donors})
}

func (c *Jobs) extend(ctx context.Context, some job.Chunk, serials []string, p extending) ([]token.Outcome, error) {
	mine, taken, err := c.free(ctx, some.Job.ID, serials)
	if err != nil {
		return nil, err
	}
	done, _, err := c.Tokens.Extend(ctx, mine, token.Extension{Until: p.Until, Donors: p.Donors, Except: c.promised(some.Job, serials)})
	if err != nil {
		return nil, err
	}
	for i, serial := range serials { // in their order
		if taken[serial] {
			done = append(done[:i], append([]token.Outcome{{Serial: serial, Err: inExtension(serial)}}, done[i:]...)...)
		}
	}
	return done, nil
}

// free are the serials that no older job waits to extend, and which the others are.
func (c *Jobs) free(ctx context.Context, than string, serials []string) (mine []string, taken map[string]bool, err error) {
	waiting, err := c.Store.WaitingElsewhere(ctx, Extend, than, serials)
	if err != nil || len(waiting) == 0 {
		return serials, nil, err
	}
	taken = map[string]bool{}
	for _, serial := range waiting {
		taken[serial] = true
	}
	for _, serial := range serials {
		if !taken[serial] {
			mine = append(mine, serial)
		}
	}
	return mine, taken, nil
}

func inExtension(serial string) error {
	return fault.New(fault.NotExtendable, "token %s waits in another job to be extended: let that end first, or cancel it", serial).With("reason", token.InAnotherOrder)
}

// ExtendOne extends the lifetime of one token at once.
func (c *Jobs) ExtendOne(ctx context.Context, serial string, e token.Extension) (token.Extended, error) {
	var done token.Extended
	err := c.Store.Transact(ctx, func(ctx context.Context) error {
		if _, taken, err := c.free(ctx, "", []string{serial}); err != nil || taken[serial] {
			if err == nil {
				err = inExtension(serial)
			}
			return err
		}
		outcomes, all, err := c.Tokens.Extend(ctx, []string{serial}, e)
		if err != nil {
			return err
		}
		if outcomes[0].Err != nil {
			return outcomes[0].Err
		}
		done = all[0]
		return nil
	})
	return done, err
}

// CorrectClock makes a correction and starts the job that shifts the clock offsets of tokens. A dry run makes none.
func (c *Jobs) CorrectClock(ctx context.Context, o Order, correction token.Correction) (token.Correction, job.Job, error) {
	var j job.Job
	err := c.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		if o.DryRun {
			err = correction.Check()
		} else {
			correction, err = c.Tokens.NewCorrection(ctx, correction)
		}
		if err != nil {
			return err
		}
		j, err = c.start(ctx, CorrectClock, o, correction)
		return err
	})
	return correction, j, err
}

func (c *Jobs) shift(ctx context.Context, some job.Chunk, serials []string, p token.Correction) ([]token.Outcome, error) {
	if some.Job.DryRun { // the correction is undone with what it does
		var err error
		if p, err = c.Tokens.NewCorrection(ctx, p); err != nil {
			return nil, err
		}
	}
	return c.Tokens.Shift(ctx, serials, p.ID)
}

// UndoClock starts the job that shifts back what a correction shifted and nobody shifted back. A correction that was begun to be
// undone shifts nothing more. o says nothing of tokens.
func (c *Jobs) UndoClock(ctx context.Context, o Order, id string) (token.Correction, job.Job, error) {
	var correction token.Correction
	var j job.Job
	err := c.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		if o.DryRun {
			correction, err = c.Tokens.Correction(ctx, id)
		} else {
			correction, err = c.Tokens.BeginUndo(ctx, id)
		}
		if err != nil {
			return err
		}
		o.Tokens = c.moved(ctx, id)
		j, err = c.start(ctx, UndoClock, o, correction)
		return err
	})
	return correction, j, err
}

// moved are the tokens that a correction shifted.
func (c *Jobs) moved(ctx context.Context, id string) iter.Seq2[job.NewItem, error] {
	const page = 5000
	return func(yield func(job.NewItem, error) bool) {
		for after := ""; ; {
			some, err := c.Tokens.Moved(ctx, id, after, page)
			if err != nil {
				yield(job.NewItem{}, err)
				return
			}
			for _, serial := range some {
				if !yield(job.NewItem{Key: serial}, nil) {
					return
				}
				after = serial
			}
			if len(some) < page {
				return
			}
		}
	}
}
