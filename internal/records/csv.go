package records

import (
	"bufio"
	"bytes"
	"encoding/base32"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

const seedSize = seed.Size

// fields are what a record of a CSV file may say. A mapping names the column of each, or begins with "=" and gives a value for all
// records. serial and seed are required; the others are those of [token.Factory], from today, for [YearsValid] years.
//
//	serial     1 to 12 digits
//	seed       16 bytes in hexadecimal (32 digits) or base32
//	digits     6 or 8
//	interval   30 or 60, seconds
//	pin_type   pinpad, fob or none
//	birth      first valid day, 2026-01-31 or 2026/01/31
//	expiry     last valid day
//	algorithm  securid-aes128, or nothing
//	token_type software or hardware
var fields = []string{"serial", "seed", "digits", "interval", "pin_type", "birth", "expiry", "algorithm", "token_type"}

// readCSV checks a CSV file whose first line names its columns. Commas, semicolons and tabs separate. hardware is the
// type of records that do not say theirs, nil for none.
func readCSV(file Source, mapping map[string]string, hardware *bool, now time.Time) (iter.Seq2[record, error], error) {
	rows := func(yield func(record, error) bool) {
		if err := readRows(file, mapping, hardware, now, func(r record) bool { return yield(r, nil) }); err != nil {
			yield(record{}, err)
		}
	}
	there := false
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		clear(r.Seed)
		there = true
	}
	if !there {
		return nil, fault.New(fault.ImportFormat, "the CSV file has no records below the line that names its columns")
	}
	return rows, nil
}

// longestRow is how much a row may hold, with its quoted lines; and the first line.
const longestRow = 64 << 10 // bytes

// readRows reads the records of a CSV file, until take has enough.
func readRows(file Source, mapping map[string]string, hardware *bool, now time.Time, take func(record) bool) error {
	from, err := file()
	if err != nil {
		return err
	}
	limit := &rowLimit{from: from, left: 2 * longestRow}
	text := bufio.NewReaderSize(limit, longestRow)
	if mark, err := text.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = text.Discard(len(mark)) // they are there
	}
	first, err := text.Peek(longestRow)
	if err != nil && !errors.Is(err, io.EOF) {
		return notCSV(err)
	}
	first, _, _ = bytes.Cut(first, []byte("\n"))
	in := csv.NewReader(text)
	in.Comma = separator(string(first))
	in.ReuseRecord = true
	next := func() ([]string, error) {
		limit.left = 2 * longestRow // it reads ahead
		row, err := in.Read()
		if err == nil && slices.ContainsFunc(row, func(field string) bool { return !utf8.ValidString(field) }) {
			return nil, fault.New(fault.ImportFormat, "the CSV file is not in UTF-8: save it in that encoding")
		}
		return row, err
	}
	head, err := next()
	if err != nil {
		return notCSV(err)
	}
	columns, err := columnsOf(slices.Clone(head), mapping)
	if err != nil {
		return err
	}
	lines := map[uint64]uint32{} // of the serials, as numbers: a file of 1 GiB has some 20 million
	for {
		row, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return notCSV(err)
		}
		line, _ := in.FieldPos(0)
		r := columns.record(row, line, hardware, now)
		r.check()
		if r.Invalid == "" { // one that cannot be used is none for others to repeat
			r.once(lines, line)
		}
		if !take(r) {
			return nil
		}
	}
}

// once refuses a record whose serial is in a line before.
func (r *record) once(lines map[uint64]uint32, line int) {
	n, _ := strconv.ParseUint(r.Serial, 10, 64) // it is all digits
	first, twice := lines[n]
	if !twice {
		lines[n] = uint32(line)
		return
	}
	r.Invalid = fmt.Sprintf("it is in the file already, in line %d", first)
	r.check()
}

// A rowLimit ends the reading of a file whose rows have no end: the parser of CSV has no limit of its own.
type rowLimit struct {
	from io.Reader
	left int // bytes of the row
}

var errLongRow = errors.New("records: a row is too long")

func (l *rowLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongRow
	}
	n, err := l.from.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// separator is the character that is most often in the line of the names.
func separator(line string) rune {
	best := ','
	for _, c := range ";\t" {
		if strings.Count(line, string(c)) > strings.Count(line, string(best)) {
			best = c
		}
	}
	return best
}

// notCSV names the line only: the words of the parser may quote a seed.
func notCSV(err error) error {
	var at *csv.ParseError
	var refused *fault.Error
	switch {
	case errors.As(err, &refused):
		return err
	case errors.As(err, &at):
		return fault.New(fault.ImportFormat, "line %d of the CSV file cannot be read: it has more or fewer fields than the first one, or stray quotes", at.Line)
	case errors.Is(err, errLongRow):
		return fault.New(fault.ImportFormat, "the CSV file has a row of more than %d bytes: look for a quote that is not closed", longestRow)
	case errors.Is(err, io.EOF):
		return fault.New(fault.ImportFormat, "the CSV file is empty: its first line names the columns")
	}
	return fmt.Errorf("reading a CSV file: %w", err)
}

// A column is where the value of a field is.
type column struct {
	at    int    // -1 if it is the same for all
	value string // then
}

