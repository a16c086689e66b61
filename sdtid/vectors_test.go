package sdtid

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"
)

// The files in testdata are those of spec/vectors; its README explains them.

type vector struct {
	ID       string `json:"id"`
	MadeBy   string `json:"made_by"`
	XML      string `json:"xml"`
	Password string `json:"password"`
	Device   string `json:"device_serial_number"`
	Tokens   []struct {
		Device string `json:"device_serial_number"`
		Expect struct {
			Serial    string `json:"serial"`
			Seed      string `json:"seed_hex"`
			Expiry    string `json:"exp_date"`
			Digits    int    `json:"digits"`
			Interval  int    `json:"interval"`
			PINMode   int    `json:"pin_mode"`
			AES128    bool   `json:"aes128"`
			Mode      bool   `json:"mode"`
			Time      bool   `json:"time_derived"`
			App       bool   `json:"app_derived"`
			Encrypted string `json:"enc_seed_hex"`
		} `json:"expect"`
		Codes []struct {
			Time   int64  `json:"unix_time"`
			PIN    string `json:"pin"`
			Output string `json:"output"`
		} `json:"codes"`
	} `json:"tokens"`
}

func load(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func vectors(t testing.TB) []vector {
	var file struct{ Cases []vector }
	load(t, "sdtid.json", &file)
	if len(file.Cases) == 0 {
		t.Fatal("no vectors")
	}
	return file.Cases
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			f, err := Parse([]byte(v.XML))
			if err != nil {
				t.Fatal(err)
			}
			if f.Locked() != (v.Password != "") {
				t.Errorf("Locked() = %v, password %q", f.Locked(), v.Password)
			}
			tokens, err := f.Open(v.Password)
			if err != nil {
				t.Fatal(err)
			}
			if len(tokens) != len(v.Tokens) {
				t.Fatalf("%d tokens, want %d", len(tokens), len(v.Tokens))
			}
			for i, token := range tokens {
				want := v.Tokens[i].Expect
				pinMode := 0
				if token.AddPIN {
					pinMode += 2
				}
				if token.LocalPIN {
					pinMode++
				}
				if token.Serial != want.Serial || hex.EncodeToString(token.Seed) != want.Seed ||
					token.Expiry.Format(time.DateOnly) != want.Expiry || token.Digits != want.Digits ||
					token.Interval != want.Interval || pinMode != want.PINMode || token.Mode != want.Mode ||
					token.TimeDerived != want.Time || token.AppDerived != want.App ||
					f.tokens[i].aes128 != want.AES128 || hex.EncodeToString(f.tokens[i].encrypted[:]) != want.Encrypted {
					t.Errorf("token %d: %+v, seed %x, want %+v", i, f.Outline()[i], token.Seed, want)
				}
				device := trim(v.Device + v.Tokens[i].Device)
				if token.DeviceSerialNumber != device {
					t.Errorf("bound to %q, want %q", token.DeviceSerialNumber, device)
				}
			}
		})
	}
}

// Every file of the vectors, taken apart into the texts of its leaves and
// built again, gets the seeds' encryption, the MACs and the bytes it had.
func TestVectorsRebuilt(t *testing.T) {
	for _, v := range vectors(t) {
		f, err := Parse([]byte(v.XML))
		if err != nil {
			t.Fatal(err)
		}
		password := v.Password
		if password == "" {
			password = f.batch.origin
		}
		key := f.batch.key(password)
		rebuild := func(e *element, section, name string, mac func([]byte) block) {
			t.Helper()
			last := len(e.children) - 1
			sealed := element{name: e.name, children: e.children[:last:last]}
			if err := seal(&sealed, section, name, mac); err != nil {
				t.Fatal(v.ID, err)
			}
			if got, want := sealed.children[last].text, e.children[last].text; !bytes.Equal(got, want) {
				t.Errorf("%s: %s %s, want %s", v.ID, name, got, want)
			}
		}
		rebuild(&f.header, "TKNHeader", "HeaderMAC", func(text []byte) block { return headerMAC(key, f.batch.name, text) })
		for i := range f.tokens {
			r := &f.tokens[i]
			rebuild(&r.body, "TKN", "TokenMAC", func(text []byte) block { return tokenMAC(key, r.name, text) })
			seed, _ := hex.DecodeString(v.Tokens[i].Expect.Seed)
			if got := cryptSeed(key, r.name, block(seed)); got != r.encrypted {
				t.Errorf("%s: encrypted seed %x, want %x", v.ID, got, r.encrypted)
			}
		}
	}
}

func TestPasswordKey(t *testing.T) {
	var p struct {
		Cases []struct {
			Password, Dest, Name string
			K0                   string `json:"k0_hex"`
		} `json:"sdtid_password_key"`
	}
	load(t, "primitives.json", &p)
	for _, c := range p.Cases {
		if got := passwordKey(c.Password, c.Dest, c.Name); hex.EncodeToString(got[:]) != c.K0 {
			t.Errorf("K0(%q, %q, %q) = %x, want %s", c.Password, c.Dest, c.Name, got, c.K0)
		}
	}
	if len(p.Cases) == 0 {
		t.Error("no vectors")
	}
}

