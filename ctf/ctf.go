// Package ctf reads and writes compressed token format strings: the 81 digits,
// or the URL, that carry one software token, for example inside a QR code.
//
//	s, err := ctf.Parse(text)                 // finds the string, still locked
//	token, err := s.Open("correct horse", "") // its token, once all checks are right
//	text, err = ctf.Encode(token, ctf.Options{Version: 2, Carrier: ctf.Android})
//
// A string may be locked with a password, to a device ID, or both; a [String]
// says which. Versions 1 and 2 are digits, which show the serial number, the
// expiry date and the settings to anyone ([String.Public]); versions 3 and 4
// are base64, and show nothing. Version 1 is read only, the others are written
// as well.
//
// The locks are weak. A device class ([Classes]) is a public value, and of a
// password a guess costs one hash or a few blocks of AES: use long random ones.
// A string without a password is as good as the seed in it.
//
// Where readers disagree about a text, [Parse] and [String.Open] try what any
// of them would take. In the files, find.go looks for the string, digits.go
// has versions 1 and 2, binary.go versions 3 and 4, and device.go the ways in
// which they read a device ID.
//
// Specification: ctf.md, whose sections are named in the comments.
package ctf

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// SeedSize is the length of a seed in bytes.
const SeedSize = 16

// maxPassword is the length of the longest password in bytes. Readers refuse
// longer ones.
const maxPassword = 40

// Why a string or a token is refused. The errors of this package wrap one of
// these, and never hold a password, a seed or a string.
var (
	ErrFormat           = errors.New("ctf: not a token string")
	ErrLength           = errors.New("ctf: not the length of a token string")
	ErrTooLarge         = errors.New("ctf: too large to be a token string")
	ErrVersion          = errors.New("ctf: not a version that can be read")
	ErrChecksum         = errors.New("ctf: the checksum is wrong, the string was damaged")
	ErrAlgorithm        = errors.New("ctf: not a 128-bit AES token")
	ErrPasswordRequired = errors.New("ctf: the string is locked with a password")
	ErrDeviceRequired   = errors.New("ctf: the string is bound to a device")
	ErrWrongPassword    = errors.New("ctf: wrong password")
	ErrWrongDevice      = errors.New("ctf: the string is bound to another device")

	// ErrInvalid is of [Encode]; ErrExpiry is one kind of it.
	ErrInvalid = errors.New("ctf: the token cannot be written")
	ErrExpiry  = fmt.Errorf("%w: its expiry date is out of range", ErrInvalid)
)

// A Token is what a string carries. Of the fields, version 2 has no Birth and
// Issued, and versions 3 and 4 have none of LocalPIN, TimeDerived and
// AppDerived: reading them gives TimeDerived alone.
type Token struct {
	Serial   string    // 12 decimal digits
	Seed     []byte    `json:"-"` // of [SeedSize]
	Birth    time.Time // first valid day, 00:00 UTC; zero if not said
	Expiry   time.Time // last valid day, 00:00 UTC; zero if not said
	Issued   time.Time // when the string was made, to the millisecond; zero if not said
	Digits   int       // length of a code, 1 to 8
	Interval int       // seconds per code, 30 or 60
	AddPIN   bool      // PINPad: the app adds the PIN to the code

	// Flags that change no code. 128-bit tokens have TimeDerived alone.
	LocalPIN, Mode, TimeDerived, AppDerived bool
}

// Format prints the serial number and nothing else, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "token %s (seed hidden)", t.Serial)
}

// A String is a token string that was found, still locked.
type String struct {
	Version           int // 1 to 4
	PasswordProtected bool
	DeviceBound       bool

	smartphone bool    // of the length class of the URLs (section 1.1)
	digits     *digits // of versions 1 and 2
	binary     []byte  // of versions 3 and 4
}

// Format prints the version and never the string, which may be a bare secret.
func (s String) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "token string of version %d (hidden)", s.Version)
}

// Public is what anyone can read of the token in a string of version 1 or 2:
// all but the seed. It is false for versions 3 and 4.
func (s *String) Public() (t Token, ok bool) {
	if s.digits == nil {
		return Token{}, false
	}
	return s.digits.token(), true
}

// Open unlocks the string. A password or device ID that it does not need is
// ignored. Of a device ID the separators may be missing or others than those
// it was bound with.
//
// Errors: [ErrPasswordRequired], [ErrDeviceRequired], [ErrWrongPassword] and
// [ErrWrongDevice]; [ErrChecksum] for a string that was damaged, and
// [ErrFormat] for one that holds no token, both of which Parse cannot always
// know.
func (s *String) Open(password, deviceID string) (Token, error) {
	switch {
	case s.PasswordProtected && password == "":
		return Token{}, ErrPasswordRequired
	case s.DeviceBound && deviceID == "":
		return Token{}, ErrDeviceRequired
	case s.PasswordProtected && len(password) > maxPassword:
		return Token{}, fmt.Errorf("%w: it has more than %d bytes", ErrWrongPassword, maxPassword)
	}
	if !s.PasswordProtected {
		password = ""
	}
	if !s.DeviceBound {
		deviceID = ""
	}
	if s.digits != nil {
		return s.digits.open(password, deviceID, s.smartphone)
	}
	return openBinary(s.binary, password, deviceID)
}

