package cli_test

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cli"
)

var (
	head = []string{"SERIAL", "USER", "STATE"}
	rows = [][]string{{"153970000000", "alice", "active"}, {"153970000001", "bürger", "waits for its activation code"}, {"153970000002", "", ""}}
)

func TestTables(t *testing.T) {
	for name, c := range map[string]struct {
		columns int
		want    string
	}{
		"as wide as it is": {0, `
SERIAL        USER    STATE
153970000000  alice   active
153970000001  bürger  waits for its activation code
153970000002
`},
		"it fits": {51, `
SERIAL        USER    STATE
153970000000  alice   active
153970000001  bürger  waits for its activation code
153970000002
`},
		"wrapped between words": {40, `
SERIAL        USER    STATE
153970000000  alice   active
153970000001  bürger  waits for its
                      activation code
153970000002
`},
		"a block for each row": {30, `
serial 153970000000
user   alice
state  active

serial 153970000001
user   bürger
state  waits for its
       activation code

serial 153970000002
`},
		"no word is broken": {10, `
serial 153970000000
user   alice
state  active

serial 153970000001
user   bürger
state  waits
       for
       its
       activation
       code

serial 153970000002
`},
	} {
		var b strings.Builder
		if err := cli.Table(&b, c.columns, head, rows); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + b.String(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTablesDoNotMoveTheCursor(t *testing.T) {
	var b strings.Builder
	if err := cli.Table(&b, 0, []string{"A", "B"}, [][]string{{"x\x1b[2J\ny", "日本"}, {"\u202eshort\u2066row"}, {"long", "row", "more"}}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != "A           B\nx [2J y     日本\n short row\nlong        row   more\n" {
		t.Errorf("%q", got)
	}
}

func TestFieldsStandUnderEachOther(t *testing.T) {
	var b strings.Builder
	if err := cli.Fields(&b, 24, 8, "name", "a b c d e f g h i j", "empty", "", "longer name", "x"); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != "name        a b c d e f\n            g h i j\nlonger name x\n" {
		t.Errorf("%q", got)
	}
}

func TestWidthOfWhatIsNoTerminal(t *testing.T) {
	if n := cli.Width(&strings.Builder{}); n != 0 {
		t.Errorf("%d columns", n)
	}
}

func TestParagraph(t *testing.T) {
	for columns, want := range map[int]string{16: "    one two\n    three four\n", 0: "    one two three four\n"} {
		var out strings.Builder
		if err := cli.Paragraph(&out, columns, "    ", "one two three four"); err != nil || out.String() != want {
			t.Errorf("%d columns: %q, %v", columns, out.String(), err)
		}
	}
}
