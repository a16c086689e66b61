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
	own := map[string]*yaml.Node{}
	for _, d := range domains {
		if own[d.Domain], err = ownPolicies(ctx, server, d); err != nil {
			return nil, err
		}
	}
	put(root, "domains", list(domains, func(d client.Domain) *yaml.Node {
		n := written(d, reflect.TypeFor[client.DomainEdit](), "domain")
		put(n, "policies", own[d.Domain])
		return n
	}))
	put(root, "profiles", list(profiles, func(p client.Profile) *yaml.Node {
		return written(p, reflect.TypeFor[client.ProfileEdit](), "profile")
	}))
	put(root, "radius_clients", list(clients, func(c client.RADIUSClient) *yaml.Node {
		n := written(c, reflect.TypeFor[client.RADIUSClientEdit](), "radius_client")
		if c.Address != "" {
			holds(n, "secret")
		}
		return inDomain(n, c.Domain)
	}))
	if err := exportPeople(ctx, server, root); err != nil {
		return nil, err
	}
	if err := exportNotices(ctx, server, root); err != nil {
		return nil, err
	}
	return text(root)
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
	agents, err := server.Agents(ctx)
	if err != nil {
		return err
	}
	directories, err := server.Directories(ctx)
	if err != nil {
		return err
	}
	put(root, "groups", list(groups, func(g client.Group) *yaml.Node {
		return inDomain(written(g, reflect.TypeFor[client.GroupEdit](), "group"), g.Domain)
	}))
	put(root, "agents", list(agents, func(a client.Agent) *yaml.Node {
		return inDomain(written(a, reflect.TypeFor[client.AgentEdit](), "agent"), a.Domain)
	}))
	put(root, "directories", list(directories, func(d client.Directory) *yaml.Node {
		n := written(d, reflect.TypeFor[client.DirectoryEdit](), "directory")
		if d.BindDN != "" {
			holds(n, "password")
		}
		put(n, "kind", scalar(d.Kind))
		return inDomain(n, d.Domain)
	}))
	return nil
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

// exportNotices writes what tells people and programs of things: mail, webhooks and reports.
func exportNotices(ctx context.Context, server *client.Client, root *yaml.Node) error {
	settings, err := server.MailSettings(ctx)
	if err != nil {
		return err
	}
	templates, err := server.MailTemplates(ctx)
	if err != nil {
		return err
	}
	webhooks, err := server.Webhooks(ctx)
	if err != nil {
		return err
	}
	schedules, err := server.ReportSchedules(ctx)
	if err != nil {
		return err
	}
	if settings.Version > 0 { // somebody made some
		n := written(settings, reflect.TypeFor[client.MailSettingsEdit](), "")
		if settings.HasPassword {
			holds(n, "password")
		}
		put(root, "mail_settings", n)
	}
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
	put(root, "webhooks", list(webhooks, func(w client.Webhook) *yaml.Node {
		return holds(written(w, reflect.TypeFor[client.WebhookEdit](), "webhook"), "secret")
	}))
	put(root, "report_schedules", list(schedules, func(s client.ReportSchedule) *yaml.Node {
		return written(s, reflect.TypeFor[client.ReportScheduleEdit](), "schedule")
	}))
	return nil
}

// ownPolicies are the policies that a domain has of its own.
func ownPolicies(ctx context.Context, server *client.Client, d client.Domain) (*yaml.Node, error) {
	n := object()
	if len(d.OwnPolicies) == 0 {
		return n, nil
	}
	holds, err := server.PoliciesOf(ctx, d.Domain)
	if slices.Contains(d.OwnPolicies, "token") {
		put(n, "token", written(holds.Token, reflect.TypeFor[client.TokenPolicyEdit](), ""))
	}
	if slices.Contains(d.OwnPolicies, "lockout") {
		put(n, "lockout", written(holds.Lockout, reflect.TypeFor[client.LockoutPolicyEdit](), ""))
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

// written is a document of the API as a configuration has it: its name, if it has one, and the members that an edit of that
// type may set. Texts and lists that are empty are left out where an edit leaves them empty.
func written(document any, edit reflect.Type, name string) *yaml.Node {
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
	for i := range edit.NumField() {
		called, isTime := nameOf(edit.Field(i))
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
