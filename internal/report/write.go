package report

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/spreadsheet"
)

// A Format is what a report is written as.
type Format string

// The formats.
const (
	CSV  Format = "csv"
	JSON Format = "json"
	PDF  Format = "pdf"
)

// MediaType is what the format is called on the web.
func (f Format) MediaType() string {
	switch f {
	case CSV:
		return "text/csv"
	case PDF:
		return "application/pdf"
	}
	return "application/json"
}

// Write writes the report while it is read, and tells how many rows it has. A PDF holds the first [MaxPDFRows] of them, and charts of all.
func (p *Plan) Write(ctx context.Context, f Format, w io.Writer) (rows int, err error) {
	switch f {
	case CSV:
		return p.writeCSV(ctx, w)
	case JSON:
		return p.writeJSON(ctx, w)
	case PDF:
		return p.writePDF(ctx, w)
	}
	return 0, fault.New(fault.Invalid, "a report is written as csv, json or pdf, not as %q", f)
}

// writeCSV writes a line of names and a line for each row (RFC 4180).
func (p *Plan) writeCSV(ctx context.Context, w io.Writer) (rows int, err error) {
	out := csv.NewWriter(w)
	columns := p.columns()
	if err := out.Write(columnNames(columns)); err != nil {
		return 0, err
	}
	line := make([]string, len(columns))
	for row, err := range p.rows(ctx) {
		if err != nil {
			return rows, err
		}
		for i, v := range p.of(row) {
			if line[i] = shown(columns[i].Kind, v); columns[i].Kind == Text {
				line[i] = spreadsheet.Guarded(line[i])
			}
		}
		if err := out.Write(line); err != nil {
			return rows, err
		}
		rows++
	}
	out.Flush()
	return rows, out.Error()
}

// shown is a value as text: times in RFC 3339, days as 2026-11-24, nothing for none.
func shown(k Kind, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		if k == Day {
			return v.UTC().Format(time.DateOnly)
		}
		return v.UTC().Format(time.RFC3339)
	}
	return ""
}

// A head is what a JSON document says before the rows.
type head struct {
	Report  string            `json:"report"`
	Title   string            `json:"title"`
	At      time.Time         `json:"at"`
	Order   string            `json:"order"`
	Filters map[string]string `json:"filters"`
	Columns []headColumn      `json:"columns"`
}

type headColumn struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Kind  Kind   `json:"kind"`
}

// writeJSON writes one document: a head, the rows as objects, and at the end how many there are, so that a document that was cut off shows it.
func (p *Plan) writeJSON(ctx context.Context, w io.Writer) (rows int, err error) {
	h := head{Report: p.Template.Name, Title: p.Template.Title, At: p.At, Order: p.Order, Filters: p.Filters}
	if h.Filters == nil {
		h.Filters = map[string]string{}
	}
	columns := p.columns()
	names := make([][]byte, len(columns))
	for i, c := range columns {
		h.Columns = append(h.Columns, headColumn{c.Name, c.Title, c.Kind})
		names[i] = strconv.AppendQuote(nil, c.Name) // plain letters
	}
	begin, err := json.Marshal(h)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(w)
	out.Write(begin[:len(begin)-1]) // an error stays, and Flush tells it
	out.WriteString(`,"rows":[`)
	for row, err := range p.rows(ctx) {
		if err != nil {
			return rows, err
		}
		if rows > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n{")
		for i, v := range p.of(row) {
			if i > 0 {
				out.WriteByte(',')
			}
			out.Write(names[i])
			out.WriteByte(':')
			if err := writeValue(out, columns[i].Kind, v); err != nil {
				return rows, err
			}
		}
		if err := out.WriteByte('}'); err != nil {
			return rows, err
		}
		rows++
	}
	out.WriteString("],\n\"count\":" + strconv.Itoa(rows) + "}\n")
	return rows, out.Flush()
}

// writeValue writes a value as JSON: a time that is not there is null.
func writeValue(out *bufio.Writer, k Kind, v any) error {
	if t, is := v.(time.Time); is {
		if t.IsZero() {
			_, err := out.WriteString("null")
			return err
		}
		v = shown(k, t)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}
