package pin_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
)

func alphanumeric(p *policy.Token) { p.PINCharacters = policy.Alphanumeric }

func TestRules(t *testing.T) {
	mixed := func(p *policy.Token) { alphanumeric(p); p.PINMinLetters, p.PINMinDigits = 2, 1 }
	words := func(p *policy.Token) { alphanumeric(p); p.ExcludedWords = []string{"acme", "4711"} }
	long := func(p *policy.Token) { p.PINMin, p.PINMax = 8, 10 }
	for _, c := range []struct {
		name    string
		token   pin.Token
		change  func(*policy.Token)
		pin     string
		breaks  pin.Rule // "" if the PIN is good
		message string   // part of it
	}{
		{"good", fob, nil, "4810", "", ""},
		{"longest", fob, nil, "48105937", "", ""},
		{"empty", fob, nil, "", pin.Length, "4 to 8 digits"},
		{"short", fob, nil, "481", pin.Length, "4 to 8 digits"},
		{"long", fob, nil, "481059372", pin.Length, "4 to 8 digits"},
		{"one length", fob, func(p *policy.Token) { p.PINMax = 4 }, "48105", pin.Length, "takes 4 digits"},
		{"letter", fob, nil, "48a0", pin.Characters, "only digits"},
		{"other digits", fob, nil, "２３４５", pin.Characters, "only digits"},
		{"letter, alphanumeric", fob, alphanumeric, "48a0", "", ""},
		{"sign, alphanumeric", fob, alphanumeric, "48-0", pin.Characters, "letters and digits"},
		{"umlaut, alphanumeric", fob, alphanumeric, "48ä0", pin.Characters, "letters and digits"},
		{"enough of both", fob, mixed, "kx81", "", ""},
		{"few letters", fob, mixed, "k481", pin.Letters, "at least 2 letters"},
		{"few digits", fob, mixed, "kxqa", pin.Digits, "at least 1 digits"},
		{"letter, PINPad", pinpad, alphanumeric, "48a0", pin.Characters, "only digits"},
		{"no letters, PINPad", pinpad, mixed, "4810", "", ""},
		{"longer than the code, PINPad", pinpad, nil, "4810593", pin.Length, "4 to 6 digits"},
		{"policy longer than the code, PINPad", pinpad, long, "481059", "", ""},
		{"shorter than that, PINPad", pinpad, long, "48105", pin.Length, "takes 6 digits"},
		{"policy longer than the code, fob", fob, long, "4810593720", "", ""},
		{"no PIN", pin.Token{Serial: serial, Type: device.NoPIN, Digits: 8}, nil, "4810", pin.NoPIN, "takes no PIN"},
		{"word", fob, words, "xAcMe7", pin.Excluded, "a word"},
		{"number", fob, words, "947112", pin.Excluded, "a word"},
		{"half a word", fob, words, "acm831", "", ""},
		{"part of the user ID", pin.Token{Serial: "Alice.Kx81", Type: device.Fob}, alphanumeric, "aLIC", pin.Trivial, "user ID"},
		{"trivial", fob, nil, "1234", pin.Trivial, "easy to guess"},
		{"of the user ID, in other letters", pin.Token{Serial: "BackupRobot", Type: device.Fob}, alphanumeric, "proBOT", pin.Trivial, "easy to guess"},
		{"trivial, but that is allowed", fob, func(p *policy.Token) { p.RefuseTrivialPINs = false }, "1234", "", ""},
	} {
		_, err := rules(c.token, c.change).New(c.pin)
		if c.breaks == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if broken(t, err, c.breaks, c.pin); err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTrivialPINs(t *testing.T) {
	r := rules(pin.Token{Serial: "219584730617", Type: device.Fob, Digits: 8}, func(p *policy.Token) { alphanumeric(p); p.PINMax = 16 })
	for what, pins := range map[string]string{
		"sequence": "1234 9876 1357 9753 2468 7890 8901 3210 2109 87654321 9012 abcd dcba acegik",
		"repeat":   "1111 0000 1212 1221 1112 7788 123123 48104810 aaaa abab aabb aAaA",
		"runs":     "123321 111222 123456321 abc123 777888999",
		"keypad":   "2580 0852 1478 8741 3698 1397 9317 147258 963852 159357 1590 qwer Qwertz rewq asdf 1qaz2wsx",
		"serial":   "2195 0617 84730617 584730",
		"year":     "1900 1968 1999 2000 2025 2026",
	} {
		for p := range strings.FieldsSeq(pins) {
			_, err := r.New(p)
			if fault.CodeOf(err) == "" {
				t.Errorf("%s (%s) is taken", p, what)
				continue
			}
			broken(t, err, pin.Trivial, p)
		}
	}
	for p := range strings.FieldsSeq("4810 8093 5937 1899 2027 20260 01985 19680 7160 1245 1379 k8x2 tally 123457 5283961 112358") {
		if _, err := r.New(p); err != nil {
			t.Errorf("%s is not trivial: %v", p, err)
		}
	}
}

// Of the PINs that users can choose, trivial ones are few: the rules must not help those who guess.
func TestFewPINsAreTrivial(t *testing.T) {
	r, refused := rules(fob, nil), 0
	for n := range 10_000 {
		p := []byte{byte('0' + n/1000), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)}
		if _, err := r.New(string(p)); err != nil {
			refused++
		}
	}
	if refused < 100 || refused > 1200 {
		t.Errorf("%d of 10000 PINs of four digits are refused", refused)
	}
}

// Whatever the policy, a PIN that the system makes is one that a user could have chosen.
func TestGeneratedPINsObeyTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default().Token
		p.PINMin = rapid.IntRange(4, 16).Draw(t, "min")
		p.PINMax = rapid.IntRange(p.PINMin, 16).Draw(t, "max")
		p.PINCharacters = rapid.SampledFrom([]policy.Characters{policy.Digits, policy.Alphanumeric}).Draw(t, "characters")
		p.PINMinLetters = rapid.IntRange(0, p.PINMin).Draw(t, "letters")
		p.PINMinDigits = rapid.IntRange(0, p.PINMin-p.PINMinLetters).Draw(t, "digits")
		p.ExcludedWords = rapid.SliceOfN(rapid.StringMatching(`[0-9]{4}`), 0, 200).Draw(t, "words")
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		token := pin.Token{Serial: serial, Type: rapid.SampledFrom([]device.PINType{device.Fob, device.PINPad}).Draw(t, "type"), Digits: rapid.SampledFrom([]int{6, 8}).Draw(t, "code")}
		r := pin.Rules{Keys: key("k"), Token: token, Policy: p, Now: now}
		made, err := r.Generate()
		if err != nil {
			t.Fatal(err)
		}
		letters := p.PINMinLetters
		if !r.Alphanumeric() {
			letters = 0
		}
		for _, c := range made {
			if unicode.IsLetter(c) {
				letters--
			}
		}
		if letters != 0 {
			t.Fatalf("%q has not as many letters as the policy demands: %d are missing", made, letters)
		}
		hash, err := r.New(made)
		if err != nil {
			t.Fatal(err)
		}
		r.Past = r.Past.With(hash, p)
		if again, err := r.Generate(); err != nil || again == made {
			t.Fatalf("the next one: %v", err)
		}
	})
}

func TestGeneratedPINsDiffer(t *testing.T) {
	// Ten digits in six places, a thousand times: each digit is expected 600 times in all, with a deviation of 23.
	counts, seen := map[rune]int{}, map[string]bool{}
	for range 1000 {
		p, err := rules(fob, nil).Generate()
		if err != nil || len(p) != 6 {
			t.Fatalf("%d characters, %v", len(p), err)
		}
		seen[p] = true
		for _, c := range p {
			counts[c]++
		}
	}
	for c := '0'; c <= '9'; c++ {
		if counts[c] < 420 || counts[c] > 780 {
			t.Errorf("%c came %d times", c, counts[c])
		}
	}
	if len(seen) < 980 {
		t.Errorf("%d different PINs of 1000", len(seen))
	}
	if _, err := rules(pin.Token{Serial: serial, Type: device.NoPIN, Digits: 8}, nil).Generate(); !errors.Is(err, fault.PINInvalid) {
		t.Errorf("a PIN for a token that takes none: %v", err)
	}
}
