package securid_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/securid"
)

// read loads the cases of a vector file (testdata is a copy of spec/vectors).
func read[T any](t testing.TB, name string) []T {
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

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTokencodeVectors(t *testing.T) {
	for _, c := range read[struct {
		ID        string
		Seed      string `json:"seed_hex"`
		Serial    string
		Digits    int
		Interval  int
		Style     string
		PIN       string
		Time      int64 `json:"unix_time"`
		Tokencode string
		Submitted string `json:"submission"`
	}](t, "tokencode.json") {
		code, err := securid.Code(unhex(t, c.Seed), c.Serial, c.Digits, c.Interval, time.Unix(c.Time, 0))
		if err != nil || code != c.Tokencode {
			t.Errorf("%s: code %s, %v, want %s", c.ID, code, err, c.Tokencode)
			continue
		}
		if c.Style != "pinpad" || c.PIN == "" {
			continue
		}
		passcode, err := securid.AddPIN(code, c.PIN)
		if err != nil || passcode != c.Submitted {
			t.Errorf("%s: passcode %s, %v, want %s", c.ID, passcode, err, c.Submitted)
		}
		rest, err := securid.SubtractPIN(passcode, code)
		last := c.PIN[max(0, len(c.PIN)-c.Digits):]
		if want := strings.Repeat("0", c.Digits-len(last)) + last; err != nil || rest != want {
			t.Errorf("%s: rest %s, %v, want %s", c.ID, rest, err, want)
		}
	}
}

func TestSeriesVectors(t *testing.T) {
	for _, c := range read[struct {
		ID         string
		Seed       string `json:"seed_hex"`
		Serial     string
		Digits     int
		Interval   int
		First      int64 `json:"first_unix_time"`
		Tokencodes []string
	}](t, "series.json") {
		chain, err := securid.NewChain(unhex(t, c.Seed), c.Serial, c.Digits, c.Interval)
		if err != nil {
			t.Fatal(err)
		}
		first := securid.Interval(time.Unix(c.First, 0), c.Interval)
		for i, want := range c.Tokencodes {
			if got := securid.Format(chain.At(first+int64(i)), c.Digits); got != want {
				t.Errorf("%s: code %d is %s, want %s", c.ID, i, got, want)
			}
		}
		// Backwards too: nothing may depend on the order.
		for i := len(c.Tokencodes) - 1; i >= 0; i-- {
			if got := chain.Code(time.Unix(c.First+int64(i*c.Interval), 0)); got != c.Tokencodes[i] {
				t.Errorf("%s: code %d backwards is %s", c.ID, i, got)
			}
		}
	}
}

// The worked example of section 11, with its neighbours.
func TestWorkedExample(t *testing.T) {
	seed := unhex(t, "000102030405060708090a0b0c0d0e0f")
	chain, _ := securid.NewChain(seed, "000123456789", 8, 60)
	at := securid.Interval(time.Unix(1700000000, 0), 60)
	for i, want := range []string{"18506031", "98488053", "62564781", "27358636"} {
		if got := securid.Format(chain.At(at-1+int64(i)), 8); got != want {
			t.Errorf("slot %d: %s, want %s", i, got, want)
		}
	}
	if code, _ := securid.Code(seed, "000123456789", 8, 30, time.Unix(1700000000, 0)); code != "62564781" {
		t.Errorf("30 s: %s", code)
	}
}

// A chain that jumps about in time gives what a fresh one gives.
func TestChainEqualsFreshCodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed")
		serial := rapid.StringMatching(`[0-9]{12}`).Draw(t, "serial")
		interval := rapid.SampledFrom([]int{30, 60}).Draw(t, "interval")
		digits := rapid.IntRange(1, 8).Draw(t, "digits")
		chain, err := securid.NewChain(seed, serial, digits, interval)
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.Int64Range(-2_000_000_000, 8_000_000_000).Draw(t, "start")
		for _, jump := range rapid.SliceOf(rapid.Int64Range(-5000, 5000)).Draw(t, "jumps") {
			at += jump
			fresh, err := securid.Code(seed, serial, digits, interval, time.Unix(at, 0))
			if got := chain.Code(time.Unix(at, 0)); err != nil || got != fresh {
				t.Fatalf("at %d: %s, fresh %s, %v", at, got, fresh, err)
			}
		}
	})
}

