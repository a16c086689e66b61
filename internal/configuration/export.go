package configuration

import (
	"bytes"
	"context"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/tallystick/tallystick/client"
)

// head begins an exported configuration.
const head = `# What this deployment is like, for 'tallystick apply -f'. Secrets are not in it: a RADIUS client takes a new one from
# the file that its secret_file names, and keeps the one that it has without.

`

// Export writes what a server is like as a configuration: applied to it, that changes nothing.
func Export(ctx context.Context, server *client.Client) ([]byte, error) {
	policies, err := server.Policies(ctx)
	if err != nil {
		return nil, err
	}
	settings, err := server.Settings(ctx)
	if err != nil {
		return nil, err
	}
	devices, err := server.Devices(ctx)
	if err != nil {
		return nil, err
	}
	profiles, err := server.Profiles(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := server.RADIUSClients(ctx)
	if err != nil {
		return nil, err
	}
	domains, err := server.Domains(ctx)
	if err != nil {
		return nil, err
	}
	domains = slices.DeleteFunc(domains, func(d client.Domain) bool { return d.Parent == "" }) // the root is always there
	root := object()
	policy := object()
	put(policy, "token", written(policies.Token, reflect.TypeFor[client.TokenPolicyEdit](), ""))
	put(policy, "lockout", written(policies.Lockout, reflect.TypeFor[client.LockoutPolicyEdit](), ""))
	put(root, "policies", policy)
	put(root, "settings", written(settings, reflect.TypeFor[client.SettingsEdit](), ""))
	imported := slices.DeleteFunc(devices, func(d client.Device) bool { return d.BuiltIn })
	put(root, "devices", list(imported, definition))
	put(root, "domains", list(domains, func(d client.Domain) *yaml.Node {
		return written(d, reflect.TypeFor[client.DomainEdit](), "domain")
	}))
	put(root, "profiles", list(profiles, func(p client.Profile) *yaml.Node {
		return written(p, reflect.TypeFor[client.ProfileEdit](), "profile")
	}))
	put(root, "radius_clients", list(clients, func(c client.RADIUSClient) *yaml.Node {
		n := written(c, reflect.TypeFor[client.RADIUSClientEdit](), "radius_client")
		if c.Domain != "root" {
			put(n, "domain", scalar(c.Domain))
		}
		return n
	}))
	return text(root)
}

func text(root *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

func object() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

// put adds a member to an object, unless it is an empty list or object.
func put(to *yaml.Node, name string, value *yaml.Node) {
	if value.Kind != yaml.ScalarNode && len(value.Content) == 0 {
		return
	}
	to.Content = append(to.Content, scalar(name), value)
}

func list[T any](all []T, item func(T) *yaml.Node) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range all {
		n.Content = append(n.Content, item(v))
	}
	return n
}

// scalar is a value as a document has it, quoted where it needs to be.
func scalar(v any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	return n
}

// written is a document of the API as a configuration has it: its name, if it has one, and the members that an edit of that
// type may set. Texts and lists that are empty are left out where an edit leaves them empty.
func written(document any, edit reflect.Type, name string) *yaml.Node {
	n := object()
	v := reflect.ValueOf(document)
	byName := map[string]reflect.Value{}
	for i := range v.NumField() {
		called, _ := nameOf(v.Type().Field(i))
		byName[called] = v.Field(i)
	}
	if name != "" {
		put(n, name, scalar(byName[name].String()))
	}
	for i := range edit.NumField() {
		called, isTime := nameOf(edit.Field(i))
		value, ok := byName[called]
		switch {
		case !ok || called == "":
		case isTime:
			put(n, called, scalar(Life(value.Int())))
		case value.Kind() == reflect.Slice:
			put(n, called, elements(value))
		case value.Kind() == reflect.String && value.Len() == 0:
		default:
			put(n, called, scalar(value.Interface()))
		}
	}
	return n
}

// elements are the items of a list; those of objects are written with all that they have.
func elements(all reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for i := range all.Len() {
		item := all.Index(i)
		if item.Kind() == reflect.Struct {
			n.Style = 0
			n.Content = append(n.Content, written(item.Interface(), item.Type(), ""))
			continue
		}
		n.Content = append(n.Content, scalar(item.Interface()))
	}
	return n
}

// definition is a device definition as a definition file has it.
func definition(d client.Device) *yaml.Node {
	n := object()
	v := reflect.ValueOf(d)
	for i := range v.NumField() {
		name, _ := nameOf(v.Type().Field(i))
		switch {
		case name == "built_in" || name == "imported_at":
		case v.Field(i).Kind() == reflect.Slice:
			put(n, name, elements(v.Field(i)))
		case v.Field(i).Kind() == reflect.String && v.Field(i).Len() == 0:
		default:
			put(n, name, scalar(v.Field(i).Interface()))
		}
	}
	return n
}
