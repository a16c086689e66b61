package configuration

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tallystick/tallystick/client"
)

// sections reads the members of a document.
func (f *File) sections(file string, root *yaml.Node) error {
	sections := map[string]func(string, *yaml.Node) error{
		"policies": f.policies, "settings": f.settings, "devices": f.devices, "domains": f.domains, "profiles": f.profiles,
		"radius_clients": f.radiusClients,
	}
	return members(file, root, "a configuration", func(name string, at place, value *yaml.Node) error {
		read := sections[name]
		if read == nil {
			var known []string
			for name := range sections {
				known = append(known, name)
			}
			return at.refuse("a configuration has no %q: it has %s", name, among(known))
		}
		return read(file, value)
	})
}

// members goes through the members of an object, each of which may be there once.
func members(file string, n *yaml.Node, what string, do func(name string, at place, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return place{file, n.Line}.refuse("%s is an object: names with values", what)
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := place{file, key.Line}
		if key.Kind != yaml.ScalarNode {
			return at.refuse("a name is expected here")
		}
		if line, twice := lines[key.Value]; twice {
			return at.refuse("%q is there twice: it is on line %d already", key.Value, line)
		}
		lines[key.Value] = key.Line
		if err := do(key.Value, at, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// items goes through the items of a list.
func items(file string, n *yaml.Node, what string, do func(at place, item *yaml.Node) error) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return place{file, n.Line}.refuse("%s is a list", what)
	}
	for _, item := range n.Content {
		if err := do(place{file, item.Line}, item); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) policies(file string, n *yaml.Node) error {
	return members(file, n, "policies", func(name string, at place, value *yaml.Node) error {
		switch name {
		case "token":
			return once(f, at, value, "token_policy", &f.TokenPolicy)
		case "lockout":
			return once(f, at, value, "lockout_policy", &f.LockoutPolicy)
		}
		return at.refuse("there is no policy %q: there are token and lockout", name)
	})
}

func (f *File) settings(file string, n *yaml.Node) error {
	return once(f, place{file, n.Line}, n, "settings", &f.Settings)
}

// once reads an object of which there is one.
func once[T any](f *File, at place, n *yaml.Node, member string, into **T) error {
	if *into != nil {
		return at.refuse("%s are in %v already", strings.ReplaceAll(member, "_", " "), f.places[pointer(member, "")])
	}
	f.places[pointer(member, "")] = at
	edit := new(T)
	if n.Tag == "!!null" || n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		return nil
	}
	if err := f.decode(at.file, n, edit, member); err != nil {
		return err
	}
	*into = edit
	return nil
}

func (f *File) profiles(file string, n *yaml.Node) error {
	return items(file, n, "profiles", func(at place, item *yaml.Node) error {
		member := fmt.Sprintf("profiles/%d", len(f.Profiles))
		name, rest, err := f.named(at, item, "profiles", "profile")
		if err != nil {
			return err
		}
		p := client.ConfiguredProfile{Profile: name}
		if len(rest.Content) > 0 {
			p.Set = new(client.ProfileEdit)
			err = f.decode(file, rest, p.Set, pointer(member, "set"))
		}
		f.places[pointer(member, "profile")] = at
		f.Profiles = append(f.Profiles, p)
		return err
	})
}

func (f *File) domains(file string, n *yaml.Node) error {
	return items(file, n, "domains", func(at place, item *yaml.Node) error {
		member := fmt.Sprintf("domains/%d", len(f.Domains))
		name, rest, err := f.named(at, item, "domains", "domain")
		if err != nil {
			return err
		}
		d := client.ConfiguredDomain{Domain: name}
		if len(rest.Content) > 0 {
			d.Set = new(client.DomainEdit)
			err = f.decode(file, rest, d.Set, pointer(member, "set"))
		}
		f.places[pointer(member, "domain")] = at
		f.Domains = append(f.Domains, d)
		return err
	})
}

func (f *File) radiusClients(file string, n *yaml.Node) error {
	return items(file, n, "radius_clients", func(at place, item *yaml.Node) error {
		member := fmt.Sprintf("radius_clients/%d", len(f.RADIUSClients))
		name, rest, err := f.named(at, item, "radius_clients", "radius_client")
		if err != nil {
			return err
		}
		secret, rest, err := f.secretFile(file, rest)
		if err != nil {
			return err
		}
		domain, _, rest, err := take(file, rest, "domain")
		if err != nil {
			return err
		}
		c := client.ConfiguredRADIUSClient{RADIUSClient: name, Domain: domain}
		if len(rest.Content) > 0 || secret != nil {
			c.Set = new(client.RADIUSClientEdit)
		}
		if len(rest.Content) > 0 {
			err = f.decode(file, rest, c.Set, pointer(member, "set"))
		}
		if secret != nil {
			c.Set.Secret = secret
		}
		f.places[pointer(member, "radius_client")] = at
		f.RADIUSClients = append(f.RADIUSClients, c)
		return err
	})
}

// named takes the name off an object and notes where it is.
func (f *File) named(at place, n *yaml.Node, kind, member string) (name string, rest *yaml.Node, err error) {
	name, where, rest, err := take(at.file, n, member)
	if err != nil {
		return "", nil, err
	}
	if name == "" {
		return "", nil, at.refuse("this takes a name: %s", member)
	}
	if before, twice := f.places[pointer(kind, name)]; twice {
		return "", nil, where.refuse("%s %s is in %v already", member, name, before)
	}
	f.places[pointer(kind, name)] = at
	return name, rest, nil
}

// take takes a text off an object; "" if it is not there.
func take(file string, n *yaml.Node, member string) (text string, at place, rest *yaml.Node, err error) {
	left := *n
	left.Content = nil
	err = members(file, n, "each of them", func(name string, where place, value *yaml.Node) error {
		if name != member {
			left.Content = append(left.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name, Line: where.line}, value)
			return nil
		}
		if value.Kind != yaml.ScalarNode {
			return where.refuse("%s takes a text", member)
		}
		text, at = value.Value, where
		return nil
	})
	return text, at, &left, err
}

