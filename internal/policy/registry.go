package policy

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Policies returns all policies; what was never saved is the default. It locks nothing, in a
	// transaction neither: authentications read them.
	Policies(ctx context.Context) (Set, error)
	// SaveTokenPolicy stores a token policy whose Version is still t.Version, and counts it up; else [fault.Conflict].
	SaveTokenPolicy(ctx context.Context, t Token) error
	// SaveLockoutPolicy stores a lockout policy whose Version is still l.Version, and counts it up; else [fault.Conflict].
	SaveLockoutPolicy(ctx context.Context, l Lockout) error
	// SaveSettings stores settings whose Version is still s.Version, and counts it up; else [fault.Conflict].
	SaveSettings(ctx context.Context, s Settings) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Registry keeps the deployment's policies. It is safe for concurrent use.
type Registry struct {
	Store Store
	Now   func() time.Time

	refreshing sync.Mutex
	last       atomic.Pointer[look]
}

// A look is what the policies were when they were last read.
type look struct {
	set Set
	at  time.Time // before they were read
}

// lookFor is how old a look may be: so long may a server go by a policy after another server has changed it.
const lookFor = time.Second

// Get reads the policies.
func (r *Registry) Get(ctx context.Context) (Set, error) { return r.Store.Policies(ctx) }

// Current returns the policies as they were at most a second ago, nearly always without asking the database. The
// caller must not change what is in them.
func (r *Registry) Current(ctx context.Context) (Set, error) {
	if l := r.last.Load(); r.fresh(l) {
		return l.set, nil
	}
	r.refreshing.Lock() // one asks, the others take what it got
	defer r.refreshing.Unlock()
	if l := r.last.Load(); r.fresh(l) {
		return l.set, nil
	}
	l := &look{at: r.Now()}
	var err error
	if l.set, err = r.Store.Policies(ctx); err != nil {
		return Set{}, err
	}
	r.last.Store(l)
	return l.set, nil
}

func (r *Registry) fresh(l *look) bool {
	if l == nil {
		return false
	}
	age := r.Now().Sub(l.at)
	return age >= 0 && age < lookFor // a clock that went back says nothing
}

// EditToken runs change on the token policy and saves it, in one transaction. If version is not 0, the policy must
// still be at it: else [fault.Conflict].
func (r *Registry) EditToken(ctx context.Context, version int, change func(*Token)) (Token, error) {
	s, err := r.edit(ctx, editing{
		kind: "token", from: version,
		version: func(s *Set) *int { return &s.Token.Version },
		change:  func(s *Set) { change(&s.Token) },
		save:    func(ctx context.Context, s Set) error { return r.Store.SaveTokenPolicy(ctx, s.Token) },
	})
	return s.Token, err
}

// EditLockout does the same with the lockout policy.
func (r *Registry) EditLockout(ctx context.Context, version int, change func(*Lockout)) (Lockout, error) {
	s, err := r.edit(ctx, editing{
		kind: "lockout", from: version,
		version: func(s *Set) *int { return &s.Lockout.Version },
		change:  func(s *Set) { change(&s.Lockout) },
		save:    func(ctx context.Context, s Set) error { return r.Store.SaveLockoutPolicy(ctx, s.Lockout) },
	})
	return s.Lockout, err
}

// EditSettings does the same with the deployment's settings.
func (r *Registry) EditSettings(ctx context.Context, version int, change func(*Settings)) (Settings, error) {
	s, err := r.edit(ctx, editing{
		kind: "settings", from: version,
		version: func(s *Set) *int { return &s.Settings.Version },
		change:  func(s *Set) { change(&s.Settings) },
		save:    func(ctx context.Context, s Set) error { return r.Store.SaveSettings(ctx, s.Settings) },
	})
	return s.Settings, err
}

// An editing is a change of the policy of one kind.
type editing struct {
	kind    string
	from    int             // the version that it is meant for; 0 for any
	version func(*Set) *int // of that policy
	change  func(*Set)
	save    func(context.Context, Set) error
}

func (r *Registry) edit(ctx context.Context, e editing) (Set, error) {
	var after Set
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.Policies(ctx)
		if err != nil {
			return err
		}
		at := *e.version(&before)
		if e.from != 0 && e.from != at {
			return Stale(e.kind)
		}
		after = before
		e.change(&after)
		*e.version(&after) = at
		if err := after.Validate(); err != nil {
			return err
		}
		was, is := differences(before, after)
		if len(is) == 0 {
			return nil
		}
		if err := e.save(ctx, after); err != nil {
			return err
		}
		*e.version(&after)++
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "policy.edit", "policy:"+e.kind, audit.Details{"before": was, "after": is}))
	})
	if err == nil {
		r.last.Store(nil) // this server goes by it at once
	}
	return after, err
}

// Stale is the refusal to change a policy of a kind that somebody else changed meanwhile.
func Stale(kind string) *fault.Error {
	if kind == "settings" {
		return fault.New(fault.Conflict, "the settings were changed meanwhile: read them again")
	}
	return fault.New(fault.Conflict, "the %s policy was changed meanwhile: read it again", kind)
}

// differences are the settings in which two sets differ, under their names in JSON and with lengths of time in words.
func differences(before, after Set) (was, is audit.Details) {
	was, is = audit.Details{}, audit.Details{}
	for _, pair := range [][2]any{{before.Token, after.Token}, {before.Lockout, after.Lockout}, {before.Settings, after.Settings}} {
		b, a := reflect.ValueOf(pair[0]), reflect.ValueOf(pair[1])
		for i := range b.NumField() {
			name := b.Type().Field(i).Tag.Get("json")
			if name != "-" && !reflect.DeepEqual(b.Field(i).Interface(), a.Field(i).Interface()) {
				was[name], is[name] = shown(b.Field(i).Interface()), shown(a.Field(i).Interface())
			}
		}
	}
	return was, is
}

func shown(setting any) any {
	if d, ok := setting.(time.Duration); ok {
		return d.String()
	}
	return setting
}
