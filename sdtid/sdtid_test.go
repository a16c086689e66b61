package sdtid

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

// sample is a token as most are: PINPad, 8 digits, 60 seconds.
func sample() Token {
	return Token{
		Serial: "000123456789", Seed: []byte("0123456789abcdef"),
		Birth: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Expiry: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
		Digits: 8, Interval: 60, AddPIN: true, TimeDerived: true,
	}
}

func encode(t testing.TB, b Batch) []byte {
	t.Helper()
	data, err := Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Parse(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return f
}

// text draws what a person may type, and what XML makes difficult.
func text() *rapid.Generator[string] {
	difficult := rapid.SampledFrom([]rune{'\r', '\n', '\t', ' ', '<', '>', '&', '"', '\'', ']', 'ä', 'ß', '漢', '🔑', '\u00a0', '\ufffd'})
	return rapid.StringOfN(rapid.OneOf(difficult, rapid.RuneFrom(nil, rangeOf('!', '~'))), 0, 40, -1).
		Filter(func(s string) bool { return s == "" || trim(s) != "" })
}

func rangeOf(first, last rune) *unicode.RangeTable {
	return &unicode.RangeTable{R16: []unicode.Range16{{Lo: uint16(first), Hi: uint16(last), Stride: 1}}, LatinOffset: 1}
}

func dates(first, last int) *rapid.Generator[time.Time] {
	return rapid.Map(rapid.IntRange(first, last), func(n int) time.Time { return day0.AddDate(0, 0, n) })
}

func tokens(serial string) *rapid.Generator[Token] {
	return rapid.Custom(func(t *rapid.T) Token {
		return Token{
			Serial:             serial,
			Seed:               rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed"),
			Birth:              dates(0, 20000).Draw(t, "birth"),
			Expiry:             dates(1, lastDay).Draw(t, "expiry"),
			Digits:             rapid.SampledFrom([]int{6, 8}).Draw(t, "digits"),
			Interval:           rapid.SampledFrom([]int{30, 60}).Draw(t, "interval"),
			AddPIN:             rapid.Bool().Draw(t, "addPIN"),
			LocalPIN:           rapid.Bool().Draw(t, "localPIN"),
			TimeDerived:        true,
			DeviceSerialNumber: text().Draw(t, "device"),
			Nickname:           text().Draw(t, "nickname"),
			FirstName:          text().Draw(t, "first"),
			LastName:           text().Draw(t, "last"),
			Login:              text().Draw(t, "login"),
		}
	})
}

func batches() *rapid.Generator[Batch] {
	short := func(limit int) *rapid.Generator[string] {
		return rapid.StringOfN(rapid.RuneFrom([]rune{'ä', ' ', '<', '&', '漢'}, rangeOf('!', '~')), 0, -1, limit)
	}
	return rapid.Custom(func(t *rapid.T) Batch {
		b := Batch{
			Origin:   short(32).Draw(t, "origin"),
			Dest:     short(32).Draw(t, "dest"),
			Name:     short(16).Draw(t, "name"),
			Password: short(32).Draw(t, "password"),
		}
		serials := rapid.SliceOfNDistinct(rapid.StringMatching(`[0-9]{12}`), 1, 5, rapid.ID).Draw(t, "serials")
		for _, serial := range serials {
			b.Tokens = append(b.Tokens, tokens(serial).Draw(t, "token"))
		}
		return b
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := batches().Draw(t, "batch")
		data, err := Encode(b)
		if err != nil {
			if b.Password == orUnknown(b.Origin) {
				return
			}
			t.Fatal(err)
		}
		check := func(data []byte, want []Token) {
			f, err := Parse(data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if f.Locked() != (b.Password != "") {
				t.Fatalf("Locked() = %v, password %q", f.Locked(), b.Password)
			}
			if _, err := f.Open(""); f.Locked() && !errors.Is(err, ErrPasswordRequired) {
				t.Fatalf("open without password: %v", err)
			}
			if _, err := f.Open(b.Password + "x"); f.Locked() && len(b.Password) < 32 && !errors.Is(err, ErrWrongPassword) {
				t.Fatalf("open with a wrong password: %v", err)
			}
			got, err := f.Open(b.Password)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("\n%#v\nwant\n%#v", show(got), show(want))
			}
			for i := range want {
				want[i].Seed, got[i] = nil, f.Outline()[i]
				if !reflect.DeepEqual(got[i], want[i]) || f.Serials()[i] != want[i].Serial {
					t.Fatalf("outline %#v, want %#v", show(got[i:i+1]), show(want[i:i+1]))
				}
			}
		}
		i := 0
		for serial, single := range mustParse(t, data).Split() {
			if serial != b.Tokens[i].Serial {
				t.Fatalf("split: %s, want %s", serial, b.Tokens[i].Serial)
			}
			check(single, []Token{b.Tokens[i]})
			i++
		}
		if i != len(b.Tokens) {
			t.Fatalf("split into %d of %d tokens", i, len(b.Tokens))
		}
		check(data, b.Tokens)
	})
}

func mustParse(t *rapid.T, data []byte) *File {
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// show lets a failed test print what Token's own Format hides.
func show(tokens []Token) (shown []string) {
	for _, t := range tokens {
		shown = append(shown, fmt.Sprintf("%s %x %v %v %d %d %v %v %v %q %q %q %q %q", t.Serial, t.Seed, t.Birth, t.Expiry,
			t.Digits, t.Interval, t.AddPIN, t.LocalPIN, t.TimeDerived, t.DeviceSerialNumber, t.Nickname, t.FirstName, t.LastName, t.Login))
	}
	return shown
}

// The rules of section 6 one by one; TestStokenAgreesOnMACs has them at random.
func TestPullBack(t *testing.T) {
	e := element{name: "TKN", children: []element{
		leaf("SN", "997922447096"), leaf("Alg", "1"), leaf("Empty", ""), leaf("AddPIN", "1"), leaf("Digits", "8"),
		{name: "MAC"}, {name: "OldMAC", text: []byte("not covered")},
		{name: "Box", children: []element{leaf("BoxMAC", "not covered")}},
	}}
	got, err := canonical(nil, "TKN", &e)
	want := "TKN.SN 997922447096\n" + // 20 bytes, gap 4
		"TKN.Alg 1\n" // 10 bytes and gap 4 fit a block: over the last 4 of the line before
	want = want[:16] + "TKN.Alg 1\n" + "\x00\x00\x00\x00" + // at 16, now at 30, gap 14
		"TKN.Empty </Empty>\n" + strings.Repeat("\x00", 14) + // at 30, now at 63, gap 15
		"TKN.AddPIN 1\n" + strings.Repeat("\x00", 15) + // 13 and 15 do not fit; now at 91, gap 11
		"TKN.Digits 8\n" + strings.Repeat("\x00", 11) + // now at 115, gap 3
		"TKN.MAC </MAC>\n" + strings.Repeat("\x00", 3) // 3 letters are no MAC; empty is never pulled back
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want\n%q", got, err, want)
	}
}

// The same random bytes give the same file, so that tests and audits can
// compare files.
func TestEncodeIsStable(t *testing.T) {
	first := sample()
	first.DeviceSerialNumber, first.Nickname, first.Login = "a01c4380-fc01-4df0-b113-7fb98ec74694", "Work", "alice"
	second := sample()
	second.Serial, second.Digits, second.AddPIN, second.LastName = "000123456790", 6, false, "Ünal <&>\r"
	b := Batch{Origin: "Example Corp", Tokens: []Token{first, second}, Rand: strings.NewReader(strings.Repeat("R", 16))}
	got := encode(t, b)
	want, err := os.ReadFile("testdata/stable.sdtid")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s", got)
	}
}

