package user

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Layout says how a file of users is to be read. Its zero value takes what the file tells of itself.
type Layout struct {
	// Encoding is UTF8, UTF16 or Windows1252. "" goes by the byte order mark, and is UTF-8 without one.
	Encoding Encoding
	// Delimiter stands between fields; 0 for the one of comma, semicolon, tab and bar that the first line has most of.
	Delimiter rune
	// NoHeader says that the first line is a user, too: columns go by number then.
	NoHeader bool
	// Columns names the column of each field: by its title, in any case, or by its number, from #1 on. The columns of a
	// name may be several with plus signs between them: "first+last". A field without one has the usual titles.
	Columns map[Field]string
}

// An Encoding is how characters become bytes.
type Encoding string

// The encodings.
const (
	UTF8        Encoding = "utf-8"
	UTF16       Encoding = "utf-16" // little endian without a byte order mark
	Windows1252 Encoding = "windows-1252"
)

// A Field is something that a file says of a user.
type Field string

// The fields.
const (
	FieldID      Field = "user_id"
	FieldName    Field = "name"
	FieldMail    Field = "mail"
	FieldEnabled Field = "enabled"
	FieldExpiry  Field = "expiry" // the last day, as 2031-01-31; empty for none
	FieldGroups  Field = "groups" // names with semicolons or bars between them
)

// usual are the titles of columns that are taken for a field without being told.
var usual = map[Field][]string{
	FieldID:      {"user_id", "userid", "user id", "user", "username", "user name", "login", "uid", "samaccountname"},
	FieldName:    {"name", "displayname", "display name", "full name", "fullname", "cn"},
	FieldMail:    {"mail", "email", "e-mail", "mail address", "email address"},
	FieldEnabled: {"enabled", "active"},
	FieldExpiry:  {"expiry", "last day", "last_day"},
	FieldGroups:  {"groups", "group", "memberof"},
}

// MaxEntries is how many users one file holds.
const MaxEntries = 200_000

// Columns are what a file's columns were taken for, by their titles, or by #1 and so on where there are none.
type Columns struct {
	Used   map[Field][]string
	Unused []string
}

// ReadCSV reads a file of users. [fault.ImportFormat], with the line, if it is broken anywhere.
func ReadCSV(data []byte, l Layout) ([]Entry, Columns, error) {
	var columns Columns
	text, err := l.decode(data)
	if err != nil {
		return nil, columns, err
	}
	r := csv.NewReader(strings.NewReader(text))
	if r.Comma = l.Delimiter; r.Comma == 0 {
		r.Comma = delimiterOf(text)
	}
	if r.Comma == '"' || r.Comma == '\r' || r.Comma == '\n' || !utf8.ValidRune(r.Comma) || r.Comma == utf8.RuneError {
		return nil, columns, fault.New(fault.Invalid, "fields cannot be separated by %q", r.Comma)
	}
	r.ReuseRecord = true // and each line has as many fields as the first
	var places places
	var all []Entry
	for first := true; ; first = false {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, columns, badCSV(err)
		}
		if first {
			if places, err = l.places(record); err != nil {
				return nil, columns, err
			}
			columns = places.columns(l.titles(record))
			if !l.NoHeader {
				continue
			}
		}
		if len(all) == MaxEntries {
			return nil, columns, fault.New(fault.TooLarge, "a file of users has up to %d of them", MaxEntries)
		}
		line, _ := r.FieldPos(0)
		e, err := places.entry(record, line)
		if err != nil {
			return nil, columns, err
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, columns, fault.New(fault.ImportFormat, "the file holds no users")
	}
	return all, columns, nil
}

// badCSV says in which line a file is broken. The words of the library name no content.
func badCSV(err error) error {
	var e *csv.ParseError
	if !errors.As(err, &e) {
		return err
	}
	why := "a quotation mark stands in the middle of a field, or is not closed"
	if errors.Is(e.Err, csv.ErrFieldCount) {
		why = "it has another number of fields than the first line"
	}
	return fault.New(fault.ImportFormat, "line %d of the file is broken: %s; nothing was changed", e.Line, why).With("line", e.Line)
}

// decode gives the text of a file without its byte order mark.
func (l Layout) decode(data []byte) (string, error) {
	little, big := bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff})
	switch l.Encoding {
	case UTF16:
		return fromUTF16(data, big, little)
	case Windows1252:
		text, err := charmap.Windows1252.NewDecoder().Bytes(data)
		return string(text), err
	case "", UTF8:
		if l.Encoding == "" && (little || big) {
			return fromUTF16(data, big, little)
		}
		data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
			return "", fault.New(fault.ImportFormat, "the file is not in UTF-8: say which encoding it has, utf-16 or windows-1252")
		}
		return string(data), nil
	}
	return "", fault.New(fault.Invalid, "no encoding %q: take utf-8, utf-16 or windows-1252", l.Encoding)
}

