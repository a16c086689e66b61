package report

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// A Wish is what somebody wants of a report.
type Wish struct {
	Report  string
	Columns []string          // in this order; none for those that the report shows
	Filters map[string]string // by their names
	Order   string            // "" for the report's own
}

// A Plan is a wish that can be met.
type Plan struct {
	Template *Template
	Wish
	At time.Time // when it was made; what is relative counts from here

	registry *Registry
	policies *policy.Tree
	chosen   []int // columns
}

// Find returns the template of a report; [fault.NotFound].
func Find(name string) (*Template, error) {
	all := Templates()
	i := slices.IndexFunc(all, func(t *Template) bool { return t.Name == name })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "there is no report %q: 'tallystick report list' shows them", name)
	}
	return all[i], nil
}

// Plan checks a wish. [fault.NotFound] if there is no such report, [fault.Invalid] if it has no such column, filter,
// value or order; the refusal for a user, profile or domain that is not there.
func (r *Registry) Plan(ctx context.Context, w Wish) (*Plan, error) {
	t, err := Find(w.Report)
	if err != nil {
		return nil, err
	}
	p := &Plan{Template: t, Wish: w, At: r.Now().UTC(), registry: r}
	if p.policies, err = r.Policies.Current(ctx); err != nil {
		return nil, err
	}
	for _, name := range w.Columns {
		i := t.column(name)
		if i < 0 {
			return nil, fault.New(fault.Invalid, "report %s has no column %q: it has %s", t.Name, name, strings.Join(columnNames(t.Columns), ", "))
		}
		p.chosen = append(p.chosen, i)
	}
	if len(w.Columns) == 0 {
		for i, c := range t.Columns {
			if c.Shown {
				p.chosen = append(p.chosen, i)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Filters)) {
		if err := p.check(ctx, name, w.Filters[name]); err != nil {
			return nil, err
		}
	}
	if p.moment("since").After(earlier(p.moment("until"), p.At)) { // 7d where -7d was meant, say: nothing is to be found there
		return nil, fault.New(fault.Invalid, "filter since names a time after the end of the report: seven days ago is -7d")
	}
	if p.Order == "" {
		p.Order = t.Orders[0]
	}
	if !slices.Contains(t.Orders, p.Order) {
		return nil, fault.New(fault.Invalid, "report %s has no order %q: it has %s", t.Name, p.Order, strings.Join(t.Orders, ", "))
	}
	return p, nil
}

func columnNames(columns []Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// check refuses a filter that the report does not have, or a value that it does not take.
func (p *Plan) check(ctx context.Context, name, value string) error {
	i := slices.IndexFunc(p.Template.Filters, func(f Filter) bool { return f.Name == name })
	if i < 0 {
		var names []string
		for _, f := range p.Template.Filters {
			names = append(names, f.Name)
		}
		if len(names) == 0 {
			return fault.New(fault.Invalid, "report %s has no filters", p.Template.Name)
		}
		return fault.New(fault.Invalid, "report %s has no filter %q: it has %s", p.Template.Name, name, strings.Join(names, ", "))
	}
	f := p.Template.Filters[i]
	wrong := func(takes string) error { return fault.New(fault.Invalid, "filter %s takes %s", name, takes) }
	switch f.Kind {
	case Text:
		if f.Values != nil && !slices.Contains(f.Values, value) {
			return wrong("one of " + strings.Join(f.Values, ", "))
		}
		if len(value) > 256 {
			return wrong("at most 256 bytes")
		}
		if f.find != nil && value != "" {
			return f.find(ctx, p.registry, value)
		}
	case Number:
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > mostNumber {
			return wrong("a number from 0 to " + strconv.Itoa(mostNumber))
		}
	case YesNo:
		if value != "true" && value != "false" {
			return wrong("true or false")
		}
	case Day, Moment:
		if _, err := ParseMoment(value, p.At); err != nil {
			return wrong("a day such as 2026-11-24, a time such as 2026-11-24T09:14:00Z, or days from now such as -30d or +90d")
		}
	}
	return nil
}

// mostNumber is the largest number that a filter takes.
const mostNumber = 100_000

// momentForms are how a time may be written: as a day, for its beginning, as programs write it, as tables show it, and as people write it, in UTC.
var momentForms = []string{time.DateOnly, time.RFC3339, "2006-01-02 15:04:05Z07:00", time.DateTime, "2006-01-02 15:04"}

// ParseMoment reads a time: of the calendar, or so many days (d) or hours (h) before or after now. Days from now begin at 00:00.
func ParseMoment(value string, now time.Time) (time.Time, error) {
	for _, layout := range momentForms {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC(), nil
		}
	}
	unit := strings.TrimLeft(value, "+-0123456789")
	n, err := strconv.Atoi(strings.TrimSuffix(value, unit))
	switch {
	case err != nil || n > mostNumber || n < -mostNumber:
		return time.Time{}, fault.New(fault.Invalid, "%q is no time", value)
	case unit == "d":
		return today(now).AddDate(0, 0, n), nil
	case unit == "h":
		return now.Add(time.Duration(n) * time.Hour), nil
	}
	return time.Time{}, fault.New(fault.Invalid, "%q is no time", value)
}

// today is 00:00 of the day of a time.
func today(now time.Time) time.Time {
	now = now.UTC()
	return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
}

// The values of filters that were checked; what is not given is the zero value.

func (p *Plan) text(name string) string { return p.Filters[name] }

func (p *Plan) flag(name string) *bool {
	value, given := p.Filters[name]
	if !given {
		return nil
	}
	yes := value == "true"
	return &yes
}

func (p *Plan) number(name string, otherwise int) int {
	n, err := strconv.Atoi(p.Filters[name])
	if err != nil {
		return otherwise
	}
	return n
}

func (p *Plan) moment(name string) time.Time {
	value, given := p.Filters[name]
	if !given {
		return time.Time{}
	}
	t, _ := ParseMoment(value, p.At) // checked
	return t
}

// columns are those of the plan, in their order.
func (p *Plan) columns() []Column {
	all := make([]Column, len(p.chosen))
	for i, c := range p.chosen {
		all[i] = p.Template.Columns[c]
	}
	return all
}

// of are the values of a row in the columns of the plan.
func (p *Plan) of(row Row) []any {
	all := make([]any, len(p.chosen))
	for i, c := range p.chosen {
		all[i] = row[c]
	}
	return all
}

// rows reads the report, page by page: what is in memory at a time does not grow with it. Rows are as they were when their page was read.
func (p *Plan) rows(ctx context.Context) iter.Seq2[Row, error] {
	if name, given := p.Filters[domainFilter.Name]; given {
		narrow, err := p.registry.Domains.Narrow(ctx, domain.Parse(name))
		if err != nil {
			return func(yield func(Row, error) bool) { yield(nil, err) }
		}
		ctx = narrow
	}
	return p.Template.rows(ctx, p)
}

// domainFilter narrows the reports that can be made of a part.
var domainFilter = Filter{Name: "domain", About: "in this security domain or below it", Kind: Text, find: func(ctx context.Context, r *Registry, name string) error {
	_, err := r.Domains.Narrow(ctx, domain.Parse(name))
	return err
}}