// secretFile reads the secret that a RADIUS client's secret_file names. One newline at its end is dropped.
func (f *File) secretFile(file string, n *yaml.Node) (*client.Secret, *yaml.Node, error) {
	name, at, rest, err := take(file, n, "secret_file")
	if err != nil || name == "" {
		return nil, rest, err
	}
	text, err := beside(file, name)
	if err != nil {
		return nil, nil, at.refuse("the file of the secret cannot be read: %v", err)
	}
	secret := client.Secret(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
	if secret == "" {
		return nil, nil, at.refuse("%s is empty", name)
	}
	return &secret, rest, nil
}

// beside reads a file that a configuration file names, relative to its own folder.
func beside(file, name string) ([]byte, error) {
	if !filepath.IsAbs(name) && file != "-" {
		name = filepath.Join(filepath.Dir(file), name)
	}
	return readFile(name)
}

// devices reads definitions: each stands there itself, or its file is named.
func (f *File) devices(file string, n *yaml.Node) error {
	return items(file, n, "devices", func(at place, item *yaml.Node) error {
		name, where, rest, err := take(file, item, "file")
		if err != nil {
			return err
		}
		key := pointer("devices", fmt.Sprintf("#%d", len(f.Devices)))
		if name == "" {
			text, err := inline(item)
			if err != nil {
				return at.refuse("%v", err)
			}
			f.places[key] = at
			f.Devices = append(f.Devices, text)
			if title, _, _, err := take(file, item, "device_type"); err == nil {
				f.places[pointer("devices", title)] = at
			}
			return nil
		}
		if len(rest.Content) > 0 {
			return where.refuse("with a file, nothing else is said of a device")
		}
		text, err := beside(file, name)
		if err != nil {
			return where.refuse("the definition file cannot be read: %v", err)
		}
		f.places[key] = place{name, 1}
		f.Devices = append(f.Devices, text)
		return nil
	})
}

// inline is the JSON of a definition that stands in a configuration, with everything on the line where it is there: what a
// server says of a line is true for the configuration.
func inline(n *yaml.Node) ([]byte, error) {
	w := &lined{line: 1}
	err := w.write(n)
	return []byte(w.String()), err
}

type lined struct {
	strings.Builder
	line int
}

func (w *lined) write(n *yaml.Node) error {
	if n.Line > w.line {
		w.WriteString(strings.Repeat("\n", n.Line-w.line))
		w.line = n.Line
	}
	open, end := "[", "]"
	switch n.Kind {
	case yaml.ScalarNode:
		text, err := json.Marshal(n.Value)
		if n.Tag == "!!null" {
			text = []byte("null")
		}
		w.Write(text)
		return err
	case yaml.MappingNode:
		open, end = "{", "}"
	case yaml.SequenceNode:
	default:
		return fmt.Errorf("anchors and aliases are not taken here")
	}
	w.WriteString(open)
	for i, item := range n.Content {
		if i > 0 {
			separator := ","
			if n.Kind == yaml.MappingNode && i%2 == 1 {
				separator = ":"
			}
			w.WriteString(separator)
		}
		if err := w.write(item); err != nil {
			return err
		}
	}
	w.WriteString(end)
	return nil
}
