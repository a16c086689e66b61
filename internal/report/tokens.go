package report

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// A TokenOrder is one in which tokens are listed.
type TokenOrder string

// The orders, each by serial in the end. In the order of users, unassigned tokens come first.
const (
	BySerial TokenOrder = "serial"
	ByExpiry TokenOrder = "expiry"
	ByUser   TokenOrder = "user"
)

// A TokenQuery selects tokens; its zero value selects all, by serial.
type TokenQuery struct {
	UserID, Profile         string
	Distribution            token.Distribution
	Assigned, Enabled, Lost *bool
	Hardware                *bool
	ExpiresFrom             time.Time // the last valid day is this or a later one
	ExpiresBefore           time.Time // it is an earlier one
	DistributedBefore       time.Time // distributed, and before this time
	HeldBefore              time.Time // as that, or hardware, which nobody distributes, and assigned before this time
	Unused                  bool      // no code of a seed that the token has now was ever accepted
	UnusedSince             time.Time // none was accepted since
	Emergency               bool      // with emergency access, over or not
	Order                   TokenOrder
	Backwards               bool
	After                   *token.Token // the last of the page before
	Limit                   int
}

// page is how many rows are read at a time.
const page = 1000

// A subject is a token as it is at the moment, with its user.
type subject struct {
	token.Token
	user         user.User
	state        string
	distribution token.Distribution
	pin          authentication.PINState
	next         bool // the next right passcode is followed by the next tokencode
}

// subjects reads the tokens that q selects and keep keeps; nil keeps all.
func (p *Plan) subjects(ctx context.Context, q TokenQuery, keep func(*subject) bool) iter.Seq2[subject, error] {
	return func(yield func(subject, error) bool) {
		for q.Limit = page; ; {
			tokens, err := p.registry.Store.ReportTokens(ctx, q)
			var all []subject
			if err == nil {
				all, err = p.seen(ctx, tokens)
			}
			if err != nil {
				yield(subject{}, err)
				return
			}
			for _, s := range all {
				if (keep == nil || keep(&s)) && !yield(s, nil) {
					return
				}
			}
			if len(tokens) < q.Limit {
				return
			}
			q.After = &tokens[len(tokens)-1]
		}
	}
}

