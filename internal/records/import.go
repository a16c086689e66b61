package records

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/sdtid"
)

// A Duplicates rule says what becomes of a token that is here already.
type Duplicates string

// The rules (spec/software-token-lifecycle.md section 5.1).
const (
	// Ignore leaves it as it is.
	Ignore Duplicates = "ignore"
	// Overwrite takes it from its user and gives it what the file says; one that takes part in a replacement stays as it is.
	Overwrite Duplicates = "overwrite"
)

// A Format is one of the files that records come in.
type Format string

// The formats.
const (
	TokenFile Format = "sdtid"
	CSV       Format = "csv"
)

// A Source begins to read a file, more than once: it is checked whole before its first record is taken.
type Source func() (io.Reader, error)

// Bytes is a file that is in memory.
func Bytes(file []byte) Source {
	return func() (io.Reader, error) { return bytes.NewReader(file), nil }
}

// An Import is a file of records, of any size, and what is to be done with it.
type Import struct {
	File       Source
	Format     Format            // "" for TokenFile
	Password   string            // of a token file; "" for none
	Hardware   *bool             // whether records that do not say their type are of hardware tokens; nil for software tokens, and what is here already stays what it is
	Mapping    map[string]string // of a CSV file, see [fields]; nil if its columns have the names of the fields
	Duplicates Duplicates        // "" for Ignore
	Name       string            // of the job; "" for one with the time
	DryRun     bool
}

// A record is one of a file. As JSON it is the input of the item of a job.
type record struct {
	Serial   string         `json:"-"`
	Hardware *bool          `json:"hardware,omitempty"` // nil if nobody said
	Seed     []byte         `json:"seed,omitempty"`
	Birth    time.Time      `json:"birth,omitzero"`
	Expiry   time.Time      `json:"expiry,omitzero"`
	Digits   int            `json:"digits,omitempty"`
	Interval int            `json:"interval,omitempty"`
	PINType  device.PINType `json:"pin_type,omitempty"`
	Invalid  string         `json:"invalid,omitempty"` // why it cannot be used; never a secret
}

// kind of the jobs that import.
const importKind = "import"

// importChunk is how many records one transaction takes.
const importChunk = 500

// ImportWorker does the jobs that [Registry.StartImport] starts.
func (r *Registry) ImportWorker() job.Worker {
	return job.Worker{Kind: importKind, Right: "manage_tokens", Chunk: importChunk, Forget: true, Do: r.importItems}
}

// importParameters are those of an import job.
type importParameters struct {
	Duplicates Duplicates `json:"duplicates"`
}

// StartImport reads and checks a whole file and starts the job that takes its records in, each of which is an item. A file that is broken,
// or was changed, changes nothing: [fault.ImportFormat], [fault.ImportPassword], [fault.ImportMAC]. A record that cannot be used,
// [fault.ImportRecord], or whose seed another token has or had, [fault.SeedInUse], fails alone. What is here already stays, or is
// overwritten; it is never harmed by a record that fails.
func (r *Registry) StartImport(ctx context.Context, in Import) (job.Job, error) {
	switch in.Duplicates {
	case "":
		in.Duplicates = Ignore
	case Ignore, Overwrite:
	default:
		return job.Job{}, fault.New(fault.Invalid, "what is here already is ignored or overwritten: take one of %q and %q", Ignore, Overwrite)
	}
	found, err := r.read(in)
	if err != nil {
		return job.Job{}, err
	}
	parameters, err := json.Marshal(importParameters{in.Duplicates})
	if err != nil {
		return job.Job{}, err
	}
	return r.Jobs.Start(ctx, job.Order{Kind: importKind, Name: in.Name, DryRun: in.DryRun, Parameters: parameters, Items: items(found)})
}

// items are the records as items of a job.
func items(found iter.Seq2[record, error]) iter.Seq2[job.NewItem, error] {
	return func(yield func(job.NewItem, error) bool) {
		for r, err := range found {
			if err != nil {
				yield(job.NewItem{}, err)
				return
			}
			input, err := json.Marshal(&r)
			more := yield(job.NewItem{Key: r.Serial, Input: input}, err)
			clear(input)
			clear(r.Seed)
			if !more {
				return
			}
		}
	}
}

// read checks a whole file, and returns what reads its records.
func (r *Registry) read(in Import) (iter.Seq2[record, error], error) {
	switch in.Format {
	case "", TokenFile:
		if in.Mapping != nil {
			return nil, fault.New(fault.Invalid, "a token file has no columns: leave the mapping out, or say that it is a CSV file")
		}
		return readTokenFile(in.File, in.Password, in.Hardware)
	case CSV:
		return readCSV(in.File, in.Mapping, in.Hardware, r.Now())
	default:
		return nil, fault.New(fault.Invalid, "there is no format %q: take %q or %q", in.Format, TokenFile, CSV)
	}
}

// readTokenFile checks a token file, which does not say the type of its tokens.
func readTokenFile(file Source, password string, hardware *bool) (iter.Seq2[record, error], error) {
	tokens, err := sdtid.Check(file, password)
	if err != nil {
		return nil, notTokens(err)
	}
	return func(yield func(record, error) bool) {
		for t, err := range tokens.Tokens() {
			r := record{Serial: t.Serial, Hardware: hardware, Seed: t.Seed, Birth: t.Birth, Expiry: t.Expiry, Digits: t.Digits, Interval: t.Interval, PINType: pinType(t)}
			if err != nil {
				err = notTokens(err)
			} else {
				r.check()
			}
			if !yield(r, err) {
				return
			}
		}
	}, nil
}

