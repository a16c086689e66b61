package ctf_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/ctf"
)

const android = "a01c4380-fc01-4df0-b113-7fb98ec74694"

// sample is a token that every version can carry.
func sample() ctf.Token {
	return ctf.Token{
		Serial: "000123456789", Seed: []byte("0123456789abcdef"), Expiry: time.Date(2035, 8, 5, 0, 0, 0, 0, time.UTC),
		Digits: 8, Interval: 60, AddPIN: true, TimeDerived: true,
	}
}

func encode(t testing.TB, token ctf.Token, o ctf.Options) string {
	t.Helper()
	text, err := ctf.Encode(token, o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func equal(t testing.TB, a, b ctf.Token) bool {
	return contents(t, a) == contents(t, b) && bytes.Equal(a.Seed, b.Seed)
}

func drawDate(t *rapid.T, days int, name string) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(1, days).Draw(t, name))
}

func drawToken(t *rapid.T, version int) ctf.Token {
	token := ctf.Token{
		Serial:      rapid.StringMatching(`[0-9]{12}`).Draw(t, "serial"),
		Seed:        rapid.SliceOfN(rapid.Byte(), ctf.SeedSize, ctf.SeedSize).Draw(t, "seed"),
		Expiry:      drawDate(t, 16383, "expiry"),
		Digits:      rapid.IntRange(1, 8).Draw(t, "digits"),
		Interval:    rapid.SampledFrom([]int{30, 60}).Draw(t, "interval"),
		AddPIN:      rapid.Bool().Draw(t, "add PIN"),
		Mode:        rapid.Bool().Draw(t, "mode"),
		TimeDerived: true,
	}
	switch {
	case version == 2:
		token.LocalPIN = rapid.Bool().Draw(t, "local PIN")
		token.TimeDerived = rapid.Bool().Draw(t, "time-derived")
		token.AppDerived = rapid.Bool().Draw(t, "app-derived")
	case rapid.Bool().Draw(t, "dates"):
		token.Birth = drawDate(t, 100_000, "birth")
		token.Expiry = drawDate(t, 100_000, "expiry")
		token.Issued = drawDate(t, 100_000, "issued").Add(time.Duration(rapid.IntRange(0, 86_399_999).Draw(t, "ms")) * time.Millisecond)
	}
	return token
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := ctf.Options{
			Version:  rapid.IntRange(2, 4).Draw(rt, "version"),
			Carrier:  rapid.SampledFrom([]ctf.Carrier{ctf.Android, ctf.IPhone, ctf.IOS}).Draw(rt, "carrier"),
			Password: rapid.StringN(0, 10, 40).Draw(rt, "password"),
			DeviceID: rapid.SampledFrom([]string{"", android, "d82c-467c-56fb-2058-edf8-add6", "{A}", strings.Repeat("0f", 30)}).Draw(rt, "device ID"),
		}
		if o.Version == 2 && rapid.Bool().Draw(rt, "without URL") {
			o.Carrier = rapid.SampledFrom([]ctf.Carrier{ctf.Plain, ctf.Blocks}).Draw(rt, "form")
		}
		token := drawToken(rt, o.Version)
		text := encode(t, token, o)
		s, err := ctf.Parse(text)
		if err != nil {
			rt.Fatal(err)
		}
		if s.Version != o.Version || s.PasswordProtected != (o.Password != "") || s.DeviceBound != (o.DeviceID != "") {
			rt.Fatalf("version %d, password %t, device %t", s.Version, s.PasswordProtected, s.DeviceBound)
		}
		got, err := s.Open(o.Password, o.DeviceID)
		if err != nil || !equal(t, got, token) {
			rt.Fatalf("%v: %s, want %s", err, contents(t, got), contents(t, token))
		}
		if _, err := s.Open("", o.DeviceID); o.Password != "" && !errors.Is(err, ctf.ErrPasswordRequired) {
			rt.Fatalf("without password: %v", err)
		}
		if _, err := s.Open(o.Password, ""); o.DeviceID != "" && !errors.Is(err, ctf.ErrDeviceRequired) {
			rt.Fatalf("without device ID: %v", err)
		}
	})
}

