package mail

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	texttemplate "text/template"
	"text/template/parse"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Template is what messages of an event say: texts of Go's text/template and html/template, with the variables of [Data]
// and no more than {{.Variable}}, {{if}}, {{else}} and comparisons.
type Template struct {
	Event   Event
	Profile string // for tokens of this profile; "" for all others
	Subject string
	Text    string
	HTML    string // "" for a message of text alone
	BuiltIn bool   // it came with the server
}

// Data are the variables of templates. What does not apply is empty.
type Data struct {
	UserID, UserName, Mail                string // UserName is the user ID where there is no name
	Serial, Profile, DeviceType, Nickname string
	Expiry                                string // last day of the token: 2031-11-28
	DaysLeft                              int    // until then: 0 on that day
	Method                                string // how the token is delivered: file, ctf or ctkip
	Link                                  string // opens the app, or is typed into it
	String                                string // the digits of a compressed string
	FileName                              string // of the attached token file or report
	Code, CodeExpires                     string // activation code, or code in place of a tokencode
	Password                              string // what is typed to open the file or string
	OtherPart                             string // how the user gets the password or code: "by another message", "from your administrator"
	Import, Replace                       string // what to do in the app; Replace only where the app has the token already
	OldUntil                              string // when the old seed stops at the latest: 2026-12-05 09:00 UTC
	Job, JobName, JobKind, JobState       string
	Total, Done, Failed                   int
	Service                               string // who issues tokens
}

// marked is the data of an HTML template. The link is ours, so its scheme, which is that of an app, is to be trusted.
type marked struct {
	Data
	Link template.URL
}

//go:embed builtin
var builtinFiles embed.FS

// builtin returns the template that came with the server.
func builtin(e Event) (Template, error) {
	text, err := builtinFiles.ReadFile("builtin/" + string(e) + ".txt")
	if err != nil {
		return Template{}, fault.New(fault.Invalid, "there is no mail event %q: take one of %v", e, Events())
	}
	html, err := builtinFiles.ReadFile("builtin/" + string(e) + ".html")
	if err != nil {
		return Template{}, err
	}
	subject, body, _ := strings.Cut(string(text), "\n\n")
	return Template{Event: e, Subject: subject, Text: body, HTML: string(html), BuiltIn: true}, nil
}

// Limits of a template, in bytes.
const (
	maxSubject = 512
	maxText    = 64 << 10
	maxWritten = 1 << 20 // of what is made of it
)

// A pattern is a template made ready.
type pattern struct {
	subject, text *texttemplate.Template
	html          *template.Template // nil for none
}

// compile makes a template ready and refuses what it must not hold.
func compile(t Template) (*pattern, error) {
	if len(t.Subject) > maxSubject || len(t.Text) > maxText || len(t.HTML) > maxText || t.Subject == "" || strings.TrimSpace(t.Text) == "" {
		return nil, fault.New(fault.TemplateInvalid, "a template has a subject of up to %d bytes and a text, and may have HTML, of up to %d", maxSubject, maxText)
	}
	p := &pattern{}
	var err error
	if p.subject, err = parseText("subject", t.Subject); err != nil {
		return nil, err
	}
	if p.text, err = parseText("text", t.Text); err != nil || t.HTML == "" {
		return p, err
	}
	if _, err = parseText("html", t.HTML); err != nil { // its nodes are looked at before package html adds its own
		return nil, err
	}
	if p.html, err = template.New("html").Parse(t.HTML); err != nil {
		return nil, refusedTemplate("html", err)
	}
	return p, nil
}

func refusedTemplate(part string, err error) error {
	return fault.New(fault.TemplateInvalid, "the %s of the template cannot be used: %v", part, err)
}

func parseText(part, text string) (*texttemplate.Template, error) {
	t, err := texttemplate.New(part).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, refusedTemplate(part, err)
	}
	if len(t.Templates()) > 1 {
		return nil, refusedTemplate(part, errors.New("it defines another one"))
	}
	if t.Tree == nil || t.Root == nil {
		return t, nil
	}
	if err := checkNode(t.Root); err != nil {
		return nil, refusedTemplate(part, err)
	}
	return t, nil
}

