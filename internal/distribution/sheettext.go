package distribution

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/tallystick/tallystick/internal/typeface"
)

const (
	typeSize  = 9   // points
	lineWidth = 136 // points that a line may take
	lineMost  = 26  // characters of Helvetica that surely fit
)

// name is the name of a user as it is printed, and nothing where the font lacks a part of it: what is left of a name may be somebody else's. The user ID
// stands below it.
func (s *sheetWriter) name(text string) string {
	for _, r := range norm.NFC.String(text) {
		if !s.shows(r) {
			return ""
		}
	}
	return text
}

// shows tells whether a character can be printed, or is none that is seen.
func (s *sheetWriter) shows(r rune) bool {
	return western(r) || unicode.In(r, unicode.Cf, unicode.Cc) || s.font.Has(r)
}

// western tells whether Helvetica has a character.
func western(r rune) bool { return r >= ' ' && r < 0x7f || r >= 0xa0 && r <= 0xff }

// text is a line of text as an operand of a page, with the choice of its font. A character that the font lacks is printed as its number, [5C71], so that
// two user IDs never look the same.
func (s *sheetWriter) text(line string) string {
	var b strings.Builder
	simple := true
	for _, r := range norm.NFC.String(line) {
		switch {
		case unicode.Is(unicode.Cf, r): // marks that are not seen
		case unicode.Is(unicode.Cc, r):
			b.WriteByte(' ')
		case western(r):
			b.WriteRune(r)
		case s.font.Has(r):
			simple = false
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "[%04X]", r)
		}
	}
	if simple {
		return fmt.Sprintf("/F %d Tf (%s)", typeSize, winText(b.String(), lineMost))
	}
	return fmt.Sprintf("/U %d Tf <%s>", typeSize, s.wide(typeface.InSight(b.String())))
}

// wide is a text in the font of the document, as its characters by their numbers, cut where the line ends.
func (s *sheetWriter) wide(text string) string {
	const end = '…'
	var b strings.Builder
	write := func(r rune) {
		s.used[r] = true
		fmt.Fprintf(&b, "%04X", r)
	}
	at, left := 0, lineWidth*1000/typeSize
	runes := []rune(text)
	whole := 0
	for _, r := range runes {
		whole += s.font.Advance(r)
	}
	if whole > left {
		left -= s.font.Advance(end)
	}
	for at < len(runes) && s.font.Advance(runes[at]) <= left {
		left -= s.font.Advance(runes[at])
		write(runes[at])
		at++
	}
	if at < len(runes) {
		write(end)
	}
	return b.String()
}

// winText is a text of at most so many characters in WinAnsiEncoding, as a PDF string holds it.
func winText(text string, most int) string {
	var b strings.Builder
	for n, r := range []rune(text) {
		switch {
		case n == most:
			b.WriteString("...")
			return b.String()
		case r == '(' || r == ')' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(r))
		case r > 0x7f:
			fmt.Fprintf(&b, `\%03o`, r)
		default:
			b.WriteByte(byte(r))
		}
	}
	return b.String()
}

// toUnicode says that characters are named by their numbers, so that text can be searched and copied.
const toUnicode = `/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
1 beginbfrange
<0000> <FFFF> <0000>
endbfrange
endcmap
CMapName currentdict /CMap defineresource pop
end
end
`

// embed writes the font, and returns the number of its object. Pages name characters by their numbers in Unicode; a table leads to the glyphs of those
// that are used. It is the whole font, some 350 KB: which characters a document has is known when its pages are written already.
func (s *sheetWriter) embed() (int, error) {
	box, err := s.font.Box()
	if err != nil {
		return 0, err
	}
	glyphs := make([]byte, 2*0x10000)
	var widths strings.Builder
	for _, r := range slices.Sorted(maps.Keys(s.used)) {
		binary.BigEndian.PutUint16(glyphs[2*r:], uint16(s.font.Glyph(r))) // fonts have no more glyphs than that
		fmt.Fprintf(&widths, "%d [%d] ", r, s.font.Advance(r))
	}
	file := s.stream(typeface.Regular, fmt.Sprintf(" /Length1 %d", len(typeface.Regular)))
	table, unicodes := s.stream(glyphs, ""), s.stream([]byte(toUnicode), "")
	const name = "DejaVuSansCondensed"
	descriptor := s.object(0)
	s.print("<</Type /FontDescriptor /FontName /%s /Flags 32 /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight 729 /StemV 80 /FontFile2 %d 0 R>> endobj\n",
		name, box[0], box[1], box[2], box[3], box[3], box[1], file)
	descendant := s.object(0)
	s.print("<</Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo <</Registry (Adobe) /Ordering (Identity) /Supplement 0>> /FontDescriptor %d 0 R /DW 600 /W [%s] /CIDToGIDMap %d 0 R>> endobj\n",
		name, descriptor, widths.String(), table)
	number := s.object(0)
	s.print("<</Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R>> endobj\n", name, descendant, unicodes)
	return number, nil
}
