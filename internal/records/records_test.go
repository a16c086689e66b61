package records_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/sdtid"
)

var now = time.Date(2026, 11, 24, 23, 59, 59, 0, time.UTC)

func open(t *testing.T, url string) (*records.Registry, *store.DB, *seed.Keyring) {
	t.Helper()
	clock := func() time.Time { return now }
	db, keys := deploytest.New(t, url, clock)
	r := &records.Registry{Store: db, Keys: keys, Now: clock, Jobs: &job.Registry{Store: db, Keys: keys, Domains: &domain.Registry{Store: db, Now: clock}, Now: clock}}
	r.Jobs.Register(r.ImportWorker())
	r.Jobs.Register(r.CreateWorker())
	if err := r.BeginSerials(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, db, keys
}

// each runs a test on both databases.
func each(t *testing.T, test func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring)) {
	deploytest.Each(t, func(t *testing.T, url string) {
		r, db, keys := open(t, url)
		test(t, r, db, keys)
	})
}

func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		serials, err := r.Create(t.Context(), 3, time.Time{}, time.Time{})
		if err != nil || len(serials) != 3 {
			t.Fatal(serials, err)
		}
		seeds := map[string]bool{}
		for _, serial := range serials {
			tok, err := db.Token(t.Context(), serial)
			if err != nil {
				t.Fatal(err)
			}
			if tok.Enabled || tok.UserID != "" || tok.Current.Settings != token.Factory || tok.Current.Number != 1 || tok.Current.Delivered ||
				!tok.Birth.Equal(now.Truncate(24*time.Hour)) || !tok.Expiry.Equal(tok.Birth.AddDate(5, 0, 0)) || !tok.EffectiveExpiry.Equal(tok.Expiry) {
				t.Errorf("made %+v", tok)
			}
			s, err := keys.OpenSeed(t.Context(), tok.Current.Sealed, serial, 1)
			if err != nil {
				t.Fatal(err)
			}
			seeds[string(s.Reveal())] = true
		}
		if len(seeds) != 3 {
			t.Errorf("%d different seeds", len(seeds))
		}
		more, err := r.Create(t.Context(), 1, time.Time{}, time.Time{})
		if err != nil || more[0] <= serials[2] {
			t.Errorf("next serial %v, %v", more, err)
		}
		day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
		for name, c := range map[string]struct {
			count         int
			birth, expiry time.Time
		}{
			"none": {count: 0}, "negative": {count: -1}, "too many": {count: records.MaxAtOnce + 1},
			"expired": {count: 1, birth: day("2020-01-01"), expiry: day("2026-11-23")}, "backwards": {count: 1, birth: day("2030-01-01"), expiry: day("2029-01-01")},
		} {
			if _, err := r.Create(t.Context(), c.count, c.birth, c.expiry); !errors.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := r.Create(t.Context(), 1, day("2020-01-01"), day("2026-11-24")); err != nil {
			t.Errorf("a token whose last day is today: %v", err)
		}
	})
}

// Serials of the deployment's own range that came with a file are passed by.
func TestCreateBesideImportedSerials(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, _ *store.DB, _ *seed.Keyring) {
		first, err := r.Create(t.Context(), 1, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.Atoi(first[0])
		if err != nil {
			t.Fatal(err)
		}
		after := func(n int) string { return fmt.Sprintf("%012d", at+n) }
		if _, err := r.Import(t.Context(), batch(t, "", record(after(2), 1), record(after(4), 2), record(after(9_000), 3)), ""); err != nil {
			t.Fatal(err)
		}
		for _, want := range [][]string{{after(1)}, {after(9_001), after(9_002)}, {after(9_003)}} {
			if got, err := r.Create(t.Context(), len(want), time.Time{}, time.Time{}); err != nil || !slices.Equal(got, want) {
				t.Errorf("made %v, %v, want %v", got, err, want)
			}
		}
	})
}

