// Package ctf reads and writes compressed token format strings: the 81 digits,
// or the URL, that carry one software token, for example inside a QR code
// (spec/ctf.md; section numbers below are of that text).
//
//	s, err := ctf.Parse(text)                  // finds the string, still locked
//	token, err := s.Open("correct horse", "")  // the seed, once all checks are right
//	text, err = ctf.Encode(token, ctf.Options{Version: 2, Carrier: ctf.Android})
//
// A string may be locked with a password, to a device ID, or both; [String]
// says which. Versions 1 and 2 are digits, of which serial, expiry and settings can be read
// by anyone ([String.Public]); versions 3 and 4 are base64 in a URL and show nothing. Versions 2
// to 4 are written. All of them are weak locks (sections 4 and 6.3): a
// string without a long random password is as good as the seed.
//
// Known by file: find.go finds the string in a text, digits.go has versions 1
// and 2, binary.go versions 3 and 4, device.go the ways device IDs are read.
package ctf

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Why a string is refused. Errors of this package wrap one of these; no text holds a password, a seed or the string.
var (
	ErrFormat           = errors.New("ctf: not a token string")
	ErrLength           = errors.New("ctf: not the length of a token string")
	ErrTooLarge         = errors.New("ctf: too large to be a token string")
	ErrVersion          = errors.New("ctf: not a version that can be read")
	ErrChecksum         = errors.New("ctf: the checksum is wrong: the string was damaged")
	ErrPasswordRequired = errors.New("ctf: the string is locked with a password")
	ErrDeviceRequired   = errors.New("ctf: the string is bound to a device")
	ErrWrongPassword    = errors.New("ctf: wrong password")
	ErrWrongDevice      = errors.New("ctf: the string is bound to another device")
	ErrAlgorithm        = errors.New("ctf: not a 128-bit AES token")

	ErrInvalid = errors.New("ctf: the token cannot be written") // from Encode
	ErrExpiry  = fmt.Errorf("%w: its expiry is out of the range of the version", ErrInvalid)
)

// A Token is what a string carries.
type Token struct {
	Serial   string    // 12 decimal digits
	Seed     []byte    `json:"-"` // 16 bytes
	Birth    time.Time // first valid day, 00:00 UTC; versions 3 and 4 only, zero if not said
	Expiry   time.Time // last valid day, 00:00 UTC
	Issued   time.Time // versions 3 and 4 only, to the millisecond; zero if not said
	Digits   int       // length of the code
	Interval int       // seconds per code, 30 or 60
	AddPIN   bool      // PINPad: the PIN is added to the code inside the app

	// Flags of versions 1 and 2 that no program is known to use, and LocalPIN likewise. Of a token read from
	// version 3 or 4, TimeDerived is true.
	LocalPIN, Mode, TimeDerived, AppDerived bool
}

// Format prints the serial and nothing else, for every verb of package fmt.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "token %s (seed hidden)", t.Serial) }

// A Carrier is a form that a string is written in (section 1).
type Carrier int

// The carriers. Versions 3 and 4 need one of the URLs.
const (
	Plain   Carrier = iota // 81 digits
	Blocks                 // 81 digits in groups of five, joined by dashes
	Android                // http://127.0.0.1/securid/ctf?ctfData=
	IPhone                 // com.rsa.securid.iphone://ctf?ctfData=
	IOS                    // com.rsa.securid://ctf?ctfData=
)

// prefixes are the starts of the URL carriers.
var prefixes = map[Carrier]string{
	Android: "http://127.0.0.1/securid/ctf?ctfData=",
	IPhone:  "com.rsa.securid.iphone://ctf?ctfData=",
	IOS:     "com.rsa.securid://ctf?ctfData=",
}

// A String is a token string that was found, still locked.
type String struct {
	Version           int
	PasswordProtected bool
	DeviceBound       bool

	smartphone bool       // of the length class of the URLs (section 1.1)
	digits     digitsText // versions 1 and 2
	binary     []byte     // versions 3 and 4: 291 bytes
}

// Format prints what it is, never the string: one without password is the seed.
func (s *String) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "token string of version %d (hidden)", s.Version)
}

