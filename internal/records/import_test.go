package records_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
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
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/sdtid"
)

// imported runs an import to its end and returns the job with its items.
func imported(t *testing.T, r *records.Registry, in records.Import) (job.Job, []job.Row) {
	t.Helper()
	if in.Name == "" { // the clock stands still
		in.Name = fmt.Sprint("import ", jobsOf(t, r))
	}
	j, err := r.StartImport(t.Context(), in)
	if err == nil {
		err = r.Jobs.RunAll(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if j, err = r.Jobs.Show(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	rows, err := r.Jobs.Items(t.Context(), j.ID, job.ItemFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return j, rows
}

// everything is all tokens with their seeds.
func everything(t *testing.T, db *store.DB, keys *seed.Keyring) map[string]token.Token {
	t.Helper()
	all, err := db.Tokens(t.Context(), token.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]token.Token{}
	for _, tok := range all {
		if _, err := keys.OpenSeed(t.Context(), tok.Current.Sealed, tok.Serial, tok.Current.Number); err != nil {
			t.Error(err)
		}
		found[tok.Serial] = tok
	}
	return found
}

func TestImportJob(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		old := record("000000000203", 3)
		old.Expiry = now.AddDate(-1, 0, 0).Truncate(24 * time.Hour)
		file := batch(t, "open sesame", record("000000000201", 1), record("000000000202", 2), old)
		j, rows := imported(t, r, records.Import{File: records.Bytes(file), Password: "open sesame", Name: "first batch"})
		if j.State != job.Done || j.Total != 3 || j.Name != "first batch" {
			t.Errorf("job %+v", j)
		}
		if rows[2].Code != fault.TokenExpired || rows[0].Code != "" || len(rows[0].Input.Blob) != 0 {
			t.Errorf("items %+v", rows)
		}
		tok := everything(t, db, keys)["000000000203"]
		if tok.Enabled || tok.UserID != "" || tok.Origin != token.Imported || !tok.Current.Delivered || !tok.Expiry.Equal(old.Expiry) {
			t.Errorf("imported %+v", tok)
		}
		// Again: what is here stays, and a name is used once.
		before := everything(t, db, keys)
		if _, err := r.StartImport(t.Context(), records.Import{File: records.Bytes(file), Password: "open sesame", Name: "first batch"}); !errors.Is(err, fault.JobNameTaken) {
			t.Errorf("the name again: %v", err)
		}
		j, rows = imported(t, r, records.Import{File: records.Bytes(file), Password: "open sesame"})
		if j.State != job.Done || rows[0].Code != fault.ImportDuplicate || !reflect.DeepEqual(everything(t, db, keys), before) {
			t.Errorf("a second time: %+v, %+v", j, rows)
		}
		// A record that fails fails alone: a seed that is in use under another serial.
		j, rows = imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000205", 1), record("000000000206", 6), record("000000000207", 6)))})
		if j.State != job.DoneWithErrors || rows[0].Code != fault.SeedInUse || rows[1].State != job.ItemDone || rows[2].Code != fault.SeedInUse {
			t.Errorf("%+v, %+v", j, rows)
		}
		// A dry run says the same and changes nothing.
		before = everything(t, db, keys)
		j, rows = imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000208", 8), record("000000000201", 9))), DryRun: true})
		if j.State != job.Done || rows[0].Code != "" || rows[1].Code != fault.ImportDuplicate || !reflect.DeepEqual(everything(t, db, keys), before) {
			t.Errorf("dry run %+v, %+v", j, rows)
		}
		for _, in := range []records.Import{{File: records.Bytes(file), Duplicates: "merge"}, {File: records.Bytes(file), Format: "pskc"}, {File: records.Bytes(file), Mapping: map[string]string{"serial": "x"}}, {Format: records.CSV, File: records.Bytes([]byte("serial,seed\n1,2\n")), Mapping: map[string]string{"colour": "x"}}} {
			if _, err := r.StartImport(t.Context(), in); !errors.Is(err, fault.Invalid) {
				t.Errorf("%q %q: %v", in.Duplicates, in.Format, err)
			}
		}
	})
}

func TestOverwrite(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		ctx := t.Context()
		tokens := &token.Registry{Store: db, Now: r.Now}
		users := &user.Registry{Store: db, Now: r.Now}
		serials := []string{"000000000301", "000000000302", "000000000303", "000000000304"}
		var first []sdtid.Token
		for i, s := range serials {
			first = append(first, record(s, byte(i+1)))
		}
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", first...))})
		for i, id := range []string{"alice", "bob", "carol"} {
			if _, err := users.Add(ctx, user.User{ID: id}); err != nil {
				t.Fatal(err)
			}
			if _, err := tokens.Assign(ctx, serials[i], id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tokens.Replace(ctx, serials[2], 0, serials[3], false); err != nil {
			t.Fatal(err)
		}
		for _, s := range serials[:2] { // and their devices with them
			if _, err := tokens.Change(ctx, s, 0, "token.lost", func(x *token.Token) (audit.Details, error) { x.Lose(r.Now(), false); return nil, nil }); err != nil {
				t.Fatal(err)
			}
		}
		before := everything(t, db, keys)
		// The first gets a new seed, the second the one it has, the third and the fourth are a token and its replacement.
		again := []sdtid.Token{record(serials[0], 11), record(serials[1], 2), record(serials[2], 13), record(serials[3], 14)}
		again[0].Interval, again[0].Digits = 60, 8
		j, rows := imported(t, r, records.Import{File: records.Bytes(batch(t, "", again...)), Duplicates: records.Overwrite})
		if j.State != job.Done || rows[2].Code != fault.InReplacement || rows[3].Code != fault.InReplacement || !strings.Contains(rows[0].Message, "alice") {
			t.Errorf("%+v, %+v", j, rows)
		}
		after := everything(t, db, keys)
		for _, s := range serials[2:] {
			if !reflect.DeepEqual(before[s], after[s]) {
				t.Errorf("token %s takes part in a replacement and was changed", s)
			}
		}
		a, b := after[serials[0]], after[serials[1]]
		if a.UserID != "" || a.Enabled || a.Tainted || a.Current.Number != 2 || a.Current.Settings.Interval != 60 || a.Distribution != token.NotDistributed || a.Lost() {
			t.Errorf("overwritten: %+v", a)
		}
		if s, err := keys.OpenSeed(ctx, a.Current.Sealed, a.Serial, 2); err != nil || s.Reveal()[0] != 11 {
			t.Error("it does not have the seed of the file")
		}
		if b.UserID != "" || b.Enabled || !b.Tainted || b.Current.Number != 1 || !b.Lost() { // bob, or who found his device, may hold the seed
			t.Errorf("overwritten by itself: %+v", b)
		}
		// A redistribution that waits ends where the file has the seed that it would have ended.
		if _, err := tokens.Assign(ctx, serials[1], "bob"); err != nil {
			t.Fatal(err)
		}
		b = must(db.Token(ctx, serials[1]))
		g, err := token.NewGeneration(keys, b.Serial, 2, seed.Generate(), b.Current.Settings, r.Now())
		if err != nil {
			t.Fatal(err)
		}
		b.Await(g, r.Now().Add(time.Hour))
		if err := db.SaveToken(ctx, b); err != nil {
			t.Fatal(err)
		}
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record(serials[1], 2))), Duplicates: records.Overwrite})
		if b = must(db.Token(ctx, serials[1])); b.UserID != "" || b.Pending != nil || b.Current.Number != 1 {
			t.Errorf("overwritten while another seed waited: %+v", b)
		}
		if s, err := keys.OpenSeed(ctx, b.Current.Sealed, b.Serial, 1); err != nil || s.Reveal()[0] != 2 {
			t.Error("it does not have the seed of the file")
		}
		// One whose time is over has ended before that.
		if _, err := tokens.Assign(ctx, serials[1], "bob"); err != nil {
			t.Fatal(err)
		}
		b = must(db.Token(ctx, serials[1]))
		g, err = token.NewGeneration(keys, b.Serial, 3, seed.Generate(), b.Current.Settings, r.Now())
		if err != nil {
			t.Fatal(err)
		}
		b.Await(g, r.Now())
		if err := db.SaveToken(ctx, b); err != nil {
			t.Fatal(err)
		}
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record(serials[1], 22))), Duplicates: records.Overwrite})
		ended := must(db.Events(ctx, audit.Filter{Action: "redist.complete"})).Entries
		if len(ended) != 1 || !strings.Contains(string(ended[0].Record), `"generation":3`) || !strings.Contains(string(ended[0].Record), `"user":"bob"`) {
			t.Errorf("events of the redistributions: %+v", ended)
		}
		after = everything(t, db, keys)
		// A record that cannot be used harms nothing: a seed of another token, and one that the token had before.
		before = after
		j, rows = imported(t, r, records.Import{File: records.Bytes(batch(t, "", record(serials[0], 2), record(serials[1], 1))), Duplicates: records.Overwrite})
		if j.Failed != 2 || rows[0].Code != fault.SeedInUse || !reflect.DeepEqual(everything(t, db, keys), before) {
			t.Errorf("%+v, %+v", j, rows)
		}
	})
}

