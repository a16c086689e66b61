package records

import (
	"testing"
	"time"
)

// Whatever a CSV file holds: no panic, and a record is whole or says what is wrong with it.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("serial,seed\n1,00112233445566778899aabbccddeeff\n"), "serial", "seed")
	f.Add([]byte("\ufeffSN;Key;birth;expiry\r\n2;AAISEM2EKVTHPCEZVK54ZXPO74;2026-01-01;2031/01/01\r\n"), "SN", "Key")
	f.Add([]byte("a\tb\n\"1\"\t2\n"), "=5", "b")
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte, serial, seed string) {
		found, err := readCSV(data, map[string]string{"serial": serial, "seed": seed}, false, now)
		if err != nil {
			return
		}
		for i := range found {
			r := &found[i]
			r.check()
			if whole := len(r.Seed) == seedSize && len(r.Serial) == 12 && !r.Expiry.IsZero(); whole == (r.Invalid != "") {
				t.Errorf("record %+v", r)
			}
		}
	})
}
