package token

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Correction shifts what is stored of the clocks of many tokens, after the server's own clock was wrong (section 11): tokens
// that were used meanwhile had learnt offsets from that. It can be undone.
type Correction struct {
	ID     string // UUIDv7
	Domain string // security domain that who made it was limited to; domain.Root for the whole deployment
	// Seconds are added to each offset: above 0, tokens are taken to be further ahead of the server. What is no whole interval of
	// a token is rounded to the nearest. -7 days to 7 days, not 0.
	Seconds int
	// UsedSince and UsedUntil leave out seeds that were last used at another time; zero for any.
	UsedSince, UsedUntil time.Time
	Note                 string // why; up to 1024 bytes
	By                   string
	At                   time.Time
	UndoneBy             string // "" unless somebody began to undo it
	UndoneAt             time.Time
	Shifted, Undone      int // seeds that were shifted, and those of them that were shifted back
}

// maxShift is the longest correction, in seconds: further than resynchronisation looks, no offset was learnt.
const maxShift = 7 * 24 * 60 * 60

// A Moved is one seed that a correction shifted. Offsets are intervals.
type Moved struct {
	Serial string
	Number int   // of the generation
	Was    int64 // the offset before
	Is     int64 // and after
	Undone bool
}

// NewCorrection checks and stores a correction that is to be made with [Registry.Shift].
func (r *Registry) NewCorrection(ctx context.Context, c Correction) (Correction, error) {
	c.ID, c.By, c.At = uuid.Must(uuid.NewV7()).String(), audit.ActorFrom(ctx).Name, r.Now().UTC()
	if scope := domain.ScopeFrom(ctx); scope.Limited() {
		c.Domain = scope.Top()
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.AddCorrection(ctx, c); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "clock.correct", "correction:"+c.ID, audit.Details{"seconds": c.Seconds, "note": c.Note}))
	})
	return c, err
}

// Check refuses what cannot be meant.
func (c *Correction) Check() error {
	switch {
	case c.Seconds == 0 || c.Seconds < -maxShift || c.Seconds > maxShift:
		return fault.New(fault.Invalid, "a correction shifts by up to seven days, forwards or back, and not by nothing")
	case len(c.Note) > 1024 || !utf8.ValidString(c.Note):
		return fault.New(fault.Invalid, "a note takes up to 1024 bytes")
	case !c.UsedUntil.IsZero() && c.UsedUntil.Before(c.UsedSince):
		return fault.New(fault.Invalid, "the time in which tokens were used ends before it begins")
	}
	return nil
}

// Corrections lists the corrections of the scope of ctx, the newest first.
func (r *Registry) Corrections(ctx context.Context, before string, limit int) ([]Correction, error) {
	return r.Store.Corrections(ctx, before, limit)
}

// Correction returns a correction of the scope of ctx; [fault.NotFound], [fault.OutOfScope].
func (r *Registry) Correction(ctx context.Context, id string) (Correction, error) {
	return r.Store.Correction(ctx, id)
}

// Shift makes a correction of tokens, and returns what came of each. One that is undone shifts none.
func (r *Registry) Shift(ctx context.Context, serials []string, id string) ([]Outcome, error) {
	var outcomes []Outcome
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		correction, err := r.Store.Correction(ctx, id)
		if err != nil {
			return err
		}
		if correction.UndoneBy != "" {
			outcomes = make([]Outcome, len(serials))
			for i, serial := range serials {
				outcomes[i] = Outcome{Serial: serial, Err: fault.New(fault.Conflict, "this correction was undone meanwhile: begin a new one")}
			}
			return nil
		}
		c, err := r.gather(ctx, serials)
		if err != nil {
			return err
		}
		var moved []Moved
		outcomes, err = c.each(serials, func(c *crowd, t *Token) (string, error) {
			shifted := correction.shift(t)
			moved = append(moved, shifted...)
			return c.moved(t, shifted, "clock.shift", id, "was not used in that time: nothing to correct"), nil
		})
		if err != nil {
			return err
		}
		if err := c.save(); err != nil {
			return err
		}
		if err := r.Store.SaveMoved(ctx, id, moved); err != nil {
			return err
		}
		// Last, so that others wait for this one as briefly as can be: who undoes it waits for what is kept here, or this comes to nothing.
		return r.Store.HoldCorrection(ctx, id)
	})
	return outcomes, err
}

// shift changes the offsets of a token's seeds and returns those that changed. A seed of which no code was ever accepted was used at
// no time: one that names a time does not mean it.
func (c *Correction) shift(t *Token) (moved []Moved) {
	t.eachSeed(func(g *Generation) {
		if g.LastInterval == Unused || g.LastUsedAt.Before(c.UsedSince) || !c.UsedUntil.IsZero() && (g.LastUsedAt.IsZero() || g.LastUsedAt.After(c.UsedUntil)) {
			return
		}
		m := Moved{Serial: t.Serial, Number: g.Number, Was: g.Offset, Is: g.Offset + nearest(c.Seconds, g.Settings.Interval)}
		if m.Is != m.Was {
			g.Offset = m.Is
			moved = append(moved, m)
		}
	})
	return moved
}

