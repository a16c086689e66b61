package main

import "strings"

// font holds digits of three by five dots, a row after the other.
var font = map[rune][5]string{
	'0': {"###", "# #", "# #", "# #", "###"},
	'1': {" # ", "## ", " # ", " # ", "###"},
	'2': {"###", "  #", "###", "#  ", "###"},
	'3': {"###", "  #", "###", "  #", "###"},
	'4': {"# #", "# #", "###", "  #", "  #"},
	'5': {"###", "#  ", "###", "  #", "###"},
	'6': {"###", "#  ", "###", "# #", "###"},
	'7': {"###", "  #", "  #", "  #", "  #"},
	'8': {"###", "# #", "###", "# #", "###"},
	'9': {"###", "# #", "###", "  #", "###"},
	'-': {"   ", "   ", " # ", "   ", "   "},
}

// block draws a code of digits, or of dashes where it is not known, on five
// lines. A dot is scale columns wide: 2 looks square, 1 fits narrow terminals.
func block(code string, scale int) []string {
	lines := make([]string, 5)
	for i, digit := range code {
		gap := scale
		if i == 0 {
			gap = 0
		} else if i == len(code)/2 {
			gap = 3 * scale // two groups, as people read codes
		}
		for row, dots := range font[digit] {
			wide := strings.NewReplacer("#", strings.Repeat("█", scale), " ", strings.Repeat(" ", scale)).Replace(dots)
			lines[row] += strings.Repeat(" ", gap) + wide
		}
	}
	return lines
}