// A file may say that the codes of a seed last longer, or not as long, as one before said: what was used, by sign-ins or since a restore, counts as used by these intervals.
func TestOverwriteByAnotherInterval(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, _ *seed.Keyring) {
		for i, c := range []struct{ was, is int }{{30, 60}, {60, 30}} {
			in := record(fmt.Sprintf("%012d", 401+i), byte(i+1))
			in.Interval = c.was
			imported(t, r, records.Import{File: records.Bytes(batch(t, "", in))})
			tok := must(db.Token(t.Context(), in.Serial))
			tok.Current.LastInterval, tok.Current.Offset = now.Unix()/int64(c.was), int64(120/c.was)
			if err := db.SaveClock(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
			in.Interval = c.is
			imported(t, r, records.Import{File: records.Bytes(batch(t, "", in)), Duplicates: records.Overwrite})
			tok = must(db.Token(t.Context(), in.Serial))
			until := time.Duration((tok.Current.LastInterval+1)*int64(c.is)-now.Unix()) * time.Second
			if tok.Current.Settings.Interval != c.is || until <= 0 || until > 4*time.Minute || tok.Current.Offset != int64(120/c.is) {
				t.Errorf("%d s after %d s: codes of %s more count as used: %+v", c.is, c.was, until, tok.Current.Clock)
			}
		}
	})
}

