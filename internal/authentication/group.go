package authentication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

const (
	// groupSize bounds what one transaction decides, and so how long its locks are held.
	groupSize = 256
	// tellSize is how many are told one after the other.
	tellSize = 64
	// secondGroup is how many have to wait for a second group to begin beside one that runs: while the database does its part of one,
	// this server does its part of the other. Smaller groups cost more than that brings.
	secondGroup = 64
	// stalled is how long a group may take before the next one does not wait for it any more: in the time of its commit,
	// others gather, and fewer and larger groups cost less. A commit that waits for a standby, or for a row that an administrator
	// holds, must not keep everybody waiting.
	stalled = 25 * time.Millisecond
	// patience is how long a group may take. Whoever waits is told that nothing is known.
	patience = 10 * time.Second
	// rowPatience is how long it waits for a row that somebody else keeps: longer than PostgreSQL takes to see a ring of transactions (deadlock_timeout).
	rowPatience = 2 * time.Second
	// keptPatience is that once a row was kept for so long, and those who were together are decided one after the other.
	keptPatience = 100 * time.Millisecond
)

// A job is one request that waits to be decided.
type job struct {
	ctx     context.Context // of the request: its actor and correlation ID
	until   time.Time       // when nobody waits for it any more; zero for the end of ctx
	user    string          // whom it is about, "" if its attempt tells
	name    string          // that she was named by
	mail    string          // the name as a mail address, "" if it is none
	attempt string          // "" if it begins one
	about   string          // the user, or the attempt where it tells who she is
	groups  bool            // what she is a member of matters
	only    *Restriction    // whom the agent may ask about
	key     []byte
	decide  func(*round, *job) error // fills in decision, or returns a refusal of this request alone

	admitted *bool // what Admits said

	decision Decision
	marked   bool // the token remembers the request
	err      error
	tell     func() // what to do when it is decided
}

// admits asks whether the user whom an address names may be decided about: once, however often the group is decided.
func (j *job) admits(q Request) bool {
	if j.admitted == nil {
		yes := j.user == q.UserID || j.user == nobody || q.Admits == nil || q.Admits(j.user)
		j.admitted = &yes
	}
	return *j.admitted
}

// late tells whether nobody waits for a job any more, and tells it so.
func (j *job) late() bool {
	if j.ctx.Err() == nil && (j.until.IsZero() || time.Now().Before(j.until)) {
		return false
	}
	j.err = errLate
	j.tell()
	return true
}

// A queue gathers jobs into groups. Nothing waits for a group to fill: a group is whoever came while those before were decided. No two
// groups at a time are about the same name or attempt, of which one would find that the other has changed it, and be decided again.
type queue struct {
	mu      sync.Mutex
	waiting []*job
	held    []*job          // who wait for a group that is about the same
	running int             // groups
	stalled int             // of these
	users   map[string]bool // whom, or which attempts, these groups are about
}

// add has a job decided by run, in a group with others, and told. On a database with one writer atOnce is 1; otherwise it is how many
// groups run at a time where some of them are stalled.
func (q *queue) add(j *job, atOnce int, run func([]*job)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.about = j.user; j.user == "" {
		j.about = j.attempt
	}
	q.waiting = append(q.waiting, j)
	q.start(atOnce, run)
}

// start begins as many groups as may run. The caller holds mu.
func (q *queue) start(atOnce int, run func([]*job)) {
	for group := q.next(atOnce); len(group) > 0; group = q.next(atOnce) {
		go q.work(group, atOnce, run)
	}
}

// next takes a group out of those who wait, if one may begin. The caller holds mu.
func (q *queue) next(atOnce int) []*job {
	n := len(q.waiting)
	if n == 0 || q.running >= max(1, atOnce) || q.running-q.stalled >= 2 || q.running > q.stalled && n < secondGroup {
		return nil
	}
	group := q.pick()
	if len(group) > 0 {
		q.running++
	}
	return group
}