// batch is a token file.
func batch(t *testing.T, password string, tokens ...sdtid.Token) []byte {
	t.Helper()
	data, err := sdtid.Encode(sdtid.Batch{Tokens: tokens, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func record(serial string, b byte) sdtid.Token {
	s := make([]byte, 16)
	s[0] = b
	return sdtid.Token{Serial: serial, Seed: s, Expiry: now.AddDate(1, 0, 0).Truncate(24 * time.Hour), Digits: 6, Interval: 30, AddPIN: true}
}

func TestImport(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		ctx := t.Context()
		file := batch(t, "open sesame", record("000000000101", 1), record("000000000102", 2))
		if _, err := r.Import(ctx, file, ""); !errors.Is(err, fault.ImportPassword) {
			t.Errorf("without password: %v", err)
		}
		if _, err := r.Import(ctx, file, "wrong"); !errors.Is(err, fault.ImportPassword) {
			t.Errorf("wrong password: %v", err)
		}
		done, err := r.Import(ctx, file, "open sesame")
		if err != nil || len(done.Imported) != 2 || len(done.Ignored) != 0 {
			t.Fatal(done, err)
		}
		tok, err := db.Token(ctx, "000000000101")
		if err != nil || tok.Origin != token.Imported || tok.Enabled || tok.Current.Settings != (token.Settings{Digits: 6, Interval: 30, PINType: device.PINPad}) {
			t.Errorf("imported %+v, %v", tok, err)
		}
		// Again, with one more: what is here stays, the new one comes.
		done, err = r.Import(ctx, batch(t, "", record("000000000102", 9), record("000000000103", 3)), "")
		if err != nil || len(done.Imported) != 1 || len(done.Ignored) != 1 {
			t.Errorf("%+v, %v", done, err)
		}
		after, _ := db.Token(ctx, "000000000102")
		if s, err := keys.OpenSeed(ctx, after.Current.Sealed, after.Serial, 1); err != nil || s.Reveal()[0] != 2 {
			t.Error("an import replaced a seed")
		}
		// A seed that another token has, or had, is refused, and the whole file with it.
		if err := db.DeleteToken(ctx, "000000000103"); err != nil {
			t.Fatal(err)
		}
		for _, b := range []byte{1, 3} {
			_, err = r.Import(ctx, batch(t, "", record("000000000104", 40+b), record("000000000105", b)), "")
			if !errors.Is(err, fault.SeedInUse) {
				t.Errorf("a seed twice: %v", err)
			}
			if _, err := db.Token(ctx, "000000000104"); !errors.Is(err, fault.TokenNotFound) {
				t.Errorf("half a file was imported: %v", err)
			}
		}
		for name, data := range map[string][]byte{"nothing": nil, "text": []byte("hello"), "cut off": file[:len(file)/2]} {
			if _, err := r.Import(ctx, data, ""); !errors.Is(err, fault.ImportFormat) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// busy is a database on which somebody takes a serial behind those of every job.
type busy struct{ records.Store }

func (b busy) ReserveSerials(ctx context.Context, count int) (int64, error) {
	first, err := b.Store.ReserveSerials(ctx, count)
	if err == nil {
		_, err = b.Store.ReserveSerials(ctx, 1)
	}
	return first, err
}

// A job that makes many tokens and is not started costs no serials, unless others took some meanwhile; and no serial is given out twice.
func TestSerialsOfAJobThatIsNotStarted(t *testing.T) {
	refused := errors.New("refused")
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, _ *seed.Keyring) {
		begin := func(count int, do func(context.Context) error) (job.Job, error) {
			ctx := job.Along(t.Context(), func(ctx context.Context, _ job.Job) error { return do(ctx) })
			return r.StartCreate(ctx, count, time.Time{}, time.Time{}, fmt.Sprint("job of ", count), false)
		}
		next := func() string {
			t.Helper()
			serials, err := r.Create(t.Context(), 1, time.Time{}, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			return serials[0]
		}
		after := func(serial string, n int) string {
			number, err := strconv.Atoi(serial)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%012d", number+n)
		}
		last := next()
		for _, count := range []int{1, job.ItemsAtOnce, job.ItemsAtOnce + 1, 2500} {
			if _, err := begin(count, func(context.Context) error { return refused }); !errors.Is(err, refused) {
				t.Fatal(err)
			}
			if _, err := r.Jobs.Show(t.Context(), fmt.Sprint("job of ", count)); !errors.Is(err, fault.JobNotFound) {
				t.Errorf("a job of %d that was refused: %v", count, err)
			}
			if got := next(); got != after(last, 1) {
				t.Errorf("after a job of %d, %s follows %s", count, got, last)
			}
			last = after(last, 1)
		}
		if _, err := begin(records.MaxTokens, func(context.Context) error { return nil }); !errors.Is(err, fault.SerialsExhausted) {
			t.Errorf("more than there are: %v", err)
		}
		if _, err := r.Jobs.Show(t.Context(), fmt.Sprint("job of ", records.MaxTokens)); !errors.Is(err, fault.JobNotFound) {
			t.Errorf("a job without serials: %v", err)
		}
		// Others take the next ones before it is refused.
		r.Store = busy{db}
		if _, err := begin(2500, func(context.Context) error { return refused }); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		r.Store = db
		if got := next(); got != after(last, 2502) {
			t.Errorf("%s was given out after %s and one more", got, last)
		}
		last = after(last, 2502)
		j, err := begin(2500, func(context.Context) error { return nil })
		if err != nil || j.Total != 2500 {
			t.Fatal(j, err)
		}
		if _, err := begin(2500, func(context.Context) error { return nil }); !errors.Is(err, fault.JobNameTaken) {
			t.Errorf("its name was given again: %v", err)
		}
		if got := next(); got != after(last, 2501) {
			t.Errorf("%s follows %s and 2500 more", got, last)
		}
		items, err := r.Jobs.Items(t.Context(), j.ID, job.ItemFilter{})
		if err != nil || len(items) != 2500 {
			t.Fatal(len(items), err)
		}
		for i, item := range items {
			if item.Key != after(last, i+1) {
				t.Fatalf("item %d is %s", i+1, item.Key)
			}
		}
	})
}
