package store

import (
	"context"
	"slices"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

// SaveOffsets stores the clock offsets of seeds.
func (db *DB) SaveOffsets(ctx context.Context, moved []token.Moved) error {
	var all []statement
	for _, m := range moved {
		gone := fault.New(fault.Conflict, "token %s got a new seed meanwhile: read it again", m.Serial)
		all = append(all, statement{"UPDATE token_generation SET clock_offset = $1 WHERE serial = $2 AND number = $3", []any{m.Is, m.Serial, m.Number}, 1, gone})
	}
	return db.batch(ctx, all)
}

// SaveClock stores the last code that was used, and the offset, of the current generation of a token that is locked.
func (db *DB) SaveClock(ctx context.Context, t token.Token) error {
	gone := fault.New(fault.Conflict, "token %s got a new seed meanwhile: read it again", t.Serial)
	return db.change(ctx, gone, "UPDATE token_generation SET last_interval = $1, clock_offset = $2 WHERE serial = $3 AND number = $4",
		t.Current.LastInterval, t.Current.Offset, t.Serial, t.Current.Number)
}

const correctionColumns columns = "id, domain, seconds, used_since, used_until, note, made_by, made_at, undone_by, undone_at"

var insertCorrection = correctionColumns.insert("clock_correction")

const correctionSelect = "SELECT " + string(correctionColumns) + ", " +
	"(SELECT COUNT(*) FROM clock_moved AS m WHERE m.correction = c.id), (SELECT COUNT(*) FROM clock_moved AS m WHERE m.correction = c.id AND m.undone) FROM clock_correction AS c"

func scanCorrection(r row) (c token.Correction, err error) {
	err = r.Scan(&c.ID, &c.Domain, &c.Seconds, moment(&c.UsedSince), moment(&c.UsedUntil), &c.Note, &c.By, moment(&c.At), &c.UndoneBy, moment(&c.UndoneAt), &c.Shifted, &c.Undone)
	return c, err
}

// AddCorrection stores a new correction.
func (db *DB) AddCorrection(ctx context.Context, c token.Correction) error {
	taken := fault.New(fault.Conflict, "there is a correction %s already", c.ID)
	return db.change(ctx, taken, insertCorrection, c.ID, c.Domain, c.Seconds, micros(c.UsedSince), micros(c.UsedUntil), c.Note, c.By, micros(c.At), c.UndoneBy, micros(c.UndoneAt))
}

// Correction returns a correction of the scope of ctx with its counts; [fault.NotFound], [fault.OutOfScope].
func (db *DB) Correction(ctx context.Context, id string) (token.Correction, error) {
	missing := fault.New(fault.NotFound, "there is no correction %q: list the corrections", id)
	c, err := one(ctx, db, missing, scanCorrection, correctionSelect+" WHERE id = $1", id)
	return seen(ctx, c, c.Domain, err, missing, "correction", id)
}

// HoldCorrection keeps a correction from being marked as undone until the transaction ends; [fault.Conflict] if it is, or is gone. The lock is none
// that others can share: those who come one after the other would keep whoever undoes it from ever having a turn.
func (db *DB) HoldCorrection(ctx context.Context, id string) error {
	undone := fault.New(fault.Conflict, "this correction was undone meanwhile: begin a new one")
	_, err := one(ctx, db, undone, text, "SELECT id FROM clock_correction WHERE id = $1 AND undone_by = ''"+db.locked(ctx), id)
	return err
}

// Corrections lists at most limit corrections of the scope of ctx with their counts, the newest first; those before one, "" for all.
func (db *DB) Corrections(ctx context.Context, before string, limit int) ([]token.Correction, error) {
	var c conditions
	db.within(ctx, &c)
	c.text("id < $%d", before)
	return list(ctx, db, scanCorrection, correctionSelect+c.clause("id DESC", limit), c.args...)
}

// MarkUndone stores who undoes a correction, and when.
func (db *DB) MarkUndone(ctx context.Context, c token.Correction) error {
	done := fault.New(fault.Conflict, "somebody else undoes this correction")
	return db.change(ctx, done, "UPDATE clock_correction SET undone_by = $1, undone_at = $2 WHERE id = $3 AND undone_by = ''", c.UndoneBy, micros(c.UndoneAt), c.ID)
}

const movedColumns columns = "correction, serial, number, was, shifted, undone"

var insertMoved = movedColumns.insert("clock_moved")

// SaveMoved keeps which seeds a correction shifted, or marks those that were shifted back.
func (db *DB) SaveMoved(ctx context.Context, correction string, moved []token.Moved) error {
	var all []statement
	for _, m := range moved {
		other := fault.New(fault.Conflict, "this was done to token %s already", m.Serial)
		if m.Undone {
			all = append(all, statement{"UPDATE clock_moved SET undone = TRUE WHERE correction = $1 AND serial = $2 AND number = $3 AND NOT undone",
				[]any{correction, m.Serial, m.Number}, 1, other})
		} else {
			all = append(all, statement{insertMoved, []any{correction, m.Serial, m.Number, m.Was, m.Is, false}, 1, other})
		}
	}
	return db.batch(ctx, all)
}

// MovedOf returns what a correction did to tokens.
func (db *DB) MovedOf(ctx context.Context, correction string, serials []string) ([]token.Moved, error) {
	scan := func(r row) (m token.Moved, err error) {
		err = r.Scan(&m.Serial, &m.Number, &m.Was, &m.Is, &m.Undone)
		return m, err
	}
	var all []token.Moved
	for some := range slices.Chunk(possible(serials), chunk) {
		among, args := db.among(2, anys(some))
		found, err := list(ctx, db, scan, "SELECT serial, number, was, shifted, undone FROM clock_moved WHERE correction = $1 AND serial "+among+" ORDER BY serial, number",
			append([]any{correction}, args...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// MovedSerials lists the tokens with a seed that a correction shifted and nobody shifted back, by serial, after one.
func (db *DB) MovedSerials(ctx context.Context, correction, after string, limit int) ([]string, error) {
	return list(ctx, db, text, "SELECT DISTINCT serial FROM clock_moved WHERE correction = $1 AND serial > $2 AND NOT undone ORDER BY serial LIMIT $3", correction, after, limit)
}

// used is a condition: the generation's codes are good, and one was used.
const used = "g.state = 'current' AND g.last_interval > -1099511627776 AND t.user_id IS NOT NULL"

// Offsets counts the tokens of users that were used by the seconds that their clocks are ahead, from the smallest number on.
func (db *DB) Offsets(ctx context.Context) ([]token.OffsetCount, error) {
	scan := func(r row) (o token.OffsetCount, err error) {
		err = r.Scan(&o.Seconds, &o.Tokens)
		return o, err
	}
	within, args := db.andInScope(ctx, 0)
	return list(ctx, db, scan, "SELECT g.clock_offset * g.interval_seconds AS ahead, COUNT(*) FROM token_generation AS g JOIN token AS t ON t.serial = g.serial WHERE "+used+within+
		" GROUP BY g.clock_offset * g.interval_seconds ORDER BY ahead", args...)
}

// FarOff lists at most limit tokens of users whose clocks are off by more than so many intervals, by serial, after one.
func (db *DB) FarOff(ctx context.Context, beyond int, after string, limit int) ([]token.Off, error) {
	scan := func(r row) (o token.Off, err error) {
		err = r.Scan(&o.Serial, &o.UserID, &o.Intervals, &o.Interval, moment(&o.LastUsedAt))
		return o, err
	}
	within, args := db.andInScope(ctx, 4)
	return list(ctx, db, scan, "SELECT t.serial, t.user_id, g.clock_offset, g.interval_seconds, g.last_used_at FROM token_generation AS g JOIN token AS t ON t.serial = g.serial WHERE "+
		used+" AND (g.clock_offset > $1 OR g.clock_offset < $2) AND t.serial > $3"+within+" ORDER BY t.serial LIMIT $4", append([]any{beyond, -beyond, after, limit}, args...)...)
}
