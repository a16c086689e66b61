package ctkip

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Namespaces and identifiers of both dialects (ct-kip.md, 4).
const (
	nsSOAP    = "http://schemas.xmlsoap.org/soap/envelope/"
	nsService = "http://ctkipservice.rsasecurity.com"
	nsSchema  = "http://www.w3.org/2001/XMLSchema"
	nsXSI     = "http://www.w3.org/2001/XMLSchema-instance"
	nsDS      = "http://www.w3.org/2000/09/xmldsig#"
	ns2005x11 = "http://www.rsasecurity.com/rsalabs/otps/schemas/2005/11/ct-kip#"
	ns2005x12 = "http://www.rsasecurity.com/rsalabs/otps/schemas/2005/12/ct-kip#"

	keySecurID = "http://www.rsasecurity.com/rsalabs/otps/schemas/2005/09/otps-wst#SecurID-AES"
	encRSA15   = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
	encRSAOAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
)

const declaration = `<?xml version="1.0" encoding="UTF-8"?>`

const (
	maxDepth    = 16
	maxChildren = 64 // an element; a message needs 8
	maxAttrs    = 32 // an element; a message needs 6
)

// A node is one element: either text or children.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	children []*node
	text     string
}

// parseXML reads one document of at most limit octets. It takes a declaration, elements, text and
// comments; a document type, other processing instructions, text beside elements and anything
// after the root are refused, as is a name that occurs twice among siblings: no message repeats
// one but Algorithm and Extension, and of two nonces nobody could say which one counts. Errors
// quote nothing of the document, which may hold a code.
func parseXML(data []byte, limit int) (*node, error) {
	if len(data) > limit {
		return nil, formatError("longer than %d octets", limit)
	}
	var (
		d    = xml.NewDecoder(bytes.NewReader(data))
		top  = new(node) // holds the root
		open = []*node{top}
	)
	for first := true; ; first = false {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, formatError("not well-formed XML")
		}
		parent := open[len(open)-1]
		switch t := t.(type) {
		case xml.StartElement:
			n := &node{name: t.Name, attrs: slices.Clone(t.Attr)}
			if err := parent.add(n); err != nil {
				return nil, err
			}
			if open = append(open, n); len(open)-1 > maxDepth {
				return nil, formatError("more than %d levels", maxDepth)
			}
		case xml.EndElement:
			if parent.mixed() {
				return nil, formatError("text beside elements")
			}
			open = open[:len(open)-1]
		case xml.CharData:
			parent.text += string(t)
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return nil, formatError("a processing instruction")
			}
		case xml.Directive:
			return nil, formatError("a document type")
		}
	}
	if len(top.children) != 1 || top.mixed() {
		return nil, formatError("not exactly one root element")
	}
	return top.children[0], nil
}

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

// add appends a child, within the limits.
func (n *node) add(c *node) error {
	if len(n.children) == maxChildren || len(c.attrs) > maxAttrs {
		return formatError("too many elements or attributes")
	}
	if c.name.Local != "Algorithm" && c.name.Local != "Extension" && n.child(c.name.Space, c.name.Local) != nil {
		return formatError("an element that occurs twice")
	}
	for i, a := range c.attrs {
		if slices.ContainsFunc(c.attrs[:i], func(b xml.Attr) bool { return a.Name == b.Name }) {
			return formatError("an attribute that occurs twice")
		}
	}
	n.children = append(n.children, c)
	return nil
}

func (n *node) mixed() bool { return len(n.children) > 0 && trim(n.text) != "" }

// is says whether the element has this name.
func (n *node) is(space, local string) bool {
	return n != nil && n.name == xml.Name{Space: space, Local: local}
}

// child is the child of that name, or nil; a nil node has none.
func (n *node) child(space, local string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.is(space, local) {
			return c
		}
	}
	return nil
}

// value is the text without the white space around it; of a nil node, "".
func (n *node) value() string {
	if n == nil {
		return ""
	}
	return trim(n.text)
}

// attr is the value of an attribute that has no namespace, or "".
func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.Name.Space == "" && a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// kind is the local part of the type that the element claims to have (xsi:type), or "".
func (n *node) kind() string {
	for _, a := range n.attrs {
		if a.Name.Space == nsXSI && a.Name.Local == "type" {
			return a.Value[strings.LastIndexByte(a.Value, ':')+1:]
		}
	}
	return ""
}

// unqualify takes everything below n out of the messages' namespace. The RFC's schema has its
// elements outside and its examples have them inside, so the standard's messages are read as if
// they were all outside.
func (n *node) unqualify() error {
	children := n.children
	n.children = nil
	for _, c := range children {
		if c.name.Space == ns2005x12 {
			c.name.Space = ""
		}
		if err := n.add(c); err != nil {
			return err
		}
		if err := c.unqualify(); err != nil {
			return err
		}
	}
	return nil
}

// base64 is the octets in the element's text; ok is false, and there are none, where the element is
// missing or holds something else.
func (n *node) base64() (b []byte, ok bool) {
	if n == nil || len(n.children) > 0 {
		return nil, false
	}
	return decode64(n.text)
}

const whitespace = " \t\r\n"

func trim(s string) string { return strings.Trim(s, whitespace) }

var unspaced = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")

// decode64 reads padded standard base64, lenient towards white space and nothing else.
func decode64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(unspaced.Replace(s))
	if err != nil {
		return nil, false // not what came before the mistake
	}
	return b, true
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// escape makes s fit for a value between tags or double quotes. What XML or a one-line value
// cannot hold becomes U+FFFD.
func escape(s string) string {
	return escapes.Replace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}
