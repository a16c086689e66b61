package sdtid

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds on what Parse takes. A batch of 10,000 tokens has at most 13 MB and
// 400,000 elements; the worst file within the bounds takes 0.25 GB of memory.
const (
	MaxSize = 16 << 20 // bytes of a file

	maxElements = 1 << 19
	maxDepth    = 32
	maxMarkup   = 8 * maxSection // bytes of one tag, or of text between two; escapes count
	maxKept     = 4 * maxSection // bytes of names and text in a header or token, with blanks and MACs, which no MAC covers
)

// Parse reads a token file: the XML document that begins at the first "<?xml "
// in data, so that a byte-order mark or the text of a mail may precede it. The
// seeds stay encrypted until Open.
//
// Serials must be decimal and unique in the file, and a document type is
// refused; attributes, comments and unknown elements are not looked at, though
// unknown elements count for the MACs. Errors: ErrFormat, ErrTooLarge.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxSize)
	}
	doc := &document{}
	if err := doc.read(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	if doc.header.name == "" || len(doc.tokens) == 0 || !doc.trailer {
		return nil, malformed("header, token or trailer is missing")
	}
	f := &File{header: doc.header, tokens: make([]record, len(doc.tokens))}
	defaults := doc.header.fields()
	seen := make(map[string]bool, len(doc.tokens))
	for i, body := range doc.tokens {
		fields := fieldsOfToken{body.fields(), defaults}
		batch, err := fields.batch()
		if err == nil {
			f.tokens[i], err = fields.record()
		}
		if err != nil {
			return nil, fmt.Errorf("%w (token %d of %d)", err, i+1, len(doc.tokens))
		}
		f.tokens[i].body = body
		serial := f.tokens[i].Serial
		if i == 0 {
			f.batch = batch
		} else if batch != f.batch {
			// A token may override even these (section 2.3), but tokens of one
			// file have one password and one header MAC between them.
			return nil, malformed("token %s has key material of its own", serial)
		}
		if seen[serial] {
			return nil, malformed("two tokens %s", serial)
		}
		seen[serial] = true
	}
	f.plain = f.batch.key(f.batch.origin)
	if f.plainErr = f.verify(f.plain); errors.Is(f.plainErr, ErrTooLarge) {
		return nil, f.plainErr
	}
	return f, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// An element of the XML document: a leaf with text, or a container.
type element struct {
	name     string
	text     []byte // character data as parsed; nil in a container
	children []element
}

// A document is what has been read of the XML so far.
type document struct {
	header  element // the first one
	tokens  []element
	trailer bool

	open     []element // the elements around the place where we are, root first
	elements int
	kept     int // bytes of names and text in the header or token where we are

	each func(*element) error // takes each token in place of tokens; nil to gather them
}

// read reads the document in a file.
func (d *document) read(file io.Reader) error {
	in := &bounded{Reader: bufio.NewReader(file)}
	if err := in.declaration(); err != nil {
		return err
	}
	decoder := xml.NewDecoder(in)
	for {
		in.left = maxMarkup
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case in.failed != nil:
			return in.failed
		case err != nil:
			return notWellFormed(err, decoder)
		}
		switch token := token.(type) {
		case xml.Directive:
			err = malformed("it declares a document type")
		case xml.StartElement:
			err = d.start(token.Name.Local)
		case xml.CharData:
			err = d.text(token)
		case xml.EndElement:
			err = d.end()
		}
		if err != nil {
			return err
		}
	}
}

func (d *document) start(name string) error {
	if d.elements == maxElements || len(d.open) == maxDepth {
		return fmt.Errorf("%w: more than %d elements, or %d inside one another", ErrTooLarge, maxElements, maxDepth)
	}
	if len(d.open) == 0 && (d.elements > 0 || name != "TKNBatch") {
		return malformed("it is not one TKNBatch")
	}
	d.elements++
	d.open = append(d.open, element{name: name})
	if len(d.open) == 2 {
		d.kept = 0
	}
	return d.keep(len(name))
}

// keep counts n bytes that are kept. Comments may cut a text without end into pieces that are each small enough.
func (d *document) keep(n int) error {
	if !d.wanted() {
		return nil
	}
	if d.kept += n; d.kept > maxKept {
		return fmt.Errorf("%w: more than %d bytes of names and text in a header or token", ErrTooLarge, maxKept)
	}
	return nil
}

