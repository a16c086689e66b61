package sdtid

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll reads a file with [Check].
func readAll(data []byte, password string) ([]Token, error) {
	c, err := Check(func() (io.Reader, error) { return iotest.HalfReader(bytes.NewReader(data)), nil }, password)
	if err != nil {
		return nil, err
	}
	var tokens []Token
	for t, err := range c.Tokens() {
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

// Check is Parse and Open, of one token at a time.
func agree(t *testing.T, data []byte, password string) {
	t.Helper()
	var want []Token
	file, wantErr := Parse(data)
	if wantErr == nil {
		want, wantErr = file.Open(password)
	}
	got, err := readAll(data, password)
	if errors.Is(wantErr, ErrTooLarge) {
		return // Check takes more
	}
	for _, kind := range []error{ErrFormat, ErrAlgorithm, ErrPasswordRequired, ErrWrongPassword, ErrModified} {
		if errors.Is(err, kind) != errors.Is(wantErr, kind) {
			t.Fatalf("Check: %v; Parse and Open: %v", err, wantErr)
		}
	}
	if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
		t.Fatalf("Check: %v, %v; Parse and Open: %v, %v", show(got), err, show(want), wantErr)
	}
}

func TestCheckAgreesWithOpen(t *testing.T) {
	for _, v := range vectors(t) {
		for _, password := range []string{v.Password, "", "wrong"} {
			agree(t, []byte(v.XML), password)
		}
	}
	for _, c := range refusals(t) {
		agree(t, []byte(c.Input), c.Password)
	}
}

func FuzzCheck(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.XML), v.Password)
	}
	for _, c := range refusals(f) {
		f.Add([]byte(c.Input), c.Password)
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) { agree(t, data, password) })
}

// A hundred thousand tokens are more than Parse takes.
func TestCheckMany(t *testing.T) {
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
	tokens, err := readAll(data, b.Password)
	if err != nil || len(tokens) != n || tokens[n-1].Serial != fmt.Sprintf("%012d", n-1) || string(tokens[n-1].Seed) != fmt.Sprintf("%016d", n-1) {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	t.Logf("%d tokens, %d bytes, in %v", n, len(data), time.Since(begin))
	data[len(data)/2] ^= 1
	if _, err := readAll(data, b.Password); !errors.Is(err, ErrModified) && !errors.Is(err, ErrFormat) {
		t.Errorf("a changed file: %v", err)
	}
}

// A header or token without end is refused before it takes memory, however it is cut into pieces. Read to where this one breaks off, it would
// be no well-formed XML.
func TestCheckWithoutEnd(t *testing.T) {
	data := string(encode(t, Batch{Tokens: []Token{sample()}}))
	for _, section := range []string{"<TKNHeader>", "<TKN>"} {
		start, _, _ := strings.Cut(data, section)
		for _, piece := range []string{"1<!---->", "<a/>", "<aMAC>1</aMAC>", " <?x?>", "<![CDATA[1]]>"} {
			long := start + section + strings.Repeat(piece, maxKept+1)
			if _, err := Check(func() (io.Reader, error) { return strings.NewReader(long), nil }, ""); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s%s...: %v", section, piece, err)
			}
		}
	}
}

// What stands beside header and tokens may be of any length: nothing of it is kept.
func TestCheckKeepsNoTrailer(t *testing.T) {
	const more = "</TKNTrailer><TKNHeader></TKNHeader><More></More>"
	data := strings.Replace(string(encode(t, Batch{Tokens: []Token{sample()}})), "</TKNTrailer>", more, 1)
	long := strings.Repeat("<a>"+strings.Repeat("x", 1000)+"<!---->y</a>", 1000)
	for _, where := range []string{"<TKNTrailer>", "<BatchSignature>", "</TKNTrailer><TKNHeader>", "<More>"} {
		before, after, _ := strings.Cut(data, where)
		if _, err := readAll([]byte(before+where+long+after), ""); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		d := &document{}
		if err := d.read(strings.NewReader(before + where + long)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", where, err)
		}
		if e := d.open[len(d.open)-1]; len(e.text)+len(e.children) > 0 {
			t.Errorf("%s: %d bytes and %d elements are kept", where, len(e.text), len(e.children))
		}
	}
}

// A file that cannot be read is no broken file, and one that is changed between the two readings gives no more tokens.
func TestCheckReadsTwice(t *testing.T) {
	data := encode(t, Batch{Tokens: thousand()[:3], Password: "open sesame"})
	lost := errors.New("the disk is gone")
	for after := range 3 { // readings that go well: the header, the check, the tokens
		reading := 0
		c, err := Check(func() (io.Reader, error) {
			if reading++; reading > after {
				return iotest.TimeoutReader(iotest.ErrReader(lost)), nil
			}
			return bytes.NewReader(data), nil
		}, "open sesame")
		if err == nil {
			for _, e := range c.Tokens() {
				err = errors.Join(err, e)
			}
		}
		if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
			t.Errorf("lost after %d readings: %v", after, err)
		}
	}
	changed := bytes.Clone(data)
	at := bytes.Index(changed, []byte("000000000001"))
	changed[at+11] = '9'
	file := data
	c, err := Check(func() (io.Reader, error) { return bytes.NewReader(file), nil }, "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	file = changed
	n := 0
	for _, err = range c.Tokens() {
		if err == nil {
			n++
		}
	}
	if n != 1 || !errors.Is(err, ErrModified) {
		t.Errorf("%d tokens of a file that was changed, then %v", n, err)
	}
}
