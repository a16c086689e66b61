// Package authentication decides whether a passcode is right, now, once.
//
// An agent begins with [Engine.Begin]; where a passcode is right and not enough, the [Decision] names an attempt and
// what to ask the user for, and [Engine.Continue] goes on with it
// (spec/software-token-lifecycle.md section 10; dialogue.go has the words).
//
// Requests that come at the same time are decided together (group.go): the guards and tokens of their users are read,
// what becomes of each is decided in memory, and one transaction writes every outcome with its event if nothing that it
// rests on has changed meanwhile; else it is all done again under locks. The answers leave after the commit. So a
// tokencode succeeds at most once, whatever the number of servers and parallel requests, and the price of a durable
// commit is shared.
//
// The order of checks is in check.go, the search in window.go, what follows a right passcode in next.go and newpin.go,
// failures and locks in guard.go, what stands in for a token in lost.go, fixed.go and ondemand.go.
//
// Whoever asks is told the Decision and nothing else. Why a passcode was denied is in the audit record.
package authentication

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/throttle"
	"github.com/tallystick/tallystick/internal/token"
)

// A Result is the public answer.
type Result string

// The results. NextTokencode and NewPIN say that the passcode was right and that an answer decides; Waiting, that an
// attempt was opened without one, or goes on after a wrong one.
const (
	Accepted      Result = "accepted"
	Denied        Result = "denied"
	NextTokencode Result = "next_tokencode"
	NewPIN        Result = "new_pin"
	Waiting       Result = "waiting"
)

// A Keyring opens seeds, seals attempts and makes keyed hashes: a seed.Keyring.
type Keyring interface {
	OpenSeed(ctx context.Context, s seed.Sealed, serial string, generation int) (seed.Seed, error)
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
	MAC(purpose string, parts ...[]byte) []byte
}

// An Engine decides passcodes. Its fields are set before its first use; it is safe for concurrent use.
type Engine struct {
	Store    Store
	Keys     Keyring
	Policies Policies // nil for policy.Default
	// Groups is how many transactions may decide at the same time where one of them is stalled; 0 is 1, for a database with one writer.
	Groups int
	Now    func() time.Time
	// Courier sends codes on demand; nil sends none.
	Courier Courier
	// Trust, if set, tells whether the clock can be relied on: an error refuses every decision.
	Trust func(now time.Time) error
	// Decided, if set, is told every decision, for counting.
	Decided func(Result, error)

	chains chains
	queue  queue
	teller teller
	decoy  decoy
}

// Begin decides a passcode. An error means that it could not be decided, and that it must not count as accepted:
// [fault.Unavailable] if the database cannot say so now.
func (e *Engine) Begin(ctx context.Context, q Request) (Decision, error) {
	return e.ask(ctx, q.job())
}

// Continue goes on with an attempt. [fault.AttemptNotFound] if there is none of that name, if it is over, or if another
// agent or about another user began it; [fault.OutOfSequence] if the answer is to another turn; [fault.StepNotRequested] if
// it is to another step. None of these counts as a failure.
func (e *Engine) Continue(ctx context.Context, a Answer) (Decision, error) {
	return e.ask(ctx, a.job())
}

// Submit is [Engine.Begin] for those who do not wait: then is called with the decision, and must not take long, since others wait for
// theirs. What has waited for longer than within is not decided any more: [fault.Unavailable].
func (e *Engine) Submit(ctx context.Context, within time.Duration, q Request, then func(Decision, error)) {
	e.submit(ctx, within, q.job(), then)
}

// SubmitAnswer is [Engine.Continue] for those who do not wait, as [Engine.Submit].
func (e *Engine) SubmitAnswer(ctx context.Context, within time.Duration, a Answer, then func(Decision, error)) {
	e.submit(ctx, within, a.job(), then)
}

func (q Request) job() *job {
	q.Life, q.UserID, q.Source = life(q.Life), storable(q.UserID), q.Source.storable()
	return &job{user: q.UserID, name: q.UserID, mail: q.mail(), groups: q.Source.Only.byGroup(), only: q.Source.Only, key: q.Key, decide: func(r *round, j *job) error { return r.begin(j, q) }}
}

func (a Answer) job() *job {
	a.UserID, a.Source = storable(a.UserID), a.Source.storable()
	return &job{attempt: a.Attempt, user: a.UserID, groups: a.Source.Only.byGroup(), key: a.Key, decide: func(r *round, j *job) error { return r.answer(j, a) }}
}

// Cancel ends an attempt: the old PIN stays, the tokencode stays used. Errors as for Continue. A request of the same key has cancelled it
// again, without any further effect.
func (e *Engine) Cancel(ctx context.Context, attempt string, s Source, key []byte) error {
	_, err := e.ask(ctx, &job{attempt: attempt, key: key, decide: func(r *round, j *job) error { return r.cancel(j, s, attempt) }})
	return err
}