// Every way in which a string may reach us (section 1.1).
func TestTolerantForms(t *testing.T) {
	digits := encode(t, sample(), ctf.Options{Version: 2, Password: "secret", DeviceID: android})
	blocks := encode(t, sample(), ctf.Options{Version: 2, Carrier: ctf.Blocks, Password: "secret", DeviceID: android})
	texts := map[string]string{
		"blank around":       " \r\n" + digits + "\r\n\t",
		"dashes anywhere":    digits[:1] + "-" + digits[1:40] + "---" + digits[40:] + "-",
		"text before blocks": "Dear Alice, your token of 3 May is\n\n" + blocks + "\n\nB. Bob, tel. 5551234",
		"text after digits":  digits + ". Keep it to yourself.",
		"digits in a URL":    "com.rsa.securid://ctf?ctfData=" + digits,
	}
	for _, version := range []int{2, 3, 4} {
		url := encode(t, sample(), ctf.Options{Version: version, Carrier: ctf.Android, Password: "secret", DeviceID: android})
		prefix, data, _ := strings.Cut(url, "ctfData=")
		for name, text := range map[string]string{
			"as it is":               url,
			"https":                  strings.Replace(url, "http", "https", 1),
			"upper-case prefix":      strings.ToUpper(prefix+"ctfData=") + data,
			"slash before the query": strings.Replace(url, "ctf?", "ctf/?", 1),
			"quoted-printable":       prefix + "ctfData=3D" + data,
			"=3d and soft breaks":    "Ƀ " + prefix + "ctfDa=\r\nta=3d" + data[:30] + "=\r\n" + data[30:70] + "=\n" + data[70:],
			"mail around":            "İmportant: your token\r\n\r\n<" + url + ">\r\nBest regards,\r\nBAck office\r\n",
			"parameter after":        url + "&x=AwAB",
			"parameter before":       prefix + "lang=AwAB&ctfData=" + data,
			"fragment after":         url + "#top",
			"encoded blank after":    url + "%20%0A",
			"lower-case escapes":     strings.NewReplacer("%2B", "%2b", "%2F", "%2f").Replace(url),
			"no escapes":             strings.NewReplacer("%2B", "+", "%2F", "/").Replace(url),
			"data alone":             data,
			"first URL is no string": "see https://example.com/?ctfData=help\n" + url,
		} {
			texts[fmt.Sprintf("%s, version %d", name, version)] = text
		}
	}
	for name, text := range texts {
		token, err := open(text, "secret", android)
		if err != nil || !equal(t, token, sample()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A device ID counts with other separators than those it was bound with, and
// a class GUID may be written in either way.
func TestDeviceIDSpellings(t *testing.T) {
	bare := strings.ReplaceAll(android, "-", "")
	for _, o := range []ctf.Options{
		{Version: 2, Carrier: ctf.Plain, DeviceID: bare}, {Version: 2, Carrier: ctf.IOS, DeviceID: android},
		{Version: 3, Carrier: ctf.IOS, DeviceID: android}, {Version: 4, Carrier: ctf.IOS, DeviceID: bare},
	} {
		text := encode(t, sample(), o)
		for _, id := range []string{bare, android, strings.ToUpper(android), "{" + android + "}", strings.ReplaceAll(android, "-", " ")} {
			if _, err := open(text, "", id); err != nil {
				t.Errorf("version %d, carrier %d, %s: %v", o.Version, o.Carrier, id, err)
			}
		}
		for _, class := range ctf.Classes {
			if _, err := open(text, "", class.GUID); (class.Name == "android") != (err == nil) || err != nil && !errors.Is(err, ctf.ErrWrongDevice) {
				t.Errorf("version %d, carrier %d, class %s: %v", o.Version, o.Carrier, class.Name, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	digits := encode(t, sample(), ctf.Options{Version: 2})
	url := encode(t, sample(), ctf.Options{Version: 3, Carrier: ctf.IOS})
	data := strings.TrimPrefix(url, "com.rsa.securid://ctf?ctfData=")
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":                 {"", ctf.ErrFormat},
		"blank":                   {" \r\n ", ctf.ErrFormat},
		"no data":                 {"com.rsa.securid://ctf?ctfData=", ctf.ErrFormat},
		"no data but =3D":         {"com.rsa.securid://ctf?ctfData=3D", ctf.ErrFormat},
		"only dashes":             {"ctfData=-----", ctf.ErrFormat},
		"only a percent sign":     {"ctfData=%", ctf.ErrFormat},
		"NUL":                     {"\x00", ctf.ErrFormat},
		"NUL within":              {digits[:40] + "\x00" + digits[40:], ctf.ErrLength},
		"prose":                   {"Ask Bob; a BIG token is Awful", ctf.ErrFormat},
		"XML":                     {"<?xml version=\"1.0\"?><TKNBatch/>", ctf.ErrFormat},
		"CT-KIP link":             {"com.rsa.securid.iphone://ctkip?scheme=https&url=example.com", ctf.ErrFormat},
		"too large":               {strings.Repeat(" ", 64<<10) + digits, ctf.ErrTooLarge},
		"many digits":             {strings.Repeat("2", 64<<10), ctf.ErrLength},
		"much base64":             {strings.Repeat("Aw", 32<<10), ctf.ErrLength},
		"version digit 3":         {"3" + digits[1:], ctf.ErrVersion},
		"another version":         {"1" + digits[1:], ctf.ErrChecksum},
		"one digit less":          {digits[:80], ctf.ErrLength},
		"five digits more":        {digits + "00000", ctf.ErrLength},
		"four digits more":        {digits + "0000", ctf.ErrChecksum},
		"an 8 in the checksum":    {digits[:80] + "8", ctf.ErrChecksum},
		"percent sign at the end": {url[:len(url)-1] + "%", ctf.ErrLength},
		"half an escape":          {url[:len(url)-2] + "%2", ctf.ErrLength},
		"escape of no hex":        {url[:len(url)-3] + "%zz", ctf.ErrLength},
		"one character less":      {url[:len(url)-1], ctf.ErrLength},
		"one character more":      {url + "A", ctf.ErrLength},
		"padding within":          {"Aw" + strings.Repeat("A", 385) + "%3D", ctf.ErrFormat},
		"base64 of version 5":     {"BQ" + data[2:], ctf.ErrFormat},
	} {
		if s, err := ctf.Parse(c.text); !errors.Is(err, c.want) || s != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// An 8 or 9 among the octal digits is refused although the checksum is right.
func TestParseRefusesEights(t *testing.T) {
	// Some digit after an 8 makes the five digits at the end the right ones.
	digits := encode(t, sample(), ctf.Options{Version: 2})
	for n := range 1 << 15 {
		text := digits[:20] + "8" + digits[21:76] + fmt.Sprintf("%05o", n)
		if _, err := ctf.Parse(text); errors.Is(err, ctf.ErrFormat) {
			return
		} else if !errors.Is(err, ctf.ErrChecksum) {
			t.Fatal(err)
		}
	}
	t.Error("no checksum fits")
}

func TestEncodeRefuses(t *testing.T) {
	lastV2 := time.Date(2044, 11, 8, 23, 59, 0, 0, time.UTC)
	type edit = func(*ctf.Token, *ctf.Options)
	for name, c := range map[string]struct {
		edit edit
		want error // nil if it is taken
	}{
		"sample":                     {func(*ctf.Token, *ctf.Options) {}, nil},
		"version 1":                  {func(_ *ctf.Token, o *ctf.Options) { o.Version = 1 }, ctf.ErrInvalid},
		"version 5":                  {func(_ *ctf.Token, o *ctf.Options) { o.Version, o.Carrier = 5, ctf.IOS }, ctf.ErrInvalid},
		"unknown carrier":            {func(_ *ctf.Token, o *ctf.Options) { o.Carrier = ctf.IOS + 1 }, ctf.ErrInvalid},
		"negative carrier":           {func(_ *ctf.Token, o *ctf.Options) { o.Carrier = -1 }, ctf.ErrInvalid},
		"version 3 in blocks":        {func(_ *ctf.Token, o *ctf.Options) { o.Version, o.Carrier = 3, ctf.Blocks }, ctf.ErrInvalid},
		"version 4 without URL":      {func(_ *ctf.Token, o *ctf.Options) { o.Version = 4 }, ctf.ErrInvalid},
		"short serial":               {func(t *ctf.Token, _ *ctf.Options) { t.Serial = "123456789" }, ctf.ErrInvalid},
		"serial with a letter":       {func(t *ctf.Token, _ *ctf.Options) { t.Serial = "00012345678x" }, ctf.ErrInvalid},
		"short seed":                 {func(t *ctf.Token, _ *ctf.Options) { t.Seed = t.Seed[:15] }, ctf.ErrInvalid},
		"nine digits":                {func(t *ctf.Token, _ *ctf.Options) { t.Digits = 9 }, ctf.ErrInvalid},
		"no digits":                  {func(t *ctf.Token, _ *ctf.Options) { t.Digits = 0 }, ctf.ErrInvalid},
		"interval 45":                {func(t *ctf.Token, _ *ctf.Options) { t.Interval = 45 }, ctf.ErrInvalid},
		"40 bytes of password":       {func(_ *ctf.Token, o *ctf.Options) { o.Password = strings.Repeat("é", 20) }, nil},
		"41 bytes of password":       {func(_ *ctf.Token, o *ctf.Options) { o.Password = strings.Repeat("é", 20) + "x" }, ctf.ErrInvalid},
		"device ID not hexadecimal":  {func(_ *ctf.Token, o *ctf.Options) { o.DeviceID = "xyz" }, ctf.ErrInvalid},
		"the same in version 3":      {func(_ *ctf.Token, o *ctf.Options) { *o = ctf.Options{Version: 3, Carrier: ctf.IOS, DeviceID: "xyz"} }, nil},
		"device ID of dashes, v3":    {func(_ *ctf.Token, o *ctf.Options) { *o = ctf.Options{Version: 3, Carrier: ctf.IOS, DeviceID: "--"} }, ctf.ErrInvalid},
		"hexadecimal behind the cut": {func(_ *ctf.Token, o *ctf.Options) { o.DeviceID = strings.Repeat("-", 32) + "a" }, ctf.ErrInvalid},
		"no expiry":                  {func(t *ctf.Token, _ *ctf.Options) { t.Expiry = time.Time{} }, ctf.ErrExpiry},
		"expiry on day 0":            {func(t *ctf.Token, _ *ctf.Options) { t.Expiry = time.Date(2000, 1, 1, 23, 0, 0, 0, time.UTC) }, ctf.ErrExpiry},
		"expiry on day 1":            {func(t *ctf.Token, _ *ctf.Options) { t.Expiry = time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC) }, nil},
		"last expiry of version 2":   {func(t *ctf.Token, _ *ctf.Options) { t.Expiry = lastV2 }, nil},
		"the day after":              {func(t *ctf.Token, _ *ctf.Options) { t.Expiry = lastV2.AddDate(0, 0, 1) }, ctf.ErrExpiry},
		"the same in version 4": {func(t *ctf.Token, o *ctf.Options) {
			t.Expiry, o.Version, o.Carrier = lastV2.AddDate(0, 0, 1), 4, ctf.IOS
		}, nil},
		"expiry in the year 10000": {func(t *ctf.Token, o *ctf.Options) {
			t.Expiry, o.Version, o.Carrier = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), 3, ctf.IOS
		}, ctf.ErrExpiry},
		"birth in the year 10000": {func(t *ctf.Token, _ *ctf.Options) { t.Birth = time.Unix(1<<62, 0) }, ctf.ErrInvalid},
	} {
		token, o := sample(), ctf.Options{Version: 2}
		c.edit(&token, &o)
		text, err := ctf.Encode(token, o)
		if !errors.Is(err, c.want) || (text == "") != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "é") || strings.Contains(err.Error(), "xyz")) {
			t.Errorf("%s: the refusal tells a secret: %v", name, err)
		}
	}
}

// A password longer than any string has is wrong, also where its beginning is
// right; and no randomness is an error, not a weak nonce.
func TestLimitsOfSecrets(t *testing.T) {
	password := strings.Repeat("x", 40)
	for _, version := range []int{2, 3} {
		text := encode(t, sample(), ctf.Options{Version: version, Carrier: ctf.IOS, Password: password})
		if _, err := open(text, password, ""); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		if _, err := open(text, password+"x", ""); !errors.Is(err, ctf.ErrWrongPassword) {
			t.Errorf("version %d, one byte more: %v", version, err)
		}
	}
	broken := errors.New("broken")
	_, err := ctf.Encode(sample(), ctf.Options{Version: 3, Carrier: ctf.IOS, Rand: iotest.ErrReader(broken)})
	if !errors.Is(err, broken) {
		t.Errorf("no randomness: %v", err)
	}
	a, b := ctf.Options{Version: 3, Carrier: ctf.IOS}, ctf.Options{Version: 3, Carrier: ctf.IOS}
	if encode(t, sample(), a) == encode(t, sample(), b) {
		t.Error("two strings have the same nonce")
	}
}

// What is written for a day is that day, wherever its time was taken.
func TestDaysAreUTC(t *testing.T) {
	token := sample()
	token.Expiry = time.Date(2035, 8, 5, 23, 30, 0, 0, time.FixedZone("", -3600)) // the 6th in UTC
	for _, version := range []int{2, 3, 4} {
		got, err := open(encode(t, token, ctf.Options{Version: version, Carrier: ctf.IOS}), "", "")
		if want := time.Date(2035, 8, 6, 0, 0, 0, 0, time.UTC); err != nil || !got.Expiry.Equal(want) {
			t.Errorf("version %d: %s, %v", version, got.Expiry, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	o := ctf.Options{Version: 2, Password: "correct horse", DeviceID: android}
	text := encode(t, sample(), o)
	s, err := ctf.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	token := sample()
	secrets := []string{"correct horse", string(token.Seed), hex.EncodeToString(token.Seed), fmt.Sprint(token.Seed), text, text[13:40]}
	var printed []string
	for _, v := range []any{token, &token, s, *s, o, &o, []any{token, s, o}, struct {
		T ctf.Token
		S *ctf.String
		O ctf.Options
	}{token, s, o}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(asJSON))
	}
	for _, p := range printed {
		if slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(p, secret) }) {
			t.Errorf("printed: %s", p)
		}
	}
}

// The longest text costs a bounded amount of memory, whatever is in it. (Most
// of the bound is for the race detector, under which pools lose what they had.)
func TestMemoryIsBounded(t *testing.T) {
	const limit = 64 << 10
	const bound = 32 << 20
	for _, unit := range []string{"2", "2 ", "Aw%41", "ctfData=", "ctfData=2 ", "=\n", "%", "-", "\x00", "é", "BA-"} {
		text := strings.Repeat(unit, limit/len(unit))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = ctf.Parse(text)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > bound {
			t.Errorf("%q: %d bytes", unit, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range cases[vector](f, "ctf.json") {
		f.Add(v.String, v.Password, v.DevID)
	}
	for _, v := range cases[errorVector](f, "errors.json") {
		if v.Kind == "ctf" {
			f.Add(v.Input, v.Password, v.DevID)
		}
	}
	f.Fuzz(func(t *testing.T, text, password, deviceID string) {
		s, err := ctf.Parse(text)
		if err != nil {
			if s != nil {
				t.Error("both a string and an error")
			}
			return
		}
		public, readable := s.Public()
		token, err := s.Open(password, deviceID)
		if err != nil {
			return
		}
		if readable && contents(t, public) != contents(t, token) {
			t.Error("the public part differs from the whole")
		}
		// Neither what is not locked nor version 1 is written as it was read.
		o := ctf.Options{Version: max(2, s.Version), Carrier: ctf.IOS}
		if s.PasswordProtected {
			o.Password = password
		}
		if s.DeviceBound {
			o.DeviceID = deviceID
		}
		written, err := ctf.Encode(token, o)
		if errors.Is(err, ctf.ErrInvalid) {
			return // the first day of all, or a device ID with nothing in it
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := open(written, password, deviceID)
		if err != nil || !equal(t, again, token) {
			t.Errorf("%v: %s, want %s", err, contents(t, again), contents(t, token))
		}
	})
}
