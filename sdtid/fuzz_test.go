package sdtid

import (
	"bytes"
	"reflect"
	"testing"
)

// Whatever is parsed: no panic, and what opens can be split, and what can be
// written again opens to the same tokens.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.XML), v.Password)
		f.Add(bytes.Replace([]byte(v.XML), []byte("<SN>"), []byte("<MyMAC><Box>1<Digits>6</Digits></Box></MyMAC><SN>"), 1), v.Password)
	}
	for _, c := range refusals(f) {
		f.Add([]byte(c.Input), c.Password)
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		tokens, err := file.Open(password)
		outline := file.Outline()
		i := 0
		for serial, single := range file.Split() {
			if serial != outline[i].Serial {
				t.Fatalf("split gives %s, want %s", serial, outline[i].Serial)
			}
			one := parse(t, single)
			if !reflect.DeepEqual(one.Outline(), outline[i:i+1]) {
				t.Fatalf("split changed the token:\n%s", single)
			}
			again, oneErr := one.Open(password)
			if err == nil && (oneErr != nil || !bytes.Equal(again[0].Seed, tokens[i].Seed)) {
				t.Fatalf("split token does not open: %v\n%s", oneErr, single)
			}
			i++
		}
		if err != nil {
			return
		}
		if data, err = Encode(Batch{Tokens: tokens, Password: "secret"}); err != nil {
			return // a reader takes more than a writer may write
		}
		again, err := parse(t, data).Open("secret")
		for i := range tokens {
			tokens[i].TimeDerived, tokens[i].AppDerived, tokens[i].Mode = true, false, false
			if tokens[i].Birth.IsZero() {
				tokens[i].Birth = day0
			}
		}
		if err != nil || !reflect.DeepEqual(again, tokens) {
			t.Fatalf("written again: %v\n%s\nwant\n%s", err, show(again), show(tokens))
		}
	})
}
