package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

// Whatever a CSV file holds: no panic, and a record is whole or says what is wrong with it.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("serial,seed\n1,00112233445566778899aabbccddeeff\n"), "serial", "seed")
	f.Add([]byte("\ufeffSN;Key;birth;expiry\r\n2;AAISEM2EKVTHPCEZVK54ZXPO74;2026-01-01;2031/01/01\r\n"), "SN", "Key")
	f.Add([]byte("a\tb\n\"1\"\t2\n"), "=5", "b")
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte, serial, seed string) {
		found, err := readCSV(Bytes(data), map[string]string{"serial": serial, "seed": seed}, nil, now)
		if err != nil {
			return
		}
		for r, err := range found {
			if err != nil {
				t.Fatalf("checked, and yet %v", err)
			}
			if whole := len(r.Seed) == seedSize && len(r.Serial) == 12 && !r.Expiry.IsZero(); whole == (r.Invalid != "") {
				t.Errorf("record %+v", r)
			}
		}
	})
}

// A quote that is never closed does not gather the file in memory.
func TestRowsHaveAnEnd(t *testing.T) {
	read := 0
	endless := func() (io.Reader, error) {
		read = 0
		return io.MultiReader(strings.NewReader("serial,seed\n1,\""), reader(func(p []byte) (int, error) {
			read += len(p)
			for i := range p {
				p[i] = 'a'
			}
			return len(p), nil
		})), nil
	}
	_, err := readCSV(endless, nil, nil, time.Now())
	if !errors.Is(err, fault.ImportFormat) || read > 4*longestRow {
		t.Errorf("%v after %d bytes", err, read)
	}
}

// What is kept of each row is little: a file of 1 GiB has 20 million. A map of strings keeps 89 bytes.
func TestRowsTakeLittleMemory(t *testing.T) {
	const rows, most = 240_000, 50 // bytes a row
	var text bytes.Buffer
	text.WriteString("serial,seed\n")
	for i := range rows {
		fmt.Fprintf(&text, "1%011d,%032x\n", i, i)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n := heap(), 0
	err := readRows(Bytes(text.Bytes()), nil, nil, time.Now(), func(r record) bool {
		if n++; r.Invalid != "" {
			t.Fatal(r.Invalid)
		}
		if n == rows {
			if kept := (int64(heap()) - int64(before)) / rows; kept > most {
				t.Errorf("%d bytes a row, want %d at most", kept, most)
			}
		}
		return true
	})
	if err != nil || n != rows {
		t.Errorf("%d rows, %v", n, err)
	}
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// A record that no token can be made of is told as such, and what it held of a seed is erased.
func TestARecordThatCannotBeUsed(t *testing.T) {
	day := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	whole := record{Serial: "000000000001", Digits: 8, Interval: 60, Birth: day, Expiry: day}
	for name, change := range map[string]func(*record){
		"":                         func(*record) {},
		"a seed of 64 bits":        func(r *record) { r.Seed = r.Seed[:8] },
		"seven digits":             func(r *record) { r.Digits = 7 },
		"intervals of 45 s":        func(r *record) { r.Interval = 45 },
		"no last day":              func(r *record) { r.Birth, r.Expiry = time.Time{}, time.Time{} },
		"a last day before all":    func(r *record) { r.Birth = day.AddDate(0, 0, 1) },
		"a last day that is late":  func(r *record) { r.Expiry = token.LastExpiry.AddDate(0, 0, 1) },
		"what its reader objected": func(r *record) { r.Invalid = "damaged" },
	} {
		r := whole
		r.Seed = bytes.Repeat([]byte{1}, seedSize)
		change(&r)
		held := r.Seed
		r.check()
		if name == "" {
			if r.Invalid != "" || len(r.Seed) != seedSize {
				t.Errorf("refused: %s", r.Invalid)
			}
			continue
		}
		if r.Invalid == "" || r.Seed != nil || r.Serial != whole.Serial || !bytes.Equal(held, make([]byte, len(held))) {
			t.Errorf("%s: %+v, and its seed is %x", name, r, held)
		}
	}
}