func TestFindLooksOutwardAndNoFurther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed")
		chain, _ := securid.NewChain(seed, "000123456789", 8, 60)
		from := rapid.Int64Range(0, 50_000_000).Draw(t, "from")
		down, up := rapid.Int64Range(0, 70).Draw(t, "down"), rapid.Int64Range(0, 70).Draw(t, "up")
		target := from + rapid.Int64Range(-90, 90).Draw(t, "offset")
		code := chain.At(target)
		got, ok := chain.Find(code, from-down, from+up, from)
		inside := target >= from-down && target <= from+up
		if inside && !ok || ok && chain.At(got) != code || ok && (got < from-down || got > from+up) {
			t.Fatalf("found %d %t for %d in [%d,%d]", got, ok, target, from-down, from+up)
		}
		if ok && inside && abs(got-from) > abs(target-from) {
			t.Fatalf("found %d although %d is nearer to %d", got, target, from)
		}
	})
}

func TestOutwardGivesEveryIntervalOnceTheNearestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed")
		seconds := rapid.SampledFrom([]int{30, 60}).Draw(t, "seconds")
		chain, _ := securid.NewChain(seed, "000123456789", 8, seconds)
		other, _ := securid.NewChain(seed, "000123456789", 8, seconds)
		from := rapid.Int64Range(0, 50_000_000).Draw(t, "from")
		first, last := from-rapid.Int64Range(-9, 70).Draw(t, "down"), from+rapid.Int64Range(-9, 70).Draw(t, "up")
		start := min(max(from, first), last)
		var order []int64
		for at, code := range chain.Outward(first, last, from) {
			if want := other.At(at); code != want {
				t.Fatalf("code %d of interval %d, want %d", code, at, want)
			}
			order = append(order, at)
		}
		if want := max(0, last-first+1); int64(len(order)) != want {
			t.Fatalf("%d intervals of %d: %d", len(order), want, order)
		}
		for i, at := range order[min(1, len(order)):] {
			if near, far := abs(order[i]-start), abs(at-start); near > far || near == far && order[i] >= at || at < first || at > last {
				t.Fatalf("%d after %d around %d: %d", at, order[i], start, order)
			}
		}
	})
}

func abs(n int64) int64 { return max(n, -n) }

func TestPINArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.StringMatching(`[0-9]{1,8}`).Draw(t, "code")
		pin := rapid.StringMatching(`[0-9]{4,8}`).Draw(t, "pin")
		passcode, err := securid.AddPIN(code, pin)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := securid.SubtractPIN(passcode, code)
		if err != nil || !strings.HasSuffix(strings.Repeat("0", 8)+pin, rest) {
			t.Fatalf("%s + %s = %s, back %s, %v", code, pin, passcode, rest, err)
		}
	})
	for _, pin := range []string{"", "123", "123456789", "12a4", "-123"} {
		if _, err := securid.AddPIN("12345678", pin); err == nil {
			t.Errorf("PIN %q taken", pin)
		}
	}
	for _, c := range [][2]string{{"123", "1234"}, {"12b4", "1234"}, {"1234", "12b4"}} { // "b" would count as a digit
		if rest, err := securid.SubtractPIN(c[0], c[1]); err == nil {
			t.Errorf("%v: %s", c, rest)
		}
	}
}

