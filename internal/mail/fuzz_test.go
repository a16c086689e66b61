package mail

import (
	"errors"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

// Whatever somebody writes into a template: it is refused, or makes a message of a bounded size, whose subject is one line, at every event.
func FuzzTemplate(f *testing.F) {
	for _, e := range Events() {
		t, err := builtin(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(t.Subject, t.Text, t.HTML, "Alice Example")
	}
	f.Add("{{.UserName}}", "{{if eq .Total .Code}}{{end}}", "<a href={{.Link}} onclick={{.Code}}><script>{{.UserName}}</script>", "A\r\nBcc: b@example.com")
	f.Add("{{range .}}{{end}}", "{{template \"x\"}}", "{{define \"x\"}}{{end}}", "")
	f.Add("{{and 1 (or .Done)}}", "{{.Link.Scheme}}", "<style>{{.Code}}", "\"><b>")
	f.Fuzz(func(t *testing.T, subject, text, html, name string) {
		p, err := compile(Template{Subject: subject, Text: text, HTML: html})
		if err != nil {
			if !errors.Is(err, fault.TemplateInvalid) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		for _, e := range Events() {
			d := example(e)
			d.UserName = name
			b, err := p.write(d)
			if err != nil {
				if !errors.Is(err, fault.TemplateInvalid) {
					t.Errorf("%s: refused with %v", e, err)
				}
				continue
			}
			if strings.ContainsAny(b.Subject, "\r\n") || len(b.Subject) > maxWritten || len(b.Text) > maxWritten || len(b.HTML) > maxWritten {
				t.Errorf("%s: wrote %q and %d and %d bytes", e, b.Subject, len(b.Text), len(b.HTML))
			}
		}
	})
}
