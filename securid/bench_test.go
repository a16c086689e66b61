package securid_test

import (
	"crypto/aes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tallystick/tallystick/securid"
)

var (
	benchSeed = []byte("0123456789abcdef")
	benchTime = time.Date(2026, 6, 10, 12, 30, 0, 0, time.UTC)
	benchAt   = securid.Interval(benchTime, 60)
)

const noCode = 1 << 31 // never found: every code of the window is computed

// naive computes the code of an interval of 60 s without remembering anything:
// the five steps of section 5, for the serial 000123456789.
func naive(seed []byte, interval int64) uint32 {
	t := time.Unix(interval*60, 0).UTC()
	bcd := func(n int) byte { return byte(n/10<<4 | n%10) }
	fields := [8]byte{
		bcd(t.Year() / 100), bcd(t.Year() % 100), bcd(int(t.Month())), bcd(t.Day()), bcd(t.Hour()), bcd(t.Minute() &^ 3),
	}
	key := seed
	for _, n := range []int{2, 3, 4, 5, 8} {
		b := []byte{
			0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x23, 0x45, 0x67, 0x89, 0xbb, 0xbb, 0xbb, 0xbb,
		}
		copy(b, fields[:n])
		schedule, err := aes.NewCipher(key)
		if err != nil {
			panic(err)
		}
		schedule.Encrypt(b, b)
		key = b
	}
	return binary.BigEndian.Uint32(key[interval&3*4:]) % 1e8
}

func TestNaiveAgrees(t *testing.T) {
	chain := benchChain(t)
	for at := benchAt - 100; at < benchAt+100; at++ {
		if want, got := naive(benchSeed, at), chain.At(at); got != want {
			t.Errorf("%d at %d, want %d", got, at, want)
		}
	}
}

func benchChain(tb testing.TB) *securid.Chain {
	chain, err := securid.NewChain(benchSeed, "000123456789", 8, 60)
	if err != nil {
		tb.Fatal(err)
	}
	return chain
}

// measure runs do, and then the naive computation of as many codes, and
// reports how many times longer the latter takes as "x-naive".
func measure(b *testing.B, codes int64, do func()) {
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
	ours := float64(b.Elapsed()) / float64(b.N)
	const rounds = 1000
	start := time.Now()
	for range rounds {
		for i := range codes {
			naive(benchSeed, benchAt-codes/2+i)
		}
	}
	b.ReportMetric(float64(time.Since(start))/rounds/ours, "x-naive")
}

// One code from nothing but the seed.
func BenchmarkCodeCold(b *testing.B) {
	measure(b, 1, func() { benchChain(b).At(benchAt) })
}

// The next code of a token whose hour is known, as text: mostly a new block.
func BenchmarkCodeWarm(b *testing.B) {
	chain := benchChain(b)
	var text [8]byte
	at := benchAt
	measure(b, 1, func() {
		at = benchAt - 30 + (at-benchAt+30+5)%60 // five further on, within the hour
		securid.AppendFormat(text[:0], chain.At(at), 8)
	})
}

func BenchmarkWindow(b *testing.B) {
	for _, w := range []struct {
		name   string
		around int64
	}{{"1", 1}, {"10", 10}, {"70", 70}} {
		find := func(chain *securid.Chain, from int64) { chain.Find(noCode, from-w.around, from+w.around, from) }
		b.Run(w.name+"/cold", func(b *testing.B) {
			measure(b, 2*w.around+1, func() { find(benchChain(b), benchAt) })
		})
		b.Run(w.name+"/warm", func(b *testing.B) {
			chain := benchChain(b)
			var turn int64
			measure(b, 2*w.around+1, func() {
				turn = (turn + 1) % 3
				find(chain, benchAt+19*(turn-1)) // far enough from the last that no block is still there
			})
		})
	}
}