// A Carrier is a form in which a string is written (section 1).
type Carrier int

// The carriers. Versions 3 and 4 need a URL.
const (
	Plain   Carrier = iota // 81 digits
	Blocks                 // 81 digits in groups of five, for typing
	Android                // http://127.0.0.1/securid/ctf?ctfData=
	IPhone                 // com.rsa.securid.iphone://ctf?ctfData=
	IOS                    // com.rsa.securid://ctf?ctfData=
)

// url is what comes before the data, empty for what is no URL.
func (c Carrier) url() string {
	switch c {
	case Android:
		return "http://127.0.0.1/securid/ctf?ctfData="
	case IPhone:
		return "com.rsa.securid.iphone://ctf?ctfData="
	case IOS:
		return "com.rsa.securid://ctf?ctfData="
	}
	return ""
}

// Options say how a token is written.
type Options struct {
	Version  int       // 2, 3 or 4
	Carrier  Carrier   // of versions 3 and 4 one of the URLs
	Password string    `json:"-"` // at most 40 bytes; "" for none
	DeviceID string    // a device ID, or the GUID of a [Class]; "" for none
	Rand     io.Reader // where the nonce of versions 3 and 4 comes from; nil is crypto/rand
}

// Format hides the password.
func (o Options) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "version %d, carrier %d (locks hidden)", o.Version, o.Carrier)
}

// Encode writes a token string. What the version has no room for is left out
// (see [Token]). It refuses with [ErrInvalid] what no reader, or not every
// one, would read as it was meant; one kind of it is [ErrExpiry].
func Encode(t Token, o Options) (string, error) {
	if err := check(t, o); err != nil {
		return "", err
	}
	if o.Version > 2 {
		data, err := encodeBinary(t, o)
		return o.Carrier.url() + data, err
	}
	data := encodeDigits(t, o)
	if o.Carrier == Blocks {
		return blocks(data), nil
	}
	return o.Carrier.url() + data, nil
}

// blocks puts a dash after every fifth digit.
func blocks(digits string) string {
	var b strings.Builder
	for len(digits) > 5 {
		b.WriteString(digits[:5] + "-")
		digits = digits[5:]
	}
	return b.String() + digits
}

// check is what Encode refuses.
func check(t Token, o Options) error {
	url := o.Carrier.url() != ""
	switch {
	case o.Version < 2 || o.Version > 4:
		return fmt.Errorf("%w: version %d is not written", ErrInvalid, o.Version)
	case o.Carrier < Plain || o.Carrier > IOS:
		return fmt.Errorf("%w: there is no carrier %d", ErrInvalid, o.Carrier)
	case o.Version > 2 && !url:
		return fmt.Errorf("%w: version %d needs a URL", ErrInvalid, o.Version)
	case !isSerial(t.Serial):
		return fmt.Errorf("%w: its serial number has not %d decimal digits", ErrInvalid, serialLength)
	case len(t.Seed) != SeedSize:
		return fmt.Errorf("%w: its seed has %d bytes", ErrInvalid, len(t.Seed))
	case t.Digits < 1 || t.Digits > 8:
		return fmt.Errorf("%w: codes of %d digits", ErrInvalid, t.Digits)
	case t.Interval != 30 && t.Interval != 60:
		return fmt.Errorf("%w: an interval of %d seconds", ErrInvalid, t.Interval)
	case len(o.Password) > maxPassword:
		return fmt.Errorf("%w: the password has more than %d bytes", ErrInvalid, maxPassword)
	case o.DeviceID != "" && o.Version == 2 && deviceV2(o.DeviceID, lengthClass(url)) == "",
		o.DeviceID != "" && o.Version > 2 && deviceV3(o.DeviceID) == "":
		return fmt.Errorf("%w: nothing of the device ID would count", ErrInvalid)
	case !representable(t.Birth) || !representable(t.Issued):
		return fmt.Errorf("%w: a date after the year 9999", ErrInvalid)
	}
	// Readers take the first day of all for no date.
	days := date(t.Expiry).Sub(epoch) / (24 * time.Hour)
	if days < 1 || o.Version == 2 && days > maskExpiry || !representable(t.Expiry) {
		return ErrExpiry
	}
	return nil
}

func isSerial(s string) bool {
	return len(s) == serialLength && strings.Trim(s, "0123456789") == ""
}

// epoch is day 0 of expiry dates.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// date is 00:00 UTC of the day that t lies in; zero stays zero.
func date(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// representable says whether package time can write t everywhere, as in JSON.
func representable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}