// Check decides a passcode for an agent that asks once, and says nothing of a dialogue.
func (e *Engine) Check(ctx context.Context, userID, passcode string) (Result, error) {
	d, err := e.Begin(ctx, Request{UserID: userID, Passcode: passcode, Source: Source{Agent: audit.ActorFrom(ctx).Name}, Dialogue: true})
	return d.Result, err
}

// storable is text as the database can keep it. Nobody has a user ID that it would have to change.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func (s Source) storable() Source {
	s.Agent, s.Caller, s.Station = storable(s.Agent), storable(s.Caller), storable(s.Station)
	return s
}

func life(d time.Duration) time.Duration {
	if d <= 0 {
		return DefaultLife
	}
	return min(d, MaxLife)
}

// denialTime is when a denial is told at the earliest. Each kind of denial is some other work, of half a millisecond at
// most while the server is not overloaded: whoever measures sees this time instead, whatever the reason. It is longer
// than that work, and short enough that agents which ask one after the other do not notice.
const denialTime = 3 * time.Millisecond

// ask has a job decided with others, and waits for it, or for the end of ctx: then nothing is known of it.
func (e *Engine) ask(ctx context.Context, j *job) (d Decision, err error) {
	done := make(chan struct{})
	e.enqueue(ctx, j, func() { close(done) })
	select {
	case <-done:
		d, err = j.decision, j.err
	case <-ctx.Done():
		err = errors.Join(errLate, ctx.Err())
	}
	if e.Decided != nil {
		e.Decided(d.Result, err)
	}
	return d, err
}

var errLate = fault.New(fault.Unavailable, "the passcode was not decided in time: try again with another one")

// submit has a job decided with others.
func (e *Engine) submit(ctx context.Context, within time.Duration, j *job, then func(Decision, error)) {
	j.until = time.Now().Add(within)
	e.enqueue(ctx, j, func() {
		if e.Decided != nil {
			e.Decided(j.decision.Result, j.err)
		}
		then(j.decision, j.err)
	})
}

// enqueue has a job decided, and told when the time has come for it.
func (e *Engine) enqueue(ctx context.Context, j *job, told func()) {
	begin := time.Now() // not e.Now: a length of time, which no clock that is set changes
	j.ctx = ctx
	j.tell = func() {
		if d := j.decision; j.err == nil && (d.Result == Denied || d.Result == Waiting) {
			e.teller.at(begin.Add(denialTime), told)
		} else {
			told()
		}
	}
	e.queue.add(j, e.Groups, e.settle)
}

// now is the time of a decision, or why there is none that can be relied on.
func (e *Engine) now() (time.Time, error) {
	now := e.Now().UTC()
	if e.Trust != nil {
		if err := e.Trust(now); err != nil {
			return now, err
		}
	}
	return now, nil
}

var byDefault = policy.Alone(policy.Default())

// policies are those that hold now.
func (e *Engine) policies(ctx context.Context) (*policy.Tree, error) {
	if e.Policies == nil {
		return byDefault, nil
	}
	return e.Policies.Current(ctx)
}

// policyOf is the one of all token policies that holds for the user of a token.
func (e *Engine) policyOf(ctx context.Context, all *policy.Tree, t *token.Token) (policy.Token, error) {
	domains, err := e.Store.UserDomains(ctx, []string{t.UserID})
	return all.Of(domains[t.UserID]).Token, err
}

// SourceMark is the short keyed hash that a source of a user is remembered by in [Guard.Sources]: the database does not tell where
// she was.
func SourceMark(keys Keyring, userID string, s Source) []byte {
	return keys.MAC("source", []byte(userID), []byte(s.Agent), []byte(place(s.Station)))[:sourceMark]
}

// place is what a station is known by: where it is an address of IPv6, the /64 that a host takes another one from each day (RFC 8981).
func place(station string) string {
	a, err := netip.ParseAddr(station)
	if err != nil || a.Unmap().Is4() {
		return station
	}
	return throttle.Network(a.WithZone("")).String()
}

// DropExpired removes attempts and kept decisions that nobody can ask for any more.
func (e *Engine) DropExpired(ctx context.Context) error {
	return e.Store.DropAttempts(ctx, e.Now().UTC())
}

// errChanged: a token is not what the passcodes were compared with any more.
var errChanged = errors.New("authentication: a token changed meanwhile")

// errHeld is met where another server froze in the middle of a change, for up to half a minute.
var errHeld = fault.New(fault.Unavailable, "another server keeps the records of this user: try again")

var errBusy = fault.New(fault.Unavailable, "the tokens keep changing: try again")

// Untouched tells whether an error of the engine says that nothing was decided and no failure counted: its clock cannot be relied on, or others
// keep or change the same records. After any other [fault.Unavailable] the decision may have been committed.
func Untouched(err error) bool {
	var refusal *fault.Error
	return errors.Is(err, errHeld) || errors.Is(err, errBusy) ||
		errors.As(err, &refusal) && refusal.Code == fault.Unavailable && refusal.Details["because"] != nil
}

// A decoy is a chain of codes that nobody's passcode is compared with, so that the time of an answer does not
// tell who exists.
type decoy struct {
	once  sync.Once
	chain *chain
}
