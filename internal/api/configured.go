package api

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/internal/webhook"
)

// A managed is an object of the deployment that a configuration speaks of, and what can be done with it.
type managed[T any] struct {
	kind, name string
	get        func() (T, error) // refused with missing if there is none
	missing    error
	add        func() (T, error)
	edit       func(T) (T, error)                       // changes it, given as it is now
	wanted     func(T) (T, error)                       // how it is to be, with all defaults
	members    func(T) settable                         // of it, which a configuration has
	another    func(T) (secret string, _ bool, _ error) // the name of its secret, and whether the configuration has another one; nil for none
}

// A settable is the members of an object that a configuration has.
type settable map[string]json.RawMessage

// settableOf takes those members out of a document of the API that an edit of it has, and some more. Secrets are in no document.
func settableOf(document, edit any, more ...string) settable {
	text, err := json.Marshal(document)
	if err != nil {
		return nil // documents of the API are no cycles and hold no functions
	}
	var all settable
	if json.Unmarshal(text, &all) != nil {
		return nil
	}
	of := reflect.TypeOf(edit)
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		more = append(more, name)
	}
	for name := range all {
		if !slices.Contains(more, name) {
			delete(all, name)
		}
	}
	return all
}

// manage makes an object what the configuration says, if it is not.
func manage[T any](c *configuring, k managed[T]) error {
	here, err := k.get()
	if errors.Is(err, k.missing) {
		after, err := k.add()
		return c.step(err, k.kind, k.name, nil, k.members(after))
	}
	if err != nil {
		return about(err, k.kind, k.name)
	}
	secret, another := "", false
	if k.another != nil {
		if secret, another, err = k.another(here); err != nil {
			return about(err, k.kind, k.name)
		}
	}
	after, err := k.wanted(here)
	if err == nil && (another || !reflect.DeepEqual(k.members(here), k.members(after))) {
		after, err = k.edit(here)
	}
	if err := c.step(err, k.kind, k.name, k.members(here), k.members(after)); err != nil {
		return err
	}
	if another {
		c.hidden(secret)
	}
	return nil
}

// hidden adds to the last step that a secret was replaced by another one.
func (c *configuring) hidden(secret string) {
	last := &c.steps[len(c.steps)-1]
	last.Action = "change"
	last.Changes = append(last.Changes, client.ConfigurationChange{Member: secret, From: "(hidden)", To: "(another, hidden)"})
}

// moves puts an object into the domain that the configuration names, if it is in another one.
func (c *configuring) moves(ctx context.Context, kind domain.Kind, name, from, to string) (string, error) {
	if to == "" || domain.Parse(to) == from {
		return from, nil
	}
	_, err := c.Domains.Put(ctx, domain.Parse(to), map[domain.Kind][]string{kind: {name}})
	return domain.Parse(to), err
}

