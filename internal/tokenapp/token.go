package tokenapp

import (
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/securid"
)

// Format says what a token came in.
type Format string

// The formats that a token can come in.
const (
	FormatSDTID Format = "sdtid"
	FormatCTF1  Format = "ctf1"
	FormatCTF2  Format = "ctf2"
	FormatCTF3  Format = "ctf3"
	FormatCTF4  Format = "ctf4"
	FormatCTKIP Format = "ctkip"
)

// A Token is one software token: what its source says of it and, once it is
// open, its seed. What the source does not say is zero.
type Token struct {
	Serial   string    // 12 decimal digits
	Seed     seed.Seed // zero while locked
	Digits   int       // of a code: 6 or 8
	Interval int       // seconds that a code is current: 30 or 60
	AddPIN   bool      // PINPad: the PIN goes into the code
	Birth    time.Time // first valid day, at 00:00 UTC
	Expiry   time.Time // last valid day, at 00:00 UTC

	Nickname          string // what the user calls it
	Issuer            string // who gave it out
	Format            Format // what it came in
	PasswordProtected bool   // it came locked with a password
	DeviceBound       bool   // it came bound to a device or a class of devices
	DeviceID          string // to which; empty where the source does not tell
}

// Expired tells whether the last valid day is over at that time. A token
// without an expiry date never expires.
func (t Token) Expired(at time.Time) bool {
	return !t.Expiry.IsZero() && !at.Before(t.Expiry.AddDate(0, 0, 1))
}

// DaysLeft is how many days after the one of that time the token can still be
// used: 0 on its last day, negative once it is expired. known is false for a
// token without an expiry date.
func (t Token) DaysLeft(at time.Time) (days int, known bool) {
	if t.Expiry.IsZero() {
		return 0, false
	}
	today := at.UTC().Truncate(24 * time.Hour)
	return int(t.Expiry.Sub(today) / (24 * time.Hour)), true
}

// A Code is what a token shows for one interval.
type Code struct {
	Text      string    // 6 or 8 digits: the tokencode, or with a PIN the passcode
	ValidFrom time.Time // when it begins to be current, UTC
	Left      int       // seconds that it stays so, 1 to the token's interval
}

// Code is what the token shows at that time. A PIN is merged into the code of
// a PINPad token and has no part in that of any other; an empty PIN is none.
// BAD_PIN is for one that is not 4 to 8 digits: nothing here can tell whether
// it is the right one.
func (t Token) Code(at time.Time, pin string) (Code, error) {
	secret := t.Seed.Reveal()
	defer clear(secret)
	text, err := securid.Code(secret, t.Serial, t.Digits, t.Interval, at)
	if err != nil {
		return Code{}, err
	}
	if pin != "" && t.AddPIN {
		if text, err = securid.AddPIN(text, pin); err != nil {
			return Code{}, fault.New(fault.BadPIN, "a PIN has 4 to 8 digits")
		}
	}
	start := securid.Interval(at, t.Interval) * int64(t.Interval)
	return Code{Text: text, ValidFrom: time.Unix(start, 0).UTC(), Left: int(start + int64(t.Interval) - at.Unix())}, nil
}

// PINType is the token's PIN type as spec/cli.md names it: the data of a token
// does not tell a fob from one that is used without a PIN.
func (t Token) PINType() string {
	if t.AddPIN {
		return "pinpad"
	}
	return "fob_or_none"
}

// day writes a date, or nothing for one that is not known.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// Info is what may be shown of a token, in the form that spec/cli.md promises
// to scripts.
type Info struct {
	Serial            string `json:"serial"`
	Algorithm         string `json:"algorithm"`
	Digits            int    `json:"digits"`
	IntervalSeconds   int    `json:"interval_seconds"`
	PINType           string `json:"pin_type"`
	Birth             string `json:"birth"`
	Expiry            string `json:"expiry"` // last valid day
	Nickname          string `json:"nickname"`
	DeviceID          string `json:"device_id"`
	PasswordProtected bool   `json:"password_protected"`
	DeviceBound       bool   `json:"device_bound"`
	Issuer            string `json:"issuer"`
	Format            Format `json:"format"`
}

// Info leaves out the seed.
func (t Token) Info() Info {
	return Info{
		Serial: t.Serial, Algorithm: "securid-aes128", Digits: t.Digits, IntervalSeconds: t.Interval, PINType: t.PINType(),
		Birth: day(t.Birth), Expiry: day(t.Expiry), Nickname: t.Nickname, DeviceID: t.DeviceID,
		PasswordProtected: t.PasswordProtected, DeviceBound: t.DeviceBound, Issuer: t.Issuer, Format: t.Format,
	}
}

// sameID compares device IDs as people copy them: with or without separators,
// in any case.
func sameID(a, b string) bool { return bareID(a) == bareID(b) }

func bareID(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, s)
}