// wanted tells whether we are in a header or token. Nothing reads the trailer, whose signature is not checked, or what is unknown.
func (d *document) wanted() bool {
	if len(d.open) < 2 {
		return false
	}
	name := d.open[1].name
	return name == "TKN" || name == "TKNHeader" && d.header.name == ""
}

func (d *document) text(text []byte) error {
	switch n := len(d.open); {
	case d.wanted():
		d.open[n-1].text = append(d.open[n-1].text, text...)
		return d.keep(len(text))
	case n == 0 && trim(string(text)) != "":
		return malformed("text after the end of the document")
	}
	return nil
}

// end closes the innermost element. The decoder has checked that there is one.
func (d *document) end() error {
	n := len(d.open) - 1
	e := d.open[n]
	d.open = d.open[:n]
	if len(e.children) > 0 {
		e.text = nil
	}
	switch {
	case d.wanted():
		d.open[n-1].children = append(d.open[n-1].children, e)
	case n > 1: // dropped
	case n == 0: // the root, whose children are known
	case e.name == "TKN" && d.each != nil:
		d.elements = 1 // they are not kept
		return d.each(&e)
	case e.name == "TKN":
		d.tokens = append(d.tokens, e)
	case e.name == "TKNHeader" && d.header.name == "":
		d.header = e
	case e.name == "TKNTrailer":
		d.trailer = true
	}
	return nil
}

// notWellFormed names the line only: the parser's own words may quote the seed.
func notWellFormed(err error, d *xml.Decoder) error {
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	line, _ := d.InputPos()
	return malformed("no well-formed XML in line %d", line)
}

// bounded stops the XML decoder, which has no limits of its own, in a tag or
// text that takes more than left bytes.
type bounded struct {
	*bufio.Reader
	left   int
	failed error // of the file, which is no fault of the XML
}

func (b *bounded) ReadByte() (byte, error) {
	if b.left--; b.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes in one tag or text", ErrTooLarge, maxMarkup)
	}
	c, err := b.Reader.ReadByte()
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = err
	}
	return c, err
}

// declaration goes on to the XML declaration.
func (b *bounded) declaration() error {
	const begin = "<?xml "
	for {
		next, err := b.Peek(len(begin))
		switch {
		case errors.Is(err, io.EOF):
			return malformed("no XML declaration")
		case err != nil:
			return err
		case string(next) == begin:
			return nil
		}
		if _, err := b.Discard(1); err != nil {
			return err
		}
	}
}

// fields returns the text of the elements below e by name. Where a name occurs
// more than once the first one counts, but what is inside an element comes
// before the element itself (section 2.3). What no MAC covers says nothing, though
// stoken takes it: the text of a container, and what is inside an element that is
// named like a MAC.
func (e *element) fields() map[string]string {
	fields := make(map[string]string, 2*len(e.children))
	e.collect(fields)
	return fields
}

func (e *element) collect(fields map[string]string) {
	for i := range e.children {
		c := &e.children[i]
		if !c.isMAC() {
			c.collect(fields)
		}
		if _, ok := fields[c.name]; !ok {
			fields[c.name] = string(c.text)
		}
	}
}

// fieldsOfToken looks fields up: in the token itself, then in the header.
type fieldsOfToken struct {
	own, header map[string]string
}

func (f fieldsOfToken) lookup(name string) (text string, ok bool) {
	if text, ok = f.own[name]; ok {
		return text, ok
	}
	if text, ok = f.header["Def"+name]; ok {
		return text, ok
	}
	text, ok = f.header[name]
	return text, ok
}

// batch reads what the keys come from.
func (f fieldsOfToken) batch() (b batch, err error) {
	for _, field := range []struct {
		name string
		text *string
	}{{"Origin", &b.origin}, {"Dest", &b.dest}, {"Name", &b.name}} {
		text, ok := f.lookup(field.name)
		if !ok {
			return b, malformed("%s is missing", field.name)
		}
		*field.text = trim(text)
	}
	if b.secret, err = f.block("Secret"); err != nil {
		return b, err
	}
	b.mac, err = f.block("HeaderMAC")
	return b, err
}

// record reads everything else.
func (f fieldsOfToken) record() (r record, err error) {
	if r.name, err = f.serial(); err != nil {
		return r, err
	}
	r.Serial = strings.Repeat("0", 12-len(r.name)) + r.name
	if r.encrypted, err = f.block("Seed"); err != nil {
		return r, err
	}
	if r.mac, err = f.block("TokenMAC"); err != nil {
		return r, err
	}
	if r.Expiry, err = f.expiry(); err != nil {
		return r, err
	}
	r.Birth = f.birth()
	if err = f.integers(&r); err != nil {
		return r, err
	}
	r.DeviceSerialNumber = f.freeText("DeviceSerialNumber")
	r.Nickname = f.freeText("Nickname")
	r.FirstName = f.freeText("UserFirstName")
	r.LastName = f.freeText("UserLastName")
	r.Login = f.freeText("UserLogin")
	return r, nil
}

