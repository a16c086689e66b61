package device

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Names of the elements that hold one definition, and many.
const (
	oneElement  = "devicedefinition"
	manyElement = "devicedefinitions"
)

// An element of an XML file.
type element struct {
	name     string
	line     int
	text     strings.Builder
	attrs    []xml.Attr
	children []*element
}

// readXML reads the XML form of a definition file.
func readXML(file []byte) ([]entry, []string, error) {
	root, err := parseXML(file)
	if err != nil {
		return nil, nil, err
	}
	var entries []entry
	var x xmlReader
	switch spelled(root.name) {
	case oneElement:
		entries = []entry{x.entry(root)}
	case manyElement:
		for _, child := range root.children {
			if spelled(child.name) != oneElement {
				return nil, nil, invalid(child.line, "<%s> is no DeviceDefinition", short(child.name))
			}
			entries = append(entries, x.entry(child))
		}
	default:
		return nil, nil, invalid(root.line, "the root element is DeviceDefinition, or DeviceDefinitions with some of them in it, not %s", short(root.name))
	}
	if x.err != nil {
		return nil, nil, x.err
	}
	return entries, x.passed, enough(entries)
}

// parseXML reads the tree of a document. Namespaces, comments and processing instructions are passed over; a document type,
// an attribute that is there twice and what follows the root are refused.
func parseXML(file []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(file))
	var root *element
	var open []*element
	for {
		line, _ := d.InputPos()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, notXML(d, err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, invalid(line, "a definition file takes no document type (DOCTYPE)")
		case xml.StartElement:
			if len(open) == 0 && root != nil {
				return nil, invalid(line, "there is a second root element, %s", short(token.Name.Local))
			}
			if len(open) == maxDepth {
				return nil, invalid(line, "elements are nested more than %d deep", maxDepth)
			}
			e := &element{name: token.Name.Local, line: line}
			if e.attrs, err = attributes(token, line); err != nil {
				return nil, err
			}
			if root == nil {
				root = e
			} else {
				above := open[len(open)-1]
				above.children = append(above.children, e)
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text.Write(token)
			} else if len(bytes.TrimSpace(token)) > 0 {
				return nil, invalid(line, "there is text outside the root element")
			}
		}
	}
	if root == nil {
		return nil, invalid(1, "there is no element")
	}
	return root, nil
}

// notXML tells where a document is not well formed.
func notXML(d *xml.Decoder, err error) error {
	line, _ := d.InputPos()
	what := err.Error()
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		line, what = syntax.Line, syntax.Msg
	}
	return invalid(line, "this is not well-formed XML: %s", short(what))
}

// attributes are those of an element, but for namespaces.
func attributes(start xml.StartElement, line int) ([]xml.Attr, error) {
	seen := map[xml.Name]bool{}
	var all []xml.Attr
	for _, a := range start.Attr {
		if seen[a.Name] {
			return nil, invalid(line, "the attribute %s is there twice", short(a.Name.Local))
		}
		seen[a.Name] = true
		if a.Name.Space == "" && a.Name.Local != "xmlns" {
			all = append(all, a)
		}
	}
	return all, nil
}

// An xmlReader turns elements into entries.
type xmlReader struct {
	passed []string // over
	err    error
}

func (x *xmlReader) entry(e *element) entry {
	out := entry{line: e.line}
	for _, a := range e.attrs {
		x.add(&out, field{a.Name.Local, e.line, []value{{strings.TrimSpace(a.Value), e.line}}})
	}
	for _, child := range e.children {
		x.add(&out, field{child.name, child.line, x.values(child)})
	}
	if text := strings.TrimSpace(e.text.String()); text != "" && x.err == nil {
		x.err = invalid(e.line, "there is text between the elements of the definition: %s", short(text))
	}
	return out
}

// add keeps a field that means something, and notes others.
func (x *xmlReader) add(out *entry, f field) {
	if settings[spelled(f.name)] == nil {
		x.passed = append(x.passed, fmt.Sprintf("line %d: %s means nothing here and was passed over", f.line, short(f.name)))
		return
	}
	out.fields = append(out.fields, f)
}

// values are the texts of an element: its own, or those of its children.
func (x *xmlReader) values(e *element) []value {
	for _, a := range e.attrs {
		x.passed = append(x.passed, fmt.Sprintf("line %d: the attribute %s means nothing here and was passed over", e.line, short(a.Name.Local)))
	}
	text := strings.TrimSpace(e.text.String())
	if len(e.children) == 0 {
		return []value{{text, e.line}}
	}
	if text != "" && x.err == nil {
		x.err = invalid(e.line, "%s holds both text and elements", short(e.name))
	}
	var all []value
	for _, child := range e.children {
		all = append(all, x.values(child)...)
	}
	return all
}

// short is a text from a file as far as a message shows it.
func short(text string) string {
	const longest = 64
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return '?'
		}
		return r
	}, text)
}
