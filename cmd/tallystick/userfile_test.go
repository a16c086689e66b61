package main

import (
	"strings"
	"testing"
)

// Titles of columns come from a file that somebody else may have written: they draw nothing on a terminal, and fill it with nothing.
func TestTitlesOfColumns(t *testing.T) {
	if got := titles([]string{"Full name", "evil\ntallystick: 99 added", "\x1b[31m", "Größe"}, ", "); got != `Full name, "evil\ntallystick: 99 added", "\x1b[31m", Größe` {
		t.Error(got)
	}
	if got := titles(append(make([]string, 29999), strings.Repeat("ä", 99)), ", "); len(got) > 300 || !strings.HasSuffix(got, ", and 29980 more") {
		t.Error(got)
	}
	if got := titles([]string{strings.Repeat("ä", 99)}, "+"); got != strings.Repeat("ä", 30)+"..." {
		t.Error(got)
	}
}
