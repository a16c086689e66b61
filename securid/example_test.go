package securid_test

import (
	"encoding/hex"
	"fmt"
	"log"
	"time"

	"github.com/tallystick/tallystick/securid"
)

func seed() []byte {
	b, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	if err != nil {
		log.Fatal(err)
	}
	return b
}

func ExampleCode() {
	at := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	code, err := securid.Code(seed(), "000123456789", 8, 60, at)
	fmt.Println(code, err)
	// Output: 98488053 <nil>
}

// A server looks for a submitted code around the interval that its own clock
// is in, and remembers where it was found: only later intervals count next
// time, and the search starts at the drift learnt.
func ExampleChain_Find() {
	chain, err := securid.NewChain(seed(), "000123456789", 8, 60)
	if err != nil {
		log.Fatal(err)
	}
	defer chain.Erase()
	here := securid.Interval(time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC), 60)
	found, ok := chain.Find(27358636, here-10, here+10, here)
	fmt.Println(found-here, ok)
	// Output: 2 true
}

// A server that knows only a hash of a PINPad user's PIN takes each code of the
// window off the passcode. With a wrong code there are seldom zeros in front of
// what is left; where there are, the hash decides.
func ExampleChain_Outward() {
	chain, err := securid.NewChain(seed(), "000123456789", 8, 60)
	if err != nil {
		log.Fatal(err)
	}
	defer chain.Erase()
	const passcode, pinLength = "27359860", 4
	here := securid.Interval(time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC), 60)
	for at, code := range chain.Outward(here-10, here+10, here) {
		rest, err := securid.SubtractPIN(passcode, securid.Format(code, 8))
		if err == nil && rest[:8-pinLength] == "0000" {
			fmt.Println(at-here, rest[8-pinLength:])
		}
	}
	// Output: 2 1234
}

func ExampleAddPIN() {
	passcode, err := securid.AddPIN("98488053", "1234")
	fmt.Println(passcode, err)
	pin, err := securid.SubtractPIN(passcode, "98488053")
	fmt.Println(pin, err)
	// Output:
	// 98489287 <nil>
	// 00001234 <nil>
}

// The expiry date is the last day on which a token counts.
func ExampleValid() {
	birth, expiry := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	fmt.Println(securid.Valid(birth, expiry, time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)))
	fmt.Println(securid.End(expiry))
	// Output:
	// true
	// 2027-01-01 00:00:00 +0000 UTC
}
