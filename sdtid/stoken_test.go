package sdtid

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/peertest"
)

// These tests run the program stoken, which nobody here wrote: it reads every
// kind of file that we write, and we read every kind that it writes.

// stoken runs the program away from the user's own token database.
func stoken(t *testing.T, args ...string) string {
	t.Helper()
	out, err := peertest.Stoken(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "token.sdtid")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shown is what "stoken show --seed" says about a file.
func shown(t *testing.T, path, password string) string {
	t.Helper()
	out, err := tryShown(t, path, password)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryShown is shown where stoken may refuse the file.
func tryShown(t *testing.T, path, password string) (string, error) {
	t.Helper()
	args := []string{"show", "--seed", "--batch", "--file=" + path}
	if password != "" {
		args = append(args, "--password="+password)
	}
	all, err := peertest.Stoken(t, args...)
	var out []string
	for _, line := range strings.Split(all, "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "Serial number", "Decrypted seed", "Expiration date", "Tokencode digits", "PIN mode", "Seconds per tokencode":
			out = append(out, strings.ReplaceAll(strings.TrimSpace(value), " ", ""))
		}
	}
	return strings.Join(out, " "), err
}

// showing is what stoken should say about a token. It shows the day after the
// last valid one, and not later than 2038-01-19.
func showing(t Token) string {
	end := t.Expiry.AddDate(0, 0, 1)
	if limit := time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC); end.After(limit) {
		end = limit
	}
	pinMode := 0
	if t.AddPIN {
		pinMode = 2
	}
	if t.LocalPIN {
		pinMode++
	}
	return fmt.Sprintf("%s %x %s %d %d %d", t.Serial, t.Seed, date(end), t.Digits, pinMode, t.Interval)
}

// leftOut says which cases -short leaves out, of those that run stoken several times each.
func leftOut(n int) bool { return testing.Short() && n%5 != 0 }

// stoken imports what we write, of every kind, and shows the codes that it
// showed for the same seed when the vectors were made.
func TestStokenReads(t *testing.T) {
	kinds := []struct {
		name string
		edit func(*Batch)
	}{
		{"plain", func(*Batch) {}},
		{"password", func(b *Batch) { b.Password = "Pässwört <&>" }},
		{"longest password", func(b *Batch) { b.Password = "0123456789abcdef0123456789ABCDEF" }},
		{"bound", func(b *Batch) { b.Tokens[0].DeviceSerialNumber = "a01c4380-fc01-4df0-b113-7fb98ec74694" }},
		{"nickname", func(b *Batch) { b.Tokens[0].Nickname = "Work & <travel>" }},
		{"user", func(b *Batch) {
			b.Tokens[0].FirstName, b.Tokens[0].LastName, b.Tokens[0].Login = " Jürgen\r\n", "漢字 \"O'Neil\"\t", "]]>🔑"
		}},
		{"header", func(b *Batch) {
			b.Origin, b.Dest, b.Name = "Übermittler <&> AG", "an exactly 32 bytes long name !!", "sixteen bytes ok"
		}},
		{"all", func(b *Batch) {
			b.Origin, b.Dest, b.Name, b.Password = "Example Corp", "Zürich", "Batch 7", "correct horse"
			b.Tokens[0].DeviceSerialNumber, b.Tokens[0].Nickname, b.Tokens[0].Login = "35278801234567", "Alice", "alice"
		}},
	}
	for n, v := range vectors(t) {
		if leftOut(n) {
			continue
		}
		kind := kinds[n%len(kinds)]
		t.Run(v.ID+" "+kind.name, func(t *testing.T) {
			tokens, err := parse(t, []byte(v.XML)).Open(v.Password)
			if err != nil {
				t.Fatal(err)
			}
			for i, token := range tokens {
				b := Batch{Tokens: []Token{token}}
				kind.edit(&b)
				path := write(t, encode(t, b))
				if got, want := shown(t, path, b.Password), showing(token); got != want {
					t.Errorf("stoken shows %s, want %s", got, want)
				}
				rc := "--rcfile=" + filepath.Join(t.TempDir(), "rc")
				stoken(t, "import", "--file="+path, rc, "--password="+b.Password, "--new-password=", "--batch", "--force")
				for _, code := range v.Tokens[i].Codes {
					got := stoken(t, "tokencode", rc, "--batch", "--force",
						"--use-time="+strconv.FormatInt(code.Time, 10), "--pin="+cmp.Or(code.PIN, "0000"))
					if strings.TrimSpace(got) != code.Output {
						t.Errorf("at %d: %s, want %s", code.Time, got, code.Output)
					}
				}
			}
		})
	}
}

