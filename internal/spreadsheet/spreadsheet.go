// Package spreadsheet keeps spreadsheets from taking texts of our tables for
// formulas: whoever may choose a name could have one fetch or run something
// where somebody opens the table.
package spreadsheet

import "strings"

// formulas are the characters that begin one, as they are and in full width.
const formulas = "=+-@＝＋－＠"

// Guarded puts an apostrophe where a formula could begin: at the beginning of a cell, and where another program or language has a cell begin
// in the middle of it, as Excel has at semicolons in German and French. Nothing else is changed.
func Guarded(cell string) string {
	var b strings.Builder
	written := 0
	begins, blanks := true, true // a cell could begin here; also with blanks before the formula
	for at, r := range cell {
		if begins && strings.ContainsRune(formulas, r) || at == 0 && strings.ContainsRune("\t\r\n", r) {
			b.WriteString(cell[written:at] + "'")
			written = at
		}
		switch r {
		case ';', '\t', '\r', '\n':
			begins, blanks = true, true
		case ',', '"': // of texts: "it is lost, - as she says" stays
			begins, blanks = true, false
		case ' ':
			begins = begins && blanks
		default:
			begins = false
		}
	}
	return b.String() + cell[written:]
}