// serial returns SN trimmed. Files of hardware tokens leave out leading zeros.
func (f fieldsOfToken) serial() (string, error) {
	text, _ := f.lookup("SN")
	name := trim(text)
	if name == "" || len(text) > 12 || strings.Trim(name, "0123456789") != "" {
		return "", malformed("SN is not 1 to 12 digits")
	}
	return name, nil
}

// block reads 16 bytes in base64. Seed has one more character in front of it,
// of no meaning.
func (f fieldsOfToken) block(name string) (block, error) {
	text, _ := f.lookup(name)
	if name == "Seed" {
		_, n := utf8.DecodeRuneInString(text)
		text = text[n:]
	}
	b, err := base64.StdEncoding.DecodeString(trim(text))
	if err != nil || len(b) != len(block{}) {
		return block{}, malformed("%s is not 16 bytes in base64", name)
	}
	return block(b), nil
}

// integers reads the numbers and switches with their odd ranges.
func (f fieldsOfToken) integers(r *record) error {
	digits, interval := int64(6), int64(60)
	var timeDerived, appDerived, mode, alg, addPIN, localPIN int64
	for _, field := range []struct {
		name  string
		value *int64
	}{
		{"Digits", &digits}, {"Interval", &interval}, {"Alg", &alg}, {"Mode", &mode},
		{"AddPIN", &addPIN}, {"LocalPIN", &localPIN},
		{"TimeDerivedSeeds", &timeDerived}, {"AppDerivedSeeds", &appDerived},
	} {
		text, ok := f.lookup(field.name)
		if !ok {
			continue
		}
		var err error
		if *field.value, err = parseInteger(text); err != nil {
			return malformed("%s is not a number", field.name)
		}
	}
	r.Digits = int((digits-1)&7) + 1 // three bits of the flags word
	r.Interval = 30
	if interval == 60 {
		r.Interval = 60
	}
	r.aes128, r.Mode = alg != 0, mode != 0
	r.AddPIN, r.LocalPIN = addPIN != 0, localPIN != 0
	r.TimeDerived, r.AppDerived = timeDerived != 0, appDerived != 0
	return nil
}

// parseInteger reads what C's strtol reads with base 0: decimal, hexadecimal
// after 0x, octal after 0. Go's further forms are refused.
func parseInteger(text string) (int64, error) {
	text = strings.TrimLeft(text, space)
	digits := strings.ToLower(strings.TrimLeft(text, "+-"))
	if strings.Contains(digits, "_") || strings.HasPrefix(digits, "0b") || strings.HasPrefix(digits, "0o") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(text, 0, 64)
}

// day0 is the first day that the two bytes of an expiry date can say, but a
// token cannot expire on it.
var day0 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	day     = 24 * time.Hour
	lastDay = 1<<16 - 1 // after day0: 2179-06-06
)

// expiry reads Death. Days before 2000 and after 2179 wrap around.
func (f fieldsOfToken) expiry() (time.Time, error) {
	text, _ := f.lookup("Death")
	date, ok := parseDate(text)
	if days := (date.Unix() - day0.Unix()) / 86400 & lastDay; ok && days != 0 {
		return day0.Add(time.Duration(days) * day), nil
	}
	return time.Time{}, malformed("Death is not a date")
}

// birth reads Birth; a date that is none, or not of our age, is not worth
// refusing the file for.
func (f fieldsOfToken) birth() time.Time {
	text, _ := f.lookup("Birth")
	if date, ok := parseDate(text); ok && date.Year() > 0 && date.Year() < 10000 {
		return date
	}
	return time.Time{}
}

// parseDate reads year, month and day, whatever follows. 2031/02/30 is the
// second of March.
func parseDate(text string) (date time.Time, ok bool) {
	var y, m, d int32
	if _, err := fmt.Sscanf(strings.TrimLeft(text, space), "%d/%d/%d", &y, &m, &d); err != nil {
		return time.Time{}, false
	}
	return time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC), true
}

// freeText reads a text for people; writers put a blank where there is none.
func (f fieldsOfToken) freeText(name string) string {
	text, _ := f.lookup(name)
	if trim(text) == "" {
		return ""
	}
	return text
}
