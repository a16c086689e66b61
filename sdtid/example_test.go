package sdtid_test

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/sdtid"
)

// A token file is read in two steps: Parse shows what anybody can see, Open
// gives the seeds.
func ExampleParse() {
	data, err := sdtid.Encode(sdtid.Batch{
		Tokens: []sdtid.Token{{
			Serial: "000123456789",
			Seed:   bytes.Repeat([]byte{0x2a}, 16), // from crypto/rand in real life
			Expiry: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
			Digits: 8, Interval: 60, AddPIN: true,
			Login: "alice",
		}},
		Password: "correct horse",
	})
	if err != nil {
		panic(err)
	}

	file, err := sdtid.Parse(data)
	if err != nil {
		panic(err)
	}
	fmt.Println(file.Serials(), "locked:", file.Locked())

	_, err = file.Open("battery staple")
	fmt.Println(errors.Is(err, sdtid.ErrWrongPassword), err)

	tokens, err := file.Open("correct horse")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%x for %s until %s\n", tokens[0].Seed, tokens[0].Login, tokens[0].Expiry.Format(time.DateOnly))
	// Output:
	// [000123456789] locked: true
	// true sdtid: wrong password
	// 2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a for alice until 2031-01-01
}

// A batch becomes files of one token each, without its password.
func ExampleFile_Split() {
	var batch sdtid.Batch
	for i := range 3 {
		batch.Tokens = append(batch.Tokens, sdtid.Token{
			Serial: fmt.Sprintf("%012d", 100+i),
			Seed:   bytes.Repeat([]byte{byte(i)}, 16),
			Expiry: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
			Digits: 6, Interval: 30,
		})
	}
	batch.Password = "correct horse"
	data, err := sdtid.Encode(batch)
	if err != nil {
		panic(err)
	}

	file, err := sdtid.Parse(data)
	if err != nil {
		panic(err)
	}
	for serial, single := range file.Split() {
		one, err := sdtid.Parse(single)
		if err != nil {
			panic(err)
		}
		tokens, err := one.Open("correct horse")
		fmt.Println(serial, len(tokens), err)
	}
	// Output:
	// 000000000100 1 <nil>
	// 000000000101 1 <nil>
	// 000000000102 1 <nil>
}
