package authentication_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/authentication"
)

// Every reason that the package has is explained, with a next step: a sentence each.
func TestEveryReasonIsExplained(t *testing.T) {
	f, err := parser.ParseFile(gotoken.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != gotoken.CONST {
			continue
		}
		for _, s := range g.Specs {
			for i, name := range s.(*ast.ValueSpec).Names {
				reason, err := strconv.Unquote(s.(*ast.ValueSpec).Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				e := authentication.Explain(reason)
				for _, sentence := range []string{e.Meaning, e.NextStep} {
					if len(sentence) < 20 || !strings.HasSuffix(sentence, ".") || seen[sentence] != "" {
						t.Errorf("%s: %q is no sentence of its own", name, sentence)
					}
					seen[sentence] = reason
				}
			}
		}
	}
	if len(seen) < 2*20 {
		t.Errorf("only %d sentences", len(seen))
	}
	if authentication.Explain("NOTHING") != (authentication.Explanation{}) {
		t.Error("an unknown reason is explained")
	}
}