func (t *Token) eachSeed(do func(*Generation)) {
	do(&t.Current)
	if t.Pending != nil {
		do(t.Pending)
	}
}

// nearest is how many intervals a number of seconds is, half of one away from zero.
func nearest(seconds, interval int) int64 {
	if seconds < 0 {
		return -nearest(-seconds, interval)
	}
	return int64((seconds + interval/2) / interval)
}

// moved has the new offsets of a token saved, and says in words what they are.
func (c *crowd) moved(t *Token, all []Moved, action, id, none string) string {
	words := ""
	for _, m := range all {
		c.offsets = append(c.offsets, m)
		c.change(t, action, audit.Details{"correction": id, "generation": m.Number, "was_offset": m.Was, "offset": m.Is})
		if words != "" {
			words += "; "
		}
		words += fmt.Sprintf("offset %+d -> %+d intervals", m.Was, m.Is)
	}
	if words == "" {
		return none
	}
	return words
}

// BeginUndo marks a correction as one that is undone, with [Registry.Unshift]; what it has not come to stays as it is.
func (r *Registry) BeginUndo(ctx context.Context, id string) (Correction, error) {
	var c Correction
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		if c, err = r.Store.Correction(ctx, id); err != nil || c.UndoneBy != "" {
			return err
		}
		c.UndoneBy, c.UndoneAt = audit.ActorFrom(ctx).Name, r.Now().UTC()
		if err := r.Store.MarkUndone(ctx, c); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "clock.undo", "correction:"+id, audit.Details{"seconds": c.Seconds}))
	})
	return c, err
}

// Unshift restores the offsets that a correction shifted, of tokens, and returns what came of each. A seed whose offset is
// no more what the correction left has learnt a new one since: it keeps that ([fault.Conflict]).
func (r *Registry) Unshift(ctx context.Context, serials []string, id string) ([]Outcome, error) {
	var outcomes []Outcome
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		c, err := r.gather(ctx, serials)
		if err != nil {
			return err
		}
		known, err := r.Store.MovedOf(ctx, id, serials)
		if err != nil {
			return err
		}
		of := map[string][]Moved{}
		for _, m := range known {
			of[m.Serial] = append(of[m.Serial], m)
		}
		var undone []Moved
		outcomes, err = c.each(serials, func(c *crowd, t *Token) (string, error) {
			back, err := t.unshift(of[t.Serial])
			for _, m := range back {
				undone = append(undone, Moved{Serial: m.Serial, Number: m.Number, Was: m.Is, Is: m.Was, Undone: true})
			}
			if len(back) == 0 && err != nil {
				return "", err
			}
			note := c.moved(t, back, "clock.unshift", id, "nothing to undo")
			if err != nil {
				note += "; another seed has learnt a new offset, or is gone, since"
			}
			return note, nil
		})
		if err != nil {
			return err
		}
		if err := c.save(); err != nil {
			return err
		}
		return r.Store.SaveMoved(ctx, id, undone)
	})
	return outcomes, err
}

// Moved lists the tokens with a seed that a correction shifted and nobody shifted back, by serial, after one.
func (r *Registry) Moved(ctx context.Context, id, after string, limit int) ([]string, error) {
	return r.Store.MovedSerials(ctx, id, after, limit)
}

// unshift restores the offsets of a token's seeds, and returns how they moved. One that was learnt since stays.
func (t *Token) unshift(shifted []Moved) (back []Moved, err error) {
	for _, m := range shifted {
		if m.Undone {
			continue
		}
		restored := false
		t.eachSeed(func(g *Generation) {
			if g.Number == m.Number && g.Offset == m.Is {
				restored, g.Offset = true, m.Was
				back = append(back, Moved{Serial: m.Serial, Number: m.Number, Was: m.Is, Is: m.Was})
			}
		})
		if !restored {
			err = fault.New(fault.Conflict, "token %s has learnt a new offset, or got a new seed, since: it stays", t.Serial)
		}
	}
	return back, err
}

// An OffsetCount is how many tokens are off by a length of time.
type OffsetCount struct {
	Seconds int64 // that they are ahead
	Tokens  int
}

// Offsets counts the tokens of users by how far their clocks are off, of those that were used.
func (r *Registry) Offsets(ctx context.Context) ([]OffsetCount, error) { return r.Store.Offsets(ctx) }

// An Off is a token whose clock is off.
type Off struct {
	Serial     string
	UserID     string
	Intervals  int64 // ahead
	Interval   int   // seconds
	LastUsedAt time.Time
}

// FarOff lists the tokens whose clocks are off by more than so many intervals, by serial, after one.
func (r *Registry) FarOff(ctx context.Context, beyond int, after string, limit int) ([]Off, error) {
	return r.Store.FarOff(ctx, beyond, after, limit)
}
