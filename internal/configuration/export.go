package configuration

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tallystick/tallystick/client"
)

// head begins an exported configuration.
const head = `# What this deployment is like, for 'tallystick apply -f'. Secrets are not in it: who has one keeps it, or takes another
# from a file (secret_file, password_file) or from a variable of the environment (secret_env, password_env). Not in it are
# members of groups, credentials of agents, and API keys.

`

// Export writes what a server is like as a configuration: applied to it, that changes nothing.
func Export(ctx context.Context, server *client.Client) ([]byte, error) {
	root := object()
	for _, part := range []func(context.Context, *client.Client, *yaml.Node) error{exportRules, exportDomains, exportClients, exportPeople, exportMail, exportNotices} {
		if err := part(ctx, server, root); err != nil {
			return nil, err
		}
	}
	return text(root)
}

// exportAll writes all that the server has of a kind.
func exportAll[T any](ctx context.Context, root *yaml.Node, name string, get func(context.Context) ([]T, error), item func(T) *yaml.Node) error {
	all, err := get(ctx)
	put(root, name, list(all, item))
	return err
}

// exportRules writes the deployment's policies and settings, and the device definitions that were imported.
func exportRules(ctx context.Context, server *client.Client, root *yaml.Node) error {
	policies, err := server.Policies(ctx)
	if err != nil {
		return err
	}
	settings, err := server.Settings(ctx)
	if err != nil {
		return err
	}
	policy := object()
	put(policy, "token", written[client.TokenPolicyEdit](policies.Token, ""))
	put(policy, "lockout", written[client.LockoutPolicyEdit](policies.Lockout, ""))
	put(root, "policies", policy)
	put(root, "settings", written[client.SettingsEdit](settings, ""))
	devices, err := server.Devices(ctx)
	put(root, "devices", list(slices.DeleteFunc(devices, func(d client.Device) bool { return d.BuiltIn }), definition))
	return err
}

// exportDomains writes the security domains, with the policies that they have of their own.
func exportDomains(ctx context.Context, server *client.Client, root *yaml.Node) error {
	domains, err := server.Domains(ctx)
	if err != nil {
		return err
	}
	domains = slices.DeleteFunc(domains, func(d client.Domain) bool { return d.Parent == "" }) // the root is always there
	own := map[string]*yaml.Node{}
	for _, d := range domains {
		if own[d.Domain], err = ownPolicies(ctx, server, d); err != nil {
			return err
		}
	}
	put(root, "domains", list(domains, func(d client.Domain) *yaml.Node {
		n := written[client.DomainEdit](d, "domain")
		put(n, "policies", own[d.Domain])
		return n
	}))
	return nil
}

// exportClients writes profiles and RADIUS clients.
func exportClients(ctx context.Context, server *client.Client, root *yaml.Node) error {
	err := exportAll(ctx, root, "profiles", server.Profiles, func(p client.Profile) *yaml.Node { return written[client.ProfileEdit](p, "profile") })
	if err != nil {
		return err
	}
	return exportAll(ctx, root, "radius_clients", server.RADIUSClients, func(c client.RADIUSClient) *yaml.Node {
		n := written[client.RADIUSClientEdit](c, "radius_client")
		if c.Address != "" {
			holds(n, "secret")
		}
		return inDomain(n, c.Domain)
	})
}

// exportPeople writes groups, agents and directories.
func exportPeople(ctx context.Context, server *client.Client, root *yaml.Node) error {
	var groups []client.Group
	for g, err := range server.AllGroups(ctx, client.GroupFilter{}) {
		if err != nil {
			return err
		}
		groups = append(groups, g)
	}
	put(root, "groups", list(groups, func(g client.Group) *yaml.Node { return inDomain(written[client.GroupEdit](g, "group"), g.Domain) }))
	err := exportAll(ctx, root, "agents", server.Agents, func(a client.Agent) *yaml.Node { return inDomain(written[client.AgentEdit](a, "agent"), a.Domain) })
	if err != nil {
		return err
	}
	return exportAll(ctx, root, "directories", server.Directories, func(d client.Directory) *yaml.Node {
		n := written[client.DirectoryEdit](d, "directory")
		if d.BindDN != "" {
			holds(n, "password")
		}
		put(n, "kind", scalar(d.Kind))
		return inDomain(n, d.Domain)
	})
}

