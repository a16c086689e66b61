package report

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// A count is how many tokens are alike.
type count struct {
	group  string
	tokens int
}

func otherTemplates() []*Template {
	return []*Template{
		made(Template{Name: "token-counts", Title: "Tokens by state, profile and more", About: "How many tokens there are of each state, profile, distribution state, security domain, way of delivery, PIN, or month of their last day (filter by).",
			Filters: slices.Concat([]Filter{{Name: "by", About: "what is counted by; state unless said", Kind: Text, Values: slices.Sorted(maps.Keys(countedBy))}}, tokenFilters),
			Orders:  []string{"-tokens", "group"}, Parts: true, Charts: []Chart{{Title: "Tokens", Column: "group", By: ByValue, Weight: "tokens"}}},
			[]field[count]{
				{"group", "Of", Text, func(c count) any { return c.group }},
				{"tokens", "Tokens", Number, func(c count) any { return int64(c.tokens) }},
			}, "group tokens", counts),
		made(Template{Name: "offsets", Title: "Clock offsets", About: "How far the clocks of tokens that were used are from the server's, and of how many.",
			Filters: []Filter{domainFilter}, Orders: []string{"seconds"}, Parts: true, Charts: []Chart{{Title: "Tokens by seconds ahead of the server", Column: "seconds", By: ByValue, Weight: "tokens"}}},
			[]field[token.OffsetCount]{
				{"seconds", "Seconds ahead", Number, func(o token.OffsetCount) any { return o.Seconds }},
				{"tokens", "Tokens", Number, func(o token.OffsetCount) any { return int64(o.Tokens) }},
			}, "seconds tokens", func(ctx context.Context, p *Plan) iter.Seq2[token.OffsetCount, error] {
				all, err := p.registry.Store.Offsets(ctx)
				return each(all, err)
			}),
		made(Template{Name: "extensions", Title: "Software tokens and their extension", About: "Whose lifetime was extended: the last day that the device knows, the old and the new one of the server, the donor, by whom and when.",
			Filters: []Filter{
				{Name: "serial", About: "serial number of a token", Kind: Text, find: func(ctx context.Context, r *Registry, serial string) error {
					_, err := r.Store.Token(ctx, serial) // extensions go with their token
					return err
				}},
				{Name: "job", About: "correlation ID of the request or job", Kind: Text},
				{Name: "since", About: "extended at this time or later", Kind: Moment}, domainFilter,
			},
			Orders: []string{"serial"}, Parts: true, Charts: []Chart{{Title: "Extensions by month", Column: "extended", By: ByMonth}, {Title: "Extensions by who made them", Column: "by", By: ByValue}}},
			[]field[token.Extended]{
				{"serial", "Serial", Text, func(x token.Extended) any { return x.Serial }},
				{"number", "Extension", Number, func(x token.Extended) any { return int64(x.Number) }},
				{"device_expiry", "Last day on device", Day, func(x token.Extended) any { return x.Device }},
				{"was", "Was", Day, func(x token.Extended) any { return x.Was }},
				{"expiry", "Effective last day", Day, func(x token.Extended) any { return x.Until }},
				{"donor", "Donor", Text, func(x token.Extended) any { return x.Donor }},
				{"by", "By", Text, func(x token.Extended) any { return x.By }},
				{"extended", "When", Moment, func(x token.Extended) any { return x.At }},
				{"job", "Job", Text, func(x token.Extended) any { return x.Job }},
			}, "serial device_expiry was expiry donor by extended", extensions),
		made(Template{Name: "jobs", Title: "Distribution and other jobs", About: "Jobs over many tokens or users: what they were to do, how far they came, who started them.",
			Filters: []Filter{{Name: "kind", About: "such as distribute", Kind: Text}, {Name: "since", About: "started at this time or later", Kind: Moment}, domainFilter},
			Orders:  []string{"-created"}, Parts: true, Charts: []Chart{{Title: "Jobs by kind", Column: "kind", By: ByValue}, {Title: "Jobs by month", Column: "created", By: ByMonth}}},
			[]field[job.Job]{
				{"job", "Job", Text, func(j job.Job) any { return j.ID }},
				{"name", "Name", Text, func(j job.Job) any { return j.Name }},
				{"kind", "Kind", Text, func(j job.Job) any { return j.Kind }},
				{"domain", "Domain", Text, func(j job.Job) any { return domain.Show(j.Domain) }},
				{"state", "State", Text, func(j job.Job) any { return string(j.State) }},
				{"dry_run", "Dry run", YesNo, func(j job.Job) any { return j.DryRun }},
				{"total", "Total", Number, func(j job.Job) any { return int64(j.Total) }},
				{"done", "Done", Number, func(j job.Job) any { return int64(j.Done) }},
				{"failed", "Failed", Number, func(j job.Job) any { return int64(j.Failed) }},
				{"message", "Message", Text, func(j job.Job) any { return j.Message }},
				{"by", "By", Text, func(j job.Job) any { return j.By.Name }},
				{"created", "Created", Moment, func(j job.Job) any { return j.CreatedAt }},
				{"ended", "Ended", Moment, func(j job.Job) any { return j.EndedAt }},
			}, "created name kind state total done failed by ended", jobs),
		made(Template{Name: "radius-clients", Title: "RADIUS clients", About: "Who may ask over RADIUS, and how. Shared secrets are not shown.",
			Filters: []Filter{domainFilter}, Orders: []string{"name"}, Parts: true},
			[]field[access.RADIUSClient]{
				{"name", "Name", Text, func(c access.RADIUSClient) any { return c.Name }},
				{"address", "Address", Text, func(c access.RADIUSClient) any {
					if !c.Address.IsValid() {
						return ""
					}
					return c.Address.String()
				}},
				{"domain", "Domain", Text, func(c access.RADIUSClient) any { return domain.Show(c.Domain) }},
				{"certificate", "Certificate", Text, func(c access.RADIUSClient) any { return c.Certificate }},
				{"prompts", "Prompts", Text, func(c access.RADIUSClient) any { return string(c.Prompts) }},
				{"challenges", "Challenges", YesNo, func(c access.RADIUSClient) any { return c.Challenges }},
				{"message_authenticator", "Message-Authenticator", Text, func(c access.RADIUSClient) any { return string(c.MessageAuthenticator) }},
				{"attributes", "Attributes", Number, func(c access.RADIUSClient) any { return int64(len(c.Attributes)) }},
				{"max_qps", "Requests/s", Number, func(c access.RADIUSClient) any { return int64(c.MaxQPS) }},
				{"created", "Created", Moment, func(c access.RADIUSClient) any { return c.CreatedAt }},
			}, "name address certificate prompts challenges message_authenticator max_qps created",
			func(ctx context.Context, p *Plan) iter.Seq2[access.RADIUSClient, error] {
				all, err := p.registry.Store.RADIUSClients(ctx)
				return each(all, err)
			}),
	}
}

