package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// terminal tells whether results go to people's eyes.
func (p *program) terminal() bool { return cli.Terminal(p.Out) != nil }

// identifiers are columns that are of no use if a part is missing: other commands take what stands there.
var identifiers = []string{"serial", "user", "run", "job", "replaces", "replaced_by"}

// sampled is how many rows the widths of a table go by: it does not wait for the others.
const sampled = 500

// reportTable prints a report that comes as JSON, as a table that fits the terminal.
func (p *program) reportTable(w io.Writer, in io.Reader) error {
	d := json.NewDecoder(in)
	columns, err := reportHead(d)
	if err != nil {
		return err
	}
	t := &table{w: bufio.NewWriter(w), most: cli.Width(p.Out)}
	var heads []string
	for _, c := range columns {
		heads = append(heads, strings.ToUpper(c.Title))
		t.right = append(t.right, c.Kind == "number")
		t.firm = append(t.firm, c.Kind != "text" || slices.Contains(identifiers, c.Name))
	}
	t.add(heads)
	count := 0
	for d.More() {
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			return cutOff(err)
		}
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = reportCell(c, row[c.Name])
		}
		t.add(cells)
		count++
	}
	if err := t.flush(); err != nil {
		return err
	}
	// Past the rows there is how many they were: without it the report was cut off.
	for _, want := range []any{json.Delim(']'), "count", float64(count), json.Delim('}')} {
		if got, err := d.Token(); err != nil || got != want {
			return cutOff(io.ErrUnexpectedEOF)
		}
	}
	if count == 0 {
		p.Note("there is nothing to report")
	}
	return nil
}

// reportHead reads what stands before the rows.
func reportHead(d *json.Decoder) (columns []client.ReportHeading, err error) {
	if _, err := d.Token(); err != nil {
		return nil, cutOff(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, cutOff(err)
		}
		switch name {
		case "columns":
			err = d.Decode(&columns)
		case "rows":
			_, err = d.Token()
			return columns, err
		default:
			var other json.RawMessage
			err = d.Decode(&other)
		}
		if err != nil {
			return nil, cutOff(err)
		}
	}
	return nil, errors.New("the server's answer is not what it should be: is this a Tallystick server?")
}

// reportCell is a value for people.
func reportCell(c client.ReportHeading, v any) string {
	switch v := v.(type) {
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil && c.Kind == "time" {
			return t.UTC().Format("2006-01-02 15:04:05Z")
		}
		return strings.Map(printable, v)
	case float64:
		return fmt.Sprintf("%.0f", v)
	case bool:
		return yesNo(v)
	}
	return ""
}

// printable keeps a name from moving the cursor or colouring the terminal.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
		return '\uFFFD'
	}
	return r
}

// A table goes by the widths of its first rows, and no further than the terminal.
type table struct {
	w     *bufio.Writer
	most  int    // columns of the terminal, 0 for no bound
	right []bool // numbers
	firm  []bool // cut last
	kept  [][]string
	wide  []int
}

func (t *table) add(cells []string) {
	if t.wide != nil {
		t.print(cells)
		return
	}
	if t.kept = append(t.kept, cells); len(t.kept) > sampled {
		t.begin()
	}
}

// begin fixes the widths and prints what was kept.
func (t *table) begin() {
	t.wide = make([]int, len(t.right))
	for _, cells := range t.kept {
		for i, cell := range cells {
			t.wide[i] = max(t.wide[i], lipgloss.Width(cell))
		}
	}
	sum := 2 * (len(t.wide) - 1)
	for _, n := range t.wide {
		sum += n
	}
	for t.most > 0 && sum > t.most { // the widest gives
		widest := t.widest()
		if widest < 0 {
			break
		}
		t.wide[widest]--
		sum--
	}
	for _, cells := range t.kept {
		t.print(cells)
	}
	t.kept = nil
}

// widest is the widest column that may be cut: one of free text, and if there is none, any; -1 where all are narrow.
func (t *table) widest() int {
	const narrow = 4
	best := -1
	for i, n := range t.wide {
		if n > narrow && (best < 0 || t.firm[best] && !t.firm[i] || t.firm[best] == t.firm[i] && n > t.wide[best]) {
			best = i
		}
	}
	return best
}

func (t *table) print(cells []string) {
	var b strings.Builder
	for i, cell := range cells {
		if t.most > 0 {
			cell = cutTo(cell, t.wide[i])
		}
		fill := strings.Repeat(" ", max(0, t.wide[i]-lipgloss.Width(cell)))
		if t.right[i] {
			cell = fill + cell
		} else {
			cell += fill
		}
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(cell)
	}
	t.w.WriteString(strings.TrimRight(b.String(), " ") + "\n") // an error stays, and flush tells it
}

// cutTo cuts a text to a width, with a mark where it goes on.
func cutTo(text string, wide int) string {
	if lipgloss.Width(text) <= wide {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && lipgloss.Width(string(runes)) > wide-1 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// flush prints the rest; a table without rows has no heads.
func (t *table) flush() error {
	if t.wide == nil && len(t.kept) > 1 {
		t.begin()
	}
	return t.w.Flush()
}
