// Package securid computes the tokencodes of SecurID software tokens with a
// 128-bit seed: the 6 or 8 digits that change every 30 or 60 seconds.
//
// For one code, [Code] is enough:
//
//	code, err := securid.Code(seed, "000123456789", 8, 60, time.Now())
//
// Who computes many codes of one token, as a server does that looks for a
// submitted code in a window of intervals, keeps a [Chain]. The algorithm
// derives a key for the year, from it one for the month, the day and the hour,
// and from the last a block that holds four consecutive codes; a Chain
// remembers them, so that the next code costs at most one AES block.
//
// A PINPad token shows the code with the user's PIN added ([AddPIN]; the
// server may take it off again with [SubtractPIN]). Every other token shows
// the plain code, with the PIN, if any, typed in front of it.
//
// The dates of a token do not enter the computation: [Valid] and [End] say
// when its codes count.
//
// Specification: securid-tokencode.md. All times are taken in UTC.
package securid

import (
	"errors"
	"strconv"
	"time"
)

// SeedSize is the length of a seed in bytes.
const SeedSize = 16

// What [NewChain], [Code], [AddPIN] and [SubtractPIN] refuse. The texts never
// contain the value that was refused.
var (
	ErrSeed     = errors.New("securid: the seed must have " + strconv.Itoa(SeedSize) + " bytes")
	ErrSerial   = errors.New("securid: the serial number must have 12 decimal digits")
	ErrDigits   = errors.New("securid: a tokencode has 1 to 8 digits")
	ErrInterval = errors.New("securid: the interval must be 30 or 60 seconds")
	ErrCode     = errors.New("securid: a tokencode must have 1 to 8 decimal digits")
	ErrPIN      = errors.New("securid: a PINPad PIN must have 4 to 8 decimal digits")
)

// Code is the tokencode at t, left-padded to digits. The parameters and errors
// are those of [NewChain].
func Code(seed []byte, serial string, digits, interval int, t time.Time) (string, error) {
	c, err := NewChain(seed, serial, digits, interval)
	if err != nil {
		return "", err
	}
	defer c.Erase()
	return c.Code(t), nil
}

// Interval is the index of the interval that t lies in: the seconds since
// 1970 divided by the length of an interval, rounded down also for earlier
// times. It grows by one with every code, across all calendar boundaries.
// The length in seconds must be positive.
func Interval(t time.Time, seconds int) int64 {
	return floorDiv(t.Unix(), int64(seconds))
}

// Format writes a code as the token shows it, left-padded with zeros.
func Format(code uint32, digits int) string {
	return string(AppendFormat(make([]byte, 0, maxDigits), code, digits))
}

// AppendFormat appends to dst what [Format] returns.
func AppendFormat(dst []byte, code uint32, digits int) []byte {
	start := len(dst)
	for range digits {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = '0' + byte(code%10)
		code /= 10
	}
	return dst
}

// floorDiv divides rounding toward minus infinity, b being positive.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
