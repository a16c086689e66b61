// Package records brings token records into the system: made by the server
// itself, or imported from token files (spec/software-token-lifecycle.md section 5).
package records

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// A Registry makes and imports token records.
type Registry struct {
	Store Store
	Keys  token.Keyring
	Jobs  *job.Registry
	Now   func() time.Time
}

// MaxAtOnce is how many records one call makes or imports: they are one transaction.
const MaxAtOnce = 10_000

// YearsValid is how long a made token lasts unless said otherwise.
const YearsValid = 5

// BeginSerials gives a new deployment its range of ten million serials. It starts at a random place, so that the
// tokens of two deployments can meet in one app; 1 to 25 belong to evaluation tokens of other makers.
func (r *Registry) BeginSerials(ctx context.Context) error {
	const size = 10_000_000
	n, err := rand.Int(rand.Reader, big.NewInt(99_999-1))
	if err != nil {
		return err
	}
	first := (n.Int64() + 1) * size
	return r.Store.BeginSerials(ctx, first, first+size-1)
}

// Create makes count tokens with random seeds, disabled and unassigned, and
// returns their serials. birth and expiry are the first and last valid day (UTC); zero
// means today, and [YearsValid] years from birth.
func (r *Registry) Create(ctx context.Context, count int, birth, expiry time.Time) ([]string, error) {
	if count < 1 || count > MaxAtOnce {
		return nil, fault.New(fault.Invalid, "between 1 and %d tokens can be made at once, not %d: make more as a job", MaxAtOnce, count)
	}
	birth, expiry, err := r.validity(birth, expiry)
	if err != nil {
		return nil, err
	}
	var serials []string
	err = r.Store.Transact(ctx, func(ctx context.Context) error {
		if serials, err = r.reserve(ctx, count); err != nil {
			return err
		}
		return r.create(ctx, serials, birth, expiry)
	})
	return serials, err
}

// validity completes and checks the first and last valid day of new tokens.
func (r *Registry) validity(birth, expiry time.Time) (from, until time.Time, err error) {
	now := r.Now().UTC()
	birth, expiry = day(birth), day(expiry)
	if birth.IsZero() {
		birth = day(now)
	}
	if expiry.IsZero() {
		expiry = birth.AddDate(YearsValid, 0, 0)
	}
	if expiry.Before(birth) || expiry.Before(day(now)) {
		return birth, expiry, fault.New(fault.Invalid, "the expiry %s lies before the first valid day or in the past", expiry.Format(time.DateOnly))
	}
	if expiry.After(token.LastExpiry) {
		return birth, expiry, fault.New(fault.Invalid, "the expiry is at the latest %s: token files carry no later one", token.LastExpiry.Format(time.DateOnly))
	}
	return birth, expiry, nil
}

// reserve takes serials for new tokens.
func (r *Registry) reserve(ctx context.Context, count int) ([]string, error) {
	first, err := r.Store.ReserveSerials(ctx, count)
	if err != nil {
		return nil, err
	}
	serials := make([]string, count)
	for i := range serials {
		serials[i] = fmt.Sprintf("%012d", first+int64(i))
	}
	return serials, nil
}

// create makes the tokens of serials.
func (r *Registry) create(ctx context.Context, serials []string, birth, expiry time.Time) error {
	now := r.Now().UTC()
	made := make([]token.Token, len(serials))
	for i, serial := range serials {
		s := seed.Generate()
		g, err := token.NewGeneration(r.Keys, serial, 1, s, token.Factory, now)
		s.Erase()
		if err != nil {
			return err
		}
		made[i] = newRecord(token.Token{Serial: serial, Origin: token.Generated, Birth: birth, Expiry: expiry}, g, now)
	}
	if err := r.Store.AddTokens(ctx, made); err != nil {
		return err
	}
	return r.Store.Record(ctx, audit.New(ctx, now, "token.create", "token:"+serials[0], audit.Details{
		"count": len(serials), "last": serials[len(serials)-1], "expiry": expiry.Format(time.DateOnly),
	}))
}

// newRecord completes a record that is not here yet.
func newRecord(t token.Token, g token.Generation, now time.Time) token.Token {
	t.EffectiveExpiry, t.Current, t.LastNumber = t.Expiry, g, 1
	t.Distribution, t.CreatedAt, t.Version = token.NotDistributed, now, 1
	return t
}

// day cuts a time to its UTC day; the zero time stays.
func day(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
