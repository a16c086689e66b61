package tokenapp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"pgregory.net/rapid"
)

var now2026 = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// testApp is an app on an empty directory, locked with a key file, in 2026.
func testApp(t testing.TB) *App {
	dir := t.TempDir()
	return &App{
		Dir:  filepath.Join(dir, "store"),
		Keys: Keys{File: filepath.Join(dir, "key")},
		Now:  func() time.Time { return now2026 },
	}
}

func imported(t testing.TB, a *App, o ImportOptions, tokens ...Token) {
	t.Helper()
	if _, err := a.Import(tokens, o); err != nil {
		t.Fatal(err)
	}
}

// serials are those held, in order.
func serials(t testing.TB, a *App) []string {
	t.Helper()
	tokens, err := a.Tokens()
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, token := range tokens {
		s = append(s, token.Serial)
	}
	return s
}

func TestImportRules(t *testing.T) {
	const one, two, three = "000000000001", "000000000002", "000000000003"
	expired := newToken(three, 3)
	expired.Expiry = now2026.Truncate(24*time.Hour).AddDate(0, 0, -1)
	lastDay := newToken(three, 3)
	lastDay.Expiry = now2026.Truncate(24 * time.Hour)
	for _, c := range []struct {
		name   string
		tokens []Token
		o      ImportOptions
		want   fault.Code
	}{
		{"new", []Token{newToken(three, 3)}, ImportOptions{}, ""},
		{"on its last day", []Token{lastDay}, ImportOptions{}, ""},
		{"the day after", []Token{expired}, ImportOptions{}, fault.Expired},
		{"held, new seed", []Token{newToken(one, 9)}, ImportOptions{}, fault.DuplicateSerial},
		{"held, new seed, replace", []Token{newToken(one, 9)}, ImportOptions{Replace: true}, ""},
		{"held, same seed", []Token{newToken(one, 1)}, ImportOptions{}, fault.DuplicateSerial},
		{"held, same seed, replace", []Token{newToken(one, 1)}, ImportOptions{Replace: true}, fault.DuplicateSerial},
		{"seed of another serial", []Token{newToken(three, 1)}, ImportOptions{}, fault.DuplicateSerial},
		{"one of two is expired", []Token{newToken("000000000004", 4), expired}, ImportOptions{}, fault.Expired},
		{"two of one serial", []Token{newToken(three, 3), newToken(three, 4)}, ImportOptions{}, fault.DuplicateSerial},
		{"one too many", []Token{newToken(three, 3), newToken("000000000004", 4)}, ImportOptions{}, fault.StoreFull},
		{"nickname for two", []Token{newToken(three, 3), newToken("000000000004", 4)}, ImportOptions{Nickname: "x"}, fault.NicknameInvalid},
		{"nickname that is too long", []Token{newToken(three, 3)}, ImportOptions{Nickname: strings.Repeat("x", 25)}, fault.NicknameInvalid},
		{"nickname that a terminal obeys", []Token{newToken(three, 3)}, ImportOptions{Nickname: "\x1b[2J"}, fault.NicknameInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := testApp(t)
			a.Limit = 3
			imported(t, a, ImportOptions{}, newToken(one, 1), newToken(two, 2))
			before := serials(t, a)
			_, err := a.Import(c.tokens, c.o)
			if got := fault.CodeOf(err); got != c.want || (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if after := serials(t, a); c.want != "" && !slices.Equal(before, after) {
				t.Errorf("refused, yet %v became %v", before, after)
			}
		})
	}
}

// Invariant 5 (spec/software-token-lifecycle.md section 17): the same generation again is refused, whatever is asked for; a higher one may take its place.
func TestInvariant05TheSameGenerationIsRefused(t *testing.T) {
	a := testApp(t)
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	for _, o := range []ImportOptions{{}, {Replace: true}} {
		if _, err := a.Import([]Token{newToken("000000000001", 1)}, o); fault.CodeOf(err) != fault.DuplicateSerial || Replaceable(err) {
			t.Errorf("the same generation: %v", err)
		}
	}
	if _, err := a.Import([]Token{newToken("000000000001", 2)}, ImportOptions{}); !Replaceable(err) {
		t.Errorf("a new one: %v", err)
	}
	imported(t, a, ImportOptions{Replace: true}, newToken("000000000001", 2))
}

func TestDuplicateSaysWhatToDo(t *testing.T) {
	a := testApp(t)
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	_, err := a.Import([]Token{newToken("000000000001", 2)}, ImportOptions{})
	if err == nil || !strings.Contains(err.Error(), "delete it first") || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("got %v", err)
	}
	if !Replaceable(err) {
		t.Error("Replace would help here")
	}
}

func TestReplaceKeepsNicknameAndPlace(t *testing.T) {
	a := testApp(t)
	middle := newToken("000000000002", 2)
	middle.Nickname = "from the file"
	imported(t, a, ImportOptions{}, newToken("000000000001", 1), middle, newToken("000000000003", 3))
	if _, err := a.Rename("2", "mine"); err != nil {
		t.Fatal(err)
	}
	next := newToken("000000000002", 9)
	next.Nickname, next.Digits = "from the new file", 6
	imported(t, a, ImportOptions{Replace: true}, next)

	got, err := a.Find("mine")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Seed.Equal(next.Seed) || got.Digits != 6 {
		t.Error("seed and settings are not the new ones")
	}
	if order := serials(t, a); order[1] != got.Serial {
		t.Errorf("the order is %v", order)
	}
}

