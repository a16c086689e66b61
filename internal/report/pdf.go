package report

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

// MaxPDFRows is how many rows a PDF holds: a document is built in memory, and nobody reads more on paper.
const MaxPDFRows = 5000

// The sheet is A4 across; lengths are millimetres.
const (
	sheetWide   = 297.0
	sheetHigh   = 210.0
	margin      = 14.0
	inner       = sheetWide - 2*margin
	bottom      = sheetHigh - 16
	lineHigh    = 5.2
	cellPadding = 1.6
	smallType   = 7.5 // points
	textType    = 9.0
	titleType   = 19.0
)

// An ink is a colour.
type ink struct{ r, g, b int }

var (
	black  = ink{32, 38, 46}
	grey   = ink{112, 120, 130}
	rule   = ink{208, 213, 219}
	stripe = ink{246, 248, 250}
	accent = ink{31, 95, 168}
	pale   = ink{229, 238, 248}
)

// A sheet is a PDF that is being written.
type sheet struct {
	*fpdf.Fpdf
	plan    *Plan
	letters *letters
	cut     bool // some cell did not fit
}

// writePDF reads all rows and counts them for the charts, keeps the first ones, and draws.
func (p *Plan) writePDF(ctx context.Context, w io.Writer) (rows int, err error) {
	columns := p.columns()
	counters := p.counters()
	var kept [][]string
	for row, err := range p.rows(ctx) {
		if err != nil {
			return rows, err
		}
		for _, c := range counters {
			c.add(row)
		}
		if rows++; rows > MaxPDFRows {
			continue
		}
		cells := make([]string, len(columns))
		for i, v := range p.of(row) {
			cells[i] = onPaper(columns[i].Kind, v)
		}
		kept = append(kept, cells)
	}
	s, err := p.newSheet()
	if err != nil {
		return rows, err
	}
	s.title(rows)
	s.charts(counters)
	s.table(columns, kept)
	s.notes(rows)
	if err := s.Error(); err != nil {
		return rows, err
	}
	return rows, s.Output(w)
}

// onPaper is a value as people read it.
func onPaper(k Kind, v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case time.Time:
		if k == Moment && !v.IsZero() {
			return v.UTC().Format("2006-01-02 15:04")
		}
	}
	return shown(k, v)
}

func (p *Plan) newSheet() (*sheet, error) {
	letters, err := loadLetters()
	if err != nil {
		return nil, err
	}
	s := &sheet{Fpdf: fpdf.New("L", "mm", "A4", ""), plan: p, letters: letters}
	letters.embed(s.Fpdf)
	s.SetMargins(margin, margin, margin)
	s.SetAutoPageBreak(false, 0)
	s.SetCellMargin(0)
	s.SetTitle(p.Template.Title, true)
	s.SetCreator("Tallystick", true)
	s.SetCreationDate(p.At)
	s.SetModificationDate(p.At)
	s.SetCompression(true)
	s.AliasNbPages("{pages}")
	s.SetFooterFunc(s.footer)
	s.AddPage()
	return s, s.Error()
}

func (s *sheet) footer() {
	s.ink(grey)
	s.SetFont(family, "", smallType)
	s.SetXY(margin, sheetHigh-11)
	s.CellFormat(inner/2, 4, s.letters.shown("Tallystick: "+s.plan.Template.Title+", "+s.plan.At.Format("2006-01-02 15:04")+" UTC"), "", 0, "L", false, 0, "")
	s.CellFormat(inner/2, 4, fmt.Sprintf("page %d of {pages}", s.PageNo()), "", 0, "R", false, 0, "")
}

// title draws what the report is and what was asked for.
func (s *sheet) title(rows int) {
	p := s.plan
	s.fill(accent)
	s.Rect(0, 0, sheetWide, 3, "F")
	s.ink(black)
	s.SetFont(family, bold, titleType)
	s.SetXY(margin, margin-2)
	s.CellFormat(inner, 10, s.letters.shown(p.Template.Title), "", 1, "L", false, 0, "")
	s.SetFont(family, "", textType)
	s.ink(grey)
	s.MultiCell(inner, 4.6, s.letters.shown(p.Template.About), "", "L", false)
	said := []string{fmt.Sprintf("%d rows", rows), "as of " + p.At.Format("2006-01-02 15:04:05") + " UTC"}
	for _, name := range slices.Sorted(maps.Keys(p.Wish.Filters)) {
		said = append(said, name+" = "+p.Wish.Filters[name])
	}
	said = append(said, "order "+p.Order)
	s.ink(black)
	s.MultiCell(inner, 5.4, s.letters.shown(strings.Join(said, "   ·   ")), "", "L", false)
	s.Ln(3)
}