// Public is the token as anyone can read it, without its seed; false for versions 3 and 4, which
// show nothing. Nothing of it is proven but by a short checksum.
func (s *String) Public() (Token, bool) {
	if s.binary != nil {
		return Token{}, false
	}
	return s.digits.token(), true
}

// maxPassword is the longest password in bytes.
const maxPassword = 40

// Open unlocks the string. A password or device ID that it does not need is ignored. The device ID
// counts as given, and without its separators; a string of version 1 or 2
// is tried in the length class of its carrier first and then in the other.
//
// Errors: ErrPasswordRequired and ErrDeviceRequired when one is missing, ErrWrongDevice, ErrWrongPassword,
// ErrChecksum for a damaged string of version 3 or 4, ErrFormat for one that holds no token, ErrAlgorithm.
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
	if s.binary != nil {
		return openBinary(s.binary, password, deviceID)
	}
	return s.openDigits(password, deviceID)
}

// Options say how a token is written.
type Options struct {
	Version  int     // 2, 3 or 4
	Carrier  Carrier // Plain and Blocks are for version 2 only
	Password string  // "" for none; at most 40 bytes
	DeviceID string  // a device ID or class GUID that the string is bound to; "" for none
	// Rand is where the nonce of versions 3 and 4 comes from; nil is crypto/rand.
	Rand io.Reader
}

// Format hides the password.
func (o Options) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "version %d, carrier %d (secrets hidden)", o.Version, o.Carrier)
}

// Encode writes a token string. Birth and Issued are lost in version 2;
// LocalPIN and the derivation flags in versions 3 and 4. ErrInvalid says what the version cannot carry.
func Encode(t Token, o Options) (string, error) {
	if err := check(t, o); err != nil {
		return "", err
	}
	if o.Version == 2 {
		text := encodeDigits(t, o)
		switch o.Carrier {
		case Plain:
			return text, nil
		case Blocks:
			return blocks(text), nil
		}
		return prefixes[o.Carrier] + text, nil
	}
	data, err := encodeBinary(t, o)
	if err != nil {
		return "", err
	}
	return prefixes[o.Carrier] + data, nil
}

// check refuses what cannot be written, or what readers would disagree on.
func check(t Token, o Options) error {
	url := prefixes[o.Carrier] != ""
	switch {
	case o.Version < 2 || o.Version > 4:
		return fmt.Errorf("%w: version %d", ErrInvalid, o.Version)
	case !url && (o.Version != 2 || o.Carrier != Plain && o.Carrier != Blocks):
		return fmt.Errorf("%w: version %d needs a URL", ErrInvalid, o.Version)
	case len(t.Serial) != 12 || strings.Trim(t.Serial, "0123456789") != "":
		return fmt.Errorf("%w: its serial is not 12 decimal digits", ErrInvalid)
	case len(t.Seed) != 16:
		return fmt.Errorf("%w: its seed has %d bytes", ErrInvalid, len(t.Seed))
	case t.Digits < 1 || t.Digits > 8:
		return fmt.Errorf("%w: codes of %d digits", ErrInvalid, t.Digits)
	case t.Interval != 30 && t.Interval != 60:
		return fmt.Errorf("%w: an interval of %d seconds", ErrInvalid, t.Interval)
	case len(o.Password) > maxPassword:
		return fmt.Errorf("%w: a password of more than %d bytes", ErrInvalid, maxPassword)
	case o.Version == 2 && o.DeviceID != "" && deviceV2(o.DeviceID, o.Carrier.smartphone()) == "",
		o.Version > 2 && o.DeviceID != "" && deviceV3(o.DeviceID) == "":
		return fmt.Errorf("%w: a device ID that has nothing to bind to", ErrInvalid)
	}
	days := dayNumber(t.Expiry)
	if t.Expiry.IsZero() || days < 1 || o.Version == 2 && days >= 1<<14 {
		return ErrExpiry
	}
	return nil
}

func (c Carrier) smartphone() bool { return prefixes[c] != "" }

// blocks cuts digits into groups of five.
func blocks(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i += 5 {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[i:min(i+5, len(text))])
	}
	return b.String()
}

// epoch is day 0 of expiry dates.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// dayNumber counts the days of a date since 2000-01-01; dates before are negative.
func dayNumber(t time.Time) int64 {
	y, m, d := t.UTC().Date()
	return (time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() - epoch.Unix()) / 86400
}
