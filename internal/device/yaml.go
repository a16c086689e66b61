package device

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// readYAML reads the other form of a definition file: JSON, or YAML, of which JSON is a part. It is an object for one
// definition, a list of them, or an object whose only member is the list "devices", which is what 'device list --json' prints.
func readYAML(file []byte) ([]entry, []string, error) {
	root, err := parseYAML(file)
	if err != nil {
		return nil, nil, err
	}
	items := []*yaml.Node{root}
	if root.Kind == yaml.MappingNode && len(root.Content) == 2 && root.Content[0].Value == "devices" {
		root = root.Content[1]
		items = []*yaml.Node{root}
	}
	if root.Kind == yaml.SequenceNode {
		items = root.Content
	}
	var entries []entry
	for _, item := range items {
		e, err := yamlEntry(item)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil, enough(entries)
}

// line in the words of the YAML parser.
var yamlLine = regexp.MustCompile(`line (\d+)`)

func parseYAML(file []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(file))
	var document, second yaml.Node
	if err := d.Decode(&document); err != nil {
		line := 1
		if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
			line, _ = strconv.Atoi(found[1])
		}
		return nil, invalid(line, "this is no XML, JSON or YAML")
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, invalid(max(second.Line, 1), "there is a second document in the file")
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, invalid(1, "there is no device definition in the file")
	}
	return document.Content[0], nil
}

// yamlEntry reads one definition.
func yamlEntry(n *yaml.Node) (entry, error) {
	if n.Kind != yaml.MappingNode {
		return entry{}, invalid(n.Line, "a device definition is an object with members such as device_type and version")
	}
	out := entry{line: n.Line}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, content := n.Content[i], n.Content[i+1]
		f := field{name: key.Value, line: key.Line}
		if key.Kind != yaml.ScalarNode || settings[spelled(key.Value)] == nil {
			return entry{}, invalid(key.Line, "there is no member %q in a device definition", short(key.Value))
		}
		items := []*yaml.Node{content}
		if content.Kind == yaml.SequenceNode {
			items = content.Content
		}
		for _, item := range items {
			switch {
			case item.Kind != yaml.ScalarNode:
				return entry{}, invalid(item.Line, "%s takes a value, or a list of values", short(key.Value))
			case item.Tag != "!!null":
				f.values = append(f.values, value{item.Value, item.Line})
			}
		}
		out.fields = append(out.fields, f)
	}
	return out, nil
}