// functions are those that a template may call: what can run long, or show more than a variable, is not among them.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"}

// checkNode refuses everything but variables, conditions and comparisons, in branches too that no example would run through.
func checkNode(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, each := range n.Nodes {
			if err := checkNode(each); err != nil {
				return err
			}
		}
		return nil
	case *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		return nil
	case *parse.ActionNode:
		return checkNode(n.Pipe)
	case *parse.IfNode:
		return errors.Join(checkNode(n.Pipe), checkNode(n.List), checkNode(n.ElseList))
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return errors.New("it declares a variable")
		}
		for _, c := range n.Cmds {
			for _, arg := range c.Args {
				if err := checkNode(arg); err != nil {
					return err
				}
			}
		}
		return nil
	case *parse.IdentifierNode:
		if !slices.Contains(functions, n.Ident) {
			return fmt.Errorf("it calls %s: only %s are there", n.Ident, strings.Join(functions, ", "))
		}
		return nil
	case *parse.FieldNode:
		if len(n.Ident) != 1 || !slices.Contains(Variables(), n.Ident[0]) {
			return fmt.Errorf("there is no variable .%s: take one of .%s", strings.Join(n.Ident, "."), strings.Join(Variables(), ", ."))
		}
		return nil
	}
	return fmt.Errorf("%q is more than a variable or a condition", n.String())
}

// Variables lists the variables of templates.
func Variables() []string {
	var all []string
	for field := range reflect.TypeFor[Data]().Fields() {
		all = append(all, field.Name)
	}
	return all
}

// A bounded text refuses to grow beyond a size.
type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxWritten {
		return 0, errors.New("it grows too large")
	}
	return b.Builder.Write(p)
}

// write makes the body of a message.
func (p *pattern) write(d Data) (body, error) {
	var subject, text, html bounded
	for out, run := range map[*bounded]func(io.Writer) error{
		&subject: func(w io.Writer) error { return p.subject.Execute(w, d) },
		&text:    func(w io.Writer) error { return p.text.Execute(w, d) },
		&html: func(w io.Writer) error {
			if p.html == nil {
				return nil
			}
			return p.html.Execute(w, marked{d, template.URL(d.Link)}) // #nosec G203 -- see marked
		},
	} {
		if err := run(out); err != nil {
			// What it says may quote a value.
			return body{}, fault.New(fault.TemplateInvalid, "a template compares what cannot be compared, or grows too large")
		}
	}
	// A subject is one line, whatever a name holds.
	return body{Subject: strings.Join(strings.Fields(subject.String()), " "), Text: blankLines.ReplaceAllString(text.String(), "\n\n"), HTML: html.String()}, nil
}

// blankLines are more of them than one, which conditions that do not hold leave behind.
var blankLines = regexp.MustCompile(`\n\s*\n\s*\n`)

// A Preview is a message as it would be, without secrets.
type Preview struct{ Subject, Text, HTML string }

// Preview writes a message with made-up data. Where t has no texts, those of the event and profile are taken.
func (o *Outbox) Preview(ctx context.Context, t Template) (Preview, error) {
	if t.Subject == "" && t.Text == "" && t.HTML == "" {
		var err error
		if t, err = o.Template(ctx, t.Event, t.Profile); err != nil {
			return Preview{}, err
		}
	} else if _, err := builtin(t.Event); err != nil {
		return Preview{}, err
	}
	p, err := compile(t)
	if err != nil {
		return Preview{}, err
	}
	b, err := p.write(example(t.Event))
	return Preview{b.Subject, b.Text, b.HTML}, err
}

