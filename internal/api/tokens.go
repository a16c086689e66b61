package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/token"
)

// tokensOf shows tokens as they are now.
func (a *API) tokensOf(ctx context.Context, tokens ...token.Token) ([]client.Token, error) {
	offers, err := a.Store.OpenOffers(ctx, mapped(tokens, func(t token.Token) string { return t.Serial }))
	if err != nil {
		return nil, err
	}
	policies, err := a.Policies.Current(ctx)
	if err != nil {
		return nil, err
	}
	guards, err := a.Store.Guards(ctx, holders(tokens))
	if err != nil {
		return nil, err
	}
	domains, err := a.Store.UserDomains(ctx, holders(tokens))
	if err != nil {
		return nil, err
	}
	labels, err := a.Tokens.Labels(ctx, mapped(tokens, func(t token.Token) string { return t.Serial }))
	if err != nil {
		return nil, err
	}
	now := a.Now()
	return mapped(tokens, func(t token.Token) client.Token {
		p := policies.Of(domains[t.UserID])
		out := tokenOf(t, p.Token, token.Situation{
			Now: now, CodeExpires: offers[t.Serial], UserLocked: guards[t.UserID].Own.Locked(p.Lockout, now),
			WarnDays: policies.Settings.WarnDays,
		})
		l := labels[t.Serial]
		out.Notes, out.Attributes, out.Tags = l.Notes, l.Attributes, l.Tags
		return out
	}), nil
}

// holders are the users of tokens, each once.
func holders(tokens []token.Token) []string {
	ids := map[string]bool{}
	for _, t := range tokens {
		if t.UserID != "" {
			ids[t.UserID] = true
		}
	}
	return slices.Collect(maps.Keys(ids))
}

// tokenOf shows a token in its situation, which is completed here.
func tokenOf(t token.Token, p policy.Token, s token.Situation) client.Token {
	now := s.Now
	t.SwitchOverIfDue(now) // housekeeping may not have come to it yet
	pin := authentication.PINStateOf(&t, p, now)
	s.NewPIN, s.NextTokencode = pin.NewPINDue(), authentication.NextTokencodeDue(&t, p)
	out := client.Token{
		Serial: t.Serial, Origin: string(t.Origin), Birth: date(t.Birth), Expiry: date(t.Expiry), EffectiveExpiry: date(t.EffectiveExpiry),
		UserID: t.UserID, Enabled: t.Enabled, State: t.Summary(s),
		Digits: t.Current.Settings.Digits, IntervalSeconds: t.Current.Settings.Interval, PINType: string(t.Current.Settings.PINType),
		PINSet: t.PIN.IsSet(), PINState: string(pin), NextTokencode: s.NextTokencode, BadPasscodes: t.Current.BadPasscodes,
		ClockOffsetSeconds: t.Current.Offset * int64(t.Current.Settings.Interval), Generation: t.Current.Number,
		Distribution: string(t.DistributionAt(now, s.CodeExpires)), Profile: t.Profile, DeliveryMethod: string(t.Method),
		DeviceID: t.DeviceID, Nickname: t.Nickname,
		Type: t.Type(), Algorithm: "securid-aes128", CreatedAt: t.CreatedAt, AssignedAt: moment(t.AssignedAt), AssignedBy: t.AssignedBy, PINSetAt: moment(t.PIN.SetAt),
		DistributedAt: moment(t.DistributedAt), ConfirmedAt: moment(t.ConfirmedAt), LastUsedAt: moment(t.Current.LastUsedAt),
		IssueCount: t.IssueCount, IssuesCounted: t.IssuesCounted(), Tainted: t.Tainted, Version: t.Version,
	}
	out.Domain = domain.Show(t.Domain)
	out.Lifetime, out.Replacement, out.Sync, out.Lost = string(t.LifetimeAt(now, s.WarnDays)), t.Part(), string(authentication.SyncOf(&t, p)), t.Lost()
	out.ExtensionCount, out.ExtendedBy = t.ExtensionCount, t.ExtendedBy
	out.LostAt, out.Replaces, out.ReplacedBy = moment(t.LostAt), t.Replaces, t.ReplacedBy
	if e := t.Emergency; e != nil {
		out.Emergency = &client.Emergency{Kind: string(e.Kind), Until: e.Until, Left: e.Left(), LastUsedAt: moment(e.LastUsedAt)}
	}
	if t.Pending != nil {
		out.Pending = &client.Pending{Generation: t.Pending.Number, Until: t.PendingUntil}
	}
	return out
}