// Invariant 7: import of a broken file changes nothing that existed before.
func TestInvariant07BrokenFileChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		whole := batch(t, "open sesame", record("000000000401", 1), record("000000000402", 2), record("000000000403", 3))
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000401", 1)))})
		before, jobs := everything(t, db, keys), jobsOf(t, r)
		refused := func(how string, in records.Import) {
			t.Helper()
			for _, rule := range []records.Duplicates{records.Ignore, records.Overwrite} {
				in.Duplicates = rule
				if _, err := r.StartImport(t.Context(), in); fault.CodeOf(err) == "" {
					t.Errorf("%s: %v", how, err)
				}
			}
			if err := r.Jobs.RunAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(everything(t, db, keys), before) || jobsOf(t, r) != jobs {
				t.Fatalf("%s changed something", how)
			}
		}
		for n := 1; n < len(whole); n += 97 {
			refused(fmt.Sprintf("cut at %d", n), records.Import{File: records.Bytes(whole[:n]), Password: "open sesame"})
		}
		// Every place that a MAC covers, and every tag; what is only between them covers nothing.
		for _, what := range []string{"<SN>000000000402", "<Seed>=", "<DefDigits>6", "<DefDeath>", "<Secret>", "<TokenMAC>", "</TKN>", "<HeaderMAC>"} {
			at := strings.Index(string(whole), what)
			if at < 0 {
				t.Fatalf("no %s in the file", what)
			}
			broken := []byte(string(whole))
			broken[at+len(what)-1] ^= 1
			refused("changed at "+what, records.Import{File: records.Bytes(broken), Password: "open sesame"})
		}
		refused("wrong password", records.Import{File: records.Bytes(whole), Password: "wrong"})
		refused("no password", records.Import{File: records.Bytes(whole)})
		for how, text := range map[string]string{
			"empty": "", "one line": "serial,seed\n", "no seed": "serial,digits\n1,6\n", "two seeds": "serial,seed,Seed\n1,2,3\n",
			"more fields": "serial,seed\n1,2\n1,2,3\n", "a quote": "serial,seed\n1,\"2\n", "not UTF-8": "serial,seed\n1,\xff\n",
		} {
			refused("CSV: "+how, records.Import{Format: records.CSV, File: records.Bytes([]byte(text))})
		}
	})
}

