package report

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
)

// An event is one of the audit log.
type event struct{ audit.Event }

func (e event) detail(name string) string { text, _ := e.Details[name].(string); return text }

// number is a detail that is a number, 0 if it is not there.
func (e event) number(name string) int64 {
	n, ok := e.Details[name].(interface{ Int64() (int64, error) })
	if !ok {
		return 0
	}
	value, _ := n.Int64()
	return value
}

// of is what the event is about, if that is of a kind: the serial of "token:000123456789".
func (e event) of(kind string) string {
	name, is := strings.CutPrefix(e.Object, kind+":")
	if !is {
		return ""
	}
	return name
}

func (e event) user() string {
	if id := e.of("user"); id != "" {
		return id
	}
	return e.detail("user")
}

// serials are those of the tokens that had part in it.
func (e event) serials() string {
	if serial := e.of("token"); serial != "" {
		return serial
	}
	if one := e.detail("token"); one != "" {
		return one
	}
	var all []string
	tried, _ := e.Details["tokens"].([]any)
	for _, t := range tried {
		if serial, is := t.(string); is {
			all = append(all, serial)
		}
	}
	return strings.Join(all, " ")
}

var eventFields = []field[event]{
	{"time", "Time", Moment, func(e event) any { return e.At.UTC() }},
	{"action", "Action", Text, func(e event) any { return e.Action }},
	{"object", "Object", Text, func(e event) any { return e.Object }},
	{"user", "User", Text, func(e event) any { return e.user() }},
	{"serials", "Serial", Text, func(e event) any { return e.serials() }},
	{"outcome", "Outcome", Text, func(e event) any { return e.Outcome }},
	{"reason", "Reason", Text, func(e event) any { return e.Reason }},
	{"meaning", "Meaning", Text, func(e event) any { return authentication.Explain(e.Reason).Meaning }},
	{"note", "Note", Text, func(e event) any { return e.detail("note") }},
	{"because", "Because", Text, func(e event) any { return e.detail("because") }},
	{"agent", "Agent", Text, func(e event) any { return e.detail("agent") }},
	{"station", "Station", Text, func(e event) any { return e.detail("station") }},
	{"profile", "Profile", Text, func(e event) any { return e.detail("profile") }},
	{"delivery", "Delivery", Text, func(e event) any { return e.detail("delivery") }},
	{"generation", "Generation", Number, func(e event) any { return e.number("generation") }},
	{"switch_over", "Switch-over", Text, func(e event) any { return e.detail("switch_over") }},
	{"failures", "Failures", Number, func(e event) any { return e.number("failures") }},
	{"by", "By", Text, func(e event) any { return e.Actor.Name }},
	{"role", "Role", Text, func(e event) any { return e.Actor.Role }},
	{"client", "Address", Text, func(e event) any { return e.Client }},
	{"node", "Server", Text, func(e event) any { return e.Node }},
	{"correlation", "Correlation", Text, func(e event) any { return e.Correlation }},
}

// reading is how events are read.
type reading struct {
	action string                 // all have, or a prefix that ends in a star; "" for any
	take   func(audit.Event) bool // of those; nil for all
	days   int                    // back to here, unless it is said
}

// eventTemplate makes a report of events. Events are many: it goes back so many days from its end unless it is said.
func eventTemplate(t Template, shown string, r reading) *Template {
	t.Right = access.ReadAudit
	t.Filters = append(t.Filters,
		Filter{Name: "since", About: "at this time or later", Kind: Moment},
		Filter{Name: "until", About: "before this time; without since, from as many days before it on", Kind: Moment},
		Filter{Name: "user", About: "user ID", Kind: Text},
		Filter{Name: "serial", About: "serial number of a token", Kind: Text},
		Filter{Name: "by", About: "who acted", Kind: Text},
		Filter{Name: "outcome", About: "how it went", Kind: Text, Values: []string{audit.Success, audit.Failure}},
		Filter{Name: "reason", About: "reason code", Kind: Text},
	)
	t.Orders = []string{"-time", "time"}
	return made(t, eventFields, shown, func(ctx context.Context, p *Plan) iter.Seq2[event, error] { return p.events(ctx, r) })
}

