package token

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// spares are the unassigned tokens that are there for those who take one each: for somebody, or a token, of a security domain, those of that
// domain and of the ones above it. Whoever administers another domain could else make a token with a short life, have somebody elsewhere
// get it as her next one, and use it as hers.
type spares struct {
	store  Store
	except map[string]bool     // serials of those that are left where they are; nil for none
	of     map[string][]*shelf // where a domain takes from
}

// A shelf is the unassigned tokens of some domains, from those that end first.
type shelf struct {
	in   []string
	need int // how many may still be taken: no more are kept from others
	most int // how many are read at a time; 0 for all
	page []Candidate
	last Candidate // of the pages that were read
	end  bool
}

// sparePage is how many tokens are read at a time where it is not known how many of them will be taken.
const sparePage = 1000

// newSpares are those for takers, each named by its domain. Takers of one domain have all that is there for them on one shelf, from which as many
// are read, and locked, as there are takers. For those of several domains each domain has its own.
func newSpares(ctx context.Context, store Store, takers []string, except map[string]bool) (*spares, error) {
	n := map[string]int{}
	for _, at := range takers {
		n[at]++
	}
	above, err := store.DomainsAbove(ctx, slices.Collect(maps.Keys(n)))
	if err != nil {
		return nil, err
	}
	s := &spares{store: store, except: except, of: make(map[string][]*shelf, len(n))}
	if len(n) == 1 {
		for at := range n {
			s.of[at] = []*shelf{{in: above[at], need: n[at]}}
		}
		return s, nil
	}
	shelves := map[string]*shelf{}
	for at, takers := range n {
		for _, name := range above[at] {
			if shelves[name] == nil {
				shelves[name] = &shelf{in: []string{name}, most: sparePage}
			}
			shelves[name].need += takers
			s.of[at] = append(s.of[at], shelves[name])
		}
	}
	return s, nil
}

// take is the next of them for a taker of a domain that lasts until a day at least; false if there is none. The days that it is asked for never fall.
func (s *spares) take(ctx context.Context, at string, least time.Time) (Candidate, bool, error) {
	var from *shelf
	for _, h := range s.of[at] {
		h.need-- // whatever this taker gets
		some, err := s.stocked(ctx, h, least)
		if err != nil {
			return Candidate{}, false, err
		}
		if some && (from == nil || h.page[0].before(from.page[0])) {
			from = h
		}
	}
	if from == nil {
		return Candidate{}, false, nil
	}
	o := from.page[0]
	from.page = from.page[1:]
	return o, true, nil
}

// before is the order in which tokens are taken.
func (c Candidate) before(o Candidate) bool {
	return cmp.Or(c.EffectiveExpiry.Compare(o.EffectiveExpiry), cmp.Compare(c.Serial, o.Serial)) < 0
}

// stocked makes sure that what comes first on a shelf can be taken; false if there is nothing any more.
func (s *spares) stocked(ctx context.Context, h *shelf, least time.Time) (bool, error) {
	if h.last.EffectiveExpiry.Before(least) { // what ends before is too early from now on
		h.last, h.page = Candidate{EffectiveExpiry: least}, nil
	}
	for {
		for len(h.page) > 0 {
			if o := h.page[0]; !o.EffectiveExpiry.Before(least) && !s.except[o.Serial] {
				return true, nil
			}
			h.page = h.page[1:]
		}
		if h.end {
			return false, nil
		}
		n := max(h.need, 0) + 1 // and the one who asks
		if len(s.except) > 0 {
			n = max(n, sparePage)
		}
		if h.most > 0 {
			n = min(n, h.most)
		}
		var err error
		if h.page, err = s.store.Free(ctx, h.in, h.last, n); err != nil {
			return false, err
		}
		if h.end = len(h.page) < n; len(h.page) > 0 {
			h.last = h.page[len(h.page)-1]
		}
	}
}

// noToken is the refusal for a user of a domain for whom there is no next available token.
func noToken(daysLeft int, at string) *fault.Error {
	return fault.New(fault.NoToken, "no unassigned token with more than %d days left is %s", daysLeft, whereFrom(at))
}

// whereFrom says where those of a domain take tokens from, and what to do if there is none.
func whereFrom(at string) string {
	where := "in the security domain " + at + " or above it"
	if at == domain.Root {
		where = "at the root of the security domains"
	}
	return where + ": make or import some there, or move some there with 'domain put'"
}
