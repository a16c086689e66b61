package ctf_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"bytes"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/securid"
)

// A vector is a case of ctf.json (testdata is a copy of spec/vectors).
type vector struct {
	ID       string
	Version  int
	Carrier  string
	String   string
	Password string
	DevID    string
	Expect   struct {
		Serial      string
		Seed        string `json:"seed_hex"`
		Expiry      string `json:"exp_date"`
		Digits      int
		Interval    int
		PINMode     int `json:"pin_mode"`
		Mode        bool
		TimeDerived bool `json:"time_derived"`
		AppDerived  bool `json:"app_derived"`
	}
	Codes []struct {
		Time   int64 `json:"unix_time"`
		PIN    string
		Output string
	}
}

func vectors(t testing.TB) []vector {
	return cases[vector](t, "ctf.json")
}

func cases[T any](t testing.TB, name string) []T {
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(data, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%s: %d cases, %v", name, len(file.Cases), err)
	}
	return file.Cases
}

var carriers = map[string]ctf.Carrier{"plain": ctf.Plain, "blocks": ctf.Blocks, "android": ctf.Android, "iphone": ctf.IPhone, "ios": ctf.IOS}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		s, err := ctf.Parse(v.String)
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		if s.Version != v.Version || s.PasswordProtected != (v.Password != "") || s.DeviceBound != (v.DevID != "") {
			t.Errorf("%s: %+v", v.ID, *s)
		}
		tok, err := s.Open(v.Password, v.DevID)
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		e := v.Expect
		if tok.Serial != e.Serial || hex.EncodeToString(tok.Seed) != e.Seed || tok.Expiry.Format(time.DateOnly) != e.Expiry ||
			tok.Digits != e.Digits || tok.Interval != e.Interval || tok.AddPIN != (e.PINMode >= 2) || tok.Mode != e.Mode ||
			v.Version < 3 && (tok.LocalPIN != (e.PINMode%2 == 1) || tok.TimeDerived != e.TimeDerived || tok.AppDerived != e.AppDerived) {
			t.Errorf("%s: token differs: %v digits %d interval %d expiry %s", v.ID, tok, tok.Digits, tok.Interval, tok.Expiry)
		}
		for _, c := range v.Codes {
			code, err := securid.Code(tok.Seed, tok.Serial, tok.Digits, tok.Interval, time.Unix(c.Time, 0))
			if err == nil && tok.AddPIN && c.PIN != "" {
				code, err = securid.AddPIN(code, c.PIN)
			}
			if err != nil || code != c.Output {
				t.Errorf("%s: code %s at %d, %v, want %s", v.ID, code, c.Time, err, c.Output)
			}
		}
		rewrite(t, v, tok)
	}
}

// rewrite writes the token again with the same nonce and expects the same string.
func rewrite(t *testing.T, v vector, tok ctf.Token) {
	if v.Version == 1 || strings.Contains(v.ID, "pub") && v.Version == 2 {
		return
	}
	_, data, url := strings.Cut(v.String, "ctfData=")
	var nonce []byte
	if v.Version > 2 && url {
		b, err := base64.StdEncoding.DecodeString(strings.NewReplacer("%2B", "+", "%2F", "/").Replace(data))
		if err != nil {
			t.Fatal(err)
		}
		nonce = b[67:83]
	}
	got, err := ctf.Encode(tok, ctf.Options{
		Version: v.Version, Carrier: carriers[v.Carrier], Password: v.Password, DeviceID: v.DevID, Rand: bytes.NewReader(nonce),
	})
	if err != nil || got != v.String {
		t.Errorf("%s: written again it is another string (%v)", v.ID, err)
	}
}

func TestErrorVectors(t *testing.T) {
	classes := map[string][]error{
		"general": {ctf.ErrFormat, ctf.ErrVersion, ctf.ErrLength}, "length": {ctf.ErrLength}, "version": {ctf.ErrVersion}, "checksum": {ctf.ErrChecksum},
		"missing-secret": {ctf.ErrPasswordRequired, ctf.ErrDeviceRequired}, "wrong-password": {ctf.ErrWrongPassword}, "wrong-devid": {ctf.ErrWrongDevice},
	}
	for _, c := range cases[struct {
		ID, Kind, Input, Password, DevID, Error, Note string
	}](t, "errors.json") {
		if c.Kind != "ctf" {
			continue
		}
		s, err := ctf.Parse(c.Input)
		if err == nil {
			_, err = s.Open(c.Password, c.DevID)
		}
		ok := false
		for _, want := range classes[c.Error] {
			ok = ok || errors.Is(err, want)
		}
		if !ok {
			t.Errorf("%s (%s): %v, stoken says %s", c.ID, c.Note, err, c.Error)
		}
	}
}
