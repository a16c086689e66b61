package token

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// LastExpiry is the last day that every way of delivery can carry (spec/sdtid.md).
var LastExpiry = time.Date(2179, time.June, 6, 0, 0, 0, 0, time.UTC)

// lastEvaluationSerial is the last of those that belong to evaluation tokens of other makers.
const lastEvaluationSerial = "000000000025"

// An Extension says how lifetimes are extended (section 11.3). Nothing happens on the device: seed, serial and codes stay.
type Extension struct {
	// Until is the new last valid day of tokens that were made here. Where donors are consumed, they last at least until then.
	// Zero with donors: any later day.
	Until time.Time
	// Donors has each token consume an unassigned record that lasts longer: it gets that one's last valid day, and the record
	// is deleted. Of those in the token's security domain and in the ones above it, the one that ends first is taken.
	Donors bool
	// Donor is the serial of the record that is consumed in place of the next available one; for one token only.
	Donor string
	// Except are the serials of records that are not consumed as next available ones; nil for none.
	Except map[string]bool
}

// An Extended is what was done to the lifetime of one token.
type Extended struct {
	Serial string
	Number int       // of the token's extensions, from 1
	Was    time.Time // the last valid day before
	Until  time.Time // and since
	Device time.Time // the last valid day that the device knows
	Donor  string    // serial of the record that was consumed, "" for none
	By     string    // who did it
	At     time.Time
	Job    string // correlation ID of the request or job
}

// An ExtensionFilter selects extensions; its zero value selects all.
type ExtensionFilter struct {
	Serial string
	Job    string
	After  Extended // only those that come after this one, by serial and number: the next page
	Limit  int      // at most so many; 0 for all
}

// The reasons why a token cannot be extended, in the details of [fault.NotExtendable].
const (
	IsHardware     = "hardware"
	Undistributed  = "undistributed"
	WithPartner    = "in_replacement"
	Evaluation     = "evaluation"
	DonorRequired  = "donor_required" // imported, and no donor was to be consumed
	NotLater       = "not_later"      // the new day is not later than the present one
	InAnotherOrder = "in_extension"   // another job waits to extend it
)

// Extendable refuses a token whose lifetime cannot be extended, whatever the donor (section 11.3).
func (t *Token) Extendable() error {
	switch {
	case t.Hardware:
		return notExtendable(t, IsHardware, "is a hardware token, which ends by itself on its last day: replace it")
	case t.DistributedAt.IsZero():
		return notExtendable(t, Undistributed, "was not distributed: assign another one instead")
	case t.InReplacement():
		return notExtendable(t, WithPartner, "takes part in a replacement: finish that by using the new token, or unassign one of the two")
	case t.Serial <= lastEvaluationSerial:
		return notExtendable(t, Evaluation, "is an evaluation token")
	}
	return nil
}

func notExtendable(t *Token, reason, words string) error {
	return fault.New(fault.NotExtendable, "token %s %s", t.Serial, words).With("reason", reason)
}

// Extend gives the token a later last valid day, of a donor or chosen.
func (t *Token) Extend(until time.Time, donor string) {
	t.EffectiveExpiry, t.ExtendedBy = until, donor
	t.ExtensionCount++
}

// Check refuses what cannot be meant.
func (e *Extension) Check(now time.Time) error {
	switch {
	case e.Donor == "" && !e.Donors && e.Until.IsZero():
		return fault.New(fault.Invalid, "say until when the tokens are to last, or have donor records consumed")
	case e.Until.After(LastExpiry):
		return fault.New(fault.Invalid, "the last valid day is at most %s: nothing carries a later one", LastExpiry.Format(time.DateOnly))
	case !e.Until.IsZero() && !now.Before(e.Until.AddDate(0, 0, 1)):
		return fault.New(fault.Invalid, "%s is over", e.Until.Format(time.DateOnly))
	}
	return nil
}

// Extend extends the lifetime of tokens, expired ones too, and returns what came of each, with an Extended for each one
// that was. The refusals of a token are [fault.NotExtendable], [fault.NoDonor], [fault.DonorEarlier] and [fault.TokenNotFound].
func (r *Registry) Extend(ctx context.Context, serials []string, e Extension) ([]Outcome, []Extended, error) {
	if err := e.Check(r.Now()); err != nil {
		return nil, nil, err
	}
	if e.Donor != "" && len(serials) > 1 {
		return nil, nil, fault.New(fault.Invalid, "one donor record extends one token: take the next available donors for %d tokens", len(serials))
	}
	var outcomes []Outcome
	var all []Extended
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		all = nil
		if e.Donor != "" {
			if _, err := r.lock(ctx, append([]string{e.Donor}, serials...)...); err != nil {
				return err
			}
		}
		c, err := r.gather(ctx, serials)
		if err != nil {
			return err
		}
		donors := &donors{chosen: e.Donor}
		if e.Donors && e.Donor == "" {
			if donors.spares, err = newSpares(ctx, r.Store, c.extendable(serials), e.Except); err != nil {
				return err
			}
		}
		// The donors that end first go to the tokens that end first, so that no donor is passed over which would do.
		found, err := c.each(c.byExpiry(serials), func(c *crowd, t *Token) (string, error) {
			x, err := r.extend(c, t, e, donors)
			if err != nil {
				return "", err
			}
			all = append(all, x)
			return x.words(), nil
		})
		if err != nil {
			return err
		}
		outcomes = inOrderOf(serials, found)
		if err := c.save(); err != nil {
			return err
		}
		if err := r.Store.DeleteTokens(ctx, donors.consumed); err != nil {
			return err
		}
		return r.Store.AddExtensions(ctx, all)
	})
	return outcomes, all, err
}