func (c *configuring) groups(ctx context.Context) error {
	for _, in := range c.in.Groups {
		if err := c.names(kindGroups, in.Group); err != nil {
			return err
		}
		edit := orNone(in.Set)
		change := func(g *user.Group) { set(&g.Note, edit.Note) }
		err := manage(c, managed[user.Group]{
			kind: kindGroups, name: in.Group, missing: fault.GroupNotFound,
			get: func() (user.Group, error) { return c.Groups.Get(ctx, in.Group) },
			add: func() (user.Group, error) {
				ctx, err := c.into(ctx, in.Domain)
				if err != nil {
					return user.Group{}, err
				}
				return c.Groups.Add(ctx, in.Group, orNone(edit.Note))
			},
			wanted: func(g user.Group) (user.Group, error) {
				change(&g)
				set(&g.Domain, parsed(in.Domain))
				return g, nil
			},
			edit: func(here user.Group) (user.Group, error) {
				to, err := c.moves(ctx, domain.Groups, in.Group, here.Domain, in.Domain)
				if err != nil || edit.Note == nil || *edit.Note == here.Note {
					here.Domain = to
					return here, err
				}
				return c.Groups.Edit(ctx, in.Group, 0, change)
			},
			members: func(g user.Group) settable { return settableOf(groupOf(g), client.GroupEdit{}, "domain") },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// orNone is what is given, or else the zero value.
func orNone[T any](given *T) (v T) {
	set(&v, given)
	return v
}

// parsed is a domain as it is stored, nil if none is named.
func parsed(name string) *string {
	if name == "" {
		return nil
	}
	name = domain.Parse(name)
	return &name
}

func (c *configuring) agents(ctx context.Context) error {
	for _, in := range c.in.Agents {
		if err := c.agent(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) agent(ctx context.Context, in client.ConfiguredAgent) error {
	name := in.Agent
	if here, err := c.Agents.Get(ctx, in.Agent); err == nil {
		name = here.Name // whatever the case
	}
	if err := c.names(kindAgents, name); err != nil {
		return err
	}
	change, err := agentEdit(orNone(in.Set))
	if err != nil {
		return about(err, kindAgents, name)
	}
	shown := func(a access.Agent) settable { return settableOf(agentOf(a), client.AgentEdit{}, "domain") }
	as := func(a access.Agent) access.Agent {
		change(&a)
		set(&a.Domain, parsed(in.Domain))
		return a
	}
	return manage(c, managed[access.Agent]{
		kind: kindAgents, name: name, missing: fault.NotFound, members: shown,
		wanted: func(a access.Agent) (access.Agent, error) { return as(a), nil },
		get:    func() (access.Agent, error) { return c.Agents.Get(ctx, name) },
		add: func() (access.Agent, error) {
			a := access.Agent{Name: name}
			change(&a)
			ctx, err := c.making(ctx, in.Domain)
			if err != nil {
				return a, err
			}
			return c.Agents.Add(ctx, a)
		},
		edit: func(here access.Agent) (access.Agent, error) {
			to, err := c.moves(ctx, domain.Agents, name, here.Domain, in.Domain)
			if err != nil {
				return here, err
			}
			moved := here
			moved.Domain = to
			if reflect.DeepEqual(shown(as(moved)), shown(moved)) {
				return moved, nil
			}
			return c.Agents.Edit(ctx, name, 0, change)
		},
	})
}

func (c *configuring) directories(ctx context.Context) error {
	for _, in := range c.in.Directories {
		if err := c.names(kindDirectories, in.Directory); err != nil {
			return err
		}
		edit := orNone(in.Set)
		change := func(d *directory.Directory) { editedDirectory(d, edit) }
		err := manage(c, managed[directory.Directory]{
			kind: kindDirectories, name: in.Directory, missing: fault.NotFound,
			get: func() (directory.Directory, error) { return c.Directories.Get(ctx, in.Directory) },
			add: func() (directory.Directory, error) {
				d := directory.Directory{Name: in.Directory, Kind: directory.OpenLDAP, Domain: domain.Parse(in.Domain)}
				if in.Kind != "" {
					d.Kind = directory.Kind(in.Kind)
				}
				change(&d)
				return c.Directories.Add(ctx, d, string(orNone(edit.Password)))
			},
			wanted: func(d directory.Directory) (directory.Directory, error) {
				if in.Kind != "" && in.Kind != string(d.Kind) || in.Domain != "" && domain.Parse(in.Domain) != d.Domain {
					return d, fault.New(fault.Invalid, "kind and domain of a directory stay: delete it, and it can be added with others")
				}
				change(&d)
				return d.Completed()
			},
			edit: func(here directory.Directory) (directory.Directory, error) {
				password := (*string)(edit.Password)
				if password != nil && (edit.URL == nil || *edit.URL == here.URL) && (edit.CA == nil || *edit.CA == here.CA) {
					if same, err := c.Directories.HasPassword(ctx, here, *password); err != nil || same {
						if err != nil {
							return here, err
						}
						password = nil // it is the one that is there
					}
				}
				return c.Directories.Edit(ctx, in.Directory, 0, password, change)
			},
			members: func(d directory.Directory) settable {
				return settableOf(directoryOf(d), client.DirectoryEdit{}, "kind", "domain")
			},
			another: func(d directory.Directory) (string, bool, error) {
				if edit.Password == nil {
					return "", false, nil
				}
				same, err := c.Directories.HasPassword(ctx, d, string(*edit.Password))
				return "password", !same, err
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) mailSettings(ctx context.Context) error {
	in := c.in.MailSettings
	if in == nil {
		return nil
	}
	change := mailSettingsEdit(*in)
	has := func(s mail.Settings) (bool, error) {
		if in.Password == nil {
			return true, nil
		}
		return c.Mail.HasPassword(ctx, s, string(*in.Password))
	}
	return manage(c, managed[mail.Settings]{
		kind: kindMailSettings, missing: fault.NotFound,
		get: func() (mail.Settings, error) { return c.Mail.Settings(ctx) },
		wanted: func(s mail.Settings) (mail.Settings, error) {
			change(&s)
			return s.Completed()
		},
		edit: func(here mail.Settings) (mail.Settings, error) {
			password := (*string)(in.Password)
			same, err := has(here)
			if err != nil {
				return here, err
			}
			to := here
			if change(&to); same && !to.Elsewhere(here) {
				password = nil
			}
			return c.Mail.EditSettings(ctx, 0, password, change)
		},
		members: func(s mail.Settings) settable { return settableOf(mailSettingsOf(s), client.MailSettingsEdit{}) },
		another: func(s mail.Settings) (string, bool, error) {
			same, err := has(s)
			return "password", !same, err
		},
	})
}

// templateName is the name of a template in a plan.
func templateName(event, profile string) string {
	if profile == "" {
		return event
	}
	return event + " for " + profile
}

func (c *configuring) mailTemplates(ctx context.Context) error {
	for _, in := range c.in.MailTemplates {
		name := templateName(in.Event, in.Profile)
		if err := c.names(kindMailTemplates, name); err != nil {
			return err
		}
		as := func(t mail.Template) mail.Template {
			edit := orNone(in.Set)
			t.Profile, t.BuiltIn = in.Profile, false
			set(&t.Subject, edit.Subject)
			set(&t.Text, edit.Text)
			set(&t.HTML, edit.HTML)
			return t
		}
		save := func(t mail.Template) (mail.Template, error) {
			if in.Profile != "" {
				if _, err := c.Profiles.Get(ctx, in.Profile); err != nil {
					return t, err
				}
			}
			t = as(t)
			return t, c.Mail.SaveTemplate(ctx, t)
		}
		inUse := func() (mail.Template, error) { return c.Mail.Template(ctx, mail.Event(in.Event), in.Profile) }
		err := manage(c, managed[mail.Template]{
			kind: kindMailTemplates, name: name, missing: fault.NotFound, edit: save,
			wanted: func(t mail.Template) (mail.Template, error) { return as(t), nil },
			get: func() (mail.Template, error) {
				t, err := inUse()
				if err == nil && (t.BuiltIn || t.Profile != in.Profile) {
					err = fault.NotFound // it is another one's
				}
				return t, err
			},
			add: func() (mail.Template, error) {
				t, err := inUse()
				if err != nil {
					return t, err
				}
				return save(t)
			},
			members: func(t mail.Template) settable { return settableOf(mailTemplateOf(t), client.MailTemplateEdit{}) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// webhooks are there before the schedules whose reports are posted to them; those that are to hear of no more reports wait until schedules have left them.
func (c *configuring) webhooks(ctx context.Context) error {
	for _, in := range c.in.Webhooks {
		if err := c.names(kindWebhooks, in.Webhook); err != nil {
			return err
		}
		here, err := c.Webhooks.Get(ctx, in.Webhook)
		if err == nil && here.PostsReports() == nil {
			webhookEdit(orNone(in.Set))(&here)
			if here.PostsReports() != nil {
				c.leftWebhooks = append(c.leftWebhooks, in)
				continue
			}
		}
		if err := c.webhook(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// afterSchedules are the webhooks that schedules had to leave.
func (c *configuring) afterSchedules(ctx context.Context) error {
	for _, in := range c.leftWebhooks {
		if err := c.webhook(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

func (c *configuring) webhook(ctx context.Context, in client.ConfiguredWebhook) error {
	edit := orNone(in.Set)
	if edit.After != nil || edit.Skip {
		return about(fault.New(fault.Invalid, "where a webhook goes on is no part of a configuration: 'tallystick webhook edit' moves it"), kindWebhooks, in.Webhook)
	}
	change := webhookEdit(edit)
	return manage(c, managed[webhook.Webhook]{
		kind: kindWebhooks, name: in.Webhook, missing: fault.NotFound,
		get: func() (webhook.Webhook, error) { return c.Webhooks.Get(ctx, in.Webhook) },
		add: func() (webhook.Webhook, error) { return c.addedWebhook(ctx, in.Webhook, edit) },
		wanted: func(w webhook.Webhook) (webhook.Webhook, error) {
			change(&w)
			return w.Completed()
		},
		edit: func(here webhook.Webhook) (webhook.Webhook, error) {
			how := webhook.Edit{Secret: (*string)(edit.Secret)}
			if edit.Secret != nil {
				if same, err := c.Webhooks.HasSecret(ctx, here, *how.Secret); err != nil || same {
					if err != nil {
						return here, err
					}
					how.Secret = nil
				}
			}
			return c.Webhooks.Edit(ctx, in.Webhook, 0, how, change)
		},
		members: shownWebhook,
		another: func(w webhook.Webhook) (string, bool, error) {
			if edit.Secret == nil {
				return "", false, nil
			}
			same, err := c.Webhooks.HasSecret(ctx, w, string(*edit.Secret))
			return "secret", !same, err
		},
	})
}

func shownWebhook(w webhook.Webhook) settable {
	return settableOf(webhookOf(w, 0), client.WebhookEdit{})
}

// addedWebhook adds a webhook. A secret that the server made would be shown to nobody.
func (c *configuring) addedWebhook(ctx context.Context, name string, edit client.WebhookEdit) (webhook.Webhook, error) {
	w := webhook.Webhook{Name: name, Enabled: true}
	if edit.Secret == nil {
		return w, fault.New(fault.Invalid, "a new webhook takes its secret from a file or the environment: secret_file or secret_env; 'tallystick webhook add' makes one with a secret of the server's")
	}
	change := webhookEdit(edit)
	change(&w)
	added, _, err := c.Webhooks.Add(ctx, w, string(*edit.Secret), nil)
	if err != nil || w.Enabled {
		return added, err
	}
	return c.Webhooks.Edit(ctx, name, 0, webhook.Edit{}, change)
}