type columnSet map[string]column

// columnsOf finds the columns of the fields.
func columnsOf(head []string, mapping map[string]string) (columnSet, error) {
	for field := range mapping {
		if !slices.Contains(fields, field) {
			return nil, fault.New(fault.Invalid, "a record has no field %q: map %s", field, strings.Join(fields, ", "))
		}
	}
	set := columnSet{}
	for _, field := range fields {
		name, mapped := mapping[field]
		if value, fixed := strings.CutPrefix(name, "="); fixed {
			set[field] = column{-1, value}
			continue
		}
		if !mapped {
			name = field
		}
		at := -1
		for i, title := range head {
			if strings.EqualFold(strings.TrimSpace(title), strings.TrimSpace(name)) {
				if at >= 0 {
					return nil, fault.New(fault.ImportFormat, "the CSV file has two columns %q", name)
				}
				at = i
			}
		}
		switch {
		case at >= 0:
			set[field] = column{at, ""}
		case mapped:
			return nil, fault.New(fault.ImportFormat, "the CSV file has no column %q for the %s", name, field)
		}
	}
	for _, field := range []string{"serial", "seed"} {
		if c, there := set[field]; !there || c.at < 0 {
			return nil, fault.New(fault.ImportFormat, "the CSV file has no column for the %s: name it with a mapping, such as %s=COLUMN", field, field)
		}
	}
	return set, nil
}

// record reads a row. What is wrong with it is kept in the record.
func (c columnSet) record(row []string, line int, hardware *bool, now time.Time) record {
	value := func(field string) string {
		at, there := c[field]
		switch {
		case !there:
			return ""
		case at.at < 0:
			return strings.TrimSpace(at.value)
		}
		return strings.TrimSpace(row[at.at])
	}
	r := record{Serial: fmt.Sprintf("line %d", line), Hardware: hardware}
	serial, is := fullSerial(value("serial"))
	if !is {
		r.Invalid = "its serial is not 1 to 12 digits"
		return r
	}
	r.Serial = serial
	for _, step := range []func(func(string) string) string{
		r.readSeed, r.readNumbers, r.readPINType, r.readType,
		func(value func(string) string) string { return r.readDays(value, now) },
	} {
		if r.Invalid = step(value); r.Invalid != "" {
			break
		}
	}
	return r
}

// algorithms are the names of the only one that is supported.
var algorithms = []string{"", "securid-aes128", "securid", "aes-128", "aes128"}

func (r *record) readSeed(value func(string) string) string {
	if !slices.Contains(algorithms, strings.ToLower(value("algorithm"))) {
		return "its algorithm is not securid-aes128"
	}
	text := strings.ReplaceAll(value("seed"), " ", "")
	if b, err := hex.DecodeString(text); err == nil && len(b) == seedSize {
		r.Seed = b
		return ""
	}
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.TrimRight(text, "=")))
	if err != nil || len(b) != seedSize {
		return "its seed is not 16 bytes in hexadecimal or base32"
	}
	r.Seed = b
	return ""
}

func (r *record) readNumbers(value func(string) string) string {
	for field, n := range map[string]struct {
		to        *int
		otherwise int
	}{"digits": {&r.Digits, 8}, "interval": {&r.Interval, 60}} {
		*n.to = n.otherwise
		text := value(field)
		if text == "" {
			continue
		}
		var err error
		if *n.to, err = strconv.Atoi(text); err != nil {
			return "its " + field + " is not a number"
		}
	}
	return ""
}

// pinTypes are the words for PIN types.
var pinTypes = map[string]device.PINType{
	"": device.PINPad, "pinpad": device.PINPad, "fob": device.Fob, "none": device.NoPIN, "tokencode": device.NoPIN,
}

func (r *record) readPINType(value func(string) string) string {
	t, known := pinTypes[strings.ToLower(value("pin_type"))]
	if !known {
		words := slices.Sorted(maps.Keys(pinTypes))
		return "its pin_type is none of " + strings.Join(words[1:], ", ")
	}
	r.PINType = t
	return ""
}

// readType leaves the type as it is where the row does not say it.
func (r *record) readType(value func(string) string) string {
	switch strings.ToLower(value("token_type")) {
	case "":
	case token.Software:
		r.Hardware = new(false)
	case token.Hardware:
		r.Hardware = new(true)
	default:
		return "its token_type is neither software nor hardware"
	}
	return ""
}

func (r *record) readDays(value func(string) string, now time.Time) string {
	for field, to := range map[string]*time.Time{"birth": &r.Birth, "expiry": &r.Expiry} {
		text := value(field)
		if text == "" {
			continue
		}
		var err error
		if *to, err = time.Parse(time.DateOnly, strings.ReplaceAll(text, "/", "-")); err != nil {
			return "its " + field + " is not a day such as 2031-01-31"
		}
	}
	if r.Birth.IsZero() {
		r.Birth = day(now)
		if !r.Expiry.IsZero() && r.Expiry.Before(r.Birth) {
			r.Birth = time.Time{}
		}
	}
	if r.Expiry.IsZero() {
		r.Expiry = r.Birth.AddDate(YearsValid, 0, 0)
	}
	return ""
}