// date shows a day, "" for none.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// dayOf reads a day that keeps to the contract; the zero time for none.
func dayOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Year() < 1970 { // the first day of all would be none
		return time.Time{}, fault.New(fault.Invalid, "a day looks like 2031-01-31 and is one of the calendar")
	}
	return day, nil
}

// daysOf reads the first and the last valid day of tokens that are to be made.
func daysOf(birth, expiry string) (first, last time.Time, err error) {
	if first, err = dayOf(birth); err == nil {
		last, err = dayOf(expiry)
	}
	return first, last, err
}

// moment is a time that may not have come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// shownToken answers with a token that a change returned.
func (a *API) shownToken(ctx context.Context, t token.Token, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	shown, err := a.tokensOf(ctx, t)
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, t.Version, shown[0])
}

// unchanged runs do while the token is at the version that the caller has read, for changes that do not ask for it themselves.
func (a *API) unchanged(ctx context.Context, r *request, do func(context.Context) error) error {
	if r.version == 0 {
		return do(ctx)
	}
	return a.Store.Transact(ctx, func(ctx context.Context) error {
		t, err := a.Tokens.Get(ctx, serial(r))
		if err != nil {
			return err
		}
		if t.Version != r.version {
			return fault.New(fault.Conflict, "token %s was changed meanwhile: read it again", t.Serial)
		}
		return do(ctx)
	})
}

func serial(r *request) string { return r.PathValue("serial") }

func (a *API) createTokens(ctx context.Context, _ *request, in client.NewTokens) (answer, error) {
	ctx, err := a.into(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	birth, expiry, err := daysOf(in.Birth, in.Expiry)
	if err != nil {
		return answer{}, err
	}
	serials, err := a.Records.Create(ctx, in.Count, birth, expiry)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusCreated, client.CreatedTokens{Serials: serials})
}

func (a *API) importTokens(ctx context.Context, _ *request, in client.TokenFile) (answer, error) {
	defer clear(in.File)
	result, err := a.Records.Import(ctx, in.File, string(in.Password))
	if err != nil {
		return answer{}, err
	}
	same := func(serial string) string { return serial }
	return reply(http.StatusCreated, client.ImportedTokens{Imported: mapped(result.Imported, same), Ignored: mapped(result.Ignored, same)})
}

func (a *API) listTokens(ctx context.Context, r *request) (answer, error) {
	before, err := dayOf(r.query("expires_before"))
	if err != nil {
		return answer{}, err
	}
	narrow, err := a.into(ctx, r.query("domain"))
	if err != nil {
		return answer{}, err
	}
	f := token.Filter{
		UserID: r.query("user_id"), Assigned: r.flag("assigned"), Enabled: r.flag("enabled"), Hardware: hardwareOnly(r.query("type")),
		Distribution: token.Distribution(r.query("distribution")), Profile: r.query("profile"), ExpiresBefore: before,
		Extendable: r.flag("extendable"), Tag: r.query("tag"), Attribute: r.query("attribute"), Value: r.query("value"), Query: r.query("query"), After: r.query("after"), Limit: r.limit() + 1,
		Lost: r.flag("lost"), Part: r.query("replacement"),
	}
	policies, err := a.Policies.Current(ctx)
	if err != nil {
		return answer{}, err
	}
	f.During(token.Lifetime(r.query("lifetime")), a.Now(), policies.Settings.WarnDays)
	tokens, err := a.Tokens.List(narrow, f)
	if err == nil && len(tokens) == 0 {
		err = a.thereAre(ctx, f.UserID, "", f.Profile)
	}
	if err != nil {
		return answer{}, err
	}
	tokens, next := page(tokens, r.limit(), func(t token.Token) string { return t.Serial })
	shown, err := a.tokensOf(ctx, tokens...)
	if err != nil {
		return answer{}, err
	}
	return ok(client.TokenPage{Tokens: shown, Next: next})
}

// thereAre refuses a user, token or profile that is not there, "" for none, where a list that was narrowed by it is empty: one whose name is written
// wrong has nothing either. While the list has something that is nobody's question, also not of a user elsewhere.
func (a *API) thereAre(ctx context.Context, userID, serial, profile string) error {
	if userID != "" {
		if _, err := a.Users.Get(ctx, userID); err != nil {
			return err
		}
	}
	if serial != "" {
		if _, err := a.Tokens.Get(ctx, serial); err != nil {
			return err
		}
	}
	if profile != "" {
		if _, err := a.Profiles.Get(ctx, profile); err != nil {
			return err
		}
	}
	return nil
}

