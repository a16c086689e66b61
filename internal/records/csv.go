package records

import (
	"bytes"
	"encoding/base32"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

// Fields are what a record of a CSV file may say. A mapping names the column of each, or begins with "=" and gives a value for all
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
var Fields = []string{"serial", "seed", "digits", "interval", "pin_type", "birth", "expiry", "algorithm", "token_type"}

// readCSV reads a CSV file whose first line names its columns. Commas, semicolons and tabs separate. hardware is the
// type of records that do not say theirs.
func readCSV(data []byte, mapping map[string]string, hardware bool, now time.Time) ([]record, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, fault.New(fault.ImportFormat, "the CSV file is not in UTF-8: save it in that encoding")
	}
	in := csv.NewReader(bytes.NewReader(data))
	first, _, _ := bytes.Cut(data, []byte("\n"))
	in.Comma = separator(string(first))
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, notCSV(err)
	}
	columns, err := columnsOf(slices.Clone(head), mapping)
	if err != nil {
		return nil, err
	}
	var found []record
	seen := map[string]bool{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			eraseAll(found)
			return nil, notCSV(err)
		}
		line, _ := in.FieldPos(0)
		r := columns.record(row, line, hardware, now)
		if r.Invalid == "" && seen[r.Serial] {
			r.Invalid = fmt.Sprintf("it is in the file already (line %d)", line)
		}
		seen[r.Serial] = true
		found = append(found, r)
	}
	if len(found) == 0 {
		return nil, fault.New(fault.ImportFormat, "the CSV file has no records below the line that names its columns")
	}
	return found, nil
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
	if errors.As(err, &at) {
		return fault.New(fault.ImportFormat, "line %d of the CSV file cannot be read: it has more or fewer fields than the first one, or stray quotes", at.Line)
	}
	return fault.New(fault.ImportFormat, "the CSV file is empty: its first line names the columns")
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
		if !slices.Contains(Fields, field) {
			return nil, fault.New(fault.Invalid, "a record has no field %q: map %s", field, strings.Join(Fields, ", "))
		}
	}
	set := columnSet{}
	for _, field := range Fields {
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
func (c columnSet) record(row []string, line int, hardware bool, now time.Time) record {
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
		r.Hardware = false
	case token.Hardware:
		r.Hardware = true
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
