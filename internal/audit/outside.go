package audit

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/tallystick/tallystick/internal/fault"
)

// The file of checkpoints outside the database holds signed notes with an
// empty line after each. It is only ever appended to, so that it may be an
// append-only file; it may be moved away at any time, and the next checkpoint
// begins a new one.

// ParseCheckpoints reads such a file, or a single note that somebody saved.
// Pieces of notes that a crash left are passed over. Nothing is verified yet:
// Size and At are what the text claims. It refuses a file without any
// checkpoint with [fault.Invalid].
func ParseCheckpoints(file []byte) ([]Checkpoint, error) {
	found := split(file)
	if len(found) == 0 {
		return nil, fault.New(fault.Invalid, "there is no checkpoint in the file")
	}
	return found, nil
}

func split(file []byte) []Checkpoint {
	var found []Checkpoint
	text := ""
	for paragraph := range strings.SplitSeq(string(file), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		if !isSignatures(paragraph) {
			text = paragraph
			continue
		}
		if _, h, err := parseHead(text + "\n"); err == nil {
			found = append(found, Checkpoint{Size: h.N, At: h.At, Signed: []byte(text + "\n\n" + paragraph + "\n")})
		}
		text = ""
	}
	return found
}

// isSignatures tells the signature lines of a note from its text.
func isSignatures(paragraph string) bool {
	for line := range strings.SplitSeq(paragraph, "\n") {
		if !strings.HasPrefix(line, "— ") {
			return false
		}
	}
	return true
}

// tail is how much of the end of the file is read to find its last
// checkpoint: some two hundred of them.
const tail = 64 << 10

// lastOutside returns the newest checkpoint of this log in the file, a zero
// head if there is none.
func lastOutside(path string, key note.Verifier) (Head, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Head{}, err
	}
	start := max(0, end-tail)
	data, err := io.ReadAll(io.NewSectionReader(f, start, end-start))
	if err != nil {
		return Head{}, err
	}
	var last Head
	for _, c := range split(data) {
		if h, err := c.Open(key); err == nil && h.N > last.N {
			last = h
		}
	}
	return last, nil
}

// torn closes what a crash left unfinished: a line that makes a piece of a
// signature no signature any more.
const torn = "\n(cut short)\n\n"

// appendOutside adds a checkpoint to the file and returns once it is on disk.
func appendOutside(path string, signed []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644) //nolint:gosec // public: what it proves is proved by its signature
	if err != nil {
		return err
	}
	defer f.Close()
	whole, err := endsWithNote(f)
	if err != nil {
		return err
	}
	var line []byte
	if !whole {
		line = append(line, torn...)
	}
	line = append(append(line, signed...), '\n')
	if _, err := f.Write(line); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// endsWithNote tells whether the file is empty or ends with the empty line after a note.
func endsWithNote(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return true, err
	}
	var end [2]byte
	n, err := f.ReadAt(end[:], max(0, info.Size()-int64(len(end))))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(end[:n]) == "\n\n", nil
}
