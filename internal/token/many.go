package token

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// An Outcome is what became of one of many tokens.
type Outcome struct {
	Serial string
	Err    error  // the refusal, which left the token as it was; nil if it went well
	Note   string // what to know of it, in words
	Took   string // serial of the record that it took: a donor, or its replacement; "" for none
}

// A crowd is tokens that are changed together, in one transaction: all are locked and read at once, changed in memory, and
// written at once with their events.
type crowd struct {
	registry *Registry
	ctx      context.Context
	now      time.Time
	tokens   map[string]*Token
	seeds    map[string][2]int // numbers of the generations that were read
	outside  map[string]error  // the refusals of those whose users are outside of the scope of ctx
	held     map[string]string // whose tokens were when they were chosen, as WhileHeldBy was told
	changed  []*Token
	marked   map[*Token]bool
	deleted  []string
	revoked  []string // whose activation codes end
	events   []audit.Event
	offsets  []Moved // clock offsets, which saving a token leaves alone

	took     map[string]string // by serial, the record that the token took
	settings policy.Settings
	homes    map[string]string // security domains of users that get a next available token, by ID
	spare    map[string]*Token // the next available ones, by the serials of the tokens that they replace; nil until they were asked for
}

// MaxTogether is how many tokens one call changes.
const MaxTogether = 1000

// together runs do on each token of serials, in their order, and returns what came of each. What do refuses stays as it was:
// it changes nothing before it knows. A serial that is named again has the same outcome. Tokens of users outside of the scope of ctx are refused.
func (r *Registry) together(ctx context.Context, serials []string, do func(*crowd, *Token) (note string, err error)) ([]Outcome, error) {
	return r.changeAll(ctx, serials, false, do)
}

// takeBack is together for what may be done to tokens of whatever users.
func (r *Registry) takeBack(ctx context.Context, serials []string, do func(*crowd, *Token) (note string, err error)) ([]Outcome, error) {
	return r.changeAll(ctx, serials, true, do)
}

func (r *Registry) changeAll(ctx context.Context, serials []string, ofAnybody bool, do func(*crowd, *Token) (note string, err error)) ([]Outcome, error) {
	var outcomes []Outcome
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		c, err := r.gather(ctx, serials)
		if err != nil {
			return err
		}
		if ofAnybody {
			c.outside = nil
		}
		if outcomes, err = c.each(serials, do); err != nil {
			return err
		}
		return c.save()
	})
	return outcomes, err
}

// each runs do on the tokens of serials.
func (c *crowd) each(serials []string, do func(*crowd, *Token) (note string, err error)) ([]Outcome, error) {
	outcomes := make([]Outcome, len(serials))
	first := map[string]int{}
	for i, serial := range serials {
		o := &outcomes[i]
		o.Serial = serial
		if at, again := first[serial]; again {
			*o = outcomes[at]
			continue
		}
		first[serial] = i
		t := c.tokens[serial]
		if o.Err = c.mayChange(serial, t); o.Err != nil {
			continue
		}
		if o.Note, o.Err = do(c, t); o.Err != nil && !refused(o.Err) {
			return nil, o.Err
		}
		o.Took = c.took[serial]
	}
	return outcomes, nil
}

// heldKey is where a context holds what WhileHeldBy was given.
type heldKey struct{}

// WhileHeldBy has what changes many tokens leave those alone that are somebody else's by then: users says whose they were, by serial, when they were chosen
// for a job, which may be long before. What is nobody's now, or not named, it does not look at.
func WhileHeldBy(ctx context.Context, users map[string]string) context.Context {
	return context.WithValue(ctx, heldKey{}, users)
}

// mayChange refuses a token that is not there, or not in the scope of who asks, or whose user is not, or who has another one than when it was chosen.
func (c *crowd) mayChange(serial string, t *Token) error {
	if t == nil || !domain.ScopeFrom(c.ctx).Covers(t.Domain) {
		return domain.Outside(c.ctx, fault.New(fault.TokenNotFound, "there is no token %s", serial), "token %s", serial)
	}
	if was, told := c.held[serial]; told && t.UserID != "" && t.UserID != was {
		return fault.New(fault.Conflict, "token %s belongs to another user than when this job was started: look at it, and start another job for it", serial)
	}
	return c.outside[serial]
}

// gather locks and reads tokens, and those that take part in a replacement with them.
func (r *Registry) gather(ctx context.Context, serials []string) (*crowd, error) {
	if len(serials) > MaxTogether {
		return nil, fault.New(fault.TooLarge, "%d tokens are the most that are changed at once: start a job for more", MaxTogether)
	}
	c := &crowd{registry: r, ctx: ctx, now: r.Now().UTC(), tokens: map[string]*Token{}, seeds: map[string][2]int{}, marked: map[*Token]bool{}, took: map[string]string{}}
	c.held, _ = ctx.Value(heldKey{}).(map[string]string)
	found, err := r.lock(ctx, serials...)
	if err != nil {
		return nil, err
	}
	for _, t := range found {
		c.tokens[t.Serial], c.seeds[t.Serial] = &t, numbers(&t)
	}
	c.outside, err = HeldOutside(ctx, r.Store, found...)
	return c, err
}