// hardwareOnly is what a filter or an import says of the type of tokens; nil for nothing.
func hardwareOnly(kind string) *bool {
	if kind == "" {
		return nil
	}
	hardware := kind == token.Hardware
	return &hardware
}

func (a *API) showToken(ctx context.Context, r *request) (answer, error) {
	t, err := a.Tokens.Get(ctx, serial(r))
	return a.shownToken(ctx, t, err)
}

func (a *API) deleteToken(ctx context.Context, r *request) (answer, error) {
	return done(a.unchanged(ctx, r, func(ctx context.Context) error { return a.Tokens.Delete(ctx, serial(r)) }))
}

func (a *API) assignNext(ctx context.Context, _ *request, in client.Assignment) (answer, error) {
	t, err := a.Tokens.Assign(ctx, "", in.UserID)
	return a.shownToken(ctx, t, err)
}

func (a *API) assign(ctx context.Context, r *request, in client.Assignment) (answer, error) {
	var t token.Token
	err := a.unchanged(ctx, r, func(ctx context.Context) (err error) {
		t, err = a.Tokens.Assign(ctx, serial(r), in.UserID)
		return err
	})
	return a.shownToken(ctx, t, err)
}

func (a *API) unassign(ctx context.Context, r *request) (answer, error) {
	t, err := a.Tokens.Unassign(ctx, serial(r), r.version)
	return a.shownToken(ctx, t, err)
}

func (a *API) replace(ctx context.Context, r *request, in client.Replacement) (answer, error) {
	t, err := a.Tokens.Replace(ctx, serial(r), r.version, in.With, !in.NewPIN)
	return a.shownToken(ctx, t, err)
}

func (a *API) enable(ctx context.Context, r *request) (answer, error) {
	t, err := a.Tokens.Enable(ctx, serial(r), r.version)
	return a.shownToken(ctx, t, err)
}

func (a *API) disable(ctx context.Context, r *request) (answer, error) {
	t, err := a.Tokens.Disable(ctx, serial(r), r.version)
	return a.shownToken(ctx, t, err)
}

func (a *API) resetIssueCount(ctx context.Context, r *request) (answer, error) {
	t, err := a.Tokens.ResetIssueCount(ctx, serial(r), r.version)
	return a.shownToken(ctx, t, err)
}

func (a *API) setPIN(ctx context.Context, r *request, in client.PIN) (answer, error) {
	return done(a.unchanged(ctx, r, func(ctx context.Context) error {
		return a.Authenticator.SetPIN(ctx, serial(r), string(in.PIN), in.Temporary)
	}))
}

func (a *API) clearPIN(ctx context.Context, r *request) (answer, error) {
	return done(a.unchanged(ctx, r, func(ctx context.Context) error { return a.Authenticator.ClearPIN(ctx, serial(r)) }))
}

func (a *API) expirePIN(ctx context.Context, r *request) (answer, error) {
	return done(a.unchanged(ctx, r, func(ctx context.Context) error { return a.Authenticator.ForceNewPIN(ctx, serial(r)) }))
}

func (a *API) reportLost(ctx context.Context, r *request, in client.Loss) (answer, error) {
	t, codes, err := a.Authenticator.ReportLost(ctx, serial(r), r.version, authentication.EmergencyWish{
		Kind: token.EmergencyKind(in.Emergency), Count: in.Count, Life: time.Duration(in.LifeSeconds) * time.Second,
	})
	if err != nil {
		return answer{}, err
	}
	shown, err := a.tokensOf(ctx, t)
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, t.Version, client.LostToken{Token: shown[0], Codes: mapped(codes, func(c string) client.Secret { return client.Secret(c) })})
}

func (a *API) reportFound(ctx context.Context, r *request) (answer, error) {
	t, err := a.Authenticator.ReportFound(ctx, serial(r), r.version)
	return a.shownToken(ctx, t, err)
}

func (a *API) resync(ctx context.Context, r *request, in client.Tokencodes) (answer, error) {
	if err := a.Authenticator.Resync(ctx, serial(r), string(in.First), string(in.Second)); err != nil {
		return answer{}, err
	}
	return a.showToken(ctx, r)
}