// table draws the rows, with the heads of columns on each page.
func (s *sheet) table(columns []Column, rows [][]string) {
	s.SetFont(family, "", smallType)
	wide := s.widths(columns, rows)
	if s.GetY()+4*lineHigh > bottom {
		s.AddPage()
	}
	s.heads(columns, wide)
	for n, cells := range rows {
		if s.GetY()+lineHigh > bottom {
			s.AddPage()
			s.heads(columns, wide)
		}
		s.SetFont(family, "", smallType)
		s.ink(black)
		s.fill(stripe)
		s.SetX(margin)
		for i, cell := range cells {
			s.cell(wide[i], cell, alignment(columns[i].Kind), n%2 == 1)
		}
		s.Ln(lineHigh)
	}
}

func alignment(k Kind) string {
	if k == Number {
		return "R"
	}
	return "L"
}

// cell draws a text with some air on both sides, cut if it is too wide.
func (s *sheet) cell(wide float64, text, align string, filled bool) {
	x, y := s.GetX(), s.GetY()
	if filled {
		s.Rect(x, y, wide, lineHigh, "F")
	}
	s.SetX(x + cellPadding)
	s.CellFormat(wide-2*cellPadding, lineHigh, s.fit(s.letters.shown(text), wide-2*cellPadding), "", 0, align, false, 0, "")
	s.SetXY(x+wide, y)
}

// fit cuts a text that is too wide.
func (s *sheet) fit(text string, wide float64) string {
	if s.GetStringWidth(text) <= wide {
		return text
	}
	s.cut = true
	runes := []rune(text)
	for len(runes) > 0 && s.GetStringWidth(string(runes)+"…") > wide {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

func (s *sheet) heads(columns []Column, wide []float64) {
	s.SetFont(family, bold, smallType)
	s.ink(accent)
	s.fill(pale)
	s.SetX(margin)
	for i, c := range columns {
		s.cell(wide[i], c.Title, alignment(c.Kind), true)
	}
	s.Ln(lineHigh)
}

// sampled is how many rows the widths of columns go by.
const sampled = 400

// widths shares the sheet among columns: each gets what it needs, or, if that is too much, the widest give.
func (s *sheet) widths(columns []Column, rows [][]string) []float64 {
	wide := make([]float64, len(columns))
	s.SetFont(family, bold, smallType)
	for i, c := range columns {
		wide[i] = s.GetStringWidth(c.Title) + 2*cellPadding + 1
	}
	s.SetFont(family, "", smallType)
	for _, cells := range rows[:min(sampled, len(rows))] {
		for i, cell := range cells {
			wide[i] = max(wide[i], s.GetStringWidth(s.letters.shown(cell))+2*cellPadding+1)
		}
	}
	sum := 0.0
	for _, n := range wide {
		sum += n
	}
	for sum > inner { // the widest give, a bit at a time
		most := slices.Index(wide, slices.Max(wide))
		give := min(2, sum-inner)
		wide[most] -= give
		sum -= give
	}
	if spare := (inner - sum) / float64(len(wide)); spare > 0 {
		for i := range wide {
			wide[i] += min(spare, 12)
		}
	}
	return wide
}

// notes says what the document does not show.
func (s *sheet) notes(rows int) {
	var all []string
	if rows == 0 {
		all = append(all, "There is nothing to report.")
	}
	if rows > MaxPDFRows {
		all = append(all, fmt.Sprintf("These are the first %d of %d rows; the charts count all. As CSV or JSON the report has every row.", MaxPDFRows, rows))
	}
	if s.cut {
		all = append(all, "Texts that end in … are longer: they are whole as CSV and JSON.")
	}
	if s.letters.missing {
		all = append(all, fmt.Sprintf("Characters that the font of this document does not have are shown as %c: CSV and JSON have them.", replacement))
	}
	for _, text := range all {
		if s.GetY()+2*lineHigh > bottom {
			s.AddPage()
		}
		s.Ln(1)
		s.SetX(margin)
		s.ink(grey)
		s.SetFont(family, "", smallType)
		s.MultiCell(inner, 4, text, "", "L", false)
	}
}

func (s *sheet) ink(c ink)  { s.SetTextColor(c.r, c.g, c.b) }
func (s *sheet) fill(c ink) { s.SetFillColor(c.r, c.g, c.b) }
func (s *sheet) line(c ink) { s.SetDrawColor(c.r, c.g, c.b); s.SetLineWidth(0.2) }
