// Package job is work on many things that outlives a request: it goes on after a crash exactly where it was, reports on each
// thing, and several servers on one database share it (spec/software-token-lifecycle.md section 7.6).
//
// A [Job] has a kind and items. An item is named by a key, such as a serial, and may carry an input of its own. The [Worker] of the
// kind does some items at a time, a [Chunk]. One transaction claims them, does the work, writes each one's outcome with the
// result that it may have, and counts: a crash before its commit undoes all of that, so no item is lost and none is done twice.
//
// To do something as a job, give its package a worker and register it where the server is built (server/house.go):
//
//	jobs.Register(job.Worker{Kind: "disable", Right: "care_tokens", Do: disable})
//
//	func disable(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
//		// ctx carries the transaction, the actor who started the job with the scope that he had, and the job's ID as correlation ID.
//		done := make([]job.Outcome, len(c.Items))
//		for i, item := range c.Items {
//			_, err := tokens.Disable(ctx, item.Key, 0)
//			if err != nil {
//				return nil, err // this chunk is undone, and its items are done one at a time
//			}
//		}
//		return done, nil
//	}
//
// and start it:
//
//	j, err := jobs.Start(ctx, job.Order{Kind: "disable", Items: job.Keys(serials)})
//
// The items of a large job are stored by many small transactions, so that nobody waits for it, while it is [Loading]: nothing of it is done, and what is
// abandoned is removed with all of its items. Only what [Along] adds is in the last one of these, which starts it. A caller who has a transaction
// gets all of it in that one.
//
// Two ways lead to an item that fails alone. A worker that knows before it writes says so in the item's [Outcome], which is fast. One
// that learns of it from an error returns the error: the chunk is undone, the runner does its items one by one, and
// those that are refused fail with the code of their [fault.Error]. [fault.Conflict] is tried again first, and
// [fault.Unavailable] until it passes. A worker keeps nothing in memory that an undone transaction would make untrue.
//
// A dry run is the same work in a transaction that is undone, whose outcomes are kept: no worker has to do anything for it.
//
// A job is limited to the security domain that whoever started it was limited to: its worker finds nothing elsewhere, whatever became of
// the key that started it, and what has been moved out of the domain meanwhile fails with [fault.OutOfScope]. Whoever is limited to a domain
// sees the jobs of that domain and of those below.
//
// What the settings demand that a second person approves waits for that before its first item ([Worker.FourEyes], [Registry.Approve]).
//
// Parameters, inputs and results are sealed at rest, and destroyed some time after the end of the job (policy.Settings.ResultLife).
package job

import (
	"context"
	"iter"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// A State says how far a job has come.
type State string

// The states. Open are the first four.
const (
	Loading          State = "loading"           // its items are being stored; then it is started, or removed
	AwaitingApproval State = "awaiting_approval" // nothing of it is done before somebody else approves it
	Queued           State = "queued"
	Running          State = "running"
	Done             State = "done"
	DoneWithErrors   State = "done_with_errors" // every item was tried, and some failed
	Failed           State = "failed"           // no job does: what cannot be done is an item, and the others go on
	Cancelled        State = "cancelled"
)

// Over tells whether the job has ended; one that was cancelled can be resumed.
func (s State) Over() bool {
	return s != Loading && s != AwaitingApproval && s != Queued && s != Running
}

// A Job is one run over many items.
type Job struct {
	ID   string // UUIDv7; the correlation ID of its events
	Name string // unique in the deployment
	Kind string // of its worker
	// Domain is the security domain that who started it was limited to, and that the job is limited to with all below; domain.Root for
	// the whole deployment.
	Domain string
	State  State
	DryRun bool // nothing is changed but the job itself
	Rate   int  // items a second at most; 0 for as many as there can be

	Total, Done, Failed int // items: all, those that went well, those that did not

	Message    string // why the job was stopped
	About      string // what it does, for whoever is to approve it; never a secret, and "" if nobody was asked
	By         audit.Actor
	Origin     string      // of By (audit.Actor.Origin); "" if nobody knows who that was
	ApprovedBy string      // name of the actor who approved it; "" for nobody
	Parameters seed.Sealed // of all items; no blob for none, and after the results are gone

	CreatedAt    time.Time
	LoadingUntil time.Time // when it counts as abandoned; zero once it was started
	ApproveUntil time.Time // zero if nobody was asked
	StartedAt    time.Time // of the first item; zero before
	ProgressedAt time.Time // when items were last finished
	EndedAt      time.Time
	ResultsUntil time.Time // when the results are destroyed; zero while the job is open
}

// Waiting is the number of items that are still to be done.
func (j *Job) Waiting() int { return j.Total - j.Done - j.Failed }

// An ItemState says what became of an item.
type ItemState string

// The states of an item.
const (
	ItemWaiting ItemState = "waiting"
	ItemDone    ItemState = "done"
	ItemFailed  ItemState = "failed"
)

// A Row is one item as the database keeps it.
type Row struct {
	Number  int    // from 1, in the order of the job
	Key     string // what it is about: a serial, a user ID, a line of a file
	State   ItemState
	Code    fault.Code  // why it failed, or of a warning
	Message string      // in words
	Input   seed.Sealed // what it takes beyond its key; no blob for none
}

// A Result is what an item leaves to be fetched, such as a delivery. It is destroyed with the job's results, and when the
// generation of the token is whose serial is the item's key.
type Result struct {
	Number     int
	Key        string
	Generation int // of the seed; 0 if none is known
	Sealed     seed.Sealed
}

// An Item is one that a worker does.
type Item struct {
	Number int
	Key    string
	Input  []byte // nil for none
}

// A Chunk is some items of a job, claimed by the transaction of the context.
type Chunk struct {
	Job        Job
	Parameters []byte
	Items      []Item
}

// An Outcome is what became of an item.
type Outcome struct {
	Err     error      // a refusal; nil if it went well
	Code    fault.Code // of a warning, if it went well
	Message string     // what to know of it; never a secret
	Result  []byte     // a secret that is sealed and kept until the results of the job are destroyed; nil for none
	// Generation is that of the seed in Result, which is destroyed with it.
	Generation int
}

// A Worker does the items of one kind of job.
type Worker struct {
	Kind  string
	Right string // that cancelling and resuming take; the same that starting one takes
	// FourEyes says that the settings may demand that a second person approves such a job (policy.Settings.BulkApproval).
	FourEyes bool
	Chunk    int // items in one transaction; 0 for [DefaultChunk]
	// DryAlone says that a server does one chunk of a dry run at a time: what the one would take is nothing that the next can have.
	DryAlone bool
	// Forget destroys the input of an item that went well with its outcome, and not with the results of the job.
	Forget bool
	// Prepare runs before chunks, outside their transaction; it may be nil.
	Prepare func(ctx context.Context) error
	// Do does items and returns the outcome of each, in their order. An error undoes all that was done for them.
	Do func(ctx context.Context, c Chunk) ([]Outcome, error)
}

// DefaultChunk is how many items one transaction takes unless a worker says otherwise: enough to make a commit cheap, and few
// enough that others who wait for the database do not notice.
const DefaultChunk = 100

// A NewItem is an item of a job that is to be started.
type NewItem struct {
	Key   string
	Input []byte // is sealed; nil for none
}

// Keys are items that are keys and nothing else.
func Keys(keys []string) iter.Seq2[NewItem, error] {
	return func(yield func(NewItem, error) bool) {
		for _, key := range keys {
			if !yield(NewItem{Key: key}, nil) {
				return
			}
		}
	}
}
