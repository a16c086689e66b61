package token

import (
	"context"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Selection says which tokens something for many is about: those for which all of it holds. The zero value selects nothing.
type Selection struct {
	All     bool     // every token, as far as Filter lets it pass
	Serials []string // these, in their order; one that there is no token of is selected all the same, so that it can be reported
	UserIDs []string // tokens of these users
	Filter  Filter   // its After and Limit are not looked at
}

// narrow tells whether the filter says anything of tokens, besides which serials and which page of them.
func (f Filter) narrow() bool {
	f.Value, f.Serials, f.After, f.Limit = "", nil, "", 0
	return !reflect.ValueOf(f).IsZero()
}

const (
	serialsAtOnce = 10_000 // that a selection reads
	keysAtOnce    = 1000   // of a list that it reads about
)

// States are the distribution states that a filter asks for; nil for any.
func (f Filter) States() []Distribution {
	switch {
	case f.Distribution != "":
		return []Distribution{f.Distribution}
	case f.Unconfirmed, f.NotMoved != "":
		return Unseen()
	}
	return nil
}

// Unseen are the states of tokens that were delivered, or offered, and not seen since.
func Unseen() []Distribution { return []Distribution{Issued, PendingActivation, ActivationLapsed} }

// A Chosen is a token of a selection.
type Chosen struct {
	Serial string
	Entry  string // of the list that chose it: a serial or a user ID, "" without a list
	Seen   *Seen  // nil if there is no such token
}

// A Seen is what a selection sees of a token, for whoever comes to the token later: it tells whether the token was delivered, went to another user, or was
// lost since, whatever the clocks of servers say.
type Seen struct {
	UserID string    `json:"user_id,omitempty"` // "" while unassigned
	Issues int       `json:"issues"`            // IssueCount
	LostAt time.Time `json:"lost_at,omitzero"`
}

// Select goes through the serials of a selection, as Choose does.
func (r *Registry) Select(ctx context.Context, s Selection) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for c, err := range r.Choose(ctx, s) {
			if !yield(c.Serial, err) {
				return
			}
		}
	}
}

// Choose goes through the tokens of a selection: in the order of its list, else by serial. It reads some at a time, so that it may be
// large. After an error it ends. [fault.Invalid] if nothing is selected.
func (r *Registry) Choose(ctx context.Context, s Selection) iter.Seq2[Chosen, error] {
	return func(yield func(Chosen, error) bool) {
		var err error
		switch {
		case len(s.Serials) > 0 && len(s.UserIDs) > 0:
			err = fault.New(fault.Invalid, "a selection lists serials or users, not both")
		case len(s.Serials) > 0:
			err = r.listed(ctx, s, yield)
		case len(s.UserIDs) > 0:
			err = r.held(ctx, s, yield)
		case s.All, s.Filter.narrow():
			err = r.filtered(ctx, s.Filter, yield)
		default:
			err = fault.New(fault.Invalid, "nothing is selected: say which tokens, or all of them")
		}
		if err != nil {
			yield(Chosen{}, err)
		}
	}
}

// filtered yields the tokens that a filter lets pass.
func (r *Registry) filtered(ctx context.Context, f Filter, yield func(Chosen, error) bool) error {
	f.After, f.Limit = "", serialsAtOnce
	for {
		some, err := r.Store.ChooseTokens(ctx, f)
		if err != nil {
			return err
		}
		for _, c := range some {
			if !yield(c, nil) {
				return nil
			}
		}
		if len(some) < f.Limit {
			return nil
		}
		f.After = some[len(some)-1].Serial
	}
}

// listed yields serials of a list, each once; those that a filter lets pass, if there is one.
func (r *Registry) listed(ctx context.Context, s Selection, yield func(Chosen, error) bool) error {
	seen := make(map[string]bool, len(s.Serials))
	for some := range slices.Chunk(s.Serials, keysAtOnce) {
		f := s.Filter
		f.Serials = make([]string, len(some))
		for i, serial := range some {
			f.Serials[i] = strings.TrimSpace(serial)
		}
		found, err := r.Store.ChooseTokens(ctx, f)
		if err != nil {
			return err
		}
		pass := make(map[string]*Seen, len(found))
		for _, c := range found {
			pass[c.Serial] = c.Seen
		}
		for _, serial := range f.Serials {
			if seen[serial] || s.Filter.narrow() && pass[serial] == nil {
				continue
			}
			seen[serial] = true
			if !yield(Chosen{serial, serial, pass[serial]}, nil) {
				return nil
			}
		}
	}
	return nil
}

// held yields the tokens of users, user by user. A user who holds none is refused: whoever lists her expects
// that she gets something.
func (r *Registry) held(ctx context.Context, s Selection, yield func(Chosen, error) bool) error {
	seen := make(map[string]bool, len(s.UserIDs))
	for some := range slices.Chunk(s.UserIDs, keysAtOnce) {
		found, err := r.Store.TokensOf(ctx, some, s.Filter)
		if err != nil {
			return err
		}
		for _, id := range some {
			if seen[id] {
				continue
			}
			seen[id] = true
			if len(found[id]) == 0 {
				return fault.New(fault.TokenNotAssigned, "user %q does not exist, or holds no token that is asked for", id).With("user_id", id)
			}
			for _, c := range found[id] {
				if c.Entry = id; !yield(c, nil) {
					return nil
				}
			}
		}
	}
	return nil
}