// pick takes the next group out of those who wait.
func (q *queue) pick() (group []*job) {
	n := 0
	for _, j := range q.waiting {
		if len(group) == groupSize {
			break
		}
		if n++; q.users[j.about] {
			q.held = append(q.held, j)
		} else {
			group = append(group, j)
		}
	}
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	if q.users == nil {
		q.users = map[string]bool{}
	}
	for _, j := range group {
		q.users[j.about] = true
	}
	return group
}

// work runs a group, and then the next as long as there is one: in a goroutine of its own each would grow another stack.
func (q *queue) work(group []*job, atOnce int, run func([]*job)) {
	for len(group) > 0 {
		late := q.watched(group, atOnce, run)
		q.mu.Lock()
		if late {
			q.stalled--
		}
		q.running--
		for _, j := range group {
			delete(q.users, j.about)
		}
		if len(q.held) > 0 { // they came before the others
			q.waiting, q.held = append(q.held, q.waiting...), nil
		}
		group = q.next(atOnce)
		q.start(atOnce, run)
		q.mu.Unlock()
	}
}

// watched runs a group. If it turns out to be stalled, it is late, and the next does not wait for it.
func (q *queue) watched(group []*job, atOnce int, run func([]*job)) (late bool) {
	over := false
	timer := time.AfterFunc(stalled, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if !over {
			late = true
			q.stalled++
			q.start(atOnce, run)
		}
	})
	// Under overload most callers give up before their turn: what nobody waits for costs no time, and uses up no code.
	if some := slices.DeleteFunc(slices.Clone(group), (*job).late); len(some) > 0 {
		run(some)
	}
	timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	over = true
	return late
}

// settle decides a group of jobs in one transaction and answers them after its commit.
func (e *Engine) settle(jobs []*job) { e.settleWithin(jobs, rowPatience) }

// settleWithin is settle with a patience for rows that somebody else keeps.
func (e *Engine) settleWithin(jobs []*job, wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := e.insist(ctx, jobs, false, wait)
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)) && fault.CodeOf(err) != fault.Unavailable:
		err = errors.Join(errLate, err) // also after a shorter time, of who reads the policies for all
	case err != nil && len(jobs) > 1 && fault.CodeOf(err) != fault.Unavailable:
		// What one request meets must not hit the others, and nothing was committed. A row that was kept for so long will be, and the others wait.
		if fault.CodeOf(err) == fault.ServiceBusy {
			wait = keptPatience
		}
		for _, j := range jobs {
			if !j.late() {
				e.settleWithin([]*job{j}, wait)
			}
		}
		return
	default:
		err = undecided(err)
	}
	for _, j := range jobs {
		if err != nil {
			j.decision, j.err = Decision{}, err
		}
	}
	for some := range slices.Chunk(jobs, tellSize) {
		go tell(some)
	}
}

// insist decides, and looks again, under locks, at what somebody else changed between the look and the writing.
func (e *Engine) insist(ctx context.Context, jobs []*job, sure bool, wait time.Duration) error {
	err := e.decide(ctx, jobs, sure, wait)
	for tries := 0; errors.Is(err, errChanged) && tries < 5; tries++ {
		err = e.decide(ctx, jobs, true, wait)
	}
	return err
}

// undecided is what whoever asked is told of an error of insist.
func undecided(err error) error {
	switch {
	case errors.Is(err, errChanged):
		return errBusy
	case fault.CodeOf(err) == fault.ServiceBusy:
		return errors.Join(errHeld, err)
	}
	return err
}

// tell tells of jobs what was decided.
func tell(jobs []*job) {
	for _, j := range jobs {
		j.tell()
	}
}

