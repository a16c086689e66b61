package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/transfer"
	"github.com/tallystick/tallystick/internal/user"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// A place is a deployment with what a test does there.
type place struct {
	*transfer.Deployment
	db      *store.DB
	keys    *seed.Keyring
	records *records.Registry
	tokens  *token.Registry
}

func open(t *testing.T, url string) *place {
	t.Helper()
	clock := func() time.Time { return now }
	db, keys := deploytest.New(t, url, clock)
	jobs := &job.Registry{Store: db, Keys: keys, Domains: &domain.Registry{Store: db, Now: clock}, Now: clock}
	p := &place{
		&transfer.Deployment{Store: db, Keys: keys, Users: &user.Registry{Store: db, Now: clock}, Jobs: jobs, Now: clock},
		db, keys, &records.Registry{Store: db, Keys: keys, Now: clock}, &token.Registry{Store: db, Now: clock},
	}
	jobs.Register(p.Worker())
	if err := p.records.BeginSerials(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// pairs runs a test between two deployments, on equal and on different databases.
func pairs(t *testing.T, test func(t *testing.T, from, to *place)) {
	t.Run("SQLite", func(t *testing.T) { test(t, open(t, deploytest.SQLite(t)), open(t, deploytest.SQLite(t))) })
	t.Run("SQLite to PostgreSQL", func(t *testing.T) { test(t, open(t, deploytest.SQLite(t)), open(t, deploytest.Postgres(t))) })
	t.Run("PostgreSQL to SQLite", func(t *testing.T) { test(t, open(t, deploytest.Postgres(t)), open(t, deploytest.SQLite(t))) })
}

func (p *place) user(t *testing.T, id string) {
	t.Helper()
	if _, err := p.Users.Add(t.Context(), user.User{ID: id, Name: "Name of " + id, Mail: id + "@example.com"}); err != nil {
		t.Fatal(err)
	}
}

func (p *place) profile(t *testing.T, change func(*profile.Profile)) {
	t.Helper()
	x := profile.Profile{Name: "laptop", DeviceType: "generic", Digits: 6, Interval: 30, PINType: device.Fob, Method: device.File, SwitchOver: profile.Immediate, CreatedAt: now, Version: 1}
	if change != nil {
		change(&x)
	}
	if err := p.db.AddProfile(t.Context(), x); err != nil {
		t.Fatal(err)
	}
}

func (p *place) make(t *testing.T, n int) []string {
	t.Helper()
	serials, err := p.records.Create(t.Context(), n, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return serials
}

func (p *place) get(t *testing.T, serial string) token.Token {
	t.Helper()
	x, err := p.db.Token(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (p *place) seed(t *testing.T, serial string) string {
	t.Helper()
	x := p.get(t, serial)
	s, err := p.keys.OpenSeed(t.Context(), x.Current.Sealed, serial, x.Current.Number)
	if err != nil {
		t.Fatal(err)
	}
	return string(s.Reveal())
}

// distribute leaves a token as a distribution and some use leave it.
func (p *place) distribute(t *testing.T, serial string) {
	t.Helper()
	x := p.get(t, serial)
	x.Profile, x.Method, x.Distribution, x.Nickname, x.DistributedAt, x.IssueCount = "laptop", device.File, token.Confirmed, "mine", now, 1
	x.Shape(token.Settings{Digits: 6, Interval: 30, PINType: device.Fob})
	x.Current.Delivered = true
	x.PIN = token.PIN{Hash: []byte("hash"), Length: 4, SetAt: now}
	if err := p.db.SaveToken(t.Context(), x); err != nil {
		t.Fatal(err)
	}
}

// sent is what goes from one deployment to another.
func sent(t *testing.T, from, to *place, users bool, serials ...string) []byte {
	t.Helper()
	data, err := export(t, from, to, users, serials...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func export(t *testing.T, from, to *place, users bool, serials ...string) ([]byte, error) {
	t.Helper()
	key, err := to.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write, err := from.Export(t.Context(), transfer.Export{To: key, Users: users, Serials: func(yield func(string, error) bool) {
		for _, s := range serials {
			if !yield(s, nil) {
				return
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = write(t.Context(), &out)
	return out.Bytes(), err
}

func held(file []byte) func() (io.Reader, error) {
	return func() (io.Reader, error) { return bytes.NewReader(file), nil }
}

// received takes a file in and returns what became of its tokens, by their serials.
func received(t *testing.T, to *place, in transfer.Import) map[string]job.Row {
	t.Helper()
	return receivedIn(t.Context(), t, to, in)
}

// receivedIn does so in a scope.
func receivedIn(ctx context.Context, t *testing.T, to *place, in transfer.Import) map[string]job.Row {
	t.Helper()
	all, err := to.Jobs.List(t.Context(), job.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	in.Users, in.Name = true, fmt.Sprint("transfer ", len(all))
	j, err := to.Import(ctx, in)
	if err == nil {
		err = to.Jobs.RunAll(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := to.Jobs.Items(t.Context(), j.ID, job.ItemFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]job.Row{}
	for _, r := range rows {
		if len(r.Input.Blob) > 0 && r.State == job.ItemDone && !in.DryRun {
			t.Error("a seed is kept with an item that is done")
		}
		found[r.Key] = r
	}
	return found
}

func TestTransferWithUsers(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serials := from.make(t, 4)
		for i, id := range []string{"alice", "bob"} {
			from.user(t, id)
			if _, err := from.tokens.Assign(t.Context(), serials[i], id); err != nil {
				t.Fatal(err)
			}
		}
		from.profile(t, nil)
		to.profile(t, func(p *profile.Profile) { p.Notes = "words do not matter" })
		from.distribute(t, serials[0])
		hardware := from.get(t, serials[1])
		hardware.Hardware = true
		if err := from.db.SaveToken(t.Context(), hardware); err != nil {
			t.Fatal(err)
		}
		to.user(t, "bob")
		before := from.get(t, serials[0])
		file := sent(t, from, to, true, serials[0], serials[1], serials[2], serials[0])
		if !reflect.DeepEqual(from.get(t, serials[0]), before) {
			t.Error("an export changed the token")
		}
		page, err := from.db.Events(t.Context(), audit.Filter{Action: "export.token"})
		if err != nil || len(page.Entries) != 3 {
			t.Errorf("%d events, %v", len(page.Entries), err)
		}
		if rows := received(t, to, transfer.Import{File: held(file), DryRun: true}); len(rows) != 3 || rows[serials[0]].State != job.ItemDone {
			t.Errorf("dry run: %+v", rows)
		}
		if _, err := to.db.Token(t.Context(), serials[0]); !errors.Is(err, fault.TokenNotFound) {
			t.Error("a dry run took a token in")
		}
		received(t, to, transfer.Import{File: held(file)})
		a := to.get(t, serials[0])
		if a.UserID != "alice" || !a.Enabled || a.PIN.IsSet() || a.Profile != "laptop" || a.Distribution != token.Confirmed || a.Nickname != "mine" || a.IssueCount != 1 ||
			a.Current.Settings != before.Current.Settings || a.Current.Number != before.Current.Number || !a.Current.Delivered || !a.Expiry.Equal(before.Expiry) {
			t.Errorf("arrived %+v", a)
		}
		for _, s := range serials[:3] {
			if from.seed(t, s) != to.seed(t, s) {
				t.Errorf("token %s has another seed", s)
			}
		}
		if u, err := to.Users.Get(t.Context(), "alice"); err != nil || u.Mail != "alice@example.com" {
			t.Errorf("user %+v, %v", u, err)
		}
		if b, c := to.get(t, serials[1]), to.get(t, serials[2]); b.UserID != "bob" || !b.Hardware || a.Hardware || c.UserID != "" || c.Enabled {
			t.Errorf("arrived %+v, %+v", b, c)
		}
		// Again: what is here stays.
		was := to.get(t, serials[0])
		rows := received(t, to, transfer.Import{File: held(file)})
		if rows[serials[0]].Code != fault.ImportDuplicate || rows[serials[0]].State != job.ItemDone || !reflect.DeepEqual(to.get(t, serials[0]), was) {
			t.Errorf("a second time: %+v", rows)
		}
		// Invariant 1: a seed that was here does not come back under any serial.
		if err := to.db.DeleteToken(t.Context(), serials[2]); err != nil {
			t.Fatal(err)
		}
		if rows := received(t, to, transfer.Import{File: held(file)}); rows[serials[2]].Code != fault.SeedInUse {
			t.Errorf("a seed that was destroyed: %+v", rows[serials[2]])
		}
		// Who may not add users does not do so by this way.
		if _, err := to.Import(t.Context(), transfer.Import{File: held(file)}); !errors.Is(err, fault.Forbidden) {
			t.Errorf("without the right: %v", err)
		}
	})
}

func TestTransferWithoutUsers(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serials := from.make(t, 2)
		from.user(t, "alice")
		from.profile(t, nil)
		if _, err := from.tokens.Assign(t.Context(), serials[0], "alice"); err != nil {
			t.Fatal(err)
		}
		from.distribute(t, serials[0])
		received(t, to, transfer.Import{File: held(sent(t, from, to, false, serials...))})
		a, b := to.get(t, serials[0]), to.get(t, serials[1])
		if a.UserID != "" || a.Enabled || !a.Tainted || a.Profile != "" || a.Distribution != token.NotDistributed { // alice may hold the seed
			t.Errorf("arrived %+v", a)
		}
		if b.Tainted || b.Enabled || b.Origin != token.Generated {
			t.Errorf("arrived %+v", b)
		}
		if x := from.get(t, serials[0]); x.UserID != "alice" || !x.Enabled {
			t.Errorf("at home %+v", x)
		}
	})
}

// A release before migration 58 did not mark the seed that a former user holds where it was the new one of two. Its files bring no such seed unmarked; a file of this one
// brings what it says, as a seed that came from another file since is nobody's.
func TestSeedsOfFormerUsersFromOlderReleases(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		from.user(t, "bob")
		from.profile(t, nil)
		for _, older := range []bool{false, true} {
			serials := from.make(t, 3) // of whom the second one is assigned again, and the last one is delivered to whom it belongs to
			for i, serial := range serials {
				if i > 0 {
					if _, err := from.tokens.Assign(t.Context(), serial, "bob"); err != nil {
						t.Fatal(err)
					}
				}
				x := from.get(t, serial)
				x.IssueCount, x.Current.Delivered = 2, true
				if i == 2 {
					x.Distribution = token.Confirmed
				}
				if err := from.db.SaveToken(t.Context(), x); err != nil {
					t.Fatal(err)
				}
			}
			file := sent(t, from, to, true, serials...)
			if older {
				file = transfer.Older(t, from.Deployment, to.Deployment, file)
			}
			received(t, to, transfer.Import{File: held(file)})
			for i, serial := range serials {
				if x := to.get(t, serial); x.Tainted != (older && i < 2) {
					t.Errorf("arrived from an older release (%v): %+v", older, x)
				}
				if _, err := from.tokens.Unassign(t.Context(), serial, 0); err != nil && i > 0 { // bob holds no more than three
					t.Fatal(err)
				}
			}
		}
	})
}

// What codes were used up at home is used up at the target, whose guard begins there.
func TestUsedCodesStayUsed(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serial := from.make(t, 1)[0]
		x := from.get(t, serial)
		if err := from.db.DeleteToken(t.Context(), serial); err != nil {
			t.Fatal(err)
		}
		s := seed.Generate()
		g, err := token.NewGeneration(from.keys, serial, 3, s, token.Factory, now)
		if err != nil {
			t.Fatal(err)
		}
		g.LastInterval, g.Offset = 123456, -4
		x.Current, x.LastNumber = g, 3
		if err := from.db.AddToken(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		received(t, to, transfer.Import{File: held(sent(t, from, to, true, serial))})
		if got := to.get(t, serial).Current; got.LastInterval != 123456 || got.Offset != -4 || got.Number != 3 {
			t.Errorf("arrived %+v", got.Clock)
		}
	})
}

// Whoever has a lost token gets in nowhere; one with a seed that was made since is in her hands.
func TestLostTokensStayLost(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		from.user(t, "alice")
		serials := from.make(t, 3)
		for i, serial := range serials {
			if _, err := from.tokens.Assign(t.Context(), serial, "alice"); err != nil {
				t.Fatal(err)
			}
			x := from.get(t, serial)
			x.LostAt = now.Add(-time.Hour)
			g, err := token.NewGeneration(from.keys, serial, 7, seed.Generate(), token.Factory, x.LostAt.Add(time.Duration(i-1)*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			x.Current, x.LastNumber = g, 7
			if err := from.db.SaveToken(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
		received(t, to, transfer.Import{File: held(sent(t, from, to, true, serials...))})
		for i, serial := range serials {
			if x := to.get(t, serial); !x.Lost() || x.LostWith(&x.Current) != (i < 2) || !x.Current.MadeAt.Equal(from.get(t, serial).Current.MadeAt) {
				t.Errorf("token %d arrived %+v, made at %s", i, x.LostAt, x.Current.MadeAt)
			}
		}
	})
}

// The last day of a user travels with her.
func TestLastDaysTravel(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		day := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
		if _, err := from.Users.Add(t.Context(), user.User{ID: "carol", Expiry: day}); err != nil {
			t.Fatal(err)
		}
		serial := from.make(t, 1)[0]
		if _, err := from.tokens.Assign(t.Context(), serial, "carol"); err != nil {
			t.Fatal(err)
		}
		if _, err := from.Users.Edit(t.Context(), "carol", 0, user.Entry{Enabled: new(bool)}); err != nil {
			t.Fatal(err)
		}
		received(t, to, transfer.Import{File: held(sent(t, from, to, true, serial))})
		if u, err := to.Users.Get(t.Context(), "carol"); err != nil || !u.Expiry.Equal(day) || u.Enabled {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// What is placed in a security domain gives a user of another one no token, though both have one name. Whoever is limited to the domain adds no user by
// an address of somebody elsewhere either.
func TestUsersOfOtherDomains(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		from.user(t, "carol")
		to.user(t, "carol")
		for id, at := range map[string]*place{"dave": from, "erin": to} {
			if _, err := at.Users.Add(t.Context(), user.User{ID: id, Mail: "d@example.com"}); err != nil {
				t.Fatal(err)
			}
		}
		serials := from.make(t, 2)
		for n, id := range []string{"carol", "dave"} {
			if _, err := from.tokens.Assign(t.Context(), serials[n], id); err != nil {
				t.Fatal(err)
			}
		}
		file := sent(t, from, to, true, serials...)
		domains := &domain.Registry{Store: to.db, Now: func() time.Time { return now }}
		if _, err := domains.Add(t.Context(), "north", domain.Root, ""); err != nil {
			t.Fatal(err)
		}
		north, err := domains.Scope(t.Context(), "north")
		if err != nil {
			t.Fatal(err)
		}
		placed, err := domains.Narrow(t.Context(), "north")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			ctx  context.Context
			dave fault.Code
		}{{domain.WithScope(t.Context(), north), fault.OutOfScope}, {placed, ""}} {
			rows := receivedIn(c.ctx, t, to, transfer.Import{File: held(file)})
			if rows[serials[0]].Code != fault.OutOfScope || rows[serials[1]].Code != c.dave {
				t.Errorf("%+v", rows)
			}
		}
		if got := to.get(t, serials[1]); got.UserID != "dave" || got.Domain != "north" {
			t.Errorf("token of %s in %q", got.UserID, got.Domain)
		}
	})
}

// The profile stays only if the target has an identical one.
func TestProfileOfTheTarget(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serial := from.make(t, 1)[0]
		from.user(t, "alice")
		from.profile(t, nil)
		to.profile(t, func(p *profile.Profile) { p.Digits = 8 })
		if _, err := from.tokens.Assign(t.Context(), serial, "alice"); err != nil {
			t.Fatal(err)
		}
		from.distribute(t, serial)
		rows := received(t, to, transfer.Import{File: held(sent(t, from, to, true, serial))})
		if x := to.get(t, serial); x.Profile != "" || x.Method != device.File || !strings.Contains(rows[serial].Message, "laptop") {
			t.Errorf("arrived %+v, %+v", x, rows)
		}
	})
}

// A replacement that begins while an export is written would put its two tokens apart.
func TestAReplacementThatBeginsMeanwhile(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serials := from.make(t, 2)
		from.user(t, "alice")
		_, err := from.tokens.Assign(t.Context(), serials[0], "alice")
		key, err2 := to.PublicKey(t.Context())
		write, err3 := from.Export(t.Context(), transfer.Export{To: key, Users: true, Serials: func(yield func(string, error) bool) {
			_ = yield(serials[0], nil) && yield(serials[1], nil)
		}})
		_, err4 := from.tokens.Replace(t.Context(), serials[0], 0, serials[1], false)
		if err := errors.Join(err, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if err := write(t.Context(), io.Discard); !errors.Is(err, fault.Conflict) { // apart from each other, neither would be taken at the target
			t.Error(err)
		}
	})
}

// A token and the one that replaces it go together, or not at all.
func TestReplacementsGoTogether(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serials := from.make(t, 2)
		from.user(t, "alice")
		if _, err := from.tokens.Assign(t.Context(), serials[0], "alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := from.tokens.Replace(t.Context(), serials[0], 0, serials[1], false); err != nil {
			t.Fatal(err)
		}
		for _, alone := range serials {
			if _, err := export(t, from, to, true, alone); !errors.Is(err, fault.InReplacement) {
				t.Errorf("%s alone: %v", alone, err)
			}
		}
		if page, err := from.db.Events(t.Context(), audit.Filter{Action: "export.*"}); err != nil || len(page.Entries) != 0 {
			t.Errorf("what was refused is in the log: %v, %v", page.Entries, err)
		}
		received(t, to, transfer.Import{File: held(sent(t, from, to, true, serials...))})
		if a, b := to.get(t, serials[0]), to.get(t, serials[1]); a.ReplacedBy != b.Serial || b.Replaces != a.Serial || b.UserID != "alice" {
			t.Errorf("arrived %+v, %+v", a, b)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	pairs(t, func(t *testing.T, from, to *place) {
		serials := from.make(t, 3)
		file := sent(t, from, to, true, serials...)
		for n := 0; n < len(file); n += 1 + len(file)/23 {
			flipped := bytes.Clone(file)
			flipped[n] ^= 1
			for how, data := range map[string][]byte{"cut": file[:n], "flipped": flipped} {
				if _, err := to.Import(t.Context(), transfer.Import{File: held(data)}); !errors.Is(err, fault.TransferFormat) && !errors.Is(err, fault.TransferKey) {
					t.Errorf("%s at %d: %v", how, n, err)
				}
			}
		}
		if _, err := from.Import(t.Context(), transfer.Import{File: held(file), Users: true}); !errors.Is(err, fault.TransferKey) {
			t.Errorf("at another deployment: %v", err)
		}
		if _, err := export(t, from, to, true, "000000000000"); !errors.Is(err, fault.TokenNotFound) {
			t.Errorf("a token that is not there: %v", err)
		}
		key, err := to.PublicKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun, err := from.Export(t.Context(), transfer.Export{To: key, Serials: func(yield func(string, error) bool) { yield(serials[0], nil) }})
		if err != nil {
			t.Fatal(err)
		}
		x := from.get(t, serials[0])
		s := seed.Generate()
		g, err := token.NewGeneration(from.keys, serials[0], 2, s, token.Factory, now)
		if err != nil {
			t.Fatal(err)
		}
		x.Await(g, now.Add(time.Hour))
		if err := from.db.SaveToken(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		if _, err := export(t, from, to, true, serials...); !errors.Is(err, fault.Conflict) {
			t.Errorf("two seeds: %v", err)
		}
		if err := begun(t.Context(), io.Discard); !errors.Is(err, fault.Conflict) {
			t.Errorf("two seeds since the export was begun: %v", err)
		}
		if page, err := from.db.Events(t.Context(), audit.Filter{Action: "export.token"}); err != nil || len(page.Entries) != len(serials) {
			t.Errorf("%d tokens have left by the log, %v", len(page.Entries), err)
		}
		if all, err := to.db.Tokens(t.Context(), token.Filter{}); err != nil || len(all) != 0 {
			t.Errorf("%d tokens, %v", len(all), err)
		}
		for _, s := range serials {
			if bytes.Contains(file, []byte(from.seed(t, serials[1]))) || slices.Contains([]string{"", s}, string(file)) {
				t.Error("a seed is in the file")
			}
		}
	})
}

// Who made a file is proven, to whoever asks for it: another deployment's signature is refused, and a file that was made for one target is not
// taken by another, though somebody who could open it seals it anew.
func TestTransfersAreSigned(t *testing.T) {
	lite := func() string { return filepath.Join(t.TempDir(), "test.db") }
	from, to, third := open(t, lite()), open(t, lite()), open(t, lite())
	source, err := from.SignerKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := from.SignerKey(t.Context()); err != nil || again != source {
		t.Fatalf("the key changes: %v", err)
	}
	other, err := third.SignerKey(t.Context())
	if err != nil || other == source {
		t.Fatalf("two deployments have one key: %v", err)
	}
	file := sent(t, from, to, false, from.make(t, 2)...)
	if _, err := to.Import(t.Context(), transfer.Import{File: held(file), From: other}); !errors.Is(err, fault.TransferSigner) {
		t.Errorf("signed by another: %v", err)
	}
	if _, err := to.Import(t.Context(), transfer.Import{File: held(file), From: source[1:]}); !errors.Is(err, fault.Invalid) {
		t.Errorf("no key: %v", err)
	}
	received(t, to, transfer.Import{File: held(file), From: source + "\n"})
	page, err := to.db.Events(t.Context(), audit.Filter{Action: "token.import"})
	if err != nil || len(page.Entries) != 2 || !strings.Contains(string(page.Entries[0].Record), source) {
		t.Errorf("the log does not say who made the file: %v", err)
	}

	lines := transfer.Opened(t, to.Deployment, file)
	if _, err := third.Import(t.Context(), transfer.Import{File: held(transfer.Sealed(t, third.Deployment, lines))}); !errors.Is(err, fault.TransferKey) {
		t.Errorf("a file for another target, sealed anew: %v", err)
	}
	changed := bytes.Replace(lines, []byte(`"issues":0`), []byte(`"issues":7`), 1)
	if bytes.Equal(changed, lines) {
		t.Fatal("nothing was changed")
	}
	if _, err := to.Import(t.Context(), transfer.Import{File: held(transfer.Sealed(t, to.Deployment, changed))}); !errors.Is(err, fault.TransferFormat) {
		t.Errorf("a changed line: %v", err)
	}
}