func jobsOf(t *testing.T, r *records.Registry) int {
	t.Helper()
	all, err := r.Jobs.List(t.Context(), job.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestImportCSV(t *testing.T) {
	r, db, keys := open(t, t.TempDir()+"/test.db")
	one, two := make([]byte, 16), make([]byte, 16)
	one[0], two[0] = 1, 2
	text := "\ufeffSN;Key;Type;Until;Note;From\r\n" +
		"501;" + hex.EncodeToString(one) + ";PINPAD;2031-05-06;\"a;b\";\r\n" +
		"000000000502;" + strings.ToLower(base32.StdEncoding.EncodeToString(two)) + ";none;2031/05/06;;\r\n" +
		"503;zz;fob;2031-05-06;;\r\n" + "504;" + hex.EncodeToString(one) + ";smartcard;2031-05-06;;\r\n" +
		"x;" + hex.EncodeToString(one) + ";fob;2031-05-06;;\r\n" + "501;" + hex.EncodeToString(two) + ";fob;2031-05-06;;\r\n" +
		"505;" + hex.EncodeToString(append([]byte{5}, make([]byte, 15)...)) + ";fob;31.12.2031;;\r\n" +
		"506;" + hex.EncodeToString(append([]byte{6}, make([]byte, 15)...)) + ";fob;;;9999-01-01\r\n"
	mapping := map[string]string{"serial": "sn", "seed": "Key", "pin_type": "Type", "expiry": "Until", "birth": "From", "digits": "=6", "interval": "=30"}
	j, rows := imported(t, r, records.Import{Format: records.CSV, File: records.Bytes([]byte(text)), Mapping: mapping})
	if j.Done != 2 || j.Failed != 6 || j.State != job.DoneWithErrors {
		t.Fatalf("%+v %+v", j, rows)
	}
	for i, want := range []string{"", "", "seed is not 16 bytes", "pin_type", "serial is not", "already, in line 2", "expiry is not a day", "last valid day"} {
		if !strings.Contains(rows[i].Message, want) || (want != "") != (rows[i].Code == fault.ImportRecord) {
			t.Errorf("row %d: %s %q, want %q", i, rows[i].Code, rows[i].Message, want)
		}
	}
	all := everything(t, db, keys)
	if !slices.Equal(slices.Sorted(maps.Keys(all)), []string{"000000000501", "000000000502"}) {
		t.Errorf("imported %v", all)
	}
	want := token.Settings{Digits: 6, Interval: 30, PINType: device.NoPIN}
	if tok := all["000000000502"]; tok.Current.Settings != want || tok.Expiry.Format(time.DateOnly) != "2031-05-06" {
		t.Errorf("imported %+v", tok)
	}
	s, err := keys.OpenSeed(t.Context(), all["000000000502"].Current.Sealed, "000000000502", 1)
	if err != nil || s.Reveal()[0] != 2 {
		t.Error("another seed than that of the file")
	}
}

// A record that cannot be used keeps no later one of its serial out, and whoever looks for a repeated one is told where the first is.
func TestImportCSVRepeats(t *testing.T) {
	r, db, keys := open(t, t.TempDir()+"/test.db")
	row := func(serial string, first byte) string {
		return serial + "," + hex.EncodeToString(append([]byte{first}, make([]byte, 15)...)) + "\n"
	}
	text := "serial,seed\n" + "7,zz\n" + row("7", 1) + row("8", 2) + row("007", 3) + row("7", 4)
	j, rows := imported(t, r, records.Import{Format: records.CSV, File: records.Bytes([]byte(text))})
	if j.Done != 2 || j.Failed != 3 {
		t.Fatalf("%+v %+v", j, rows)
	}
	for i, want := range []string{"seed is not 16 bytes", "", "", "in the file already, in line 3", "in the file already, in line 3"} {
		if !strings.Contains(rows[i].Message, want) || (want == "") != (rows[i].Code == "") {
			t.Errorf("row %d: %s %q, want %q", i, rows[i].Code, rows[i].Message, want)
		}
	}
	s, err := keys.OpenSeed(t.Context(), everything(t, db, keys)["000000000007"].Current.Sealed, "000000000007", 1)
	if err != nil || s.Reveal()[0] != 1 {
		t.Error("another seed than that of the first record that can be used")
	}
}

// The type comes with the record, or with the import for those that do not say it, and an import that overwrites changes it.
func TestImportSaysTheType(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		types := func(want map[string]string) {
			t.Helper()
			got := map[string]string{}
			for serial, tok := range everything(t, db, keys) {
				got[serial] = tok.Type()
			}
			if !maps.Equal(got, want) {
				t.Errorf("types %v, want %v", got, want)
			}
		}
		row := func(n byte, kind string) string {
			return fmt.Sprintf("%d,%s,%s\n", n, hex.EncodeToString(append([]byte{n}, make([]byte, 15)...)), kind)
		}
		text := "serial,seed,token_type\n" + row(1, "") + row(2, "Software") + row(3, "hardware") + row(4, "smartcard")
		_, rows := imported(t, r, records.Import{Format: records.CSV, File: records.Bytes([]byte(text)), Hardware: new(true)})
		if rows[3].Code != fault.ImportRecord || !strings.Contains(rows[3].Message, "neither software nor hardware") {
			t.Errorf("another type: %+v", rows[3])
		}
		types(map[string]string{"000000000001": "hardware", "000000000002": "software", "000000000003": "hardware"})
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000005", 5))), Hardware: new(true)})
		// Where nobody says what they are, tokens that are here stay what they are.
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000003", 6))), Duplicates: records.Overwrite})
		// A wrong type is put right: what was taken from a user as if it were an app is usable again.
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000007", 7)))})
		tokens := &token.Registry{Store: db, Now: r.Now}
		if _, err := (&user.Registry{Store: db, Now: r.Now}).Add(t.Context(), user.User{ID: "alice"}); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Assign(t.Context(), "000000000007", "alice"); err != nil {
			t.Fatal(err)
		}
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000007", 7))), Duplicates: records.Overwrite, Hardware: new(true)})
		if tok := everything(t, db, keys)["000000000007"]; tok.Tainted || !tok.Hardware {
			t.Errorf("after its type was put right: %+v", tok)
		}
		if err := tokens.Delete(t.Context(), "000000000007"); err != nil {
			t.Fatal(err)
		}
		types(map[string]string{"000000000001": "hardware", "000000000002": "software", "000000000003": "hardware", "000000000005": "hardware"})
	})
}

