package securid_test

import (
	"math"
	"testing"

	"github.com/tallystick/tallystick/securid"
)

// FuzzFind holds a search against one interval after the other, each computed
// by a chain of its own.
func FuzzFind(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), "000123456789", 8, 60, uint32(0), int64(28_333_333), uint8(10), uint8(10), int8(0))
	f.Add([]byte("0123456789abcdef"), "999999999999", 1, 30, uint32(7), int64(0), uint8(70), uint8(0), int8(-71))
	f.Add(make([]byte, 16), "000000000000", 6, 60, uint32(math.MaxUint32), int64(math.MaxInt64-3), uint8(3), uint8(3), int8(3))
	f.Add(make([]byte, 16), "000000000000", 2, 30, uint32(42), int64(math.MinInt64+9), uint8(9), uint8(200), int8(127))
	f.Fuzz(func(t *testing.T, seed []byte, serial string, digits, interval int, code uint32, middle int64, before, after uint8, drift int8) {
		chain, err := securid.NewChain(seed, serial, digits, interval)
		if err != nil {
			return
		}
		middle /= 2 // so that nothing overflows here; TestEndsOfTime has the ends
		first, last := middle-int64(before), middle+int64(after)
		from := min(max(middle+int64(drift), first), last)

		nearest, exists := int64(0), false
		for at := first; at <= last; at++ {
			fresh, err := securid.NewChain(seed, serial, digits, interval)
			if err != nil {
				t.Fatal(err)
			}
			// Of two at the same distance the earlier one counts.
			if fresh.At(at) == code && (!exists || abs(at-from) < abs(nearest-from)) {
				nearest, exists = at, true
			}
		}
		if got, ok := chain.Find(code, first, last, middle+int64(drift)); ok != exists || got != nearest {
			t.Errorf("found %d, %t, want %d, %t", got, ok, nearest, exists)
		}
	})
}