// The steps between password and seed, for the files where they are published.
func TestIntermediateValues(t *testing.T) {
	files := map[string]vector{}
	for _, v := range vectors(t) {
		files[v.ID] = v
	}
	var p struct {
		Cases []struct {
			ID          string `json:"sdtid_case"`
			K0          string `json:"k0_hex"`
			K1          string `json:"k1_hex"`
			HeaderKey   string `json:"k_bm_hex"`
			HeaderCanon string `json:"header_canon_hex"`
			HeaderMAC   string `json:"header_mac_hex"`
			SignedSHA1  string `json:"signed_text_sha1"`
			Tokens      []struct {
				Serial   string
				MACKey   string `json:"k_tm_hex"`
				SeedKey  string `json:"k_te_hex"`
				Canon    string `json:"canon_hex"`
				TokenMAC string `json:"token_mac_hex"`
			}
		} `json:"sdtid_files"`
	}
	load(t, "primitives.json", &p)
	if len(p.Cases) == 0 {
		t.Error("no vectors")
	}
	for _, c := range p.Cases {
		t.Run(c.ID, func(t *testing.T) {
			check := func(what string, got []byte, want string) {
				t.Helper()
				if hex.EncodeToString(got) != want {
					t.Errorf("%s:\n%x, want\n%s", what, got, want)
				}
			}
			v := files[c.ID]
			f, err := Parse([]byte(v.XML))
			if err != nil {
				t.Fatal(err)
			}
			password := v.Password
			if password == "" {
				password = f.batch.origin
			}
			k0 := passwordKey(password, f.batch.dest, f.batch.name)
			check("K0", k0[:], c.K0)
			k1 := wrapBatchKey(k0, f.batch.name, f.batch.secret)
			check("K1", k1[:], c.K1)
			key := newCipher(k1)
			kbm := purposeKey(key, ivHeaderMAC, "BatchMAC", f.batch.name)
			check("K_bm", kbm[:], c.HeaderKey)
			text, err := canonical(nil, "TKNHeader", &f.header)
			if err != nil {
				t.Fatal(err)
			}
			check("header text", text, c.HeaderCanon)
			check("HeaderMAC", f.batch.mac[:], c.HeaderMAC)
			signed := signedText(nil, "TKNHeader", &f.header)
			for i, want := range c.Tokens {
				r := &f.tokens[i]
				ktm := purposeKey(key, ivTokenMAC, "TokenMAC", r.name)
				check("K_tm", ktm[:], want.MACKey)
				kte := purposeKey(key, ivSeed, "TokenEncrypt", r.name)
				check("K_te", kte[:], want.SeedKey)
				text, err := canonical(nil, "TKN", &r.body)
				if err != nil {
					t.Fatal(err)
				}
				check("token text", text, want.Canon)
				check("TokenMAC", r.mac[:], want.TokenMAC)
				signed = signedText(signed, "TKN", &r.body)
			}
			digest := sha1.Sum(signed)
			check("SHA-1 of the signed text", digest[:], c.SignedSHA1)
		})
	}
}

// stoken signs every file with one key, whose public part section 7 tells.
func TestSignatureOfStoken(t *testing.T) {
	n, _ := new(big.Int).SetString("dda1eea6d766bbebe2960beb1975442b971f2566b5c6038d0fbb8691bb4004f9364d04e7724eca5984da2c64f2e55fb447c6f1e153a5ea156db45851a4dd46c1225fa15ca5fb839e722bc0d446698e01352c3f825742f13850c3f06c1e28d111e132b52cd057063354a33a8e4826fa0bf18552e8e83e076f547968fe53c0017b", 16)
	key := &rsa.PublicKey{N: n, E: 65537}
	for _, v := range vectors(t) {
		if v.MadeBy != "stoken" || v.ID == "sd-070-pub" { // whose signature is stale
			continue
		}
		f, err := Parse([]byte(v.XML))
		if err != nil {
			t.Fatal(err)
		}
		signature, err := base64.StdEncoding.DecodeString(between([]byte(v.XML), "BatchSignature"))
		if err != nil {
			t.Fatal(v.ID, err)
		}
		digest := sha1.Sum(signedText(signedText(nil, "TKNHeader", &f.header), "TKN", &f.tokens[0].body))
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA1, digest[:], signature); err != nil {
			t.Error(v.ID, err)
		}
	}
}

type refusal struct {
	ID, Kind, Input, Password, Error, Note string
}

func refusals(t testing.TB) (cases []refusal) {
	var file struct{ Cases []refusal }
	load(t, "errors.json", &file)
	for _, c := range file.Cases {
		if c.Kind == "sdtid" {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		t.Fatal("no vectors")
	}
	return cases
}

func TestRefusals(t *testing.T) {
	kinds := map[string]error{
		"general":        ErrFormat,
		"mac":            ErrModified,
		"missing-secret": ErrPasswordRequired,
		"wrong-password": ErrWrongPassword,
		"multiple":       ErrFormat, // the same token twice; two different ones are no problem here
	}
	for _, c := range refusals(t) {
		want, known := kinds[c.Error]
		if !known {
			t.Errorf("%s: unknown kind %s", c.ID, c.Error)
		}
		f, err := Parse([]byte(c.Input))
		if err == nil {
			_, err = f.Open(c.Password)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s (%s): %v, want %v", c.ID, c.Note, err, want)
		}
	}
}