// Invariant 1: no two records ever hold equal seeds, whichever way they came.
func TestInvariant01SeedsAreUnique(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		made, err := r.Create(t.Context(), 20, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := r.StartCreate(t.Context(), 2500, time.Time{}, time.Time{}, "", false)
		if err == nil {
			err = r.Jobs.RunAll(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000601", 1), record("000000000602", 2)))})
		// The seed of a token that was made here comes back in a file, under its own serial and under another one.
		first, err := db.Token(t.Context(), made[0])
		if err != nil {
			t.Fatal(err)
		}
		s, err := keys.OpenSeed(t.Context(), first.Current.Sealed, first.Serial, 1)
		if err != nil {
			t.Fatal(err)
		}
		own, other := record(made[0], 0), record("000000000603", 0)
		own.Seed, other.Seed = s.Reveal(), s.Reveal()
		_, rows := imported(t, r, records.Import{File: records.Bytes(batch(t, "", own)), Duplicates: records.Overwrite})
		if rows[0].State != job.ItemDone {
			t.Errorf("its own seed: %+v", rows[0])
		}
		if _, rows = imported(t, r, records.Import{File: records.Bytes(batch(t, "", other)), Duplicates: records.Overwrite}); rows[0].Code != fault.SeedInUse {
			t.Errorf("the seed of another: %+v", rows[0])
		}
		// A seed that was destroyed does not come back either.
		if err := db.DeleteToken(t.Context(), "000000000601"); err != nil {
			t.Fatal(err)
		}
		if _, rows = imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000604", 1)))}); rows[0].Code != fault.SeedInUse {
			t.Errorf("a destroyed seed: %+v", rows[0])
		}
		seeds := map[string]string{}
		for serial, tok := range everything(t, db, keys) {
			s, err := keys.OpenSeed(t.Context(), tok.Current.Sealed, serial, tok.Current.Number)
			if err != nil {
				t.Fatal(err)
			}
			if twin, twice := seeds[string(s.Reveal())]; twice {
				t.Errorf("%s and %s have one seed", serial, twin)
			}
			seeds[string(s.Reveal())] = serial
		}
		if len(seeds) != 20+2500+1 {
			t.Errorf("%d seeds", len(seeds))
		}
		if j, err = r.Jobs.Show(t.Context(), j.ID); err != nil || j.State != job.Done || j.Done != 2500 {
			t.Errorf("%+v, %v", j, err)
		}
	})
}