// events reads the log.
func (p *Plan) events(ctx context.Context, r reading) iter.Seq2[event, error] {
	since, until := p.moment("since"), p.moment("until")
	if since.IsZero() {
		since = today(earlier(until, p.At)).AddDate(0, 0, -r.days)
	}
	f := audit.Filter{
		Action: r.action, Actor: p.text("by"), Outcome: p.text("outcome"), Since: since, Until: earlier(until, p.At.Add(time.Microsecond)),
		Newest: p.Order == "-time", Limit: audit.MaxPage,
	}
	return func(yield func(event, error) bool) {
		for {
			found, err := p.registry.Store.Events(ctx, f)
			if err != nil {
				yield(event{}, err)
				return
			}
			for _, entry := range found.Entries {
				e, err := audit.ParseRecord(entry.Record)
				if err != nil {
					yield(event{}, err)
					return
				}
				if (r.take == nil || r.take(e)) && p.selects(event{e}) && !yield(event{e}, nil) {
					return
				}
			}
			if f.After = found.Next; f.After == "" {
				return
			}
		}
	}
}

// selects tells whether an event meets the filters that the log does not know.
func (p *Plan) selects(e event) bool {
	user, serial, reason := p.text("user"), p.text("serial"), p.text("reason")
	return (user == "" || e.user() == user) && (serial == "" || strings.Contains(e.serials(), serial)) && (reason == "" || e.Reason == reason)
}

// begins tells whether an action is one of some, or begins with one that ends in a dot.
func begins(actions ...string) func(audit.Event) bool {
	return func(e audit.Event) bool {
		for _, a := range actions {
			if e.Action == a || strings.HasSuffix(a, ".") && strings.HasPrefix(e.Action, a) {
				return true
			}
		}
		return false
	}
}

func eventTemplates() []*Template {
	byDay, byMonth := Chart{Title: "Events by day", Column: "time", By: ByDay}, Chart{Title: "Events by month", Column: "time", By: ByMonth}
	byReason := Chart{Title: "Events by reason", Column: "reason", By: ByValue}
	return []*Template{
		eventTemplate(Template{Name: "authentications", Title: "Authentication activity", About: "Who was let in and who was not, from where and why; the last 30 days unless it is said.",
			Charts: []Chart{{Title: "Sign-ins by day", Column: "time", By: ByDay}, {Title: "Sign-ins by outcome", Column: "outcome", By: ByValue}, {Title: "Denials by reason", Column: "reason", By: ByValue}}},
			"time user outcome reason serials agent station", reading{action: "authn.*", take: begins("authn.success", "authn.fail"), days: 30}),
		eventTemplate(Template{Name: "lockouts", Title: "Next tokencode and lockout", About: "When the next tokencode was asked for, and who was locked and unlocked; the last 30 days unless it is said.",
			Charts: []Chart{byDay, {Title: "Events by kind", Column: "action", By: ByValue}}},
			"time action user serials failures because by", reading{take: begins("ntc.", "lockout."), days: 30}),
		eventTemplate(Template{Name: "administration", Title: "Administrator activity", About: "What administrators and their programs did; the last 30 days unless it is said.",
			Charts: []Chart{byDay, {Title: "Events by administrator", Column: "by", By: ByValue}, {Title: "Events by kind", Column: "action", By: ByValue}}},
			"time by role action object outcome reason", reading{take: func(e audit.Event) bool {
				return e.Category() == audit.Administration && (e.Actor.Name == "socket" || strings.HasPrefix(e.Actor.Name, "key:"))
			}, days: 30}),
		eventTemplate(Template{Name: "distributions", Title: "Deliveries", About: "What was delivered or offered, and what became of it; the last 365 days unless it is said.",
			Charts: []Chart{byMonth, {Title: "Events by kind", Column: "action", By: ByValue}}},
			"time action user serials profile delivery generation by outcome", reading{action: "dist.*", days: 365}),
		eventTemplate(Template{Name: "redistributions", Title: "Redistribution history", About: "New seeds for delivered tokens, with the reasons, and when they took over; the last 365 days unless it is said.",
			Charts: []Chart{byMonth, byReason}},
			"time action user serials reason note profile generation switch_over by", reading{action: "redist.*", days: 365}),
		eventTemplate(Template{Name: "failed-activations", Title: "Failed activations", About: "Dynamic provisioning that did not come to its end, with the reasons; the last 365 days unless it is said.",
			Charts: []Chart{byMonth, byReason}},
			"time serials reason failures client correlation", reading{action: "dist.activate", take: func(e audit.Event) bool { return e.Outcome == audit.Failure }, days: 365}),
	}
}