// example is made-up data in which everything is there that can be at an event.
func example(e Event) Data {
	d := Data{
		UserID: "alice", UserName: "Alice Example", Mail: "alice@example.com", Service: "Example", Serial: "000123456789", Profile: "phone", DeviceType: "android",
		Expiry: "2031-11-28", DaysLeft: 30, Import: importing("android", "ctkip"),
	}
	switch e {
	case Redistribution:
		d.Replace, d.OldUntil = replacing("android", d.Serial), "2026-12-05 09:00 UTC"
		fallthrough
	case Distribution:
		d.Method, d.Link, d.OtherPart = "ctkip", "https://tokens.example.com:8443/ctkip", "by another message"
	case ActivationCode:
		d.Method, d.Code, d.CodeExpires = "ctkip", "000000000000", "2026-11-29 09:00 UTC"
	case OnDemandCode:
		d = Data{UserID: d.UserID, UserName: d.UserName, Mail: d.Mail, Service: d.Service, Code: "00000000", CodeExpires: "2026-11-29 09:15 UTC"}
	case Password:
		d.Method, d.Password = "file", "a password"
	case ReportFinished:
		d.FileName = "expiring-2026-11-30.pdf"
		d.Job, d.JobName, d.JobKind, d.JobState, d.Total = "01a22370-6678-76cd-8000-038fe2ecf7fa", "mondays", "expiring", "done", 100
	case JobApproval:
		d.Job, d.JobName, d.JobKind, d.JobState, d.Total = "01a22370-6678-76cd-8000-038fe2ecf7fa", "Phones", "distribute", "awaiting_approval", 100
	case JobFinished:
		d.Job, d.JobName, d.JobKind, d.JobState, d.Total, d.Done, d.Failed = "01a22370-6678-76cd-8000-038fe2ecf7fa", "Phones", "distribute", "done_with_errors", 100, 98, 2
	}
	return d
}

// Template returns the template of an event for tokens of a profile: the profile's own, the deployment's, or the built-in one.
func (o *Outbox) Template(ctx context.Context, e Event, profile string) (Template, error) {
	set, err := o.templates(ctx)
	if err != nil {
		return Template{}, err
	}
	return set.find(e, profile)
}

// Templates lists what is in use: of each event the one for all profiles, and those that profiles have of their own.
func (o *Outbox) Templates(ctx context.Context) ([]Template, error) {
	set, err := o.templates(ctx)
	if err != nil {
		return nil, err
	}
	var all []Template
	for _, e := range Events() {
		t, err := set.find(e, "")
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		for _, own := range set {
			if own.Event == e && own.Profile != "" {
				all = append(all, own)
			}
		}
	}
	return all, nil
}

// A templateSet is the templates that replace built-in ones.
type templateSet []Template

func (o *Outbox) templates(ctx context.Context) (templateSet, error) {
	return o.Store.MailTemplates(ctx)
}

func (s templateSet) find(e Event, profile string) (Template, error) {
	for _, wanted := range []string{profile, ""} {
		for _, t := range s {
			if t.Event == e && t.Profile == wanted {
				return t, nil
			}
		}
	}
	return builtin(e)
}

// SaveTemplate replaces the template of an event, for all profiles or one, once it has been written with example data.
func (o *Outbox) SaveTemplate(ctx context.Context, t Template) error {
	t.BuiltIn = false
	if len(t.Profile) > 512 {
		return fault.New(fault.Invalid, "this is no name of a profile")
	}
	if _, err := o.Preview(ctx, Template{Event: t.Event, Subject: t.Subject, Text: t.Text, HTML: t.HTML}); err != nil {
		return err
	}
	if _, err := compile(t); err != nil { // without any text, the preview was that of another one
		return err
	}
	return o.Store.Transact(ctx, func(ctx context.Context) error {
		if err := o.Store.SaveMailTemplate(ctx, t); err != nil {
			return err
		}
		return o.Store.Record(ctx, audit.New(ctx, o.Now(), "mail.template", "mail:"+string(t.Event), audit.Details{"profile": t.Profile, "subject": t.Subject}))
	})
}

// ResetTemplate goes back to the template for all profiles, or the built-in one; [fault.NotFound] if there is nothing to go back from.
func (o *Outbox) ResetTemplate(ctx context.Context, e Event, profile string) error {
	return o.Store.Transact(ctx, func(ctx context.Context) error {
		if err := o.Store.DeleteMailTemplate(ctx, e, profile); err != nil {
			return err
		}
		return o.Store.Record(ctx, audit.New(ctx, o.Now(), "mail.template_reset", "mail:"+string(e), audit.Details{"profile": profile}))
	})
}
