package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

// An Export says which tokens leave, and for whom.
type Export struct {
	Serials iter.Seq2[string, error]
	To      string // public key of the target
	Users   bool   // the tokens go with their users
}

// together is how many tokens are read at once.
const together = 500

// Export checks that every token may leave, and returns what writes the file, which looks at each again and tells the audit log of it before. Refused, whatever the
// token: [fault.TokenNotFound], [fault.InReplacement] if a token was selected without the one that it replaces or that replaces it, and
// [fault.Conflict] while a redistribution waits for its switch-over.
func (d *Deployment) Export(ctx context.Context, e Export) (func(context.Context, io.Writer) error, error) {
	to, err := backup.ForKey(strings.TrimSpace(e.To))
	if err != nil {
		return nil, err
	}
	selected := map[string]bool{}
	var serials []string
	for serial, err := range e.Serials {
		if err != nil {
			return nil, err
		}
		if selected[serial] {
			continue
		}
		selected[serial] = true
		serials = append(serials, serial)
		if len(serials) > MaxTokens {
			return nil, fault.New(fault.TooLarge, "one file carries up to %d tokens: select fewer", MaxTokens)
		}
	}
	if len(serials) == 0 { // a file of no tokens would pass for one of those that were meant
		return nil, fault.New(fault.Invalid, "nothing is selected")
	}
	slices.Sort(serials)
	groups, err := d.leave(ctx, serials, selected)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w io.Writer) error {
		return d.write(ctx, w, to, header{formatName, formatVersion, d.Now().UTC(), e.Users, "", strings.TrimSpace(e.To)}, leaving{groups, selected})
	}, nil
}

// leave checks the tokens. It returns what goes together.
func (d *Deployment) leave(ctx context.Context, serials []string, selected map[string]bool) ([][]string, error) {
	var groups [][]string
	for some := range slices.Chunk(serials, together) {
		found, err := d.read(ctx, some)
		if err != nil {
			return nil, err
		}
		for i := range found {
			group, err := mayLeave(&found[i], selected)
			if err != nil {
				return nil, err
			}
			if group != nil {
				groups = append(groups, group)
			}
		}
	}
	if len(slices.Concat(groups...)) != len(serials) {
		return nil, fault.New(fault.Conflict, "a replacement began or ended while the tokens were looked at: export again")
	}
	return groups, nil
}

// short is enough of a public key to know it by.
func short(key string) string {
	key = strings.TrimSpace(key)
	return key[:min(len(key), 24)]
}

// read reads tokens, all of them. One whose user is outside of the scope of ctx does not leave, also without the user: its seed is hers.
func (d *Deployment) read(ctx context.Context, serials []string) ([]token.Token, error) {
	found, err := d.Store.LockTokens(ctx, serials)
	if err != nil {
		return nil, err
	}
	if len(found) == len(serials) {
		outside, err := token.HeldOutside(ctx, d.Store, found...)
		for _, serial := range serials {
			if outside[serial] != nil {
				return nil, outside[serial]
			}
		}
		return found, err
	}
	for i, serial := range serials {
		if i >= len(found) || found[i].Serial != serial {
			return nil, domain.Outside(ctx, fault.New(fault.TokenNotFound, "there is no token %s", serial), "token %s", serial)
		}
	}
	return nil, fault.New(fault.Conflict, "the tokens change at the moment: try again")
}

// mayLeave refuses tokens that cannot be carried, and returns the serials that go together with this one; nil if it goes with the one
// that it replaces.
func mayLeave(t *token.Token, selected map[string]bool) ([]string, error) {
	if t.Pending != nil {
		return nil, fault.New(fault.Conflict, "token %s has two seeds until the new one is used: wait for that, or redistribute it with an immediate switch-over", t.Serial)
	}
	for _, other := range []string{t.Replaces, t.ReplacedBy} {
		if other != "" && !selected[other] {
			return nil, fault.New(fault.InReplacement, "token %s takes part in a replacement with %s: export both, or neither", t.Serial, other)
		}
	}
	switch {
	case t.ReplacedBy != "":
		return []string{t.Serial, t.ReplacedBy}, nil
	case t.Replaces != "":
		return nil, nil
	}
	return []string{t.Serial}, nil
}

// A leaving is the tokens that leave: what goes together, and all that were selected.
type leaving struct {
	groups   [][]string
	selected map[string]bool
}

// write writes the file. It is refused with what Export is if a token was changed since.
func (d *Deployment) write(ctx context.Context, to io.Writer, target age.Recipient, h header, l leaving) error {
	key, err := d.signer(ctx)
	if err != nil {
		return err
	}
	defer clear(key)
	h.From = signerText(key)
	sealed, err := age.Encrypt(to, target)
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(sealed)
	out := bufio.NewWriterSize(packed, 64<<10)
	digest := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(out, digest))
	if err := lines.Encode(h); err != nil {
		return err
	}
	for some := range slices.Chunk(l.groups, together) {
		if err := d.writeSome(ctx, lines, some, h, l.selected); err != nil {
			return err
		}
	}
	n := len(l.groups)
	last := line{End: &n, Signature: ed25519.Sign(key, signed(digest))}
	return errors.Join(json.NewEncoder(out).Encode(last), out.Flush(), packed.Close(), sealed.Close())
}

