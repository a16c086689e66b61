package configuration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/tallystick/tallystick/client"
)

// sections reads the members of a document.
func (f *File) sections(file string, root *yaml.Node) error {
	sections := map[string]func(string, *yaml.Node) error{
		"policies": f.policies, "settings": f.settings, "devices": f.devices, "domains": f.domains, "profiles": f.profiles,
		"radius_clients": f.radiusClients, "groups": f.groups, "agents": f.agents, "directories": f.directories, "mail_settings": f.mailSettings,
		"mail_templates": f.mailTemplates, "webhooks": f.webhooks, "report_schedules": f.reportSchedules,
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

func (f *File) mailSettings(file string, n *yaml.Node) error {
	password, rest, err := reference(file, n, "password", true)
	if err != nil {
		return err
	}
	if rest, err = textFile(file, rest, "ca"); err != nil {
		return err
	}
	if err := once(f, place{file, n.Line}, rest, "mail_settings", &f.MailSettings); err != nil || password == nil {
		return err
	}
	if f.MailSettings == nil {
		f.MailSettings = new(client.MailSettingsEdit)
	}
	f.MailSettings.Password = password
	return nil
}

// A listed is one object of a list, with what was taken off it.
type listed struct {
	name  string
	taken map[string]string // members that are no part of the edit
	set   *yaml.Node        // those that are
	at    place
	where string // pointer of the edit in the configuration
}

// objects reads a list of objects, each with a name in a member of its own, and with members that an edit does not have.
func (f *File) objects(file string, n *yaml.Node, kind, member string, beside []string, add func(listed) error) error {
	return items(file, n, kind, func(at place, item *yaml.Node) error {
		o := listed{taken: map[string]string{}, at: at}
		var err error
		if o.name, o.set, err = f.named(at, item, kind, member); err != nil {
			return err
		}
		for _, name := range beside {
			if o.taken[name], _, o.set, err = take(file, o.set, name); err != nil {
				return err
			}
		}
		in := fmt.Sprintf("%s/%d", kind, f.counts[kind])
		f.counts[kind]++
		o.where = pointer(in, "set")
		f.places[pointer(in, member)] = at
		return add(o)
	})
}

// edit reads the members of an object that an edit has; nil if there are none.
func edit[T any](f *File, o listed) (*T, error) {
	if len(o.set.Content) == 0 {
		return nil, nil
	}
	e := new(T)
	return e, f.decode(o.at.file, o.set, e, o.where)
}

func (f *File) profiles(file string, n *yaml.Node) error {
	return f.objects(file, n, "profiles", "profile", nil, func(o listed) error {
		set, err := edit[client.ProfileEdit](f, o)
		f.Profiles = append(f.Profiles, client.ConfiguredProfile{Profile: o.name, Set: set})
		return err
	})
}

func (f *File) domains(file string, n *yaml.Node) error {
	return f.objects(file, n, "domains", "domain", nil, func(o listed) error {
		d := client.ConfiguredDomain{Domain: o.name}
		err := f.domainPolicies(&o, &d)
		if err == nil {
			d.Set, err = edit[client.DomainEdit](f, o)
		}
		f.Domains = append(f.Domains, d)
		return err
	})
}

// domainPolicies takes the policies off a domain: each is an object, or the word inherit.
func (f *File) domainPolicies(o *listed, d *client.ConfiguredDomain) error {
	file, in := o.at.file, strings.TrimSuffix(o.where, "/set")
	left := *o.set
	left.Content = nil
	err := members(file, o.set, "a security domain", func(name string, at place, value *yaml.Node) error {
		if name != "policies" {
			left.Content = append(left.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name, Line: at.line}, value)
			return nil
		}
		return members(file, value, "policies", func(kind string, at place, value *yaml.Node) error {
			if kind != "token" && kind != "lockout" {
				return at.refuse("there is no policy %q: there are token and lockout", kind)
			}
			f.places[pointer(kind+"_policy", d.Domain)] = at
			switch {
			case value.Kind == yaml.ScalarNode && value.Value == "inherit":
				d.Inherit = append(d.Inherit, kind)
				return nil
			case value.Kind != yaml.MappingNode || len(value.Content) == 0:
				return at.refuse("the %s policy of a domain is an object, or the word inherit", kind)
			case kind == "token":
				d.TokenPolicy = new(client.TokenPolicyEdit)
				return f.decode(file, value, d.TokenPolicy, pointer(in, "token_policy"))
			}
			d.LockoutPolicy = new(client.LockoutPolicyEdit)
			return f.decode(file, value, d.LockoutPolicy, pointer(in, "lockout_policy"))
		})
	})
	o.set = &left
	return err
}

func (f *File) groups(file string, n *yaml.Node) error {
	return f.objects(file, n, "groups", "group", []string{"domain"}, func(o listed) error {
		set, err := edit[client.GroupEdit](f, o)
		f.Groups = append(f.Groups, client.ConfiguredGroup{Group: o.name, Domain: o.taken["domain"], Set: set})
		return err
	})
}

func (f *File) agents(file string, n *yaml.Node) error {
	return f.objects(file, n, "agents", "agent", []string{"domain"}, func(o listed) error {
		set, err := edit[client.AgentEdit](f, o)
		f.Agents = append(f.Agents, client.ConfiguredAgent{Agent: o.name, Domain: o.taken["domain"], Set: set})
		return err
	})
}

func (f *File) radiusClients(file string, n *yaml.Node) error {
	return f.objects(file, n, "radius_clients", "radius_client", []string{"domain"}, func(o listed) error {
		secret, err := o.secret(file, "secret", false)
		if err != nil {
			return err
		}
		set, err := edit[client.RADIUSClientEdit](f, o)
		if secret != nil {
			set = orNew(set)
			set.Secret = secret
		}
		f.RADIUSClients = append(f.RADIUSClients, client.ConfiguredRADIUSClient{RADIUSClient: o.name, Domain: o.taken["domain"], Set: set})
		return err
	})
}

func (f *File) directories(file string, n *yaml.Node) error {
	return f.objects(file, n, "directories", "directory", []string{"kind", "domain"}, func(o listed) error {
		password, err := o.secret(file, "password", false)
		if err != nil {
			return err
		}
		if o.set, err = textFile(file, o.set, "ca"); err != nil {
			return err
		}
		set, err := edit[client.DirectoryEdit](f, o)
		if password != nil {
			set = orNew(set)
			set.Password = password
		}
		f.Directories = append(f.Directories, client.ConfiguredDirectory{Directory: o.name, Kind: o.taken["kind"], Domain: o.taken["domain"], Set: set})
		return err
	})
}

// mailTemplates are known by event and profile.
func (f *File) mailTemplates(file string, n *yaml.Node) error {
	return items(file, n, "mail_templates", func(at place, item *yaml.Node) error {
		event, _, rest, err := take(file, item, "event")
		if err != nil {
			return err
		}
		profile, _, rest, err := take(file, rest, "profile")
		if err != nil {
			return err
		}
		if event == "" {
			return at.refuse("this takes a name: event")
		}
		name := event
		if profile != "" {
			name += " for " + profile
		}
		if before, twice := f.places[pointer("mail_templates", name)]; twice {
			return at.refuse("the template of %s is in %v already", name, before)
		}
		f.places[pointer("mail_templates", name)] = at
		for _, member := range []string{"text", "html"} {
			if rest, err = textFile(file, rest, member); err != nil {
				return err
			}
		}
		in := fmt.Sprintf("mail_templates/%d", len(f.MailTemplates))
		f.places[pointer(in, "event")], f.places[pointer(in, "profile")] = at, at
		set, err := edit[client.MailTemplateEdit](f, listed{set: rest, at: at, where: pointer(in, "set")})
		f.MailTemplates = append(f.MailTemplates, client.ConfiguredMailTemplate{Event: event, Profile: profile, Set: set})
		return err
	})
}

func (f *File) webhooks(file string, n *yaml.Node) error {
	return f.objects(file, n, "webhooks", "webhook", nil, func(o listed) error {
		secret, err := o.secret(file, "secret", false)
		if err != nil {
			return err
		}
		if o.set, err = textFile(file, o.set, "ca"); err != nil {
			return err
		}
		set, err := edit[client.WebhookEdit](f, o)
		if secret != nil {
			set = orNew(set)
			set.Secret = secret
		}
		f.Webhooks = append(f.Webhooks, client.ConfiguredWebhook{Webhook: o.name, Set: set})
		return err
	})
}

func (f *File) reportSchedules(file string, n *yaml.Node) error {
	return f.objects(file, n, "report_schedules", "schedule", nil, func(o listed) error {
		set, err := edit[client.ReportScheduleEdit](f, o)
		f.ReportSchedules = append(f.ReportSchedules, client.ConfiguredReportSchedule{Schedule: o.name, Set: set})
		return err
	})
}

// orNew is what is given, or else a new one.
func orNew[T any](given *T) *T {
	if given == nil {
		return new(T)
	}
	return given
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

// secret takes the reference to a secret off an object; nil if there is none.
func (o *listed) secret(file, member string, mayBeEmpty bool) (secret *client.Secret, err error) {
	secret, o.set, err = reference(file, o.set, member, mayBeEmpty)
	return secret, err
}

// reference takes what names a secret off an object, and reads it: a file (secret_file), of which one newline at the end is dropped, or a
// variable of the environment (secret_env). nil if neither is there.
func reference(file string, n *yaml.Node, member string, mayBeEmpty bool) (*client.Secret, *yaml.Node, error) {
	if n.Kind != yaml.MappingNode { // is refused where it is read
		return nil, n, nil
	}
	name, at, rest, err := take(file, n, member+"_file")
	if err != nil {
		return nil, nil, err
	}
	variable, where, rest, err := take(file, rest, member+"_env")
	if err != nil || name == "" && variable == "" {
		return nil, rest, err
	}
	var text string
	switch {
	case name != "" && variable != "":
		return nil, nil, where.refuse("%s_file and %s_env are two places of one secret: name one", member, member)
	case variable != "":
		at, name = where, variable
		var set bool
		if text, set = os.LookupEnv(variable); !set {
			return nil, nil, at.refuse("the variable %s is not set", variable)
		}
	default:
		content, err := beside(file, name)
		if err != nil {
			return nil, nil, at.refuse("the file of the %s cannot be read: %v", member, err)
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	}
	if text == "" && !mayBeEmpty {
		return nil, nil, at.refuse("%s is empty", name)
	}
	if !utf8.ValidString(text) { // it would be sent as another one
		return nil, nil, at.refuse("%s is not text in UTF-8, as a secret must be", name)
	}
	secret := client.Secret(text)
	return &secret, rest, nil
}

// textFile puts the text of a file that a member names (text_file) where the text itself may stand (text).
func textFile(file string, n *yaml.Node, member string) (*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return n, nil
	}
	name, at, rest, err := take(file, n, member+"_file")
	if err != nil || name == "" {
		return rest, err
	}
	text, err := beside(file, name)
	if err != nil {
		return nil, at.refuse("the file of the %s cannot be read: %v", member, err)
	}
	if !utf8.Valid(text) {
		return nil, at.refuse("the file of the %s is not text in UTF-8", member)
	}
	rest.Content = append(rest.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: member, Line: at.line}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(text), Line: at.line})
	return rest, nil
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