// holds notes behind the first value of an object that it has a secret on the server, which is not written.
func holds(n *yaml.Node, secret string) *yaml.Node {
	if len(n.Content) > 1 {
		n.Content[1].LineComment = "# its " + secret + " is not in here: " + secret + "_file or " + secret + "_env names it"
	}
	return n
}

// inDomain adds the domain that an object is in, unless it is the root.
func inDomain(n *yaml.Node, name string) *yaml.Node {
	if name != "root" {
		put(n, "domain", scalar(name))
	}
	return n
}

// exportMail writes the mail server and the templates that somebody made.
func exportMail(ctx context.Context, server *client.Client, root *yaml.Node) error {
	settings, err := server.MailSettings(ctx)
	if err != nil {
		return err
	}
	if settings.Version > 0 { // somebody made some
		n := written[client.MailSettingsEdit](settings, "")
		if settings.HasPassword {
			holds(n, "password")
		}
		put(root, "mail_settings", n)
	}
	templates, err := server.MailTemplates(ctx)
	own := slices.DeleteFunc(templates.Templates, func(t client.MailTemplate) bool { return t.BuiltIn })
	put(root, "mail_templates", list(own, func(t client.MailTemplate) *yaml.Node {
		n := object()
		put(n, "event", scalar(t.Event))
		if t.Profile != "" {
			put(n, "profile", scalar(t.Profile))
		}
		for _, part := range []struct{ name, text string }{{"subject", t.Subject}, {"text", t.Text}, {"html", t.HTML}} {
			put(n, part.name, scalar(part.text)) // also an empty one: the built-in HTML would come back
		}
		return n
	}))
	return err
}

// exportNotices writes what tells programs and people of things: webhooks and schedules of reports.
func exportNotices(ctx context.Context, server *client.Client, root *yaml.Node) error {
	err := exportAll(ctx, root, "webhooks", server.Webhooks, func(w client.Webhook) *yaml.Node {
		return holds(written[client.WebhookEdit](w, "webhook"), "secret")
	})
	if err != nil {
		return err
	}
	return exportAll(ctx, root, "report_schedules", server.ReportSchedules, func(s client.ReportSchedule) *yaml.Node {
		return written[client.ReportScheduleEdit](s, "schedule")
	})
}

// ownPolicies are the policies that a domain has of its own.
func ownPolicies(ctx context.Context, server *client.Client, d client.Domain) (*yaml.Node, error) {
	n := object()
	if len(d.OwnPolicies) == 0 {
		return n, nil
	}
	holds, err := server.PoliciesOf(ctx, d.Domain)
	if slices.Contains(d.OwnPolicies, "token") {
		put(n, "token", written[client.TokenPolicyEdit](holds.Token, ""))
	}
	if slices.Contains(d.OwnPolicies, "lockout") {
		put(n, "lockout", written[client.LockoutPolicyEdit](holds.Lockout, ""))
	}
	return n, err
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

// emptyLists are lists whose default is not empty: an empty one is said.
var emptyLists = []string{"expiry_days", "disabled_by"}

// written is a document of the API as a configuration has it: its name, if it has one, and the members that an Edit may set.
// Texts and lists that are empty are left out where an edit leaves them empty.
func written[Edit any](document any, name string) *yaml.Node {
	return writtenAs(document, reflect.TypeFor[Edit](), name)
}

// writtenAs is that for a type of edit that the program learns as it runs.
func writtenAs(document any, edit reflect.Type, name string) *yaml.Node {
	n := object()
	v := reflect.ValueOf(document)
	byName, optional := map[string]reflect.Value{}, map[string]bool{}
	for _, field := range reflect.VisibleFields(v.Type()) {
		called, _ := nameOf(field)
		byName[called], optional[called] = v.FieldByIndex(field.Index), strings.HasSuffix(field.Tag.Get("json"), ",omitempty")
	}
	if name != "" {
		put(n, name, scalar(byName[name].String()))
	}
	for field := range edit.Fields() {
		called, isTime := nameOf(field)
		value, ok := byName[called]
		switch {
		case !ok || called == "" || optional[called] && value.IsZero():
		case isTime:
			put(n, called, scalar(Life(value.Int())))
		case value.Kind() == reflect.Slice && value.Len() == 0 && slices.Contains(emptyLists, called):
			n.Content = append(n.Content, scalar(called), elements(value))
		case value.Kind() == reflect.Slice:
			put(n, called, elements(value))
		case value.Kind() == reflect.Map:
			put(n, called, scalar(value.Interface()))
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
			n.Content = append(n.Content, writtenAs(item.Interface(), item.Type(), ""))
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