// Tokens that override the header with every combination of settings, some of
// them with lines that are pulled back: stoken reads each after splitting.
func TestStokenReadsOverrides(t *testing.T) {
	b := Batch{Password: "secret"}
	for n := range 32 {
		token := sample()
		token.Serial, token.Login = fmt.Sprintf("%012d", n), strings.Repeat("x", n)
		token.Digits, token.Interval = 8-n&1*2, 60-n>>1&1*30
		token.AddPIN, token.LocalPIN = n&4 == 0, n&8 != 0
		token.Expiry = token.Expiry.AddDate(0, 0, n&16)
		b.Tokens = append(b.Tokens, token)
	}
	i := 0
	for _, single := range parse(t, encode(t, b)).Split() {
		if !leftOut(i) {
			if got, want := shown(t, write(t, single), b.Password), showing(b.Tokens[i]); got != want {
				t.Errorf("stoken shows %s, want %s", got, want)
			}
		}
		i++
	}
	if i != len(b.Tokens) {
		t.Errorf("%d files of %d tokens", i, len(b.Tokens))
	}
}

// stoken computes the same MACs as we do over elements that no program writes:
// short names and values, which are pulled back, empty ones, containers, and
// names that look like a MAC's.
func TestStokenAgreesOnMACs(t *testing.T) {
	token := sample()
	b := Batch{Origin: unknown, Dest: unknown, Name: unknown, Tokens: []Token{token}}
	keys := batch{origin: unknown, dest: unknown, name: unknown}
	key := keys.key(keys.origin)
	name := rapid.SampledFrom([]string{"a", "bc", "def", "Alg", "Mode", "AddPIN", "MAC", "aMAC", "OldMAC", "Precision", "TokenAttribute"})
	value := rapid.SampledFrom([]string{"", "0", "1", "01", "0x1", "001", "0x0001", "00000000001"})
	extra := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) element {
		e := leaf(name.Draw(t, "name"), value.Draw(t, "value"))
		if !rapid.Bool().Draw(t, "container") {
			return e
		}
		return element{name: "Box", children: []element{e, leaf(name.Draw(t, "name"), value.Draw(t, "value"))}}
	}), 0, 12)
	// An empty or changed number has a meaning of its own: here the first one
	// of each name, which counts, is a plain one.
	plain := []element{leaf("Alg", "1"), leaf("Mode", "0"), leaf("AddPIN", "1")}
	path := filepath.Join(t.TempDir(), "token.sdtid")
	rapid.Check(t, func(rt *rapid.T) {
		header, body := b.header(keys.secret), token.element(key, plain)
		header.children = append(header.children, extra.Draw(rt, "header")...)
		body.children = append(body.children, extra.Draw(rt, "token")...)
		if err := errors.Join(
			seal(&header, "TKNHeader", "HeaderMAC", func(text []byte) block { return headerMAC(key, unknown, text) }),
			seal(&body, "TKN", "TokenMAC", func(text []byte) block { return tokenMAC(key, token.Serial, text) }),
		); err != nil {
			rt.Fatal(err)
		}
		if err := os.WriteFile(path, render(header, []element{body}, trailerElement(blank, blank)), 0o600); err != nil {
			rt.Fatal(err)
		}
		if got, want := shown(t, path, ""), showing(token); got != want {
			rt.Errorf("stoken shows %s, want %s", got, want)
		}
	})
}

const template = `<?xml version="1.0"?>
<TKNBatch>
  <TKNHeader>
    <Origin>Example &lt;Corp&gt;</Origin><Dest>Z&#xFC;rich</Dest><Name>Batch 7</Name><DefBirth>2026/01/01</DefBirth>
  </TKNHeader>
  <TKN>
    <SN>000123456789</SN>
    <UserFirstName>J&#xFC;rgen</UserFirstName><UserLastName></UserLastName><UserLogin> 漢 </UserLogin>
    <Death>2031/12/31</Death><Digits>6</Digits><Interval>30</Interval><Alg>1</Alg><Mode>1</Mode><AddPIN>0</AddPIN><LocalPIN>1</LocalPIN>
    <TokenAttributes><Nickname>My token</Nickname></TokenAttributes>
  </TKN>
</TKNBatch>
`