// seen are tokens as they are at the moment.
func (p *Plan) seen(ctx context.Context, tokens []token.Token) ([]subject, error) {
	store, now, policies := p.registry.Store, p.At, p.policies
	var serials, ids []string
	for _, t := range tokens {
		serials = append(serials, t.Serial)
		if t.UserID != "" {
			ids = append(ids, t.UserID)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	offers, err := store.OpenOffers(ctx, serials)
	if err != nil {
		return nil, err
	}
	guards, err := store.Guards(ctx, ids)
	if err != nil {
		return nil, err
	}
	users, err := store.UsersNamed(ctx, ids)
	if err != nil {
		return nil, err
	}
	domains, err := store.UserDomains(ctx, ids) // also of users whom the reader does not see
	if err != nil {
		return nil, err
	}
	all := make([]subject, len(tokens))
	for i, t := range tokens {
		t.SwitchOverIfDue(now)
		p := policies.Of(domains[t.UserID])
		s := subject{Token: t, user: users[t.UserID], pin: authentication.PINStateOf(&t, p.Token, now), next: authentication.NextTokencodeDue(&t, p.Token)}
		s.distribution = t.DistributionAt(now, offers[t.Serial])
		guard := guards[t.UserID]
		s.state = t.Summary(token.Situation{
			Now: now, CodeExpires: offers[t.Serial], UserLocked: guard.Own.Locked(p.Lockout, now),
			NewPIN: s.pin.NewPINDue(), NextTokencode: s.next, WarnDays: policies.Settings.WarnDays,
		})
		all[i] = s
	}
	return all, nil
}

// lastUsed is the last success, or resynchronisation, with a seed that the token has now.
func (s subject) lastUsed() time.Time {
	if s.Pending != nil && s.Pending.LastUsedAt.After(s.Current.LastUsedAt) {
		return s.Pending.LastUsedAt
	}
	return s.Current.LastUsedAt
}

func (s subject) emergency() token.Emergency {
	if s.Emergency == nil {
		return token.Emergency{}
	}
	return *s.Emergency
}

// tokenFields are what reports tell of a token.
var tokenFields = []field[subject]{
	{"serial", "Serial", Text, func(s subject) any { return s.Serial }},
	{"user", "User", Text, func(s subject) any { return s.UserID }},
	{"name", "Name", Text, func(s subject) any { return s.user.Name }},
	{"mail", "Mail", Text, func(s subject) any { return s.user.Mail }},
	{"domain", "Domain", Text, func(s subject) any { return domain.Show(s.Domain) }},
	{"state", "State", Text, func(s subject) any { return s.state }},
	{"enabled", "Enabled", YesNo, func(s subject) any { return s.Enabled }},
	{"tainted", "Seed of a former user", YesNo, func(s subject) any { return s.Tainted }},
	{"profile", "Profile", Text, func(s subject) any { return s.Profile }},
	{"delivery", "Delivery", Text, func(s subject) any { return string(s.Method) }},
	{"distribution", "Distribution", Text, func(s subject) any { return string(s.distribution) }},
	{"distributed", "Distributed", Moment, func(s subject) any { return s.DistributedAt }},
	{"confirmed", "Confirmed", Moment, func(s subject) any { return s.ConfirmedAt }},
	{"issues", "Issues", Number, func(s subject) any { return int64(s.IssueCount) }},
	{"last_used", "Last used", Moment, func(s subject) any { return s.lastUsed() }},
	{"last_agent", "Last agent", Text, func(s subject) any { return s.Current.LastAgent }},
	{"expiry", "Last day", Day, func(s subject) any { return s.EffectiveExpiry }},
	{"device_expiry", "Last day on device", Day, func(s subject) any { return s.Expiry }},
	{"first_day", "First day", Day, func(s subject) any { return s.Birth }},
	{"extensions", "Extensions", Number, func(s subject) any { return int64(s.ExtensionCount) }},
	{"pin", "PIN", Text, func(s subject) any { return string(s.pin) }},
	{"next_tokencode", "Next tokencode", YesNo, func(s subject) any { return s.next }},
	{"bad_passcodes", "Wrong passcodes", Number, func(s subject) any { return int64(s.Current.BadPasscodes) }},
	{"clock_offset", "Clock ahead (s)", Number, func(s subject) any { return s.Current.Offset * int64(s.Current.Settings.Interval) }},
	{"digits", "Digits", Number, func(s subject) any { return int64(s.Current.Settings.Digits) }},
	{"interval", "Interval (s)", Number, func(s subject) any { return int64(s.Current.Settings.Interval) }},
	{"pin_type", "PIN type", Text, func(s subject) any { return string(s.Current.Settings.PINType) }},
	{"generation", "Generation", Number, func(s subject) any { return int64(s.Current.Number) }},
	{"nickname", "Nickname", Text, func(s subject) any { return s.Nickname }},
	{"device_id", "Device", Text, func(s subject) any { return s.DeviceID }},
	{"assigned", "Assigned", Moment, func(s subject) any { return s.AssignedAt }},
	{"assigned_by", "Assigned by", Text, func(s subject) any { return s.AssignedBy }},
	{"type", "Type", Text, func(s subject) any { return s.Type() }},
	{"origin", "Origin", Text, func(s subject) any { return string(s.Origin) }},
	{"created", "Created", Moment, func(s subject) any { return s.CreatedAt }},
	{"lost", "Lost", Moment, func(s subject) any { return s.LostAt }},
	{"replaces", "Replaces", Text, func(s subject) any { return s.Replaces }},
	{"replaced_by", "Replaced by", Text, func(s subject) any { return s.ReplacedBy }},
	{"emergency", "Emergency access", Text, func(s subject) any { return string(s.emergency().Kind) }},
	{"emergency_until", "Until", Moment, func(s subject) any { return s.emergency().Until }},
	{"emergency_left", "Codes left", Number, func(s subject) any { e := s.emergency(); return int64(e.Left()) }},
	{"emergency_used", "Last used in emergency", Moment, func(s subject) any { return s.emergency().LastUsedAt }},
}

var (
	states        = []string{"unassigned", "expired", "disabled", "lost", "user_locked", "pending_activation", "activation_lapsed", "issued", "new_pin", "next_tokencode", "replacement", "expiring", "active"}
	distributions = []string{string(token.NotDistributed), string(token.Issued), string(token.PendingActivation), string(token.ActivationLapsed), string(token.Confirmed)}

	tokenFilters = []Filter{
		{Name: "state", About: "the one word for a token", Kind: Text, Values: states},
		{Name: "profile", About: "of the last distribution", Kind: Text, find: func(ctx context.Context, r *Registry, name string) error {
			_, err := r.Store.Profile(ctx, name)
			return err
		}},
		{Name: "user", About: "user ID", Kind: Text, find: findUser},
		domainFilter,
		{Name: "distribution", About: "how far its delivery has come", Kind: Text, Values: distributions},
		{Name: "assigned", About: "belongs to a user", Kind: YesNo},
		{Name: "enabled", About: "may authenticate", Kind: YesNo},
		{Name: "type", About: "an app, or a device of its own", Kind: Text, Values: []string{token.Software, token.Hardware}},
		{Name: "expires_from", About: "the last valid day is this or a later one", Kind: Day},
		{Name: "expires_before", About: "the last valid day is before this one", Kind: Day},
	}
	tokenOrders = []string{"serial", "-serial", "expiry", "-expiry", "user", "-user"}
	stateChart  = Chart{Title: "Tokens by state", Column: "state", By: ByValue}
)

// findUser refuses a user who is not there, or elsewhere with no token in the scope of ctx.
func findUser(ctx context.Context, r *Registry, id string) error {
	users, err := r.Store.UsersNamed(ctx, []string{id})
	if _, is := users[id]; err != nil || is {
		return err
	}
	held, err := r.Store.SerialsOf(ctx, []string{id})
	if err == nil && len(held[id]) == 0 {
		err = domain.Outside(ctx, fault.New(fault.UserNotFound, "there is no user %q", id), "user %q", id)
	}
	return err
}

// tokenQuery is what the filters and the order that all reports of tokens have ask of the database.
func (p *Plan) tokenQuery() TokenQuery {
	order := p.Order
	backwards := order[0] == '-'
	if backwards {
		order = order[1:]
	}
	q := TokenQuery{
		UserID: p.text("user"), Profile: p.text("profile"), Assigned: p.flag("assigned"), Enabled: p.flag("enabled"),
		ExpiresFrom: p.moment("expires_from"), ExpiresBefore: p.moment("expires_before"), Order: TokenOrder(order), Backwards: backwards,
	}
	switch d := token.Distribution(p.text("distribution")); d {
	case token.PendingActivation, token.ActivationLapsed: // the time decides between them
	default:
		q.Distribution = d
	}
	no, yes := false, true
	if kind := p.text("type"); kind != "" {
		hardware := kind == token.Hardware
		q.Hardware = &hardware
	}
	switch p.text("state") {
	case "unassigned":
		q.Assigned = cmp.Or(q.Assigned, &no)
	case "expired":
		q.ExpiresBefore = earlier(q.ExpiresBefore, today(p.At))
	case "lost":
		q.Lost = &yes
	}
	return q
}

// earlier is the earlier of two times, of which the first may be zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// kept tells whether a token is one that the filters select; the database has seen to what it knows.
func (p *Plan) kept(s *subject) bool {
	state, distribution := p.text("state"), p.text("distribution")
	return (state == "" || state == s.state) && (distribution == "" || distribution == string(s.distribution))
}

// tokenTemplate makes a report of tokens. narrow adds to what the filters ask of the database and keep to what is kept; both may be nil.
func tokenTemplate(t Template, shown string, narrow func(*Plan, *TokenQuery), keep func(*Plan, *subject) bool) *Template {
	t.Filters, t.Parts = slices.Concat(tokenFilters, t.Filters), true
	if t.Orders == nil {
		t.Orders = tokenOrders
	}
	if t.Charts == nil {
		t.Charts = []Chart{stateChart, {Title: "Tokens by profile", Column: "profile", By: ByValue}}
	}
	return made(t, tokenFields, shown, func(ctx context.Context, p *Plan) iter.Seq2[subject, error] {
		q := p.tokenQuery()
		if narrow != nil {
			narrow(p, &q)
		}
		return p.subjects(ctx, q, func(s *subject) bool { return p.kept(s) && (keep == nil || keep(p, s)) })
	})
}

// dormantDays is how long a dormant token was not used, unless it is said.
const dormantDays = 90

func tokenTemplates() []*Template {
	byExpiry := []string{"expiry", "-expiry", "serial", "-serial", "user", "-user"}
	expiryChart := Chart{Title: "Tokens by the month of their last day", Column: "expiry", By: ByMonth}
	usedChart := Chart{Title: "Tokens by the month of their last use", Column: "last_used", By: ByMonth}
	yes := true
	return []*Template{
		tokenTemplate(Template{Name: "tokens", Title: "Tokens", About: "All tokens, or those of a state, profile, user or security domain.",
			Charts: []Chart{stateChart, {Title: "Tokens by profile", Column: "profile", By: ByValue}, {Title: "Tokens by security domain", Column: "domain", By: ByValue}, expiryChart}},
			"serial user name state profile distribution last_used expiry", nil, nil),
		tokenTemplate(Template{Name: "never-used", Title: "Distributed but never used", About: "Tokens that were delivered and of whose present seed no code was ever accepted, nor told its clock (at a resynchronisation, or as next tokencode).",
			Filters: []Filter{{Name: "distributed_before", About: "only those that were distributed before this time", Kind: Moment}},
			Charts:  []Chart{stateChart, {Title: "Tokens by the month of their distribution", Column: "distributed", By: ByMonth}}},
			"serial user name mail state profile delivery distributed expiry",
			func(p *Plan, q *TokenQuery) {
				q.Unused, q.DistributedBefore = true, p.moment("distributed_before")
				if q.DistributedBefore.IsZero() {
					q.DistributedBefore = p.At
				}
			}, nil),
		tokenTemplate(Template{Name: "expiring", Title: "Expiring tokens", About: "Tokens whose last valid day comes within so many days (filter within; the setting warn_days unless said), the first to end first.",
			Filters: []Filter{{Name: "within", About: "days ahead", Kind: Number}}, Orders: byExpiry, Charts: []Chart{expiryChart, stateChart}},
			"expiry serial user name mail state profile last_used",
			func(p *Plan, q *TokenQuery) {
				until := today(p.At).AddDate(0, 0, p.number("within", p.policies.Settings.WarnDays)+1) // that day, too
				q.ExpiresBefore = earlier(q.ExpiresBefore, until)
				if now := today(p.At); q.ExpiresFrom.Before(now) {
					q.ExpiresFrom = now
				}
			}, nil),
		tokenTemplate(Template{Name: "dormant", Title: "Dormant tokens", About: "Assigned tokens that were distributed, or are hardware, and that were not used for so many days (filter days; 90 unless said), or never.",
			Filters: []Filter{{Name: "days", About: "without a success", Kind: Number}}, Charts: []Chart{usedChart, stateChart}},
			"serial user name mail state last_used last_agent distributed expiry",
			func(p *Plan, q *TokenQuery) {
				q.UnusedSince = p.At.AddDate(0, 0, -p.number("days", dormantDays))
				q.HeldBefore = q.UnusedSince
				if q.Assigned == nil {
					q.Assigned = &yes
				}
			}, nil),
		tokenTemplate(Template{Name: "emergency", Title: "Emergency access in use", About: "Tokens that codes stand in for now. The codes themselves are kept as hashes, and no report shows them.",
			Charts: []Chart{{Title: "Tokens by kind of emergency access", Column: "emergency", By: ByValue}}},
			"serial user name lost emergency emergency_until emergency_left emergency_used",
			func(_ *Plan, q *TokenQuery) { q.Emergency = true },
			func(p *Plan, s *subject) bool { return s.Emergency != nil && !s.Emergency.OverAt(p.At) }),
	}
}
