package ctf_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/tallystick/tallystick/ctf"
)

// A string that is locked with a password shows who it is for, and no more.
func Example() {
	s, err := ctf.Parse("Your token: 20001-23456-78906-07774-51132-73160-20206-37036-67307-16314-62274-26172-16262-00013-02716-77015-1")
	if err != nil {
		log.Fatal(err)
	}
	public, _ := s.Public()
	fmt.Println(s.Version, public.Serial, public.Expiry.Format(time.DateOnly), "locked:", s.PasswordProtected)

	_, err = s.Open("guess", "")
	fmt.Println(errors.Is(err, ctf.ErrWrongPassword))

	token, err := s.Open("secret", "")
	fmt.Printf("%x %v\n", token.Seed, err)
	// Output:
	// 2 000123456789 2035-08-05 locked: true
	// true
	// 000102030405060708090a0b0c0d0e0f <nil>
}

// A token for any Android phone that has the app, as the text of a QR code.
func ExampleEncode() {
	token := ctf.Token{
		Serial: "000123456789", Seed: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		Expiry: time.Date(2035, 8, 5, 0, 0, 0, 0, time.UTC), Digits: 8, Interval: 60, AddPIN: true, TimeDerived: true,
	}
	text, err := ctf.Encode(token, ctf.Options{Version: 2, Carrier: ctf.Android, DeviceID: "a01c4380-fc01-4df0-b113-7fb98ec74694"})
	fmt.Println(text, err)
	// Output:
	// http://127.0.0.1/securid/ctf?ctfData=200012345678927242707055170022166354557734542512502137065172162620001303072651505 <nil>
}

// The phone of a user, with a password that travels by another way. Versions 3
// and 4 show nothing while they are locked.
func ExampleString_Public() {
	token := ctf.Token{
		Serial: "000123456789", Seed: make([]byte, ctf.SeedSize),
		Expiry: time.Date(2035, 8, 5, 0, 0, 0, 0, time.UTC), Digits: 6, Interval: 60, TimeDerived: true,
	}
	text, err := ctf.Encode(token, ctf.Options{
		Version: 4, Carrier: ctf.IOS, Password: "correct horse battery staple", DeviceID: "d82c-467c-56fb-2058-edf8-add6",
	})
	if err != nil {
		log.Fatal(err)
	}
	s, err := ctf.Parse(text)
	if err != nil {
		log.Fatal(err)
	}
	_, readable := s.Public()
	fmt.Println(s, readable)

	opened, err := s.Open("correct horse battery staple", "d82c 467c 56fb 2058 edf8 add6")
	fmt.Println(opened, err)
	// Output:
	// token string of version 4 (hidden) false
	// token 000123456789 (seed hidden) <nil>
}
