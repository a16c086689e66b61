package ctf

import (
	"crypto/aes"
	"fmt"
	"strings"
)

// Offsets in the text of versions 1 and 2 (section 3), and in its bits.
const (
	textLength  = 81
	serialEnd   = 13
	bitsEnd     = 76 // 63 octal digits, then the checksum
	checkDigits = 5

	bitFlags   = 128
	bitExpiry  = 144
	bitSeedSum = 159
	bitDevSum  = 174
)

// Bits of the flags word (spec/securid-tokencode.md section 8).
const (
	flagAES128      = 1 << 14
	flagPassword    = 1 << 13
	flagDevice      = 1 << 12
	flagAppDerived  = 1 << 11
	flagMode        = 1 << 10
	flagTimeDerived = 1 << 9
	flagAddPIN      = 1 << 4
	flagLocalPIN    = 1 << 3
	shiftDigits     = 6
	maskDigits      = 7
	maskInterval    = 3 // 0 is 30 seconds
)

// keySuffix ends the input that the key of the seed is hashed from (section 4).
var keySuffix = []byte{0xd8, 0xf5, 0x32, 0x53, 0x82, 0x89}

// digitsText is a string of version 1 or 2, checked and cut into its fields.
type digitsText struct {
	version int
	serial  string
	sealed  [16]byte // encrypted seed
	flags   uint16
	expiry  uint16 // days since 2000-01-01
	seedSum uint16
	devSum  uint16
}

// parseDigits reads 81 to 85 digits; in longer ones the checksum is at the end and what lies before it means nothing.
func parseDigits(text string) (digitsText, error) {
	d := digitsText{version: int(text[0] - '0'), serial: text[1:serialEnd]}
	sum, ok := octal(text[len(text)-checkDigits:])
	if !ok || bits(sum, 0, 15) != short([]byte(text[:len(text)-checkDigits])) {
		return d, ErrChecksum
	}
	words, ok := octal(text[serialEnd:bitsEnd])
	if !ok {
		return d, fmt.Errorf("%w: a digit that it cannot have", ErrFormat)
	}
	for i := range d.sealed {
		d.sealed[i] = byte(bits(words, 8*i, 8))
	}
	d.flags = bits(words, bitFlags, 16)
	d.expiry = bits(words, bitExpiry, 14)
	d.seedSum = bits(words, bitSeedSum, 15)
	d.devSum = bits(words, bitDevSum, 15)
	if d.flags&flagAES128 == 0 {
		return d, ErrAlgorithm
	}
	return d, nil
}

// octal turns octal digits into bits, eight to a word, zero-filled; false if a digit is 8 or 9.
func octal(text string) ([]uint16, bool) {
	words := make([]uint16, (3*len(text)+7)/8+2)
	for i, c := range []byte(text) {
		if c < '0' || c > '7' {
			return nil, false
		}
		for b := range 3 {
			if c>>(2-b)&1 == 1 {
				at := 3*i + b
				words[at/8] |= 0x80 >> (at % 8)
			}
		}
	}
	return words, true
}

// bits reads n bits at an offset.
func bits(words []uint16, at, n int) uint16 {
	var v uint16
	for i := at; i < at+n; i++ {
		v = v<<1 | words[i/8]>>(7-i%8)&1
	}
	return v
}

// token is what can be read without the seed.
func (d digitsText) token() Token {
	t := Token{
		Serial: d.serial, Expiry: epoch.AddDate(0, 0, int(d.expiry)),
		Digits: int(d.flags>>shiftDigits&maskDigits) + 1, Interval: 60,
		AddPIN: d.flags&flagAddPIN != 0, LocalPIN: d.flags&flagLocalPIN != 0, Mode: d.flags&flagMode != 0,
		TimeDerived: d.flags&flagTimeDerived != 0, AppDerived: d.flags&flagAppDerived != 0,
	}
	if d.flags&maskInterval == 0 {
		t.Interval = 30
	}
	return t
}