func TestRefusals(t *testing.T) {
	seed := make([]byte, 16)
	for name, c := range map[string]struct {
		seed             []byte
		serial           string
		digits, interval int
		want             error
	}{
		"short seed":     {seed[:15], "000123456789", 8, 60, securid.ErrSeed},
		"short serial":   {seed, "123456789", 8, 60, securid.ErrSerial},
		"letters":        {seed, "00012345678x", 8, 60, securid.ErrSerial},
		"no digits":      {seed, "000123456789", 0, 60, securid.ErrDigits},
		"nine digits":    {seed, "000123456789", 9, 60, securid.ErrDigits},
		"other interval": {seed, "000123456789", 8, 45, securid.ErrInterval},
	} {
		if _, err := securid.Code(c.seed, c.serial, c.digits, c.interval, time.Unix(0, 0)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidAtItsEdges(t *testing.T) {
	birth, expiry := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]bool{
		birth.Add(-1): false, birth: true, expiry: true,
		time.Date(2026, 1, 31, 23, 59, 59, 999999999, time.UTC): true,
		time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC):             false,
	} {
		if got := securid.Valid(birth, expiry, at); got != want {
			t.Errorf("valid at %s: %t", at, got)
		}
	}
	if !securid.Valid(time.Time{}, time.Time{}, birth) {
		t.Error("no dates limit nothing")
	}
}

// stoken gives codes until 36 hours after the end of a token, and takes the
// last second of 32 bits for the end of those whose date is past it (section
// 9). So its answers tell where the end is.
func TestExpiryVectors(t *testing.T) {
	const grace = 36 * time.Hour
	last32 := time.Unix(1<<31-1, 0)
	for _, c := range read[struct {
		ID      string
		Expiry  string `json:"exp_date"`
		Time    int64  `json:"unix_time"`
		Verdict string `json:"stoken"`
	}](t, "expiry.json") {
		expiry, err := time.Parse(time.DateOnly, c.Expiry)
		if err != nil {
			t.Fatal(err)
		}
		at, end := time.Unix(c.Time, 0), securid.End(expiry)
		if end.After(last32) {
			end = last32
		}
		if ok := at.Before(end.Add(grace)); ok != (c.Verdict == "ok") {
			t.Errorf("%s: %s at %s with the end at %s", c.ID, c.Verdict, at.UTC(), end)
		}
		if valid, want := securid.Valid(time.Time{}, expiry, at), at.Before(securid.End(expiry)); valid != want {
			t.Errorf("%s: valid is %t", c.ID, valid)
		}
	}
}

func TestAddPINVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/primitives.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Sums []struct{ Code, PIN, Result string } `json:"add_pin"`
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Sums) == 0 {
		t.Fatalf("%d sums, %v", len(file.Sums), err)
	}
	for _, c := range file.Sums {
		if got, err := securid.AddPIN(c.Code, c.PIN); err != nil || got != c.Result {
			t.Errorf("%s + %s = %s, %v, want %s", c.Code, c.PIN, got, err, c.Result)
		}
	}
}

// Nothing that a caller can ask for stops the program or runs away.
func TestEndsOfTime(t *testing.T) {
	chain, err := securid.NewChain(make([]byte, 16), "999999999999", 8, 30)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, math.MaxInt64 - 1, math.MaxInt64} {
		code := chain.At(at)
		if got, ok := chain.Find(code, at, at, 0); !ok || got != at {
			t.Errorf("at %d: %d, %t", at, got, ok)
		}
	}
	if _, ok := chain.Find(0, 1, 0, 0); ok {
		t.Error("found in an empty window")
	}
	if at := securid.Interval(time.Unix(-1, 0), 60); at != -1 {
		t.Errorf("the second before 1970 is in interval %d", at)
	}
	if got := securid.Format(123456789, 6); got != "456789" {
		t.Errorf("the last six digits of a longer number are %s", got)
	}
}

// Codes within a known hour allocate nothing, in either order.
func TestNoAllocationsWhenWarm(t *testing.T) {
	chain, _ := securid.NewChain(make([]byte, 16), "000123456789", 8, 60)
	here := securid.Interval(time.Date(2026, 6, 1, 12, 30, 0, 0, time.UTC), 60)
	var buf [8]byte
	chain.At(here)
	if n := testing.AllocsPerRun(100, func() {
		chain.Find(1<<31, here-10, here+10, here)
		for range chain.Outward(here-10, here+10, here) {
		}
		securid.AppendFormat(buf[:0], chain.At(here+15), 8)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
