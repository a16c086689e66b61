package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// An arrival is tokens that are taken in together, in one transaction.
type arrival struct {
	*Deployment
	now      time.Time
	from     string               // who signed the file
	here     map[string]bool      // serials
	known    map[string]string    // seeds by fingerprint
	users    map[string]user.User // everywhere
	profiles map[string]string    // hashes by name; "" for none
	fresh    []token.Token
	events   []audit.Event
}

// takeIn takes tokens in, each group wholly or not at all.
func (d *Deployment) takeIn(ctx context.Context, groups [][]carried, from string) ([]job.Outcome, error) {
	a := &arrival{Deployment: d, now: d.Now().UTC(), from: from, here: map[string]bool{}, profiles: map[string]string{}}
	var serials, ids []string
	var prints [][]byte
	for _, c := range slices.Concat(groups...) {
		serials = append(serials, c.Serial)
		prints = append(prints, d.Keys.MAC("seed", c.Seed))
		if c.User != nil {
			ids = append(ids, c.User.ID)
		}
	}
	everywhere := domain.WithScope(ctx, domain.Scope{}) // a serial, and a user ID, is unique in the deployment
	there, err := d.Store.LockTokens(everywhere, serials)
	if err != nil {
		return nil, err
	}
	for i := range there {
		a.here[there[i].Serial] = true
	}
	if a.known, err = d.Store.KnownSeeds(ctx, prints); err != nil {
		return nil, err
	}
	if a.users, err = d.Store.LockUsers(everywhere, ids); err != nil {
		return nil, err
	}
	if a.users == nil {
		a.users = map[string]user.User{}
	}
	done := make([]job.Outcome, len(groups))
	for i, group := range groups {
		if done[i], err = a.group(ctx, group); err != nil {
			return nil, err
		}
	}
	if len(a.fresh) > 0 {
		if err := d.Store.AddTokens(ctx, a.fresh); err != nil {
			return nil, err
		}
	}
	return done, d.Store.RecordAll(ctx, a.events)
}

func refuse(err error) (job.Outcome, error) {
	if fault.CodeOf(err) == "" {
		return job.Outcome{}, err
	}
	return job.Outcome{Err: err}, nil
}

// group decides about tokens that go together, before it changes anything.
func (a *arrival) group(ctx context.Context, group []carried) (job.Outcome, error) {
	made := make([]token.Token, len(group))
	for i := range group {
		c := &group[i]
		if err := c.check(group); err != nil {
			return refuse(err)
		}
		if a.here[c.Serial] {
			return job.Outcome{Code: fault.ImportDuplicate, Message: "token " + c.Serial + " is here already: nothing was changed"}, nil
		}
		if c.User != nil {
			if u, is := a.users[c.User.ID]; is && !domain.ScopeFrom(ctx).Covers(u.Domain) {
				return refuse(fault.New(fault.OutOfScope, "there is no user %q in your security domain", c.User.ID))
			}
		}
		var err error
		if made[i], err = a.unpack(ctx, c); err != nil {
			return refuse(err)
		}
		print := string(made[i].Current.Fingerprint)
		if _, known := a.known[print]; known {
			return refuse(fault.New(fault.SeedInUse, "the seed of token %s is, or was, that of a token here: no seed is used twice", c.Serial))
		}
		a.known[print] = c.Serial
	}
	out := job.Outcome{}
	for i := range group {
		if err := a.person(ctx, group[i].User); err != nil {
			return refuse(err)
		}
		if group[i].Profile != "" && made[i].Profile == "" {
			out.Message = "without its profile, " + group[i].Profile + ", of which there is no identical one here"
		}
		a.here[made[i].Serial] = true
		a.events = append(a.events, audit.New(ctx, a.now, "token.import", "token:"+made[i].Serial, audit.Details{
			"transferred": true, "from": a.from, "user": made[i].UserID, "generation": made[i].Current.Number,
		}))
	}
	a.fresh = append(a.fresh, made...)
	return out, nil
}

// person adds a user who is not here yet. One who is stays as she is.
func (a *arrival) person(ctx context.Context, p *person) error {
	if p == nil {
		return nil
	}
	if _, is := a.users[p.ID]; is {
		return nil
	}
	u := user.User{ID: p.ID, Name: p.Name, Mail: p.Mail}
	if p.Expiry != nil {
		u.Expiry = *p.Expiry
	}
	u, err := a.Users.Add(ctx, u)
	if err == nil && !p.Enabled {
		u, err = a.Users.Edit(ctx, p.ID, u.Version, user.Entry{Enabled: new(bool)})
	}
	a.users[p.ID] = u
	return err
}

