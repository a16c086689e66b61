package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"
)

// gap is what stands between two columns.
const gap = "  "

// Width is how many columns the terminal has that out is, 0 if it is none: then lines may be as long as they are.
func Width(out io.Writer) int {
	terminal := Terminal(out)
	if terminal == nil {
		return 0
	}
	columns, _, err := term.GetSize(int(terminal.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// Table prints rows under their heads, in a terminal of so many columns (0: any). Where a row is too long, cells are wrapped
// between words; where that is not enough, each row is a block of lines instead. No word is ever broken or left out:
// what is in a cell can be copied.
func Table(out io.Writer, columns int, head []string, rows [][]string) error {
	clean := make([][]string, 0, len(rows)+1)
	n := len(head)
	for _, row := range rows {
		n = max(n, len(row)) // what is said of some rows has no head
	}
	for _, row := range append([][]string{head}, rows...) {
		cells := make([]string, n)
		for i, cell := range row {
			cells[i] = oneLine(cell)
		}
		clean = append(clean, cells)
	}
	widths, fits := columnWidths(clean, columns)
	if !fits {
		return blocks(out, columns, clean)
	}
	var b strings.Builder
	for _, row := range clean {
		writeRow(&b, row, widths)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// oneLine is a text as it may stand in a table: what would move the cursor, or turn the rest of the line around, is a blank.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		turns := r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 // the embeddings, overrides and isolates of bidirectional text
		if unicode.IsControl(r) || turns {
			return ' '
		}
		return r
	}, text)
}

// columnWidths are those with which rows are at most so many columns wide, if cells are wrapped between words.
func columnWidths(rows [][]string, columns int) (widths []int, fits bool) {
	least := make([]int, len(rows[0]))
	widths = make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
			for word := range strings.FieldsSeq(cell) {
				least[i] = max(least[i], lipgloss.Width(word))
			}
		}
	}
	total := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; columns > 0 && total > columns; total-- {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return nil, false
		}
		widths[widest]--
	}
	return widths, true
}

// writeRow writes a row, on as many lines as its longest cell takes.
func writeRow(b *strings.Builder, row []string, widths []int) {
	cells := make([][]string, len(row))
	lines := 1
	for i, cell := range row {
		cells[i] = wrap(cell, widths[i])
		lines = max(lines, len(cells[i]))
	}
	for n := range lines {
		var line strings.Builder
		for i, cell := range cells {
			text := ""
			if n < len(cell) {
				text = cell[n]
			}
			line.WriteString(text + strings.Repeat(" ", widths[i]-lipgloss.Width(text)) + gap)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// wrap breaks a text between words into lines of at most so many columns, unless a word is longer.
func wrap(text string, columns int) []string {
	if columns <= 0 || lipgloss.Width(text) <= columns {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case lipgloss.Width(line)+1+lipgloss.Width(word) <= columns:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// Paragraph prints a text on lines that begin with an indent and are at most so many columns wide (0: one line), unless a word is longer.
func Paragraph(out io.Writer, columns int, indent, text string) error {
	var b strings.Builder
	for _, line := range wrap(oneLine(text), columns-lipgloss.Width(indent)) {
		b.WriteString(indent + line + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// blocks prints each row as lines of head and cell, with an empty line between two rows.
func blocks(out io.Writer, columns int, rows [][]string) error {
	head := rows[0]
	for n, row := range rows[1:] {
		if n > 0 {
			fmt.Fprintln(out)
		}
		pairs := make([]string, 0, 2*len(head))
		for i := range head {
			pairs = append(pairs, strings.ToLower(head[i]), row[i])
		}
		if err := Fields(out, columns, 0, pairs...); err != nil {
			return err
		}
	}
	return nil
}

// Fields prints names and values, leaving out empty values. Names stand in least columns or more; values that are longer than
// the terminal is wide are wrapped between words.
func Fields(out io.Writer, columns, least int, pairs ...string) error {
	names := least
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			names = max(names, lipgloss.Width(pairs[i]))
		}
	}
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		name := pairs[i]
		for _, line := range wrap(oneLine(pairs[i+1]), columns-names-1) {
			b.WriteString(name + strings.Repeat(" ", names-lipgloss.Width(name)) + " " + line + "\n")
			name = ""
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
