package records

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// A taking is records that are taken in together, in one transaction: what is here of them is read and locked at once, and
// what is new is written at once.
type taking struct {
	*Registry
	rule   Duplicates
	now    time.Time
	here   map[string]*token.Token // by serial
	known  map[string]string       // whose a seed is or was: serials by fingerprint
	fresh  []token.Token
	counts counts
}

// take takes records in, in the transaction of ctx, and returns what became of each.
func (r *Registry) take(ctx context.Context, found []record, rule Duplicates) ([]job.Outcome, error) {
	t := &taking{Registry: r, rule: rule, now: r.Now().UTC(), here: map[string]*token.Token{}}
	var serials []string
	var prints [][]byte
	for i := range found {
		if found[i].Invalid == "" {
			serials = append(serials, found[i].Serial)
			prints = append(prints, r.Keys.MAC("seed", found[i].Seed))
		}
	}
	// Also those that are elsewhere: a serial is unique in the deployment.
	there, err := r.Store.LockTokens(domain.WithScope(ctx, domain.Scope{}), serials)
	if err != nil {
		return nil, err
	}
	for i := range there {
		t.here[there[i].Serial] = &there[i]
	}
	if t.known, err = r.Store.KnownSeeds(ctx, prints); err != nil {
		return nil, err
	}
	done := make([]job.Outcome, len(found))
	for i := range found {
		if done[i], err = t.one(ctx, &found[i]); err != nil {
			return nil, err
		}
		if done[i].Err != nil {
			t.counts.failed++
		}
	}
	if len(t.fresh) > 0 {
		if err := r.Store.AddTokens(ctx, t.fresh); err != nil {
			return nil, err
		}
	}
	return done, r.recordImport(ctx, found, t.counts)
}

// one decides about a record. It refuses before anything is changed.
func (t *taking) one(ctx context.Context, in *record) (job.Outcome, error) {
	if in.Invalid != "" {
		return refuse(fault.New(fault.ImportRecord, "record %s cannot be used: %s", in.Serial, in.Invalid).With("serial", in.Serial)), nil
	}
	here := t.here[in.Serial]
	if here != nil && t.rule == Ignore {
		t.counts.ignored++
		return job.Outcome{Code: fault.ImportDuplicate, Message: "is here already, and was left as it is"}, nil
	}
	if here != nil && !domain.ScopeFrom(ctx).Covers(here.Domain) {
		t.counts.kept++
		return job.Outcome{Code: fault.OutOfScope, Message: "is here already, in another security domain, and was left as it is"}, nil
	}
	if here != nil && (here.Replaces != "" || here.ReplacedBy != "") {
		t.counts.kept++
		return job.Outcome{Code: fault.InReplacement, Message: "takes part in a replacement, and was left as it is"}, nil
	}
	s := seed.New(in.Seed)
	defer s.Erase()
	number := 1
	if here != nil {
		number = here.LastNumber + 1
	}
	g, err := token.NewGeneration(t.Keys, in.Serial, number, s, token.Settings{Digits: in.Digits, Interval: in.Interval, PINType: in.PINType}, t.now)
	if err != nil {
		return job.Outcome{}, err
	}
	g.Delivered = true // it came from outside
	_, known := t.known[string(g.Fingerprint)]
	due := here != nil && here.SwitchOverIfDue(t.now)
	same := here != nil && string(g.Fingerprint) == string(here.Current.Fingerprint)
	if known && !same {
		return refuse(fault.New(fault.SeedInUse, "the seed of token %s is, or was, that of a token here: no seed is used twice", in.Serial)), nil
	}
	t.known[string(g.Fingerprint)] = in.Serial
	out := job.Outcome{}
	if due {
		if err := t.Store.Record(ctx, audit.New(ctx, t.now, "redist.complete", "token:"+here.Serial, here.GraceEnded())); err != nil {
			return out, err
		}
	}
	if here != nil {
		out.Message, err = t.overwrite(ctx, here, in, g, same)
		t.counts.overwritten++
	} else {
		t.fresh = append(t.fresh, newRecord(token.Token{Serial: in.Serial, Origin: token.Imported, Hardware: in.Hardware != nil && *in.Hardware, Birth: in.Birth, Expiry: in.Expiry}, g, t.now))
		t.counts.imported++
	}
	if in.Expiry.AddDate(0, 0, 1).Before(t.now) {
		out.Code, out.Message = fault.TokenExpired, join(out.Message, "it expired on "+in.Expiry.Format(time.DateOnly))
	}
	return out, err
}

func refuse(err error) job.Outcome { return job.Outcome{Err: err} }

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// overwrite gives a token that is here what a file says. Its user loses it. If the file brings the seed that the token has, that seed
// stays, with the mark that a former user may hold it.
func (t *taking) overwrite(ctx context.Context, here *token.Token, in *record, g token.Generation, same bool) (string, error) {
	was := here.UserID
	if same { // a seed that was to take over from it does not
		here.Pending, here.PendingUntil = nil, time.Time{}
	}
	if was != "" {
		if err := here.Unassign(); err != nil {
			return "", err
		}
	}
	if in.Hardware != nil {
		here.Hardware = *in.Hardware
	}
	here.Origin, here.Birth, here.Expiry, here.EffectiveExpiry = token.Imported, in.Birth, in.Expiry, in.Expiry
	here.Enabled, here.Distribution, here.Profile, here.Method = false, token.NotDistributed, "", ""
	if here.Hardware && here.IssueCount == 0 { // nobody has had the seed but the maker of the device
		here.Tainted = false
	}
	if same {
		here.Shape(g.Settings)
	} else {
		here.Replace(g)
		here.Find() // what was lost has another seed
	}
	if err := t.Store.RevokeOffersOf(ctx, []string{here.Serial}); err != nil {
		return "", err
	}
	if err := t.Store.SaveToken(ctx, *here); err != nil {
		return "", err
	}
	if same { // its clock counts in the intervals of the file
		if err := t.Store.SaveClock(ctx, *here); err != nil {
			return "", err
		}
	}
	here.Version++
	message, details := "overwritten", audit.Details{"overwritten": true, "generation": here.Current.Number}
	if was != "" {
		message, details["was_user"] = "overwritten; it was "+was+"'s", was
	}
	return message, t.Store.Record(ctx, audit.New(ctx, t.now, "token.import", "token:"+here.Serial, details))
}