// check refuses what no deployment can have sent, or what cannot be a token here.
func (c *carried) check(group []carried) error {
	bad := func(what string) error {
		return fault.New(fault.ImportRecord, "token %s cannot be taken in: its %s", c.Serial, what)
	}
	if err := token.CheckSerial(c.Serial); err != nil {
		return fault.New(fault.ImportRecord, "a token cannot be taken in: %v", err)
	}
	other := ""
	if len(group) == 2 {
		other = group[0].Serial
		if other == c.Serial {
			other = group[len(group)-1].Serial
		}
	}
	switch {
	case other == c.Serial:
		return bad("serial is there twice")
	case len(c.Seed) != seed.Size:
		return bad("seed has another length than 16 bytes")
	case c.Digits != 6 && c.Digits != 8, c.Interval != 30 && c.Interval != 60:
		return bad("codes are of a kind that is not supported")
	case c.PINType != device.PINPad && c.PINType != device.Fob && c.PINType != device.NoPIN:
		return bad("PIN type is not known")
	case c.Generation < 1 || c.Generation > 1<<30:
		return bad("generation is out of range")
	case c.Expiry.IsZero() || c.Effective.IsZero() || c.Expiry.After(token.LastExpiry) || c.Effective.After(token.LastExpiry) ||
		c.MadeAt.After(token.LastExpiry) || c.LostAt.After(token.LastExpiry):
		return bad("dates are missing or too late")
	case c.Origin != token.Generated && c.Origin != token.Imported:
		return bad("origin is not known")
	case c.LastInterval < token.Unused || c.LastInterval > 1<<40 || max(c.Offset, -c.Offset) > 1<<30 || c.Issues < 0:
		return bad("numbers are out of range")
	case c.User == nil && (c.Enabled || c.Replaces != "" || c.ReplacedBy != ""):
		return bad("state needs a user")
	case c.Replaces != "" && c.Replaces != other, c.ReplacedBy != "" && c.ReplacedBy != other:
		return bad("replacement is not with it")
	case c.User != nil && !slices.Contains(states, c.Distribution):
		return bad("distribution state is not known")
	case !slices.Contains(methods, c.Method):
		return bad("delivery method is not known")
	case !keepable(c.Nickname):
		return bad("nickname is too long, or is no text that can be shown")
	case !keepable(c.DeviceID):
		return bad("device ID is too long, or is no text that can be shown")
	}
	return nil
}

// keepable tells whether a text is one that lists can show. What a delivery takes is shorter, and depends on the device type, which is not known here.
func keepable(s string) bool {
	const longest = 1024
	return len(s) <= longest && user.Printable(s)
}

var states = []token.Distribution{token.NotDistributed, token.Issued, token.PendingActivation, token.ActivationLapsed, token.Confirmed}

// methods are those that a token may have been delivered by, none among them.
var methods = []device.Method{"", device.File, device.CTF, device.CTKIP}

// unpack makes the record of a token.
func (a *arrival) unpack(ctx context.Context, c *carried) (token.Token, error) {
	s := seed.New(c.Seed)
	defer s.Erase()
	g, err := token.NewGeneration(a.Keys, c.Serial, c.Generation, s, token.Settings{Digits: c.Digits, Interval: c.Interval, PINType: c.PINType}, a.now)
	if err != nil {
		return token.Token{}, err
	}
	g.Delivered, g.LastInterval, g.Offset = c.Delivered, c.LastInterval, c.Offset
	switch {
	case !c.MadeAt.IsZero():
		g.MadeAt = c.MadeAt.UTC()
	case !c.LostAt.IsZero(): // an older release does not tell: whoever has the lost token must not get in
		g.MadeAt = c.LostAt.UTC()
	}
	t := token.Token{
		Serial: c.Serial, Origin: c.Origin, Hardware: c.Hardware, Birth: c.Birth, Expiry: c.Expiry, EffectiveExpiry: c.Effective,
		Current: g, LastNumber: g.Number, LostAt: c.LostAt, IssueCount: c.Issues,
		// An older release did not mark what it took away while a new seed waited (migration 58).
		Tainted: c.Tainted || !c.Marked && !c.Hardware && c.Delivered && c.Issues > 0 &&
			(c.User == nil || c.Origin == token.Generated && c.Distribution == token.NotDistributed),
		Distribution: token.NotDistributed, CreatedAt: a.now, Version: 1,
	}
	if c.User == nil {
		return t, nil
	}
	t.UserID, t.AssignedAt, t.AssignedBy, t.Enabled = c.User.ID, a.now, audit.ActorFrom(ctx).Name, c.Enabled
	t.Distribution, t.Method, t.DeviceID, t.Nickname = c.Distribution, c.Method, c.DeviceID, c.Nickname
	t.DistributedAt, t.ConfirmedAt, t.Replaces, t.ReplacedBy = c.DistributedAt, c.ConfirmedAt, c.Replaces, c.ReplacedBy
	hash, err := a.profile(ctx, c.Profile)
	if err == nil && hash != "" && hash == c.ProfileHash {
		t.Profile = c.Profile
	}
	return t, err
}

// profile is the hash of the profile of that name here, "" if there is none.
func (a *arrival) profile(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if hash, known := a.profiles[name]; known {
		return hash, nil
	}
	hash := ""
	p, err := a.Store.Profile(ctx, name)
	switch {
	case err == nil:
		hash = hashOf(p)
	case !errors.Is(err, fault.ProfileNotFound):
		return "", fmt.Errorf("looking for profile %q: %w", name, err)
	}
	a.profiles[name] = hash
	return hash, nil
}
