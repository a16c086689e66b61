package distribution

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"github.com/tallystick/tallystick/internal/typeface"
)

// The sheets are A4, in points: cells of two columns and four rows, to be cut apart. In each, the code, and beside it whose it is.
const (
	pageWidth, pageHeight = 595, 842
	columnsOnPage         = 2
	rowsOnPage            = 4
	cellWidth             = pageWidth / columnsOnPage
	cellHeight            = pageHeight / rowsOnPage
	codeSize              = 140
	cellMargin            = 12
)

// A sheetWriter writes a PDF document (ISO 32000) page by page: what it remembers is where the pages begin, and which characters it has
// used. Lines of Western Europe are in Helvetica, which every reader has; others are in a font that becomes part of the document.
type sheetWriter struct {
	w       io.Writer
	at      int
	objects []int // where each begins; object n is objects[n-1]
	pages   []int // numbers of objects
	page    bytes.Buffer
	cells   int // on the page
	font    *typeface.Font
	used    map[rune]bool // of the font
	err     error
}

// Objects with fixed numbers.
const (
	catalogObject = 1 + iota
	pagesObject
	resourcesObject
	fontObject
)

func writeSheets(w io.Writer, all iter.Seq2[Delivered, error]) error {
	font, err := typeface.Load()
	if err != nil {
		return err
	}
	s := &sheetWriter{w: w, objects: make([]int, fontObject), font: font, used: map[rune]bool{}}
	s.print("%%PDF-1.4\n%%\xe2\xe3\xcf\xd3\n")
	for d, err := range all {
		if err != nil {
			return err
		}
		if d.QR == "" {
			continue
		}
		if err := s.cell(d); err != nil {
			return err
		}
	}
	return s.end()
}

func (s *sheetWriter) print(format string, args ...any) {
	if s.err != nil {
		return
	}
	n, err := fmt.Fprintf(s.w, format, args...)
	s.at, s.err = s.at+n, err
}

// object begins an object: one with a fixed number, or a new one for 0.
func (s *sheetWriter) object(number int) int {
	if number == 0 {
		s.objects = append(s.objects, 0)
		number = len(s.objects)
	}
	s.objects[number-1] = s.at
	s.print("%d 0 obj\n", number)
	return number
}

// cell draws one delivery.
func (s *sheetWriter) cell(d Delivered) error {
	code, err := DrawQR(d.QR)
	if err != nil {
		return err
	}
	x, y := s.cells%columnsOnPage*cellWidth, pageHeight-(s.cells/columnsOnPage+1)*cellHeight
	fmt.Fprintf(&s.page, "q 0.7 G 0.5 w [2 3] 0 d %d %d %d %d re S Q\n", x, y, cellWidth, cellHeight)
	fmt.Fprintf(&s.page, "q %d 0 0 %d %d %d cm BI /W %d /H %d /BPC 1 /CS /G /F /AHx ID\n%s>\nEI Q\n",
		codeSize, codeSize, x+cellMargin, y+(cellHeight-codeSize)/2, code.side(), code.side(), hex.EncodeToString(code.bits()))
	lines := []string{s.name(d.UserName), d.UserID, d.Serial, d.Profile}
	if !d.ActivationExpires.IsZero() {
		lines = append(lines, "good until", d.ActivationExpires.UTC().Format("2006-01-02 15:04 UTC"))
	} else if d.Password != "" {
		lines = append(lines, "with your password")
	}
	left, down := x+cellMargin+codeSize+4, y+cellHeight/2+30
	fmt.Fprintf(&s.page, "BT 13 TL %d %d Td\n", left, down)
	for _, line := range lines {
		if line != "" {
			fmt.Fprintf(&s.page, "%s Tj T*\n", s.text(line))
		}
	}
	s.page.WriteString("ET\n")
	if s.cells++; s.cells == columnsOnPage*rowsOnPage {
		s.endPage()
	}
	return s.err
}

// bits are the modules of the code with its margin, a line after the other, eight in a byte; a light one is 1.
func (q QRCode) bits() []byte {
	width := (q.side() + 7) / 8
	all := make([]byte, width*q.side())
	for y := range q.side() {
		for x := range q.side() {
			if !q.black(x, y) {
				all[y*width+x/8] |= 0x80 >> (x % 8)
			}
		}
	}
	return all
}

// stream writes bytes as an object of their own, with what else its dictionary says, and returns its number.
func (s *sheetWriter) stream(content []byte, also string) int {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(content); s.err == nil {
		s.err = err
	}
	if err := z.Close(); s.err == nil {
		s.err = err
	}
	number := s.object(0)
	s.print("<</Length %d%s /Filter /FlateDecode>> stream\n", packed.Len(), also)
	s.print("%s", packed.String())
	s.print("\nendstream endobj\n")
	return number
}

func (s *sheetWriter) endPage() {
	content := s.stream(s.page.Bytes(), "")
	s.pages = append(s.pages, s.object(0))
	s.print("<</Type /Page /Parent %d 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R /Resources %d 0 R>> endobj\n",
		pagesObject, pageWidth, pageHeight, content, resourcesObject)
	s.page.Reset()
	s.cells = 0
}

// end writes the last page and what holds the pages together. A document without codes has an empty page.
func (s *sheetWriter) end() error {
	if s.cells > 0 || len(s.pages) == 0 {
		s.endPage()
	}
	s.object(fontObject)
	s.print("<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>> endobj\n")
	embedded := ""
	if len(s.used) > 0 {
		number, err := s.embed()
		if err != nil {
			return err
		}
		embedded = fmt.Sprintf(" /U %d 0 R", number)
	}
	s.object(resourcesObject)
	s.print("<</Font <</F %d 0 R%s>>>> endobj\n", fontObject, embedded)
	s.object(pagesObject)
	s.print("<</Type /Pages /Count %d /Kids [", len(s.pages))
	for _, page := range s.pages {
		s.print("%d 0 R ", page)
	}
	s.print("]>> endobj\n")
	s.object(catalogObject)
	s.print("<</Type /Catalog /Pages %d 0 R>> endobj\n", pagesObject)
	table := s.at
	s.print("xref\n0 %d\n0000000000 65535 f \n", len(s.objects)+1)
	for _, at := range s.objects {
		s.print("%010d 00000 n \n", at)
	}
	s.print("trailer <</Size %d /Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(s.objects)+1, catalogObject, table)
	return s.err
}