// A job that is cancelled keeps what it has done; resumed, it takes in the rest, and nothing twice.
func TestImportIsCancelled(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		var all []sdtid.Token
		for i := range 1200 {
			x := record(fmt.Sprintf("%012d", 700_000+i), 0)
			copy(x.Seed, fmt.Sprintf("%016d", i))
			all = append(all, x)
		}
		j, err := r.StartImport(t.Context(), records.Import{File: records.Bytes(batch(t, "", all...))})
		if err != nil {
			t.Fatal(err)
		}
		chunks := 0
		worker := r.ImportWorker()
		do := worker.Do
		worker.Do = func(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
			if chunks++; chunks == 2 {
				return nil, fault.New(fault.Unavailable, "cut short")
			}
			return do(ctx, c)
		}
		r.Jobs.Register(worker)
		if err := r.Jobs.RunAll(t.Context()); !errors.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		if j, err = r.Jobs.Cancel(t.Context(), j.ID); err != nil || j.Done != 500 || len(everything(t, db, keys)) != 500 {
			t.Fatalf("%+v, %v", j, err)
		}
		if err := r.Jobs.RunAll(t.Context()); err != nil || len(everything(t, db, keys)) != 500 {
			t.Errorf("it went on: %v", err)
		}
		if _, err = r.Jobs.Resume(t.Context(), j.ID, false); err == nil {
			err = r.Jobs.RunAll(t.Context())
		}
		if j, _ = r.Jobs.Show(t.Context(), j.ID); err != nil || j.State != job.Done || len(everything(t, db, keys)) != 1200 {
			t.Errorf("%+v, %v", j, err)
		}
	})
}

