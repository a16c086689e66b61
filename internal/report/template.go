package report

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Kind says what the values of a column or filter are.
type Kind string

// The kinds. The zero time of a Day or Moment is none.
const (
	Text   Kind = "text"   // string
	Number Kind = "number" // int64
	YesNo  Kind = "bool"   // bool
	Day    Kind = "day"    // time.Time at 00:00 UTC
	Moment Kind = "time"   // time.Time in UTC
)

// A Column of a report.
type Column struct {
	Name  string // stable, for programs
	Title string // for people
	Kind  Kind
	Shown bool // unless other columns are asked for
}

// A Filter narrows a report.
type Filter struct {
	Name   string
	About  string
	Kind   Kind
	Values []string // that it takes, nil for any
	// find refuses a name of nobody and nothing: one that is written wrong would make an empty report. Nil where what is no longer there was told of, too.
	find func(ctx context.Context, r *Registry, name string) error
}

// A Chart counts the rows of a report by the values of a column.
type Chart struct {
	Title  string
	Column string
	By     Grouping
	// Weight is a column of numbers that is added up in place of the rows; "" for none.
	Weight string
}

// A Grouping says which values of a chart's column are one.
type Grouping string

// The groupings. By days and months, the groups are in the order of time, else the largest comes first.
const (
	ByValue Grouping = "value"
	ByDay   Grouping = "day"
	ByMonth Grouping = "month"
)

// A Row holds a value for each column of its template, in their order.
type Row []any

// A Template is a report as data.
type Template struct {
	Name  string // stable
	Title string
	About string // a sentence or two
	// Right is what it takes beside [access.Read]; "" for nothing.
	Right access.Right
	// Parts says that the report can be made of a part of the deployment: of a security domain with all below it.
	Parts   bool
	Columns []Column
	Filters []Filter
	Orders  []string // the first is the default; those that begin with - are the other way round
	Charts  []Chart

	rows func(ctx context.Context, p *Plan) iter.Seq2[Row, error]
}

// column is the place of a column, -1 if there is none of that name.
func (t *Template) column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// Refuse refuses the report to who acts in ctx: [fault.Forbidden] without its right, [fault.OutOfScope] where it tells of more than
// the caller may see.
func (t *Template) Refuse(ctx context.Context) error {
	if role := access.Role(audit.ActorFrom(ctx).Role); !t.mayBy(role) {
		return fault.New(fault.Forbidden, "role %s may not have the report %s: it takes the right %s", role, t.Name, t.Right)
	}
	if scope := domain.ScopeFrom(ctx); scope.Limited() && !t.Parts {
		return fault.New(fault.OutOfScope, "the report %s is about the whole deployment, and your API key is limited to the security domain %s", t.Name, scope.Top())
	}
	return nil
}

// mayBy tells whether somebody in a role may have the report.
func (t *Template) mayBy(role access.Role) bool {
	return role.May(access.Read) && (t.Right == "" || role.May(t.Right))
}

// Templates lists the reports by name.
func Templates() []*Template {
	all := slices.Concat(tokenTemplates(), userTemplates(), eventTemplates(), otherTemplates())
	slices.SortFunc(all, func(a, b *Template) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// A field is a column with where its values come from.
type field[T any] struct {
	name, title string
	kind        Kind
	value       func(T) any
}

// fields are the columns of a template and its rows, made of one source. Those that are named in shown are shown.
func columnsOf[T any](fields []field[T], shown string) []Column {
	names := strings.Fields(shown)
	all := make([]Column, len(fields))
	for i, f := range fields {
		all[i] = Column{Name: f.name, Title: f.title, Kind: f.kind, Shown: slices.Contains(names, f.name)}
	}
	// Those that are shown come first, in the order in which they were named.
	slices.SortStableFunc(all, func(a, b Column) int { return place(names, a.Name) - place(names, b.Name) })
	return all
}

func place(names []string, name string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	return len(names)
}

// rowsOf makes rows of what a source gives.
func rowsOf[T any](columns []Column, fields []field[T], source func(context.Context, *Plan) iter.Seq2[T, error]) func(context.Context, *Plan) iter.Seq2[Row, error] {
	value := make([]func(T) any, len(columns))
	for i, c := range columns {
		value[i] = fields[slices.IndexFunc(fields, func(f field[T]) bool { return f.name == c.Name })].value
	}
	return func(ctx context.Context, p *Plan) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			for v, err := range source(ctx, p) {
				if err != nil {
					yield(nil, err)
					return
				}
				row := make(Row, len(value))
				for i, of := range value {
					row[i] = of(v)
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// made completes a template with columns and rows of one source.
func made[T any](t Template, fields []field[T], shown string, source func(context.Context, *Plan) iter.Seq2[T, error]) *Template {
	t.Columns = columnsOf(fields, shown)
	t.rows = rowsOf(t.Columns, fields, source)
	return &t
}
