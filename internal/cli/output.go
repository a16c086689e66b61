package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// An output is where results or words go. It remembers the first result that could not be written: many who print do not look, and a script
// that is told 0 takes what it has for the whole. On a terminal it shows text and nothing else: names and notes of records, files and
// directories would otherwise move the cursor, colour other lines or type into the shell.
type output struct {
	io.Writer
	terminal bool

	mu     sync.Mutex // a server logs from many goroutines
	last   byte       // that was written
	failed error
}

// Write writes as many bytes as it is given.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.terminal && len(b) > 0 {
		b, o.last = plain(b, o.last), b[len(b)-1]
	}
	n, err := o.Writer.Write(b)
	if err != nil {
		err = fmt.Errorf("the result could not be printed: %w", err)
		if o.failed == nil {
			o.failed = err
		}
	}
	return n, err
}

// plain is text in UTF-8 that comes after the byte last, with a question mark for each control character but tabs and ends of lines.
func plain(text []byte, last byte) []byte {
	const c1 = 0xC2 // in front of U+0080 to U+009F, of which some do what ESC does
	text = bytes.Clone(text)
	for i, b := range text {
		lineEnd := b == '\n' || b == '\r' && i+1 < len(text) && text[i+1] == '\n'
		if b < ' ' && b != '\t' && !lineEnd || b == 0x7f || last == c1 && b >= 0x80 && b < 0xA0 {
			text[i] = '?'
		}
		last = b
	}
	return text
}

// File is the file that out is, such as that of standard output; nil if it is none.
func File(out io.Writer) *os.File {
	if o, is := out.(*output); is {
		out = o.Writer
	}
	file, _ := out.(*os.File)
	return file
}

// Terminal is the terminal that out is, to be written to as it is; nil if it is none.
func Terminal(out io.Writer) *os.File {
	if file := File(out); file != nil && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}