// notTokens turns the refusals of a token file into those of an import.
func notTokens(err error) error {
	switch {
	case errors.Is(err, sdtid.ErrPasswordRequired):
		return fault.New(fault.ImportPassword, "the file is locked with a password, or was changed after it was made: give the password")
	case errors.Is(err, sdtid.ErrWrongPassword):
		return fault.New(fault.ImportPassword, "this is not the password of the file, or the file is damaged")
	case errors.Is(err, sdtid.ErrModified):
		return fault.New(fault.ImportMAC, "the file was changed after it was made: get it again from where it came")
	case errors.Is(err, sdtid.ErrAlgorithm):
		return fault.New(fault.ImportRecord, "the file holds a token that cannot be used: %v", err)
	case errors.Is(err, sdtid.ErrFormat), errors.Is(err, sdtid.ErrTooLarge):
		return fault.New(fault.ImportFormat, "this is not a token file that can be read (%v): export it again from where it came", err)
	}
	return fmt.Errorf("reading a token file: %w", err)
}

// pinType is the PIN type that a token file says. It does not tell a fob from a token without PIN; a fob whose PIN
// is not set is checked in the same way.
func pinType(t sdtid.Token) device.PINType {
	if t.AddPIN {
		return device.PINPad
	}
	return device.Fob
}

// check sees whether a record can be used.
func (r *record) check() {
	switch {
	case r.Invalid != "":
	case len(r.Seed) != seedSize:
		r.Invalid = fmt.Sprintf("its seed has %d bytes where 128-bit tokens have %d", len(r.Seed), seedSize)
	case r.Digits != 6 && r.Digits != 8:
		r.Invalid = fmt.Sprintf("codes of %d digits are not supported", r.Digits)
	case r.Interval != 30 && r.Interval != 60:
		r.Invalid = fmt.Sprintf("codes of %d seconds are not supported", r.Interval)
	case r.Expiry.IsZero(), r.Expiry.Before(r.Birth), r.Expiry.After(token.LastExpiry):
		r.Invalid = "its last valid day is missing, before its first one or after " + token.LastExpiry.Format(time.DateOnly)
	}
	if r.Invalid != "" { // its days may be none that JSON holds
		clear(r.Seed)
		*r = record{Serial: r.Serial, Invalid: r.Invalid}
	}
}

// Import reads the tokens of a token file (.sdtid), disabled and unassigned.
// All are taken or, after an error, none. Serials that exist already are
// ignored: an import never harms a record. It is for few tokens, [Registry.StartImport] for any number.
func (r *Registry) Import(ctx context.Context, data []byte, password string) (Result, error) {
	all, err := r.read(Import{File: Bytes(data), Password: password})
	if err != nil {
		return Result{}, err
	}
	var found []record
	defer func() { eraseAll(found) }()
	for one, err := range all {
		if err != nil {
			return Result{}, err
		}
		if found = append(found, one); len(found) > MaxAtOnce {
			return Result{}, fault.New(fault.TooLarge, "the file holds more than %d tokens, the most that are imported at once: import it as a job", MaxAtOnce)
		}
	}
	var result Result
	err = r.Store.Transact(ctx, func(ctx context.Context) error {
		result = Result{}
		done, err := r.take(ctx, found, Ignore)
		if err != nil {
			return err
		}
		for i, o := range done {
			switch {
			case o.Err != nil:
				return fault.Wrap(o.Err, "token %s", found[i].Serial)
			case o.Code == fault.ImportDuplicate:
				result.Ignored = append(result.Ignored, found[i].Serial)
			default:
				result.Imported = append(result.Imported, found[i].Serial)
			}
		}
		return nil
	})
	return result, err
}

// A Result says what an import did.
type Result struct {
	Imported []string // serials that are new
	Ignored  []string // serials that were here already, left untouched
}

func eraseAll(found []record) {
	for i := range found {
		clear(found[i].Seed)
	}
}

// importItems takes the records of a chunk in.
func (r *Registry) importItems(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	var p importParameters
	if err := json.Unmarshal(c.Parameters, &p); err != nil {
		return nil, err
	}
	ctx, err := r.Jobs.Within(ctx, c.Parameters)
	if err != nil {
		return nil, err
	}
	found := make([]record, len(c.Items))
	defer eraseAll(found)
	for i, item := range c.Items {
		err := json.Unmarshal(item.Input, &found[i])
		clear(item.Input)
		if err != nil {
			return nil, fmt.Errorf("the input of item %d cannot be read", item.Number)
		}
		found[i].Serial = item.Key
	}
	return r.take(ctx, found, p.Duplicates)
}

// counts are of what became of records.
type counts struct{ imported, ignored, overwritten, kept, failed int }

// record tells the audit log of them, in one event.
func (r *Registry) recordImport(ctx context.Context, found []record, n counts) error {
	if n.imported+n.overwritten == 0 {
		return nil
	}
	return r.Store.Record(ctx, audit.New(ctx, r.Now(), "token.import", "token:"+found[0].Serial, audit.Details{
		"imported": n.imported, "ignored": n.ignored + n.kept, "overwritten": n.overwritten, "failed": n.failed, "last": found[len(found)-1].Serial,
	}))
}

// fullSerial is a serial number with the zeros that files leave out; false if it is none.
func fullSerial(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 63); err != nil || len(text) > 12 {
		return "", false
	} else {
		return fmt.Sprintf("%012d", n), true
	}
}
