package report

import (
	"cmp"
	"slices"
	"time"
)

// A bar is one group of a chart.
type bar struct {
	label string
	n     int64
}

// A counter counts rows for a chart. It keeps a number for each group, of values at most mostGroups: what comes later is "other".
type counter struct {
	Chart
	column, weight int
	kind           Kind
	groups         map[string]int64
	first, last    time.Time
}

const (
	mostGroups = 10_000 // that are counted
	mostBars   = 9      // that are drawn of values, with "other"
	mostTimes  = 62     // that are drawn of times
	other      = "other"
	none       = "(none)"
	before     = "earlier" // than the first time that is drawn
	after      = "later"   // than the last one
)

// counters are those of the charts of a plan.
func (p *Plan) counters() []*counter {
	var all []*counter
	for _, c := range p.Template.Charts {
		all = append(all, &counter{Chart: c, column: p.Template.column(c.Column), weight: p.Template.column(c.Weight),
			kind: p.Template.Columns[p.Template.column(c.Column)].Kind, groups: map[string]int64{}})
	}
	return all
}

// add counts a row.
func (c *counter) add(row Row) {
	n := int64(1)
	if c.weight >= 0 {
		n, _ = row[c.weight].(int64)
	}
	label := shown(c.kind, row[c.column])
	if t, is := row[c.column].(time.Time); is && c.By != ByValue {
		if t.IsZero() {
			return
		}
		if c.first.IsZero() || t.Before(c.first) {
			c.first = t
		}
		if t.After(c.last) {
			c.last = t
		}
		label = t.UTC().Format(time.DateOnly)
	}
	if label == "" {
		label = none
	}
	if _, known := c.groups[label]; !known && len(c.groups) >= mostGroups {
		label = other
	}
	c.groups[label] += n
}

// bars are the groups to draw: the largest values first, or times in their order without a gap.
func (c *counter) bars() []bar {
	if c.By != ByValue {
		return c.times()
	}
	all := make([]bar, 0, len(c.groups))
	for label, n := range c.groups {
		all = append(all, bar{label, n})
	}
	slices.SortFunc(all, func(a, b bar) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.label, b.label)) })
	if len(all) > mostBars {
		rest := bar{label: other}
		for _, b := range all[mostBars-1:] {
			rest.n += b.n
		}
		all = append(all[:mostBars-1], rest)
	}
	return all
}

// times are the days of the chart, or its months or years if that is too many. Of too many years, those are drawn that hold the most.
func (c *counter) times() []bar {
	if c.first.IsZero() {
		return nil
	}
	steps := []struct {
		layout string
		begin  func(time.Time) time.Time
		next   func(time.Time) time.Time
	}{
		{time.DateOnly, today, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
		{"2006-01", month, func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
		{"2006", year, func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	}
	if c.By == ByMonth {
		steps = steps[1:]
	}
	var all []bar
	for i, s := range steps {
		years := i == len(steps)-1
		all = nil
		place := map[string]int{}
		for t := s.begin(c.first); !t.After(c.last) && (years || len(all) <= mostTimes); t = s.next(t) {
			place[t.Format(s.layout)] = len(all)
			all = append(all, bar{label: t.Format(s.layout)})
		}
		for day, n := range c.groups {
			if t, err := time.Parse(time.DateOnly, day); err == nil {
				if i, drawn := place[t.Format(s.layout)]; drawn {
					all[i].n += n
				}
			}
		}
		if len(all) <= mostTimes {
			break
		}
	}
	return fullest(all, mostTimes)
}

// fullest are at most so many bars: those beside each other that hold the most, between what is earlier and what is later. One that is far from
// all others leaves these what they are.
func fullest(all []bar, most int) []bar {
	if len(all) <= most {
		return all
	}
	sum := func(bars []bar) (n int64) {
		for _, b := range bars {
			n += b.n
		}
		return n
	}
	most -= 2
	from := 0
	here := sum(all[:most])
	for i, n := 1, here; i+most <= len(all); i++ {
		if n += all[i+most-1].n - all[i-1].n; n > here {
			from, here = i, n
		}
	}
	shown := all[from : from+most]
	if n := sum(all[:from]); n > 0 {
		shown = append([]bar{{before, n}}, shown[slices.IndexFunc(shown, held):]...)
	}
	if n := sum(all[from+most:]); n > 0 {
		for !held(shown[len(shown)-1]) {
			shown = shown[:len(shown)-1]
		}
		shown = append(slices.Clone(shown), bar{after, n})
	}
	return shown
}

func held(b bar) bool { return b.n > 0 }

func month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func year(t time.Time) time.Time { return time.Date(t.UTC().Year(), 1, 1, 0, 0, 0, 0, time.UTC) }