func TestFind(t *testing.T) {
	a := testApp(t)
	one, two, three := newToken("000000000001", 1), newToken("000000000002", 2), newToken("000000000003", 3)
	one.Nickname, two.Nickname, three.Nickname = "VPN", "twin", "twin"
	imported(t, a, ImportOptions{}, one)
	imported(t, a, ImportOptions{}, two)
	imported(t, a, ImportOptions{}, three)
	for name, want := range map[string]string{"000000000001": one.Serial, "1": one.Serial, "vpn": one.Serial, "3": three.Serial} {
		if got, err := a.Find(name); err != nil || got.Serial != want {
			t.Errorf("Find(%q) = %s, %v", name, got.Serial, err)
		}
	}
	for _, name := range []string{"", "twin", "4", "nobody"} {
		if _, err := a.Find(name); !errors.Is(err, fault.UnknownToken) {
			t.Errorf("Find(%q): %v", name, err)
		}
	}
}

// A token string in the place of a name, which is a seed, is not told to whoever reads the error.
// removed deletes what a name means.
func removed(a *App, name string) (Token, error) {
	t, _, err := a.Meant(name)
	if err == nil {
		err = a.Delete(t)
	}
	return t, err
}

func TestWhatMayBeASeedIsNotRepeated(t *testing.T) {
	a := testApp(t)
	for _, source := range []string{
		"200012345678973042071776752216050450744647071253341607664172162620001302716715614",
		"20001-23456-78973-04207-17767-52216",
		"com.rsa.securid://ctf?ctfData=2000",
	} {
		_, found := a.Find(source)
		_, renamed := a.Rename(source, "name")
		_, deleted := removed(a, source)
		for _, err := range []error{found, renamed, deleted} {
			if !errors.Is(err, fault.UnknownToken) || strings.Contains(err.Error(), "2000") || !strings.Contains(err.Error(), "--from") {
				t.Errorf("%s: %v", source, err)
			}
		}
	}
}

func TestNothingIsMadeByLooking(t *testing.T) {
	a := testApp(t)
	if tokens, err := a.Tokens(); err != nil || len(tokens) != 0 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	if _, err := a.Find("1"); !errors.Is(err, fault.UnknownToken) {
		t.Error(err)
	}
	if _, err := os.Stat(a.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a directory was made")
	}
}

func TestResetDropsEverything(t *testing.T) {
	a := testApp(t)
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	before, err := a.DeviceID()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.DeviceID(); err != nil || again != before {
		t.Errorf("the device ID became %s, %v", again, err)
	}
	locked := App{Dir: a.Dir} // has no key: a forgotten passphrase must not prevent a reset
	if err := locked.Reset(); err != nil {
		t.Fatal(err)
	}
	if s := serials(t, a); len(s) != 0 {
		t.Errorf("%v is still there", s)
	}
	after, err := a.DeviceID()
	if err != nil || after == before {
		t.Errorf("the device ID is %s as before, %v", after, err)
	}
	if groups := strings.Split(after, "-"); len(groups) != 6 || len(after) != 29 {
		t.Errorf("device ID %s", after)
	}
}

// Many processes at once lose nothing: each App stands for one of them.
func TestConcurrentImports(t *testing.T) {
	a := testApp(t)
	const apps = 20
	var all sync.WaitGroup
	ids := make([]string, apps)
	for i := range apps {
		all.Go(func() {
			own := &App{Dir: a.Dir, Keys: a.Keys, Now: a.Now}
			if _, err := own.Import([]Token{newToken(fmt.Sprintf("%012d", i), byte(i))}, ImportOptions{}); err != nil {
				t.Error(err)
			}
			var err error
			if ids[i], err = own.DeviceID(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(serials(t, a)); got != apps {
		t.Errorf("%d of %d imports are there", got, apps)
	}
	if slices.Sort(ids); ids[0] != ids[apps-1] {
		t.Error("there is more than one device ID")
	}
}

// Whatever is done, the database holds what a plain list would.
func TestAppAgreesWithList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		a := &App{Dir: dir, Keys: Keys{File: filepath.Join(dir, "key")}, Now: func() time.Time { return now2026 }}
		var want []string
		octet := byte(0)
		serial := rapid.Map(rapid.IntRange(0, 5), func(i int) string { return fmt.Sprintf("%012d", i) })
		rt.Repeat(map[string]func(*rapid.T){
			"import": func(rt *rapid.T) {
				s, replace := serial.Draw(rt, "serial"), rapid.Bool().Draw(rt, "replace")
				octet++
				_, err := a.Import([]Token{newToken(s, octet)}, ImportOptions{Replace: replace})
				held := slices.Contains(want, s)
				if (err == nil) != (!held || replace) {
					rt.Fatalf("importing %s, held: %v, replace: %v: %v", s, held, replace, err)
				}
				if !held {
					want = append(want, s)
				}
			},
			"delete": func(rt *rapid.T) {
				s := serial.Draw(rt, "serial")
				i := slices.Index(want, s)
				if _, err := removed(a, s); (err == nil) != (i >= 0) {
					rt.Fatalf("deleting %s: %v", s, err)
				}
				if i >= 0 {
					want = slices.Delete(want, i, i+1)
				}
			},
			"move": func(rt *rapid.T) {
				s, places := serial.Draw(rt, "serial"), rapid.IntRange(-7, 7).Draw(rt, "places")
				i := slices.Index(want, s)
				if err := a.Move(s, places); (err == nil) != (i >= 0) {
					rt.Fatalf("moving %s: %v", s, err)
				}
				if i >= 0 {
					want = slices.Delete(want, i, i+1)
					want = slices.Insert(want, min(max(i+places, 0), len(want)), s)
				}
			},
			"": func(rt *rapid.T) {
				if got := serials(t, a); !slices.Equal(got, want) {
					rt.Fatalf("holds %v, want %v", got, want)
				}
			},
		})
	})
}