func TestSignature(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	data := encode(t, Batch{Tokens: []Token{sample()}, Signer: key, Certificate: []byte("certificate in DER")})
	f := parse(t, data)
	digest := sha1.Sum(signedText(signedText(nil, "TKNHeader", &f.header), "TKN", &f.tokens[0].body))
	signature, err := base64.StdEncoding.DecodeString(between(data, "BatchSignature"))
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA1, digest[:], signature); err != nil {
		t.Error(err)
	}
	if got, want := between(data, "BatchCertificate"), base64.StdEncoding.EncodeToString([]byte("certificate in DER")); got != want {
		t.Errorf("certificate %q, want %q", got, want)
	}
}

// between returns the text of the first element of a name.
func between(data []byte, name string) string {
	_, after, _ := strings.Cut(string(data), "<"+name+">")
	text, _, _ := strings.Cut(after, "<")
	return text
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(*Batch){
		"no token":               func(b *Batch) { b.Tokens = nil },
		"serial twice":           func(b *Batch) { b.Tokens = append(b.Tokens, sample()) },
		"serial too short":       func(b *Batch) { b.Tokens[0].Serial = "12345678901" },
		"serial with a letter":   func(b *Batch) { b.Tokens[0].Serial = "12345678901a" },
		"short seed":             func(b *Batch) { b.Tokens[0].Seed = make([]byte, 15) },
		"no expiry":              func(b *Batch) { b.Tokens[0].Expiry = time.Time{} },
		"expiry on day 0":        func(b *Batch) { b.Tokens[0].Expiry = day0 },
		"expiry too late":        func(b *Batch) { b.Tokens[0].Expiry = day0.AddDate(0, 0, 1<<16) },
		"birth too late":         func(b *Batch) { b.Tokens[0].Birth = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"7 digits":               func(b *Batch) { b.Tokens[0].Digits = 7 },
		"45 seconds":             func(b *Batch) { b.Tokens[0].Interval = 45 },
		"control character":      func(b *Batch) { b.Tokens[0].Nickname = "a\x00" },
		"not UTF-8":              func(b *Batch) { b.Tokens[0].Login = "\xff" },
		"endless name":           func(b *Batch) { b.Tokens[0].LastName = strings.Repeat("x", maxSection) },
		"long password":          func(b *Batch) { b.Password = strings.Repeat("ä", 17) },
		"password with NUL":      func(b *Batch) { b.Password = "\x00" },
		"password that is open":  func(b *Batch) { b.Origin, b.Password = " Example Corp", "Example Corp" },
		"password that is N/A":   func(b *Batch) { b.Password = "N/A" },
		"long name":              func(b *Batch) { b.Name = strings.Repeat("x", 17) },
		"long origin":            func(b *Batch) { b.Origin = strings.Repeat("x", 33) },
		"long recipient":         func(b *Batch) { b.Dest = strings.Repeat("x", 33) },
		"signer without RSA key": func(b *Batch) { b.Signer = notRSA{} },
	} {
		b := Batch{Tokens: []Token{sample()}}
		change(&b)
		if data, err := Encode(b); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge) || data != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type notRSA struct{ crypto.Signer }

func (notRSA) Public() crypto.PublicKey { return nil }

func TestEncodeReportsItsSources(t *testing.T) {
	if _, err := Encode(Batch{Tokens: []Token{sample()}, Rand: strings.NewReader("short")}); err == nil {
		t.Error("wrote a file with half a secret")
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(Batch{Tokens: []Token{sample()}, Signer: broken{key}}); !errors.Is(err, errBroken) {
		t.Errorf("broken signer: %v", err)
	}
}

var errBroken = errors.New("the module is gone")

type broken struct{ crypto.Signer }

func (broken) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) { return nil, errBroken }

func TestZeroBirthIsTheFirstDay(t *testing.T) {
	token := sample()
	token.Birth = time.Time{}
	if got := parse(t, encode(t, Batch{Tokens: []Token{token}})).Outline()[0].Birth; !got.Equal(day0) {
		t.Errorf("birth %v", got)
	}
}

// Numbers and dates as C reads them; each checked against stoken.
func TestFields(t *testing.T) {
	expiry := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name, text string
		want       any // nil: the file is refused
	}{
		{"Digits", "6", 6}, {"Digits", "010", 8}, {"Digits", "0x8", 8}, {"Digits", " +0X7", 7}, {"Digits", "\n8", 8},
		{"Digits", "9", 1}, {"Digits", "0", 8}, {"Digits", "-2", 6}, {"Digits", "4294967302", 6},
		{"Digits", "", nil}, {"Digits", " ", nil}, {"Digits", "8 ", nil}, {"Digits", "08", nil}, {"Digits", "0x", nil},
		{"Digits", "0b11", nil}, {"Digits", "0o7", nil}, {"Digits", "0_7", nil}, {"Digits", "+-7", nil}, {"Digits", "six", nil},
		{"Interval", "60", 60}, {"Interval", "30", 30}, {"Interval", "074", 60}, {"Interval", "59", 30}, {"Interval", "6o", nil},
		{"AddPIN", "0", false}, {"AddPIN", "2", true}, {"AddPIN", "-1", true}, {"AddPIN", "yes", nil},
		{"Death", "2035/01/02", expiry(2035, 1, 2)}, {"Death", "2035/1/2", expiry(2035, 1, 2)},
		{"Death", " \n+2035/ 01/ 02 12:00", expiry(2035, 1, 2)}, {"Death", "2035/01/02/03", expiry(2035, 1, 2)},
		{"Death", "2035/02/30", expiry(2035, 3, 2)}, {"Death", "2035/13/01", expiry(2036, 1, 1)}, {"Death", "2035/-1/01", expiry(2034, 11, 1)},
		{"Death", "1999/12/31", expiry(2179, 6, 6)}, {"Death", "2179/06/08", expiry(2000, 1, 2)},
		{"Death", "2000/01/01", nil}, {"Death", "2179/06/07", nil}, {"Death", "2035-01-02", nil}, {"Death", "2035/01", nil},
		{"Death", "2035/01/", nil}, {"Death", "2035 /01/02", nil}, {"Death", "2035/0x1/02", nil}, {"Death", " ", nil},
		{"Death", "99999999999/01/01", nil},
		{"Birth", "2020/02/30", expiry(2020, 3, 1)}, {"Birth", "soon", time.Time{}}, {"Birth", "2147483647/1/1", time.Time{}},
		{"SN", "42", "000000000042"}, {"SN", " 42 ", "000000000042"}, {"SN", "123456789012", "123456789012"},
		{"SN", "1234567890123", nil}, {"SN", "123456789012 ", nil}, {"SN", "12a", nil}, {"SN", "", nil}, {"SN", " ", nil}, {"SN", "١٢", nil},
		{"Nickname", "  ", ""}, {"Nickname", " a ", " a "},
	} {
		header := element{children: []element{leaf("DefAlg", "1"), leaf("DefSN", "7"), leaf("DefDeath", "2040/01/01")}}
		seed := base64.StdEncoding.EncodeToString(make([]byte, 16))
		token := element{children: []element{leaf(c.name, c.text), leaf("Seed", "="+seed), leaf("TokenMAC", seed)}}
		r, err := fieldsOfToken{token.fields(), header.fields()}.record()
		got := map[string]any{"Digits": r.Digits, "Interval": r.Interval, "AddPIN": r.AddPIN, "Death": r.Expiry, "Birth": r.Birth,
			"SN": r.Serial, "Nickname": r.Nickname}[c.name]
		if c.want == nil && !errors.Is(err, ErrFormat) || c.want != nil && (err != nil || got != c.want) {
			t.Errorf("%s %q: %v, %v, want %v", c.name, c.text, got, err, c.want)
		}
	}
}

// Where no field says otherwise, a token has these settings (section 2.3).
func TestLookup(t *testing.T) {
	header := element{children: []element{
		leaf("Digits", "5"), leaf("DefInterval", "30"), {name: "DefBox", children: []element{leaf("DefDigits", "7"), leaf("Login", "deep")}},
		{name: "AddPIN", children: []element{leaf("AddPIN", "1")}},
	}}
	own := element{children: []element{{name: "Box", children: []element{leaf("Nickname", "first")}}, leaf("Nickname", "second")}}
	f := fieldsOfToken{own.fields(), header.fields()}
	for name, want := range map[string]string{
		"Digits": "7", "Interval": "30", "AddPIN": "1", "Nickname": "first", "Login": "deep", "digits": "", "Box": "",
	} {
		if got, _ := f.lookup(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	seed := base64.StdEncoding.EncodeToString(make([]byte, 16))
	bare := element{children: []element{leaf("SN", "1"), leaf("Seed", "ä"+seed), leaf("TokenMAC", seed), leaf("Death", "2040/01/01")}}
	r, err := fieldsOfToken{bare.fields(), nil}.record()
	if err != nil || r.Digits != 6 || r.Interval != 60 || r.AddPIN || r.LocalPIN || r.TimeDerived || r.aes128 {
		t.Errorf("bare token: %v, %s", err, show([]Token{r.Token}))
	}
}

// edit changes a file and returns what opening it says then.
func edit(t *testing.T, data []byte, password string, oldnew ...string) error {
	t.Helper()
	for i := 0; i < len(oldnew); i += 2 {
		if !bytes.Contains(data, []byte(oldnew[i])) {
			t.Fatalf("nothing to replace: %q", oldnew[i])
		}
	}
	f, err := Parse([]byte(strings.NewReplacer(oldnew...).Replace(string(data))))
	if err == nil {
		_, err = f.Open(password)
	}
	return err
}

func TestDamage(t *testing.T) {
	second := sample()
	second.Serial = "000123456790"
	for _, password := range []string{"", "secret"} {
		data := encode(t, Batch{Tokens: []Token{sample(), second}, Password: password})
		none := ErrPasswordRequired
		if password != "" {
			none = ErrWrongPassword
		}
		one := "    <SN>000123456789</SN>\n"
		for _, c := range []struct {
			name   string
			want   error
			oldnew []string
		}{
			{"header changed", ErrModified, []string{"<DefInterval>60", "<DefInterval>30"}},
			{"one token changed", ErrModified, []string{one, one + "<Nickname>x</Nickname>"}},
			{"both tokens changed", ErrModified, []string{"<Nickname> ", "<Nickname>x"}},
			{"element order changed", ErrModified, []string{one, "", "    <UserFirstName>", one + "    <UserFirstName>"}},
			{"all changed", none, []string{"<Nickname> ", "<Nickname>x", "<DefKeypad>1", "<DefKeypad>0"}},
			{"other secret", none, []string{between(data, "Secret"), base64.StdEncoding.EncodeToString(make([]byte, 16))}},
			{"64-bit", ErrModified, []string{"<DefAlg>1", "<DefAlg>0"}},
			{"all changed and 64-bit", ErrAlgorithm, []string{"<DefAlg>1", "<DefAlg>0", "<Nickname> ", "<Nickname>x"}},
			{"indentation", nil, []string{"\n    <", "<"}},
			{"comment", nil, []string{"<DefAlg>1", "<DefAlg><!-- AES -->1"}},
			{"CDATA", nil, []string{"<DefAlg>1", "<DefAlg><![CDATA[1]]>"}},
			{"line ends", nil, []string{"\n", "\r\n"}},
			{"attributes", nil, []string{"<TKNHeader>", `<TKNHeader xml:lang="en">`}},
			{"mail around it", nil, []string{"<?xml", "Dear Alice,\r\n\ufeff<?xml"}},
			{"trailer empty", nil, []string{"<BatchSignature> </BatchSignature>", "", "<BatchCertificate> </BatchCertificate>", ""}},
			{"trailer signed by somebody", nil, []string{"<BatchSignature> ", "<BatchSignature>who?"}},
			{"a second header is ignored", nil, []string{"</TKNBatch>", "<TKNHeader><Origin>Z</Origin></TKNHeader></TKNBatch>"}},
			{"key material in a token", ErrFormat, []string{one, one + "<Origin>Z</Origin>"}},
			{"the same serial twice", ErrFormat, []string{one, "<SN>123456790</SN>"}},
			{"no trailer", ErrFormat, []string{"TKNTrailer>", "Trailer>"}},
			{"no header", ErrFormat, []string{"TKNHeader>", "Header>"}},
			{"no tokens", ErrFormat, []string{"TKN>", "Token>"}},
			{"no origin", ErrFormat, []string{"Origin>", "Issuer>"}},
			{"no secret", ErrFormat, []string{"Secret>", "Hidden>"}},
			{"no header MAC", ErrFormat, []string{"HeaderMAC>", "HeadMAC>"}},
			{"no token MAC", ErrFormat, []string{"TokenMAC>", "TokMAC>"}},
			{"no seed", ErrFormat, []string{"Seed>", "Sead>"}},
			{"another root", ErrFormat, []string{"TKNBatch>", "Batch>"}},
			{"two roots", ErrFormat, []string{"</TKNBatch>", "</TKNBatch><TKNBatch/>"}},
			{"text after the root", ErrFormat, []string{"</TKNBatch>", "</TKNBatch>Yours, Bob"}},
			{"document type", ErrFormat, []string{"<TKNBatch>", "<!DOCTYPE TKNBatch><TKNBatch>"}},
			{"entity", ErrFormat, []string{"<DefAlg>1", "<DefAlg>&one;"}},
			{"upper case declaration", ErrFormat, []string{"<?xml", "<?XML"}},
			{"other encoding", ErrFormat, []string{`"1.0"`, `"1.0" encoding="EBCDIC"`}},
		} {
			if err := edit(t, data, password, c.oldnew...); !errors.Is(err, c.want) {
				t.Errorf("%s, password %q: %v, want %v", c.name, password, err, c.want)
			}
		}
	}
}

// Nobody changes a token by what no MAC covers.
func TestWhatNoMACCovers(t *testing.T) {
	want := sample()
	want.DeviceSerialNumber = "d82c-467c-56fb-2058-edf8-add6"
	data := encode(t, Batch{Tokens: []Token{want}, Password: "secret"})
	hidden := "<MyMAC><Box><SN>000000000001</SN><Seed>=AAAAAAAAAAAAAAAAAAAAAA==</Seed><Death>2038/01/01</Death><Digits>6</Digits><DefDigits>6</DefDigits>" +
		"<DeviceSerialNumber> </DeviceSerialNumber></Box></MyMAC>"
	changed := strings.NewReplacer("<TKN>", "<TKN>"+hidden, "<TKNHeader>", "<TKNHeader>"+hidden).Replace(string(data))
	f, err := Parse([]byte(changed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Open("secret")
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if !reflect.DeepEqual(show(got), show([]Token{want})) {
		t.Errorf("got %s, want %s", show(got), show([]Token{want}))
	}
}

// A single-token file may carry its key material in the token, as the lookup
// rules have it.
func TestKeyMaterialInTheToken(t *testing.T) {
	keys := batch{origin: "own", dest: "N/A", name: "N/A"}
	key := keys.key(keys.origin)
	token := sample()
	b := Batch{Origin: "not this", Dest: unknown, Name: unknown, Tokens: []Token{token}}
	header := b.header(keys.secret)
	body := token.element(key, []element{leaf("Origin", " own ")})
	if err := errors.Join(
		seal(&header, "TKNHeader", "HeaderMAC", func(text []byte) block { return headerMAC(key, "N/A", text) }),
		seal(&body, "TKN", "TokenMAC", func(text []byte) block { return tokenMAC(key, token.Serial, text) }),
	); err != nil {
		t.Fatal(err)
	}
	f := parse(t, render(header, []element{body}, trailerElement(blank, blank)))
	tokens, err := f.Open("")
	if err != nil || !reflect.DeepEqual(tokens, []Token{token}) || f.Origin() != "own" {
		t.Errorf("%v %s %q", err, show(tokens), f.Origin())
	}
}

func TestOrigin(t *testing.T) {
	for _, origin := range []string{"", "Example Corp"} {
		if got := parse(t, encode(t, Batch{Origin: origin, Tokens: []Token{sample()}})).Origin(); got != origin {
			t.Errorf("%q, want %q", got, origin)
		}
	}
}

// Input made to exhaust the reader is refused early.
func TestTooLarge(t *testing.T) {
	data := string(encode(t, Batch{Tokens: []Token{sample()}}))
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	in := func(what string) string { return strings.Replace(data, "<TKN>", "<TKN>"+what, 1) }
	for name, input := range map[string]string{
		"garbage":        many("<", 50<<20),
		"elements":       in(many("<a/>", maxElements)),
		"depth":          in(many("<a>", maxDepth) + many("</a>", maxDepth)),
		"attributes":     in("<a " + many("b='' ", maxMarkup/5) + "/>"),
		"one long text":  in("<TokMAC>" + many("x", maxMarkup) + "</TokMAC>"),
		"text in pieces": in("<TokMAC>" + many(many("x", 1000)+"<!---->", 300) + "</TokMAC>"),
		"blanks":         in(many(many(" ", 1000)+"<!---->", 300)),
		"MACs":           in(many("<aMAC>"+many("x", 1000)+"</aMAC>", 300)),
		"section":        in(many("<a>"+many("x", 1000)+"</a>", 70)),
		"header":         strings.Replace(data, "<Version>", many("<a>"+many("x", 1000)+"</a>", 70)+"<Version>", 1),
		"long paths":     in(many("<"+many("n", 2000)+">", 20) + many("<a/>", 10000) + many("</"+many("n", 2000)+">", 20)),
	} {
		if _, err := Parse([]byte(input)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing that prints, logs or marshals what this package hands out gives a
// secret away.
func TestSecretsStayHidden(t *testing.T) {
	token := sample()
	b := Batch{Tokens: []Token{token}, Password: "correct horse"}
	data := encode(t, b)
	f := parse(t, data)
	var out bytes.Buffer
	for _, v := range []any{token, &token, []Token{token}, b, &b, f, struct{ T Token }{token}} {
		fmt.Fprintf(&out, "%v %+v %#v %s %x %q\n", v, v, v, v, v, v)
		if j, err := json.Marshal(v); err == nil {
			out.Write(j)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("seen", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("seen", "v", v)
	}
	for _, secret := range []string{
		string(token.Seed), fmt.Sprintf("%x", token.Seed), base64.StdEncoding.EncodeToString(token.Seed), fmt.Sprint(token.Seed),
		b.Password, fmt.Sprintf("%x", b.Password), fmt.Sprintf("%x", f.tokens[0].encrypted), between(data, "Seed"),
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in\n%s", secret, out.String())
		}
	}
}
