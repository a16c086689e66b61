// Package configuration reads and writes the files of 'tallystick apply': what
// a deployment is to be like, in YAML or JSON. docs/apply.md describes them.
//
// [Load] reads files into what the API takes (client.Configuration) and knows
// the line of each thing, so that a refusal of the server names it, too
// ([File.Explain]). [Export] writes what a server is like in the same form.
package configuration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/fault"
)

// Bounds of configuration files.
const (
	maxFile  = 2 << 20 // bytes, also of a file that a configuration names
	maxFiles = 100     // in a folder
)

// A File is a configuration, out of one file or several.
type File struct {
	client.Configuration
	says   bool             // something, if only {}
	counts map[string]int   // of the objects of each kind, over all files
	places map[string]place // of members of the configuration, by their JSON pointers, and of objects, by kind and name
}

// A place is where something stands.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// refuse is a refusal of what stands at a place.
func (p place) refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "%v: %s", p, fmt.Sprintf(format, args...)).With("file", p.file).With("line", p.line)
}

// Load reads a configuration from a file, from standard input if its name is -, or from the files of a folder that end in .yaml,
// .yml or .json. Files that these name are looked for beside them. What a configuration does not have is
// fault.Invalid, with file and line.
func Load(name string, stdin io.Reader) (*File, error) {
	f := &File{counts: map[string]int{}, places: map[string]place{}}
	if name == "-" {
		text, err := limited(stdin, "standard input")
		if err != nil {
			return nil, err
		}
		return f, f.read("-", text)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	names := []string{name}
	if info.IsDir() {
		if names, err = configurations(name); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		text, err := readFile(name)
		if err != nil {
			return nil, err
		}
		if err := f.read(name, text); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Empty tells whether a configuration says nothing at all, as a file does that was cut off or is not written yet.
func (f *File) Empty() bool { return !f.says }

// configurations are the files of a folder that hold one.
func configurations(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".yaml", ".yml", ".json":
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				names = append(names, filepath.Join(folder, e.Name()))
			}
		}
	}
	if len(names) == 0 || len(names) > maxFiles {
		return nil, fault.New(fault.Invalid, "%s holds %d files that end in .yaml, .yml or .json: 1 to %d are taken", folder, len(names), maxFiles)
	}
	return names, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return limited(file, name)
}

func limited(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fault.New(fault.TooLarge, "%s is larger than %d MiB", name, maxFile>>20)
	}
	return text, err
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// read adds what a file says.
func (f *File) read(name string, text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			at := place{name, 1}
			if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
				at.line, _ = strconv.Atoi(found[1])
			}
			return at.refuse("this is neither YAML nor JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(document.Content) != 1 || document.Content[0].Tag == "!!null" {
			continue
		}
		f.says = true
		if err := f.sections(name, document.Content[0]); err != nil {
			return err
		}
	}
}

// Explain puts the place of what a server refused in front of its words.
func (f *File) Explain(err error) error {
	var refused *client.Error
	if !errors.As(err, &refused) {
		return err
	}
	text := func(name string) string { s, _ := refused.Details[name].(string); return s }
	at, ok := f.places[pointer(text("kind"), text("name"))]
	for member := text("member"); member != "" && !ok; { // the nearest that has a place
		at, ok = f.places[member]
		member = member[:max(strings.LastIndexByte(member, '/'), 0)]
	}
	if !ok {
		return err
	}
	if line, is := refused.Details["line"].(float64); is && text("kind") == "devices" {
		at.line = int(line)
	}
	told := *refused
	told.Message = fmt.Sprintf("%v: %s", at, refused.Message)
	return &told
}

func pointer(parts ...string) string { return strings.Join(parts, "/") }

// among lists names for a message.
func among(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