// decide runs one transaction. At first it reads before the transaction, and locks nothing: what a decision rests on is
// compared when it is written, and hardly ever has somebody else changed it. With sure it reads within the transaction, under locks, and looks for
// requests that came before, too. On a database with one writer it always reads within the transaction: there is nothing else to wait for.
// A panic is a defect of one request: it undoes the transaction, and must not end the server.
func (e *Engine) decide(ctx context.Context, jobs []*job, sure bool, wait time.Duration) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// What a panic says may quote data. Its stack shows addresses and no contents.
			err = fmt.Errorf("authentication: panic of type %T at:\n%s", p, debug.Stack())
		}
	}()
	policies, err := e.policies(ctx)
	if err != nil {
		return err
	}
	wanted, locked := want(jobs, sure), sure || e.Groups <= 1
	var found Gathered
	if !locked {
		if found, err = e.Store.Gather(ctx, wanted); err != nil {
			return err
		}
	}
	ran := false
	err = e.Store.TransactSoon(ctx, wait, func(ctx context.Context) error {
		now, err := e.now()
		if err != nil {
			return err
		}
		if ran && !locked {
			return errChanged // what was found was changed in deciding
		}
		ran = true
		if locked {
			if found, err = e.Store.Gather(ctx, wanted); err != nil {
				return err
			}
		}
		r := &round{
			engine: e, ctx: ctx, now: now, policies: policies, sure: sure,
			subjects: make(map[string]*subject, len(jobs)), attempts: map[string]*Attempt{}, decided: make(map[string]Decision, len(jobs)),
			events: make([]audit.Event, 0, len(jobs)),
		}
		if err := r.load(found); err != nil {
			return err
		}
		for _, j := range jobs {
			if err := r.run(j); err != nil {
				return err
			}
		}
		return r.write()
	})
	if errors.Is(err, fault.Conflict) {
		return errChanged
	}
	return err
}

// want names all that the jobs are about.
func want(jobs []*job, sure bool) (w Wanted) {
	users, attempts := make(map[string]bool, len(jobs)), map[string]bool{}
	w.Users = make([]string, 0, len(jobs))
	for _, j := range jobs {
		w.Groups = w.Groups || j.groups
		if sure && j.key != nil {
			w.Keys = append(w.Keys, j.key)
		}
		if j.attempt != "" && !attempts[j.attempt] {
			attempts[j.attempt] = true
			w.Attempts = append(w.Attempts, j.attempt)
			w.Unsaid = w.Unsaid || j.user == ""
		}
		if j.mail != "" {
			j.user = j.name // as long as nobody is found
			w.Mails = append(w.Mails, j.mail)
			w.admit(j.only, j.mail)
		}
		if j.user != "" && !users[j.user] {
			users[j.user] = true
			w.Users = append(w.Users, j.user)
		}
	}
	return w
}

// A round is a group while it is decided.
type round struct {
	engine *Engine
	ctx    context.Context
	now    time.Time
	sure   bool // what it looks at is locked, and the requests that came before are among it

	policies *policy.Tree
	subjects map[string]*subject // by user ID
	mails    map[string][]string // user IDs by mail address; nil unless addresses were wanted
	attempts map[string]*Attempt // by ID
	decided  map[string]Decision // by key of the request

	changed []*tokenState
	retired []*tokenState // that others take over from
	out     Settlement
	events  []audit.Event
}

// load takes over what was found.
func (r *round) load(found Gathered) error {
	for i := range found.Attempts {
		a := &found.Attempts[i]
		if err := a.open(r.ctx, r.engine.Keys); err != nil {
			return err
		}
		a.ended = !r.now.Before(a.ExpiresAt)
		r.attempts[a.ID] = a
	}
	for _, s := range found.Subjects {
		r.subjects[s.UserID] = newSubject(s, r.policies.Of(s.Domain))
		r.addressed(s)
	}
	return r.recall(found.Decided)
}

// run decides one job, unless its request was decided before. An error is one of the whole group.
func (r *round) run(j *job) error {
	j.decision, j.marked, j.err = Decision{}, false, nil
	r.identify(j)
	if d, again := r.before(j); again {
		j.decision = d
		return nil
	}
	if err := j.decide(r, j); err != nil {
		if !refused(err) {
			return err
		}
		if j.key != nil && !r.sure {
			return errChanged // perhaps since the same request was decided before
		}
		j.err = err
	}
	return r.remember(j)
}