// openDigits decrypts the seed of version 1 or 2 (section 4). Of the readings of a device ID, one
// whose check value fits and whose seed proves right wins.
func (s *String) openDigits(password, deviceID string) (Token, error) {
	d := s.digits
	err := ErrWrongPassword
	if s.DeviceBound {
		err = ErrWrongDevice
	}
	for _, r := range s.readings(deviceID) {
		if s.DeviceBound && short(field(r.device, r.length)) != d.devSum {
			continue
		}
		seed := unlockSeed(d.sealed, password, r.device)
		if short(seed) == d.seedSum {
			t := d.token()
			t.Seed = seed
			return t, nil
		}
		clear(seed)
		err = ErrWrongPassword
	}
	if err == ErrWrongPassword && !s.PasswordProtected && !s.DeviceBound {
		return Token{}, fmt.Errorf("%w: the seed does not fit its check value", ErrChecksum)
	}
	return Token{}, err
}

// A reading is one way to understand a device ID.
type reading struct {
	device string
	length int
}

func (s *String) readings(deviceID string) []reading {
	normal := deviceV2
	if s.digits.version == 1 {
		normal = deviceV1
	}
	var all []reading
	for _, smartphone := range []bool{s.smartphone, !s.smartphone} {
		for _, id := range []string{deviceID, unseparated(deviceID)} {
			all = append(all, reading{normal(id, smartphone), lengthV2(smartphone)})
		}
	}
	return all
}

// seedKey is the key of a seed.
func seedKey(password, device string) [16]byte {
	input := append(append([]byte(password), device...), keySuffix...)
	defer clear(input)
	return mac128(input)
}

func unlockSeed(sealed [16]byte, password, device string) []byte {
	key := seedKey(password, device)
	c, _ := aes.NewCipher(key[:])
	seed := make([]byte, 16)
	c.Decrypt(seed, sealed[:])
	return seed
}

// encodeDigits writes version 2.
func encodeDigits(t Token, o Options) string {
	smartphone := o.Carrier.smartphone()
	device := ""
	flags := uint16(flagAES128 | (t.Digits-1)<<shiftDigits)
	if o.Password != "" {
		flags |= flagPassword
	}
	if o.DeviceID != "" {
		device = deviceV2(o.DeviceID, smartphone)
		flags |= flagDevice
	}
	for _, f := range []struct {
		set  bool
		flag uint16
	}{
		{t.AddPIN, flagAddPIN}, {t.LocalPIN, flagLocalPIN}, {t.Mode, flagMode}, {t.TimeDerived, flagTimeDerived},
		{t.AppDerived, flagAppDerived}, {t.Interval == 60, 1},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	key := seedKey(o.Password, device)
	c, _ := aes.NewCipher(key[:])
	var sealed [16]byte
	c.Encrypt(sealed[:], t.Seed)

	w := bitWriter{}
	for _, b := range sealed {
		w.put(uint16(b), 8)
	}
	w.put(flags, 16)
	w.put(uint16(dayNumber(t.Expiry)), 14)
	w.put(0, 1)
	w.put(short(t.Seed), 15)
	w.put(short(field(device, lengthV2(smartphone))), 15)
	text := "2" + t.Serial + w.octal()
	sum := bitWriter{}
	sum.put(short([]byte(text)), 15)
	return text + sum.octal()
}

// A bitWriter collects bits, most significant first.
type bitWriter struct{ bits []byte }

func (w *bitWriter) put(v uint16, n int) {
	for i := n - 1; i >= 0; i-- {
		w.bits = append(w.bits, byte(v>>i&1))
	}
}

// octal writes the bits as octal digits; their number is a multiple of three.
func (w *bitWriter) octal() string {
	var b strings.Builder
	for i := 0; i < len(w.bits); i += 3 {
		b.WriteByte('0' + w.bits[i]<<2 + w.bits[i+1]<<1 + w.bits[i+2])
	}
	return b.String()
}