func (d *Deployment) writeSome(ctx context.Context, lines *json.Encoder, groups [][]string, h header, selected map[string]bool) error {
	serials := slices.Concat(groups...)
	slices.Sort(serials)
	found, err := d.release(ctx, serials, groups, h, selected)
	if err != nil {
		return err
	}
	people := map[string]*person{}
	if h.Users {
		if people, err = d.people(ctx, found); err != nil {
			return err
		}
	}
	bySerial := map[string]*token.Token{}
	for i := range found {
		bySerial[found[i].Serial] = &found[i]
	}
	for _, group := range groups {
		var l line
		for _, serial := range group {
			c, err := d.pack(ctx, bySerial[serial], people)
			if err != nil {
				return err
			}
			l.Tokens = append(l.Tokens, c)
		}
		err := lines.Encode(l)
		for _, c := range l.Tokens {
			clear(c.Seed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// release reads tokens as they leave, and tells the audit log of each. It is a transaction for some of them only: whoever signs in waits for those that it
// locks, and on SQLite for all of it.
func (d *Deployment) release(ctx context.Context, serials []string, groups [][]string, h header, selected map[string]bool) (found []token.Token, err error) {
	partner := map[string]string{}
	for _, g := range groups {
		if len(g) == 2 {
			partner[g[0]], partner[g[1]] = g[1], g[0]
		}
	}
	err = d.Store.Transact(ctx, func(ctx context.Context) error {
		if found, err = d.read(ctx, serials); err != nil {
			return err
		}
		var events []audit.Event
		for i := range found {
			t := &found[i]
			if _, err := mayLeave(t, selected); err != nil { // it was changed since it was looked at
				return err
			}
			if other := t.Replaces + t.ReplacedBy; other != "" && partner[t.Serial] != other { // apart from each other neither would be taken
				return fault.New(fault.Conflict, "a replacement of token %s began meanwhile: export again", t.Serial)
			}
			events = append(events, audit.New(ctx, d.Now(), "export.token", "token:"+found[i].Serial, audit.Details{
				"user": found[i].UserID, "to": short(h.To), "with_user": h.Users, "generation": found[i].Current.Number,
			}))
		}
		return d.Store.RecordAll(ctx, events)
	})
	return found, err
}

// people are the users of tokens, by ID.
func (d *Deployment) people(ctx context.Context, tokens []token.Token) (map[string]*person, error) {
	var ids []string
	for i := range tokens {
		if id := tokens[i].UserID; id != "" {
			ids = append(ids, id)
		}
	}
	found, err := d.Store.LockUsers(ctx, ids)
	people := map[string]*person{}
	for id, u := range found {
		people[id] = &person{u.ID, u.Name, u.Mail, u.Enabled, nil}
		if !u.Expiry.IsZero() {
			people[id].Expiry = &u.Expiry
		}
	}
	return people, err
}

// pack makes a token ready to go. One that goes without its user is taken from her on the way: at the source it stays hers.
func (d *Deployment) pack(ctx context.Context, t *token.Token, people map[string]*person) (carried, error) {
	who := people[t.UserID]
	if t.UserID != "" && who == nil {
		if err := t.Unassign(); err != nil {
			return carried{}, err
		}
	}
	g := &t.Current
	s, err := d.Keys.OpenSeed(ctx, g.Sealed, t.Serial, g.Number)
	if err != nil {
		return carried{}, err
	}
	defer s.Erase()
	c := carried{
		Serial: t.Serial, Origin: t.Origin, Hardware: t.Hardware, Seed: s.Reveal(), Generation: g.Number,
		Digits: g.Settings.Digits, Interval: g.Settings.Interval, PINType: g.Settings.PINType,
		Birth: t.Birth, Expiry: t.Expiry, Effective: t.EffectiveExpiry,
		LastInterval: g.LastInterval, Offset: g.Offset, Delivered: g.Delivered, Tainted: t.Tainted, Marked: true, LostAt: t.LostAt, MadeAt: g.MadeAt, Issues: t.IssueCount,
	}
	if who == nil {
		return c, nil
	}
	c.User, c.Enabled, c.Distribution, c.Method, c.DeviceID, c.Nickname = who, t.Enabled, t.Distribution, t.Method, t.DeviceID, t.Nickname
	c.DistributedAt, c.ConfirmedAt, c.Replaces, c.ReplacedBy = t.DistributedAt, t.ConfirmedAt, t.Replaces, t.ReplacedBy
	if t.Profile != "" {
		p, err := d.Store.Profile(ctx, t.Profile)
		if err != nil {
			return c, err
		}
		c.Profile, c.ProfileHash = t.Profile, hashOf(p)
	}
	return c, nil
}