// We read what stoken issues and exports, with the seed that it says is in it.
func TestStokenWrites(t *testing.T) {
	plain := write(t, []byte(stoken(t, "issue")))
	templ := write(t, []byte(template))
	for _, from := range []string{"issue", "export"} {
		for _, templated := range []bool{false, true} {
			for _, password := range []string{"", "secret", " Pässwört "} {
				for _, device := range []string{"", "a01c4380-fc01-4df0-b113-7fb98ec74694"} {
					args := []string{from}
					if from == "export" {
						args = append(args, "--sdtid", "--file="+plain, "--batch")
					}
					if templated {
						args = append(args, "--template="+templ)
					}
					if password != "" {
						args = append(args, "--new-password="+password)
					}
					if device != "" {
						args = append(args, "--new-devid="+device)
					}
					t.Run(fmt.Sprintf("%s template=%v password=%q device=%v", from, templated, password, device != ""), func(t *testing.T) {
						data := stoken(t, args...)
						f := parse(t, []byte(data))
						if f.Locked() != (password != "") {
							t.Errorf("locked: %v", f.Locked())
						}
						tokens, err := f.Open(password)
						if err != nil {
							t.Fatalf("%v\n%s", err, data)
						}
						token := tokens[0]
						if got, want := showing(token), shown(t, write(t, []byte(data)), password); got != want {
							t.Errorf("read %s, stoken shows %s", got, want)
						}
						if token.DeviceSerialNumber != device {
							t.Errorf("bound to %q", token.DeviceSerialNumber)
						}
						if templated {
							token.Seed, token.DeviceSerialNumber = nil, ""
							want := Token{
								Serial: "000123456789", Birth: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Expiry: time.Date(2031, 12, 31, 0, 0, 0, 0, time.UTC),
								Digits: 6, Interval: 30, LocalPIN: true, Mode: true, TimeDerived: true,
								Nickname: "My token", FirstName: "Jürgen", Login: " 漢 ",
							}
							if fmt.Sprint(show([]Token{token})) != fmt.Sprint(show([]Token{want})) || !token.Mode || f.Origin() != "Example <Corp>" {
								t.Errorf("read %s of %q, want %s", show([]Token{token}), f.Origin(), show([]Token{want}))
							}
						}
					})
				}
			}
		}
	}
}

// stoken reads fields that are written oddly as we do, or refuses them as we do.
func TestStokenAgreesOnOddFields(t *testing.T) {
	integers := []string{"0x8", "0X8", "010", " 8", "\t8", "8 ", "+8", "-1", "0", "1", "9", "06", "08", "0b1", "1_0", "1e1", "8x", "45", "074", "0x3c", ""}
	for name, texts := range map[string][]string{
		"Digits": integers, "Interval": integers, "AddPIN": integers, "LocalPIN": integers, "Mode": integers,
		"Death": {
			"2035/1/2", " 2035/1/2", "2035/ 1/2", "+2035/1/2", "2035/1/2 noon", "2035/13/45", "2035/00/10", "2035/02/30", "35/1/1", "1999/12/31",
			"1970/01/01", "2000/01/01", "2000/01/02", "2179/06/06", "2179/06/07", "9999/12/31", "2035-01-02", "2035/1", "",
		},
		"SN": {"1", "0000", "12345678", "123456789012", "1234567890123"},
	} {
		for n, text := range texts {
			if leftOut(n) {
				continue
			}
			fields := map[string]string{"SN": "000123456789", "Death": "2035/01/01", name: text}
			var skeleton strings.Builder
			for name, text := range fields {
				fmt.Fprintf(&skeleton, "<%s>%s</%[1]s>", name, text)
			}
			data := stoken(t, "issue", "--template="+write(t, []byte(`<?xml version="1.0"?><TKNBatch><TKN>`+skeleton.String()+`</TKN></TKNBatch>`)))
			want, refusal := tryShown(t, write(t, []byte(data)), "")
			f, err := Parse([]byte(data))
			if (err == nil) != (refusal == nil) {
				t.Errorf("%s %q: %v, and stoken: %v", name, text, err, refusal)
			}
			if err != nil || refusal != nil {
				continue
			}
			tokens, err := f.Open("")
			if err != nil {
				t.Errorf("%s %q: %v", name, text, err)
			} else if got := showing(tokens[0]); got != want {
				t.Errorf("%s %q reads as %s, and stoken shows %s", name, text, got, want)
			}
		}
	}
}
