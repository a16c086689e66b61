package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"strconv"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/fault"
)

// longestLine bounds what is held in memory at once: a row.
const longestLine = 64 << 20

// A Reader reads a backup from its beginning to its end. Nothing that it gave is proven before Next has returned io.EOF, and
// then it is what was sealed; who sealed it is for [Reader.MadeBy] to tell.
type Reader struct {
	in    *bufio.Reader
	plain *bufio.Reader // what in is unpacked from

	line     []byte // the header, as it was written
	header   Header
	table    int  // index of the next one
	inTable  bool // rows of the one before it are being read
	rows     int64
	sum      hash.Hash
	seen     []Count
	contents Contents
	counts   []byte // Contents.Tables, as the MAC covers it
}

// NewReader opens a backup with one of several keys and reads its header. [fault.BackupKey] if none of them fits,
// [fault.BackupFormat] if it is no backup, or was damaged.
func NewReader(from io.Reader, keys ...age.Identity) (*Reader, error) {
	plain, err := age.Decrypt(bufio.NewReaderSize(from, 64<<10), keys...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, fault.New(fault.BackupKey, "the backup does not open with this password or key: take the one that it was made for")
	case err != nil:
		return nil, fault.New(fault.BackupFormat, "this is no backup, or its beginning is damaged: %v", err)
	}
	return open(plain)
}

// open reads what was sealed.
func open(plain io.Reader) (*Reader, error) {
	r := &Reader{plain: bufio.NewReader(plain)}
	packed, err := gzip.NewReader(r.plain)
	if err != nil {
		return nil, damaged(err)
	}
	packed.Multistream(false)
	r.in = bufio.NewReaderSize(packed, 64<<10)
	if r.line, err = r.nextLine(); err != nil {
		return nil, damaged(err)
	}
	if err := json.Unmarshal(r.line, &r.header); err != nil || r.header.Format != formatName {
		return nil, fault.New(fault.BackupFormat, "this opens and holds no backup: take another file")
	}
	if r.header.Version != formatVersion {
		return nil, fault.New(fault.SchemaNewer, "the backup is of a newer release (%s): restore it with that one, or a newer one", r.header.Release)
	}
	for name := range r.header.Files {
		if name != MasterKeyFile && name != CAFile && name != CAKeyFile {
			return nil, fault.New(fault.BackupFormat, "the backup has a file %q, which no server puts into one: find out who made it, and take another one", name)
		}
	}
	return r, nil
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.BackupFormat, "the backup is damaged or cut short (%v): take another copy of it", err)
}

// nextLine reads a line without its end.
func (r *Reader) nextLine() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line)+len(part) > longestLine {
			return nil, errors.New("a line is too long")
		}
		line = append(line, part...)
		if err == nil {
			return line[:len(line)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// Header is what the backup says of itself.
func (r *Reader) Header() Header { return r.header }

// Next goes on to the next table. It returns io.EOF after the last, when everything was found to be as it was written.
func (r *Reader) Next() (Table, error) {
	for r.inTable {
		if _, err := r.Row(); err != nil && !errors.Is(err, io.EOF) {
			return Table{}, err
		}
	}
	if r.table == len(r.header.Schema.Tables) {
		return Table{}, r.end()
	}
	t := r.header.Schema.Tables[r.table]
	r.table++
	r.inTable, r.rows, r.sum = true, 0, sha256.New()
	return t, nil
}

// Row reads a row of the table: nil, int64, string or []byte for each column. io.EOF when there are no more.
func (r *Reader) Row() ([]any, error) {
	if !r.inTable {
		return nil, io.EOF
	}
	line, err := r.nextLine()
	if err != nil {
		return nil, damaged(err)
	}
	t := r.header.Schema.Tables[r.table-1]
	if len(line) == 0 {
		r.inTable = false
		r.seen = append(r.seen, Count{t.Name, r.rows, r.sum.Sum(nil)})
		return nil, io.EOF
	}
	r.rows++
	r.sum.Write(line)
	r.sum.Write([]byte{'\n'})
	values, err := parseRow(line, t.Columns)
	if err != nil {
		return nil, fault.New(fault.BackupFormat, "row %d of table %s cannot be read: take another copy of the backup", r.rows, t.Name)
	}
	return values, nil
}

var errRow = errors.New("backup: not a row of its table")

func parseRow(line []byte, columns []Column) ([]any, error) {
	var cells []json.RawMessage
	if err := json.Unmarshal(line, &cells); err != nil || len(cells) != len(columns) {
		return nil, errRow
	}
	values := make([]any, len(cells))
	for i, cell := range cells {
		var err error
		if values[i], err = parseValue(cell, columns[i].Kind); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func parseValue(cell []byte, k Kind) (any, error) {
	if string(cell) == "null" {
		return nil, nil
	}
	switch quoted := len(cell) >= 2 && cell[0] == '"'; {
	case k == Number && !quoted:
		return strconv.ParseInt(string(cell), 10, 64)
	case k == Text && quoted:
		var s string
		err := json.Unmarshal(cell, &s)
		return s, err
	case k == Bytes && quoted:
		return base64.StdEncoding.AppendDecode([]byte{}, cell[1:len(cell)-1])
	}
	return nil, errRow
}

// end reads what comes after the tables and compares it with what was read.
func (r *Reader) end() error {
	line, err := r.nextLine()
	if err != nil {
		return damaged(err)
	}
	if err := json.Unmarshal(line, &r.contents); err != nil {
		return damaged(err)
	}
	if r.counts, err = json.Marshal(r.seen); err != nil {
		return err
	}
	said, err := json.Marshal(r.contents.Tables)
	if err != nil {
		return err
	}
	if !bytes.Equal(said, r.counts) {
		return fault.New(fault.BackupFormat, "the backup does not hold what it says that it holds: take another copy of it")
	}
	// Reading on checks what gzip and age have at their ends.
	for _, rest := range []io.Reader{r.in, r.plain} {
		if n, err := io.Copy(io.Discard, rest); err != nil {
			return damaged(err)
		} else if n > 0 {
			return fault.New(fault.BackupFormat, "something follows the end of the backup: take another copy of it")
		}
	}
	return io.EOF
}

// Contents is how much there is of each table, once Next has returned io.EOF.
func (r *Reader) Contents() Contents { return r.contents }

// MadeBy tells whether a deployment made the backup, once Next has returned io.EOF. Whoever knows a public key can seal
// something to it.
func (r *Reader) MadeBy(keys MACer) bool {
	return hmac.Equal(r.contents.MAC, keys.MAC(macPurpose, r.line, r.counts))
}

// Same tells whether two readers that have come to their ends have read the same.
func (r *Reader) Same(o *Reader) bool {
	return bytes.Equal(r.line, o.line) && bytes.Equal(r.counts, o.counts)
}