// refused tells a refusal of one token from what keeps all from being done.
func refused(err error) bool {
	code := fault.CodeOf(err)
	return code != "" && code != fault.Unavailable
}

// numbers are those of a token's generations, 0 for none that is pending.
func numbers(t *Token) [2]int {
	if t.Pending == nil {
		return [2]int{t.Current.Number, 0}
	}
	return [2]int{t.Current.Number, t.Pending.Number}
}

// change has a token saved, with an event.
func (c *crowd) change(t *Token, action string, details audit.Details) {
	if !c.marked[t] {
		c.marked[t] = true
		c.changed = append(c.changed, t)
	}
	c.record(t.Serial, action, t.about(details))
}

func (c *crowd) record(serial, action string, details audit.Details) {
	c.events = append(c.events, audit.New(c.ctx, c.now, action, "token:"+serial, details))
}

// remove has a token deleted, with an event.
func (c *crowd) remove(t *Token, details audit.Details) {
	c.deleted = append(c.deleted, t.Serial)
	c.record(t.Serial, "token.delete", details)
	delete(c.tokens, t.Serial)
}

// next is the next available token for the user of t, which is one of serials, but for those of except. Those for all of serials are read at once.
func (c *crowd) next(t *Token, serials []string, except map[string]bool) (*Token, error) {
	if c.spare == nil {
		if err := c.stock(serials, except); err != nil {
			return nil, err
		}
	}
	next := c.spare[t.Serial]
	if next == nil {
		return nil, noToken(c.settings.MinDaysLeft, c.homes[t.UserID])
	}
	c.tokens[next.Serial], c.seeds[next.Serial] = next, numbers(next)
	return next, nil
}

// stock locks and reads the next available tokens for the users of those of serials that can be replaced.
func (c *crowd) stock(serials []string, except map[string]bool) (err error) {
	store := c.registry.Store
	if c.settings, err = store.Settings(c.ctx); err != nil {
		return err
	}
	var originals []*Token
	var users []string
	seen := map[string]bool{}
	for _, serial := range serials {
		if t := c.tokens[serial]; !seen[serial] && c.mayChange(serial, t) == nil && t.replaceable() == nil {
			originals, users = append(originals, t), append(users, t.UserID)
		}
		seen[serial] = true
	}
	if c.homes, err = store.UserDomains(c.ctx, users); err != nil {
		return err
	}
	takers := make([]string, len(users))
	for i, id := range users {
		takers[i] = c.homes[id]
	}
	free, err := newSpares(c.ctx, store, takers, except)
	if err != nil {
		return err
	}
	instead := map[string]string{} // of what
	for i, t := range originals {
		o, found, err := free.take(c.ctx, takers[i], c.now.AddDate(0, 0, c.settings.MinDaysLeft))
		if err != nil {
			return err
		}
		if found {
			instead[o.Serial] = t.Serial
		}
	}
	taken, err := store.LockTokens(c.ctx, slices.Collect(maps.Keys(instead)))
	c.spare = make(map[string]*Token, len(taken))
	for i := range taken {
		c.spare[instead[taken[i].Serial]] = &taken[i]
	}
	return err
}

// endReplacement ends the one that a token takes part in which is its user's no more: its partner stays what it is.
func (c *crowd) endReplacement(of *Token, because string) {
	partner := c.tokens[of.Replaces+of.ReplacedBy]
	if partner == nil {
		return
	}
	partner.Replaces, partner.ReplacedBy = "", ""
	c.change(partner, "replace.end", audit.Details{"user": partner.UserID, "because": because})
}

// save writes all that was changed.
func (c *crowd) save() error {
	store := c.registry.Store
	var same []Token
	for _, t := range c.changed {
		switch {
		case c.tokens[t.Serial] == nil: // deleted meanwhile
		case c.seeds[t.Serial] == numbers(t):
			same = append(same, *t)
		default: // a seed is destroyed with it, which is seldom
			if err := store.SaveToken(c.ctx, *t); err != nil {
				return err
			}
		}
	}
	if err := store.SaveTokens(c.ctx, same); err != nil {
		return err
	}
	if err := store.SaveOffsets(c.ctx, c.offsets); err != nil {
		return err
	}
	if len(c.revoked) > 0 {
		if err := store.RevokeOffersOf(c.ctx, c.revoked); err != nil {
			return err
		}
	}
	if len(c.deleted) > 0 {
		if err := store.DeleteTokens(c.ctx, c.deleted); err != nil {
			return err
		}
	}
	return store.RecordAll(c.ctx, c.events)
}