// words tell of an extension.
func (x Extended) words() string {
	words := x.Was.Format(time.DateOnly) + " -> " + x.Until.Format(time.DateOnly)
	if x.Donor != "" {
		words += ", donor " + x.Donor
	}
	return words
}

// extendable are the security domains of those of serials that can be extended.
func (c *crowd) extendable(serials []string) (at []string) {
	for _, serial := range serials {
		if t := c.tokens[serial]; c.mayChange(serial, t) == nil && t.Extendable() == nil {
			at = append(at, t.Domain)
		}
	}
	return at
}

// byExpiry are serials by the last valid day of their tokens.
func (c *crowd) byExpiry(serials []string) []string {
	until := func(serial string) time.Time {
		if t := c.tokens[serial]; t != nil {
			return t.EffectiveExpiry
		}
		return time.Time{}
	}
	return slices.SortedStableFunc(slices.Values(serials), func(a, b string) int { return until(a).Compare(until(b)) })
}

// inOrderOf are outcomes in the order of serials.
func inOrderOf(serials []string, found []Outcome) []Outcome {
	by := make(map[string]Outcome, len(found))
	for _, o := range found {
		by[o.Serial] = o
	}
	all := make([]Outcome, len(serials))
	for i, serial := range serials {
		all[i] = by[serial]
	}
	return all
}

// extend extends one token.
func (r *Registry) extend(c *crowd, t *Token, e Extension, d *donors) (Extended, error) {
	if err := t.Extendable(); err != nil {
		return Extended{}, err
	}
	x := Extended{
		Serial: t.Serial, Number: t.ExtensionCount + 1, Was: t.EffectiveExpiry, Until: e.Until, Device: t.Expiry,
		By: audit.ActorFrom(c.ctx).Name, At: c.now, Job: audit.CorrelationFrom(c.ctx),
	}
	switch {
	case e.Donors || e.Donor != "":
		donor, err := d.take(c, t, e.Until)
		if err != nil {
			return x, err
		}
		x.Donor, x.Until = donor.Serial, donor.EffectiveExpiry
		c.took[t.Serial] = donor.Serial
	case t.Origin == Imported:
		return x, notExtendable(t, DonorRequired, "was imported: have a donor record consumed")
	case !e.Until.After(t.EffectiveExpiry):
		return x, notExtendable(t, NotLater, "lasts until "+t.EffectiveExpiry.Format(time.DateOnly)+" already")
	}
	t.Extend(x.Until, x.Donor)
	c.change(t, "extend.done", audit.Details{
		"user": t.UserID, "before": x.Was.Format(time.DateOnly), "after": x.Until.Format(time.DateOnly), "donor": x.Donor, "number": x.Number,
	})
	if x.Donor != "" {
		c.record(x.Donor, "token.delete", audit.Details{"because": "its lifetime went to token " + t.Serial})
	}
	return x, nil
}

// donors are the records that extensions consume.
type donors struct {
	spares   *spares
	chosen   string // the one to take, "" for the next ones
	consumed []string
}

// take consumes a donor for a token: one that is later than its last valid day, and not before the given one.
func (d *donors) take(c *crowd, t *Token, until time.Time) (Candidate, error) {
	today := c.now.Truncate(24 * time.Hour)
	least := slices.MaxFunc([]time.Time{t.EffectiveExpiry.AddDate(0, 0, 1), until, today}, time.Time.Compare)
	if d.chosen != "" {
		return d.takeChosen(c, t, least)
	}
	o, found, err := d.spares.take(c.ctx, t.Domain, least)
	if err == nil && !found {
		err = fault.New(fault.NoDonor, "no unassigned token that lasts until %s or longer is %s", least.Format(time.DateOnly), whereFrom(t.Domain))
	}
	if err == nil {
		d.consumed = append(d.consumed, o.Serial)
	}
	return o, err
}

// takeChosen consumes the record that was chosen.
func (d *donors) takeChosen(c *crowd, t *Token, least time.Time) (Candidate, error) {
	o, err := c.registry.Store.Token(c.ctx, d.chosen)
	switch {
	case err != nil:
		return Candidate{}, err
	case o.UserID != "":
		return Candidate{}, fault.New(fault.TokenAssigned, "token %s belongs to %s: a donor belongs to nobody", o.Serial, o.UserID)
	case o.Hardware:
		return Candidate{}, fault.New(fault.NoDonor, "token %s is a hardware token: it gives no lifetime", o.Serial)
	case o.Lost():
		return Candidate{}, fault.New(fault.NoDonor, "token %s is lost: it gives no lifetime", o.Serial)
	case o.EffectiveExpiry.Before(least):
		return Candidate{}, fault.New(fault.DonorEarlier, "token %s lasts until %s, and a donor for token %s until %s or longer", o.Serial, o.EffectiveExpiry.Format(time.DateOnly), t.Serial, least.Format(time.DateOnly))
	}
	d.consumed = append(d.consumed, o.Serial)
	return Candidate{Serial: o.Serial, EffectiveExpiry: o.EffectiveExpiry}, nil
}

// Extensions lists what was done to the lifetimes of tokens that are there.
func (r *Registry) Extensions(ctx context.Context, f ExtensionFilter) ([]Extended, error) {
	return r.Store.Extensions(ctx, f)
}