// each are the elements of a list that is short.
func each[T any](all []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// countedBy are what tokens can be counted by: each has few values.
var countedBy = map[string]func(subject) string{
	"state":        func(s subject) string { return s.state },
	"profile":      func(s subject) string { return s.Profile },
	"domain":       func(s subject) string { return domain.Show(s.Domain) },
	"distribution": func(s subject) string { return string(s.distribution) },
	"type":         func(s subject) string { return s.Type() },
	"delivery":     func(s subject) string { return string(s.Method) },
	"pin":          func(s subject) string { return string(s.pin) },
	"expiry":       func(s subject) string { return s.EffectiveExpiry.Format("2006-01") },
}

// counts counts tokens. It keeps a number for each group.
func counts(ctx context.Context, p *Plan) iter.Seq2[count, error] {
	by := countedBy[cmp.Or(p.text("by"), "state")]
	return func(yield func(count, error) bool) {
		found := map[string]int{}
		byGroup := *p // its own orders are of counts
		byGroup.Order = string(BySerial)
		for s, err := range p.subjects(ctx, byGroup.tokenQuery(), p.kept) {
			if err != nil {
				yield(count{}, err)
				return
			}
			found[by(s)]++
		}
		var all []count
		for group, n := range found {
			all = append(all, count{group, n})
		}
		slices.SortFunc(all, func(a, b count) int {
			if p.Order == "group" {
				return strings.Compare(a.group, b.group)
			}
			return cmp.Or(b.tokens-a.tokens, strings.Compare(a.group, b.group))
		})
		each(all, nil)(yield)
	}
}

func extensions(ctx context.Context, p *Plan) iter.Seq2[token.Extended, error] {
	return func(yield func(token.Extended, error) bool) {
		for f := (token.ExtensionFilter{Serial: p.text("serial"), Job: p.text("job"), Limit: page}); ; {
			all, err := p.registry.Store.Extensions(ctx, f)
			if err != nil {
				yield(token.Extended{}, err)
				return
			}
			for _, x := range all {
				if !x.At.Before(p.moment("since")) && !yield(x, nil) {
					return
				}
			}
			if len(all) < f.Limit {
				return
			}
			f.After = all[len(all)-1]
		}
	}
}

// jobs lists the newest first.
func jobs(ctx context.Context, p *Plan) iter.Seq2[job.Job, error] {
	return func(yield func(job.Job, error) bool) {
		since := p.moment("since")
		for f := (job.Filter{Kind: p.text("kind"), Limit: page}); ; {
			all, err := p.registry.Store.Jobs(ctx, f)
			if err != nil {
				yield(job.Job{}, err)
				return
			}
			for _, j := range all {
				if j.CreatedAt.Before(since) {
					return
				}
				if !yield(j, nil) {
					return
				}
			}
			if len(all) < f.Limit {
				return
			}
			f.Before = all[len(all)-1].ID
		}
	}
}