// What a key of a security domain imports is placed there, and what is elsewhere is left alone.
func TestImportIntoADomain(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, keys *seed.Keyring) {
		domains := &domain.Registry{Store: db, Now: r.Now}
		r.Jobs.Domains = domains
		if _, err := domains.Add(t.Context(), "lyon", domain.Root, ""); err != nil {
			t.Fatal(err)
		}
		imported(t, r, records.Import{File: records.Bytes(batch(t, "", record("000000000901", 1)))})
		ctx, err := domains.Narrow(t.Context(), "lyon")
		if err != nil {
			t.Fatal(err)
		}
		j, err := r.StartImport(ctx, records.Import{File: records.Bytes(batch(t, "", record("000000000901", 9), record("000000000902", 2))), Duplicates: records.Overwrite, Name: "lyon"})
		if err == nil {
			_, err = r.StartCreate(ctx, 1, time.Time{}, time.Time{}, "made in lyon", false)
		}
		if err == nil {
			err = r.Jobs.RunAll(t.Context()) // the server does them, itself limited to nothing
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, err := r.Jobs.Items(t.Context(), j.ID, job.ItemFilter{Limit: 10})
		if err != nil || rows[0].Code != fault.OutOfScope || rows[0].State != job.ItemDone || rows[1].State != job.ItemDone {
			t.Errorf("%+v, %v", rows, err)
		}
		where := map[string]int{}
		for _, tok := range everything(t, db, keys) {
			where[tok.Domain]++
		}
		if where[domain.Root] != 1 || where["lyon"] != 2 {
			t.Errorf("placed %v", where)
		}
	})
}

// Jobs that a release started which kept their domain among the parameters, and not with the job, go on there after an upgrade.
func TestJobsOfEarlierReleasesKeepTheirDomain(t *testing.T) {
	each(t, func(t *testing.T, r *records.Registry, db *store.DB, _ *seed.Keyring) {
		ctx := t.Context()
		if _, err := r.Jobs.Domains.(*domain.Registry).Add(ctx, "lyon", domain.Root, ""); err != nil {
			t.Fatal(err)
		}
		elsewhere, err := r.Create(ctx, 1, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		of := func(serials ...string) iter.Seq2[job.NewItem, error] {
			return func(yield func(job.NewItem, error) bool) {
				for n, s := range serials {
					seedOf := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(n)}, 16))
					record := fmt.Sprintf(`{"seed":%q,"expiry":"2030-01-01T00:00:00Z","digits":8,"interval":60,"pin_type":"pinpad"}`, seedOf)
					if !yield(job.NewItem{Key: s, Input: []byte(record)}, nil) {
						return
					}
				}
			}
		}
		for _, o := range []job.Order{
			{Kind: "create", Parameters: []byte(`{"Birth":"2026-11-24T00:00:00Z","Expiry":"2030-01-01T00:00:00Z","Domain":"lyon"}`), Items: job.Keys([]string{"000000000801"})},
			{Kind: "import", Parameters: []byte(`{"duplicates":"overwrite","domain":"lyon"}`), Items: of("000000000802", elsewhere[0])},
		} {
			if _, err := r.Jobs.Start(ctx, o); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Jobs.RunAll(ctx); err != nil {
			t.Fatal(err)
		}
		for serial, want := range map[string]string{"000000000801": "lyon", "000000000802": "lyon", elsewhere[0]: domain.Root} {
			got, err := db.Token(ctx, serial)
			if err != nil || got.Domain != want || serial == elsewhere[0] && got.Origin != token.Generated {
				t.Errorf("token %s: in %q, %s, %v", serial, got.Domain, got.Origin, err)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
