package backup

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"

	"filippo.io/age"
)

// Options say how a backup is made.
type Options struct {
	To     []age.Recipient // who can open it
	Keys   MACer
	Master string // ID of the master key
	Now    func() time.Time
	Files  map[string][]byte // see Header
}

// Write writes a backup of a database. What was written before an error is no backup: no reader takes it for one.
func Write(ctx context.Context, to io.Writer, from Source, o Options) error {
	sealed, err := age.Encrypt(to, o.To...)
	if err != nil {
		return err
	}
	packed, err := gzip.NewWriterLevel(sealed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	w := &writer{out: bufio.NewWriterSize(packed, 64<<10)}
	err = from.Snapshot(ctx, func(ctx context.Context, s Snapshot) error { return w.all(ctx, s, o) })
	for _, end := range []func() error{w.out.Flush, packed.Close, sealed.Close} {
		if err == nil {
			err = end()
		}
	}
	return err
}

// A writer writes lines.
type writer struct {
	out  *bufio.Writer
	sum  hash.Hash // of the lines of a table
	line []byte
}

func (w *writer) all(ctx context.Context, s Snapshot, o Options) error {
	h := Header{
		Format: formatName, Version: formatVersion, TakenAt: o.Now().UTC(), Release: Release(),
		Master: o.Master, Schema: s.Schema(), Files: o.Files,
	}
	header, err := w.document(h)
	if err != nil {
		return err
	}
	var c Contents
	for _, t := range h.Schema.Tables {
		count, err := w.table(ctx, s, t)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		c.Tables = append(c.Tables, count)
	}
	counts, err := json.Marshal(c.Tables)
	if err != nil {
		return err
	}
	c.MAC = o.Keys.MAC(macPurpose, header, counts)
	_, err = w.document(c)
	return err
}

// document writes a line and returns it.
func (w *writer) document(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = w.out.Write(append(line, '\n'))
	}
	return line, err
}

// table writes the rows of a table. A line with nothing in it ends them.
func (w *writer) table(ctx context.Context, s Snapshot, t Table) (Count, error) {
	c := Count{Name: t.Name}
	w.sum = sha256.New()
	err := s.Rows(ctx, t, func(values []any) error {
		c.Rows++
		return w.row(t, values)
	})
	if err == nil {
		err = w.out.WriteByte('\n')
	}
	c.Hash = w.sum.Sum(nil)
	return c, err
}

func (w *writer) row(t Table, values []any) error {
	b := w.line[:0]
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, t.Columns[i], v); err != nil {
			return err
		}
	}
	b = append(b, ']', '\n')
	w.line = b
	if len(b) > longestLine {
		return fmt.Errorf("a row of %d bytes is longer than a backup can carry", len(b))
	}
	w.sum.Write(b)
	_, err := w.out.Write(b)
	return err
}

func appendValue(b []byte, c Column, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case int64:
		if c.Kind == Number {
			return strconv.AppendInt(b, v, 10), nil
		}
	case string:
		if c.Kind == Text && utf8.ValidString(v) {
			text, err := json.Marshal(v)
			return append(b, text...), err
		}
	case []byte:
		if c.Kind == Bytes {
			b = append(b, '"')
			return append(base64.StdEncoding.AppendEncode(b, v), '"'), nil
		}
	}
	return nil, fmt.Errorf("column %s holds a %T, or a text that is not UTF-8, where it has the kind %s", c.Name, v, c.Kind)
}

// Release is what this program was built as: what a backup and the store name.
func Release() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