// refused tells a refusal from what the database does not allow at this moment.
func refused(err error) bool {
	code := fault.CodeOf(err)
	return code != "" && code != fault.Unavailable && code != fault.ServiceBusy
}

// write stores everything that the round decided, in an order that all servers keep, so that they do not wait for each other in a ring:
// attempts, guards, tokens with their generations, and generations of tokens that have not changed otherwise.
func (r *round) write() error {
	for _, s := range r.subjects {
		if s.guardChanged {
			r.out.Guards = append(r.out.Guards, s.Guard)
		}
	}
	for _, a := range r.attempts {
		switch {
		case a.ended && a.Before > 0:
			r.out.Ended = append(r.out.Ended, *a)
		case !a.ended && a.Turn != a.Before:
			if err := a.seal(r.engine.Keys); err != nil {
				return err
			}
			r.out.Attempts = append(r.out.Attempts, *a)
		}
	}
	r.out.sort()
	if err := r.engine.Store.Settle(r.ctx, r.out); err != nil {
		return err
	}
	slices.SortFunc(r.changed, func(a, b *tokenState) int { return cmp.Compare(a.token.Serial, b.token.Serial) })
	if err := r.hold(); err != nil {
		return err
	}
	for _, original := range r.retired {
		if err := r.retire(original); refused(err) {
			return errChanged // somebody changed it, or removed it
		} else if err != nil {
			return err
		}
	}
	for _, t := range r.retired {
		r.engine.chains.drop(t.token.Serial)
	}
	for _, t := range r.changed {
		if t.ends() {
			r.engine.chains.drop(t.token.Serial)
		}
		if err := r.engine.Store.SaveToken(r.ctx, *t.token); err != nil {
			return err
		}
		t.saved()
	}
	used := Settlement{Uses: make([]Use, 0, len(r.subjects))}
	for _, s := range r.subjects {
		for _, t := range s.tokens {
			used.Uses = t.appendUses(used.Uses)
		}
	}
	used.sort()
	if err := r.engine.Store.Settle(r.ctx, used); err != nil {
		return err
	}
	return r.engine.Store.RecordAll(r.ctx, r.events)
}

// hold locks all tokens that are written, in one order, unless nothing but uses of seeds is written. Uses are written last, in that order too: without these locks two servers could
// wait for each other in a ring. Of tokens whose seeds end it also finds out whether they are as they were read: a code that was accepted meanwhile would be forgotten with its seed.
func (r *round) hold() error {
	end := map[string]*tokenState{}
	var serials []string
	for _, t := range r.changed {
		if serials = append(serials, t.token.Serial); t.ends() {
			end[t.token.Serial] = t
		}
	}
	for _, t := range r.retired {
		serials, end[t.token.Serial] = append(serials, t.token.Serial), t
	}
	if len(serials) == 0 {
		return nil
	}
	for _, u := range r.subjects {
		for _, t := range u.tokens {
			if !t.changed && len(t.appendUses(nil)) > 0 {
				serials = append(serials, t.token.Serial)
			}
		}
	}
	if len(end) == 0 && len(serials) == 1 {
		return nil
	}
	held, err := r.engine.Store.LockTokens(r.ctx, serials)
	if err != nil {
		return err
	}
	for i := range held {
		now := &held[i]
		if t := end[now.Serial]; t != nil && now.Version == t.token.Version && newTokenState(now, t.policy).before == t.before {
			delete(end, now.Serial)
		}
	}
	if len(end) > 0 {
		return errChanged
	}
	return nil
}

// record adds the event of one job, by its actor.
func (r *round) record(j *job, action, object, failed string, details audit.Details) {
	e := audit.New(j.ctx, r.now, action, object, details)
	if failed != "" {
		e = e.Failed(failed)
	}
	r.events = append(r.events, e)
}
