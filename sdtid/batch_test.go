package sdtid

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// Read is Parse and Open, of one token at a time.
func agree(t *testing.T, data []byte, password string) {
	t.Helper()
	var want []Token
	file, wantErr := Parse(data)
	if wantErr == nil {
		want, wantErr = file.Open(password)
	}
	got, err := Read(data, password)
	if errors.Is(wantErr, ErrTooLarge) {
		return // Read takes more
	}
	for _, kind := range []error{ErrFormat, ErrAlgorithm, ErrPasswordRequired, ErrWrongPassword, ErrModified} {
		if errors.Is(err, kind) != errors.Is(wantErr, kind) {
			t.Fatalf("Read: %v; Parse and Open: %v", err, wantErr)
		}
	}
	if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
		t.Fatalf("Read: %v, %v; Parse and Open: %v, %v", show(got), err, show(want), wantErr)
	}
}

func TestReadAgreesWithOpen(t *testing.T) {
	for _, v := range vectors(t) {
		for _, password := range []string{v.Password, "", "wrong"} {
			agree(t, []byte(v.XML), password)
		}
	}
	for _, c := range refusals(t) {
		agree(t, []byte(c.Input), c.Password)
	}
}

func FuzzRead(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.XML), v.Password)
	}
	for _, c := range refusals(f) {
		f.Add([]byte(c.Input), c.Password)
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) { agree(t, data, password) })
}

// A hundred thousand tokens are more than Parse takes.
func TestReadMany(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 2000
	}
	b := Batch{Password: "open sesame"}
	for i := range n {
		s := sample()
		s.Serial = fmt.Sprintf("%012d", i)
		copy(s.Seed, fmt.Sprintf("%016d", i))
		b.Tokens = append(b.Tokens, s)
	}
	data := encode(t, b)
	begin := time.Now()
	tokens, err := Read(data, b.Password)
	if err != nil || len(tokens) != n || tokens[n-1].Serial != fmt.Sprintf("%012d", n-1) || string(tokens[n-1].Seed) != fmt.Sprintf("%016d", n-1) {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	t.Logf("%d tokens, %d bytes, in %v", n, len(data), time.Since(begin))
	data[len(data)/2] ^= 1
	if _, err := Read(data, b.Password); !errors.Is(err, ErrModified) && !errors.Is(err, ErrFormat) {
		t.Errorf("a changed file: %v", err)
	}
}