func fromUTF16(data []byte, big, marked bool) (string, error) {
	if len(data)%2 != 0 {
		return "", fault.New(fault.ImportFormat, "the file is not in UTF-16, or not whole: it has an odd number of bytes")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if big {
		order = binary.BigEndian
	}
	if big || marked {
		data = data[2:]
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	text := string(utf16.Decode(units))
	if strings.ContainsRune(text, utf8.RuneError) { // half a character: it would be another user ID
		return "", fault.New(fault.ImportFormat, "the file is not in UTF-16, or damaged: it has halves of characters")
	}
	return text, nil
}

// delimiterOf is the delimiter that the first line has most of outside quotation marks, a comma if it has none.
func delimiterOf(text string) rune {
	counts := map[rune]int{}
	quoted := false
	for _, c := range text {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, c := range ";\t|" {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}

// places are the numbers of the columns of each field.
type places map[Field][]int

// places finds the columns by the first line.
func (l Layout) places(first []string) (places, error) {
	titles := map[string]int{}
	if !l.NoHeader {
		for i, title := range slices.Backward(first) { // of two with one title the first counts
			titles[strings.ToLower(strings.TrimSpace(title))] = i
		}
	}
	found := places{}
	for field, columns := range l.Columns {
		if _, known := usual[field]; !known {
			return nil, fault.New(fault.Invalid, "a user has no field %q: take user_id, name, mail, enabled, expiry or groups", field)
		}
		for column := range strings.SplitSeq(columns, "+") {
			i, is := columnOf(strings.TrimSpace(column), titles, len(first))
			if !is {
				return nil, fault.New(fault.ImportFormat, "the file has no column %q for %s: its first line names the columns, and #1 is the first one", column, field).With("column", column)
			}
			found[field] = append(found[field], i)
		}
	}
	for field, names := range usual {
		if _, told := l.Columns[field]; told {
			continue
		}
		for _, name := range names {
			if i, is := titles[name]; is {
				found[field] = []int{i}
				break
			}
		}
	}
	if found[FieldID] == nil {
		return nil, fault.New(fault.ImportFormat, "no column is known to hold user IDs: name it, or give it the title user_id")
	}
	return found, nil
}

// titles are what the columns are called: by the first line, or by number where it is a user or leaves one without.
func (l Layout) titles(first []string) []string {
	all := make([]string, len(first))
	for i, title := range first {
		if all[i] = strings.TrimSpace(title); l.NoHeader || all[i] == "" {
			all[i] = "#" + strconv.Itoa(i+1)
		}
	}
	return all
}

// columns tells which of the titles are used for what.
func (p places) columns(titles []string) Columns {
	c := Columns{Used: map[Field][]string{}, Unused: []string{}}
	used := map[int]bool{}
	for field, at := range p {
		for _, i := range at {
			c.Used[field], used[i] = append(c.Used[field], titles[i]), true
		}
	}
	for i, title := range titles {
		if !used[i] {
			c.Unused = append(c.Unused, title)
		}
	}
	return c
}

func columnOf(column string, titles map[string]int, n int) (int, bool) {
	if digits, is := strings.CutPrefix(column, "#"); is {
		i, err := strconv.Atoi(digits)
		return i - 1, err == nil && i >= 1 && i <= n
	}
	i, is := titles[strings.ToLower(column)]
	return i, is
}

// entry reads one line.
func (p places) entry(record []string, line int) (Entry, error) {
	value := func(f Field) *string {
		columns, told := p[f]
		if !told {
			return nil
		}
		var parts []string
		for _, i := range columns {
			if text := strings.TrimSpace(record[i]); text != "" {
				parts = append(parts, text)
			}
		}
		text := strings.Join(parts, " ")
		return &text
	}
	e := Entry{Line: line, ID: *value(FieldID), Name: value(FieldName), Mail: value(FieldMail)}
	if word := value(FieldEnabled); word != nil && *word != "" {
		on, is := truths[strings.ToLower(*word)]
		if !is {
			return e, fault.New(fault.ImportFormat, "line %d says neither yes nor no to whether the user is enabled; nothing was changed", line).With("line", line)
		}
		e.Enabled = &on
	}
	if day := value(FieldExpiry); day != nil {
		e.Expiry = new(time.Time)
		if *day != "" {
			last, err := time.Parse(time.DateOnly, *day)
			if err != nil {
				return e, fault.New(fault.ImportFormat, "line %d has a last day that is not written as 2031-01-31; nothing was changed", line).With("line", line)
			}
			*e.Expiry = last
		}
	}
	if names := value(FieldGroups); names != nil {
		for name := range strings.FieldsFuncSeq(*names, func(c rune) bool { return c == ';' || c == '|' }) {
			if name = strings.TrimSpace(name); name != "" && !slices.Contains(e.Groups, name) {
				e.Groups = append(e.Groups, name)
			}
		}
	}
	return e, nil
}

// truths are the words for whether a user is enabled.
var truths = map[string]bool{
	"yes": true, "true": true, "1": true, "y": true, "t": true, "enabled": true, "active": true, "on": true,
	"no": false, "false": false, "0": false, "n": false, "f": false, "disabled": false, "inactive": false, "off": false,
}
