// Package records brings token records into the system: made by the server
// itself, or imported from token files (spec/software-token-lifecycle.md section 5).
package records

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/sdtid"
)

// A Registry makes and imports token records.
type Registry struct {
	Store Store
	Keys  token.Keyring
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
	now := r.Now().UTC()
	if count < 1 || count > MaxAtOnce {
		return nil, fault.New(fault.Invalid, "between 1 and %d tokens can be made at once, not %d", MaxAtOnce, count)
	}
	birth, expiry = day(birth), day(expiry)
	if birth.IsZero() {
		birth = day(now)
	}
	if expiry.IsZero() {
		expiry = birth.AddDate(YearsValid, 0, 0)
	}
	if expiry.Before(birth) || expiry.Before(day(now)) {
		return nil, fault.New(fault.Invalid, "the expiry %s lies before the first valid day or in the past", expiry.Format(time.DateOnly))
	}
	if expiry.After(token.LastExpiry) {
		return nil, fault.New(fault.Invalid, "the expiry is at the latest %s: token files carry no later one", token.LastExpiry.Format(time.DateOnly))
	}
	var serials []string
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		first, err := r.Store.ReserveSerials(ctx, count)
		if err != nil {
			return err
		}
		serials = make([]string, count)
		made := make([]token.Token, count)
		for i := range serials {
			serials[i] = fmt.Sprintf("%012d", first+int64(i))
			s := seed.Generate()
			t := token.Token{Serial: serials[i], Origin: token.Generated, Birth: birth, Expiry: expiry}
			made[i], err = r.record(t, s, token.Factory, now)
			s.Erase()
			if err != nil {
				return err
			}
		}
		if err := r.Store.AddTokens(ctx, made); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, now, "token.create", "token:"+serials[0], audit.Details{
			"count": count, "last": serials[count-1], "expiry": expiry.Format(time.DateOnly),
		}))
	})
	return serials, err
}

// record completes a new record with its first generation.
func (r *Registry) record(t token.Token, s seed.Seed, settings token.Settings, now time.Time) (token.Token, error) {
	g, err := token.NewGeneration(r.Keys, t.Serial, 1, s, settings, now)
	if err != nil {
		return t, err
	}
	g.Delivered = t.Origin == token.Imported
	t.EffectiveExpiry, t.Current, t.LastNumber = t.Expiry, g, 1
	t.Distribution, t.CreatedAt, t.Version = token.NotDistributed, now, 1
	return t, nil
}

// A Result says what an import did.
type Result struct {
	Imported []string // serials that are new
	Ignored  []string // serials that were here already, left untouched
}

// Import reads the tokens of a token file (.sdtid), disabled and unassigned.
// All are taken or, after an error, none. Serials that exist already are
// ignored: an import never harms a record.
func (r *Registry) Import(ctx context.Context, data []byte, password string) (Result, error) {
	tokens, err := open(data, password)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		for _, t := range tokens {
			clear(t.Seed)
		}
	}()
	now := r.Now().UTC()
	var result Result
	err = r.Store.Transact(ctx, func(ctx context.Context) error {
		result = Result{}
		for _, t := range tokens {
			_, err := r.Store.Token(ctx, t.Serial)
			if err == nil {
				result.Ignored = append(result.Ignored, t.Serial)
				continue
			}
			if !errors.Is(err, fault.TokenNotFound) {
				return err
			}
			if err := r.importOne(ctx, t, now); err != nil {
				return fault.Wrap(err, "token %s", t.Serial)
			}
			result.Imported = append(result.Imported, t.Serial)
		}
		if len(result.Imported) == 0 {
			return nil
		}
		return r.Store.Record(ctx, audit.New(ctx, now, "token.import", "token:"+result.Imported[0], audit.Details{
			"imported": len(result.Imported), "ignored": len(result.Ignored), "last": result.Imported[len(result.Imported)-1],
		}))
	})
	return result, err
}

// open reads and checks a token file and turns its refusals into those of an import.
func open(data []byte, password string) ([]sdtid.Token, error) {
	f, err := sdtid.Parse(data)
	if err != nil {
		return nil, fault.New(fault.ImportFormat, "this is not a token file that can be read (%v): export it again from where it came", err)
	}
	if n := len(f.Serials()); n > MaxAtOnce {
		return nil, fault.New(fault.TooLarge, "the file holds %d tokens, and %d can be imported at once: split it", n, MaxAtOnce)
	}
	tokens, err := f.Open(password)
	switch {
	case errors.Is(err, sdtid.ErrPasswordRequired):
		return nil, fault.New(fault.ImportPassword, "the file is locked with a password, or was changed after it was made: give the password")
	case errors.Is(err, sdtid.ErrWrongPassword):
		return nil, fault.New(fault.ImportPassword, "this is not the password of the file, or the file is damaged")
	case errors.Is(err, sdtid.ErrModified):
		return nil, fault.New(fault.ImportMAC, "the file was changed after it was made: get it again from where it came")
	case err != nil:
		return nil, fault.New(fault.ImportRecord, "the file holds a token that cannot be used: %v", err)
	}
	return tokens, nil
}

func (r *Registry) importOne(ctx context.Context, in sdtid.Token, now time.Time) error {
	if in.Digits != 6 && in.Digits != 8 {
		return fault.New(fault.ImportRecord, "codes of %d digits are not supported", in.Digits)
	}
	settings := token.Settings{Digits: in.Digits, Interval: in.Interval, PINType: pinType(in)}
	s := seed.New(in.Seed)
	defer s.Erase()
	t, err := r.record(token.Token{Serial: in.Serial, Origin: token.Imported, Birth: in.Birth, Expiry: in.Expiry}, s, settings, now)
	if err != nil {
		return err
	}
	return r.Store.AddTokens(ctx, []token.Token{t})
}

// day cuts a time to its UTC day; the zero time stays.
func day(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// pinType is the PIN type that a token file says. It does not tell a fob from a token without PIN; a fob whose PIN
// is not set is checked in the same way.
func pinType(t sdtid.Token) device.PINType {
	if t.AddPIN {
		return device.PINPad
	}
	return device.Fob
}
