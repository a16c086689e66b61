package token

import (
	"context"
	"time"
)

// spares are unassigned records, from those that end first, for what takes one for each of many tokens.
type spares struct {
	store  Store
	need   int             // how many may still be taken: no more are kept from others
	except map[string]bool // serials of those that are left where they are; nil for none
	page   []Donor
	last   Donor // of the pages that were read
	end    bool
}

// sparePage is how many records are read at a time where many of them may have to be passed over.
const sparePage = 1000

// take is the next of them that lasts until a day at least; false if there is none. The days that it is asked for never fall.
func (s *spares) take(ctx context.Context, least time.Time) (Donor, bool, error) {
	if s.last.Until.Before(least) { // what ends before is too early from now on
		s.last, s.page = Donor{Until: least}, nil
	}
	for {
		for len(s.page) > 0 {
			o := s.page[0]
			if s.page = s.page[1:]; !o.Until.Before(least) && !s.except[o.Serial] {
				s.need--
				return o, true, nil
			}
		}
		if s.end {
			return Donor{}, false, nil
		}
		n := s.need
		if len(s.except) > 0 {
			n = max(n, sparePage)
		}
		var err error
		if s.page, err = s.store.Donors(ctx, s.last, n); err != nil {
			return Donor{}, false, err
		}
		if s.end = len(s.page) < n; len(s.page) > 0 {
			s.last = s.page[len(s.page)-1]
		}
	}
}
