package ctf

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// The steps between a token and its string, which no program shows.
func TestPrimitives(t *testing.T) {
	data, err := os.ReadFile("testdata/primitives.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Hashes []struct {
			Message string `json:"message_hex"`
			MAC     string `json:"mac_hex"`
			Short   uint16
		} `json:"mac128"`
		DevicesV2 []struct {
			DevID      string
			Length     int
			Normalised string
			Short      uint16
		} `json:"v2_device_field"`
		DevicesV3 []struct {
			DevID string
			Field string `json:"field_hex"`
		} `json:"v3_device_field"`
		Keys []struct {
			Version        byte
			Password       string
			DevID          string
			Nonce          string `json:"nonce_hex"`
			MACKey         string `json:"mac_key_hex"`
			EncryptionKey  string `json:"enc_key_hex"`
			DeviceHash     string `json:"devid_hash_hex"`
			DevicePassHash string `json:"devid_pass_hash_hex"`
		} `json:"v3_keys"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Hashes) == 0 || len(file.DevicesV2) == 0 || len(file.DevicesV3) == 0 || len(file.Keys) == 0 {
		t.Fatal("a part of the vectors is missing")
	}
	for _, c := range file.Hashes {
		message := unhex(t, c.Message)
		if h := mac128(message); hex.EncodeToString(h[:]) != c.MAC || short(message) != c.Short {
			t.Errorf("the hash of %q is %x, short %d", c.Message, h, short(message))
		}
	}
	for _, c := range file.DevicesV2 {
		r := reading{deviceV2(c.DevID, c.Length), c.Length}
		if r.device != c.Normalised || r.check() != c.Short {
			t.Errorf("device ID %q of length %d is %q, check value %d", c.DevID, c.Length, r.device, r.check())
		}
	}
	for _, c := range file.DevicesV3 {
		if got := hex.EncodeToString(field(deviceV3(c.DevID), lengthBinary)); got != c.Field {
			t.Errorf("device ID %q is %s", c.DevID, got)
		}
	}
	for _, c := range file.Keys {
		b := make([]byte, binaryLength)
		b[atVersion] = c.Version
		copy(b[atNonce:], unhex(t, c.Nonce))
		device := field(deviceV3(c.DevID), lengthBinary)
		for name, k := range map[string]struct {
			purpose []byte
			want    string
		}{"MAC": {purposeMAC, c.MACKey}, "encryption": {purposeEncrypt, c.EncryptionKey}} {
			if got, err := key(b, c.Password, device, k.purpose); err != nil || hex.EncodeToString(got) != k.want {
				t.Errorf("version %d, %s key: %x, %v", c.Version, name, got, err)
			}
		}
		if hex.EncodeToString(lockHash(b, device, "")) != c.DeviceHash || hex.EncodeToString(lockHash(b, device, c.Password)) != c.DevicePassHash {
			t.Errorf("version %d: the lock hashes differ", c.Version)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A device ID is cut into bytes, also within a character, and how it is
// written does not matter to versions 3 and 4.
func TestDeviceIDs(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{deviceV1("a1-b2", lengthOther), "A-B"},
		{deviceV1("é1é", 4), ""},
		{deviceV2("0123456789012345678901234567890é", lengthOther), "0123456789012345678901234567890"},
		{deviceV2("x\x00f\xff9", lengthOther), "F9"},
		{deviceV3("{d82c 467c-é56fb}"), "D82C467C56FB"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// version1 is a string of version 1, which Encode does not write.
func version1(t Token, password, device string, smartphone bool) string {
	length := lengthClass(smartphone)
	device = deviceV1(device, length)
	d := &digits{
		version: '1', serial: t.Serial, flags: flagsOf(&t) | flagPassword, expiry: 13000,
		sealed: sealSeed(t.Seed, password, device), seedCheck: short(t.Seed), devCheck: reading{device, length}.check(),
	}
	if device != "" {
		d.flags |= flagDevice
	}
	return d.encode()
}

func sample() Token {
	return Token{
		Serial: "000123456789", Seed: []byte("0123456789abcdef"), Expiry: epoch.AddDate(0, 0, 13000), Digits: 8, Interval: 60, AddPIN: true, TimeDerived: true,
	}
}

func TestVersion1(t *testing.T) {
	for _, smartphone := range []bool{false, true} {
		for _, device := range []string{"", "S-1-5-21-1004336348", "a01c4380-fc01-4df0-b113-7fb98ec74694"} {
			s, err := Parse(version1(sample(), "secret", device, smartphone))
			if err != nil {
				t.Fatal(err)
			}
			if s.Version != 1 || s.DeviceBound != (device != "") {
				t.Errorf("version %d, bound: %t", s.Version, s.DeviceBound)
			}
			token, err := s.Open("secret", device)
			if err != nil || !slices.Equal(token.Seed, sample().Seed) {
				t.Errorf("%q: %v", device, err)
			}
		}
	}
}

// What a checksum covers may still be no token.
func TestSoundStringsWithoutToken(t *testing.T) {
	valid := func() *digits {
		return &digits{version: '2', serial: "000123456789", flags: flagAES128, sealed: sealSeed(sample().Seed, "", ""), seedCheck: short(sample().Seed)}
	}
	for name, c := range map[string]struct {
		change func(*digits)
		want   error
	}{
		"64-bit token":          {func(d *digits) { d.flags &^= flagAES128 }, ErrAlgorithm},
		"unlocked, other seed":  {func(d *digits) { d.seedCheck++ }, ErrChecksum},
		"bound, other seed":     {func(d *digits) { d.flags |= flagDevice; d.devCheck = reading{"AB", lengthOther}.check(); d.seedCheck++ }, ErrWrongDevice},
		"version 0":             {func(d *digits) { d.version = '0' }, ErrVersion},
		"version 3, yet digits": {func(d *digits) { d.version = '3' }, ErrVersion},
	} {
		d := valid()
		c.change(d)
		s, err := Parse(d.encode())
		if err == nil {
			_, err = s.Open("", "ab")
		}
		if err == nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What is read as digits is written as the same digits: all of their bits are
// kept, but for the one that has no meaning.
func FuzzDigits(f *testing.F) {
	for _, smartphone := range []bool{false, true} {
		f.Add(version1(sample(), "secret", "ab", smartphone))
	}
	data, err := os.ReadFile("testdata/ctf.json")
	if err != nil {
		f.Fatal(err)
	}
	var file struct{ Cases []struct{ String string } }
	if err := json.Unmarshal(data, &file); err != nil || len(file.Cases) == 0 {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		_, digits, _ := strings.Cut(c.String, "ctfData=")
		f.Add(cmp.Or(digits, c.String))
	}
	const meaningless = 1 + serialLength + 158/3 // the digit of which bit 158 is the last
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || !decimal(rune(text[0])) {
			return
		}
		d, err := parseDigits(text)
		if err != nil {
			return
		}
		digits := strings.ReplaceAll(leadingDigits.FindString(text), "-", "")
		if len(digits) == textLength && digits[meaningless]%2 == 0 && d.encode() != digits {
			t.Errorf("%s is written as %s", digits, d.encode())
		}
		if again, err := parseDigits(d.encode()); err != nil || *again != *d {
			t.Errorf("%v: %v, want %v", err, again, d)
		}
	})
}
