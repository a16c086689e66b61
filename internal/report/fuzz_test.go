package report

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// Whatever somebody wants of a report: no panic, and it is refused or a plan whose filters can be read.
func FuzzPlan(f *testing.F) {
	for _, t := range Templates() {
		for _, filter := range t.Filters {
			for _, value := range append([]string{"-30d", "true", "12", "2026-11-24T09:14:00Z"}, filter.Values...) {
				f.Add(t.Name, filter.Name, value, t.Columns[0].Name, t.Orders[0])
			}
		}
	}
	f.Add("tokens", "within", "999999999999999999999d", "", "")
	r := &Registry{Policies: fixed{}, Now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, report, filter, value, column, order string) {
		known := func(f Filter) bool { return f.Name == filter && f.find != nil }
		if t, err := Find(report); err == nil && slices.ContainsFunc(t.Filters, known) {
			return // by the database
		}
		w := Wish{Report: report, Filters: map[string]string{filter: value}, Order: order}
		if column != "" {
			w.Columns = []string{column}
		}
		p, err := r.Plan(t.Context(), w)
		if err != nil {
			if !errors.Is(err, fault.Invalid) && !errors.Is(err, fault.NotFound) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		for _, f := range p.Template.Filters {
			switch {
			case f.Name != filter:
			case f.Kind == Number:
				if n := p.number(filter, -1); n < 0 || n > mostNumber {
					t.Errorf("the number %d", n)
				}
			case f.Kind == Day, f.Kind == Moment:
				if _, err := ParseMoment(value, now); err != nil {
					t.Errorf("it was checked, and yet: %v", err)
				}
			}
		}
	})
}
