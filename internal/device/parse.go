package device

import (
	"bytes"
	"fmt"

	"github.com/tallystick/tallystick/internal/fault"
)

// Bounds of a definition file.
const (
	MaxFile        = 256 << 10 // bytes
	maxDefinitions = 64
	maxDepth       = 16
	maxValues      = 64 // of one element
)

// A Content is what a definition file holds.
type Content struct {
	Definitions []Definition
	Warnings    []string // what was passed over, with its line
}

// Parse reads a definition file: XML if its first character is <, else JSON or YAML; the form is that of docs/devices.md. A
// file that cannot be read is [fault.DeviceInvalid], one that asks for what the server cannot do
// [fault.DeviceUnsupported]; the message has the line, and Details has it under "line".
func Parse(file []byte) (Content, error) {
	if len(file) > MaxFile {
		return Content{}, fault.New(fault.TooLarge, "a definition file takes up to %d KiB", MaxFile>>10)
	}
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	read := readYAML
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("<")) {
		read = readXML
	}
	entries, warnings, err := read(file)
	if err != nil {
		return Content{}, err
	}
	c := Content{Warnings: warnings}
	lines := map[string]int{}
	for _, e := range entries {
		d, err := e.definition()
		if err != nil {
			return Content{}, err
		}
		if at, twice := lines[spelled(d.Name)]; twice {
			return Content{}, fault.New(fault.DeviceDuplicate, "line %d: device type %s is in the file twice: it is on line %d already", e.line, d.Name, at).With("line", e.line)
		}
		lines[spelled(d.Name)] = e.line
		c.Definitions = append(c.Definitions, d)
	}
	return c, nil
}

// An entry is one definition as it stands in a file, of whatever form.
type entry struct {
	line   int
	fields []field
}

// A field is one thing that an entry says.
type field struct {
	name   string // as it is written
	line   int
	values []value
}

// A value is a text in a field: one, or an element of a list.
type value struct {
	text string
	line int
}

func invalid(line int, format string, args ...any) error {
	return fault.New(fault.DeviceInvalid, "line %d: %s", line, fmt.Sprintf(format, args...)).With("line", line)
}

func unsupported(line int, format string, args ...any) error {
	return fault.New(fault.DeviceUnsupported, "line %d: %s", line, fmt.Sprintf(format, args...)).With("line", line)
}

// enough refuses a file without definitions, or with too many.
func enough(entries []entry) error {
	if len(entries) == 0 {
		return invalid(1, "there is no device definition in the file")
	}
	if len(entries) > maxDefinitions {
		return invalid(entries[maxDefinitions].line, "a file takes up to %d definitions", maxDefinitions)
	}
	return nil
}
